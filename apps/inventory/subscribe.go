package main

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.On(subs, s.productPublished)
	sub.On(subs, s.productChanged)
	sub.On(subs, s.productWithdrawn)
	sub.OnBatch(subs, s.orderConfirmed)
	sub.OnBatch(subs, s.orderCancelled)
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

// orderConfirmed sells what the orders hold. If one holds nothing and nobody has cancelled it, its event becomes a dead
// letter at once: somebody has to look, and cancel the order in the back office.
func (s *service) orderConfirmed(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.OrderConfirmed]) error {
	ids := make([]uuid.UUID, 0, len(batch))
	for _, d := range batch {
		ids = append(ids, d.Event.OrderID)
	}
	return s.store.sell(ctx, tx, ids...)
}

// orderCancelled gives the orders' units back: to the shopper's cart for a while when the payment was declined.
func (s *service) orderCancelled(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.OrderCancelled]) error {
	endings := make([]ending, 0, len(batch))
	for _, d := range batch {
		endings = append(endings, ending{d.Event.OrderID, whyCancelled(d.Event.Reason)})
	}
	return s.store.release(ctx, tx, endings...)
}
