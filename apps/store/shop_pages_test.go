package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestShopPage: what the shop writes itself is a page, and a link in each foot; it can run nothing, whatever products says.
func TestShopPage(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	const read = "GET /api/v1/pages/{slug}"
	servetest.Neighbour(t, rt, "products", "GET /api/v1/pages", servetest.Answers(map[string]any{"items": []any{
		map[string]any{"slug": "contact", "title": "How to reach us"}, map[string]any{"slug": "sizes", "title": "Sizes"},
	}}))
	servetest.Neighbour(t, rt, "products", read, servetest.Answers(servetest.Like(t, "products", read, map[string]any{
		"slug": "contact", "title": "How to <reach> us", "html": `<h2>Write</h2><script>alert(1)</script><a href="/delivery">Delivery</a>`,
	})))
	res := servetest.Do(t, rt, "GET", "/pages/contact", "", nil)
	require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
	require.Equal(t, anonymous, res.Header.Get("Cache-Control"))
	body := string(res.Body)
	require.Contains(t, body, "<h1>How to &lt;reach&gt; us</h1>")
	require.NotContains(t, body, "alert(1)")
	require.Contains(t, body, `<a href="/delivery"`)
	foot := body[strings.Index(body, "<footer"):]
	require.Less(t, strings.Index(foot, "/pages/contact"), strings.Index(foot, "/pages/sizes"))
	require.Equal(t, "/pages/contact", helpAt([]pageLink{{Slug: "sizes"}, {Slug: "contact"}}))
	require.Equal(t, "/delivery", helpAt(nil))

	gone := problem.New(problem.NotFound, "page-not-found", "There is no such page")
	servetest.Neighbour(t, rt, "products", read, servetest.Refuses(gone))
	require.Equal(t, http.StatusNotFound, servetest.Do(t, rt, "GET", "/pages/other", "", nil).Status)
}
