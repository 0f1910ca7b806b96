package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/picture"
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

// TestChosenVariant: the only variant is chosen, or the only one of the options that a list was narrowed by; else nobody
// chooses for the shopper.
func TestChosenVariant(t *testing.T) {
	t.Parallel()
	one := func(sku, size, colour string, inStock bool) variant {
		return variant{SKU: sku, Options: map[string]string{"Size": size, "Colour": colour}, InStock: inStock}
	}
	p := product{Option: []string{"Size", "Colour"}, Variant: []variant{
		one("A", "41", "Red", false), one("B", "42", "Red", true), one("C", "43", "Red", true), one("D", "43", "Blue", true),
	}}
	for options, want := range map[string]string{
		"": "", "Size:42": "B", "Size:41": "", "Size:43": "", "Size:43 Colour:Blue": "D", "Size:41 Size:42": "",
		"Colour:Blue": "D", "Weight:1": "", "Size": "", "Size:42 Weight:1": "B",
	} {
		require.Equal(t, want, p.fitting(strings.Fields(options)).SKU, options)
	}
	require.Equal(t, "A", product{Variant: []variant{{SKU: "A"}}}.fitting(nil).SKU)
}

// TestPicturePage: a picture is shown by itself, and whatever nobody has described is called by the product's name.
func TestPicturePage(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	const read = "GET /api/v1/products/{slug}"
	own := "/media/" + picture.Name(strings.Repeat("0a", 16), 1_200, 900, ".jpg")
	servetest.Neighbour(t, rt, "products", read, servetest.Answers(servetest.Like(t, "products", read, map[string]any{
		"slug": "lamp", "name": "Brass lamp",
		"images": []any{map[string]any{"url": own, "alt": "From above"}, map[string]any{"url": "/media/b.svg", "alt": ""}},
	})))
	body := string(servetest.Do(t, rt, "GET", "/products/lamp", "", nil).Body)
	require.Contains(t, body, `href="/products/lamp/pictures/1"`)
	require.Contains(t, body, `alt="Brass lamp, picture 2"`)
	require.Contains(t, body, `srcset="`+picture.Srcset(own)+`"`)
	body = string(servetest.Do(t, rt, "GET", "/products/lamp/pictures/1", "", nil).Body)
	require.Contains(t, body, `alt="From above"`)
	require.Contains(t, body, `href="/products/lamp/pictures/2" rel="next"`)
	require.NotContains(t, body, `rel="prev"`)
	require.Contains(t, body, `<meta name="robots" content="noindex">`)
	for _, none := range []string{"0", "3", "x", "-1"} {
		require.Equal(t, 404, servetest.Do(t, rt, "GET", "/products/lamp/pictures/"+none, "", nil).Status, none)
	}
}

// TestCards: a card says from which price on, and leads to the variant that the list was narrowed by.
func TestCards(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	price := func(minor int) map[string]any { return map[string]any{"amount_minor": minor, "currency": "GBP"} }
	servetest.Neighbour(t, rt, "products", "GET /api/v1/products", servetest.Answers(map[string]any{"next_cursor": nil, "items": []any{
		map[string]any{
			"id": uuid.New(), "slug": "boot", "sku": "B", "name": "حذاء", "price": price(3_000),
			"price_from": price(2_000), "price_to": price(3_000),
			"image_url": nil, "category": nil, "available": nil, "in_stock": true, "variant_count": 2,
		},
	}}))
	servetest.Neighbour(t, rt, "products", "GET /api/v1/categories", servetest.Answers(map[string]any{"items": []any{}}))
	body := string(servetest.Do(t, rt, "GET", "/search?option=Size:41&option=Colour:Dark+red", "", nil).Body)
	require.Contains(t, body, `href="/products/boot?option=Size%3A41&amp;option=Colour%3ADark&#43;red"`)
	require.Contains(t, body, `from £20.00`)
	require.Contains(t, body, `<span class="name" dir="auto">حذاء</span>`)
	require.Contains(t, string(servetest.Do(t, rt, "GET", "/search", "", nil).Body), `href="/products/boot"`)
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
