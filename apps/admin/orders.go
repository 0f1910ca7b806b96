package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/pricing"
)

// order is an order as orders' administration answers it.
type order struct {
	ID        uuid.UUID   `json:"id"`
	AccountID uuid.UUID   `json:"account_id"`
	Number    string      `json:"number"`
	Status    string      `json:"status"`
	Version   int         `json:"version"`
	Email     string      `json:"email"`
	Forgotten bool        `json:"forgotten"`
	Lines     []orderLine `json:"lines"`
	PromoCode *string     `json:"promo_code"`
	Subtotal  money.Money `json:"subtotal"`
	Discount  money.Money `json:"discount"`
	Tax       money.Money `json:"tax"`
	Shipping  money.Money `json:"shipping"`
	Total     money.Money `json:"total"`
	Address   struct {
		Name       string `json:"name"`
		Line1      string `json:"line1"`
		Line2      string `json:"line2"`
		City       string `json:"city"`
		Region     string `json:"region"`
		PostalCode string `json:"postal_code"`
		Country    string `json:"country"`
		Phone      string `json:"phone"`
	} `json:"address"`
	ReaddressedAt *time.Time `json:"readdressed_at"`
	Payment       struct {
		Status   string      `json:"status"`
		Method   string      `json:"method"`
		Refunded money.Money `json:"refunded"`
	} `json:"payment"`
	Shipment *struct {
		Carrier        string  `json:"carrier"`
		TrackingNumber string  `json:"tracking_number"`
		TrackingURL    *string `json:"tracking_url"`
	} `json:"shipment"`
	CancelReason *string `json:"cancel_reason"`
	CancelNote   string  `json:"cancel_note"`
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
	Weight    int         `json:"weight_grams"`
	UnitPrice money.Money `json:"unit_price"`
	Discount  money.Money `json:"discount"`
	LineTotal money.Money `json:"line_total"`
}

// TaxIncluded tells whether the prices hold the tax.
func (o order) TaxIncluded() bool {
	return pricing.TaxIncluded(o.Subtotal, o.Discount, o.Shipping, o.Total)
}

// taxIs says, for files, whether the total holds the tax or it was added; empty when there is none.
func (o order) taxIs() string {
	switch {
	case o.Tax.IsZero():
		return ""
	case o.TaxIncluded():
		return "included"
	}
	return "added"
}

// Pieces is how many there are in it.
func (o order) Pieces() (n int) {
	for _, l := range o.Lines {
		n += l.Quantity
	}
	return n
}

// customer is who placed it, as far as that is kept.
func (o order) customer() cell {
	if o.Forgotten {
		return text("deleted account")
	}
	return cell{Text: o.Email, Href: "/admin/customers/" + o.AccountID.String()}
}

// weight is what all of it weighs, in grams; empty when that is not known of every line.
func (o order) weight() string {
	sum := 0
	for _, l := range o.Lines {
		if l.Weight == 0 {
			return ""
		}
		sum += l.Weight * l.Quantity
	}
	return strconv.Itoa(sum)
}

func pieces(n int) string {
	if n == 1 {
		return "1 piece"
	}
	return strconv.Itoa(n) + " pieces"
}

// Cancellable tells whether it is not on its way yet.
func (o order) Cancellable() bool { return o.Status == "pending" || o.Status == "confirmed" }

func orderAt(id uuid.UUID) string { return "/admin/orders/" + id.String() }

var orderStatuses = []option{
	{Value: "", Label: "All"}, {Value: "pending", Label: "Pending"}, {Value: "confirmed", Label: "To ship"},
	{Value: "shipped", Label: "Shipped"}, {Value: "delivered", Label: "Delivered"}, {Value: "cancelled", Label: "Cancelled"},
}

// cancelReasons in words.
var cancelReasons = map[string]string{
	"payment-declined": "the payment was declined", "out-of-stock": "out of stock", "timed-out": "the payment took too long",
	"by-customer": "by the customer", "by-shop": "by the shop",
}

