package main

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestOrderPage: an order is shown with what every service knows of it, and
// without what one that is away would tell.
func TestOrderPage(t *testing.T) {
	t.Parallel()
	d := setup(t)
	id := uuid.New()
	money := map[string]any{"amount_minor": 4397, "currency": "GBP"}
	o := map[string]any{
		"id": id, "account_id": uuid.New(), "number": "S-1234567890", "status": "confirmed", "email": "ada@example.test", "total": money,
		"history": []any{map[string]any{"status": "pending"}, map[string]any{"status": "confirmed"}},
		"lines":   []any{map[string]any{"sku": "TEE-M", "name": "Tee", "quantity": 2}},
	}
	const read = "GET /api/v1/admin/orders/{id}"
	servetest.Neighbour(t, d.rt, "orders", read, servetest.Answers(servetest.Like(t, "orders", read, o)))
	servetest.Neighbour(t, d.rt, "mail", "GET /api/v1/admin/mail", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("order_id") != id.String() {
			t.Errorf("mails are asked for by %s", r.URL.RawQuery)
		}
		if r.Header.Get("Authorization") != "Bearer "+d.token || r.Header.Get("X-Real-Ip") != "192.0.2.10" {
			t.Errorf("mails are asked for as %v", r.Header)
		}
		servetest.Answers(map[string]any{"items": []any{}, "next_cursor": nil})(w, r)
	})
	servetest.Neighbour(t, d.rt, "inventory", "GET /api/v1/admin/inventory/order-holds/{order_id}",
		servetest.Refuses(problem.New(problem.NotFound, "hold-not-found", "There is no such hold")))

	res := d.get("/admin/orders/" + id.String()) // payments is away
	require.Equal(t, 200, res.Status, "%s", res.Body)
	require.Contains(t, string(res.Body), "S-1234567890")
	require.Contains(t, string(res.Body), "TEE-M")

	pay := "GET /api/v1/admin/payments/{order_id}"
	servetest.Neighbour(t, d.rt, "payments", pay, servetest.Answers(servetest.Like(t, "payments", pay, map[string]any{
		"order_id": id, "state": "captured", "provider": "sandbox", "provider_ref": "ch_7", "amount": money, "captured": money,
		"refunded": map[string]any{"amount_minor": 0, "currency": "GBP"}, "left": money,
	})))
	require.Contains(t, string(d.get("/admin/orders/"+id.String()).Body), "ch_7")

	servetest.Neighbour(t, d.rt, "orders", read, servetest.Refuses(problem.New(problem.NotFound, "order-not-found", "There is no such order")))
	require.Equal(t, 404, d.get("/admin/orders/"+id.String()).Status)
	servetest.Neighbour(t, d.rt, "orders", read, servetest.IsAway)
	require.Equal(t, 503, d.get("/admin/orders/"+id.String()).Status)
}

// TestOrdersFile: what a carrier wants to know is in the file of orders, and no cell is a formula.
func TestOrdersFile(t *testing.T) {
	t.Parallel()
	d := setup(t)
	const list = "GET /api/v1/admin/orders"
	order := func(weights ...int) map[string]any {
		var lines []any
		for _, w := range weights {
			lines = append(lines, map[string]any{"sku": "TEE", "quantity": 2, "weight_grams": w})
		}
		return map[string]any{"id": uuid.New(), "account_id": uuid.New(), "lines": lines, "address": map[string]any{
			"name": "=Ada", "line1": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA", "country": "GB",
		}}
	}
	servetest.Neighbour(t, d.rt, "orders", list, servetest.Answers(servetest.Like(t, "orders", list, map[string]any{
		"items": []any{order(180, 20), order(180, 0)}, "next_cursor": nil,
	})))
	file, marked := strings.CutPrefix(string(d.get("/admin/orders.csv").Body), "\ufeff")
	require.True(t, marked, "spreadsheets take it for UTF-8")
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	require.NoError(t, err)
	cell := func(row int, name string) string { return rows[row][slices.Index(rows[0], name)] }
	require.Equal(t, []string{"'=Ada", "1 High Street", "Leeds", "LS1 1AA", "GB", "400"}, []string{
		cell(1, "Name"), cell(1, "Address"), cell(1, "City"), cell(1, "Postal code"), cell(1, "Country"), cell(1, "Weight in grams"),
	})
	require.Empty(t, cell(2, "Weight in grams"), "a part is not the whole")
}

// TestReship: what was said of a parcel is corrected in a form that has it already.
func TestReship(t *testing.T) {
	t.Parallel()
	d := setup(t)
	id := uuid.New()
	const correct = "PUT /api/v1/admin/orders/{id}/shipment"
	o := map[string]any{"id": id, "account_id": uuid.New(), "status": "shipped",
		"shipment": map[string]any{"carrier": "DHL", "tracking_number": "1", "tracking_url": "https://carrier.example/1"}}
	servetest.Neighbour(t, d.rt, "orders", "GET /api/v1/admin/orders/{id}",
		servetest.Answers(servetest.Like(t, "orders", "GET /api/v1/admin/orders/{id}", o)))
	at := "/admin/orders/" + id.String() + "/shipment"
	require.Contains(t, string(d.get(at).Body), `value="DHL"`)

	var sent map[string]string
	servetest.Neighbour(t, d.rt, "orders", correct, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		servetest.Answers(servetest.Like(t, "orders", correct, o))(w, r)
	})
	res := d.post(at, url.Values{"carrier": {"DHL"}, "tracking_number": {"2"}})
	require.Equal(t, 303, res.Status, "%s", res.Body)
	require.Equal(t, map[string]string{"carrier": "DHL", "tracking_number": "2"}, sent)

	servetest.Neighbour(t, d.rt, "orders", correct, servetest.Refuses(problem.New(problem.Conflict, "order-not-shipped", "It has arrived")))
	res = d.post(at, url.Values{"carrier": {"DHL"}, "tracking_number": {"3"}})
	require.Equal(t, 409, res.Status)
	require.Contains(t, string(res.Body), `value="3"`)
}

