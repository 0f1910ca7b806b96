package main

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

func (s *service) routes(r chi.Router) {
	s.pages.Views = views
	r.Group(func(r chi.Router) {
		r.Use(s.staffOnly, s.ownForms)
		s.dashboardRoutes(r)
		s.orderRoutes(r)
		s.productRoutes(r)
		s.dropRoutes(r)
		s.pageRoutes(r)
		s.inventoryRoutes(r)
		s.customerRoutes(r)
		s.paymentRoutes(r)
		s.mailRoutes(r)
		s.letterRoutes(r)
		r.Post(logoutPath, s.logout)
		r.NotFound(func(w http.ResponseWriter, r *http.Request) { s.pages.Problem(w, r, problem.ErrNotFound) })
	})
	r.Get("/admin/assets/{asset}", s.pages.Assets)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { s.pages.Problem(w, r, problem.ErrNotFound) })
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		s.pages.Problem(w, r, rest.ErrMethodNotAllowed)
	})
}

// handler finds the answer to a request. Pages of the back office set neither
// headers nor cookies, so it has nothing to write to.
type handler func(r *http.Request) (page.Answer, error)

// page makes an HTTP handler of fn.
func (s *service) page(fn handler) http.HandlerFunc {
	return s.pages.Handle(func(_ http.ResponseWriter, r *http.Request) (page.Answer, error) { return fn(r) })
}

// form puts a form at an address: GET shows it, POST does what it says.
func (s *service) form(r chi.Router, at string, show, do handler) {
	r.Get(at, s.page(show))
	r.Post(at, s.page(do))
}

// action registers what a button does, by POST. When the login has ended, the
// browser comes back from the login page with a GET: that leads to the page
// with the button, which says that nothing was done.
func (s *service) action(r chi.Router, at string, do handler) {
	r.Get(at, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, parent(r)+"?lost=1", http.StatusFound)
	})
	r.Post(at, s.page(do))
}

// parent is the address of the page that a button is on.
func parent(r *http.Request) string {
	at := r.URL.EscapedPath()
	return at[:strings.LastIndexByte(at, '/')]
}

// logoutPath is open to those who may do nothing else here.
const logoutPath = "/admin/logout"

// session is the cookie of the edge sidecar's oauth2 middleware.
const session = "gosessionsid"

// staffOnly lets in who has the role ADMIN. The oauth2 middleware logs in but
// neither looks at roles nor notices when the token ends: then its cookie is
// dropped and the browser goes round by the login page again.
func (s *service) staffOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private, no-store")
		caller, given, err := rest.Authenticate(s.verifier, r.Header.Get("Authorization"))
		switch {
		case errors.Is(err, auth.ErrNoKeys):
			s.pages.Problem(w, r, problem.ErrUnavailable.Because(err))
		case err != nil:
			if r.Method == http.MethodGet {
				endSession(w)
				http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
				return
			}
			s.pages.Problem(w, r, errLoginEnded) // whose link is a GET; the page's style needs the session
		case !given:
			s.pages.Problem(w, r, problem.ErrUnauthenticated)
		case !caller.Has(auth.RoleAdmin):
			if r.Method == http.MethodPost && r.URL.Path == logoutPath {
				next.ServeHTTP(w, r)
				return
			}
			r = r.WithContext(auth.With(r.Context(), caller)) // the page lets them log out
			s.pages.Problem(w, r, errNotStaff.Detail("%s may not use the back office.", caller.Email))
		default:
			next.ServeHTTP(w, r.WithContext(auth.With(r.Context(), caller)))
		}
	})
}

