package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr/daprtest"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

const public = "http://shop.test"

// newTest is a storefront without a sidecar, as when everything else is away.
func newTest(t *testing.T) (*serve.Runtime, *service) { return newTestAt(t, public) }

func newTestAt(t *testing.T, public string) (*serve.Runtime, *service) {
	t.Helper()
	rt, _ := servetest.NewTest(t, "store", nil)
	rt.Settings.Issuer = public + "/realms/stampede"
	s, err := newService(rt, servetest.Settings[settings](t, "PUBLIC_URL", public, "KEYCLOAK_URL", "http://127.0.0.1:1", "STORE_CLIENT_SECRET", "the client's secret"))
	require.NoError(t, err)
	return rt, s
}

func TestErrorsArePages(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	for path, want := range map[string]int{"/nothing/here": 404, "/": 503, "/products/x": 503, "/search?q=lamp": 503} {
		res := servetest.Do(t, rt, "GET", path, "", nil)
		require.Equal(t, want, res.Status, path)
		require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
		require.Contains(t, string(res.Body), "<h1>")
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	}
	require.Equal(t, 405, servetest.Do(t, rt, "DELETE", "/", "", nil).Status)
}

// TestPagesWithoutNeighbours: what needs nobody, or can do without, is there
// while everything else is away.
func TestPagesWithoutNeighbours(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	for _, path := range []string{"/cart", "/register", "/verify?email=a@example.test", "/password/forgot", "/password/reset", "/delivery", "/privacy", "/my/header", "/robots.txt"} {
		require.Equal(t, 200, servetest.Do(t, rt, "GET", path, "", nil).Status, path)
	}
	// A cart that is there but cannot be read is a page of its own.
	res := servetest.Do(t, rt, "GET", "/cart", "", nil, "Cookie", "cart=0123456789abcdef0123")
	require.Equal(t, 503, res.Status)
	require.Contains(t, string(res.Body), "We cannot show your cart just now")
	require.NotEmpty(t, res.Header.Get("Retry-After"))
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	res := servetest.Do(t, rt, "GET", "/register", "", nil)
	csp := res.Header.Get("Content-Security-Policy")
	require.Contains(t, csp, "script-src 'self';")
	require.NotContains(t, csp, "unsafe")
	body := string(res.Body)
	require.NotRegexp(t, `(?i)<style|\sstyle=|\son[a-z]+=|javascript:`, body, "nothing that the policy would refuse")
	for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(body, -1) {
		require.Contains(t, tag, `src="/assets/`)
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	body := servetest.Do(t, rt, "GET", "/nothing", "", nil).Body
	for _, name := range []string{`tokens\.[0-9a-f]{8}\.css`, `store\.[0-9a-f]{8}\.css`, `store\.[0-9a-f]{8}\.js`, `htmx\.min\.[0-9a-f]{8}\.js`} {
		at := regexp.MustCompile(`/assets/` + name).FindString(string(body))
		require.NotEmpty(t, at)
		res := servetest.Do(t, rt, "GET", at, "", nil)
		require.Equal(t, 200, res.Status)
		require.Contains(t, res.Header.Get("Cache-Control"), "immutable")
	}
	require.Equal(t, 404, servetest.Do(t, rt, "GET", "/assets/store.css", "", nil).Status, "only by its fingerprint")
}

// TestForms: a form comes from one of our pages, or does nothing.
func TestForms(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	send := func(path string, headers ...string) int {
		return servetest.Do(t, rt, "POST", path, "", "sku=A&quantity=1&add=1", append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...).Status
	}
	for _, path := range []string{"/cart/items", "/cart/empty", "/register", "/verify", "/verify/code", "/password/forgot", "/password/reset", "/checkout", "/logout", "/account/profile", "/orders/1/cancellation", "/orders/1/payment",
		"/products/x/notify", "/notify/" + uuid.NewString()} {
		require.Equal(t, 403, send(path), path)
		require.Equal(t, 403, send(path, "Origin", "http://evil.test"), path)
		require.Equal(t, 403, send(path, "Sec-Fetch-Site", "cross-site", "Origin", public), path)
		require.NotEqual(t, 403, send(path, "Origin", public), path)
		require.NotEqual(t, 403, send(path, "Sec-Fetch-Site", "same-origin"), path)
	}
}

// TestFormToken: with a session, a form also carries the session's token;
// without it, it is shown again, with what was typed but for passwords.
func TestFormToken(t *testing.T) {
	t.Parallel()
	_, s := newTest(t)
	called := false
	handler := s.ownForms(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	send := func(form url.Values) *httptest.ResponseRecorder {
		called = false
		r := httptest.NewRequest("POST", "/account/profile", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", public)
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r.WithContext(withShopper(r.Context(), &shopper{session: &session{id: "the-id"}})))
		return rec
	}
	rec := send(url.Values{"first_name": {"<Ann>"}, "password": {"secret"}, "token": {"wrong"}})
	require.False(t, called)
	require.Equal(t, 403, rec.Code)
	require.Contains(t, rec.Body.String(), "&lt;Ann&gt;")
	require.NotContains(t, rec.Body.String(), `value="secret"`)
	require.Contains(t, rec.Body.String(), page.FormToken("the-id"))
	require.NotContains(t, rec.Body.String(), "the-id")
	send(url.Values{"token": {page.FormToken("another-id")}})
	require.False(t, called)
	send(url.Values{"token": {page.FormToken("the-id")}})
	require.True(t, called)
	send(url.Values{"token": {page.FormToken("the-id")}, "first_name": {"a\x00b"}})
	require.False(t, called, "not text")
}

func TestLocal(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"/", "/checkout", "/orders/1?a=b", "/c/lamps?sort=price"} {
		require.Equal(t, good, local(good, "/account"))
	}
	for _, bad := range []string{"", "checkout", "//evil.test", "/\\evil.test", "\\\\evil.test", "http://evil.test/", "https:/evil.test", "/\t/evil.test", "/%2f/evil.test\n",
		"javascript:alert(1)", "/login", "/login?next=/login", "/logout", "/realms/stampede", "/api/v1/cart", "/my/header", "///evil.test", "/" + strings.Repeat("a", 1_001)} {
		require.Equal(t, "/account", local(bad, "/account"), bad)
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	for at, want := range map[string][3]string{
		"http://localhost:8000": {"session", "draft", ""},
		"https://shop.test":     {"__Host-session", "__Secure-draft", "Secure"},
	} {
		_, s := newTestAt(t, at)
		rec := httptest.NewRecorder()
		s.setCookie(rec, sessionCookie, "/", "x", time.Hour)
		s.setCookie(rec, draftCookie, "/checkout", "x", time.Hour)
		s.setCookie(rec, cartCookie, "/", "", 0)
		set := rec.Header().Values("Set-Cookie")
		for _, c := range set {
			require.Contains(t, c, "HttpOnly")
			require.Contains(t, c, "SameSite=Lax")
			require.Equal(t, want[2] != "", strings.Contains(c, "; Secure"), c)
			require.NotContains(t, c, "Domain")
		}
		require.True(t, strings.HasPrefix(set[0], want[0]+"=x; Path=/; Max-Age=3600"), set[0])
		require.True(t, strings.HasPrefix(set[1], want[1]+"=x; Path=/checkout"), set[1])
		require.Contains(t, set[2], "Max-Age=0")
	}
}

// TestSeal: what is kept of a session can be read with its id alone.
func TestSeal(t *testing.T) {
	t.Parallel()
	id, n := random(), session{Account: uuid.New(), Access: "the-access-token", Refresh: "the-refresh-token"}
	data, err := seal(id, n)
	require.NoError(t, err)
	require.True(t, json.Valid(data))
	require.NotContains(t, string(data), "token")
	var back session
	require.NoError(t, unseal(id, data, &back))
	require.Equal(t, n, back)
	require.Error(t, unseal(random(), data, &back))
	require.NotContains(t, keyOf("session", id), id)
	require.NotEqual(t, random(), random())
}

func TestLoggedInPagesAskForALogin(t *testing.T) {
	t.Parallel()
	rt, s := newTest(t)
	require.Equal(t, 303, servetest.Do(t, rt, "POST", "/orders/1/payment", "", nil, "Origin", public).Status)
	for _, path := range []string{"/checkout", "/orders", "/orders/1", "/account", "/account/addresses", "/account/security"} {
		res := servetest.Do(t, rt, "GET", path, "", nil)
		require.Equal(t, 303, res.Status, path)
		require.Equal(t, loginURL(path), res.Header.Get("Location"))
		require.Equal(t, "private, no-store", res.Header.Get("Cache-Control"))
	}
	res := servetest.Do(t, rt, "GET", "/orders/1/status?since=1", "", nil, "HX-Request", "true", "HX-Current-URL", public+"/orders/1")
	require.Equal(t, loginURL("/orders/1"), res.Header.Get("HX-Redirect"))
	// A session that cannot be looked at is no guest.
	sidecar, stop := daprtest.Sidecar{}.Start(t)
	stop()
	s.sessions = sessions{sidecar}
	require.Equal(t, 503, servetest.Do(t, rt, "GET", "/checkout", "", nil, "Cookie", "session="+random()).Status)
}

// TestShared: only what carries nothing of a session is kept at the edge.
func TestShared(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	cache := func(headers ...string) string {
		return servetest.Do(t, rt, "GET", "/delivery", "", nil, headers...).Header.Get("Cache-Control")
	}
	require.Equal(t, anonymous, cache())
	require.Equal(t, anonymous, cache("Cookie", "cart=0123456789abcdef0123"))
	require.Equal(t, "private, no-store", cache("Cookie", "session="+random()))
	require.Equal(t, "private, no-store", cache("Cookie", "session=x"))
}

func TestDescriptionIsSanitisedAgain(t *testing.T) {
	t.Parallel()
	p := product{HTML: `<p onclick="x()">Good<script>alert(1)</script><a href="javascript:x()">y</a></p>`}
	require.Equal(t, "<p>Goody</p>", string(p.Description()))
	require.Equal(t, "Good y", p.Summary())
	long := product{HTML: "<p>" + strings.Repeat("lamp ", 100) + "</p>"}
	require.LessOrEqual(t, len([]rune(long.Summary())), 160)
}

// TestStructuredData: whatever a product is called, the data block stays one.
func TestStructuredData(t *testing.T) {
	t.Parallel()
	_, s := newTest(t)
	p := product{summary: summary{Slug: "x", Name: `</script><script>alert(1)</script>`, Price: money.New(1250, "GBP")}}
	p.Variant = []variant{{SKU: "A", Price: money.New(1250, "GBP"), InStock: true}}
	rec := httptest.NewRecorder()
	s.pages.Handle(func(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
		return page.Show("product", s.productPage(r, p, productView{product: p})), nil
	})(rec, httptest.NewRequest("GET", "/products/x", nil))
	require.Equal(t, 200, rec.Code)
	require.NotContains(t, rec.Body.String(), "<script>alert")
	block := regexp.MustCompile(`(?s)<script type="application/ld\+json">(.*?)</script>`).FindStringSubmatch(rec.Body.String())
	require.NotNil(t, block)
	var doc struct {
		Type   string `json:"@type"`
		Name   string
		Offers []struct{ Price, PriceCurrency, Availability string }
	}
	require.NoError(t, json.Unmarshal([]byte(block[1]), &doc))
	require.Equal(t, "Product", doc.Type)
	require.Equal(t, p.Name, doc.Name)
	require.Equal(t, "12.50", doc.Offers[0].Price)
	require.Equal(t, "https://schema.org/InStock", doc.Offers[0].Availability)
}

func TestSearchURL(t *testing.T) {
	t.Parallel()
	require.Equal(t, "/search", searchURL(nil))
	require.Equal(t, "/c/lamps", searchURL(url.Values{"category": {"lamps"}}))
	require.Equal(t, "/search?category=lamps&q=red", searchURL(url.Values{"category": {"lamps"}, "q": {"red"}, "evil": {"x"}}))
	require.Equal(t, "/c/lamps?option=Size%3AM&sort=price", searchURL(url.Values{"category": {"lamps"}, "sort": {"price"}, "option": {"Size:M"}, "min": {" "}}))
}

func TestMinor(t *testing.T) {
	t.Parallel()
	_, s := newTest(t)
	for text, want := range map[string]string{"12": "1200", "12.50": "1250", "12,5": "1250", "0": "0", "": "", "-1": "", "x": "", "1e99": "", "0.29": "29"} {
		require.Equal(t, want, s.minor(text), text)
	}
}

// TestFacts: what the pages say about the shop follows from its settings.
func TestFacts(t *testing.T) {
	t.Parallel()
	_, s := newTest(t)
	f := s.factsOf()
	require.Equal(t, "the UK", f.Country)
	require.Equal(t, "£50", f.FreeFrom)
	require.Equal(t, "15 minutes", f.HoldFor)
	require.True(t, f.Holds)
	require.Len(t, f.Rates, 3)
	require.Equal(t, "United Kingdom", f.Rates[0].Countries)
	s.settings.Country, s.settings.Currency, s.settings.HoldAt, s.settings.HoldTTL = "CA", "CAD", "checkout", 30*time.Second
	f = s.factsOf()
	require.Equal(t, "Canada", f.Country)
	require.False(t, f.TaxIncluded)
	require.False(t, f.Holds)
	require.Equal(t, "30 seconds", f.HoldFor)
}

func TestWait(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[string]string{"1": "a second", "2": "2 seconds", "89": "89 seconds", "90": "2 minutes", "900": "15 minutes", "soon": "a moment", "0": "a moment"} {
		require.Equal(t, want, wait(seconds))
	}
}

func TestCompareSizes(t *testing.T) {
	t.Parallel()
	require.Negative(t, compareSizes("S", "XL"))
	require.Negative(t, compareSizes("UK 9", "UK 10"))
	require.Negative(t, compareSizes("Blue", "Red"))
	require.Zero(t, compareSizes("M", "M"))
}

func TestCartProblem(t *testing.T) {
	t.Parallel()
	short := func(n float64) error {
		return problem.New(problem.Conflict, "out-of-stock", "").With("available", n)
	}
	require.Contains(t, cartProblem(short(0), nil), "sold out")
	require.Contains(t, cartProblem(short(2), nil), "Only 2")
	require.Contains(t, cartProblem(short(2), &cartLine{Quantity: 2}), "the last 2")
	limit := problem.New(problem.Conflict, "limit-reached", "")
	require.NotEmpty(t, cartProblem(limit, nil))
	require.Equal(t, "You can buy 2 of these, so that there is something for everybody.", cartProblem(limit.With("limit", 2.0), nil))
	require.Equal(t, "You can buy 2 of these, so that there is something for everybody.", cartProblem(limit.With("limit", 2.0).With("available", 2.0), nil))
	require.Equal(t, "You can buy 2 of these, and you already have 2 in your orders.", cartProblem(limit.With("limit", 2.0).With("available", 0.0), nil))
	require.Equal(t, "You can buy 3 of these, and you already have 1 in your orders. Your cart can hold 2.", cartProblem(limit.With("limit", 3.0).With("available", 2.0), nil))
	require.Equal(t, "A cart holds at most 50 different things.", cartProblem(limit.With("limit", 50.0), nil))
	require.Contains(t, cartProblem(problem.New(problem.Forbidden, "claim-required", ""), nil), "a drop")
	require.Empty(t, cartProblem(problem.ErrUnavailable, nil))
}

func TestFieldErrors(t *testing.T) {
	t.Parallel()
	err := problem.ErrInvalid.Field("body.address.line1", problem.CodeRequired, "expected length >= 1").
		Field("body.password", problem.CodeTooShort, "expected length >= 10").Field("body.phone", problem.CodeWrongFormat, "no phone").
		Field("body.first_name", problem.CodeWrongFormat, "must not contain any of <>")
	require.Equal(t, map[string]string{
		"line1": "Please fill this in.", "password": "That is too short.",
		"phone":      "Must be in international form, for instance +44 20 7946 0000.",
		"first_name": "Must not contain any of <>.",
	}, fieldErrors(err))
	require.Nil(t, fieldErrors(problem.ErrUnavailable))
}

func TestOrderSteps(t *testing.T) {
	t.Parallel()
	at := func(statuses ...string) (o order) {
		for _, s := range statuses {
			o.History = append(o.History, struct {
				Status string    `json:"status"`
				At     time.Time `json:"at"`
			}{s, time.Unix(1, 0)})
			o.Status = s
		}
		return o
	}
	names := func(o order) (all []string) {
		for _, s := range o.Steps() {
			mark := ""
			if s.Done {
				mark = "+"
			}
			if s.Now {
				mark = "*"
			}
			all = append(all, s.Name+mark)
		}
		return all
	}
	require.Equal(t, []string{"Placed*", "Paid", "On its way", "Delivered"}, names(at("pending")))
	require.Equal(t, []string{"Placed+", "Paid+", "On its way*", "Delivered"}, names(at("pending", "confirmed", "shipped")))
	require.Equal(t, []string{"Placed+", "Cancelled*"}, names(at("pending", "cancelled")))
	require.Equal(t, []string{"Placed+", "Paid+", "Cancelled*"}, names(at("pending", "confirmed", "cancelled")))
	declined := at("pending", "cancelled")
	declined.CancelReason = "payment-declined"
	require.Equal(t, []string{"Placed+", "Declined*"}, names(declined))
	require.True(t, at("pending").Moving())
	require.False(t, at("pending", "confirmed").Moving())
}
