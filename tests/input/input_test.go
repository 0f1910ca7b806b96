// Package input sends what no well-meaning client sends: every route gets it, and answers with a 4xx problem, or does what
// it was literally asked; never a 5xx, and nothing of what was refused has happened.
package input

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

const nobodys = "01890000-0000-7000-8000-000000000000"

type object = map[string]any

// bench is one shop with something of everything.
type bench struct {
	s        *shop.Shop
	ann, ops *shop.Client
	lamp     *shop.Product
	order    shop.Order
	address  shop.Address
	paths    map[string]string // what names in paths stand for, by app and name
	bodies   map[string]object // a good body for each route that takes one
}

func setup(t *testing.T) *bench {
	s := shop.Open(t)
	b := &bench{s: s, ann: s.Register(t), ops: s.Admin(t), lamp: s.NewProduct(t, 1_000, 100)}
	b.order = b.ann.Bought(t, b.lamp, 1)
	b.address = shop.Read[shop.Address](t, b.ann.Do(t, "POST", "/api/v1/users/me/addresses", shop.Home).OK(t, 201))
	category := "lamps-" + shop.Random()
	b.ops.Do(t, "POST", "/api/v1/admin/products/categories", object{"name": category, "slug": category}).OK(t, 201)
	units := []any{object{"sku": b.lamp.SKU, "units": 1, "limit": 1}}
	drop := object{"title": "Lamps", "preset": "first-come", "zone": "UTC", "lots": units,
		"opens_at": "2040-01-01T10:00:00Z", "closes_at": "2040-01-02T10:00:00Z"}
	named := maps.Clone(drop)
	named["slug"] = "lamps-" + shop.Random()
	draft := shop.Read[struct{ ID string }](t, b.ops.Do(t, "POST", "/api/v1/admin/drops", named).OK(t, 201)).ID
	b.paths = map[string]string{
		"account_id": b.ann.Account, "order_id": b.order.ID, "sku": b.lamp.SKU, "slug": b.lamp.Slug, "image_id": nobodys, "id": nobodys,
		"event_id": nobodys, "holder": "account:" + b.ann.Account, "auth account_id": s.Register(t).Account, // suspended by the way
		"kind": "welcome", "provider": "sandbox", "code": "NONE", "category": category, "orders id": b.order.ID, "users id": b.address.ID, "products id": b.lamp.ID,
		"drops id": draft, "idx": "0",
	}
	home := object{"name": "Ann Lee", "line1": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA", "country": "GB"}
	pence := object{"amount_minor": 1_399, "currency": "GBP"}
	b.bodies = map[string]object{
		"POST /api/v1/auth/register":                     {"email": "x-" + shop.Random() + "@example.test", "password": "a-long-password", "first_name": "Ann", "last_name": "Lee"},
		"POST /api/v1/auth/verify-email":                 {"email": "nobody@example.test", "code": "123456"},
		"POST /api/v1/auth/verify-email/code":            {"email": "nobody@example.test"},
		"POST /api/v1/auth/login":                        {"email": "nobody-" + shop.Random() + "@example.test", "password": "a-long-password"},
		"POST /api/v1/auth/refresh":                      {"refresh_token": "nothing"},
		"POST /api/v1/auth/logout":                       {"refresh_token": "nothing"},
		"POST /api/v1/auth/password/forgot":              {"email": "nobody@example.test"},
		"POST /api/v1/auth/password/reset":               {"email": "nobody@example.test", "code": "123456", "new_password": "a-long-password"},
		"POST /api/v1/auth/password/change":              {"password": "not-the-password", "new_password": "a-long-password"},
		"POST /api/v1/auth/email/change":                 {"password": "not-the-password", "email": "nobody@example.test"},
		"POST /api/v1/auth/email/verify":                 {"code": "123456"},
		"POST /api/v1/auth/deletion":                     {"password": "not-the-password"},
		"PATCH /api/v1/users/me":                         {"first_name": "Ann", "last_name": "Lee", "phone": "+442079460000"},
		"POST /api/v1/users/me/addresses":                home,
		"PUT /api/v1/users/me/addresses/{id}":            home,
		"PUT /api/v1/cart/items/{sku}":                   {"quantity": 1},
		"POST /api/v1/orders":                            {"address": home, "payment_method": shop.Visa, "expected_total": pence},
		"POST /api/v1/orders/{id}/cancellation":          {"reason": "Why not"},
		"PUT /api/v1/orders/{id}/address":                home,
		"PUT /api/v1/admin/orders/{id}/address":          home,
		"POST /api/v1/stock-requests":                    {"sku": b.lamp.SKU, "email": "nobody@example.test"},
		"POST /api/v1/admin/products/pages":              {"title": "Returns", "body": "# Back", "published": false, "foot": 0},
		"PUT /api/v1/admin/products/pages/{slug}":        {"title": "Returns", "body": "# Back", "published": false, "version": 1},
		"POST /api/v1/admin/products/pages/preview":      {"body": "# Back"},
		"POST /api/v1/admin/products":                    {"name": "Lamp", "description": "<p>x</p>", "tags": []any{"a"}, "variants": []any{object{"sku": "X-" + shop.Random(), "price": pence, "initial_stock": 1}}},
		"PATCH /api/v1/admin/products/{id}":              {"name": "Lamp", "version": 1},
		"PUT /api/v1/admin/products/{id}/images":         {"images": []any{object{"id": nobodys, "alt": "A lamp"}}, "version": 1},
		"PUT /api/v1/admin/products/synonyms":            {"groups": []any{[]any{"x-" + shop.Random(), "y-" + shop.Random()}}},
		"POST /api/v1/admin/products/categories":         {"name": "Chairs " + shop.Random(), "slug": "chairs-" + shop.Random()},
		"PATCH /api/v1/admin/products/categories/{slug}": {"name": category},
		"POST /api/v1/admin/inventory/{sku}/movements":   {"delta": 1, "reason": "Found one"},
		"PUT /api/v1/admin/inventory/{sku}/low-at":       {"low_at": 5},
		"POST /api/v1/admin/orders/{id}/shipment":        {"carrier": "Royal Mail", "tracking_number": "1"},
		"PUT /api/v1/admin/orders/{id}/shipment":         {"carrier": "Royal Mail", "tracking_number": "1"},
		"POST /api/v1/admin/orders/{id}/cancellation":    {"reason": "Why not"},
		"POST /api/v1/admin/payments/{order_id}/refunds": {"amount": object{"amount_minor": 1, "currency": "GBP"}, "reason": "A scratch"},
		"POST /api/v1/payments/webhooks/{provider}":      nil, // signed bytes: TestWebhook
		"POST /api/v1/admin/drops":                       named,
		"PUT /api/v1/admin/drops/{id}":                   drop,
		"PUT /api/v1/admin/drops/{id}/rate":              {"calls_per_s": 5},
		"PUT /api/v1/admin/drops/{id}/units/{sku}":       {"units": 2},
		"PUT /api/v1/admin/drops/{id}/message":           {"message": "Soon"},
		"PUT /api/v1/admin/drops/{id}/exclusions/{idx}":  {"reason": "Sells places"},
		"POST /api/v1/drops/{slug}/entry":                {"skus": []any{b.lamp.SKU}, "quantity": 1},
		"POST /api/v1/drops/{slug}/entry/more-time":      {"sku": b.lamp.SKU},
		"POST /api/v1/drops/{slug}/claim":                nil, // refused by its ticket before it is read: the service's own tests

		"POST /api/v1/admin/auth/accounts/{account_id}/suspension": {"reason": "Sells tickets"},
	}
	return b
}

func (b *bench) path(t *testing.T, r shop.Route, values map[string]string) string {
	t.Helper()
	all := maps.Clone(b.paths)
	for _, name := range []string{"id", "account_id"} {
		if id, ok := b.paths[r.App+" "+name]; ok {
			all[name] = id
		}
	}
	if strings.Contains(r.Path, "/categories/") {
		all["slug"] = b.paths["category"]
	}
	maps.Copy(all, values)
	path := r.Fill(all)
	require.NotContains(t, path, "{", "say in setup what stands for it")
	return path
}

// as is who may call the route.
func (b *bench) as(r shop.Route) *shop.Client {
	switch {
	case r.Admin:
		return b.ops
	case r.User, r.App == "carts":
		return b.ann
	}
	return b.s.Nobody()
}

func (b *bench) send(t *testing.T, r shop.Route, path string, body any) *shop.Answer {
	t.Helper()
	return b.as(r).Do(t, r.Method, path, body, "Idempotency-Key", shop.Random())
}

// refused demands a 4xx problem of one of some kinds. The rest is checked for every answer.
func refused(t *testing.T, a *shop.Answer, what string, statuses ...int) {
	t.Helper()
	require.Contains(t, statuses, a.Status, "%s: %s: %.500s", a.Request, what, a.Body)
}

// harmless demands that an answer is not a failure of ours.
func harmless(t *testing.T, a *shop.Answer, what string) {
	t.Helper()
	require.Less(t, a.Status, 500, "%s: %s: %.500s", a.Request, what, a.Body)
}

func js(t *testing.T, v any) shop.Raw {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return shop.Raw{Type: "application/json", Body: text}
}

// TestBodies sends bad bodies to every route that takes one.
func TestBodies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, r := range b.s.Routes(t) {
		if !r.Body {
			continue
		}
		good, known := b.bodies[r.Name()]
		require.True(t, known, "say in setup what a good body of %s is", r.Name())
		if good == nil {
			continue
		}
		t.Run(name(r), func(t *testing.T) {
			path := b.path(t, r, nil)
			raw := func(body string) shop.Raw { return shop.Raw{Type: "application/json", Body: []byte(body)} }
			for _, body := range []string{`{`, `{"a":`, `{]`, `nope`, `{"a":1}{"b":2}`, `{"a":1,}`, "{\"a\":\"\x01\"}", "\x00"} {
				refused(t, b.send(t, r, path, raw(body)), "malformed "+body, 400)
			}
			refused(t, b.send(t, r, path, raw("{\"email\":\"\xff\xfe\",\"reason\":\"\xff\"}")), "invalid UTF-8", 400)
			for _, body := range []string{`[]`, `"text"`, `1`, `true`, `[[[[]]]]`} {
				refused(t, b.send(t, r, path, raw(body)), "no object "+body, 400, 422)
			}
			refused(t, b.send(t, r, path, raw(strings.Repeat(`[`, 100_000))), "deep", 400, 422)
			refused(t, b.send(t, r, path, raw(`{"a":"`+strings.Repeat("x", 2<<20)+`"}`)), "2 MB", 413)

			unknown := maps.Clone(good)
			unknown["surprise"] = 1
			refused(t, b.send(t, r, path, js(t, unknown)), "unknown field", 422)
			unknown = maps.Clone(good)
			unknown["account_id"] = nobodys
			refused(t, b.send(t, r, path, js(t, unknown)), "unknown field", 422)

			walk(good, func(where string, was any, with func(v any) object) {
				for _, v := range wrongTypes(was) {
					refused(t, b.send(t, r, path, js(t, with(v))), fmt.Sprintf("%s is %v", where, v), 422)
				}
				for _, v := range hostile(was) {
					what := fmt.Sprintf("%s is %.60q", where, v)
					a := b.send(t, r, path, js(t, with(v)))
					harmless(t, a, what)
					if text, ok := v.(string); ok && len(text) >= 10_000 && where != "description" && where != "body" {
						refused(t, a, what, 400, 401, 404, 413, 422)
					}
				}
				switch was.(type) {
				case int:
					for _, huge := range []string{"1e400", "99999999999999999999999999", "-99999999999999999999", "1.5"} {
						mark := "1234567890123"
						body := strings.Replace(string(js(t, with(json.Number(mark))).Body), mark, huge, 1)
						refused(t, b.send(t, r, path, raw(body)), where+" is "+huge, 400, 422)
					}
				}
			})
		})
	}
	b.unchanged(t)
}

