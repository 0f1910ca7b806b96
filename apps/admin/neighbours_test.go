package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
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

// TestForgottenOrder: an order whose customer has deleted the account says so, in the list, in its file and on its page.
func TestForgottenOrder(t *testing.T) {
	t.Parallel()
	d := setup(t)
	id := uuid.New()
	o := map[string]any{"id": id, "account_id": uuid.New(), "status": "delivered", "email": "", "forgotten": true}
	const list, read = "GET /api/v1/admin/orders", "GET /api/v1/admin/orders/{id}"
	servetest.Neighbour(t, d.rt, "orders", list, servetest.Answers(servetest.Like(t, "orders", list, map[string]any{
		"items": []any{o}, "next_cursor": nil,
	})))
	servetest.Neighbour(t, d.rt, "orders", read, servetest.Answers(servetest.Like(t, "orders", read, o)))
	for _, path := range []string{"/admin/orders", "/admin/orders.csv", "/admin/orders/" + id.String()} {
		body := string(d.get(path).Body)
		require.Contains(t, body, "deleted account", path)
		require.NotContains(t, body, "/admin/customers/", path)
	}
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
			"phone": "+442079460000",
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
	require.Equal(t, []string{"'=Ada", "1 High Street", "Leeds", "LS1 1AA", "GB", "+442079460000", "400"}, []string{
		cell(1, "Name"), cell(1, "Address"), cell(1, "City"), cell(1, "Postal code"), cell(1, "Country"), cell(1, "Telephone"),
		cell(1, "Weight in grams"),
	})
	require.Empty(t, cell(2, "Weight in grams"), "a part is not the whole")
}

// TestZone: rows, files and forms tell the time that the shop's clocks show.
func TestZone(t *testing.T) {
	t.Parallel()
	d := setup(t, "SHOP_TIME_ZONE", "Europe/London")
	const list = "GET /api/v1/admin/orders"
	placed := []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-24T22:30:00Z"}
	var orders []any
	for _, at := range placed {
		orders = append(orders, map[string]any{"id": uuid.New(), "account_id": uuid.New(), "created_at": at})
	}
	servetest.Neighbour(t, d.rt, "orders", list, servetest.Answers(servetest.Like(t, "orders", list,
		map[string]any{"items": orders, "next_cursor": nil})))
	body := string(d.get("/admin/orders").Body)
	for _, shown := range []string{"25 Oct 2026, 01:30 BST", "25 Oct 2026, 01:30 GMT", "24 Oct 2026, 23:30 BST"} {
		require.Contains(t, body, ">"+shown+"<")
	}
	file := strings.TrimPrefix(string(d.get("/admin/orders.csv").Body), "\ufeff")
	rows, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	require.NoError(t, err)
	at := slices.Index(rows[0], "Placed")
	require.Equal(t, []string{"2026-10-25T01:30:00+01:00", "2026-10-25T01:30:00Z", "2026-10-24T23:30:00+01:00"},
		[]string{rows[1][at], rows[2][at], rows[3][at]})
}

// TestTaxShown: where prices hold the tax it is a part of the total, not one of what is added up.
func TestTaxShown(t *testing.T) {
	t.Parallel()
	d := setup(t)
	const read = "GET /api/v1/admin/orders/{id}"
	for total, want := range map[int]struct{ shown, not, is string }{
		4800: {"<dt>Of which tax</dt><dd>£8.00</dd>", "<dt>Tax</dt>", "included"},
		5600: {"<dt>Tax</dt><dd>£8.00</dd>", "Of which tax", "added"},
	} {
		id := uuid.New()
		gbp := func(n int) map[string]any { return map[string]any{"amount_minor": n, "currency": "GBP"} }
		o := map[string]any{"id": id, "account_id": uuid.New(), "status": "confirmed", "subtotal": gbp(4500), "discount": gbp(0),
			"shipping": gbp(300), "tax": gbp(800), "total": gbp(total)}
		servetest.Neighbour(t, d.rt, "orders", read, servetest.Answers(servetest.Like(t, "orders", read, o)))
		body := string(d.get("/admin/orders/" + id.String()).Body)
		require.Contains(t, body, want.shown)
		require.NotContains(t, body, want.not)
		const list = "GET /api/v1/admin/orders"
		servetest.Neighbour(t, d.rt, "orders", list, servetest.Answers(servetest.Like(t, "orders", list,
			map[string]any{"items": []any{o}, "next_cursor": nil})))
		require.Contains(t, string(d.get("/admin/orders.csv").Body), ",45.00,0.00,3.00,8.00,"+want.is+",")
	}
}

