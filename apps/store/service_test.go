package main

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/servetest"
)

func TestErrorsArePages(t *testing.T) {
	t.Parallel()
	rt, _ := servetest.NewTest(t, "store", nil)
	require.NoError(t, newService(rt))
	// No sidecar answers here, as when products is away.
	for path, want := range map[string]int{"/nothing/here": 404, "/": 503, "/products/x": 503} {
		res := servetest.Do(t, rt, "GET", path, "", nil)
		require.Equal(t, want, res.Status, path)
		require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
		require.Contains(t, string(res.Body), "<h1>")
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	}
	require.Equal(t, 405, servetest.Do(t, rt, "DELETE", "/", "", nil).Status)
}

func TestAssets(t *testing.T) {
	t.Parallel()
	rt, _ := servetest.NewTest(t, "store", nil)
	require.NoError(t, newService(rt))
	body := servetest.Do(t, rt, "GET", "/nothing", "", nil).Body
	css := regexp.MustCompile(`/assets/store\.[0-9a-f]{8}\.css`).FindString(string(body))
	require.NotEmpty(t, css)
	res := servetest.Do(t, rt, "GET", css, "", nil)
	require.Equal(t, 200, res.Status)
	require.Contains(t, res.Header.Get("Cache-Control"), "immutable")
	require.Equal(t, 404, servetest.Do(t, rt, "GET", "/assets/store.css", "", nil).Status, "only by its fingerprint")
}

func TestDescriptionIsSanitisedAgain(t *testing.T) {
	t.Parallel()
	p := product{HTML: `<p onclick="x()">Good<script>alert(1)</script></p>`}
	require.Equal(t, "<p>Good</p>", string(p.Description()))
}

func TestVariantName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Blue / M", variant{Options: map[string]string{"Size": "M", "Colour": "Blue"}}.Name())
	require.Empty(t, variant{}.Name())
}