// unchanged looks whether any of it has come through.
func (b *bench) unchanged(t *testing.T) {
	t.Helper()
	o := shop.Get[shop.Order](t, b.ops, "/api/v1/admin/orders/"+b.order.ID)
	require.Equal(t, b.order.Lines, o.Lines)
	require.Equal(t, b.order.Totals, o.Totals)
	page := shop.Get[shop.Product](t, b.ops, "/api/v1/admin/products/"+b.lamp.ID)
	require.Equal(t, "published", page.Status)
	require.GreaterOrEqual(t, b.lamp.Stock(t).Available, 0)
	b.lamp.Ledger(t)
}

// walk goes through all values of a body; with returns a copy that has another value there.
func walk(good object, visit func(where string, was any, with func(v any) object)) {
	for _, key := range slices.Sorted(maps.Keys(good)) {
		replace := func(v any) object {
			c := maps.Clone(good)
			c[key] = v
			return c
		}
		visit(key, good[key], replace)
		switch inner := good[key].(type) {
		case object:
			walk(inner, func(where string, was any, with func(v any) object) {
				visit(key+"."+where, was, func(v any) object { return replace(with(v)) })
			})
		case []any:
			if first, ok := inner[0].(object); ok {
				walk(first, func(where string, was any, with func(v any) object) {
					visit(key+"[0]."+where, was, func(v any) object { return replace([]any{with(v)}) })
				})
			}
		}
	}
}

