package main

import (
	"cmp"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/contract"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestOffers: what a list offers to choose from, the service behind it takes.
func TestOffers(t *testing.T) {
	t.Parallel()
	offers(t, customerList)
	offers(t, loginsOf(customer{}))
	offers(t, stockList)
	offers(t, ledgerOf("A"))
	holds := holdsOf("A")
	holds.App, holds.API = "inventory", stockAPI("A")+"/holds"
	offers(t, holds)
	offers(t, mailList)
	offers(t, orderList)
	offers(t, paymentList)
	offers(t, productList(nil))
}

func offers[T any](t *testing.T, l list[T]) {
	t.Helper()
	d, err := contract.Of(l.App)
	require.NoError(t, err)
	takes := func(name, value string) {
		t.Helper()
		require.NoError(t, d.Request("GET", l.API+"?"+url.Values{name: {value}}.Encode(), nil, nil))
	}
	for _, f := range l.Filters {
		for _, o := range f.Options {
			takes(cmp.Or(f.API, f.Name), o.Value)
		}
	}
	for _, o := range l.Sorts {
		takes("sort", o.Value)
	}
	for _, c := range l.Columns {
		for _, way := range []string{c.Up, c.Down} {
			takes("sort", way)
		}
	}
}

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
		{"products", "POST", "/api/v1/admin/products/import", report{}, []string{"rows[].name"}},
		{"auth", "POST", "/api/v1/admin/auth/accounts/import", report{}, []string{"rows[].handle", "rows[].sku"}},
		{"auth", "GET", "/api/v1/admin/auth/accounts/arrivals", waiting{}, nil},
		{"products", "GET", "/api/v1/admin/products/synonyms", synonyms{}, nil},
		{"products", "GET", "/api/v1/admin/products/pages/{slug}", shopPage{}, nil},
		{"products", "PUT", "/api/v1/admin/products/pages/{slug}", shopPage{}, nil},
		{"drops", "GET", "/api/v1/admin/drops", items[drop]{}, nil},
		{"drops", "GET", "/api/v1/admin/drops/{id}", watched{}, nil},
		{"drops", "POST", "/api/v1/admin/drops", watched{}, nil},
		{"auth", "GET", "/api/v1/admin/auth/accounts", items[customer]{}, []string{"items[].phone", "items[].addresses"}},
		{"auth", "GET", "/api/v1/admin/auth/accounts/{account_id}", customer{}, []string{"phone", "addresses"}},
		{"users", "GET", "/api/v1/admin/users/{account_id}", customer{}, []string{"created_at", "activated_at", "suspension"}},
		{"auth", "GET", "/api/v1/admin/auth/accounts/{account_id}/login-history", items[login]{}, nil},
		{"orders", "GET", "/api/v1/admin/orders", items[order]{}, nil},
		{"orders", "GET", "/api/v1/admin/orders/{id}", order{}, nil},
		{"orders", "POST", "/api/v1/admin/orders/import", report{}, []string{"rows[].handle", "rows[].sku"}},
		{"orders", "GET", "/api/v1/admin/orders/imported", items[imported]{}, nil},
		{"orders", "GET", "/api/v1/admin/orders/imported/{id}", imported{}, nil},
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
