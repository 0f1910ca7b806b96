package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
)

// NoteSent notes for at most so many pending orders when their order.placed was first sent; kit/outbox knows. It returns
// for how many.
func (s store) NoteSent(ctx context.Context, limit int) (int, error) {
	tag, err := s.db.Exec(ctx, `
		UPDATE orders o SET placed_sent_at = e.sent_at
		FROM (SELECT p.id, e.sent_at
		      FROM orders p CROSS JOIN LATERAL (
		        SELECT min(e.sent_at) AS sent_at FROM outbox e WHERE e.topic = 'order.placed.v1' AND e.data ->> 'order_id' = p.id::text) e
		      WHERE p.status = 'pending' AND p.placed_sent_at IS NULL AND e.sent_at IS NOT NULL
		      LIMIT $1 FOR UPDATE OF p SKIP LOCKED) e
		WHERE o.id = e.id`, limit)
	if err != nil {
		return 0, fmt.Errorf("note what was sent: %w", err)
	}
	return int(tag.RowsAffected()), nil
}

// Remind looks at no more than so many orders that have been pending since before, and sends order.placed once more for
// those whose last one has left the outbox. It returns at how many it looked; none of them is looked at again before
// twice the time since order.placed was first sent, so that an outage is not followed by a flood.
func (s store) Remind(ctx context.Context, before, now time.Time, limit int) (looked int, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		// The last to be sent, or one that is not, is the first that the index has for an order, from its end.
		rows, err := tx.Query(ctx, `
			WITH due AS (
			    SELECT id FROM orders WHERE status = 'pending' AND placed_sent_at IS NOT NULL AND placed_put_at <= $1
			      AND placed_put_at - placed_sent_at <= $2 - placed_put_at
			    ORDER BY placed_put_at LIMIT $3 FOR UPDATE SKIP LOCKED),
			seen AS MATERIALIZED (
			    SELECT id, (SELECT e.sent_at IS NOT NULL FROM outbox e WHERE e.topic = 'order.placed.v1' AND e.data ->> 'order_id' = due.id::text
			                ORDER BY e.sent_at DESC LIMIT 1) IS NOT FALSE AS sent
			    FROM due)
			UPDATE orders o SET placed_put_at = $2, placed_count = placed_count + seen.sent::int FROM seen WHERE o.id = seen.id
			RETURNING o.id, seen.sent`, before, now, limit)
		if err != nil {
			return fmt.Errorf("remind: %w", err)
		}
		var (
			id   uuid.UUID
			sent bool
			ids  []uuid.UUID
		)
		looked = 0
		_, err = pgx.ForEachRow(rows, []any{&id, &sent}, func() error {
			if looked++; sent {
				ids = append(ids, id)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("remind: %w", err)
		}
		found, err := orders(ctx, tx, `WHERE o.id = ANY ($1)`, ids)
		if err != nil {
			return err
		}
		reminders := make([]outbox.Event, 0, len(found))
		for _, o := range found {
			reminders = append(reminders, o.Remind())
		}
		return outbox.Put(ctx, tx, reminders...)
	})
	return looked, err
}

// Waiting is for how many seconds the oldest pending order has been pending; 0 when none is.
func (s store) Waiting(ctx context.Context) (float64, error) {
	var seconds float64
	err := s.db.QueryRow(ctx, `
		SELECT COALESCE(EXTRACT(EPOCH FROM now() - (
		    SELECT created_at FROM orders WHERE status = 'pending' ORDER BY created_at LIMIT 1)), 0)::float8`).Scan(&seconds)
	if err != nil {
		return 0, fmt.Errorf("waiting: %w", err)
	}
	return seconds, nil
}

// Unsettled leases orders whose charge should be voided: pending ones whose order.placed was first sent before
// deadline, and those cancelled before quiet whose payment has not been heard of. They come again at next.
func (s store) Unsettled(ctx context.Context, deadline, quiet, now, next time.Time, limit int) ([]uuid.UUID, error) {
	rows, err := s.db.Query(ctx, `
		UPDATE orders SET settle_at = $4
		WHERE id IN (SELECT id FROM orders
		             WHERE (status = 'pending' OR payment_status = 'pending')
		               AND (status = 'pending' AND placed_sent_at <= $1 OR status = 'cancelled' AND updated_at <= $2)
		               AND (settle_at IS NULL OR settle_at <= $3)
		             ORDER BY settle_at NULLS FIRST, id LIMIT $5 FOR UPDATE SKIP LOCKED)
		RETURNING id`, deadline, quiet, now, next, limit)
	if err != nil {
		return nil, fmt.Errorf("unsettled: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}
