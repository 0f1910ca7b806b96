package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// lotFigures is how a lot stands of a drop that is not over.
type lotFigures struct {
	Slug    string
	SKU     string
	Called  int64
	Came    int64
	Stayed  int64
	Free    int64
	Held    int64
	Sold    int64
	Waiting int64
	IdleS   float64
}

// lotFigures reads those of all drops that are not over. The next should have been called when the time of those who were
// called last is over, or the drop has been opened, while units are free for which nobody stands by who may come, and somebody waits.
func (s store) lotFigures(ctx context.Context, now time.Time) ([]lotFigures, error) {
	rows, err := s.db.Query(ctx, `
		SELECT d.slug, l.sku, l.called, l.came, l.stayed, l.free, l.held, l.sold,
			`+waiting+` AS waiting,
			CASE WHEN d.state IN ('open', 'all_held') AND l.free > 0
				AND EXISTS (
					SELECT FROM entries e WHERE e.drop_id = d.id AND e.position >= l.called AND l.sku = ANY (e.skus)
					  AND `+mayCome+`)
				AND NOT EXISTS (
					SELECT FROM claims w JOIN entries e ON e.id = w.entry_id
					WHERE w.drop_id = d.id AND w.sku = l.sku AND w.state = 'standby' AND `+mayCome+`)
			THEN GREATEST(EXTRACT(EPOCH FROM $1::timestamptz - COALESCE(c.last + d.grace_s * interval '1 second', d.opened_at)), 0)
			ELSE 0 END::float8 AS idle_s
		FROM drops d JOIN drop_lots l ON l.drop_id = d.id CROSS JOIN LATERAL (
			SELECT max(k.called_at) AS last FROM calls k WHERE k.drop_id = d.id AND k.sku = l.sku) c
		WHERE d.state NOT IN ('draft', 'sold_out', 'closed') ORDER BY d.slug, l.sku`, now)
	if err != nil {
		return nil, fmt.Errorf("figures of lots: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[lotFigures])
}

// claimFigures are how many claims of a lot have become what.
type claimFigures struct {
	Slug   string
	SKU    string
	State  ClaimState
	Claims int64
}

// claimFigures reads those of all drops that are not over.
func (s store) claimFigures(ctx context.Context) ([]claimFigures, error) {
	rows, err := s.db.Query(ctx, `
		SELECT d.slug, c.sku, c.state, count(*) AS claims FROM drops d JOIN claims c ON c.drop_id = d.id
		WHERE d.state NOT IN ('draft', 'sold_out', 'closed') GROUP BY d.slug, c.sku, c.state`)
	if err != nil {
		return nil, fmt.Errorf("figures of claims: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[claimFigures])
}
