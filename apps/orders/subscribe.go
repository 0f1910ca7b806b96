package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.OnBatch(subs, s.captured)
	sub.OnBatch(subs, s.declined)
	sub.On(subs, s.refunded)
	sub.On(subs, s.suspended)
	sub.On(subs, s.activated)
	sub.On(subs, s.emailChanged)
	sub.On(subs, s.removed)
}

// captured confirms orders, or has the money sent back of one that was cancelled.
func (s *service) captured(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.PaymentCaptured]) error {
	return changeOrders(ctx, s, tx, batch, func(e events.PaymentCaptured) uuid.UUID { return e.OrderID },
		func(o *Order, e events.PaymentCaptured) (Event, error) {
			event, err := o.Captured(money.Money(e.Amount), s.now())
			if err != nil {
				return nil, fmt.Errorf("%w: %w", err, sub.Drop)
			}
			return event, nil
		})
}

// declined cancels orders.
func (s *service) declined(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.PaymentFailed]) error {
	return changeOrders(ctx, s, tx, batch, func(e events.PaymentFailed) uuid.UUID { return e.OrderID },
		func(o *Order, _ events.PaymentFailed) (Event, error) { return o.Declined(s.now()), nil })
}

// refunded notes how much went back. What was taken by mistake, another amount than the total, was no payment of the
// order, and that it goes back is no refund of it.
func (s *service) refunded(ctx context.Context, tx pgx.Tx, e events.PaymentRefunded) error {
	one := []sub.Delivered[events.PaymentRefunded]{{Event: e}}
	of := func(e events.PaymentRefunded) uuid.UUID { return e.OrderID }
	return changeOrders(ctx, s, tx, one, of, func(o *Order, e events.PaymentRefunded) (Event, error) {
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

// activated lets a suspended account order again. The first activation comes before any suspension: it says that an address
// is proved, whose imported orders are the account's.
func (s *service) activated(ctx context.Context, tx pgx.Tx, e events.AccountActivated) error {
	if e.First {
		return claimImported(ctx, tx, e.Email, e.AccountID)
	}
	return setSuspended(ctx, tx, e.AccountID, false, e.At)
}

// emailChanged gives an account the imported orders of the address that it has proved.
func (s *service) emailChanged(ctx context.Context, tx pgx.Tx, e events.AccountEmailChanged) error {
	return claimImported(ctx, tx, e.Email, e.AccountID)
}

// removed keeps an account that is gone from ordering, and has its orders forgotten as they end.
func (s *service) removed(ctx context.Context, tx pgx.Tx, e events.AccountRemoved) error {
	return removeAccount(ctx, tx, e.AccountID, e.At, s.now())
}

// changeOrders changes the orders that events are about. payments learns of orders from orders, so one that is not here
// never will be.
func changeOrders[E any](
	ctx context.Context, s *service, tx pgx.Tx, batch []sub.Delivered[E], idOf func(E) uuid.UUID, fn func(*Order, E) (Event, error),
) error {
	ids := make([]uuid.UUID, 0, len(batch))
	for _, d := range batch {
		ids = append(ids, idOf(d.Event))
	}
	found, err := lockOrders(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, d := range batch {
		c, ok := found[idOf(d.Event)]
		if !ok {
			return fmt.Errorf("order %s: %w: %w", idOf(d.Event), ErrOrderNotFound, sub.Drop)
		}
		if err := c.apply(d.Trace, func(o *Order) (Event, error) { return fn(o, d.Event) }); err != nil {
			return err
		}
	}
	return s.store.save(ctx, tx, s.now(), slices.Collect(maps.Values(found))...)
}
