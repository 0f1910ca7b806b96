package journeys

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// browser is somebody with a cookie jar, who follows where pages lead.
type browser struct {
	*http.Client
	base string
}

func newBrowser(t *testing.T, s *shop.Shop) browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return browser{&http.Client{Jar: jar}, s.Base}
}

// read returns what a page says, as text.
func read(t *testing.T, res *http.Response, err error) (int, string) {
	t.Helper()
	require.NoError(t, err)
	defer res.Body.Close()
	require.True(t, strings.HasPrefix(res.Header.Get("Content-Type"), "text/html"), res.Header.Get("Content-Type"))
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

var formAction = regexp.MustCompile(`<form[^>]*action="([^"]+)"`)

// login asks for a page behind Keycloak's login, and logs in there.
func (b browser) login(t *testing.T, path, email, password string) (int, string) {
	t.Helper()
	res, err := b.Get(b.base + path)
	status, page := read(t, res, err)
	require.Equal(t, 200, status)
	form := formAction.FindStringSubmatch(page)
	require.NotNil(t, form, "no login form: %s", page)
	res, err = b.PostForm(html.UnescapeString(form[1]), url.Values{"username": {email}, "password": {password}})
	return read(t, res, err)
}

func TestStorePages(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, b := s.NewProduct(t, 1_250, 3), newBrowser(t, s)

	var slug string
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		res, err := b.Get(b.base + "/search?q=" + url.QueryEscape(lamp.Name))
		status, page := read(t, res, err)
		require.Equal(t, 200, status)
		if m := regexp.MustCompile(`href="/products/([^"]+)"`).FindStringSubmatch(page); m != nil && strings.Contains(page, html.EscapeString(lamp.Name)) {
			slug = m[1]
		}
		return slug != "", "the list does not show it yet"
	})
	res, err := b.Get(b.base + "/products/" + slug)
	status, page := read(t, res, err)
	require.Equal(t, 200, status)
	require.Contains(t, page, html.EscapeString(lamp.Name))
	require.Contains(t, page, "£12.50")

	res, err = b.Get(b.base + "/products/there-is-no-such-thing")
	status, page = read(t, res, err)
	require.Equal(t, 404, status)
	require.Contains(t, page, "<h1>")
}

func TestBackOfficePage(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 1), s.Register(t)
	order := ann.Bought(t, lamp, 1)

	var status int
	var page string
	s.Alone(t, func() {
		status, page = newBrowser(t, s).login(t, "/admin/orders?status=confirmed", "ops@stampede.test", s.Settings["OPS_PASSWORD"])
	})
	require.Equal(t, 200, status)
	require.Contains(t, page, "ops@stampede.test")
	require.Contains(t, page, order.Number)

	// Who is not staff gets as far as the door.
	status, page = newBrowser(t, s).login(t, "/admin", ann.Email, ann.Password)
	require.Equal(t, 403, status)
	require.NotContains(t, page, order.Number)
}
