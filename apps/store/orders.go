package main

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/pricing"
)

// order is an order as orders tells it.
type order struct {
	ID       string      `json:"id"`
	Number   string      `json:"number"`
	Status   string      `json:"status"`
	Version  int         `json:"version"`
	Email    string      `json:"email"`
	Lines    []orderLine `json:"lines"`
	Subtotal money.Money `json:"subtotal"`
	Discount money.Money `json:"discount"`
	Tax      money.Money `json:"tax"`
	Shipping money.Money `json:"shipping"`
	Total    money.Money `json:"total"`
	Address  address     `json:"address"`
	MovedAt  *time.Time  `json:"readdressed_at"`
	Payment  struct {
		Status   string      `json:"status"`
		Method   string      `json:"method"`
		Refunded money.Money `json:"refunded"`
	} `json:"payment"`
	Shipment *struct {
		Carrier        string  `json:"carrier"`
		TrackingNumber string  `json:"tracking_number"`
		TrackingURL    *string `json:"tracking_url"`
	} `json:"shipment"`
	CancelReason string `json:"cancel_reason"`
	History      []struct {
		Status string    `json:"status"`
		At     time.Time `json:"at"`
	} `json:"history"`
	CreatedAt time.Time `json:"created_at"`
}

type orderLine struct {
	SKU       string      `json:"sku"`
	Slug      string      `json:"slug"`
	Name      string      `json:"name"`
	Variant   string      `json:"variant"`
	ImageURL  string      `json:"image_url"`
	Quantity  int         `json:"quantity"`
	UnitPrice money.Money `json:"unit_price"`
	LineTotal money.Money `json:"line_total"`
}

// Moving tells whether something is about to happen by itself.
func (o order) Moving() bool { return o.Status == "pending" || o.Payment.Status == "refund_pending" }

// Cancellable tells whether the shopper may still cancel.
func (o order) Cancellable() bool { return o.Status == "pending" || o.Status == "confirmed" }

// Moved is when the address was changed; the zero time when it never was.
func (o order) Moved() time.Time {
	if o.MovedAt == nil {
		return time.Time{}
	}
	return *o.MovedAt
}

// Movable tells whether the address may still be changed.
func (o order) Movable() bool { return o.Cancellable() }

// TaxIncluded tells whether the prices hold the tax.
func (o order) TaxIncluded() bool {
	return pricing.TaxIncluded(o.Subtotal, o.Discount, o.Shipping, o.Total)
}

// Declined tells whether the card was refused: an attempt, which is no order.
func (o order) Declined() bool {
	return o.Status == "cancelled" && o.CancelReason == "payment-declined"
}

// State is the status in words.
func (o order) State() string {
	switch o.Status {
	case "pending":
		return "Being paid"
	case "confirmed":
		return "Paid"
	case "shipped":
		return "On its way"
	case "delivered":
		return "Delivered"
	}
	return "Cancelled"
}

// Count is how many pieces were ordered.
func (o order) Count() (n int) {
	for _, l := range o.Lines {
		n += l.Quantity
	}
	return n
}

// step is one of the stations of an order.
type step struct {
	Name string
	At   time.Time
	Done bool
	Now  bool
}

// Steps are the stations, those that were reached with when.
func (o order) Steps() []step {
	names := []struct{ status, name string }{{"pending", "Placed"}, {"confirmed", "Paid"}, {"shipped", "On its way"}, {"delivered", "Delivered"}}
	if o.Status == "cancelled" {
		end := struct{ status, name string }{"cancelled", "Cancelled"}
		if o.Declined() {
			end.name = "Declined"
		}
		if o.at("confirmed").IsZero() {
			names = append(names[:1], end)
		} else {
			names = append(names[:2], end)
		}
	}
	var all []step
	for _, n := range names {
		at := o.at(n.status)
		all = append(all, step{n.name, at, !at.IsZero(), n.status == o.Status})
	}
	return all
}

func (o order) at(status string) time.Time {
	for _, h := range o.History {
		if h.Status == status {
			return h.At
		}
	}
	return time.Time{}
}

// reason says why an order was cancelled.
func reason(code string) string {
	switch code {
	case "payment-declined":
		return "Your card was declined"
	case "out-of-stock":
		return "Sold out before it was paid"
	case "timed-out":
		return "The payment did not come through in time"
	case "by-customer":
		return "Cancelled by you"
	case "by-shop":
		return "Cancelled by the shop"
	}
	return "Cancelled"
}

