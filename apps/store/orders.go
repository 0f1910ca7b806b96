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
	Payment  struct {
		Status   string      `json:"status"`
		Method   string      `json:"method"`
		Refunded money.Money `json:"refunded"`
	} `json:"payment"`
	Shipment *struct {
		Carrier        string `json:"carrier"`
		TrackingNumber string `json:"tracking_number"`
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

// TaxIncluded tells whether the prices hold the tax.
func (o order) TaxIncluded() bool { return included(o.Subtotal, o.Discount, o.Shipping, o.Total) }

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
		names = names[:1]
		if o.at("confirmed").IsZero() {
			names = append(names, struct{ status, name string }{"cancelled", "Cancelled"})
		} else {
			names = append(names, struct{ status, name string }{"confirmed", "Paid"}, struct{ status, name string }{"cancelled", "Cancelled"})
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

func (s *service) readOrder(ctx context.Context, id, query string, opts ...dapr.CallOption) (order, error) {
	var o order
	if err := s.call(ctx, "orders", http.MethodGet, "/api/v1/orders/"+url.PathEscape(id)+query, nil, &o, opts...); err != nil {
		return o, err
	}
	return o, nil
}

// orderView is the Data of the page "order" and of its moving part.
type orderView struct {
	Order   order
	Token   string
	Problem string
	Pause   string // until the page asks again
}

// getOrder shows an order.
func (s *service) getOrder(w http.ResponseWriter, r *http.Request) (string, page.View, error) {
	o, err := s.readOrder(r.Context(), chi.URLParam(r, "id"), "")
	if err != nil {
		return "", page.View{}, err
	}
	return "order", s.orderPage(r, o, ""), nil
}

func (s *service) orderPage(r *http.Request, o order, trouble string) page.View {
	f := s.private(r)
	if o.Moving() {
		f.Refresh = 3
	}
	v := page.View{Title: "Order " + o.Number, Meta: f, Data: orderView{Order: o, Token: f.Token, Problem: trouble, Pause: "400ms"}}
	if trouble != "" {
		v.Status = http.StatusConflict
	}
	return v
}

// longPoll is how long the page waits for a change at a time.
const longPoll = 20 * time.Second

// orderStatus answers the moving part of an order's page as soon as the order
// changes. When too many wait it answers at once, and the page asks again
// after a pause.
func (s *service) orderStatus(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.Atoi(r.URL.Query().Get("since"))
	query, opts, pause := "", []dapr.CallOption(nil), "3s"
	if err == nil && since >= 0 {
		select {
		case s.waiters <- struct{}{}:
			defer func() { <-s.waiters }()
			query = "?wait=" + strconv.Itoa(int(longPoll.Seconds())) + "&since=" + strconv.Itoa(since)
			opts, pause = append(opts, dapr.Timeout(longPoll+5*time.Second)), "400ms"
		default:
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { // a stopping instance lets its waiters go
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	o, err := s.readOrder(ctx, chi.URLParam(r, "id"), query, opts...)
	if err != nil {
		s.pages.Problem(w, r, err)
		return
	}
	s.pages.Fragment(w, r, 0, "order-body", orderView{Order: o, Token: s.frame(r).Token, Pause: pause})
}

// ordersView is the Data of the page "orders".
type ordersView struct {
	Orders []order
	Next   string
	First  bool
}

// getOrders lists the shopper's orders.
func (s *service) getOrders(w http.ResponseWriter, r *http.Request) (string, page.View, error) {
	query := url.Values{"limit": {"10"}}
	cursor := r.URL.Query().Get("cursor")
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	var out struct {
		Items      []order `json:"items"`
		NextCursor *string `json:"next_cursor"`
	}
	err := s.call(r.Context(), "orders", http.MethodGet, "/api/v1/orders?"+query.Encode(), nil, &out)
	if slugOf(err) == "invalid" {
		http.Redirect(w, r, "/orders", http.StatusSeeOther)
		return "", page.View{}, nil
	}
	if err != nil {
		return "", page.View{}, err
	}
	v := ordersView{Orders: out.Items, First: cursor == ""}
	if out.NextCursor != nil {
		v.Next = "/orders?cursor=" + url.QueryEscape(*out.NextCursor)
	}
	return "orders", page.View{Title: "Your orders", Meta: s.private(r), Data: v}, nil
}

// postCancellation cancels an order.
func (s *service) postCancellation(w http.ResponseWriter, r *http.Request) (string, page.View, error) {
	id := chi.URLParam(r, "id")
	err := s.call(r.Context(), "orders", http.MethodPost, "/api/v1/orders/"+url.PathEscape(id)+"/cancellation", map[string]string{}, nil)
	switch {
	case err == nil:
		http.Redirect(w, r, "/orders/"+url.PathEscape(id), http.StatusSeeOther)
		return "", page.View{}, nil
	case slugOf(err) == "order-not-cancellable":
		o, err := s.readOrder(r.Context(), id, "")
		if err != nil {
			return "", page.View{}, err
		}
		return "order", s.orderPage(r, o, "It is on its way already, and can no longer be cancelled. You may send it back within 30 days."), nil
	}
	return "", page.View{}, err
}
