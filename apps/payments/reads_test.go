package main

import (
	"testing"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestReads: what payments reads of orders' answers is there.
func TestReads(t *testing.T) {
	t.Parallel()
	servetest.Reads(t, "orders", "GET", "/internal/orders/outcomes", feed.Page[outcome]{})
	servetest.Reads(t, "orders", "GET", "/internal/orders/forgotten", feed.Page[events.OrderForgotten]{})
}
