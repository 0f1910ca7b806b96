// Package forget has a service keep nothing of people who are gone: the ids of
// their accounts and orders are noted, what kit's tables hold of them is
// deleted, and deleted again for as long as an event may come late.
package forget

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/pg"
)

const (
	// Every is how often work that Again returns is due.
	Every = 30 * time.Second

	batch  = 200
	first  = time.Minute         // longer than any handler that was at work when the id was noted
	late   = 8 * 24 * time.Hour  // no broker delivers later (kit/sub's inbox)
	keep   = 90 * 24 * time.Hour // as long as dead letters
	factor = 8                   // each wait is so much longer than what was waited until then
)

// Noted is the condition that an id, an expression of SQL, was noted: for
// statements that write what an event tells.
func Noted(id string) string {
	return `EXISTS (SELECT FROM forgotten WHERE forgotten.id = ` + id + `)`
}

// Note notes accounts or orders and deletes what kit's tables hold of them:
// dead letters, what of neighbours' feeds could not be applied, and answers that
// were kept for a repeated request. What the service's own tables hold it
// deletes itself, in the same transaction, and by Again.
func Note(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO forgotten (id, again_at) SELECT id, now() + $2::interval FROM unnest($1::uuid[]) AS id ORDER BY id
		ON CONFLICT (id) DO NOTHING`, ids, first)
	if err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	return wipe(ctx, tx, ids)
}

// wipe deletes what kit's tables hold. A letter about an order is the order's,
// not the account's: that may go on.
func wipe(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		texts = append(texts, id.String())
	}
	b := &pgx.Batch{}
	b.Queue(`DELETE FROM dead_letters WHERE order_id = ANY ($1)`, ids)
	b.Queue(`DELETE FROM dead_letters WHERE account_id = ANY ($1) AND order_id IS NULL`, ids)
	b.Queue(`DELETE FROM feed_failures WHERE item ->> 'order_id' = ANY ($1)`, texts)
	b.Queue(`DELETE FROM feed_failures WHERE item -> 'data' ->> 'account_id' = ANY ($1) AND item -> 'data' ->> 'order_id' IS NULL`, texts)
	b.Queue(`DELETE FROM idempotency_keys WHERE answer ? 'order_id' AND answer ->> 'order_id' = ANY ($1)`, texts)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	return nil
}

// Again returns background work: it deletes what has come since of what was
// noted, with growing waits, for eight days; own deletes from the service's own
// tables and may be nil. After 90 days the ids themselves are forgotten.
func Again(db *pgxpool.Pool, own func(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for {
			var ids []uuid.UUID
			err := pg.InTx(ctx, db, func(tx pgx.Tx) error {
				rows, err := tx.Query(ctx, `
					UPDATE forgotten SET again_at = CASE WHEN now() - noted_at < $2::interval THEN now() + $3 * (now() - noted_at) END
					WHERE id IN (SELECT id FROM forgotten WHERE again_at <= now() ORDER BY again_at LIMIT $1 FOR UPDATE SKIP LOCKED)
					RETURNING id`, batch, late, factor)
				if err != nil {
					return fmt.Errorf("forget again: %w", err)
				}
				if ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID]); err != nil || len(ids) == 0 {
					return err
				}
				if err := wipe(ctx, tx, ids); err != nil || own == nil {
					return err
				}
				return own(ctx, tx, ids)
			})
			if err != nil {
				return err
			}
			if len(ids) < batch {
				return pg.Prune(ctx, db, `DELETE FROM forgotten WHERE id IN (
					SELECT id FROM forgotten WHERE noted_at < now() - $2::interval ORDER BY noted_at LIMIT $1)`, keep)
			}
		}
	}
}