var orderList = list[order]{
	App: "orders", API: "/api/v1/admin/orders", At: "/admin/orders", Title: "Orders",
	Filters: []filter{
		{Name: "status", Type: "tabs", Label: "Status", Options: orderStatuses},
		{Name: "q", Type: "search", Label: "Number, name, e-mail, product, SKU or tracking number", Hint: "S-1A2B…, José, lamp"},
		{Name: "since", API: "from", Type: "moment", Label: "Since"}, // from the dashboard's charts
		{Name: "from", Type: "date", Label: "From"},
		{Name: "until", Type: "until", Label: "Until"},
		{Name: "declined", Type: "select", Label: "Declined attempts", Usual: "false", Options: []option{{Value: "", Label: "Left out"}, {Value: "true", Label: "Listed too"}}},
	},
	Sorts: []option{
		{Value: "newest", Label: "Newest first"}, {Value: "oldest", Label: "Oldest first"}, {Value: "-total", Label: "Greatest total first"}, {Value: "total", Label: "Smallest total first"},
		{Value: "email", Label: "By customer"}, {Value: "-email", Label: "By customer, Z first"},
	},
	Columns: orderColumns,
	Acts:    []link{{Name: "Imported orders", Href: "/admin/orders/imported"}},
	Empty:   empty{Title: "No orders here", Text: "Orders appear the moment that they are placed. Attempts whose card was declined are listed only when you ask for them."},
}

var orderColumns = []column[order]{
	{Name: "Order", Cell: func(o order) cell { return cell{Kind: "code", Text: o.Number, Href: orderAt(o.ID)} }},
	{Name: "Placed", Up: "oldest", Down: "newest", Cell: func(o order) cell { return moment(o.CreatedAt) }},
	{Name: "Customer", Class: "wide", Up: "email", Down: "-email", Cell: order.customer},
	{Name: "Pieces", Class: "number", Cell: func(o order) cell { return number(o.Pieces()) }},
	{Name: "Status", Cell: func(o order) cell { return status(o.Status) }},
	{Name: "Payment", Cell: func(o order) cell { return status(o.Payment.Status) }},
	{Name: "Total", Class: "number", Up: "total", Down: "-total", Cell: func(o order) cell { return amount(o.Total) }},
	{Name: "Currency", Hidden: true, Cell: func(o order) cell { return text(o.Total.Currency) }},
	{Name: "Refunded", Hidden: true, Cell: func(o order) cell { return text(decimal(o.Payment.Refunded)) }},
	{Name: "Subtotal", Hidden: true, Cell: func(o order) cell { return text(decimal(o.Subtotal)) }},
	{Name: "Discount", Hidden: true, Cell: func(o order) cell { return text(decimal(o.Discount)) }},
	{Name: "Shipping", Hidden: true, Cell: func(o order) cell { return text(decimal(o.Shipping)) }},
	{Name: "Tax", Hidden: true, Cell: func(o order) cell { return text(decimal(o.Tax)) }},
	{Name: "Tax is", Hidden: true, Cell: func(o order) cell { return text(o.taxIs()) }},
	{Name: "Name", Hidden: true, Cell: func(o order) cell { return text(o.Address.Name) }},
	{Name: "Address", Hidden: true, Cell: func(o order) cell { return text(o.Address.Line1) }},
	{Name: "Address, second line", Hidden: true, Cell: func(o order) cell { return text(o.Address.Line2) }},
	{Name: "City", Hidden: true, Cell: func(o order) cell { return text(o.Address.City) }},
	{Name: "Region", Hidden: true, Cell: func(o order) cell { return text(o.Address.Region) }},
	{Name: "Postal code", Hidden: true, Cell: func(o order) cell { return text(o.Address.PostalCode) }},
	{Name: "Country", Hidden: true, Cell: func(o order) cell { return text(o.Address.Country) }},
	{Name: "Telephone", Hidden: true, Cell: func(o order) cell { return text(o.Address.Phone) }},
	{Name: "Weight in grams", Hidden: true, Cell: func(o order) cell { return text(o.weight()) }},
	{Name: "SKUs", Hidden: true, Cell: func(o order) cell {
		var skus []string
		for _, l := range o.Lines {
			skus = append(skus, fmt.Sprintf("%d x %s", l.Quantity, l.SKU))
		}
		return text(strings.Join(skus, "; "))
	}},
	{Name: "Tracking number", Hidden: true, Cell: func(o order) cell {
		if o.Shipment == nil {
			return cell{}
		}
		return text(o.Shipment.TrackingNumber)
	}},
}

