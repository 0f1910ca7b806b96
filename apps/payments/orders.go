package main

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/trace"
)

// orders is the neighbour that decides what becomes of orders.
type orders struct{ dapr *dapr.Client }

// outcomes reads what was decided, by cursor.
func (o orders) outcomes() feed.Source {
	return feed.From(o.dapr, "orders", "/internal/orders/outcomes")
}

// forgotten reads of which orders nobody is to keep who placed them, by cursor.
func (o orders) forgotten() feed.Source {
	return feed.From(o.dapr, "orders", "/internal/orders/forgotten")
}

// pullForgotten reads which orders were forgotten, in case an event never came.
func (s *service) pullForgotten() feed.Pull[events.OrderForgotten] {
	return feed.Pull[events.OrderForgotten]{
		Name: "orders.forgotten", DB: s.store.db, Log: s.log, Source: s.orders.forgotten(), Behind: s.settings.PullBehind,
		Apply: s.onOrderForgotten,
	}
}

// outcome is what orders tells of an order that was decided; its feed cures an order.cancelled that was lost.
type outcome struct {
	OrderID uuid.UUID `json:"order_id"`
	Status  string    `json:"status"` // confirmed, cancelled
}

// pullOrders reads what orders decided.
func (s *service) pullOrders() feed.Pull[outcome] {
	return feed.Pull[outcome]{
		Name: "orders.outcomes", DB: s.store.db, Log: s.log, Source: s.orders.outcomes(), Behind: s.settings.PullBehind, Apply: s.onOutcome,
	}
}

func (s *service) onOutcome(ctx context.Context, tx pgx.Tx, o outcome) error {
	if o.OrderID == uuid.Nil {
		return errors.New("an outcome without order")
	}
	if o.Status != "cancelled" {
		return nil
	}
	return s.cancel(ctx, tx, map[uuid.UUID]string{o.OrderID: trace.Of(ctx)})
}
