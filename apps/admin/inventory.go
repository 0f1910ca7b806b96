package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/skus"
)

type stock struct {
	SKU       string `json:"sku"`
	OnHand    int    `json:"on_hand"`
	CartHeld  int    `json:"cart_held"`
	OrderHeld int    `json:"order_held"`
	Sold      int    `json:"sold"`
	Available int    `json:"available"`
	Listed    bool   `json:"listed"`

	ProductID *uuid.UUID `json:"product_id"`
	Name      string     `json:"name"`
	Variant   string     `json:"variant"`
	LowAt     int        `json:"low_at"` // it runs out when so many or fewer are available
	LowAtOwn  bool       `json:"low_at_own"`
}

// Level is how much of it is left, in a word.
func (s stock) Level() string {
	switch {
	case s.Available <= 0:
		return "out"
	case s.Available <= s.LowAt:
		return "low"
	}
	return "enough"
}

// Product is where its product is; empty when nobody knows.
func (s stock) Product() string {
	if s.ProductID == nil {
		return ""
	}
	return productAt(*s.ProductID)
}

type entry struct {
	Number int       `json:"number"`
	SKU    string    `json:"sku"`
	Kind   string    `json:"kind"`
	Delta  int       `json:"delta"`
	Before int       `json:"before"`
	After  int       `json:"after"`
	Reason string    `json:"reason"`
	Ref    string    `json:"ref"`
	At     time.Time `json:"at"`
}

type hold struct {
	Holder    string     `json:"holder"`
	Kind      string     `json:"kind"`
	Quantity  int        `json:"quantity"`
	ExpiresAt *time.Time `json:"expires_at"`
	SKU       string     `json:"-"`
}

// SKUs travel in queries, because the edge lets few characters into paths.
func stockAt(sku string) string { return ofStock("item", sku) }

func ofStock(what, sku string) string {
	return "/admin/inventory/" + what + "?sku=" + url.QueryEscape(sku)
}

func stockAPI(sku string) string { return "/api/v1/admin/inventory/" + skus.Segment(sku) }

var stockList = list[stock]{
	App: "inventory", API: "/api/v1/admin/inventory", At: "/admin/inventory", Title: "Inventory",
	Filters: []filter{
		{Name: "q", Type: "search", Label: "Product, variant or SKU", Hint: "lamp red, LAMP-R"},
		{Name: "low", Type: "select", Label: "Level", Options: []option{{Value: "", Label: "Any"}, {Value: "true", Label: "Running out"}}},
		{Name: "available_below", Type: "select", Label: "Available", Options: []option{
			{Value: "", Label: "Any number"}, {Value: "1", Label: "None"},
			{Value: "6", Label: "At most 5"}, {Value: "21", Label: "At most 20"},
		}},
	},
	Sorts: []option{
		{Value: "sku", Label: "By SKU"}, {Value: "-sku", Label: "By SKU, Z first"}, {Value: "available", Label: "Scarcest first"}, {Value: "-available", Label: "Most available first"},
		{Value: "-cart_held", Label: "Most in carts first"}, {Value: "-order_held", Label: "Most in orders first"}, {Value: "-sold", Label: "Most sold first"}, {Value: "sold", Label: "Least sold first"},
	},
	Columns: []column[stock]{
		{Name: "SKU", Class: "breaks", Up: "sku", Down: "-sku", Cell: func(s stock) cell {
			return cell{Kind: "code", Text: s.SKU, Href: stockAt(s.SKU)}
		}},
		{Name: "Product", Class: "wide", Cell: func(s stock) cell { return cell{Text: s.Name, Href: s.Product(), Note: s.Variant} }},
		{Name: "Variant", Hidden: true, Cell: func(s stock) cell { return text(s.Variant) }},
		{Name: "Level", Cell: func(s stock) cell { return status(s.Level()) }},
		{Name: "Available", Class: "number", Up: "available", Down: "-available", Cell: func(s stock) cell { return number(s.Available) }},
		{Name: "Runs out at", Hidden: true, Cell: func(s stock) cell { return number(s.LowAt) }},
		{Name: "On hand", Class: "number", Cell: func(s stock) cell { return number(s.OnHand) }},
		{Name: "In carts", Class: "number", Down: "-cart_held", Cell: func(s stock) cell { return number(s.CartHeld) }},
		{Name: "In orders", Class: "number", Down: "-order_held", Cell: func(s stock) cell { return number(s.OrderHeld) }},
		{Name: "Sold", Class: "number", Up: "sold", Down: "-sold", Cell: func(s stock) cell { return number(s.Sold) }},
		{Name: "Listed", Cell: func(s stock) cell { return text(map[bool]string{true: "yes", false: "no"}[s.Listed]) }},
	},
	Empty: empty{Title: "No stock here", Text: "A SKU appears when its product is published for the first time.", Link: link{Name: "Go to the products", Href: "/admin/products"}},
}