func (s *service) readOrder(ctx context.Context, id string, query url.Values, opts ...dapr.CallOption) (order, error) {
	return get[order](ctx, s, "orders", "/api/v1/orders/"+url.PathEscape(id), query, opts...)
}

// orderView is the Data of the page "order" and of its moving part.
type orderView struct {
	Order order
	Token string
	Pause string   // until the page asks again
	Again *another // when the card was declined

	Longer bool // more time was given
	trouble
}

// another is what it takes to pay with another card for what was to be ordered.
type another struct {
	Key     string // the next order's Idempotency-Key
	Method  string
	Methods []payMethod
	Changed bool       // the cart is not what was to be ordered any more
	Empty   bool       // nor is anything in it
	Until   *time.Time // all of it is held; nil when it is not
	Soon    bool       // it will be in a moment: inventory has still to hear of the decline
	More    []moreTime
}

// backAgain is how long after a decline its lines may take to be the cart's
// again.
const backAgain = 10 * time.Second

// another compares a declined attempt with the cart as it is now.
func (o order) another(c cart, now time.Time) *another {
	a := &another{Key: random(), Method: methods[0].Value, Methods: methods, Changed: !o.sameAs(c), Empty: len(c.Lines) == 0}
	if !c.Unheld() {
		a.Until = c.FirstEnd()
	}
	a.Soon = a.Until == nil && now.Sub(o.at("cancelled")) < backAgain
	return a
}

// sameAs tells whether the cart holds just what was to be ordered.
func (o order) sameAs(c cart) bool {
	for _, l := range o.Lines {
		if in := c.line(l.SKU); in == nil || in.Quantity != l.Quantity {
			return false
		}
	}
	return len(o.Lines) == len(c.Lines)
}

// viewOrder is what is shown of an order; of a declined one also how to go on.
func (s *service) viewOrder(w http.ResponseWriter, r *http.Request, o order) orderView {
	v := orderView{Order: o, Token: s.frame(r).Token, Pause: "400ms"}
	if !o.Declined() {
		return v
	}
	c, err := s.readCart(r.Context(), w, "")
	if err != nil { // it is looked at again before anything is ordered
		c.Lines = nil
		for _, l := range o.Lines {
			c.Lines = append(c.Lines, cartLine{SKU: l.SKU, Quantity: l.Quantity})
		}
	}
	if v.Again = o.another(c, s.now()); !v.Again.Changed {
		v.Again.More = s.moreTimes(r.Context(), c)
	}
	return v
}

// getOrder shows an order.
func (s *service) getOrder(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	o, err := s.readOrder(r.Context(), chi.URLParam(r, "id"), nil)
	if err != nil {
		return nil, err
	}
	return page.Show("order", s.orderPage(r, s.viewOrder(w, r, o), 0)), nil
}

func (s *service) orderPage(r *http.Request, v orderView, status int) page.View {
	f := s.private(r)
	if v.Order.Moving() {
		f.Refresh = 3
	}
	return page.View{Status: status, Title: "Order " + v.Order.Number, Meta: f, Data: v}
}

// postPayment pays with another card for what a declined order was for: what is
// in the cart goes to the same address for the same total, or the page says why
// not. Its form also asks for more time.
func (s *service) postPayment(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	ctx := r.Context()
	o, err := s.readOrder(ctx, chi.URLParam(r, "id"), nil)
	if err != nil {
		return nil, err
	}
	if !o.Declined() {
		return page.Redirect("/orders/" + o.ID), nil
	}
	form := checkoutForm{
		Key: formKey(r), AddressID: "new", Address: o.Address, Method: field(r, "payment_method"), Expected: strconv.FormatInt(o.Total.Amount, 10),
	}
	if named := field(r, "more_time"); named != "" {
		said, status, err := s.longer(ctx, named)
		if err != nil {
			return nil, err
		}
		v := s.viewOrder(w, r, o)
		v.Problem, v.Longer, v.Again.Key, v.Again.Method = said, said == "", form.Key, form.Method
		return page.Show("order", s.orderPage(r, v, status)), nil
	}
	c, err := s.readCart(ctx, w, "")
	// An empty cart may be that of an order that this form has placed already.
	if err == nil && len(c.Lines) > 0 && !o.sameAs(c) {
		return page.Show("order", s.orderPage(r, s.viewOrder(w, r, o), http.StatusConflict)), nil
	}
	if err == nil {
		var placed order
		if placed, err = s.place(ctx, &form); err == nil {
			return page.Redirect("/orders/" + placed.ID), nil
		}
	}
	v, status := s.viewOrder(w, r, o), http.StatusConflict
	v.Again.Key, v.Again.Method = form.Key, form.Method
	if slugOf(err) != "cart-empty" {
		if v.trouble, status = s.explain(w, r, form, err); status == 0 {
			return nil, err
		}
	}
	switch slugOf(err) {
	case "price-changed", "out-of-stock", "limit-reached", "claim-required", "product-unavailable":
		v.Explained, v.Again.Changed = "Nothing was charged. Your cart shows how to go on.", true
	}
	return page.Show("order", s.orderPage(r, v, status)), nil
}

