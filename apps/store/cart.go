package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/skus"
	"github.com/stampede-shop/stampede/pricing"
)

// cart is a cart as carts tells it.
type cart struct {
	CheckoutID uuid.UUID  `json:"checkout_id"`
	Country    string     `json:"country"`
	Lines      []cartLine `json:"lines"`
	Removed    []struct {
		Name string `json:"name"`
	} `json:"removed"`
	Subtotal money.Money `json:"subtotal"`
	Discount money.Money `json:"discount"`
	Tax      money.Money `json:"tax"`
	Shipping money.Money `json:"shipping"`
	Total    money.Money `json:"total"`
}

type cartLine struct {
	SKU           string      `json:"sku"`
	Slug          string      `json:"slug"`
	Name          string      `json:"name"`
	Variant       string      `json:"variant"`
	ImageURL      string      `json:"image_url"`
	Quantity      int         `json:"quantity"`
	UnitPrice     money.Money `json:"unit_price"`
	LineTotal     money.Money `json:"line_total"`
	HoldExpiresAt *time.Time  `json:"hold_expires_at"`
	Available     *int64      `json:"available"` // for this cart, what it holds included; nil when nobody knows
	Free          *int64      `json:"free"`      // besides, for anybody; nil likewise
}

// Most is how many the list offers: no more than the cart may have. Unless nobody knows that, more than ten only where
// there are more already.
func (l cartLine) Most() int {
	most := max(l.Quantity, mostAtOnce)
	if l.Available != nil {
		most = min(most, int(*l.Available))
	}
	return most
}

// Lacks tells whether there is less than the line has.
func (l cartLine) Lacks() bool { return l.Available != nil && int(*l.Available) < l.Quantity }

// Stock is what is said about the line: what the cart may have.
func (l cartLine) Stock() stock { return stockOf(l.Available == nil || *l.Available > 0, l.Available) }

// Others is what is said of it where more of it could be put in, now that the cart has its part; nil when nobody knows.
func (l cartLine) Others() *stock {
	if l.Free == nil {
		return nil
	}
	said := stockOf(*l.Free > 0, l.Free)
	if l.Available != nil {
		said.Most = min(said.Most, max(int(*l.Available)-l.Quantity, 0))
	}
	return &said
}

// Count is how many pieces there are.
func (c cart) Count() (n int) {
	for _, l := range c.Lines {
		n += l.Quantity
	}
	return n
}

// TaxIncluded tells whether the prices hold the tax.
func (c cart) TaxIncluded() bool {
	return pricing.TaxIncluded(c.Subtotal, c.Discount, c.Shipping, c.Total)
}

// FirstEnd is when the first of the lines stops being held; nil when none is.
func (c cart) FirstEnd() (first *time.Time) {
	for _, l := range c.Lines {
		if l.HoldExpiresAt != nil && (first == nil || l.HoldExpiresAt.Before(*first)) {
			first = l.HoldExpiresAt
		}
	}
	return first
}

// Unheld tells whether a line is not held (any more).
func (c cart) Unheld() bool {
	for _, l := range c.Lines {
		if l.HoldExpiresAt == nil {
			return true
		}
	}
	return false
}

func (c cart) line(sku string) *cartLine {
	for i := range c.Lines {
		if c.Lines[i].SKU == sku {
			return &c.Lines[i]
		}
	}
	return nil
}

// guestHeader names the guest's cart; carts takes an empty one for none.
func guestHeader(who *shopper) dapr.CallOption { return dapr.Header("X-Cart-Session", who.guest) }

// merge makes the guest's cart the account's. While carts is away the guest's
// cookie stays, and the next look at the cart tries again.
func (s *service) merge(ctx context.Context, w http.ResponseWriter, who *shopper) {
	if who.session == nil || who.guest == "" {
		return
	}
	if err := s.call(ctx, "carts", http.MethodPost, "/api/v1/cart/merge", nil, nil, guestHeader(who)); err != nil {
		return
	}
	who.guest = ""
	s.setCookie(w, cartCookie, "/", "", 0)
}