// TestShipRefunded: before something goes out of which money was given back, the page says of what and asks once more,
// whether orders has heard of it or payments alone.
func TestShipRefunded(t *testing.T) {
	t.Parallel()
	d := setup(t)
	id := uuid.New()
	gbp := func(n int) map[string]any { return map[string]any{"amount_minor": n, "currency": "GBP"} }
	const read, ship = "GET /api/v1/admin/orders/{id}", "POST /api/v1/admin/orders/{id}/shipment"
	const pay = "GET /api/v1/admin/payments/{order_id}"
	o := map[string]any{"id": id, "account_id": uuid.New(), "number": "S-1", "status": "confirmed", "total": gbp(4300),
		"lines": []any{map[string]any{"sku": "TEE-M", "name": "Tee", "variant": "M", "quantity": 2, "line_total": gbp(4000)}}}
	servetest.Neighbour(t, d.rt, "orders", read, servetest.Answers(servetest.Like(t, "orders", read, o)))
	var sent []map[string]any
	servetest.Neighbour(t, d.rt, "orders", ship, func(w http.ResponseWriter, r *http.Request) {
		var in map[string]any
		_ = json.NewDecoder(r.Body).Decode(&in)
		sent = append(sent, in)
		if in["although_refunded"] != true {
			servetest.Refuses(problem.New(problem.Conflict, "order-refunded", "Money of the order was given back"))(w, r)
			return
		}
		servetest.Answers(servetest.Like(t, "orders", ship, o))(w, r)
	})
	at, parcel := "/admin/orders/"+id.String()+"/ship", url.Values{"carrier": {"DHL"}, "tracking_number": {"7"}}

	res := d.post(at, parcel) // payments is away: orders knows
	require.Equal(t, 409, res.Status)
	require.Contains(t, string(res.Body), "Ship anyway")
	require.Contains(t, string(res.Body), `value="DHL"`)
	require.Len(t, sent, 1)

	servetest.Neighbour(t, d.rt, "payments", pay, servetest.Answers(servetest.Like(t, "payments", pay, map[string]any{
		"order_id": id, "state": "captured", "left": gbp(2300), "refunds": []any{
			map[string]any{"amount": gbp(2000), "state": "requested", "reason": "arrived damaged"},
			map[string]any{"amount": gbp(100), "state": "failed", "reason": "lost"},
		},
	})))
	require.Contains(t, string(d.get("/admin/orders/"+id.String()).Body), "Look before you pack.")
	res = d.post(at, parcel)
	require.Equal(t, 409, res.Status)
	require.Len(t, sent, 1, "nothing was asked for")
	for _, told := range []string{"£20.00 went back to the customer: Arrived damaged. It is the price of 1 × Tee M.", "Some of its money",
		`action="` + at + "?although=refunded&amp;sent=1", "2 × Tee M"} {
		require.Contains(t, string(res.Body), told)
	}
	require.NotContains(t, string(res.Body), "£1.00", "that one came to nothing")
	res = d.post(at+"?although=refunded&sent=1", parcel)
	require.Equal(t, 303, res.Status, "%s", res.Body)
	require.Equal(t, map[string]any{"carrier": "DHL", "tracking_number": "7", "although_refunded": true}, sent[1])
	require.Equal(t, "/admin/orders/"+id.String()+"?lost=1", d.get(at+"?although=refunded&sent=1").Header.Get("Location"))
}

