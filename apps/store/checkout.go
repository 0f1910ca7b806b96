package main

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/pause"
	"github.com/stampede-shop/stampede/kit/postal"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/pricing"
)

const (
	draftLife  = time.Hour
	orderLimit = 7 * time.Second // a little more than orders takes at most
)

// address is where parcels go.
type address struct {
	ID string `json:"id,omitempty"`
	postal.Address
}

// readAddress reads the address fields of a form.
func readAddress(r *http.Request) address {
	return address{Address: postal.Address{
		Name: field(r, "name"), Line1: field(r, "line1"), Line2: field(r, "line2"), City: field(r, "city"),
		Region: field(r, "region"), PostalCode: field(r, "postal_code"), Country: strings.ToUpper(field(r, "country")),
		Phone: field(r, "phone"),
	}}
}

// wrong tells what is wrong with the fields of an address, before any service is asked.
func (a address) wrong() map[string]string {
	_, err := a.Check("address")
	wrong := fieldErrors(err)
	for name, value := range map[string]string{"name": a.Name, "line1": a.Line1} {
		if value == "" {
			wrong = with(wrong, name, wordsFor[problem.CodeRequired])
		}
	}
	return wrong
}

func with(all map[string]string, name, words string) map[string]string {
	if all == nil {
		all = map[string]string{}
	}
	all[name] = words
	return all
}

// checkoutForm is what a shopper has chosen and typed.
type checkoutForm struct {
	Key       string  `json:"key"`        // the order's Idempotency-Key: two clicks are one order
	AddressID string  `json:"address_id"` // "new", or one of the address book
	Address   address `json:"address"`
	Save      bool    `json:"save"`
	Method    string  `json:"method"`
	Expected  string  `json:"expected"` // the total that was shown, in minor units
	Country   string  `json:"country"`  // for which it was reckoned
}

// payMethod is one way to pay.
type payMethod struct {
	Value, Name, Note string
	Test              bool // one of those that go wrong on purpose
}

// methods are Stripe's test cards and the sandbox's own.
var methods = []payMethod{
	{"pm_card_visa", "Visa •••• 4242", "A test card that pays at once", false},
	{"pm_sandbox_slow", "Visa •••• 0077", "Pays after three seconds", true},
	{"pm_card_chargeDeclined", "Visa •••• 0002", "Is declined", true},
	{"pm_card_chargeDeclinedInsufficientFunds", "Visa •••• 9995", "Is declined: not enough money", true},
	{"pm_sandbox_timeout", "Visa •••• 0126", "The bank answers only when asked again", true},
	{"pm_sandbox_error", "Visa •••• 0119", "The bank fails twice, then pays", true},
}

func methodName(value string) string {
	for _, m := range methods {
		if m.Value == value {
			return m.Name
		}
	}
	return value
}

// country is one that the shop delivers to.
type country struct{ Code, Name string }