func (s *service) orderRoutes(r chi.Router) {
	orderList.routes(s, r)
	s.importedRoutes(r)
	r.Get("/admin/orders/{id}", s.page(s.showOrder))
	r.Get("/admin/orders/{id}/ship", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, parent(r)+"?lost=1", http.StatusFound)
	})
	r.Post("/admin/orders/{id}/ship", s.page(s.ship))
	s.form(r, "/admin/orders/{id}/shipment", s.showReship, s.reship)
	s.form(r, "/admin/orders/{id}/address", s.showReaddress, s.readdress)
	s.action(r, "/admin/orders/{id}/deliver", s.deliver)
	s.form(r, "/admin/orders/{id}/cancel", s.showCancel, s.cancel)
	s.form(r, "/admin/orders/{id}/refund", s.showRefund, s.refund)
}

// orderView is the Data of the page "order".
type orderView struct {
	Order    order
	Payment  part[paymentDetail]
	Hold     part[orderHold]
	Mails    part[items[mailItem]]
	Timeline []timelineEntry
	Ship     form
	Steps    []step
}

// step is where the order stands.
type step struct {
	Name string
	At   time.Time
	Now  bool
	Done bool
}

// timelineEntry is something that happened to the order.
type timelineEntry struct {
	At               time.Time
	Icon, Text, Note string
	Href             string
	Bad              bool
}

type orderHold struct {
	State         string     `json:"state"`
	HeldAt        time.Time  `json:"held_at"`
	ChangedAt     time.Time  `json:"changed_at"`
	ReleaseReason *string    `json:"release_reason"`
	Lines         []holdLine `json:"lines"`
	Ledger        []entry    `json:"ledger"`
}

type holdLine struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// id is the path's id; what is no UUID is nothing.
func id(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(chi.URLParam(r, "id"))
	if err != nil {
		return id, problem.ErrNotFound
	}
	return id, nil
}

func (s *service) order(r *http.Request) (order, error) {
	id, err := id(r)
	if err != nil {
		return order{}, err
	}
	return get[order](r.Context(), s, "orders", "/api/v1/admin/orders/"+id.String(), nil)
}

// payment reads the payment of the path's order.
func (s *service) payment(r *http.Request) (paymentDetail, error) {
	id, err := id(r)
	if err != nil {
		return paymentDetail{}, err
	}
	return get[paymentDetail](r.Context(), s, "payments", "/api/v1/admin/payments/"+id.String(), nil)
}

// orderDetail reads what every service knows of an order.
func (s *service) orderDetail(r *http.Request) (orderView, error) {
	id, err := id(r)
	if err != nil {
		return orderView{}, err
	}
	ctx := r.Context()
	var (
		v    orderView
		o    part[order]
		wait sync.WaitGroup
	)
	load(&wait, &o, func() (order, error) { return get[order](ctx, s, "orders", "/api/v1/admin/orders/"+id.String(), nil) })
	load(&wait, &v.Payment, func() (paymentDetail, error) { return s.payment(r) })
	load(&wait, &v.Hold, func() (orderHold, error) {
		return get[orderHold](ctx, s, "inventory", "/api/v1/admin/inventory/order-holds/"+id.String(), nil)
	})
	load(&wait, &v.Mails, func() (items[mailItem], error) {
		return get[items[mailItem]](ctx, s, "mail", "/api/v1/admin/mail", url.Values{"order_id": {id.String()}, "limit": {"50"}})
	})
	wait.Wait()
	if o.Err != nil {
		return v, o.Err
	}
	v.Order = o.Data
	v.Timeline = v.timeline()
	v.Steps = steps(v.Order)
	v.Ship = shipForm(v.Order)
	return v, nil
}

