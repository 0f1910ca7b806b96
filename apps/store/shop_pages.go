package main

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/page"
)

// pageLink leads to a page that the shop has written itself.
type pageLink struct {
	Slug  string `json:"slug"`
	Title string `json:"title"`
}

// shopPage is one, as products tells it.
type shopPage struct {
	pageLink
	Text string `json:"html"`
}

// HTML is its text, sanitised once more at the border where it becomes part of a page.
func (p shopPage) HTML() template.HTML { return template.HTML(policy.Sanitize(p.Text)) }

// foot lists the shop's own pages; the last known ones while products is away.
func (s *service) foot(ctx context.Context) []pageLink {
	return s.footKept.get(s.now(), categoriesFresh, func() ([]pageLink, error) {
		out, err := get[items[pageLink]](asNobody(ctx), s, "products", "/api/v1/pages", nil)
		return out.Items, err
	}, func([]pageLink) bool { return false })
}

// helpAt is where somebody finds help who is about to pay: the shop's page about how to reach it, when it has one.
func helpAt(links []pageLink) string {
	if slices.ContainsFunc(links, func(l pageLink) bool { return l.Slug == "contact" }) {
		return "/pages/contact"
	}
	return "/delivery"
}

// getPage shows a page that the shop has written itself.
func (s *service) getPage(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	path := "/pages/" + url.PathEscape(chi.URLParam(r, "slug"))
	p, err := get[shopPage](asNobody(r.Context()), s, "products", "/api/v1"+path, nil)
	if err != nil {
		return nil, err
	}
	shared(w, r, anonymous)
	return page.Show("page", page.View{Title: p.Title, Meta: s.forAll(r, path, p.Title+" at Stampede."), Data: p}), nil
}
