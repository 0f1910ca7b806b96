package main

import (
	"errors"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/skus"
	"github.com/stampede-shop/stampede/kit/text"
)

// anonymous lets the edge keep pages that are the same for everybody. Browsers
// ask each time: a page that one has from before a login is not the shopper's.
const anonymous = "public, max-age=0, s-maxage=1"

func (s *service) routes(r chi.Router) {
	s.pages.Views = views
	page := s.pages.Handle
	r.Get("/assets/{asset}", s.pages.Assets)
	r.Get("/robots.txt", s.robots)
	r.Get("/sitemap.xml", s.getSitemap)
	r.Get("/products/{slug}/stock", s.stock)
	r.Get("/suggest", page(s.suggest))
	r.Group(func(r chi.Router) {
		r.Use(s.identify, s.ownForms)
		// The catalogue.
		r.Get("/", page(s.home))
		r.Get("/search", page(s.search))
		r.Get("/c/{category}", page(s.search))
		r.Get("/categories", page(s.getCategories))
		r.Get("/products/{slug}", page(s.product))
		r.Get("/products/{slug}/pictures/{n}", page(s.picture))
		r.Get("/pages/{slug}", page(s.getPage))
		s.dropRoutes(r)
		r.Get("/delivery", page(s.still("delivery", "Delivery and returns")))
		r.Get("/privacy", page(s.still("privacy", "Privacy")))

		// Who wants to hear that something is back.
		r.Get("/products/{slug}/notify", page(s.getNotify))
		r.Post("/products/{slug}/notify", page(s.postNotify))
		r.Get("/notify/{id}", page(s.getRequest))
		r.Post("/notify/{id}", page(s.postRequest))

		// What belongs to the shopper.
		r.Get("/my/header", page(s.header))
		r.Get("/cart", page(s.getCart))
		r.Get("/cart/drawer", page(s.drawer))
		r.Post("/cart/items", page(s.postItem))
		r.Post("/cart/empty", page(s.postEmpty))
		r.Get("/login", page(s.getLogin))
		r.Get("/login/callback", page(s.getCallback))
		r.Post("/logout", page(s.postLogout))
		r.Get("/account-deleted", page(s.getDeleted))
		r.Get("/register", page(s.getRegister))
		r.Post("/register", page(s.postRegister))
		r.Get("/verify", page(s.getVerify))
		r.Post("/verify", page(s.postVerify))
		r.Post("/verify/code", page(s.postVerifyCode))
		r.Get("/password/forgot", page(s.getForgot))
		r.Post("/password/forgot", page(s.postForgot))
		r.Get("/password/reset", page(s.getReset))
		r.Post("/password/reset", page(s.postReset))
		r.Post("/checkout", page(s.postCheckout)) // sees to an ended session itself
		r.Group(func(r chi.Router) {
			r.Use(s.loggedIn)
			r.Get("/checkout", page(s.getCheckout))
			r.Get("/checkout/summary", page(s.checkoutSummary))
			r.Get("/orders", page(s.getOrders))
			r.Get("/orders/{id}", page(s.getOrder))
			r.Get("/orders/{id}/status", page(s.orderStatus))
			r.Post("/orders/{id}/payment", page(s.postPayment))
			r.Post("/orders/{id}/cancellation", page(s.postCancellation))
			r.Get("/orders/{id}/address", page(s.getOrderAddress))
			r.Post("/orders/{id}/address", page(s.postOrderAddress))
			r.Get("/account", page(s.getAccount))
			r.Post("/account/profile", page(s.postProfile))
			r.Get("/account/addresses", page(s.getAddresses))
			r.Post("/account/addresses", page(s.postAddress))
			r.Post("/account/addresses/fields", page(s.addressFields))
			r.Get("/account/addresses/{id}", page(s.getAddress))
			r.Post("/account/addresses/{id}", page(s.putAddress))
			r.Post("/account/addresses/{id}/removal", page(s.deleteAddress))
			r.Get("/account/deletion", page(s.getDeletion))
			r.Post("/account/deletion", page(s.postDeletion))
			r.Get("/account/email", page(s.getEmail))
			r.Post("/account/email", page(s.postEmail))
			r.Get("/account/email/code", page(s.getEmailCode))
			r.Post("/account/email/code", page(s.postEmailCode))
			r.Get("/account/security", page(s.getSecurity))
			r.Get("/account/data", page(s.getData))
			r.Post("/account/password", page(s.postPassword))
		})
	})
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { s.pages.Problem(w, r, problem.ErrNotFound) })
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		s.pages.Problem(w, r, rest.ErrMethodNotAllowed)
	})
}

