package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// guestCookie is the browser of a guest who has a cart.
const guestCookie = "cart=0123456789abcdef0123"

// TestProductPage: a product is shown as products tells it; what it does not
// tell of is not found, and while it is away the page says so.
func TestProductPage(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	const read = "GET /api/v1/products/{slug}"
	price := map[string]any{"amount_minor": 2_899, "currency": "GBP"}
	lamp := map[string]any{
		"id": uuid.New(), "slug": "lamp", "sku": "LAMP", "name": "Brass lamp", "price": price, "available": 3, "in_stock": true, "variant_count": 1,
		"variants": []any{map[string]any{"sku": "LAMP", "price": price, "available": 3, "in_stock": true, "max_per_shopper": 20}},
	}
	servetest.Neighbour(t, rt, "products", read, servetest.Answers(servetest.Like(t, "products", read, lamp)))
	res := servetest.Do(t, rt, "GET", "/products/lamp", "", nil)
	require.Equal(t, 200, res.Status, "%s", res.Body)
	require.Contains(t, string(res.Body), "Brass lamp")
	require.Contains(t, string(res.Body), "£28.99")
	servetest.Neighbour(t, rt, "products", read, servetest.Refuses(problem.New(problem.NotFound, "product-not-found", "There is no such product")))
	require.Equal(t, 404, servetest.Do(t, rt, "GET", "/products/other", "", nil).Status)
	servetest.Neighbour(t, rt, "products", read, servetest.HangsUp(nil))
	require.Equal(t, 503, servetest.Do(t, rt, "GET", "/products/third", "", nil).Status)
}

// TestAsksAsTheShopper: what is a shopper's is asked for with the session's token,
// with the address and the browser that the edge has seen and the request's id;
// what everybody may read without a token, since it is kept for others too.
func TestAsksAsTheShopper(t *testing.T) {
	t.Parallel()
	rt, s := newTest(t)
	var asked http.Header
	hears := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			asked = r.Header
			then(w, r)
		}
	}
	servetest.Neighbour(t, rt, "users", "GET /api/v1/users/me", hears(servetest.IsAway))
	servetest.Neighbour(t, rt, "products", "GET /api/v1/products/{slug}", hears(servetest.IsAway))
	who := &shopper{session: &session{id: "the-id", Access: "the-access-token"}}
	rt.Router.Get("/as-shopper", func(_ http.ResponseWriter, r *http.Request) {
		ctx := withShopper(r.Context(), who)
		_, _ = s.profile(ctx)
		mine := asked
		_, _ = s.productBySlug(ctx, "lamp")
		if mine.Get("Authorization") != "Bearer the-access-token" || asked.Get("Authorization") != "" {
			t.Errorf("users hears %v, products %v", mine, asked)
		}
		for _, heard := range []http.Header{mine, asked} {
			if heard.Get("X-Real-Ip") != "192.0.2.10" || heard.Get("User-Agent") != "a browser" || heard.Get("X-Request-Id") != "this one" {
				t.Errorf("a neighbour hears %v", heard)
			}
		}
	})
	res := servetest.Do(t, rt, "GET", "/as-shopper", "", nil, "User-Agent", "a browser", "X-Request-Id", "this one")
	require.Equal(t, 200, res.Status)
}

// TestCartPage: a guest's cart is asked for by the cookie's session; a carts that
// is silent makes a page that says so, in time.
func TestCartPage(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	const read = "GET /api/v1/cart"
	money := func(minor int) map[string]any { return map[string]any{"amount_minor": minor, "currency": "GBP"} }
	whole := servetest.Like(t, "carts", read, map[string]any{
		"checkout_id": uuid.New(), "country": "GB", "subtotal": money(5_798), "discount": money(0), "tax": money(966), "shipping": money(0), "total": money(5_798),
		"lines": []any{map[string]any{"sku": "LAMP", "slug": "lamp", "name": "Brass lamp", "quantity": 2, "unit_price": money(2_899), "line_total": money(5_798)}},
	})
	var session atomic.Value
	servetest.Neighbour(t, rt, "carts", read, func(w http.ResponseWriter, r *http.Request) {
		session.Store(r.Header.Get("X-Cart-Session"))
		servetest.Answers(whole)(w, r)
	})
	res := servetest.Do(t, rt, "GET", "/cart", "", nil, "Cookie", guestCookie)
	require.Equal(t, 200, res.Status, "%s", res.Body)
	require.Contains(t, string(res.Body), "Brass lamp")
	require.Contains(t, string(res.Body), "£57.98")
	require.Equal(t, strings.TrimPrefix(guestCookie, "cart="), session.Load())

	rt.Dapr.SetCallTimeout(100 * time.Millisecond)
	servetest.Neighbour(t, rt, "carts", read, servetest.IsSilent(nil))
	res = servetest.Do(t, rt, "GET", "/cart", "", nil, "Cookie", guestCookie)
	require.Equal(t, 503, res.Status)
	require.Equal(t, "3", res.Header.Get("Retry-After"))
}