func wrongTypes(was any) []any {
	switch was.(type) {
	case string:
		return []any{1, true, []any{}, object{}}
	case int:
		return []any{"one", true, []any{}, object{}}
	case object:
		return []any{1, "text", true, []any{1}, object{"surprise": 1}}
	default:
		return []any{1, "text", object{"a": 1}}
	}
}

func hostile(was any) []any {
	switch was.(type) {
	case string:
		return []any{
			"", " ", strings.Repeat("x", 10_000), strings.Repeat("é", 10_000), "'; DROP TABLE orders; --", `" OR 1=1 --`, "<script>alert(1)</script>",
			"a\x00b", "a\nb", "a\r\nBcc: all@example.test", "\u202e\u200b\ufeff", "{{.}}", "${7*7}", "../../etc/passwd", "%00", "\U0001F4A9",
			"EUR", "XXX", "gbp", "null", "-1", "💡" + strings.Repeat("\u0301", 500),
		}
	case int:
		return []any{-1, 0, -1 << 31, 1 << 31, 1<<53 + 1, 1<<63 - 1, -1 << 63}
	}
	return []any{nil}
}

// TestQueries sends bad query parameters to every route that takes some.
func TestQueries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, r := range b.s.Routes(t) {
		if r.Method != "GET" || len(r.Query) == 0 {
			continue
		}
		t.Run(name(r), func(t *testing.T) {
			path := b.path(t, r, nil)
			ask := func(key, raw string) *shop.Answer { return b.send(t, r, path+"?"+key+"="+raw, nil) }
			for _, q := range r.Query {
				switch {
				case q.Name == "cursor":
					for _, bad := range []string{"forged", "e30", "e30.e30", strings.Repeat("x", 1_500), "%F0%9F%92%A9", "null"} {
						refused(t, ask("cursor", bad), "cursor "+bad, 422)
					}
				case q.Type == "integer":
					for _, bad := range []string{"x", "-1", "99999999999999999999999", "1.5", "NaN", "0x10", "1%00"} {
						refused(t, ask(q.Name, bad), q.Name+" "+bad, 400, 422)
					}
				case q.Type == "boolean":
					refused(t, ask(q.Name, "maybe"), q.Name, 422)
				}
				for _, any := range []string{"%FF%FE", "%00", "a%00b"} {
					refused(t, ask(q.Name, any), q.Name+" "+any, 400, 422)
				}
				for _, any := range []string{"%27%3B%20DROP%20TABLE%20orders%3B%20--", "%3Cscript%3E", "%25%25", "%5C", "%F0%9F%92%A9", "%E2%80%AE", "(((", "%22", "*", "%21%26%7C", "%3A%2A"} {
					harmless(t, ask(q.Name, any), q.Name+" "+any)
				}
				long := ask(q.Name, strings.Repeat("x", 10_000))
				refused(t, long, q.Name+" of 10,000 characters", 400, 413, 414, 422, 431)
			}
			// A cursor of another list, and one that is altered.
			if slices.ContainsFunc(r.Query, func(p shop.Parameter) bool { return p.Name == "limit" }) {
				refused(t, ask("limit", "0"), "limit 0", 422)
				refused(t, ask("limit", "101"), "limit 101", 422)
				first := shop.Read[shop.List[json.RawMessage]](t, ask("limit", "1").OK(t, 200))
				require.LessOrEqual(t, len(first.Items), 1)
				if first.NextCursor != nil {
					cursor := []byte(*first.NextCursor)
					cursor[len(cursor)/4] ^= 1
					refused(t, ask("cursor", url.QueryEscape(string(cursor))), "altered cursor", 422)
				}
			}
		})
	}
}

