package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestWritePage: a page is looked at before it is saved, and saved only over what was read; nothing typed is lost.
func TestWritePage(t *testing.T) {
	t.Parallel()
	d := setup(t)
	const preview, change = "POST /api/v1/admin/products/pages/preview", "PUT /api/v1/admin/products/pages/{slug}"
	const read = "GET /api/v1/admin/products/pages/{slug}"
	known := servetest.Like(t, "products", read, map[string]any{
		"slug": "sizes", "title": "Sizes", "body": "old", "published": true, "foot": 3,
		"categories": []any{"shoes"}, "products": []any{}, "version": 4,
	})
	servetest.Neighbour(t, d.rt, "products", read, servetest.Answers(known))
	at := "/admin/pages/change?slug=sizes"
	body := string(d.get(at).Body)
	require.Contains(t, body, `name="version" value="4"`)
	require.Contains(t, body, `value="shoes"`)

	form := func(more ...string) url.Values {
		f := url.Values{
			"title": {"Sizes"}, "body": {"## New\r\n<b>x</b>"}, "published": {"1"}, "foot": {"2"}, "categories": {"shoes, boots"},
			"version": {"4"},
		}
		for _, name := range more {
			f.Set(name, "1")
		}
		return f
	}
	servetest.Neighbour(t, d.rt, "products", preview, servetest.Answers(map[string]any{"html": "<h2>New</h2><script>alert(1)</script>"}))
	res := d.post(at, form("preview"))
	require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
	require.Contains(t, string(res.Body), "<h2>New</h2>")
	require.NotContains(t, string(res.Body), "alert(1)")
	require.Contains(t, string(res.Body), "## New")
	require.Contains(t, string(res.Body), `name="version" value="4"`)

	var sent map[string]any
	servetest.Neighbour(t, d.rt, "products", change, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		servetest.Answers(known)(w, r)
	})
	require.Equal(t, http.StatusSeeOther, d.post(at, form()).Status)
	require.Equal(t, map[string]any{
		"title": "Sizes", "body": "## New\n<b>x</b>", "published": true, "foot": 2.0,
		"categories": []any{"shoes", "boots"}, "products": []any{}, "version": 4.0,
	}, sent)

	servetest.Neighbour(t, d.rt, "products", change,
		servetest.Refuses(problem.New(problem.Conflict, "version-conflict", "Somebody else changed this in the meantime")))
	res = d.post(at, form())
	require.Equal(t, http.StatusConflict, res.Status)
	require.Contains(t, string(res.Body), "## New")
	servetest.Neighbour(t, d.rt, "products", change, servetest.IsAway)
	require.Contains(t, string(d.post(at, form()).Body), "## New")
}
