package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/postal"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// counter stands in for orders and carts. Of POST /orders it keeps the keys, and
// says what is next in answers; then it is away.
type counter struct {
	t       *testing.T
	rt      *serve.Runtime
	keys    []string
	bodies  []map[string]any
	queries []string
	answers []answer
	orders  map[string]order
	cart    cart
	past    []any
}

type answer struct {
	status int
	header [2]string
	body   string // of orders' own members those that matter
}

func refused(status int, slug, more string) answer {
	return answer{status: status, body: `{"type":"urn:stampede:problem:` + slug + `","title":"","status":` + itoa(status) + `,"detail":"","instance":"","trace_id":""` + more + `}`}
}

func (c *counter) postOrder(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	c.keys, c.bodies = append(c.keys, r.Header.Get("Idempotency-Key")), append(c.bodies, body)
	if len(c.answers) == 0 {
		servetest.IsAway(w, r)
	}
	a := c.answers[0]
	c.answers = c.answers[1:]
	if a.header[0] != "" {
		w.Header().Set(a.header[0], a.header[1])
	}
	if a.status < 400 {
		whole := servetest.Like(c.t, "orders", "POST /api/v1/orders", json.RawMessage(a.body))
		servetest.AnswersStatus(a.status, whole)(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(a.status)
	_, _ = w.Write([]byte(a.body))
}

func (c *counter) getOrder(w http.ResponseWriter, r *http.Request) {
	o, ok := c.orders[r.PathValue("id")]
	if !ok {
		servetest.IsAway(w, r)
	}
	servetest.Answers(servetest.Like(c.t, "orders", "GET /api/v1/orders/{id}", o))(w, r)
}

func (c *counter) listOrders(w http.ResponseWriter, r *http.Request) {
	c.queries = append(c.queries, r.URL.RawQuery)
	servetest.Answers(map[string]any{"items": []any{}, "next_cursor": nil})(w, r)
}

func (c *counter) listPast(w http.ResponseWriter, r *http.Request) {
	list := map[string]any{"items": c.past, "next_cursor": nil}
	if c.past == nil {
		list["items"] = []any{}
	}
	servetest.Answers(servetest.Like(c.t, "orders", "GET /api/v1/orders/imported", list))(w, r)
}

func (c *counter) getCart(w http.ResponseWriter, r *http.Request) {
	servetest.Answers(servetest.Like(c.t, "carts", "GET /api/v1/cart", c.cart))(w, r)
}

// newTill is a storefront whose neighbours are c.
func newTill(t *testing.T, c *counter) *service {
	t.Helper()
	rt, s := newTest(t)
	c.t, c.rt = t, rt
	servetest.Neighbour(t, rt, "orders", "POST /api/v1/orders", c.postOrder)
	servetest.Neighbour(t, rt, "orders", "GET /api/v1/orders", c.listOrders)
	servetest.Neighbour(t, rt, "orders", "GET /api/v1/orders/imported", c.listPast)
	servetest.Neighbour(t, rt, "orders", "GET /api/v1/orders/{id}", c.getOrder)
	servetest.Neighbour(t, rt, "carts", "GET /api/v1/cart", c.getCart)
	return s
}

// send sends a form as a shopper who is logged in.
func send(t *testing.T, s *service, handler http.HandlerFunc, method string, form url.Values) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	r.PostForm = form
	ctx := chi.NewRouteContext()
	ctx.URLParams.Add("id", "1")
	r = r.WithContext(context.WithValue(withShopper(r.Context(), &shopper{session: &session{id: "the-id"}}), chi.RouteCtxKey, ctx))
	rec := httptest.NewRecorder()
	handler(rec, r)
	return rec
}

const key = "0123456789abcdef0123456789"

// TestPlaceIsSentOnce: the storefront does not multiply load. It asks again when
// orders says that the first was not begun, and once.
func TestPlaceIsSentOnce(t *testing.T) {
	t.Parallel()
	placed := answer{status: 201, body: `{"id":"2"}`}
	busy := refused(409, "request-in-progress", "")
	busy.header = [2]string{"Retry-After", "1"}
	for _, one := range []struct {
		name    string
		answers []answer
		times   int
		slug    string
	}{
		{"placed", []answer{placed}, 1, ""},
		{"no answer", nil, 1, "unavailable"},
		{"unavailable", []answer{refused(503, "unavailable", ""), placed}, 1, "unavailable"},
		{"failed", []answer{refused(500, "internal", ""), placed}, 1, "unavailable"},
		{"refused", []answer{refused(409, "price-changed", ""), placed}, 1, "price-changed"},
		{"another click is at work", []answer{busy, placed}, 2, ""},
		{"and still is", []answer{busy, busy, placed}, 2, "request-in-progress"},
		{"the key was used", []answer{refused(422, "idempotency-key-reused", ""), placed}, 2, ""},
		{"and the next", []answer{refused(422, "idempotency-key-reused", ""), refused(422, "idempotency-key-reused", "")}, 2, "idempotency-key-reused"},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			c := &counter{answers: one.answers}
			s := newTill(t, c)
			form := checkoutForm{Key: key, AddressID: "new", Address: declinedOrder().Address, Method: "pm_card_visa", Expected: "100"}
			o, err := s.place(t.Context(), &form)
			require.Len(t, c.keys, one.times)
			require.Equal(t, one.slug, slugOf(err))
			if one.slug == "" {
				require.Equal(t, "2", o.ID)
			}
			require.Equal(t, c.keys[len(c.keys)-1], form.Key, "the page keeps the last key")
			require.Equal(t, strings.HasPrefix(one.slug+one.name, "idempotency") || strings.HasPrefix(one.name, "the key"), form.Key != key)
		})
	}
}

