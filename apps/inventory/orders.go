package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/pg"
)

// orders is the neighbour that knows what became of an order.
type orders struct{ dapr *dapr.Client }

// voidOrder asks the owner of an order id to give it up: it answers the order's status, or "void" and then there will
// never be such an order.
type voidOrder func(ctx context.Context, id uuid.UUID) (status string, err error)

func (o orders) void(ctx context.Context, id uuid.UUID) (string, error) {
	var out struct {
		Status string `json:"status"`
	}
	err := o.dapr.Call(ctx, "orders", http.MethodPut, "/internal/orders/"+id.String()+"/void", nil, &out)
	return out.Status, err
}

// When an order's hold is asked about. Placing an order takes 5 seconds at most, paying for it usually a few more, so
// a hold of 2 minutes belongs to an order that is slow, or that a crash has left behind.
const (
	askAfter = 2 * time.Minute
	askAgain = time.Minute // while the order is pending
	askBatch = 10
)

// askOrders settles the holds of orders that nobody has told us about: the pull that cures a lost event and a crash
// between the hold and the order.
func (s *service) askOrders(ctx context.Context) error {
	for {
		ids, err := s.store.dueHolds(ctx, askAfter, askAgain, askBatch)
		if err != nil {
			return err
		}
		var failed []error
		for _, id := range ids {
			if err := s.ask(ctx, id); err != nil {
				failed = append(failed, fmt.Errorf("ask about order %s: %w", id, err))
			}
		}
		if failed != nil || len(ids) < askBatch {
			return errors.Join(failed...)
		}
	}
}

func (s *service) ask(ctx context.Context, id uuid.UUID) error {
	status, err := s.void(ctx, id)
	if err != nil {
		return err
	}
	return pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
		switch status {
		case "pending":
			return nil
		case "confirmed", "shipped", "delivered":
			return s.store.sell(ctx, tx, id)
		case "cancelled":
			return s.store.release(ctx, tx, id, ByCancel)
		case "void":
			return s.store.release(ctx, tx, id, ByVoid)
		}
		return fmt.Errorf("unknown status %q", status)
	})
}
