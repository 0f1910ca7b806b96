package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.On(subs, s.onOrderPlaced)
	sub.On(subs, s.onOrderCancelled)
}

func (s *service) onOrderPlaced(ctx context.Context, tx pgx.Tx, e events.OrderPlaced) error {
	if e.OrderID == uuid.Nil || e.Total.Amount < 0 || e.Total.Currency == "" {
		return fmt.Errorf("an order without id or total: %w", sub.Drop)
	}
	return s.place(ctx, tx, NewCharge(e.OrderID, e.Number, e.Email, money.Money(e.Total), e.PaymentMethod, s.provider, e.PlacedAt, s.now()))
}

func (s *service) onOrderCancelled(ctx context.Context, tx pgx.Tx, e events.OrderCancelled) error {
	if e.OrderID == uuid.Nil {
		return fmt.Errorf("an order without id: %w", sub.Drop)
	}
	return s.cancel(ctx, tx, e.OrderID)
}
