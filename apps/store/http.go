package main

import (
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

// anonymous lets the edge keep pages that are the same for everybody.
const anonymous = "public, max-age=1, stale-while-revalidate=5"

func (s *service) routes(r chi.Router) {
	r.Get("/", s.pages.Handle(s.listing))
	r.Get("/products/{slug}", s.pages.Handle(s.product))
	r.Get("/assets/{asset}", s.pages.Assets)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { s.pages.Problem(w, r, problem.ErrNotFound) })
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		s.pages.Problem(w, r, problem.FromStatus(http.StatusMethodNotAllowed))
	})
}

// listingView is the Data of the page "listing".
type listingView struct {
	Query, Category string
	Categories      []category
	Products        []summary
	Next            string // address of the next page, empty at the end
}

// listing shows products: all, of a category, or found by words.
func (s *service) listing(w http.ResponseWriter, r *http.Request) (string, page.View, error) {
	asked := r.URL.Query()
	query := url.Values{}
	for _, name := range []string{"q", "category", "cursor"} {
		if v := asked.Get(name); v != "" {
			query.Set(name, v)
		}
	}
	found, err := s.products(r.Context(), query)
	if err != nil {
		return "", page.View{}, err
	}
	categories, err := s.categories(r.Context())
	if err != nil {
		return "", page.View{}, err
	}
	v := listingView{Query: query.Get("q"), Category: query.Get("category"), Categories: categories, Products: found.Items}
	title := "New in"
	for _, c := range categories {
		if c.Slug == v.Category {
			title = c.Name
		}
	}
	if v.Query != "" {
		title = "Found for “" + v.Query + "”"
	}
	if found.NextCursor != nil {
		query.Set("cursor", *found.NextCursor)
		v.Next = "/?" + query.Encode()
	}
	w.Header().Set("Cache-Control", anonymous)
	return "listing", page.View{Title: title, Data: v}, nil
}

// product shows one product with its variants.
func (s *service) product(w http.ResponseWriter, r *http.Request) (string, page.View, error) {
	p, err := s.productBySlug(r.Context(), chi.URLParam(r, "slug"))
	if err != nil {
		return "", page.View{}, err
	}
	w.Header().Set("Cache-Control", anonymous)
	return "product", page.View{Title: p.Name, Data: p}, nil
}
