package main

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.OnDirect(subs, s.confirmed)
	sub.OnDirect(subs, s.removed)
}

// confirmed takes what was bought out of the account's cart.
func (s *service) confirmed(ctx context.Context, e events.OrderConfirmed) error {
	lines := make([]Line, 0, len(e.Lines))
	for _, l := range e.Lines {
		lines = append(lines, Line{l.SKU, l.Quantity})
	}
	return s.bought(ctx, e.AccountID, e.OrderID, e.CheckoutID, lines)
}

// removed forgets the cart of an account that is gone; what it held is free when its time is over. A second copy finds none.
func (s *service) removed(ctx context.Context, e events.AccountRemoved) error {
	for range maxConflicts {
		_, etag, err := s.store.read(ctx, accountKey(e.AccountID))
		if err != nil || etag == "" {
			return err
		}
		if err := s.store.drop(ctx, accountKey(e.AccountID), etag); !errors.Is(err, dapr.ErrConflict) {
			return err
		}
	}
	return errTooOften
}

// bought takes an order's lines out of the account's cart. The cart itself
// remembers the order, so being told again changes nothing.
func (s *service) bought(ctx context.Context, account, order, checkout uuid.UUID, lines []Line) error {
	_, err := s.store.change(ctx, accountKey(account), s.now(), func(c *Cart, fresh uuid.UUID) (bool, error) {
		return c.bought(order, checkout, lines, fresh), nil
	})
	return err
}

// pulled is confirmed for what orders lists, some time behind: its event may
// have been lost.
func (s *service) pulled(ctx context.Context, e events.Order) error {
	if e.Status != "confirmed" {
		return nil // an orders that does not know the query "status" lists every end
	}
	return s.confirmed(ctx, events.OrderConfirmed{Order: e})
}
