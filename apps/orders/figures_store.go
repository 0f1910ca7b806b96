package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

// spanSum is what was ordered in a stretch of time.
type spanSum struct {
	Orders  int
	Revenue int64
}

// Spans sums up the orders placed from a time on, by minute or hour. Stretches without orders are missing.
func (s store) Spans(ctx context.Context, by string, from time.Time) (map[time.Time]spanSum, error) {
	rows, err := s.db.Query(ctx, `
		SELECT date_trunc($1, created_at, 'UTC') AS from, count(*),
		       COALESCE(sum(total - refunded) FILTER (WHERE payment_status NOT IN ('pending', 'failed')), 0)::bigint
		FROM orders WHERE created_at >= $2 GROUP BY 1`, by, from)
	if err != nil {
		return nil, fmt.Errorf("spans: %w", err)
	}
	spans := map[time.Time]spanSum{}
	var (
		at  time.Time
		sum spanSum
	)
	if _, err := pgx.ForEachRow(rows, []any{&at, &sum.Orders, &sum.Revenue}, func() error { spans[at.UTC()] = sum; return nil }); err != nil {
		return nil, fmt.Errorf("spans: %w", err)
	}
	return spans, nil
}

// CountStatuses counts the orders in each status, up to pg.CountLimit.
func (s store) CountStatuses(ctx context.Context) (map[string]int, error) {
	return pg.Counts(ctx, s.db, `
		SELECT s.status, (SELECT count(*) FROM (SELECT FROM orders WHERE status = s.status LIMIT $2) f)
		FROM unnest($1::text[]) AS s (status)`, []Status{Pending, Confirmed, Shipped, Delivered, Cancelled}, pg.CountLimit)
}