var entryColumns = []column[entry]{
	{Name: "No.", Class: "number", Cell: func(e entry) cell { return number(e.Number) }},
	{Name: "When", Up: "oldest", Down: "newest", Cell: func(e entry) cell { return moment(e.At) }},
	{Name: "What", Cell: func(e entry) cell { return status(e.Kind) }},
	{Name: "Change", Class: "number", Cell: func(e entry) cell { return text(signed(e.Delta)) }},
	{Name: "Before", Class: "number", Cell: func(e entry) cell { return number(e.Before) }},
	{Name: "After", Class: "number", Cell: func(e entry) cell { return number(e.After) }},
	{Name: "Reason", Class: "wide", Cell: func(e entry) cell {
		c := text(e.Reason)
		if e.Kind == "sale" || e.Kind == "return" {
			c = cell{Text: cmp.Or(e.Reason, "order"), Href: "/admin/orders/" + strings.TrimPrefix(e.Ref, "order:")}
		}
		return c
	}},
	{Name: "Reference", Hidden: true, Cell: func(e entry) cell { return text(e.Ref) }},
}

func signed(n int) string {
	if n > 0 {
		return "+" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

func ledgerOf(sku string) list[entry] {
	return list[entry]{
		App: "inventory", API: stockAPI(sku) + "/ledger", At: "/admin/inventory/ledger", Whole: ofStock("ledger", sku), Title: "Ledger of " + sku, Crumbs: stockCrumbs(sku),
		Filters: []filter{
			{Name: "sku", Type: "hidden"},
			{Name: "kind", Type: "select", Label: "What", Options: []option{
				{Value: "", Label: "Everything"}, {Value: "initial", Label: "Initial stock"}, {Value: "movement", Label: "Movements"}, {Value: "import", Label: "Imports"},
				{Value: "sale", Label: "Sales"}, {Value: "return", Label: "Returns"},
			}},
		},
		Sorts:   []option{{Value: "newest", Label: "Newest first"}, {Value: "oldest", Label: "Oldest first"}},
		Columns: entryColumns,
		Empty:   empty{Title: "Nothing moved yet"},
	}
}

func holdsOf(sku string) list[hold] {
	return list[hold]{
		At: "/admin/inventory/holds", Whole: ofStock("holds", sku), Title: "Live holds of " + sku, Crumbs: stockCrumbs(sku),
		Read: func(ctx context.Context, s *service, query url.Values) (found[hold], error) {
			page, err := get[items[hold]](ctx, s, "inventory", stockAPI(sku)+"/holds", query)
			for i := range page.Items {
				page.Items[i].SKU = sku
			}
			return found[hold]{items: page}, err
		},
		Filters: []filter{
			{Name: "sku", Type: "hidden"},
			{Name: "kind", Type: "select", Label: "For", Options: []option{{Value: "", Label: "Carts and orders"}, {Value: "cart", Label: "Carts"}, {Value: "order", Label: "Orders"}}},
		},
		Sorts: []option{
			{Value: "until", Label: "Those that end first"}, {Value: "-until", Label: "Those that end last"}, {Value: "-quantity", Label: "Most pieces first"},
			{Value: "quantity", Label: "Fewest pieces first"}, {Value: "holder", Label: "By holder"}, {Value: "-holder", Label: "By holder, Z first"},
		},
		Columns: []column[hold]{
			{Name: "Held by", Class: "wide", Up: "holder", Down: "-holder", Cell: func(h hold) cell {
				c := cell{Kind: "code", Text: h.Holder}
				switch who, which, _ := strings.Cut(h.Holder, ":"); {
				case h.Kind == "order":
					c.Href = "/admin/orders/" + strings.TrimPrefix(h.Holder, "order:")
				case who == "account":
					c.Href = "/admin/customers/" + which
				}
				return c
			}},
			{Name: "For", Cell: func(h hold) cell { return text(map[string]string{"cart": "a cart", "order": "an order"}[h.Kind]) }},
			{Name: "Pieces", Class: "number", Up: "quantity", Down: "-quantity", Cell: func(h hold) cell { return number(h.Quantity) }},
			{Name: "Until", Up: "until", Down: "-until", Cell: func(h hold) cell { return optional(h.ExpiresAt) }},
			{Name: "Act", Act: true, Cell: func(h hold) cell {
				if h.Kind != "cart" {
					return cell{Note: "ends with the order"}
				}
				return cell{Text: "Release…", Href: "/admin/inventory/release?" + url.Values{"sku": {h.SKU}, "holder": {h.Holder}}.Encode()}
			}},
		},
		Empty: empty{Title: "Nobody holds any", Text: "What shoppers put into their carts is held for them for a while."},
	}
}

func (s *service) inventoryRoutes(r chi.Router) {
	stockList.routes(s, r)
	s.form(r, "/admin/inventory/item", s.showStock, s.move)
	listRoutes(s, r, "/admin/inventory/ledger", ofSKU(ledgerOf))
	listRoutes(s, r, "/admin/inventory/holds", ofSKU(holdsOf))
	s.form(r, "/admin/inventory/release", s.showRelease, s.release)
	s.form(r, "/admin/inventory/low", s.showLow, s.low)
}

// ofSKU makes a list of the SKU that a request names.
func ofSKU[T any](of func(sku string) list[T]) func(*http.Request) (list[T], error) {
	return func(r *http.Request) (list[T], error) {
		sku := r.URL.Query().Get("sku")
		if sku == "" {
			return list[T]{}, problem.ErrNotFound
		}
		return of(sku), nil
	}
}

func stockCrumbs(sku string) []crumb {
	return []crumb{{"Inventory", "/admin/inventory"}, {sku, stockAt(sku)}}
}

// stockView is the Data of the page "stock".
type stockView struct {
	Stock  stock
	Move   form
	Ledger listView
	Holds  listView
}

// Whole is where all of the ledger or of the holds is.
func (v stockView) Whole(what string) string { return ofStock(what, v.Stock.SKU) }

func (s *service) stockOf(r *http.Request) (stockView, error) {
	sku := r.URL.Query().Get("sku")
	if sku == "" {
		return stockView{}, problem.ErrNotFound
	}
	var (
		v      stockView
		found  part[stock]
		ledger part[items[entry]]
		holds  part[items[hold]]
		wait   sync.WaitGroup
		ctx    = r.Context()
	)
	load(&wait, &found, func() (stock, error) { return get[stock](ctx, s, "inventory", stockAPI(sku), nil) })
	load(&wait, &ledger, func() (items[entry], error) {
		return get[items[entry]](ctx, s, "inventory", stockAPI(sku)+"/ledger", url.Values{"limit": {"15"}})
	})
	load(&wait, &holds, func() (items[hold], error) {
		found, err := holdsOf(sku).read(ctx, s, url.Values{"limit": {"15"}, "sort": {"until"}})
		return found.items, err
	})
	wait.Wait()
	if found.Err != nil {
		return v, found.Err
	}
	v.Stock = found.Data
	v.Ledger = ledgerOf(sku).part(ledger, "Ledger")
	v.Holds = holdsOf(sku).part(holds, "Live holds")
	v.Move = form{Action: stockAt(sku), Button: "Move stock", Key: newKey(), Fields: []field{
		{Name: "delta", Label: "Pieces", Required: true, Mode: "text", Max: 8, Hint: "10 brings ten in, -3 takes three out."},
		{Name: "reason", Label: "Reason", Required: true, Max: 200, Hint: "Delivery note, stock-taking, breakage …"},
	}}
	return v, nil
}

func (s *service) showStock(r *http.Request) (page.Answer, error) {
	v, err := s.stockOf(r)
	if err != nil {
		return nil, err
	}
	return page.Show("stock", page.View{Title: v.Stock.SKU, Data: v}), nil
}

func (s *service) move(r *http.Request) (page.Answer, error) {
	sku := r.URL.Query().Get("sku")
	delta, err := strconv.Atoi(strings.TrimPrefix(strings.NewReplacer(" ", "", "−", "-").Replace(r.PostForm.Get("delta")), "+"))
	if err != nil || delta == 0 {
		err = problem.InvalidField("body.delta", ownWords, "write a number that is not nothing, such as 10 or -3")
	} else {
		err = s.call(r.Context(), "inventory", http.MethodPost, stockAPI(sku)+"/movements",
			map[string]any{"delta": delta, "reason": r.PostForm.Get("reason")}, nil, dapr.Header("Idempotency-Key", r.PostForm.Get("key")))
	}
	if err == nil {
		return to(stockAt(sku), "moved"), nil
	}
	v, failure := s.stockOf(r)
	if failure != nil {
		return nil, failure
	}
	v.Move.fill(r.PostForm)
	if !v.Move.refuse(err) {
		return nil, err
	}
	return page.Show("stock", page.View{Title: v.Stock.SKU, Status: v.Move.Status, Data: v}), nil
}

// lowForm asks when a SKU runs out.
func (s *service) lowForm(r *http.Request) (form, string, error) {
	sku := r.URL.Query().Get("sku")
	if sku == "" {
		return form{}, sku, problem.ErrNotFound
	}
	found, err := get[stock](r.Context(), s, "inventory", stockAPI(sku), nil)
	f := form{
		Heading: "When does it run out?", Button: "Save", Action: ofStock("low", sku), Back: stockAt(sku), BackTo: "Keep it as it is",
		Crumbs: stockCrumbs(sku),
		Text:   []string{"With so many available, or fewer, it is on the dashboard and in the list of what runs out."},
		Facts:  []fact{{"Product", strings.TrimSpace(found.Name + " " + found.Variant)}, {"Available", strconv.Itoa(found.Available)}},
		Fields: []field{{Name: "low_at", Label: "Pieces", Mode: "numeric", Max: 7,
			Hint: "Empty: the number that holds for the whole shop."}},
	}
	if found.LowAtOwn {
		f.Fields[0].Value = strconv.Itoa(found.LowAt)
	}
	return f, sku, err
}

func (s *service) showLow(r *http.Request) (page.Answer, error) {
	f, _, err := s.lowForm(r)
	if err != nil {
		return nil, err
	}
	return f.show(), nil
}

func (s *service) low(r *http.Request) (page.Answer, error) {
	f, sku, err := s.lowForm(r)
	if err != nil {
		return nil, err
	}
	var lowAt *int
	if typed := strings.TrimSpace(r.PostForm.Get("low_at")); typed != "" {
		n, err := strconv.Atoi(typed)
		if err != nil || n < 0 || n > 1_000_000 {
			return f.answer(r.PostForm, problem.InvalidField("body.low_at", ownWords, "write a whole number from 0 to 1000000, or nothing"))
		}
		lowAt = &n
	}
	if err := s.call(r.Context(), "inventory", http.MethodPut, stockAPI(sku)+"/low-at", map[string]any{"low_at": lowAt}, nil); err != nil {
		return f.answer(r.PostForm, err)
	}
	return to(stockAt(sku), "saved"), nil
}

func releaseForm(r *http.Request) form {
	sku, holder := r.URL.Query().Get("sku"), r.URL.Query().Get("holder")
	return form{
		Heading: "Release this hold?", Danger: true, Button: "Release", Back: stockAt(sku), BackTo: "Keep it", Crumbs: stockCrumbs(sku),
		Action: "/admin/inventory/release?" + url.Values{"sku": {sku}, "holder": {holder}}.Encode(),
		Text:   []string{"Others can buy the pieces at once. They stay in the shopper's cart, but are no longer held there: at the checkout the shopper gets them only if they are still free."},
		Facts:  []fact{{"SKU", sku}, {"Held by", holder}},
	}
}

func (s *service) showRelease(r *http.Request) (page.Answer, error) {
	return releaseForm(r).show(), nil
}

func (s *service) release(r *http.Request) (page.Answer, error) {
	sku, holder := r.URL.Query().Get("sku"), r.URL.Query().Get("holder")
	if sku == "" || holder == "" {
		return nil, problem.ErrNotFound
	}
	err := s.call(r.Context(), "inventory", http.MethodDelete, stockAPI(sku)+"/holds/"+url.PathEscape(holder), nil, nil)
	if missing(err) {
		return to(stockAt(sku), "lapsed"), nil
	}
	if err != nil {
		return releaseForm(r).answer(r.PostForm, err)
	}
	return to(stockAt(sku), "released"), nil
}
