package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.OnBatch(subs, s.onOrdersPlaced)
	sub.OnBatch(subs, s.onOrdersCancelled)
	sub.On(subs, s.onOrderForgotten)
}

// onOrderForgotten forgets who paid for an order. The books stay.
func (s *service) onOrderForgotten(ctx context.Context, tx pgx.Tx, e events.OrderForgotten) error {
	if err := forget.Note(ctx, tx, e.OrderID); err != nil {
		return err
	}
	return forgetCharges(ctx, tx, []uuid.UUID{e.OrderID})
}

func (s *service) onOrdersPlaced(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.OrderPlaced]) error {
	placed := make([]*Charge, 0, len(batch))
	for _, d := range batch {
		e := d.Event
		if e.OrderID == uuid.Nil || e.Total.Amount < 0 || e.Total.Currency == "" {
			return fmt.Errorf("an order without id or total: %w", sub.Drop)
		}
		c := NewCharge(e.OrderID, e.Number, e.Email, money.Money(e.Total), e.PaymentMethod, s.provider, e.PlacedAt, s.now())
		c.Traceparent = d.Trace
		placed = append(placed, c)
	}
	return s.place(ctx, tx, placed)
}

func (s *service) onOrdersCancelled(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.OrderCancelled]) error {
	causes := map[uuid.UUID]string{}
	for _, d := range batch {
		if d.Event.OrderID == uuid.Nil {
			return fmt.Errorf("an order without id: %w", sub.Drop)
		}
		causes[d.Event.OrderID] = d.Trace
	}
	return s.cancel(ctx, tx, causes)
}