// TestCursors takes a cursor of every list that has a second page to every other list, and to its own in another order,
// with another filter and by another shopper: it belongs to none of them.
func TestCursors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ann.Bought(t, b.lamp, 1) // a second order
	b.s.NewProduct(t, 1_000, 100)
	b.ann.Do(t, "POST", "/api/v1/auth/login", object{"email": b.ann.Email, "password": b.ann.Password}).OK(t, 200)
	cursors := map[string]string{}
	var lists []shop.Route
	for _, r := range b.s.Routes(t) {
		if r.Method != "GET" || !slices.ContainsFunc(r.Query, func(q shop.Parameter) bool { return q.Name == "cursor" }) {
			continue
		}
		lists = append(lists, r)
		path := b.path(t, r, nil)
		if next := shop.Read[shop.List[json.RawMessage]](t, b.send(t, r, path+"?limit=1", nil).OK(t, 200)).NextCursor; next != nil {
			cursors[r.Name()] = url.QueryEscape(*next)
			b.send(t, r, path+"?limit=2&cursor="+cursors[r.Name()], nil).OK(t, 200) // more at a time, with its own
		}
	}
	for _, own := range []string{
		"orders", "auth/login-history", "products", "admin/products", "admin/orders", "admin/users", "admin/auth/accounts", "admin/mail",
	} {
		require.Contains(t, cursors, "GET /api/v1/"+own)
	}
	for _, r := range lists {
		path := b.path(t, r, nil)
		for from, cursor := range cursors {
			if from != r.Name() {
				refused(t, b.send(t, r, path+"?cursor="+cursor, nil), "a cursor of "+from, 422)
			}
		}
		cursor, ok := cursors[r.Name()]
		if !ok {
			continue
		}
		for _, q := range r.Query {
			switch {
			case q.Name == "sort":
				refused(t, b.send(t, r, path+"?sort=oldest&cursor="+cursor, nil), "another order", 422)
			case q.Name == "q":
				refused(t, b.send(t, r, path+"?q=lamp&cursor="+cursor, nil), "another filter", 422)
			}
		}
		if r.User && !r.Admin {
			stranger := b.s.Register(t)
			refused(t, stranger.Do(t, "GET", path+"?cursor="+cursor, nil), "another shopper's", 422)
		}
	}
}

