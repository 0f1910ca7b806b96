package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Stock

// stockWord is what inventory says about a SKU.
type stockWord struct {
	SKU     string
	InStock bool
	Number  int64 // of an event; 0 when inventory was asked
	At      time.Time
}

// applyStock notes whether SKUs are in stock, as inventory says, unless something newer is known. Of two events the
// one with the greater number is newer; an answer to a question is newer than all that was heard before its time.
// Unknown SKUs are left out. Who waits for one that is in stock is told soon.
func applyStock(ctx context.Context, tx pgx.Tx, said []stockWord, now time.Time) error {
	skus := make([]string, len(said))
	for i, s := range said {
		skus[i] = s.SKU
	}
	rows, err := tx.Query(ctx, `
		SELECT id FROM products WHERE id IN (SELECT product_id FROM variants WHERE sku = ANY($1)) ORDER BY id FOR UPDATE`, skus)
	if err != nil {
		return fmt.Errorf("apply stock: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("apply stock: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	var batch pgx.Batch
	for _, s := range said {
		batch.Queue(`
			UPDATE variants SET in_stock = $2, stock_number = greatest(stock_number, $3), stock_at = greatest(stock_at, $4)
			WHERE sku = $1 AND ($3 > stock_number OR $3 = 0 AND $4 > stock_at AND in_stock <> $2)`, s.SKU, s.InStock, s.Number, s.At)
	}
	batch.Queue(`
		WITH stock AS (SELECT product_id, bool_or(in_stock) AS in_stock FROM variants WHERE product_id = ANY($1) GROUP BY product_id),
		changed AS (
			UPDATE products p SET in_stock = s.in_stock FROM stock s
			WHERE p.id = s.product_id AND p.in_stock <> s.in_stock RETURNING p.status)
		UPDATE catalogue SET version = version + 1 WHERE EXISTS (SELECT FROM changed WHERE status = 'published')`, ids)
	markReturns(ctx, &batch, skus, now)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("apply stock: %w", err)
	}
	return nil
}
