package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.On(subs, s.productPublished)
	sub.On(subs, s.productChanged)
	sub.On(subs, s.productWithdrawn)
	sub.On(subs, s.orderConfirmed)
	sub.On(subs, s.orderCancelled)
}

func (s *service) productPublished(ctx context.Context, tx pgx.Tx, e events.ProductPublished) error {
	return s.store.learn(ctx, tx, e.Product, true)
}

func (s *service) productChanged(ctx context.Context, tx pgx.Tx, e events.ProductChanged) error {
	return s.store.learn(ctx, tx, e.Product, e.Status == "published")
}

func (s *service) productWithdrawn(ctx context.Context, tx pgx.Tx, e events.ProductWithdrawn) error {
	return s.store.learn(ctx, tx, e.Product, false)
}

// orderConfirmed sells what the order holds. If it holds nothing and nobody has cancelled it, the event becomes a dead
// letter at once: somebody has to look, and cancel the order in the back office.
func (s *service) orderConfirmed(ctx context.Context, tx pgx.Tx, e events.OrderConfirmed) error {
	return s.store.sell(ctx, tx, e.OrderID)
}

// orderCancelled gives the order's units back: to its shopper's cart for a while when the payment was declined.
func (s *service) orderCancelled(ctx context.Context, tx pgx.Tx, e events.OrderCancelled) error {
	return s.store.release(ctx, tx, e.OrderID, whyCancelled(e.Reason))
}
