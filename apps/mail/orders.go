package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/dapr"
)

// orders is the neighbour that knows what became of orders.
type orders struct{ dapr *dapr.Client }

// ended reads a page of what became of orders since a time, oldest first; next is "" after the last page.
func (o orders) ended(ctx context.Context, since time.Time, cursor string) (items []events.Order, next string, err error) {
	query := url.Values{"since": {since.UTC().Format(time.RFC3339Nano)}, "limit": {"100"}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	var out struct {
		Items      []events.Order `json:"items"`
		NextCursor *string        `json:"next_cursor"`
	}
	if err := o.dapr.Call(ctx, "orders", http.MethodGet, "/internal/orders/ended?"+query.Encode(), nil, &out); err != nil {
		return nil, "", fmt.Errorf("ended orders: %w", err)
	}
	if out.NextCursor != nil {
		next = *out.NextCursor
	}
	return out.Items, next, nil
}
