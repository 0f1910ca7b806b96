package main

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/microcosm-cc/bluemonday"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

const pagesAPI = "/api/v1/admin/products/pages"

// shopPage is a page that the shop writes itself, as products tells it.
type shopPage struct {
	Slug       string    `json:"slug"`
	Title      string    `json:"title"`
	Body       string    `json:"body"`
	Published  bool      `json:"published"`
	Foot       int       `json:"foot"`
	Categories []string  `json:"categories"`
	Products   []string  `json:"products"`
	Version    int       `json:"version"`
	ChangedAt  time.Time `json:"changed_at"`
}

func pageAt(slug, act string) string { return "/admin/pages/" + act + "?slug=" + url.QueryEscape(slug) }

func pageAPI(slug string) string { return pagesAPI + "/" + url.PathEscape(slug) }

var pageList = list[shopPage]{
	Read: func(ctx context.Context, s *service, _ url.Values) (out found[shopPage], err error) { // there are few, so products tells all
		out.items, err = get[items[shopPage]](ctx, s, "products", pagesAPI, nil)
		return out, err
	},
	At: "/admin/pages", Title: "Pages",
	Lead: "What the shop writes itself: returns, contact, sizes.",
	Columns: []column[shopPage]{
		{Name: "Page", Class: "wide", Cell: func(p shopPage) cell {
			return cell{Text: p.Title, Href: pageAt(p.Slug, "change"), Note: "/pages/" + p.Slug}
		}},
		{Name: "Status", Cell: func(p shopPage) cell { return status(map[bool]string{true: "published", false: "draft"}[p.Published]) }},
		{Name: "In the foot", Class: "number", Cell: func(p shopPage) cell {
			if p.Foot == 0 {
				return cell{}
			}
			return number(p.Foot)
		}},
		{Name: "Changed", Cell: func(p shopPage) cell { return moment(p.ChangedAt) }},
		{Name: "Act", Act: true, Cell: func(p shopPage) cell { return cell{Text: "Delete…", Href: pageAt(p.Slug, "delete")} }},
	},
	Acts:  []link{{Name: "New page", Href: "/admin/pages/new", On: true}},
	Empty: empty{Title: "No pages yet", Text: "Write the first one.", Link: link{Name: "New page", Href: "/admin/pages/new"}},
}

func (s *service) pageRoutes(r chi.Router) {
	pageList.routes(s, r)
	s.form(r, "/admin/pages/new", s.newPage, s.createPage)
	s.form(r, "/admin/pages/change", s.showPage, s.changePage)
	s.form(r, "/admin/pages/delete", s.showPageRemoval, s.removePage)
}

// policy is what the HTML of a preview may have, sanitised once more at the border where it becomes part of a page.
var policy = bluemonday.UGCPolicy()

// pageView is the Data of the page "page": the form, and what its text looks like.
type pageView struct {
	Form    form
	Version int
	Preview template.HTML
	Shown   bool
}

func pageForm(p shopPage, isNew bool) form {
	checked := ""
	if p.Published {
		checked = "1"
	}
	foot := ""
	if p.Foot > 0 {
		foot = strconv.Itoa(p.Foot)
	}
	f := form{
		Heading: p.Title, Button: "Save", Action: pageAt(p.Slug, "change"), Back: "/admin/pages", BackTo: "Back to the pages",
		Crumbs: []crumb{{"Pages", "/admin/pages"}},
		Fields: []field{
			{Name: "title", Label: "Title", Value: p.Title, Required: true, Max: 255},
			{Name: "body", Label: "Text", Value: p.Body, Type: "textarea", Required: true, Max: 65_536,
				Hint: "Markdown: ## a heading, **bold**, [a link](/delivery), lists that begin with -, tables with | between the cells. " +
					"HTML is left out."},
			{Name: "published", Label: "Shoppers can read it", Type: "checkbox", Value: checked},
			{Name: "foot", Label: "Place in the foot of each page", Value: foot, Mode: "numeric", Max: 4,
				Hint: "Empty: it is not named there."},
			{Name: "categories", Label: "Size guide of these categories", Value: strings.Join(p.Categories, ", "),
				Hint: "Their addresses, with commas between. What is below them is included."},
			{Name: "products", Label: "Size guide of these products", Value: strings.Join(p.Products, ", "),
				Hint: "Their addresses, with commas between."},
		},
	}
	if isNew {
		f.Heading, f.Button, f.Action = "New page", "Create", "/admin/pages/new"
		slug := field{
			Name: "slug", Label: "Address", Max: 255,
			Hint: "Its name in the shop’s addresses, for ever. Left empty, it is made from the title.",
		}
		f.Fields = append(f.Fields[:1:1], append([]field{slug}, f.Fields[1:]...)...)
	}
	return f
}

