package main

import (
	"testing"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestReads: what mail reads of its neighbours' answers is there.
func TestReads(t *testing.T) {
	t.Parallel()
	servetest.Reads(t, "orders", "GET", "/internal/orders/ended", feed.Page[events.Order]{})
	servetest.Reads(t, "orders", "GET", "/internal/orders/forgotten", feed.Page[events.OrderForgotten]{})
	servetest.Reads(t, "payments", "GET", "/internal/refunds/made", feed.Page[events.PaymentRefunded]{})
}