func steps(o order) []step {
	at := map[string]time.Time{}
	for _, h := range slices.Backward(o.History) { // shipped more than once when the number was corrected
		at[h.Status] = h.At
	}
	names := []struct{ status, name string }{{"pending", "Placed"}, {"confirmed", "Paid"}, {"shipped", "Shipped"}, {"delivered", "Delivered"}}
	if o.Status == "cancelled" {
		names = slices.DeleteFunc(names, func(n struct{ status, name string }) bool { return at[n.status].IsZero() })
		names = append(names, struct{ status, name string }{"cancelled", "Cancelled"})
	}
	var out []step
	for _, n := range names {
		when, done := at[n.status]
		out = append(out, step{Name: n.name, At: when, Done: done, Now: o.Status == n.status})
	}
	return out
}

// timeline puts together what happened, oldest first.
func (v orderView) timeline() []timelineEntry {
	o := v.Order
	var out []timelineEntry
	if o.ReaddressedAt != nil {
		out = append(out, timelineEntry{At: *o.ReaddressedAt, Icon: "truck", Text: "Address changed"})
	}
	shipped := -1 // where that stands
	for _, h := range o.History {
		c := timelineEntry{At: h.At, Icon: "bag"}
		switch h.Status {
		case "pending":
			c.Text, c.Note = "Placed by "+o.Email, fmt.Sprintf("%s, %s", pieces(o.Pieces()), o.Total)
		case "confirmed":
			c.Text = "Confirmed: the payment is in"
		case "shipped":
			c.Text, c.Icon = "Shipped", "truck"
			if shipped >= 0 {
				c.Text, out[shipped].Note = "Shipment corrected, and the customer told", "" // it was another one then
			}
			shipped = len(out)
			if o.Shipment != nil {
				c.Note = o.Shipment.Carrier + ", " + o.Shipment.TrackingNumber
			}
		case "delivered":
			c.Text, c.Icon = "Delivered", "check"
		case "cancelled":
			c.Text, c.Bad = "Cancelled", true
			if o.CancelReason != nil {
				c.Text += ": " + cancelReasons[*o.CancelReason]
			}
			c.Note = o.CancelNote
		}
		out = append(out, c)
	}
	if p := v.Payment.Data; v.Payment.Err == nil {
		out = append(out, p.timeline()...)
	}
	if h := v.Hold.Data; v.Hold.Err == nil && !h.HeldAt.IsZero() {
		var what []string
		for _, l := range h.Lines {
			what = append(what, fmt.Sprintf("%d × %s", l.Quantity, l.SKU))
		}
		held := h.HeldAt
		if held.Before(o.CreatedAt) {
			held = o.CreatedAt // stock is held while the order is being placed; the timeline begins with that
		}
		out = append(out, timelineEntry{At: held, Icon: "boxes", Text: "Stock held for the order", Note: strings.Join(what, ", ")})
		if h.State == "released" && len(h.Ledger) == 0 {
			c := timelineEntry{At: h.ChangedAt, Icon: "boxes", Text: "Stock given back"}
			if h.ReleaseReason != nil {
				c.Note = "because the order was " + *h.ReleaseReason
			}
			out = append(out, c)
		}
		for _, e := range h.Ledger {
			words := map[string]string{"sale": "Stock sold", "return": "Stock returned"}
			out = append(out, timelineEntry{At: e.At, Icon: "boxes", Text: cmp.Or(words[e.Kind], e.Kind), Href: stockAt(e.SKU),
				Note: fmt.Sprintf("%s: %d → %d on hand", e.SKU, e.Before, e.After)})
		}
	}
	if v.Mails.Err == nil {
		for _, m := range v.Mails.Data.Items {
			c := timelineEntry{At: m.CreatedAt, Icon: "mail", Text: "Mail “" + m.Subject + "”", Note: m.Status, Href: "/admin/mails/" + m.ID, Bad: m.Status == "failed"}
			if m.SentAt != nil {
				c.At = *m.SentAt
			}
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b timelineEntry) int { return a.At.Compare(b.At) })
	return out
}

func (s *service) showOrder(r *http.Request) (page.Answer, error) {
	v, err := s.orderDetail(r)
	if err != nil {
		return nil, err
	}
	return page.Show("order", page.View{Title: "Order " + v.Order.Number, Data: v}), nil
}