// TestShip: an order is shipped once; a refusal is told in the form, which
// keeps what was typed, and so is an answer that was lost.
func TestShip(t *testing.T) {
	t.Parallel()
	d := setup(t)
	id := uuid.New()
	const ship = "POST /api/v1/admin/orders/{id}/shipment"
	var sent []map[string]string
	servetest.Neighbour(t, d.rt, "orders", "GET /api/v1/admin/orders/{id}",
		servetest.Answers(servetest.Like(t, "orders", "GET /api/v1/admin/orders/{id}", map[string]any{"id": id, "account_id": uuid.New(), "status": "confirmed"})))
	shipped := func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		_ = json.NewDecoder(r.Body).Decode(&in)
		sent = append(sent, in)
		servetest.Answers(servetest.Like(t, "orders", ship, map[string]any{"id": id, "account_id": uuid.New(), "status": "shipped"}))(w, r)
	}
	form := func() url.Values {
		return url.Values{"carrier": {"Royal Mail"}, "tracking_number": {"RM 1"}}
	}
	at := "/admin/orders/" + id.String() + "/ship"

	servetest.Neighbour(t, d.rt, "orders", ship, shipped)
	res := d.post(at, form())
	require.Equal(t, 303, res.Status, "%s", res.Body)
	require.Contains(t, res.Header.Get("Location"), "/admin/orders/"+id.String())
	require.Equal(t, []map[string]string{{"carrier": "Royal Mail", "tracking_number": "RM 1"}}, sent)

	servetest.Neighbour(t, d.rt, "orders", ship, servetest.Refuses(problem.New(problem.Conflict, "order-not-shippable", "Only a confirmed order can be shipped")))
	res = d.post(at, form())
	require.Equal(t, 409, res.Status)
	require.Contains(t, string(res.Body), "Only a confirmed order can be shipped")
	require.Contains(t, string(res.Body), "RM 1")

	require.Equal(t, 409, d.get("/admin/orders/"+id.String()+"/shipment").Status, "it is not on its way")

	sent = nil
	servetest.Neighbour(t, d.rt, "orders", ship, servetest.HangsUp(shipped))
	res = d.post(at, form())
	require.Equal(t, 503, res.Status)
	require.Len(t, sent, 1, "a change is sent once")
	require.Contains(t, string(res.Body), "RM 1")
}

// TestRefusedVariant: what products refuses of a variant is told in its own row
// and column.
func TestRefusedVariant(t *testing.T) {
	t.Parallel()
	d := setup(t)
	typed := url.Values{
		"name": {"Tee"}, "options": {"Size, Colour"}, "v.0.sku": {""},
		"v.1.sku": {"TEE"}, "v.1.o.0": {"M"}, "v.1.o.1": {"Blue"}, "v.1.price": {"12.50"},
	}
	for location, column := range map[string]string{
		"sku": "sku", "options.Size": "o-0", "options.Colour": "o-1", "price": "price", "price.amount_minor": "price",
		"max_per_shopper": "max", "initial_stock": "initial",
	} {
		servetest.Neighbour(t, d.rt, "products", "POST /api/v1/admin/products",
			servetest.Refuses(problem.InvalidField("body.variants[0]."+location, problem.CodeTooLong, "is too long")))
		res := d.post("/admin/products/new", typed)
		require.Equal(t, 422, res.Status, location)
		require.Equal(t, 1, strings.Count(string(res.Body), `class="why"`), location)
		require.Contains(t, string(res.Body), `id="f-v-1-`+column+`-why"`, location)
	}
}

// TestSlowList: a list whose service is silent is a page all the same.
func TestSlowList(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.rt.Dapr.SetCallTimeout(50 * time.Millisecond)
	servetest.Neighbour(t, d.rt, "orders", "GET /api/v1/admin/orders", servetest.IsSilent(nil))
	res := d.get("/admin/orders")
	require.Equal(t, 503, res.Status)
	require.Contains(t, string(res.Body), "<h1>Orders</h1>")
	d.rt.Dapr.SetCallTimeout(dapr.CallTimeout)
	servetest.Neighbour(t, d.rt, "orders", "GET /api/v1/admin/orders", servetest.Answers(servetest.Like(t, "orders", "GET /api/v1/admin/orders",
		map[string]any{"items": []any{map[string]any{"id": uuid.New(), "account_id": uuid.New(), "number": "S-1234567890", "email": "ada@example.test"}}})))
	res = d.get("/admin/orders")
	require.Equal(t, 200, res.Status)
	require.Contains(t, string(res.Body), "S-1234567890")
}