// TestPaths puts bad values into the paths of every route.
func TestPaths(t *testing.T) {
	t.Parallel()
	b := setup(t)
	names := regexp.MustCompile(`\{([a-z_]+)\}`)
	for _, r := range b.s.Routes(t) {
		found := names.FindAllStringSubmatch(r.Path, -1)
		if found == nil || r.Path == "/api/v1/payments/webhooks/{provider}" {
			continue
		}
		t.Run(name(r), func(t *testing.T) {
			var body any
			if good := b.bodies[r.Name()]; good != nil {
				body = good
			}
			for _, n := range found {
				for _, bad := range []string{
					"%27%3B%20DROP%20TABLE%20orders%3B--", "%3Cscript%3E", strings.Repeat("x", 300), "%FF%FE", "%F0%9F%92%A9", "-1", "null", "0",
					"99999999999999999999", "%20", "..", "%2e%2e", "a%2Fb", "%00", "a%0Ab", "%E2%80%AE",
				} {
					a := b.send(t, r, b.path(t, r, map[string]string{n[1]: bad}), body)
					statuses := []int{400, 404, 405, 414, 422}
					if strings.HasSuffix(r.Path, "/pages/{slug}") {
						statuses = append(statuses, 200, 204, 409) // TestBodies may just have made a page of such a title
					}
					if strings.HasSuffix(r.Path, "/claim") {
						statuses = append(statuses, 403) // without a ticket
					}
					refused(t, a, n[1]+" "+bad, statuses...)
				}
			}
		})
	}
	b.unchanged(t)
}

