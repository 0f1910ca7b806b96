package main

import (
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// statuses are the tabs over the list of orders.
var statuses = []string{"", "pending", "confirmed", "shipped", "delivered", "cancelled"}

func (s *service) routes(r chi.Router) {
	r.Group(func(r chi.Router) {
		r.Use(s.staffOnly)
		r.Get("/admin", s.pages.Handle(s.orders))
	})
	r.Get("/admin/assets/{asset}", s.pages.Assets)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { s.pages.Problem(w, r, problem.ErrNotFound) })
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		s.pages.Problem(w, r, problem.FromStatus(http.StatusMethodNotAllowed))
	})
}

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
		case err != nil:
			http.SetCookie(w, &http.Cookie{Name: session, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
			if r.Method == http.MethodGet {
				http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
				return
			}
			s.pages.Problem(w, r, problem.ErrUnauthenticated.Detail("Your login has ended. Load the page to log in again."))
		case !given:
			s.pages.Problem(w, r, problem.ErrUnauthenticated)
		case !caller.Has(auth.RoleAdmin):
			s.pages.Problem(w, r, problem.ErrForbidden.Detail("%s may not use the back office.", caller.Email))
		default:
			next.ServeHTTP(w, r.WithContext(auth.With(r.Context(), caller)))
		}
	})
}

// ordersView is the Data of the page "orders".
type ordersView struct {
	Statuses []string
	Status   string
	Orders   []order
	Next     string // address of the next page, empty at the end
	Caller   string
}

func (s *service) orders(_ http.ResponseWriter, r *http.Request) (string, page.View, error) {
	asked, query := r.URL.Query(), url.Values{}
	for _, name := range []string{"status", "cursor"} {
		if v := asked.Get(name); v != "" {
			query.Set(name, v)
		}
	}
	caller := auth.Must(r.Context())
	found, err := s.listOrders(r.Context(), caller.Token, query)
	if err != nil {
		return "", page.View{}, err
	}
	v := ordersView{Statuses: statuses, Status: query.Get("status"), Orders: found.Items, Caller: caller.Email}
	if found.NextCursor != nil {
		query.Set("cursor", *found.NextCursor)
		v.Next = "/admin?" + query.Encode()
	}
	return "orders", page.View{Title: "Orders", Data: v}, nil
}
