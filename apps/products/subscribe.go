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
}

// stockCrossed keeps whether a variant is in stock, unless something newer was told before.
func (s *service) stockCrossed(ctx context.Context, tx pgx.Tx, e events.StockCrossed) error {
	return applyStock(ctx, tx, []stockWord{{SKU: e.SKU, InStock: e.InStock, Number: e.Number, At: e.At}})
}
