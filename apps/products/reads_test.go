package main

import (
	"testing"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestReads: what products reads of inventory's answer is there.
func TestReads(t *testing.T) {
	t.Parallel()
	servetest.Reads(t, "inventory", "POST", "/internal/availability", struct {
		Items []availability `json:"items"`
	}{})
}