func shipForm(o order) form {
	return form{Action: orderAt(o.ID) + "/ship", Button: "Ship", Fields: []field{
		{Name: "carrier", Label: "Carrier", Required: true, Max: 80},
		{Name: "tracking_number", Label: "Tracking number", Required: true, Max: 80},
	}}
}

// although is what the form says in its address with which somebody ships what was refunded.
const although = "?although=refunded"

// shipAnywayForm asks once more before something goes out of which money was given back.
func (v orderView) shipAnywayForm() form {
	f := shipForm(v.Order)
	f.Heading, f.Button, f.Danger = "Some of its money was given back. Ship it all the same?", "Ship anyway", true
	f.Status = http.StatusConflict
	f.Action, f.Back, f.BackTo, f.Crumbs = f.Action+although, orderAt(v.Order.ID), "Do not ship it", orderCrumbs(v.Order)
	f.Text = append(v.Refunded(), "Nothing was shipped yet. What was refunded must not be in the parcel, unless it was meant as a gift.")
	if v.Payment.Err == nil && v.Payment.Data.Left.Amount == 0 || v.Order.Payment.Refunded.Amount >= v.Order.Total.Amount {
		f.Heading = "All of its money was given back. Ship it all the same?"
	}
	for _, l := range v.Order.Lines {
		f.Facts = append(f.Facts, fact{l.SKU, fmt.Sprintf("%d × %s", l.Quantity, strings.TrimSpace(l.Name+" "+l.Variant))})
	}
	return f
}

// Refunded says what went back of the order's money and of which units that is the price, a sentence each.
func (v orderView) Refunded() (out []string) {
	for _, r := range v.Payment.Data.Refunds {
		if r.State == "failed" {
			continue
		}
		said := r.Amount.String() + " went back to the customer: " + sentence(r.Reason)
		if units := v.Order.worth(r.Amount); units != "" {
			said += " It is the price of " + units + "."
		}
		out = append(out, said)
	}
	if out == nil && v.Order.Payment.Refunded.Amount > 0 {
		out = []string{v.Order.Payment.Refunded.String() + " went back to the customer."}
	}
	return out
}

// worth are the units that an amount is the price of, in words: all of the order, or some of one line; empty when it is
// neither.
func (o order) worth(amount money.Money) string {
	if amount == o.Total {
		return "the whole order"
	}
	var fit []string
	for _, l := range o.Lines {
		each := l.LineTotal.Amount / int64(max(1, l.Quantity))
		if n := amount.Amount / max(1, each); n > 0 && n*each == amount.Amount && n <= int64(l.Quantity) {
			fit = append(fit, fmt.Sprintf("%d × %s", n, strings.TrimSpace(l.Name+" "+l.Variant)))
		}
	}
	return strings.Join(fit, " or of ")
}

// ship ships the order. Where money was given back it asks once more: orders refuses then, and what it has not heard of yet
// payments knows.
func (s *service) ship(r *http.Request) (page.Answer, error) {
	var (
		v            orderView
		err, failure error
		wait         sync.WaitGroup
	)
	load(&wait, &v.Payment, func() (paymentDetail, error) { return s.payment(r) })
	v.Order, err = s.order(r)
	wait.Wait()
	if err != nil {
		return nil, err
	}
	known := r.URL.Query().Has("although")
	if !known && v.Order.Status == "confirmed" && v.Refunded() != nil {
		return v.shipAnywayForm().filled(r.PostForm).show(), nil
	}
	parcel := map[string]any{"carrier": r.PostForm.Get("carrier"), "tracking_number": r.PostForm.Get("tracking_number")}
	if known {
		parcel["although_refunded"] = true
	}
	err = s.call(r.Context(), "orders", http.MethodPost, "/api/v1/admin/orders/"+v.Order.ID.String()+"/shipment", parcel, nil)
	if err == nil {
		return to(orderAt(v.Order.ID), "shipped"), nil
	}
	var refused *problem.Error
	if errors.As(err, &refused) && (known || refused.Slug() == "order-refunded") {
		return v.shipAnywayForm().answer(r.PostForm, err)
	}
	if v, failure = s.orderDetail(r); failure != nil {
		return nil, failure
	}
	v.Ship.fill(r.PostForm)
	if !v.Ship.refuse(err) {
		return nil, err
	}
	return page.Show("order", page.View{Status: v.Ship.Status, Title: "Order " + v.Order.Number, Data: v}), nil
}

