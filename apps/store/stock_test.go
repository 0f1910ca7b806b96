package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestStock: state, words and how many can be chosen follow from one thing, so they are true together.
func TestStock(t *testing.T) {
	t.Parallel()
	n := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		inStock   bool
		available *int64
		want      stock
	}{
		{false, nil, stock{"out", "Sold out", "Sold out", 0}},
		{false, n(0), stock{"out", "Sold out", "Sold out", 0}},
		{true, nil, stock{"in", "In stock", "", 10}},
		{true, n(1), stock{"low", "Only 1 left", "1 left", 1}},
		{true, n(5), stock{"low", "Only 5 left", "5 left", 5}},
		{true, n(6), stock{"in", "In stock", "", 6}},
		{true, n(1_000), stock{"in", "In stock", "", 10}},
	} {
		require.Equal(t, c.want, stockOf(c.inStock, c.available))
	}
	require.Equal(t, 2, variant{InStock: true, Available: n(7), MaxPerShopper: 2}.Stock().Most)
	require.Equal(t, "In stock", summary{InStock: true, Available: n(2), VariantCount: 3}.Stock().Text, "the number is the first variant's")
	require.Equal(t, "Only 2 left", summary{InStock: true, Available: n(2), VariantCount: 1}.Stock().Text)
}

// TestLineQuantities: a list of quantities in the cart offers what the cart may have, and no more than that.
func TestLineQuantities(t *testing.T) {
	t.Parallel()
	n := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		line   cartLine
		most   int
		lacks  bool
		others string
	}{
		{cartLine{Quantity: 1}, 10, false, ""},
		{cartLine{Quantity: 12}, 12, false, ""},
		{cartLine{Quantity: 1, Available: n(2), Free: n(1)}, 2, false, "Only 1 left"},
		{cartLine{Quantity: 2, Available: n(2), Free: n(0)}, 2, false, "Sold out"},
		{cartLine{Quantity: 2, Available: n(2), Free: n(8)}, 2, false, "In stock"}, // its limit
		{cartLine{Quantity: 3, Available: n(1), Free: n(1)}, 1, true, "Only 1 left"},
		{cartLine{Quantity: 3, Available: n(0), Free: n(0)}, 0, true, "Sold out"},
		{cartLine{Quantity: 3, Available: n(90), Free: n(90)}, 10, false, "In stock"},
	} {
		require.Equal(t, c.most, c.line.Most())
		require.Equal(t, c.lacks, c.line.Lacks())
		if said := c.line.Others(); said != nil {
			require.Equal(t, c.others, said.Text)
		}
	}
}

// aProduct is one as products tells it, with a variant a size; each has so many pieces.
func aProduct(t *testing.T, available ...int64) json.RawMessage {
	t.Helper()
	price := map[string]any{"amount_minor": 1_000, "currency": "GBP"}
	var variants []any
	for i, n := range available {
		size := string(rune('A' + i))
		variants = append(variants, map[string]any{
			"sku": size, "name": size, "price": price, "available": n, "in_stock": n > 0, "max_per_shopper": 20,
			"options": map[string]string{"Size": size}, "image_url": nil,
		})
	}
	return servetest.Like(t, "products", "GET /api/v1/products/{slug}", map[string]any{
		"id": uuid.New(), "slug": "boot", "sku": "A", "name": "Boot", "price": price, "price_from": price, "price_to": price,
		"available": available[0], "in_stock": true, "variant_count": len(available), "options": []string{"Size"}, "variants": variants,
	})
}

var quantities = regexp.MustCompile(`(?s)<select[^>]*name="quantity">(.*?)</select>`)

// offered are the quantities that the first list of a page offers.
func offered(t *testing.T, body []byte) []string {
	t.Helper()
	list := quantities.FindSubmatch(body)
	require.NotNil(t, list, "%s", body)
	var all []string
	for _, o := range regexp.MustCompile(`<option(?: selected)?>(\d+)</option>`).FindAllSubmatch(list[1], -1) {
		all = append(all, string(o[1]))
	}
	return all
}

// TestProductStock: page, list and the numbers for the open page say the same; nobody is offered more than is left, also
// without a script, by which the list would follow the choice.
func TestProductStock(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	servetest.Neighbour(t, rt, "products", "GET /api/v1/products/{slug}", servetest.Answers(aProduct(t, 9, 2, 0)))
	page := servetest.Do(t, rt, "GET", "/products/boot", "", nil)
	require.Equal(t, http.StatusOK, page.Status, "%s", page.Body)
	require.Equal(t, []string{"1", "2"}, offered(t, page.Body), "of each of them there are two")
	require.Contains(t, string(page.Body), `data-state="low" data-text="Only 2 left" data-note="2 left" data-most="2"`)
	require.Contains(t, string(page.Body), `data-state="out" data-text="Sold out" data-note="Sold out" data-most="0"`)

	page = servetest.Do(t, rt, "GET", "/products/boot?option=Size:A", "", nil)
	require.Equal(t, "9", offered(t, page.Body)[8])
	require.Regexp(t, `(?s)id="stock"[^>]*>\s*<span class="dot in"></span> In stock\s*</p>`, string(page.Body))

	var live []map[string]any
	require.NoError(t, json.Unmarshal(servetest.Do(t, rt, "GET", "/products/boot/stock", "", nil).Body, &live))
	require.Equal(t, map[string]any{"sku": "B", "state": "low", "text": "Only 2 left", "note": "2 left", "most": 2.0}, live[1])
}

// TestCartStock: what the cart holds itself counts as there.
func TestCartStock(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	const read = "GET /api/v1/cart"
	money := func(minor int) map[string]any { return map[string]any{"amount_minor": minor, "currency": "GBP"} }
	show := func(line map[string]any) []byte {
		whole := map[string]any{"unit_price": money(100), "line_total": money(100), "sku": "LAMP", "name": "Lamp", "slug": "lamp"}
		for k, v := range line {
			whole[k] = v
		}
		servetest.Neighbour(t, rt, "carts", read, servetest.Answers(servetest.Like(t, "carts", read, map[string]any{
			"checkout_id": uuid.New(), "country": "GB", "lines": []any{whole}, "removed": []any{},
		})))
		return servetest.Do(t, rt, "GET", "/cart", "", nil, "Cookie", guestCookie).Body
	}
	held := show(map[string]any{"quantity": 2, "available": 2, "free": 0, "hold_expires_at": "2099-01-01T00:00:00Z"})
	require.Equal(t, []string{"1", "2"}, offered(t, held))
	require.NotContains(t, string(held), "left</span>")
	require.Contains(t, string(held), `data-sku="LAMP" data-state="out" data-text="Sold out"`, "to others, and to the product's page")
	lapsed := show(map[string]any{"quantity": 3, "available": 1, "free": 1, "hold_expires_at": nil})
	require.Equal(t, []string{"1"}, offered(t, lapsed))
	require.Contains(t, string(lapsed), "Only 1 left")
	require.Equal(t, 1, strings.Count(string(lapsed), "<option selected disabled>3</option>"))
}
