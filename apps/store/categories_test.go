package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// crowd are 300 categories of the first level, of which the later have more in them, and one below the first.
func crowd() (all []any) {
	for i := range 300 {
		all = append(all, map[string]any{
			"slug": fmt.Sprintf("kind-%03d", i), "name": fmt.Sprintf("Kind %03d", i), "parent": nil, "product_count": i,
		})
	}
	return append(all, map[string]any{"slug": "below", "name": "Below", "parent": "kind-001", "product_count": 1})
}

// TestManyCategories: head, foot and home page name a few, and where one is; the rest is on a page of its own.
func TestManyCategories(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	servetest.Neighbour(t, rt, "products", "GET /api/v1/categories", servetest.Answers(map[string]any{"items": crowd()}))
	servetest.Neighbour(t, rt, "products", "GET /api/v1/products", servetest.Answers(map[string]any{"next_cursor": nil, "items": []any{}}))
	body := string(servetest.Do(t, rt, "GET", "/", "", nil).Body)
	require.Equal(t, 3*menuMost, strings.Count(body, `href="/c/`), "in head, foot and tiles")
	require.Equal(t, 3, strings.Count(body, `href="/categories"`))
	require.Contains(t, body, "Kind 299")
	require.NotContains(t, body, "Kind 001")

	body = string(servetest.Do(t, rt, "GET", "/c/kind-001", "", nil).Body)
	require.Contains(t, body, `<a href="/c/kind-001" aria-current="page"`)
	require.Equal(t, 2*menuMost, strings.Count(body, `href="/c/kind`))

	page := servetest.Do(t, rt, "GET", "/categories", "", nil)
	require.Equal(t, http.StatusOK, page.Status)
	list := string(page.Body)
	list = list[strings.Index(list, "<main"):strings.Index(list, "</main>")]
	require.Equal(t, 300, strings.Count(list, `href="/c/`), "all in which there is something")
	require.NotContains(t, list, "Kind 000")
	require.Less(t, strings.Index(list, "Kind 001"), strings.Index(list, "Below"))
	require.Less(t, strings.Index(list, "Below"), strings.Index(list, "Kind 002"))
	require.Equal(t, anonymous, page.Header.Get("Cache-Control"))
}

// TestFewCategories: a menu that fits is whole, and needs no page beside it.
func TestFewCategories(t *testing.T) {
	t.Parallel()
	var all []category
	for _, slug := range []string{"a", "b", "c"} {
		all = append(all, category{Slug: slug, Name: slug, ProductCount: 1})
	}
	empty := category{Slug: "none", Name: "none"}
	require.Equal(t, all, menuOf(append(all, empty), ""))
	f := frame{categories: append(all, empty)}
	require.False(t, f.More())
	gone := "gone"
	orphan := category{Slug: "orphan", Parent: &gone, ProductCount: 1}
	require.Equal(t, "orphan", treeOf([]category{orphan})[0].Slug)
	a, b := "a", "b" // a circle, whoever made it, is no page without an end
	require.Empty(t, treeOf([]category{{Slug: "a", Parent: &b, ProductCount: 1}, {Slug: "b", Parent: &a, ProductCount: 1}}))
}