// longPoll is how long the page waits for a change at a time.
const longPoll = 20 * time.Second

// news is the query that asks a service to wait for what is newer.
func news(since string) url.Values {
	return url.Values{"wait": {itoa(int(longPoll.Seconds()))}, "since": {since}}
}

// longAnswer lets it wait.
var longAnswer = dapr.Timeout(longPoll + 5*time.Second)

// waits lets a request wait for news, until leave is called, if one of the places is free. A stopping instance lets its
// waiters go.
func (s *service) waits(ctx context.Context, places chan struct{}) (waiting context.Context, leave func(), ok bool) {
	select {
	case places <- struct{}{}:
	default:
		return ctx, nil, false
	}
	waiting, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-waiting.Done():
		}
	}()
	return waiting, func() { cancel(); <-places }, true
}

// orderStatus answers the moving part of an order's page as soon as the order
// changes. When too many wait it answers at once, and the page asks again
// after a pause.
func (s *service) orderStatus(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	since, err := strconv.Atoi(r.URL.Query().Get("since"))
	ctx, query, opts, pause := r.Context(), url.Values(nil), []dapr.CallOption(nil), "3s"
	if err == nil && since >= 0 {
		if waiting, leave, ok := s.waits(ctx, s.waiters); ok {
			defer leave()
			ctx, query, opts, pause = waiting, news(itoa(since)), append(opts, longAnswer), "400ms"
		}
	}
	o, err := s.readOrder(ctx, chi.URLParam(r, "id"), query, opts...)
	if err != nil {
		return nil, err
	}
	v := s.viewOrder(w, r, o)
	v.Pause = pause
	return page.Part("order-body", 0, v), nil
}

// ordersView is the Data of the page "orders".
type ordersView struct {
	Orders  []order
	Next    string
	First   bool
	Past    []pastOrder // of the shop before this one; once all own orders were listed
	Earlier string      // where more of those are
}

// pastOrder is an order of the shop before this one.
type pastOrder struct {
	Number      string      `json:"number"`
	PlacedAt    time.Time   `json:"placed_at"`
	CancelledAt *time.Time  `json:"cancelled_at"`
	Fulfilment  string      `json:"fulfilment"`
	Total       money.Money `json:"total"`
	Shipping    money.Money `json:"shipping"`
	Discount    money.Money `json:"discount"`
	Refunded    money.Money `json:"refunded"`
	Lines       []struct {
		Name      string      `json:"name"`
		Quantity  int         `json:"quantity"`
		UnitPrice money.Money `json:"unit_price"`
	} `json:"lines"`
	Address *struct {
		Name       string `json:"name"`
		Line1      string `json:"line1"`
		Line2      string `json:"line2"`
		City       string `json:"city"`
		PostalCode string `json:"postal_code"`
		Country    string `json:"country"`
	} `json:"address"`
}

// Count is how many pieces were ordered.
func (o pastOrder) Count() (n int) {
	for _, l := range o.Lines {
		n += l.Quantity
	}
	return n
}

