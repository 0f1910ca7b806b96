package main

import (
	"testing"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestReads: what the back office reads of its neighbours' answers is there.
func TestReads(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		app, method, path string
		view              any
		without           []string // what else the view is of
	}{
		{"products", "GET", "/api/v1/admin/products", items[productItem]{}, nil},
		{"products", "GET", "/api/v1/admin/products/{id}", product{}, nil},
		{"products", "POST", "/api/v1/admin/products", product{}, nil},
		{"products", "POST", "/api/v1/admin/products/import", report{}, nil},
		{"products", "GET", "/api/v1/admin/products/synonyms", synonyms{}, nil},
		{"auth", "GET", "/api/v1/admin/auth/accounts", items[customer]{}, []string{"items[].phone", "items[].addresses"}},
		{"auth", "GET", "/api/v1/admin/auth/accounts/{account_id}", customer{}, []string{"phone", "addresses"}},
		{"users", "GET", "/api/v1/admin/users/{account_id}", customer{}, []string{"created_at", "activated_at", "suspension"}},
		{"auth", "GET", "/api/v1/admin/auth/accounts/{account_id}/login-history", items[login]{}, nil},
		{"orders", "GET", "/api/v1/admin/orders", items[order]{}, nil},
		{"orders", "GET", "/api/v1/admin/orders/{id}", order{}, nil},
		{"orders", "GET", "/api/v1/admin/orders/figures", orderFigures{}, nil},
		{"inventory", "GET", "/api/v1/admin/inventory", items[stock]{}, nil},
		{"inventory", "GET", "/api/v1/admin/inventory/{sku}", stock{}, nil},
		{"inventory", "GET", "/api/v1/admin/inventory/figures", stockFigures{}, nil},
		{"inventory", "GET", "/api/v1/admin/inventory/{sku}/ledger", items[entry]{}, nil},
		{"inventory", "GET", "/api/v1/admin/inventory/{sku}/holds", items[hold]{}, nil},
		{"inventory", "GET", "/api/v1/admin/inventory/order-holds/{order_id}", orderHold{}, nil},
		{"payments", "GET", "/api/v1/admin/payments", items[payment]{}, nil},
		{"payments", "GET", "/api/v1/admin/payments/{order_id}", paymentDetail{}, nil},
		{"payments", "GET", "/api/v1/admin/payments/figures", paymentFigures{}, nil},
		{"mail", "GET", "/api/v1/admin/mail/figures", mailFigures{}, nil},
		{"mail", "GET", "/api/v1/admin/mail/{id}", mailItem{}, nil},
		{"mail", "GET", "/api/v1/admin/mail/templates", templatesView{}, []string{"On"}},
		{"orders", "GET", "/api/v1/admin/orders/dead-letters", items[letter]{}, nil},
		{"orders", "GET", "/api/v1/admin/orders/backlog", backlog{}, nil},
	} {
		servetest.Reads(t, r.app, r.method, r.path, r.view, r.without...)
	}
}
