package main

import (
	"testing"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestReads: what payments reads of orders' answer is there.
func TestReads(t *testing.T) {
	t.Parallel()
	servetest.Reads(t, "orders", "GET", "/internal/orders/outcomes", feed.Page[outcome]{})
}
