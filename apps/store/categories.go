package main

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/stampede-shop/stampede/kit/page"
)

// menuMost is how many categories head, foot and home page name: as many as a menu can have that one still takes in at a
// glance. All are on the page "categories".
const menuMost = 8

// topOf are the categories of the first level in which there is something, in the order given.
func topOf(all []category) []category {
	return slices.DeleteFunc(slices.Clone(all), func(c category) bool { return c.Parent != nil || c.ProductCount == 0 })
}

// menuOf are those of the first level that hold the most products, in the order given. Where one is, on, is among them.
func menuOf(all []category, on string) []category {
	top := topOf(all)
	if len(top) <= menuMost {
		return top
	}
	ranked := slices.Clone(top)
	slices.SortStableFunc(ranked, func(a, b category) int {
		return cmp.Or(cmp.Compare(b2i(b.Slug == on), b2i(a.Slug == on)), cmp.Compare(b.ProductCount, a.ProductCount))
	})
	named := map[string]bool{}
	for _, c := range ranked[:menuMost] {
		named[c.Slug] = true
	}
	return slices.DeleteFunc(top, func(c category) bool { return !named[c.Slug] })
}

// categoriesView is the Data of the page "categories".
type categoriesView struct{ Categories []branch }

// branch is a category with those below it.
type branch struct {
	category
	Below []branch
}

// treeOf sorts the categories that have something into a tree. One whose parent is not there is of the first level.
func treeOf(all []category) []branch {
	known, below := map[string]bool{}, map[string][]category{}
	for _, c := range all {
		known[c.Slug] = true
	}
	for _, c := range all {
		parent := ""
		if c.Parent != nil && known[*c.Parent] {
			parent = *c.Parent
		}
		if c.ProductCount > 0 {
			below[parent] = append(below[parent], c)
		}
	}
	var grow func(parent string, levels int) []branch
	grow = func(parent string, levels int) (out []branch) {
		if levels == 0 {
			return nil
		}
		for _, c := range below[parent] {
			out = append(out, branch{c, grow(c.Slug, levels-1)})
		}
		return out
	}
	return grow("", maxLevels)
}

// maxLevels bounds the tree, whatever products says.
const maxLevels = 10

// getCategories shows all categories.
func (s *service) getCategories(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	v := categoriesView{treeOf(s.catalogue.all(r.Context()))}
	slices.SortStableFunc(v.Categories, func(a, b branch) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	shared(w, r, anonymous)
	f := s.forAll(r, "/categories", "All kinds of things that there are at Stampede.")
	return page.Show("categories", page.View{Title: "All categories", Meta: f, Data: v}), nil
}