// TestQuantities is about how many of something anybody may want.
func TestQuantities(t *testing.T) {
	t.Parallel()
	b := setup(t)
	guest := b.s.Guest()
	for _, bad := range []any{-1, 21, 1_000_000, -1 << 31, 1<<63 - 1, 1.5, "1", nil, true} {
		guest.PutAny(t, b.lamp.SKU, bad).Refused(t, 422, "invalid")
	}
	guest.PutAny(t, "NO-SUCH-SKU", 1).Refused(t, 404, "product-not-found")
	draft := b.s.Draft(t, 1_000, 5)
	guest.PutAny(t, draft.SKU, 1).Refused(t, 404, "product-not-found")
	b.s.Nobody().Do(t, "GET", "/api/v1/products/"+draft.Slug, nil).Refused(t, 404, "product-not-found")
	require.Empty(t, guest.Cart(t).Lines)
	for _, session := range []string{"short", strings.Repeat("x", 129)} {
		(&shop.Client{Shop: b.s, Session: session}).Do(t, "GET", "/api/v1/cart", nil).Refused(t, 422, "invalid")
	}
	b.s.Nobody().Do(t, "GET", "/api/v1/cart", nil).Refused(t, 400, "cart-session-required")
	b.s.Nobody().PutAny(t, b.lamp.SKU, 1).Refused(t, 400, "cart-session-required")
	guest.Do(t, "GET", "/api/v1/cart?country=XX", nil).Refused(t, 422, "invalid")
	guest.Do(t, "GET", "/api/v1/cart?country=gb", nil).Refused(t, 422, "invalid")

	// Movements: not more than there is, not 0, not without a key; the same key once.
	move := func(key string, delta any) *shop.Answer {
		return b.ops.Do(t, "POST", "/api/v1/admin/inventory/"+b.lamp.SKU+"/movements", object{"delta": delta, "reason": "Counted"}, "Idempotency-Key", key)
	}
	had := b.lamp.Stock(t).OnHand
	for _, bad := range []any{0, "1", 1.5, nil, 1 << 40, -1 << 40} {
		move(shop.Random(), bad).Refused(t, 422, "invalid")
	}
	a := move(shop.Random(), -had-1)
	require.Equal(t, 409, a.Status, "%s", a.Body)
	b.ops.Do(t, "POST", "/api/v1/admin/inventory/"+b.lamp.SKU+"/movements", object{"delta": 1, "reason": "x"}).Refused(t, 400, "idempotency-key-required")
	move(strings.Repeat("k", 256), 1).Refused(t, 422, "invalid")
	key := shop.Random()
	move(key, 5).OK(t, 201)
	move(key, 5).OK(t, 201)
	move(key, 6).Refused(t, 422, "idempotency-key-reused")
	require.Equal(t, had+5, b.lamp.Stock(t).OnHand)
	require.Equal(t, "movement", b.lamp.Ledger(t)[0].Kind)
}

