package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.On(subs, s.stockCrossed)
	sub.On(subs, s.emailChanged)
	sub.On(subs, s.accountRemoved)
}

// stockCrossed keeps whether a variant is in stock, unless something newer was told before.
func (s *service) stockCrossed(ctx context.Context, tx pgx.Tx, e events.StockCrossed) error {
	return applyStock(ctx, tx, []stockWord{{SKU: e.SKU, InStock: e.InStock, Number: e.Number, At: e.At}}, s.now())
}

// emailChanged has an account's requests answered at the address that it has now.
func (s *service) emailChanged(ctx context.Context, tx pgx.Tx, e events.AccountEmailChanged) error {
	return moveRequests(ctx, tx, e.AccountID, e.Email, e.At)
}

// accountRemoved forgets what an account waits for. Nothing else here is of an account.
func (s *service) accountRemoved(ctx context.Context, tx pgx.Tx, e events.AccountRemoved) error {
	return forgetAccount(ctx, tx, e.AccountID)
}
