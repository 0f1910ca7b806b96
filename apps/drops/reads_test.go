package main

import (
	"net/http"
	"testing"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestReads: what is read of neighbours' answers is in their documents.
func TestReads(t *testing.T) {
	t.Parallel()
	servetest.Reads(t, "inventory", http.MethodGet, "/internal/lots/{drop}", stand{})
	servetest.Reads(t, "inventory", http.MethodPut, "/internal/lots/{drop}", stand{})
}
