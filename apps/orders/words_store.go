package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

// WriteWords writes the words of up to size orders that have none yet, or no longer, and returns of how many. An order that
// changes meanwhile is due again.
func (s store) WriteWords(ctx context.Context, size int) (done int, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT order_id FROM order_words WHERE words IS NULL LIMIT $1 FOR UPDATE SKIP LOCKED`, size)
		if err != nil {
			return fmt.Errorf("orders without words: %w", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return fmt.Errorf("orders without words: %w", err)
		}
		if done = len(ids); done == 0 {
			return nil
		}
		found, err := orders(ctx, tx, `WHERE o.id = ANY ($1)`, ids)
		if err != nil {
			return err
		}
		type record struct {
			OrderID uuid.UUID `json:"order_id"`
			Words   []string  `json:"words"`
		}
		list := make([]record, 0, len(found))
		for _, o := range found {
			list = append(list, record{o.ID, o.words()})
		}
		_, err = tx.Exec(ctx, `
			UPDATE order_words w SET words = array_to_tsvector(r.words)
			FROM jsonb_to_recordset($1) AS r (order_id uuid, words text[]) WHERE w.order_id = r.order_id`, list)
		if err != nil {
			return fmt.Errorf("write words: %w", err)
		}
		return nil
	})
	return done, err
}