func (v pageView) show() page.Answer {
	return page.Show("page", page.View{Title: v.Form.Heading, Status: v.Form.Status, Data: v})
}

func (s *service) newPage(*http.Request) (page.Answer, error) {
	return pageView{Form: pageForm(shopPage{}, true)}.show(), nil
}

// pageInput reads the form. A place that is no number is refused by products as one below 0 is.
func pageInput(sent url.Values) map[string]any {
	foot := 0
	if typed := strings.TrimSpace(sent.Get("foot")); typed != "" {
		var err error
		if foot, err = strconv.Atoi(typed); err != nil {
			foot = -1
		}
	}
	return map[string]any{
		"title": sent.Get("title"), "body": strings.ReplaceAll(sent.Get("body"), "\r\n", "\n"),
		"published": sent.Get("published") != "", "foot": foot,
		"categories": append([]string{}, commas(sent.Get("categories"))...),
		"products":   append([]string{}, commas(sent.Get("products"))...),
	}
}

// previewed answers a form whose button was "Preview": as it was typed, with what the text looks like.
func (s *service) previewed(r *http.Request, v pageView) (page.Answer, error) {
	var out struct {
		HTML string `json:"html"`
	}
	v.Form.fill(r.PostForm)
	in := map[string]string{"body": r.PostForm.Get("body")}
	if err := s.call(r.Context(), "products", http.MethodPost, pagesAPI+"/preview", in, &out); err != nil {
		return v.refused(r, err)
	}
	v.Preview, v.Shown = template.HTML(policy.Sanitize(out.HTML)), true
	return v.show(), nil
}

func (v pageView) refused(r *http.Request, err error) (page.Answer, error) {
	v.Form.fill(r.PostForm)
	if !v.Form.refuse(err) {
		return nil, err
	}
	return v.show(), nil
}

func (s *service) createPage(r *http.Request) (page.Answer, error) {
	v := pageView{Form: pageForm(shopPage{}, true)}
	if r.PostForm.Has("preview") {
		return s.previewed(r, v)
	}
	in := pageInput(r.PostForm)
	if slug := strings.TrimSpace(r.PostForm.Get("slug")); slug != "" {
		in["slug"] = slug
	}
	var made shopPage
	if err := s.call(r.Context(), "products", http.MethodPost, pagesAPI, in, &made); err != nil {
		return v.refused(r, err)
	}
	return to(pageAt(made.Slug, "change"), "created"), nil
}

func (s *service) readPage(r *http.Request) (shopPage, error) {
	slug := r.URL.Query().Get("slug")
	if slug == "" {
		return shopPage{}, problem.ErrNotFound
	}
	return get[shopPage](r.Context(), s, "products", pageAPI(slug), nil)
}

func (s *service) showPage(r *http.Request) (page.Answer, error) {
	p, err := s.readPage(r)
	if err != nil {
		return nil, err
	}
	return pageView{Form: pageForm(p, false), Version: p.Version}.show(), nil
}

// changePage saves the form, unless somebody else has changed the page since it was opened.
func (s *service) changePage(r *http.Request) (page.Answer, error) {
	p, err := s.readPage(r)
	if err != nil {
		return nil, err
	}
	v := pageView{Form: pageForm(p, false)}
	v.Version, _ = strconv.Atoi(r.PostForm.Get("version"))
	if r.PostForm.Has("preview") {
		return s.previewed(r, v)
	}
	in := pageInput(r.PostForm)
	in["version"] = v.Version
	if err := s.call(r.Context(), "products", http.MethodPut, pageAPI(p.Slug), in, nil); err != nil {
		return v.refused(r, err)
	}
	return to(pageAt(p.Slug, "change"), "saved"), nil
}

func (s *service) showPageRemoval(r *http.Request) (page.Answer, error) {
	p, err := s.readPage(r)
	if err != nil {
		return nil, err
	}
	return form{
		Heading: "Delete “" + p.Title + "”?", Button: "Delete", Danger: true, Action: pageAt(p.Slug, "delete"),
		Text: []string{"Links to it will lead nowhere. It cannot be brought back."},
		Back: pageAt(p.Slug, "change"), BackTo: "Keep it", Crumbs: []crumb{{"Pages", "/admin/pages"}},
	}.show(), nil
}

func (s *service) removePage(r *http.Request) (page.Answer, error) {
	p, err := s.readPage(r)
	if err == nil {
		err = s.call(r.Context(), "products", http.MethodDelete, pageAPI(p.Slug), nil, nil)
	}
	if err != nil {
		return nil, err
	}
	return to("/admin/pages", "page-deleted"), nil
}
