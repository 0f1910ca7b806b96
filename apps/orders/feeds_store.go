package main

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/feed"
)

// outcome is a moment at which an order got a status, as the feeds tell it.
type outcome struct {
	OrderID uuid.UUID `json:"order_id"`
	Status  Status    `json:"status" enum:"confirmed,cancelled"`
	Reason  string    `json:"reason" doc:"Why it was cancelled"`
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	NotedAt time.Time `json:"-"` // its place in the feeds
	Key     string    `json:"-"`
}

// Outcomes reads the moments at which orders got one of the statuses, in the order in which they were written down.
// pending is none of them.
func (s store) Outcomes(ctx context.Context, ask feed.Ask, statuses ...Status) (page feed.Page[outcome], err error) {
	page.Items, page.Cursor, page.More, err = feed.Read(ctx, s.db, ask, `
		SELECT h.order_id, h.status, CASE h.status WHEN 'cancelled' THEN o.cancel_reason ELSE '' END AS reason, h.version, h.at,
		       h.noted_at, h.order_id::text || '/' || h.version::text AS key
		FROM order_history h JOIN orders o ON o.id = h.order_id
		WHERE (h.noted_at, h.order_id::text || '/' || h.version::text) > ($1, $2) AND h.noted_at < $3
		  AND h.status <> 'pending' AND h.status = ANY ($5)
		ORDER BY h.noted_at, h.order_id::text || '/' || h.version::text LIMIT $4`,
		func(o outcome) feed.Place { return feed.Place{At: o.NotedAt, Key: o.Key} }, statuses)
	return page, err
}
