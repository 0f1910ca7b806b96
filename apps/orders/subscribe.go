package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.On(subs, s.captured)
	sub.On(subs, s.declined)
	sub.On(subs, s.refunded)
	sub.On(subs, s.suspended)
	sub.On(subs, s.activated)
}

// captured confirms the order, or has the money sent back when the order was cancelled.
func (s *service) captured(ctx context.Context, tx pgx.Tx, e events.PaymentCaptured) error {
	return s.changeOrder(ctx, tx, e.OrderID, func(o *Order) (Event, error) {
		event, err := o.Captured(money.Money(e.Amount), s.now())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, sub.Drop)
		}
		return event, nil
	})
}

// declined cancels the order.
func (s *service) declined(ctx context.Context, tx pgx.Tx, e events.PaymentFailed) error {
	return s.changeOrder(ctx, tx, e.OrderID, func(o *Order) (Event, error) { return o.Declined(s.now()), nil })
}

// refunded notes how much went back. What was taken by mistake, another amount than the total, was no payment of the
// order, and that it goes back is no refund of it.
func (s *service) refunded(ctx context.Context, tx pgx.Tx, e events.PaymentRefunded) error {
	return s.changeOrder(ctx, tx, e.OrderID, func(o *Order) (Event, error) {
		if money.Money(e.Captured) != o.Total {
			return nil, nil
		}
		if e.Refunded.Currency != o.Total.Currency {
			return nil, fmt.Errorf("order %s: refunded %v of %v: %w", o.ID, e.Refunded, o.Total, sub.Drop)
		}
		o.Refunded(money.Money(e.Refunded))
		return nil, nil
	})
}

// suspended keeps an account from ordering.
func (s *service) suspended(ctx context.Context, tx pgx.Tx, e events.AccountSuspended) error {
	return setSuspended(ctx, tx, e.AccountID, true, e.At)
}

// activated lets a suspended account order again. The first activation comes before any suspension.
func (s *service) activated(ctx context.Context, tx pgx.Tx, e events.AccountActivated) error {
	if e.First {
		return nil
	}
	return setSuspended(ctx, tx, e.AccountID, false, e.At)
}

// changeOrder changes the order that an event is about. payments learns of orders from orders, so one that is not here never
// will be.
func (s *service) changeOrder(ctx context.Context, tx pgx.Tx, id uuid.UUID, fn func(*Order) (Event, error)) error {
	_, err := update(ctx, tx, id, s.now(), fn)
	if errors.Is(err, ErrOrderNotFound) {
		return fmt.Errorf("order %s: %w: %w", id, err, sub.Drop)
	}
	return err
}