// frame is what the layout wants to know about a page.
type frame struct {
	Lang        string
	Home        string // the shop's own address
	Path        string
	Description string
	Canonical   string
	Image       string
	NoIndex     bool
	Data        any // structured data of schema.org
	Category    string
	Query       string
	Product     string // the slug of the product that the page shows
	Token       string // for forms; empty for guests
	LoggedIn    bool
	Refresh     int    // seconds, for browsers without scripts
	Script      string // an asset that this page needs besides
	Bare        bool   // a page that leads nowhere else: head and foot are small
	Foot        []pageLink
	Help        string // where to find it

	categories []category
}

// Menu are the categories that head and foot name.
func (f *frame) Menu() []category { return menuOf(f.categories, f.Category) }

// More tells whether there are others.
func (f *frame) More() bool { return len(topOf(f.categories)) > menuMost }

// frame is that of any page: not for search engines.
func (s *service) frame(r *http.Request) *frame {
	f := &frame{Lang: page.Locale(s.settings.Country), Home: s.public, Path: r.URL.Path, NoIndex: true}
	f.categories = s.catalogue.all(r.Context())
	f.Foot = s.foot(r.Context())
	f.Help = helpAt(f.Foot)
	if n := shopperOf(r.Context()).session; n != nil {
		f.LoggedIn, f.Token = true, n.token()
	}
	return f
}

// private is the frame of a page that is for one shopper.
func (s *service) private(r *http.Request) *frame { return s.frame(r) }

// forAll is the frame of a page that search engines may know by path.
func (s *service) forAll(r *http.Request, path, description string) *frame {
	f := s.frame(r)
	f.NoIndex, f.Canonical, f.Description = false, s.public+path, description
	return f
}

// shared lets the edge keep an answer, unless it carries something of a
// session.
func shared(w http.ResponseWriter, r *http.Request, how string) {
	who := shopperOf(r.Context())
	if who.session == nil && !who.ended && who.failed == nil {
		w.Header().Set("Cache-Control", how)
	}
}

// partial tells whether a script asks for a part of the page.
func partial(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// loggedIn sends who has no session to the login, and back afterwards.
func (s *service) loggedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := shopperOf(r.Context())
		if who.failed != nil {
			s.pages.Problem(w, r, who.failed)
			return
		}
		if who.session != nil {
			next.ServeHTTP(w, r)
			return
		}
		back := r.URL.RequestURI()
		if r.Method != http.MethodGet {
			back = local(pathOf(r.Referer()), "/account")
		}
		if partial(r) {
			w.Header().Set("HX-Redirect", loginURL(local(pathOf(r.Header.Get("HX-Current-URL")), "/account")))
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Redirect(w, r, loginURL(back), http.StatusSeeOther)
	})
}

// pathOf is the path and query of an address.
func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.RequestURI()
}

// againView is the Data of the page "again".
type againView struct {
	Action string
	Fields []sentField
}

type sentField struct{ Name, Value string }

// again shows a form once more that came without the session's token, with
// what was typed and a button. Passwords are not repeated.
func (s *service) again(r *http.Request) page.Answer {
	var fields []sentField
	for name, values := range r.PostForm {
		if name == "token" || strings.Contains(name, "password") {
			continue
		}
		for _, v := range values {
			fields = append(fields, sentField{name, v})
		}
	}
	slices.SortFunc(fields, func(a, b sentField) int { return strings.Compare(a.Name, b.Name) })
	return page.Show("again", page.View{
		Status: http.StatusForbidden, Title: "One more click", Meta: s.private(r), Data: againView{r.URL.Path, fields},
	})
}

// slugOf is the slug of a problem, or "".
func slugOf(err error) string {
	var p *problem.Error
	if errors.As(err, &p) {
		return p.Slug()
	}
	return ""
}

// member reads a problem's own member into v.
func member(err error, key string) any {
	var p *problem.Error
	if errors.As(err, &p) {
		return p.Member(key)
	}
	return nil
}