// TestMethods asks for paths that are there in ways that are not.
func TestMethods(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct{ method, path string }{
		{"DELETE", "/api/v1/products"}, {"POST", "/api/v1/products/" + b.lamp.Slug}, {"PUT", "/api/v1/orders"}, {"PATCH", "/api/v1/cart"},
		{"GET", "/api/v1/auth/login"}, {"TRACE", "/api/v1/products"}, {"PROPFIND", "/api/v1/products"}, {"DELETE", "/api/v1/orders/" + b.order.ID},
	} {
		a := b.ann.Do(t, c.method, c.path, nil)
		require.Contains(t, []int{404, 405}, a.Status, "%s: %s", a.Request, a.Body)
	}
	for _, path := range []string{"/api/v1/nothing", "/api/v2/products", "/api/v1/products/x/y/z", "/api"} {
		b.ann.Do(t, "GET", path, nil).OK(t, 404)
	}
	// Another kind of body than JSON.
	for _, kind := range []string{"text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		a := b.s.Nobody().Do(t, "POST", "/api/v1/auth/login", shop.Raw{Type: kind, Body: []byte("email=a&password=b")})
		require.Contains(t, []int{400, 415, 422}, a.Status, "%s: %s", kind, a.Body)
	}
}

// TestHTML keeps what looks like code as the text that it is.
func TestHTML(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const text = `<b>Robert'); DROP TABLE orders;--</b> & "Söhne" {{.Code}}`
	home := shop.Home
	home.Name, home.City = text, text
	kept := shop.Read[shop.Address](t, b.ann.Do(t, "POST", "/api/v1/users/me/addresses", home).OK(t, 201))
	require.Equal(t, text, kept.Name)
	b.ann.Put(t, b.lamp, 1)
	order := shop.Read[shop.Order](t, b.ann.Place(t, shop.Random(), shop.OrderRequest{AddressID: kept.ID, PaymentMethod: shop.Visa, ExpectedTotal: b.ann.Cart(t).Total}).OK(t, 201))
	require.Equal(t, text, order.Address.City)
	b.ann.Await(t, order.ID, "confirmed")
	mail := b.ann.AwaitMail(t, "Your order "+order.Number+" is confirmed", 1)
	mail.Shows(t, "&lt;b&gt;Robert")
	require.NotContains(t, mail.HTML, "<b>Robert")

	// A description is HTML, and loses what could do harm.
	p := shop.Read[struct {
		Description string `json:"description"`
	}](t, b.ops.Do(t, "POST", "/api/v1/admin/products", object{
		"name": text, "slug": "html-" + shop.Random(), "description": `<p onclick="x()">Good<script>alert(1)</script><img src=x onerror=y><a href="javascript:z">w</a></p>`,
	}).OK(t, 201))
	require.Contains(t, p.Description, "Good")
	for _, bad := range []string{"script", "onclick", "onerror", "javascript"} {
		require.NotContains(t, p.Description, bad)
	}
}

var odd = regexp.MustCompile(`[^A-Za-z0-9_]+`)

func name(r shop.Route) string { return strings.Trim(odd.ReplaceAllString(r.Name(), "_"), "_") }