// readPast adds a page of the shopper's orders of the shop before this one.
func (s *service) readPast(ctx context.Context, v *ordersView, cursor string) error {
	query := url.Values{"limit": {"20"}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	out, err := get[items[pastOrder]](ctx, s, "orders", "/api/v1/orders/imported", query)
	if err != nil {
		return err
	}
	v.Past = out.Items
	if out.NextCursor != nil {
		v.Earlier = "/orders?earlier=" + url.QueryEscape(*out.NextCursor)
	}
	return nil
}

// getOrders lists the shopper's orders. An attempt whose card was declined is
// none.
func (s *service) getOrders(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	if earlier := r.URL.Query().Get("earlier"); earlier != "" {
		v := ordersView{}
		if err := s.readPast(r.Context(), &v, earlier); slugOf(err) == "invalid" {
			return page.Redirect("/orders"), nil
		} else if err != nil {
			return nil, err
		}
		return page.Show("orders", page.View{Title: "Your orders", Meta: s.private(r), Data: v}), nil
	}
	query := url.Values{"limit": {"10"}, "declined": {"false"}}
	cursor := r.URL.Query().Get("cursor")
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	out, err := get[items[order]](r.Context(), s, "orders", "/api/v1/orders", query)
	if slugOf(err) == "invalid" {
		return page.Redirect("/orders"), nil
	}
	if err != nil {
		return nil, err
	}
	v := ordersView{Orders: out.Items, First: cursor == ""}
	if out.NextCursor != nil {
		v.Next = "/orders?cursor=" + url.QueryEscape(*out.NextCursor)
	} else if err := s.readPast(r.Context(), &v, ""); err != nil && slugOf(err) != "order-not-found" { // of an instance that has none yet
		return nil, err
	}
	return page.Show("orders", page.View{Title: "Your orders", Meta: s.private(r), Data: v}), nil
}

// postCancellation cancels an order.
func (s *service) postCancellation(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	id := chi.URLParam(r, "id")
	err := s.call(r.Context(), "orders", http.MethodPost, "/api/v1/orders/"+url.PathEscape(id)+"/cancellation", map[string]string{}, nil)
	switch {
	case err == nil:
		return page.Redirect("/orders/" + url.PathEscape(id)), nil
	case slugOf(err) == "order-not-cancellable":
		o, err := s.readOrder(r.Context(), id, nil)
		if err != nil {
			return nil, err
		}
		v := s.viewOrder(w, r, o)
		v.Problem = "It is on its way already, and can no longer be cancelled. You may send it back within 30 days."
		return page.Show("order", s.orderPage(r, v, http.StatusConflict)), nil
	}
	return nil, err
}

// orderAddressView is the Data of the page "order-address".
type orderAddressView struct {
	Order     order
	Form      address
	Countries []country // the order's own: another one would change what it costs
	Problem   string
	Wrong     map[string]string
	Token     string
}

func (s *service) orderAddressPage(r *http.Request, v orderAddressView, status int) page.Answer {
	f := s.private(r)
	v.Token = f.Token
	v.Countries = []country{{v.Order.Address.Country, page.Country(v.Order.Address.Country)}}
	return page.Show("order-address", page.View{Status: status, Title: "Address of order " + v.Order.Number, Meta: f, Data: v})
}

// getOrderAddress shows the form for another address of an order that is not on its way yet.
func (s *service) getOrderAddress(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	o, err := s.readOrder(r.Context(), chi.URLParam(r, "id"), nil)
	if err != nil {
		return nil, err
	}
	if !o.Movable() {
		return page.Redirect("/orders/" + o.ID), nil
	}
	return s.orderAddressPage(r, orderAddressView{Order: o, Form: o.Address}, 0), nil
}

// postOrderAddress sends an order somewhere else. Nothing typed is lost.
func (s *service) postOrderAddress(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	id := chi.URLParam(r, "id")
	o, err := s.readOrder(r.Context(), id, nil)
	if err != nil {
		return nil, err
	}
	v := orderAddressView{Order: o, Form: readAddress(r)}
	if v.Wrong = v.Form.wrong(); len(v.Wrong) > 0 {
		return s.orderAddressPage(r, v, http.StatusUnprocessableEntity), nil
	}
	err = s.call(r.Context(), "orders", http.MethodPut, "/api/v1/orders/"+url.PathEscape(id)+"/address", v.Form.Address, nil)
	switch {
	case err == nil:
		return page.Redirect("/orders/" + url.PathEscape(id)), nil
	case slugOf(err) == "order-address-fixed":
		if o, err = s.readOrder(r.Context(), id, nil); err != nil {
			return nil, err
		}
		shown := s.viewOrder(w, r, o)
		shown.Problem = "It was too late to change the address. Please write to us at once if it must not go there."
		return page.Show("order", s.orderPage(r, shown, http.StatusConflict)), nil
	case slugOf(err) == "order-other-country":
		v.Problem = "In another country this order would cost something else. Please cancel it, and order again."
		return s.orderAddressPage(r, v, http.StatusConflict), nil
	}
	if v.Wrong = fieldErrors(err); v.Wrong == nil {
		return nil, err
	}
	return s.orderAddressPage(r, v, http.StatusUnprocessableEntity), nil
}