// fieldErrors gives what is wrong with each field of a form, by the last part
// of its name.
func fieldErrors(err error) map[string]string {
	var p *problem.Error
	if !errors.As(err, &p) || p.Kind() != problem.Invalid {
		return nil
	}
	wrong := map[string]string{}
	for _, f := range p.Fields() {
		name := f.Location[strings.LastIndex(f.Location, ".")+1:]
		wrong[name] = wordsAbout(name, f)
	}
	return wrong
}

// wordsOf are what shoppers read about a field, by its name and the code; then
// by the code alone.
var (
	wordsOf = map[string]map[problem.Code]string{
		"city":    oneLine,
		"country": {problem.CodeNotAllowed: "The shop does not deliver there.", problem.CodeNotOneOf: "The shop does not deliver there."},
		"email":   {problem.CodeWrongFormat: "Is not an e-mail address."},
		"line1":   oneLine,
		"line2":   oneLine,
		"name":    oneLine,
		"phone":   {problem.CodeWrongFormat: "Must be in international form, for instance +44 20 7946 0000."},
		"postal_code": {
			problem.CodeWrongFormat: "Does not look like one of this country.",
			problem.CodeNotAllowed:  "Is not in the state or province below.",
		},
		"region": {problem.CodeNotOneOf: "Please choose one of the list."},
	}
	oneLine  = map[problem.Code]string{problem.CodeWrongFormat: "Must be one line of text."}
	wordsFor = map[problem.Code]string{
		problem.CodeRequired: "Please fill this in.",
		problem.CodeTooShort: "That is too short.",
		problem.CodeTooLong:  "That is too long.",
	}
)

// wordsAbout are what shoppers read about a wrong field. Rules that only the
// service knows are told in its words.
func wordsAbout(name string, wrong problem.FieldError) string {
	if words, ok := wordsOf[name][wrong.Code]; ok {
		return words
	}
	if words, ok := wordsFor[wrong.Code]; ok {
		return words
	}
	return sentence(wrong.Message)
}

// sentence begins with a capital and ends with a full stop.
func sentence(words string) string {
	first, size := utf8.DecodeRuneInString(words)
	if size == 0 {
		return ""
	}
	words = strings.ToUpper(string(first)) + words[size:]
	if !strings.HasSuffix(words, ".") {
		words += "."
	}
	return words
}

// cleanText tells text from what no service takes.
func cleanText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// field is a text field of a form, as a line (kit/text). What no line can hold is left for the services to refuse.
func field(r *http.Request, name string) string {
	line, _ := text.Line(r.PostForm.Get(name))
	return line
}

// still is a page without anything of its own.
func (s *service) still(name, title string) page.Handler {
	return func(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
		shared(w, r, anonymous)
		return page.Show(name, page.View{Title: title, Meta: s.forAll(r, r.URL.Path, title+" at Stampede.")}), nil
	}
}

// funcs are what the templates of the storefront use besides.
func (s *service) funcs() template.FuncMap {
	known, zone := s.factsOf(), s.settings.Zone.Location()
	all := template.FuncMap{
		"shop": func() facts { return known },
		"until": func(t *time.Time) template.HTML {
			if t == nil {
				return ""
			}
			at := t.In(zone)
			// Nothing but a time gets in here.
			return template.HTML(`<time datetime="` + at.Format(time.RFC3339) + `" data-until>until ` + at.Format("15:04 MST") + `</time>`)
		},
		"count": func(n int, one, many string) string {
			if n == 1 {
				return "1 " + one
			}
			return itoa(n) + " " + many
		},
		"wait":    wait,
		"upto":    upto,
		"reason":  reason,
		"method":  methodName,
		"segment": skus.Segment, // of a SKU, which may have spaces in it: for ids
	}
	maps.Copy(all, parts)
	return all
}

// wait says a Retry-After, in seconds, as people do.
func wait(seconds string) string {
	n, err := strconv.Atoi(seconds)
	switch {
	case err != nil || n < 1:
		return "a moment"
	case n == 1:
		return "a second"
	case n < 90:
		return itoa(n) + " seconds"
	}
	return itoa((n+59)/60) + " minutes"
}

// upto lists the numbers from 1 to n.
func upto(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}