// readCart reads the shopper's cart; a guest who has none yet has an empty one.
func (s *service) readCart(ctx context.Context, w http.ResponseWriter, country string) (cart, error) {
	who := shopperOf(ctx)
	if who.failed != nil {
		return cart{}, who.failed
	}
	s.merge(ctx, w, who)
	if who.session == nil && who.guest == "" {
		return cart{}, nil
	}
	query := url.Values{}
	if country != "" {
		query.Set("country", country)
	}
	return get[cart](ctx, s, "carts", "/api/v1/cart", query, guestHeader(who))
}

// setItem sets how many of a SKU are in the cart.
func (s *service) setItem(ctx context.Context, sku string, quantity int) (cart, error) {
	var c cart
	in := map[string]int{"quantity": quantity}
	err := s.call(ctx, "carts", http.MethodPut, "/api/v1/cart/items/"+skus.Segment(sku), in, &c, guestHeader(shopperOf(ctx)))
	return c, err
}

// cartView is the Data of the page "cart" and of the drawer.
type cartView struct {
	Cart    cart
	Token   string
	Problem string // what did not work
	Added   string // the name of what was put in
	Away    bool   // carts does not answer
	Drawer  bool
	Part    bool // of a page that is open
}

func (s *service) cartView(r *http.Request, c cart) cartView {
	v := cartView{Cart: c, Part: partial(r)}
	if n := shopperOf(r.Context()).session; n != nil {
		v.Token = n.token()
	}
	return v
}

// getCart shows the cart.
func (s *service) getCart(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	c, err := s.readCart(r.Context(), w, "")
	v := s.cartView(r, c)
	status := 0
	if err != nil {
		if slugOf(err) != "unavailable" {
			return nil, err
		}
		v.Away, status = true, http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "3")
	}
	if sku := r.URL.Query().Get("added"); sku != "" {
		if l := c.line(sku); l != nil {
			v.Added = l.Name
		}
	}
	return page.Show("cart", page.View{Status: status, Title: "Your cart", Meta: s.private(r), Data: v}), nil
}

// drawer is the cart as a part of another page.
func (s *service) drawer(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	c, err := s.readCart(r.Context(), w, "")
	v := s.cartView(r, c)
	v.Drawer, v.Away = true, err != nil
	return page.Part("drawer", 0, v), nil
}

// headerView is the Data of the fragment "header": what belongs to the shopper
// in the head of every page.
type headerView struct {
	Name     string
	LoggedIn bool
	Token    string
	Count    int
	Held     *cartLine // of the product that the page shows
}

// header answers the personal parts of a page, which are not in the page
// itself because that is the same for everybody.
func (s *service) header(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	who := shopperOf(r.Context())
	var v headerView
	if who.session == nil && who.guest == "" && !who.ended && who.failed == nil {
		w.Header().Set("Cache-Control", anonymous)
		return page.Part("header", 0, v), nil
	}
	if n := who.session; n != nil {
		v.Name, v.LoggedIn, v.Token = n.FirstName, true, n.token()
	}
	if c, err := s.readCart(r.Context(), w, ""); err == nil {
		v.Count = c.Count()
		if slug := r.URL.Query().Get("product"); slug != "" {
			for i := range c.Lines {
				if c.Lines[i].Slug == slug {
					v.Held = &c.Lines[i]
				}
			}
		}
	}
	return page.Part("header", 0, v), nil
}

