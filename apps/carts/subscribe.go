package main

import (
	"context"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/events"
)

// confirmed takes what was bought out of the account's cart. The cart itself
// remembers the order, so a second copy changes nothing.
func (s *service) confirmed(ctx context.Context, e events.OrderConfirmed) error {
	next, err := uuid.NewV7()
	if err != nil {
		return err
	}
	lines := make([]Line, 0, len(e.Lines))
	for _, l := range e.Lines {
		lines = append(lines, Line{l.SKU, l.Quantity})
	}
	_, err = s.store.change(ctx, accountKey(e.AccountID), s.now(), func(c *Cart) (bool, error) {
		return c.bought(e.OrderID, e.CheckoutID, lines, next), nil
	})
	return err
}