func reshipForm(o order) form {
	f := form{
		Heading: "Correct the shipment of order " + o.Number, Button: "Correct it", Action: orderAt(o.ID) + "/shipment",
		Back: orderAt(o.ID), BackTo: "Keep it as it is", Crumbs: orderCrumbs(o),
		Text:   []string{"The customer is told the right carrier and number by mail."},
		Fields: shipForm(o).Fields,
	}
	f.field("carrier").Value, f.field("tracking_number").Value = o.Shipment.Carrier, o.Shipment.TrackingNumber
	return f
}

// shipped reads an order that is on its way.
func (s *service) shipped(r *http.Request) (order, error) {
	o, err := s.order(r)
	if err == nil && (o.Status != "shipped" || o.Shipment == nil) {
		err = errTooLate.Detail("The order is %s.", words(o.Status))
	}
	return o, err
}

func (s *service) showReship(r *http.Request) (page.Answer, error) {
	o, err := s.shipped(r)
	if err != nil {
		return nil, err
	}
	return reshipForm(o).show(), nil
}

func (s *service) reship(r *http.Request) (page.Answer, error) {
	o, err := s.shipped(r)
	if err != nil {
		return nil, err
	}
	err = s.call(r.Context(), "orders", http.MethodPut, "/api/v1/admin/orders/"+o.ID.String()+"/shipment",
		map[string]string{"carrier": r.PostForm.Get("carrier"), "tracking_number": r.PostForm.Get("tracking_number")}, nil)
	if err != nil {
		return reshipForm(o).answer(r.PostForm, err)
	}
	return to(orderAt(o.ID), "reshipped"), nil
}

func (s *service) deliver(r *http.Request) (page.Answer, error) {
	id, err := id(r)
	if err != nil {
		return nil, err
	}
	if err := s.call(r.Context(), "orders", http.MethodPost, "/api/v1/admin/orders/"+id.String()+"/delivery", nil, nil); err != nil {
		return nil, err
	}
	return to(orderAt(id), "delivered"), nil
}

func cancelForm(o order) form {
	f := form{
		Heading: "Cancel order " + o.Number + "?", Danger: true, Button: "Cancel the order", Action: orderAt(o.ID) + "/cancel",
		Back: orderAt(o.ID), BackTo: "Keep the order", Crumbs: orderCrumbs(o),
		Text:  []string{"Its stock is free again at once, what was paid goes back to the customer's card, and the customer is told by mail. This cannot be undone."},
		Facts: []fact{{"Customer", o.Email}, {"Pieces", strconv.Itoa(o.Pieces())}, {"Total", o.Total.String()}},
		Fields: []field{
			{Name: "reason", Label: "Reason", Type: "textarea", Max: 500, Hint: "For your colleagues; it is kept with the order."},
			{Name: "out_of_stock", Label: "Pieces are missing on the shelf: tell the customer so", Type: "checkbox"},
		},
	}
	return f
}

func orderCrumbs(o order) []crumb {
	return []crumb{{"Orders", "/admin/orders"}, {o.Number, orderAt(o.ID)}}
}

func (s *service) showCancel(r *http.Request) (page.Answer, error) {
	o, err := s.order(r)
	if err != nil {
		return nil, err
	}
	if err := o.mayCancel(); err != nil {
		return nil, err
	}
	return cancelForm(o).show(), nil
}

// mayCancel tells why an order cannot be cancelled (any more).
func (o order) mayCancel() error {
	if o.Cancellable() {
		return nil
	}
	return errTooLate.Detail("The order is %s.", words(o.Status))
}

// errTooLate is of pages that were open while things went on.
var errTooLate = problem.New(problem.Conflict, "too-late", "That cannot be done any more")

