package main

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

const public = "http://shop.test"

// newTest is a storefront without a sidecar, as when everything else is away.
func newTest(t *testing.T) *serve.Runtime {
	t.Helper()
	rt, _ := servetest.NewTest(t, "store", nil)
	_, err := newService(rt, settings{
		public: public, issuer: public + "/realms/stampede", keycloak: "http://127.0.0.1:1", clientSecret: "secret", country: "GB", currency: "GBP",
	})
	require.NoError(t, err)
	return rt
}

func TestErrorsArePages(t *testing.T) {
	t.Parallel()
	rt := newTest(t)
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
	rt := newTest(t)
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
