package main

import (
	"testing"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestReads: what carts reads of its neighbours' answers is there.
func TestReads(t *testing.T) {
	t.Parallel()
	servetest.Reads(t, "products", "POST", "/internal/variants", struct {
		Items []variant `json:"items"`
	}{})
	servetest.Reads(t, "inventory", "PUT", "/internal/holds/{shopper}/{sku}", heldNow{})
	servetest.Reads(t, "inventory", "PUT", "/internal/holds", struct {
		Answers []struct {
			Value heldNow `json:"value"`
		} `json:"answers"`
	}{})
	servetest.Reads(t, "inventory", "GET", "/internal/holds/{shopper}", heldItems{})
	servetest.Reads(t, "inventory", "POST", "/internal/availability", struct {
		Items []anyones `json:"items"`
	}{})
}