// TestStockPages: stock is found by what it is called, says so, and runs out at a number that can be set.
func TestStockPages(t *testing.T) {
	t.Parallel()
	d := setup(t)
	product := uuid.New()
	const list, one, set = "GET /api/v1/admin/inventory", "GET /api/v1/admin/inventory/{sku}", "PUT /api/v1/admin/inventory/{sku}/low-at"
	item := map[string]any{"sku": "L 1", "name": "Lampe Été", "variant": "M / Rot", "product_id": product, "available": 7, "low_at": 8,
		"low_at_own": true}
	var asked url.Values
	servetest.Neighbour(t, d.rt, "inventory", list, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query()
		servetest.Answers(servetest.Like(t, "inventory", list, map[string]any{"items": []any{item}, "next_cursor": nil}))(w, r)
	})
	body := string(d.get("/admin/inventory?q=lampe&low=true").Body)
	require.Equal(t, []string{"lampe", "true"}, []string{asked.Get("q"), asked.Get("low")})
	for _, shown := range []string{"Lampe Été", "M / Rot", `href="/admin/products/` + product.String() + `"`, ">low<"} {
		require.Contains(t, body, shown)
	}
	require.Contains(t, string(d.get("/admin").Body), "Lampe Été", "the dashboard names what runs out")
	require.Equal(t, "true", asked.Get("low"))

	servetest.Neighbour(t, d.rt, "inventory", one, servetest.Answers(servetest.Like(t, "inventory", one, item)))
	require.Contains(t, string(d.get("/admin/inventory/item?sku=L+1").Body), "With 8 available, or fewer.")
	var sent map[string]any
	servetest.Neighbour(t, d.rt, "inventory", set, func(w http.ResponseWriter, r *http.Request) {
		sent = nil
		_ = json.NewDecoder(r.Body).Decode(&sent)
		servetest.Answers(servetest.Like(t, "inventory", set, item))(w, r)
	})
	at := "/admin/inventory/low?sku=L+1"
	require.Contains(t, string(d.get(at).Body), `value="8"`)
	for typed, want := range map[string]any{"12": 12.0, " 0 ": 0.0, "": nil} {
		require.Equal(t, 303, d.post(at, url.Values{"low_at": {typed}}).Status, typed)
		require.Equal(t, map[string]any{"low_at": want}, sent)
	}
	for _, wrong := range []string{"-1", "many", "1000001", "1.5"} {
		res := d.post(at, url.Values{"low_at": {wrong}})
		require.Equal(t, 422, res.Status)
		require.Contains(t, string(res.Body), `value="`+wrong+`"`)
	}
}

// TestImportAsItComes: a product file and its report go through, and neither is in memory as a whole.
func TestImportAsItComes(t *testing.T) {
	t.Parallel()
	d := setup(t)
	const take = "POST /api/v1/admin/products/import"
	row := `{"line":2,"handle":"h","sku":"s","outcome":"created","reason":"` + strings.Repeat("x", 1000) + `","notes":[]}`
	servetest.Neighbour(t, d.rt, "products", take, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n != r.ContentLength || n != 20<<20 {
			t.Errorf("%d bytes of %d: %v", n, r.ContentLength, err)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"rows":[`+row)
		for range 17_000 { // more than an answer may have elsewhere
			_, _ = io.WriteString(w, ","+row)
		}
		_, _ = io.WriteString(w, `],"created":17001,"changed":0,"unchanged":0,"refused":0,"complete":true}`+"\n")
	})
	send := func(size int) servetest.Response {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		require.NoError(t, form.WriteField("token", page.FormToken(cookie)))
		file, err := form.CreateFormFile("file", "products.csv")
		require.NoError(t, err)
		_, err = file.Write(bytes.Repeat([]byte("a"), size))
		require.NoError(t, err)
		require.NoError(t, form.Close())
		return servetest.Do(t, d.rt, "POST", "/admin/products/import", d.token, body.String(), "Cookie", session+"="+cookie,
			"Origin", public, "Content-Type", form.FormDataContentType())
	}
	res := send(20 << 20)
	require.Equal(t, 200, res.Status, "%.500s", res.Body)
	require.Contains(t, string(res.Body), `data-created="17001"`)
	require.Contains(t, string(res.Body), "Not all rows are listed")

	for _, answer := range []http.HandlerFunc{servetest.IsAway, servetest.AnswersStatus(200, map[string]any{
		"rows": nil, "created": 0, "changed": 0, "unchanged": 0, "refused": 0, "complete": true,
	})} {
		servetest.Neighbour(t, d.rt, "products", take, answer)
		require.Equal(t, 503, send(1).Status)
	}
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