// postItem puts something into the cart ("add"), or sets how many there are.
func (s *service) postItem(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	ctx, who := r.Context(), shopperOf(r.Context())
	if who.failed != nil {
		return nil, who.failed
	}
	sku := field(r, "sku")
	quantity, err := strconv.Atoi(field(r, "quantity"))
	if err != nil || quantity < 0 || quantity > 100 || sku == "" || utf8.RuneCountInString(sku) > skus.Max {
		return nil, problem.ErrMalformed.Detail("Please choose one of the variants, and how many.")
	}
	add := field(r, "add") != ""
	if who.session == nil && who.guest == "" {
		who.guest = random()
	}
	s.merge(ctx, w, who)
	before, err := s.readCart(ctx, w, "")
	if err != nil {
		return nil, err
	}
	if had := before.line(sku); add && had != nil {
		quantity += had.Quantity
	}
	c, err := s.setItem(ctx, sku, quantity)
	if who.session == nil {
		s.setCookie(w, cartCookie, "/", who.guest, cartLife)
	}
	if err == nil && !partial(r) {
		to := "/cart"
		if add {
			to += "?added=" + url.QueryEscape(sku)
		}
		return page.Redirect(to), nil
	}
	v, status := s.cartView(r, c), 0
	if err != nil {
		v.Cart, v.Problem, status = before, cartProblem(err, before.line(sku)), http.StatusConflict
		if v.Problem == "" {
			return nil, err
		}
	} else if l := c.line(sku); add && l != nil {
		v.Added = l.Name
	}
	switch {
	case partial(r) && field(r, "drawer") != "":
		v.Drawer = true
		return page.Part("drawer", status, v), nil
	case partial(r):
		return page.Part("cart-body", status, v), nil
	}
	return page.Show("cart", page.View{Status: status, Title: "Your cart", Meta: s.private(r), Data: v}), nil
}

// cartProblem explains why something did not go into the cart; "" when it is
// nothing that a shopper could change.
func cartProblem(err error, had *cartLine) string {
	switch slugOf(err) {
	case "out-of-stock":
		n, _ := member(err, "available").(float64)
		switch {
		case n > 0 && had != nil && int(n) == had.Quantity:
			return "There are no more of these: you already have the last " + itoa(int(n)) + "."
		case n > 0:
			return "Only " + itoa(int(n)) + " of these can be yours right now."
		case had != nil:
			return "Somebody was faster: there are no more of these. What you have is still yours."
		}
		return "Somebody was faster: these are sold out. Carts give back what is not bought, so it is worth looking again in a few minutes."
	case "limit-reached":
		return limitWords(err)
	case "claim-required":
		return "This is sold in a drop now: it can be bought by those whose turn it is."
	case "product-not-found", "sku-not-found":
		return "This is not sold any more."
	case "invalid":
		return "At most 20 of one thing go into a cart."
	}
	return ""
}

// limitWords says how many of something one shopper may have, and why that is
// less than the limit where it is.
func limitWords(err error) string {
	limit, _ := member(err, "limit").(float64)
	n, known := member(err, "available").(float64)
	switch {
	case limit < 1:
		return "That is as many of these as one shopper may have, so that there is something for everybody."
	case limit > 20: // no SKU's own
		return "A cart holds at most " + itoa(int(limit)) + " different things."
	case known && n < limit:
		said := "You can buy " + itoa(int(limit)) + " of these, and you already have " + itoa(int(limit-n)) + " in your orders."
		if n > 0 {
			said += " Your cart can hold " + itoa(int(n)) + "."
		}
		return said
	}
	return "You can buy " + itoa(int(limit)) + " of these, so that there is something for everybody."
}

// postEmpty gives everything back.
func (s *service) postEmpty(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	ctx, who := r.Context(), shopperOf(r.Context())
	if who.failed != nil {
		return nil, who.failed
	}
	s.merge(ctx, w, who)
	if who.session != nil || who.guest != "" {
		if err := s.call(ctx, "carts", http.MethodDelete, "/api/v1/cart", nil, nil, guestHeader(who)); err != nil {
			return nil, err
		}
	}
	if partial(r) {
		v := s.cartView(r, cart{})
		v.Drawer = field(r, "drawer") != ""
		return page.Part(map[bool]string{true: "drawer", false: "cart-body"}[v.Drawer], 0, v), nil
	}
	return page.Redirect("/cart"), nil
}

// unavailable tells whether a neighbour did not answer.
func unavailable(err error) bool { return errors.Is(err, problem.ErrUnavailable) }
