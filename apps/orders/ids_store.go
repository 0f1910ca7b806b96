package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

// decide decides what becomes of an order id, unless that is decided, and returns the decision.
func decide(ctx context.Context, tx pgx.Tx, id uuid.UUID, wanted string, now time.Time) (string, error) {
	var decided string
	err := tx.QueryRow(ctx, `
		INSERT INTO order_ids (id, fate, decided_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET fate = order_ids.fate
		RETURNING fate`, id, wanted, now).Scan(&decided)
	if err != nil {
		return "", fmt.Errorf("fate of an order id: %w", err)
	}
	return decided, nil
}

// idDecision is what a neighbour learns about an order id.
type idDecision struct {
	OrderID uuid.UUID `json:"order_id"`
	Status  string    `json:"status" doc:"The order's status, or void: no order will ever have this id"`
	Reason  string    `json:"reason" doc:"Why it was cancelled"`
}

// Void answers what became of order ids: the order's status, or "void", and then no order will ever have that id.
func (s store) Void(ctx context.Context, ids []uuid.UUID, now time.Time) (decisions []idDecision, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		// The keys' rows before the ids', as Place locks them, and each kind in one order, as whoever else voids does.
		if _, err := tx.Exec(ctx, `SELECT FROM order_keys WHERE order_id = ANY ($1) ORDER BY order_id FOR UPDATE`, ids); err != nil {
			return err
		}
		// An id that somebody else decides at this moment is waited for, and read by the statements that follow.
		_, err := tx.Exec(ctx, `
			INSERT INTO order_ids (id, fate, decided_at) SELECT id, 'void', $2 FROM unnest($1::uuid[]) AS id ORDER BY id
			ON CONFLICT (id) DO NOTHING`, ids, now)
		if err != nil {
			return err
		}
		// The keys and the checkouts that they claimed are free again.
		_, err = tx.Exec(ctx, `
			DELETE FROM order_keys WHERE answer IS NULL AND order_id IN (SELECT id FROM order_ids WHERE id = ANY ($1) AND fate = 'void')`, ids)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT i.id AS order_id, COALESCE(o.status, 'void') AS status, COALESCE(o.cancel_reason, '') AS reason
			FROM order_ids i LEFT JOIN orders o ON o.id = i.id WHERE i.id = ANY ($1)`, ids)
		if err != nil {
			return err
		}
		decisions, err = pgx.CollectRows(rows, pgx.RowToStructByName[idDecision])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("void: %w", err)
	}
	return decisions, nil
}

// PruneVoid forgets at most so many order ids that were made void before a time, and returns how many.
func (s store) PruneVoid(ctx context.Context, before time.Time, limit int) (int, error) {
	tag, err := s.db.Exec(ctx, `
		DELETE FROM order_ids WHERE id IN (SELECT id FROM order_ids WHERE fate = 'void' AND decided_at <= $1 ORDER BY decided_at LIMIT $2)`,
		before, limit)
	if err != nil {
		return 0, fmt.Errorf("prune order ids: %w", err)
	}
	return int(tag.RowsAffected()), nil
}