// countries lists where the shop delivers to, its own first.
func (s *service) countries() []country {
	var all []country
	for code := range pricing.Builtin(s.settings.Currency, s.settings.Country).Countries {
		all = append(all, country{code, page.Country(code)})
	}
	slices.SortFunc(all, func(a, b country) int {
		return cmp.Or(cmp.Compare(b2i(b.Code == s.settings.Country), b2i(a.Code == s.settings.Country)), strings.Compare(a.Name, b.Name))
	})
	return all
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// checkoutView is the Data of the page "checkout".
type checkoutView struct {
	Form      checkoutForm
	Cart      cart
	Addresses []address
	Away      bool // the address book does not answer
	Countries []country
	Methods   []payMethod
	Token     string
	Restored  bool // the form waited for a login
	More      []moreTime
	Longer    bool // more time was given
	trouble
}

// trouble is why there is no order, and what to do about it.
type trouble struct {
	Problem   string
	Explained string
	Wrong     map[string]string // by field
	Short     map[string]short  // by SKU: what cannot be had as it is in the cart
	Ordered   *order            // that of this cart, which was ordered before
}

// short is what there is of a SKU for this shopper instead.
type short struct {
	Left int
	Why  string
}

// shortLine is short for the line of a SKU.
type shortLine struct {
	SKU string
	short
}

// ShortOf is what there is of a SKU instead; nil when there is enough.
func (t trouble) ShortOf(sku string) *shortLine {
	if s, ok := t.Short[sku]; ok {
		return &shortLine{sku, s}
	}
	return nil
}

// New tells whether the address is to be typed.
func (v checkoutView) New() bool { return v.Form.AddressID == "new" || len(v.Addresses) == 0 }

// getCheckout shows the one page from cart to order.
func (s *service) getCheckout(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	v := checkoutView{Form: checkoutForm{Key: random(), Method: methods[0].Value}}
	if id := s.cookie(r, draftCookie, "/checkout"); id != "" {
		var kept checkoutForm
		if _, found, err := s.sessions.find(r.Context(), "draft", id, &kept); err == nil && found {
			v.Form, v.Restored = kept, true
			_ = s.sessions.drop(r.Context(), "draft", id)
		}
		s.setCookie(w, draftCookie, "/checkout", "", 0)
	} else if id := r.URL.Query().Get("order"); id != "" { // its card was declined, and the cart has changed since
		if o, err := s.readOrder(r.Context(), id, nil); err == nil {
			v.Form.AddressID, v.Form.Address = "new", o.Address
		}
	}
	return s.showCheckout(w, r, v, 0)
}

// showCheckout fills in what the page shows besides the form.
func (s *service) showCheckout(w http.ResponseWriter, r *http.Request, v checkoutView, status int) (page.Answer, error) {
	ctx := r.Context()
	profile, err := s.profile(ctx)
	switch {
	case err == nil:
		v.Addresses = profile.Addresses
	case unavailable(err):
		v.Away = true
	default:
		return nil, err
	}
	if v.Form.AddressID == "" {
		v.Form.AddressID = "new"
		if len(v.Addresses) > 0 {
			v.Form.AddressID = v.Addresses[0].ID
		}
	}
	if v.Form.Address.Name == "" && err == nil && v.Wrong == nil {
		v.Form.Address.Name = strings.TrimSpace(profile.FirstName + " " + profile.LastName)
	}
	if v.Form.Address.Country == "" {
		v.Form.Address.Country = s.settings.Country
	}
	if v.Cart, err = s.priced(ctx, w, v.destination()); err != nil {
		return nil, err
	}
	if len(v.Cart.Lines) == 0 {
		return page.Show("cart", page.View{Title: "Your cart", Meta: s.private(r), Data: s.cartView(r, v.Cart)}), nil
	}
	v.Form.Expected, v.Form.Country = strconv.FormatInt(v.Cart.Total.Amount, 10), v.Cart.Country
	v.Countries, v.Methods, v.More = s.countries(), methods, s.moreTimes(ctx, v.Cart)
	f := s.private(r)
	f.Bare, v.Token = true, f.Token
	return page.Show("checkout", page.View{Status: status, Title: "Checkout", Meta: f, Data: v}), nil
}

// destination is the country that the parcel goes to.
func (v checkoutView) destination() string {
	for _, a := range v.Addresses {
		if a.ID == v.Form.AddressID {
			return a.Country
		}
	}
	return v.Form.Address.Country
}

// priced reads the cart as it costs in a country; in the shop's own when the
// shop does not deliver there.
func (s *service) priced(ctx context.Context, w http.ResponseWriter, country string) (cart, error) {
	c, err := s.readCart(ctx, w, country)
	if slugOf(err) == "invalid" {
		return s.readCart(ctx, w, "")
	}
	return c, err
}

// checkoutSummary is the summary for another address, as a part of the page.
func (s *service) checkoutSummary(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	q := r.URL.Query()
	v := checkoutView{Form: checkoutForm{AddressID: q.Get("address_id")}}
	v.Form.Address.Country = q.Get("country")
	if v.Form.AddressID != "new" {
		if profile, err := s.profile(r.Context()); err == nil {
			v.Addresses = profile.Addresses
		}
	}
	var err error
	if v.Cart, err = s.priced(r.Context(), w, v.destination()); err != nil {
		return nil, err
	}
	v.Form.Expected, v.Form.Country = strconv.FormatInt(v.Cart.Total.Amount, 10), v.Cart.Country
	return page.Part("checkout-summary", 0, v), nil
}

// postCheckout orders, changes the cart where there are too few, or asks for more time.
func (s *service) postCheckout(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	who := shopperOf(r.Context())
	if who.failed != nil {
		return nil, who.failed
	}
	v := checkoutView{Form: checkoutForm{
		AddressID: field(r, "address_id"), Address: readAddress(r), Save: field(r, "save") != "",
		Method: field(r, "payment_method"), Expected: field(r, "expected"), Country: field(r, "shown_country"),
	}}
	v.Form.Key = formKey(r)
	if who.session == nil {
		return s.keepDraft(w, r, v.Form)
	}
	ctx := r.Context()
	if adjust := field(r, "adjust"); strings.Contains(adjust, "=") {
		last := strings.LastIndexByte(adjust, '=') // a SKU may have one too
		sku := adjust[:last]
		n, err := strconv.Atoi(adjust[last+1:])
		if err != nil || n < 0 {
			return nil, problem.ErrMalformed
		}
		if _, err := s.setItem(ctx, sku, n); err != nil {
			if v.Problem = cartProblem(err, nil); v.Problem == "" {
				return nil, err
			}
		}
		return s.showCheckout(w, r, v, 0)
	}
	if named := field(r, "more_time"); named != "" {
		said, status, err := s.longer(ctx, named)
		if err != nil {
			return nil, err
		}
		v.Problem, v.Longer = said, said == ""
		return s.showCheckout(w, r, v, status)
	}
	if field(r, "update") != "" {
		return s.showCheckout(w, r, v, 0)
	}
	if v.Form.AddressID == "" {
		v.Form.AddressID = "new"
	}
	var destination string
	if v.Form.AddressID == "new" {
		if v.Wrong = v.Form.Address.wrong(); len(v.Wrong) > 0 {
			v.Problem = "Something in the address is missing or wrong."
			return s.showCheckout(w, r, v, http.StatusUnprocessableEntity)
		}
		v.Wrong = nil
		destination = v.Form.Address.Country
	} else if profile, err := s.profile(ctx); err == nil {
		v.Addresses = profile.Addresses
		destination = v.destination()
	}
	if destination != "" && destination != v.Form.Country {
		// Without scripts the total on the page is still that of the other
		// country. It is not paid before it was seen.
		v.Problem = "This is what it costs with delivery to " + page.Country(destination) + "."
		v.Explained = "Please look at the new total, then pay."
		return s.showCheckout(w, r, v, http.StatusConflict)
	}
	o, err := s.place(ctx, &v.Form)
	if err == nil {
		if v.Form.Save && v.Form.AddressID == "new" {
			_ = s.call(ctx, "users", http.MethodPost, "/api/v1/users/me/addresses", v.Form.Address, nil) // the order matters more
		}
		return page.Redirect("/orders/" + o.ID), nil
	}
	return s.notPlaced(w, r, v, err)
}

// formKey is the Idempotency-Key that a form carries.
func formKey(r *http.Request) string {
	if key := field(r, "key"); len(key) >= 20 && len(key) <= 100 {
		return key
	}
	return random()
}

// keepDraft keeps what was typed while the shopper logs in again.
func (s *service) keepDraft(w http.ResponseWriter, r *http.Request, form checkoutForm) (page.Answer, error) {
	id := random()
	if err := s.sessions.keep(r.Context(), "draft", id, "", form, draftLife); err != nil {
		return nil, err
	}
	s.setCookie(w, draftCookie, "/checkout", id, draftLife)
	return page.Redirect(loginURL("/checkout")), nil
}

// place sends the order, once. It is sent again only when it was certainly not
// begun: while another click is at work, after the time that orders names; and
// under another key when the page's was used for something else. Whatever else
// happens is the shopper's to decide, who is not charged twice: the key stays.
func (s *service) place(ctx context.Context, form *checkoutForm) (order, error) {
	expected, err := strconv.ParseInt(form.Expected, 10, 64)
	if err != nil {
		return order{}, problem.ErrMalformed
	}
	in := map[string]any{"payment_method": form.Method, "expected_total": money.New(expected, s.settings.Currency)}
	if form.AddressID == "new" {
		in["address"] = form.Address
	} else {
		in["address_id"] = form.AddressID
	}
	send := func() (o order, err error) {
		err = s.call(ctx, "orders", http.MethodPost, "/api/v1/orders", in, &o, dapr.Header("Idempotency-Key", form.Key), dapr.Timeout(orderLimit))
		return o, err
	}
	o, err := send()
	switch slugOf(err) {
	case "idempotency-key-reused":
		// The page was sent before with something else, and that order was
		// declined; if it was not, orders says so.
		form.Key = random()
	case "request-in-progress":
		if !pause.For(ctx, retryAfter(err)) {
			return o, err
		}
	default:
		return o, err
	}
	return send()
}

// retryAfter is when a neighbour wants to be asked again, at most in 3 seconds.
func retryAfter(err error) time.Duration {
	var p *problem.Error
	if errors.As(err, &p) {
		return min(max(p.Wait(), time.Second), 3*time.Second)
	}
	return time.Second
}

// notPlaced says in place why there is no order. Nothing typed is lost.
func (s *service) notPlaced(w http.ResponseWriter, r *http.Request, v checkoutView, err error) (page.Answer, error) {
	switch slugOf(err) {
	case "cart-empty":
		return page.Redirect("/cart"), nil
	case "address-not-found":
		v.Form.AddressID = ""
	}
	var status int
	if v.trouble, status = s.explain(w, r, v.Form, err); status == 0 {
		return nil, err
	}
	return s.showCheckout(w, r, v, status)
}

// explain says why a form brought no order, and with which status; 0 when it is
// nothing that a shopper could do something about.
func (s *service) explain(w http.ResponseWriter, r *http.Request, form checkoutForm, err error) (t trouble, status int) {
	status = http.StatusConflict
	switch slugOf(err) {
	case "already-ordered":
		var p *problem.Error
		errors.As(err, &p)
		t.Ordered = &order{} // without a number it is among the others
		if _, id, ok := strings.Cut(p.Location(), "/orders/"); ok {
			if o, err := s.readOrder(r.Context(), id, nil); err == nil {
				t.Ordered = &o
			}
		}
	case "price-changed":
		was, _ := strconv.ParseInt(form.Expected, 10, 64)
		t.Problem = "The total has changed since you opened this page. It was " + s.text(money.New(was, s.settings.Currency)) + "."
		t.Explained = "Nothing was charged. Please look at the new total, then pay."
	case "out-of-stock":
		t.Problem = "Somebody was faster."
		t.Explained = "Nothing was charged. Choose below how to go on."
		t.Short = map[string]short{}
		lines, _ := member(err, "lines").([]any)
		for _, l := range lines {
			m, _ := l.(map[string]any)
			sku, _ := m["sku"].(string)
			left, _ := m["available"].(float64)
			why := "Sold out."
			if left > 0 {
				why = "Only " + itoa(int(left)) + " left."
			}
			t.Short[sku] = short{int(left), why}
		}
	case "limit-reached":
		sku, _ := member(err, "sku").(string)
		left, _ := member(err, "available").(float64)
		t.Problem = limitWords(err)
		t.Explained = "Nothing was charged. Choose below how to go on."
		t.Short = map[string]short{sku: {int(left), "Too many."}}
	case "claim-required":
		sku, _ := member(err, "sku").(string)
		left, _ := member(err, "available").(float64)
		t.Problem = "Something in your cart is sold in a drop now, and your turn there is over or still to come."
		t.Explained = "Nothing was charged. Choose below how to go on."
		t.Short = map[string]short{sku: {int(left), "Only in the drop."}}
	case "product-unavailable":
		t.Problem = "Something in your cart is not sold any more, and was taken out."
		t.Explained = "Nothing was charged. Please look at the new total, then pay."
	case "address-not-found":
		t.Problem = "That address is not in your address book any more. Please choose another."
	case "invalid":
		t.Wrong = fieldErrors(err)
		t.Problem = "Please look at what is marked."
		status = http.StatusUnprocessableEntity
		if _, ok := t.Wrong["payment_method"]; ok || len(t.Wrong) == 0 {
			t.Problem = "Please choose how to pay."
		}
	case "unavailable", "request-in-progress", "internal":
		t.Problem = "We could not place the order just now."
		t.Explained = "Press the button again in a moment: you will not be charged twice."
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "3")
	default:
		return t, 0
	}
	return t, status
}

// text writes an amount as the pages do.
func (s *service) text(m money.Money) string {
	return page.Formats(page.Locale(s.settings.Country))["money"].(func(money.Money) string)(m)
}
