package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

const categoriesAPI = "/api/v1/admin/products/categories"

type category struct {
	Slug         string  `json:"slug"`
	Name         string  `json:"name"`
	Parent       *string `json:"parent"`
	ProductCount int     `json:"product_count"`
	Depth        int     `json:"-"`
}

func (c category) at(act string) string {
	return "/admin/categories/" + act + "?slug=" + url.QueryEscape(c.Slug)
}

// categories reads all of them, each behind its parent.
func (s *service) categories(ctx context.Context) ([]category, error) {
	found, err := get[items[category]](ctx, s, "products", categoriesAPI, nil)
	if err != nil {
		return nil, err
	}
	return tree(found.Items), nil
}

func tree(all []category) []category {
	under := map[string][]category{}
	for _, c := range all {
		parent := ""
		if c.Parent != nil {
			parent = *c.Parent
		}
		under[parent] = append(under[parent], c)
	}
	var out []category
	var walk func(parent string, depth int)
	walk = func(parent string, depth int) {
		children := under[parent]
		slices.SortFunc(children, func(a, b category) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
		for _, c := range children {
			c.Depth = depth
			out = append(out, c)
			walk(c.Slug, depth+1)
		}
	}
	walk("", 0)
	return out
}

// choices are categories to choose from.
func choices(all []category) (out []option) {
	for _, c := range all {
		out = append(out, option{Value: c.Slug, Label: strings.Repeat("– ", c.Depth) + c.Name})
	}
	return out
}

// categoryList is the whole tree on one page; searched or sorted by something
// else it is flat.
var categoryList = list[category]{
	At: "/admin/categories", Title: "Categories",
	Filters: []filter{{Name: "q", Type: "search", Label: "Name or address"}},
	Sorts: []option{
		{Value: "tree", Label: "As a tree"}, {Value: "name", Label: "By name"}, {Value: "-name", Label: "By name, Z first"},
		{Value: "-products", Label: "Most products first"}, {Value: "products", Label: "Fewest products first"},
	},
	Columns: []column[category]{
		{Name: "Category", Class: "wide", Up: "name", Down: "-name", Cell: func(c category) cell {
			return cell{Text: c.Name, Href: c.at("change"), Note: c.Slug, Depth: c.Depth}
		}},
		{Name: "Address", Hidden: true, Cell: func(c category) cell { return text(c.Slug) }},
		{Name: "Under", Hidden: true, Cell: func(c category) cell {
			if c.Parent == nil {
				return cell{}
			}
			return text(*c.Parent)
		}},
		{Name: "Products", Class: "number", Up: "products", Down: "-products", Cell: func(c category) cell {
			return linked(number(c.ProductCount), "/admin/products?category="+url.QueryEscape(c.Slug))
		}},
		{Name: "Act", Act: true, Cell: func(c category) cell { return cell{Text: "Delete…", Href: c.at("delete")} }},
	},
	Empty: empty{Title: "No categories yet", Text: "Make the first one beside."},
}

// listCategories is categoryList of all categories.
func listCategories(all []category) list[category] {
	l := categoryList
	l.Read = func(_ context.Context, _ *service, query url.Values) (found[category], error) {
		return pick(all, query)
	}
	return l
}

// pick searches and sorts categories as a query of the list wants it.
func pick(all []category, query url.Values) (out found[category], err error) {
	q, sort := strings.ToLower(query.Get("q")), query.Get("sort")
	for _, c := range all {
		if sort != "tree" || q != "" {
			c.Depth = 0
		}
		if strings.Contains(strings.ToLower(c.Name+" "+c.Slug), q) {
			out.Items = append(out.Items, c)
		}
	}
	down := 1
	if strings.HasPrefix(sort, "-") {
		down = -1
	}
	switch strings.TrimPrefix(sort, "-") {
	case "tree":
	case "name":
		slices.SortStableFunc(out.Items, func(a, b category) int {
			return down * strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		})
	case "products":
		slices.SortStableFunc(out.Items, func(a, b category) int { return down * (a.ProductCount - b.ProductCount) })
	default:
		return out, problem.InvalidField("query.sort", ownWords, "is not a way to sort this list")
	}
	return out, nil
}

func (s *service) categoryRoutes(r chi.Router) {
	s.form(r, "/admin/categories", s.showCategories, s.createCategory)
	r.Get("/admin/categories.csv", func(w http.ResponseWriter, r *http.Request) {
		all, err := s.categories(r.Context())
		if err != nil {
			s.pages.Problem(w, r, err)
			return
		}
		listCategories(all).file(s, w, r)
	})
	s.form(r, "/admin/categories/change", s.showCategory, s.changeCategory)
	s.form(r, "/admin/categories/delete", s.showDelete, s.deleteCategory)
}

// categoriesView is the Data of the page "categories".
type categoriesView struct {
	List   listView
	Create form
}

func (s *service) categoriesPage(r *http.Request) (categoriesView, int, error) {
	all, err := s.categories(r.Context())
	if err != nil {
		return categoriesView{}, 0, err
	}
	var (
		v      categoriesView
		status int
	)
	v.List, status, err = listCategories(all).view(s, r)
	v.Create = form{Heading: "New category", Action: "/admin/categories", Button: "Create", Fields: categoryFields(category{}, all)}
	v.Create.Fields = slices.Insert(v.Create.Fields, 1, field{Name: "slug", Label: "Address", Max: 255, Hint: "Left empty, it is made from the name."})
	return v, status, err
}

func categoryFields(c category, all []category) []field {
	parents := append([]option{{Value: "", Label: "None: at the top"}}, choices(all)...)
	parents = slices.DeleteFunc(parents, func(o option) bool { return o.Value == c.Slug && c.Slug != "" })
	for i := range parents {
		parents[i].On = c.Parent != nil && parents[i].Value == *c.Parent
	}
	return []field{
		{Name: "name", Label: "Name", Value: c.Name, Required: true, Max: 100},
		{Name: "parent", Label: "Under", Type: "select", Options: parents},
	}
}

func (s *service) showCategories(r *http.Request) (page.Answer, error) {
	v, status, err := s.categoriesPage(r)
	if err != nil {
		return nil, err
	}
	return page.Show("categories", page.View{Title: "Categories", Status: status, Data: v}), nil
}

func (s *service) createCategory(r *http.Request) (page.Answer, error) {
	body := map[string]string{"name": strings.TrimSpace(r.PostForm.Get("name"))}
	for _, name := range []string{"slug", "parent"} {
		if v := strings.TrimSpace(r.PostForm.Get(name)); v != "" {
			body[name] = v
		}
	}
	err := s.call(r.Context(), "products", http.MethodPost, categoriesAPI, body, nil)
	if err == nil {
		return to("/admin/categories", "created"), nil
	}
	v, _, failure := s.categoriesPage(r)
	if failure != nil {
		return nil, failure
	}
	v.Create.fill(r.PostForm)
	if !v.Create.refuse(err) {
		return nil, err
	}
	return page.Show("categories", page.View{Title: "Categories", Status: v.Create.Status, Data: v}), nil
}

// category is the one that the query names.
func (s *service) category(r *http.Request) (category, []category, error) {
	all, err := s.categories(r.Context())
	if err != nil {
		return category{}, nil, err
	}
	i := slices.IndexFunc(all, func(c category) bool { return c.Slug == r.URL.Query().Get("slug") })
	if i < 0 {
		return category{}, nil, problem.ErrNotFound
	}
	return all[i], all, nil
}

func categoryForm(c category, all []category) form {
	return form{Heading: "Category " + c.Name, Button: "Save", Action: c.at("change"), Back: "/admin/categories", BackTo: "Back to the categories",
		Crumbs: []crumb{{"Categories", "/admin/categories"}}, Fields: categoryFields(c, all)}
}

func (s *service) showCategory(r *http.Request) (page.Answer, error) {
	c, all, err := s.category(r)
	if err != nil {
		return nil, err
	}
	return categoryForm(c, all).show(), nil
}

func (s *service) changeCategory(r *http.Request) (page.Answer, error) {
	c, all, err := s.category(r)
	if err != nil {
		return nil, err
	}
	err = s.call(r.Context(), "products", http.MethodPatch, categoriesAPI+"/"+url.PathEscape(c.Slug),
		map[string]string{"name": strings.TrimSpace(r.PostForm.Get("name")), "parent": r.PostForm.Get("parent")}, nil)
	if err != nil {
		return categoryForm(c, all).answer(r.PostForm, err)
	}
	return to("/admin/categories", "saved"), nil
}

func deleteForm(c category) form {
	return form{Heading: "Delete the category " + c.Name + "?", Button: "Delete", Danger: true, Action: c.at("delete"), Back: "/admin/categories", BackTo: "Keep it",
		Crumbs: []crumb{{"Categories", "/admin/categories"}}, Text: []string{"Only a category without products and without categories below it can be deleted."}}
}

func (s *service) showDelete(r *http.Request) (page.Answer, error) {
	c, _, err := s.category(r)
	if err != nil {
		return nil, err
	}
	return deleteForm(c).show(), nil
}

func (s *service) deleteCategory(r *http.Request) (page.Answer, error) {
	c, _, err := s.category(r)
	if missing(err) {
		return to("/admin/categories", "category-deleted"), nil // it is gone already
	}
	if err != nil {
		return nil, err
	}
	err = s.call(r.Context(), "products", http.MethodDelete, categoriesAPI+"/"+url.PathEscape(c.Slug), nil, nil)
	if err != nil && !missing(err) {
		return deleteForm(c).answer(r.PostForm, err)
	}
	return to("/admin/categories", "category-deleted"), nil
}