func endSession(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: session, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// logout ends the session at the edge, and goes on to Keycloak's page that ends
// its own: else the next visit would be logged in again without a password.
func (s *service) logout(w http.ResponseWriter, r *http.Request) {
	endSession(w)
	http.Redirect(w, r, s.issuer+"/protocol/openid-connect/logout?"+url.Values{
		"client_id": {"backoffice"}, "post_logout_redirect_uri": {s.public + "/admin"},
	}.Encode(), http.StatusSeeOther)
}

// errNotStaff is of accounts without the role ADMIN.
var errNotStaff = problem.New(problem.Forbidden, "not-staff", "Not allowed")

// What becomes of a form whose login is not the one it was made for. Neither
// did anything.
var (
	errLoginEnded = problem.New(problem.Unauthenticated, "login-ended", "Your login has ended").
			Detail("What you sent did nothing. Log in again: the form is then as you left it.")
	errOtherLogin = problem.New(problem.Forbidden, "other-login", "This form is from an earlier login").
			Detail("What you sent did nothing. Open the form again: it is then as you left it.")
)

// maxForm bounds what a form may carry, maxUpload one with a file: what the
// edge lets through.
const (
	maxForm   = 1 << 20
	maxUpload = 64 << 20
)

// ownForms lets forms through that a page of ours sent, for this login.
func (s *service) ownForms(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		if !page.SameOrigin(r, s.public) {
			s.pages.Problem(w, r, page.ErrForeignForm)
			return
		}
		// The server removes files of the request that it made, not of this copy of it.
		defer func() {
			if r.MultipartForm != nil {
				_ = r.MultipartForm.RemoveAll() // what is left is in the folder of temporary files
			}
		}()
		if err := parse(w, r); err != nil {
			s.pages.Problem(w, r, problem.ErrTooLarge.Because(err))
			return
		}
		cookie, err := r.Cookie(session)
		if err != nil || !page.CheckFormToken(cookie.Value, r.PostForm.Get("token")) {
			s.pages.Problem(w, r, errOtherLogin)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// parse reads a form. Of a file only so much is kept in memory, the rest on
// disk.
func parse(w http.ResponseWriter, r *http.Request) error {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
		return r.ParseMultipartForm(4 << 20)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	return r.ParseForm()
}

// frame is what the layout wants to know.
type frame struct {
	Lang   string
	Caller string
	Token  string // of this login's forms
	Groups []group
	Done   string // what the page before has done
	Lost   bool   // a form met an ended login
	Again  string // where to go when a form was lost
	Up     string // the page that a button was on
}

type group struct {
	Name  string
	Links []link
}

type link struct {
	Name, Href, Icon string
	On               bool
}

var menu = []group{
	{"", []link{{Name: "Dashboard", Href: "/admin", Icon: "gauge"}}},
	{"Sell", []link{
		{Name: "Orders", Href: "/admin/orders", Icon: "bag"},
		{Name: "Drops", Href: "/admin/drops", Icon: "ticket"},
		{Name: "Customers", Href: "/admin/customers", Icon: "people"},
		{Name: "Payments", Href: "/admin/payments", Icon: "card"},
	}},
	{"Stock", []link{
		{Name: "Products", Href: "/admin/products", Icon: "tag"},
		{Name: "Categories", Href: "/admin/categories", Icon: "tree"},
		{Name: "Inventory", Href: "/admin/inventory", Icon: "boxes"},
		{Name: "Pages", Href: "/admin/pages", Icon: "page"},
	}},
	{"Machinery", []link{
		{Name: "Mails", Href: "/admin/mails", Icon: "mail"},
		{Name: "Dead letters", Href: "/admin/letters", Icon: "alert"},
	}},
}

// notices are what a page says after the act that a query names.
var notices = map[string]string{
	"shipped": "Shipped. The customer is told by mail.", "reshipped": "Corrected. The customer is told by mail.",
	"readdressed": "It goes to the other address.",
	"delivered":   "Marked as delivered.", "cancelled": "Cancelled.",
	"refunded": "The refund is on its way to the customer's card.",
	"created":  "Created.", "saved": "Saved.", "published": "Published. Shoppers can see it now.", "unlisted": "Unlisted. Shoppers no longer see it.",
	"picture": "The picture was added.", "picture-removed": "The picture was removed.", "variant-removed": "The variant was removed.",
	"page-deleted":   "The page was deleted.",
	"drop-scheduled": "Scheduled. Shoppers can see it as soon as the units are set aside.",
	"drop-paused":    "Paused. Nobody is called, and nothing can be taken.", "drop-resumed": "It goes on.",
	"drop-units-asked": "The stock is being asked for the units. The public log says what becomes of it.",
	"drop-units":       "The units were added.", "drop-message": "Those who wait read it within seconds.",
	"drop-ended": "Ended.", "drop-excluded": "Shut out. It stands in the public log.",
	"category-deleted": "The category was deleted.", "moved": "The movement is in the ledger.", "released": "The hold was released.", "lapsed": "There was no such hold any more.",
	"was-cancelled": "It was cancelled already, and stays as it was.", "was-suspended": "It was suspended already; the first reason stays.",
	"suspended": "Suspended. Every session of the account has ended.", "activated": "The account is active again.",
	"resent": "The mail is queued once more.", "redriven": "Handled. It is no longer among the dead letters.", "dropped": "Dropped for good.",
}

func (s *service) frame(r *http.Request) frame {
	q := r.URL.Query()
	f := frame{Lang: page.Locale(s.settings.Country), Done: notices[q.Get("done")], Lost: r.Method == http.MethodGet && (q.Has("lost") || q.Has("sent")), Up: parent(r)}
	q.Del("sent")
	f.Again = with(address(r.URL.EscapedPath(), q), "lost", "1")
	caller, ok := auth.From(r.Context())
	if !ok {
		return f
	}
	f.Caller = caller.Email
	if cookie, err := r.Cookie(session); err == nil {
		f.Token = page.FormToken(cookie.Value)
	}
	if !caller.Has(auth.RoleAdmin) {
		return f
	}
	for _, g := range menu {
		on := group{Name: g.Name}
		for _, l := range g.Links {
			l.On = l.Href == r.URL.Path || l.Href != "/admin" && strings.HasPrefix(r.URL.Path, l.Href+"/")
			on.Links = append(on.Links, l)
		}
		f.Groups = append(f.Groups, on)
	}
	return f
}

// with adds to a query.
func with(at, name, value string) string {
	sign := "?"
	if strings.Contains(at, "?") {
		sign = "&"
	}
	return at + sign + url.QueryEscape(name) + "=" + url.QueryEscape(value)
}
