package main

import (
	"testing"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestReads: what the storefront reads of its neighbours' answers is there.
func TestReads(t *testing.T) {
	t.Parallel()
	type list[T any] struct {
		Items      []T     `json:"items"`
		NextCursor *string `json:"next_cursor"`
	}
	type all[T any] struct {
		Items []T `json:"items"`
	}
	for _, r := range []struct {
		app, method, path string
		view              any
		without           []string // what else the view is of
	}{
		{"products", "GET", "/api/v1/products", listing{}, nil},
		{"products", "GET", "/api/v1/products/{slug}", product{}, nil},
		{"products", "GET", "/api/v1/categories", all[category]{}, nil},
		{"products", "GET", "/api/v1/pages", all[pageLink]{}, nil},
		{"products", "GET", "/api/v1/pages/{slug}", shopPage{}, nil},
		{"products", "POST", "/api/v1/stock-requests", asked{}, nil},
		{"products", "GET", "/api/v1/stock-requests/{id}", waiting{}, nil},
		{"carts", "GET", "/api/v1/cart", cart{}, nil},
		{"carts", "PUT", "/api/v1/cart/items/{sku}", cart{}, nil},
		{"orders", "GET", "/api/v1/orders/{id}", order{}, []string{"address.id"}},
		{"orders", "POST", "/api/v1/orders", order{}, []string{"address.id"}},
		{"orders", "GET", "/api/v1/orders", list[order]{}, []string{"items[].address.id"}},
		{"orders", "GET", "/api/v1/orders/imported", list[pastOrder]{}, nil},
		{"users", "GET", "/api/v1/users/me", profile{}, nil},
		{"users", "PATCH", "/api/v1/users/me", profile{}, nil},
		{"drops", "GET", "/api/v1/drops", all[drop]{}, nil},
		{"drops", "GET", "/api/v1/drops/{slug}", drop{}, nil},
		{"drops", "GET", "/api/v1/drops/{slug}/status", dropStatus{}, nil},
		{"drops", "GET", "/api/v1/drops/{slug}/entry", entry{}, nil},
		{"drops", "GET", "/api/v1/drops/{slug}/entry/proof", entryProof{}, nil},
		{"drops", "POST", "/api/v1/drops/{slug}/claim", claim{}, nil},
		{"auth", "GET", "/api/v1/auth/login-history", all[loginLine]{}, nil},
	} {
		servetest.Reads(t, r.app, r.method, r.path, r.view, r.without...)
	}
}