func (s *service) cancel(r *http.Request) (page.Answer, error) {
	o, err := s.order(r)
	if err == nil && o.Status == "cancelled" {
		return to(orderAt(o.ID), "was-cancelled"), nil
	}
	if err == nil {
		err = o.mayCancel()
	}
	if err != nil {
		return nil, err
	}
	err = s.call(r.Context(), "orders", http.MethodPost, "/api/v1/admin/orders/"+o.ID.String()+"/cancellation",
		map[string]any{"reason": r.PostForm.Get("reason"), "out_of_stock": r.PostForm.Get("out_of_stock") != ""}, nil)
	if err != nil {
		return cancelForm(o).answer(r.PostForm, err)
	}
	return to(orderAt(o.ID), "cancelled"), nil
}

func (s *service) refundForm(r *http.Request) (form, order, paymentDetail, error) {
	o, err := s.order(r)
	if err != nil {
		return form{}, o, paymentDetail{}, err
	}
	p, err := s.payment(r)
	if err != nil {
		return form{}, o, p, err
	}
	return form{
		Heading: "Refund order " + o.Number, Danger: true, Button: "Refund", Action: orderAt(o.ID) + "/refund", Key: newKey(),
		Back: orderAt(o.ID), BackTo: "Back to the order", Crumbs: orderCrumbs(o),
		Text:  []string{"The money goes back to the customer's card, and the customer is told by mail. The order's status and its stock stay as they are."},
		Facts: []fact{{"Customer", o.Email}, {"Paid", p.Amount.String()}, {"Refunded so far", p.Refunded.String()}, {"Left to refund", p.Left.String()}},
		Fields: []field{
			{Name: "amount", Label: "Amount in " + p.Amount.Currency, Value: decimal(p.Left), Required: true, Mode: "decimal", Max: 14,
				Hint: "At most " + p.Left.String() + ", which is all that is left."},
			{Name: "reason", Label: "Reason", Required: true, Max: 200, Hint: "The customer reads it in the mail."},
		},
	}, o, p, nil
}

func (s *service) showRefund(r *http.Request) (page.Answer, error) {
	f, _, p, err := s.refundForm(r)
	if err == nil && p.Left.Amount == 0 {
		err = errTooLate.Detail("Nothing is left to refund.")
	}
	if err != nil {
		return nil, err
	}
	return f.show(), nil
}

func (s *service) refund(r *http.Request) (page.Answer, error) {
	f, o, p, err := s.refundForm(r)
	if err != nil {
		return nil, err
	}
	sum, ok := parseAmount(r.PostForm.Get("amount"), p.Amount.Currency)
	if !ok || sum.Amount <= 0 {
		return f.answer(r.PostForm, problem.InvalidField("body.amount", ownWords, "write an amount above nothing, such as "+decimal(p.Amount)))
	}
	err = s.call(r.Context(), "payments", http.MethodPost, "/api/v1/admin/payments/"+o.ID.String()+"/refunds",
		map[string]any{"amount": sum, "reason": r.PostForm.Get("reason")}, nil, dapr.Header("Idempotency-Key", r.PostForm.Get("key")))
	if err != nil {
		return f.answer(r.PostForm, err)
	}
	return to(orderAt(o.ID), "refunded"), nil
}

// amounts is how people write them: "12", "12.5", "1,299.00". A comma is for
// thousands alone: "12,50" is half of Europe's twelve and a half, and must not
// become 1250.
var amounts = regexp.MustCompile(`^[£€$¥]?\s*((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)$`)

// parseAmount reads an amount that people wrote.
func parseAmount(s, currency string) (money.Money, bool) {
	found := amounts.FindStringSubmatch(strings.TrimSpace(s))
	if found == nil {
		return money.Money{}, false
	}
	s = strings.ReplaceAll(found[1], ",", "")
	digits := 0
	if _, fraction, ok := strings.Cut(decimal(money.New(100000, currency)), "."); ok {
		digits = len(fraction)
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if len(fraction) > digits {
		return money.Money{}, false
	}
	n, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 52)
	if err != nil {
		return money.Money{}, false
	}
	return money.New(int64(n), currency), true
}
