package main

import (
	"testing"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestReads: what inventory reads of its neighbours' answers is there.
func TestReads(t *testing.T) {
	t.Parallel()
	servetest.Reads(t, "orders", "POST", "/internal/orders/void", struct {
		Items []outcome `json:"items"`
	}{})
	servetest.Reads(t, "products", "POST", "/internal/variants", struct {
		Items []struct {
			SKU     string `json:"sku"`
			Name    string `json:"name"`
			Variant string `json:"variant"`
		} `json:"items"`
	}{})
	servetest.Reads(t, "orders", "GET", "/internal/orders/outcomes", feed.Page[outcome]{})
}