// declinedOrder is an attempt of two lamps, refused a minute ago.
func declinedOrder() order {
	o := order{ID: "1", Number: "S-1", Status: "cancelled", CancelReason: "payment-declined", Total: money.New(2_899, "GBP"), Lines: []orderLine{{SKU: "LAMP", Name: "Lamp", Quantity: 2}},
		Address: address{Address: postal.Address{
			Name: "Ann Lee", Line1: "1 High Street", City: "Leeds", PostalCode: "LS1 1AA", Country: "GB",
		}}}
	for _, h := range []string{"pending", "cancelled"} {
		o.History = append(o.History, struct {
			Status string    `json:"status"`
			At     time.Time `json:"at"`
		}{h, time.Now().Add(-time.Minute)})
	}
	return o
}

// TestAnotherCard: the card is changed on the page where it was refused, and
// nothing is typed again.
func TestAnotherCard(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(5 * time.Minute)
	lamps := cart{Lines: []cartLine{{SKU: "LAMP", Quantity: 2, HoldExpiresAt: &until}}}
	c := &counter{cart: lamps, orders: map[string]order{"1": declinedOrder(), "3": {ID: "3", Number: "S-3", Status: "confirmed"}}}
	s := newTill(t, c)
	show := func() string {
		return send(t, s, s.pages.Handle(s.getOrder), "GET", nil).Body.String()
	}
	pay := func(answers ...answer) *httptest.ResponseRecorder {
		c.keys, c.bodies, c.answers = nil, nil, answers
		return send(t, s, s.pages.Handle(s.postPayment), "POST", url.Values{"key": {key}, "payment_method": {"pm_card_visa"}})
	}

	html := show()
	require.Contains(t, html, "Your card was declined")
	require.Contains(t, html, "All of it is yours <time")
	require.Contains(t, html, `action="/orders/1/payment"`)
	require.Contains(t, html, `value="pm_card_visa"`)
	require.Contains(t, html, "Pay £28.99 and order")
	require.NotContains(t, html, "hx-get=\"/orders/1/status\"")

	rec := pay(answer{status: 201, body: `{"id":"2"}`})
	require.Equal(t, 303, rec.Code)
	require.Equal(t, "/orders/2", rec.Header().Get("Location"))
	require.Equal(t, []string{key}, c.keys)
	require.Equal(t, map[string]any{
		"payment_method": "pm_card_visa", "expected_total": map[string]any{"amount_minor": 2899.0, "currency": "GBP"},
		"address": map[string]any{"name": "Ann Lee", "line1": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA", "country": "GB"},
	}, c.bodies[0])

	for _, one := range []struct {
		answer answer
		status int
		says   string
		form   bool // it can be sent again
	}{
		{refused(409, "price-changed", ""), 409, "The total has changed", false},
		{refused(409, "out-of-stock", `,"lines":[{"sku":"LAMP","wanted":2,"available":0}]`), 409, "Somebody was faster", false},
		{refused(409, "limit-reached", `,"sku":"LAMP","limit":2,"available":1`), 409, "You can buy 2 of these, and you already have 1 in your orders", false},
		{refused(403, "claim-required", `,"sku":"LAMP","available":0`), 409, "is sold in a drop now", false},
		{refused(409, "product-unavailable", ""), 409, "is not sold any more", false},
		{refused(422, "invalid", `,"errors":[{"location":"body.payment_method","code":"not-one-of","message":"x"}]`), 422, "Please choose how to pay", true},
		{refused(503, "unavailable", ""), 503, "you will not be charged twice", true},
	} {
		rec := pay(one.answer)
		require.Equal(t, one.status, rec.Code, one.says)
		html := rec.Body.String()
		require.Contains(t, html, one.says)
		require.Equal(t, one.form, strings.Contains(html, `name="key" value="`+key+`"`), one.says)
		require.Equal(t, !one.form, strings.Contains(html, `<a class="button" href="/cart">To your cart</a>`), one.says)
		require.Len(t, c.keys, 1)
	}

	// The same was ordered in another tab: nothing is ordered, and that is said.
	ordered := refused(409, "already-ordered", "")
	ordered.header = [2]string{"Location", "/api/v1/orders/3"}
	rec = pay(ordered)
	require.Equal(t, 409, rec.Code)
	require.Contains(t, rec.Body.String(), "nothing new was ordered")
	require.Contains(t, rec.Body.String(), `<a href="/orders/3">order S-3</a>: Paid.`)

	// The cart is another by now: what is in it was not seen here.
	c.cart.Lines = append(c.cart.Lines[:1:1], cartLine{SKU: "CHAIR", Quantity: 1})
	require.NotContains(t, show(), "/orders/1/payment")
	rec = pay(answer{status: 201, body: `{"id":"2"}`})
	require.Equal(t, 409, rec.Code)
	require.Empty(t, c.keys)
	require.Contains(t, rec.Body.String(), "no longer what it was then")

	// It is empty: this very form may have ordered it.
	c.cart.Lines = nil
	require.Equal(t, "/orders/2", pay(answer{status: 201, body: `{"id":"2"}`}).Header().Get("Location"))
	rec = pay(refused(409, "cart-empty", ""))
	require.Equal(t, 409, rec.Code)
	require.Contains(t, rec.Body.String(), "nothing in your cart any more")

	// What was not declined is not paid again.
	c.orders["1"] = order{ID: "1", Status: "confirmed"}
	require.Equal(t, "/orders/1", pay().Header().Get("Location"))
	require.Empty(t, c.keys)
}

// TestMoreTimeWhilePaying: who pays for what a drop holds asks for more time where they are, at the checkout and after a card
// was declined; nothing is ordered by it, and nothing that was typed is lost.
func TestMoreTimeWhilePaying(t *testing.T) {
	t.Parallel()
	until, times := time.Now().Add(5*time.Minute), 2
	c := &counter{orders: map[string]order{"1": declinedOrder()}, cart: cart{Country: "GB", Lines: []cartLine{
		{SKU: "LAMP", Name: "Lamp <1>", Quantity: 2, HoldExpiresAt: &until},
	}}}
	s := newTill(t, c)
	const list, more = "GET /api/v1/drops", "POST /api/v1/drops/{slug}/entry/more-time"
	one := func(slug, state string, skus ...string) (whole any) {
		var lots []any
		for _, sku := range skus {
			lots = append(lots, map[string]any{"sku": sku, "units": 5, "limit": 2})
		}
		require.NoError(t, json.Unmarshal(servetest.Like(t, "drops", readDrop, map[string]any{
			"slug": slug, "state": state, "zone": "UTC", "lots": lots,
		}), &whole))
		return whole
	}
	servetest.Neighbour(t, c.rt, "drops", list, servetest.Answers(map[string]any{"items": []any{
		one("past", "closed", "LAMP"), one("chairs", "open", "CHAIR"), one("lamp", "open", "CHAIR", "LAMP"),
	}}))
	var read []string
	servetest.Neighbour(t, c.rt, "drops", readEntry, func(w http.ResponseWriter, r *http.Request) {
		read = append(read, r.PathValue("slug"))
		servetest.Answers(servetest.Like(t, "drops", readEntry, map[string]any{"position": 10, "claims": []any{map[string]any{
			"sku": "LAMP", "state": "held", "quantity": 2, "hold_expires_at": until, "standby": 0, "more_time": times,
		}}}))(w, r)
	})
	var asked []string
	gives := func(w http.ResponseWriter, r *http.Request) {
		var in map[string]string
		_ = json.NewDecoder(r.Body).Decode(&in)
		asked = append(asked, r.PathValue("slug")+" "+in["sku"])
		until, times = until.Add(5*time.Minute), times-1
		servetest.Answers(servetest.Like(t, "drops", more, nil))(w, r)
	}
	servetest.Neighbour(t, c.rt, "drops", more, gives)
	form := url.Values{"key": {key}, "address_id": {"new"}, "name": {"Ann"}, "line1": {"1 High Street"}, "more_time": {"lamp=LAMP"}}
	for _, at := range []struct {
		name      string
		get, post http.HandlerFunc
		keeps     string
	}{
		{"checkout", s.pages.Handle(s.getCheckout), s.pages.Handle(s.postCheckout), `value="1 High Street"`},
		{"declined", s.pages.Handle(s.getOrder), s.pages.Handle(s.postPayment), `name="key" value="` + key + `"`},
	} {
		times, asked, read = 2, nil, nil
		servetest.Neighbour(t, c.rt, "drops", more, gives)
		html := send(t, s, at.get, "GET", nil).Body.String()
		require.Contains(t, html, `name="more_time" value="lamp=LAMP" formnovalidate`, at.name)
		require.Contains(t, html, "for <bdi>Lamp &lt;1&gt;</bdi>")
		require.Contains(t, html, "You can have more time twice")
		require.Contains(t, html, `data-longer="`+until.Format(time.RFC3339))
		require.Equal(t, []string{"lamp"}, read, "of the drop that holds it alone")
		require.Less(t, strings.Index(html, `id="pay"`), strings.Index(html, "more_time"), "who presses Enter pays")

		rec := send(t, s, at.post, "POST", form)
		require.Equal(t, 200, rec.Code, at.name)
		require.Equal(t, []string{"lamp LAMP"}, asked)
		require.Contains(t, rec.Body.String(), "You have more time")
		require.Contains(t, rec.Body.String(), "more time once")
		require.Contains(t, rec.Body.String(), at.keeps)

		for _, no := range []struct {
			fails  http.HandlerFunc
			status int
			says   string
		}{
			{servetest.Refuses(problem.New(problem.Conflict, "no-more-time", "")), 409, "no more time to give"},
			{servetest.Refuses(problem.New(problem.Conflict, "claim-lapsed", "")), 409, "was over"},
			{servetest.IsAway, 503, "could not ask for more time just now"},
		} {
			servetest.Neighbour(t, c.rt, "drops", more, no.fails)
			rec := send(t, s, at.post, "POST", form)
			require.Equal(t, no.status, rec.Code, at.name)
			require.Contains(t, rec.Body.String(), no.says)
			require.Contains(t, rec.Body.String(), at.keeps)
			require.NotContains(t, rec.Body.String(), "You have more time")
		}
		times = 0
		require.NotContains(t, send(t, s, at.get, "GET", nil).Body.String(), "more_time")
		require.Equal(t, 400, send(t, s, at.post, "POST", url.Values{"more_time": {"x"}}).Code)
		require.Empty(t, c.keys, "nothing was ordered")
	}
	servetest.Neighbour(t, c.rt, "drops", readEntry, servetest.IsAway)
	require.Equal(t, 200, send(t, s, s.pages.Handle(s.getCheckout), "GET", nil).Code, "it can be paid all the same")
}

// TestHoldComesBack: while inventory has not heard of the decline, the page looks
// again, and no longer.
func TestHoldComesBack(t *testing.T) {
	t.Parallel()
	o, now := declinedOrder(), time.Now()
	c := cart{Lines: []cartLine{{SKU: "LAMP", Quantity: 2}}}
	require.False(t, o.another(c, now).Soon)
	o.History[1].At = now
	require.True(t, o.another(c, now).Soon)
	c.Lines[0].HoldExpiresAt = &now
	require.False(t, o.another(c, now).Soon)
	require.Equal(t, &now, o.another(c, now).Until)
	c.Lines[0].Quantity = 1
	require.True(t, o.another(c, now).Changed)
}

// TestAlreadyOrdered: the checkout never leads to an old order as if it were the
// new one.
func TestAlreadyOrdered(t *testing.T) {
	t.Parallel()
	ordered := refused(409, "already-ordered", "")
	ordered.header = [2]string{"Location", "/api/v1/orders/3"}
	c := &counter{cart: cart{Lines: []cartLine{{SKU: "LAMP", Quantity: 2}}, Country: "GB"}, orders: map[string]order{"3": {ID: "3", Number: "S-3", Status: "pending"}}}
	s := newTill(t, c)
	form := url.Values{"key": {key}, "address_id": {"new"}, "name": {"Ann"}, "line1": {"1 High Street"}, "city": {"Leeds"}, "postal_code": {"LS1 1AA"}, "country": {"GB"},
		"shown_country": {"GB"}, "payment_method": {"pm_card_visa"}, "expected": {"2899"}}
	c.answers = []answer{ordered}
	rec := send(t, s, s.pages.Handle(s.postCheckout), "POST", form)
	require.Equal(t, 409, rec.Code)
	require.Contains(t, rec.Body.String(), "You have ordered this cart already, so nothing new was ordered")
	require.Contains(t, rec.Body.String(), `<a href="/orders/3">order S-3</a>: Being paid.`)
	require.Contains(t, rec.Body.String(), `value="1 High Street"`)

	c.answers, c.orders = []answer{ordered}, nil // orders does not answer that any more
	require.Contains(t, send(t, s, s.pages.Handle(s.postCheckout), "POST", form).Body.String(), `among <a href="/orders">your orders</a>`)

	c.answers = []answer{refused(409, "limit-reached", `,"sku":"LAMP","limit":2,"available":1`)}
	rec = send(t, s, s.pages.Handle(s.postCheckout), "POST", form)
	require.Equal(t, 409, rec.Code)
	require.Contains(t, rec.Body.String(), "You can buy 2 of these, and you already have 1 in your orders")
	require.Contains(t, rec.Body.String(), `name="adjust" value="LAMP=1"`)
}

func TestOrdersAreNotAttempts(t *testing.T) {
	t.Parallel()
	c := &counter{}
	s := newTill(t, c)
	require.Equal(t, 200, send(t, s, s.pages.Handle(s.getOrders), "GET", nil).Code)
	require.Contains(t, c.queries[0], "declined=false")
}

// TestPastOrders: below the own orders are those of the shop before this one, as far as orders knows of such.
func TestPastOrders(t *testing.T) {
	t.Parallel()
	c := &counter{}
	s := newTill(t, c)
	text := func() string {
		rec := send(t, s, s.pages.Handle(s.getOrders), "GET", nil)
		require.Equal(t, 200, rec.Code)
		return rec.Body.String()
	}
	require.Contains(t, text(), "You have not ordered anything yet")
	lines := []any{map[string]any{"name": "Lamp", "quantity": 2}}
	c.past = []any{map[string]any{"number": "#1001", "fulfilment": "fulfilled", "lines": lines}}
	require.Contains(t, text(), "#1001")
	require.Contains(t, text(), "2 pieces")
	require.NotContains(t, text(), "You have not ordered anything yet")
}
