package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// services answer what a test says; the rest is away.
type services struct {
	mu      sync.Mutex
	answers map[string]any // by "METHOD app path", a value or an error
	asked   []string
	sent    map[string]string
}

func (s *services) Call(_ context.Context, app, method, path string, in, out any, _ ...dapr.CallOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, method+" "+app+" "+path)
	bare, _, _ := strings.Cut(path, "?")
	body, _ := json.Marshal(in)
	s.sent[method+" "+app+" "+bare] = string(body)
	answer, ok := s.answers[method+" "+app+" "+path]
	if !ok {
		answer, ok = s.answers[method+" "+app+" "+bare]
	}
	switch answer := answer.(type) {
	case error:
		return answer
	case string:
		if w, writes := out.(io.Writer); writes {
			_, err := io.WriteString(w, answer)
			return err
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal([]byte(answer), out)
	}
	if !ok {
		return problem.ErrUnavailable
	}
	return nil
}

const (
	public = "http://shop.test"
	cookie = "the-session"
)

type desk struct {
	*services
	t     *testing.T
	rt    *serve.Runtime
	token string
}

func setup(t *testing.T, answers map[string]any) *desk {
	t.Helper()
	rt, _ := servetest.NewTest(t, "admin", nil)
	s := &services{answers: answers, sent: map[string]string{}}
	require.NoError(t, newServiceOf(rt, settings{public: public, country: "GB", currency: "GBP"}, s))
	return &desk{s, t, rt, servetest.Token(t, uuid.New(), "ops@example.test", auth.RoleAdmin)}
}

func (d *desk) get(path string) servetest.Response {
	d.t.Helper()
	return servetest.Do(d.t, d.rt, "GET", path, d.token, nil, "Cookie", session+"="+cookie)
}

// post sends a form as a page of ours does; headers replace its own.
func (d *desk) post(path string, form url.Values, headers ...string) servetest.Response {
	d.t.Helper()
	all := append([]string{"Cookie", session + "=" + cookie, "Origin", public, "Content-Type", "application/x-www-form-urlencoded"}, headers...)
	if form.Get("token") == "" {
		form.Set("token", page.FormToken(cookie))
	}
	return servetest.Do(d.t, d.rt, "POST", path, d.token, form.Encode(), all...)
}

func TestStaffOnly(t *testing.T) {
	t.Parallel()
	d := setup(t, nil)
	id := uuid.New()
	require.Equal(t, 401, servetest.Do(t, d.rt, "GET", "/admin/orders", "", nil).Status)
	res := servetest.Do(t, d.rt, "GET", "/admin/orders", servetest.Token(t, id, "shopper@example.test", auth.RoleUser), nil)
	require.Equal(t, 403, res.Status)
	require.Contains(t, string(res.Body), "shopper@example.test may not")

	// The middleware passes an ended token on: the browser goes round again.
	expired := servetest.TokenUntil(t, id, "ops@example.test", time.Now().Add(-time.Second), auth.RoleAdmin)
	res = servetest.Do(t, d.rt, "GET", "/admin/orders?status=pending", expired, nil)
	require.Equal(t, 302, res.Status)
	require.Equal(t, "/admin/orders?status=pending", res.Header.Get("Location"))
	require.Contains(t, res.Header.Get("Set-Cookie"), "gosessionsid=; ")
	require.Contains(t, res.Header.Get("Set-Cookie"), "Max-Age=0")

	// A form is not lost in silence.
	res = servetest.Do(t, d.rt, "POST", "/admin/orders/"+id.String()+"/cancel?sent=1", expired, "")
	require.Equal(t, 401, res.Status)
	require.Contains(t, string(res.Body), "What you sent did nothing")
	require.Contains(t, string(res.Body), `href="/admin/orders/`+id.String()+`/cancel?lost=1"`)
	require.Empty(t, d.asked)

	// Staff come as far as the service, which is away here: a page all the same.
	res = d.get("/admin/orders")
	require.Equal(t, 503, res.Status)
	require.Contains(t, string(res.Body), "is not answering")
	require.Contains(t, string(res.Body), "<h1>Orders</h1>")
	require.NotContains(t, res.Header.Get("Content-Security-Policy"), "unsafe")
}

func TestOwnForms(t *testing.T) {
	t.Parallel()
	id := uuid.New().String()
	d := setup(t, map[string]any{"POST orders /api/v1/admin/orders/" + id + "/delivery": "{}"})
	path := "/admin/orders/" + id + "/deliver"
	for name, c := range map[string]struct {
		form    url.Values
		headers []string
		want    int
		says    string
	}{
		"another token":  {url.Values{"token": {"x"}}, nil, 403, "earlier login"},
		"another login":  {url.Values{}, []string{"Cookie", session + "=other"}, 403, "earlier login"},
		"no cookie":      {url.Values{}, []string{"Cookie", "a=b"}, 403, "earlier login"},
		"another site":   {url.Values{}, []string{"Origin", "http://evil.test"}, 403, "did not come from one of our pages"},
		"a frame's":      {url.Values{}, []string{"Sec-Fetch-Site", "cross-site"}, 403, "did not come from one of our pages"},
		"no origin":      {url.Values{}, []string{"Origin", ""}, 403, "did not come from one of our pages"},
		"far too large":  {url.Values{"x": {strings.Repeat("x", 2<<20)}}, nil, 413, "too large"},
		"a page of ours": {url.Values{}, nil, 303, ""},
	} {
		before := len(d.asked)
		res := d.post(path, c.form, c.headers...)
		require.Equal(t, c.want, res.Status, "%s: %s", name, res.Body)
		require.Contains(t, string(res.Body), c.says, name)
		require.Equal(t, c.want == 303, len(d.asked) > before, name)
	}
	// What is left of a form that met a login page: the page with the button, which says so.
	res := d.get(path + "?sent=1")
	require.Equal(t, 302, res.Status)
	require.Equal(t, "/admin/orders/"+id+"?lost=1", res.Header.Get("Location"))
}

func TestFormErrors(t *testing.T) {
	t.Parallel()
	id := uuid.New().String()
	order := `{"id":"` + id + `","account_id":"` + id + `","number":"S-1","status":"confirmed","email":"ann@example.test","total":{"amount_minor":1000,"currency":"GBP"},"payment":{"status":"captured"}}`
	charge := `{"amount":{"amount_minor":1000,"currency":"GBP"},"left":{"amount_minor":1000,"currency":"GBP"},"refunded":{"amount_minor":0,"currency":"GBP"},"state":"captured"}`
	refunds := "POST payments /api/v1/admin/payments/" + id + "/refunds"
	d := setup(t, map[string]any{
		"GET orders /api/v1/admin/orders/" + id:                    order,
		"GET payments /api/v1/admin/payments/" + id:                charge,
		"POST orders /api/v1/admin/orders/" + id + "/shipment":     problem.Invalid422("body.carrier", "expected length >= 1"),
		"POST orders /api/v1/admin/orders/" + id + "/cancellation": problem.New(problem.Conflict, "order-not-cancellable", "It is on its way"),
	})
	res := d.post("/admin/orders/"+id+"/ship", url.Values{"carrier": {""}, "tracking_number": {`<b>"1"`}})
	require.Equal(t, 422, res.Status)
	require.Contains(t, string(res.Body), `id="f-carrier-why">Expected length &gt;= 1.`, "beside the field")
	require.Contains(t, string(res.Body), `value="&lt;b&gt;&#34;1&#34;"`, "nothing typed is lost")

	res = d.post("/admin/orders/"+id+"/cancel", url.Values{"reason": {"Fraud"}})
	require.Equal(t, 409, res.Status)
	require.Contains(t, string(res.Body), "It is on its way.")
	require.Contains(t, string(res.Body), ">Fraud</textarea>")

	// The service is away: the form stays, with its key, so that sending it again is safe.
	refund := url.Values{"amount": {"2.50"}, "reason": {"Broken"}, "key": {"key-1"}}
	res = d.post("/admin/orders/"+id+"/refund", refund)
	require.Equal(t, 503, res.Status)
	require.Contains(t, string(res.Body), "sending the same form again is safe")
	require.Contains(t, string(res.Body), `name="key" value="key-1"`)
	require.JSONEq(t, `{"amount":{"amount_minor":250,"currency":"GBP"},"reason":"Broken"}`, d.sent[refunds])
	d.answers[refunds] = "{}"
	res = d.post("/admin/orders/"+id+"/refund", refund)
	require.Equal(t, 303, res.Status)
	require.Equal(t, "/admin/orders/"+id+"?done=refunded", res.Header.Get("Location"))
	for _, wrong := range []string{"", "0", "-1", "1.234", "two", "99999999999999999999"} {
		res = d.post("/admin/orders/"+id+"/refund", url.Values{"amount": {wrong}, "reason": {"x"}})
		require.Equal(t, 422, res.Status, wrong)
	}

	// A product's variants know their row.
	res = d.post("/admin/products/new", url.Values{"name": {"Lamp"}, "v.0.sku": {""}, "v.1.sku": {"A"}, "v.1.price": {"x"}, "attributes": {"no colon"}})
	require.Equal(t, 422, res.Status)
	require.Contains(t, string(res.Body), `id="f-v-1-price-why"`)
	require.Contains(t, string(res.Body), `id="f-attributes-why"`)
	require.NotContains(t, string(res.Body), `id="f-v-0-price-why"`, "empty rows are left out")
}

func TestList(t *testing.T) {
	t.Parallel()
	d := setup(t, map[string]any{
		"GET payments /api/v1/admin/payments?limit=50&q=ann&state=failed":                                       `{"items":[{"order_id":"` + uuid.NewString() + `","number":"S-1","state":"failed","email":"ann@example.test"}],"next_cursor":"n"}`,
		"GET payments /api/v1/admin/payments?cursor=bad&limit=50":                                               problem.Invalid422("query.cursor", "not a cursor of this list, or too old"),
		"GET orders /api/v1/admin/orders?from=2026-03-01T00%3A00%3A00Z&limit=50&until=2026-03-03T00%3A00%3A00Z": `{"items":[]}`,
	})
	res := d.get("/admin/payments?status=failed&q=ann")
	require.Equal(t, 200, res.Status, d.asked)
	require.Contains(t, string(res.Body), "S-1")
	require.Contains(t, string(res.Body), `href="/admin/payments?cursor=n&amp;q=ann&amp;status=failed"`, "the next page keeps the filters")
	require.Contains(t, string(res.Body), `href="/admin/payments.csv?q=ann&amp;status=failed"`, "and so does the file")
	res = d.get("/admin/payments?cursor=bad")
	require.Equal(t, 422, res.Status)
	require.Contains(t, string(res.Body), "too old")
	res = d.get("/admin/orders?from=2026-03-01&until=2026-03-02")
	require.Equal(t, 200, res.Status, d.asked)
	require.Contains(t, string(res.Body), "Nothing fits")
}

func TestFile(t *testing.T) {
	t.Parallel()
	d := setup(t, map[string]any{
		"GET orders /api/v1/admin/orders?limit=100":            `{"items":[{"number":"S-1","email":"=cmd|' /C calc'!A0","total":{"amount_minor":123450,"currency":"GBP"}}],"next_cursor":"two"}`,
		"GET orders /api/v1/admin/orders?cursor=two&limit=100": `{"items":[{"number":"S-2","email":"ann@example.test","total":{"amount_minor":5,"currency":"GBP"}}]}`,
	})
	res := d.get("/admin/orders.csv")
	require.Equal(t, 200, res.Status)
	require.Contains(t, res.Header.Get("Content-Type"), "text/csv")
	require.Contains(t, res.Header.Get("Content-Disposition"), "attachment")
	lines := strings.Split(strings.TrimSpace(string(res.Body)), "\n")
	require.Len(t, lines, 3, "all pages")
	require.Contains(t, lines[1], `'=cmd|' /C calc'!A0`)
	require.Contains(t, lines[1], ",1234.50,GBP,")
	require.Contains(t, lines[2], ",0.05,GBP,")

	// Away before the first line: a page. In the middle: broken off.
	require.Equal(t, 503, d.get("/admin/mails.csv").Status)
	delete(d.answers, "GET orders /api/v1/admin/orders?cursor=two&limit=100")
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { d.get("/admin/orders.csv") })
}

func TestHarmless(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"": "", "plain": "plain", "-5": "-5", "+3": "+3", "-1.50": "-1.50", "ann@example.test": "ann@example.test",
		"=1+1": "'=1+1", "+cmd": "'+cmd", "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)", "\tx": "'\tx", "\r=1": "'\r=1", "-": "'-", "＝1": "'＝1",
	} {
		require.Equal(t, want, harmless(s), "%q", s)
	}
}

func TestChart(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]int64{0: 1, 1: 1, 2: 2, 3: 5, 9: 10, 10: 10, 11: 20, 21: 50, 99: 100, 501: 1000, 123_456: 200_000} {
		require.Equal(t, want, ceiling(n), n)
	}
	require.Zero(t, height(0, 10, 100))
	require.InDelta(t, 50, height(5, 10, 100), 1e-9)
	require.InDelta(t, 100, height(10, 10, 100), 1e-9)
	require.InDelta(t, 2, height(1, 10_000, 100), 1e-9, "what is there can be seen")

	from := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	c := chart{Title: "Orders", Sum: "7", Bars: []bar{{from, 2, "2"}, {from.Add(time.Hour), 5, "<5>"}, {from.Add(2 * time.Hour), 0, "0"}}}
	svg := string(c.SVG())
	require.Equal(t, 3, strings.Count(svg, "<rect"))
	require.Contains(t, svg, `height="150.0"`, "the largest, 5 of 5, is as tall as the drawing")
	require.Contains(t, svg, `height="60.0"`)
	require.NotContains(t, svg, "<5>")
	require.NotContains(t, svg, "style=", "no inline style, which the policy forbids")
	require.Equal(t, "Orders: 7 in all; the most, <5>, from 10:00 UTC", c.Summary())
	require.Equal(t, "Orders: nothing in all that time", chart{Title: "Orders", Bars: []bar{{from, 0, "0"}}}.Summary())
}

func TestDashboardWithoutServices(t *testing.T) {
	t.Parallel()
	d := setup(t, map[string]any{"GET orders /api/v1/admin/orders/backlog": `{"unsent":2,"lag_seconds":90,"dead_letters":3}`})
	res := d.get("/admin")
	require.Equal(t, 200, res.Status, "what answers is shown")
	require.Contains(t, string(res.Body), "1m30s")
	require.Contains(t, string(res.Body), `href="/admin/letters?service=orders">3</a>`)
	require.Contains(t, string(res.Body), "Orders is not answering")
}

func TestTree(t *testing.T) {
	t.Parallel()
	top := "shoes"
	all := tree([]category{{Slug: "boots", Name: "Boots", Parent: &top}, {Slug: "shoes", Name: "Shoes"}, {Slug: "art", Name: "Art"}})
	var got []string
	for _, o := range choices(all) {
		got = append(got, o.Label)
	}
	require.Equal(t, []string{"Art", "Shoes", "– Boots"}, got)
}

func TestSentence(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{"": "", "a b": "A b.", "£13.99 is left": "£13.99 is left.", "élan": "Élan.", "Why?": "Why?"} {
		require.Equal(t, want, sentence(s))
	}
}

func TestMenuAndPreview(t *testing.T) {
	t.Parallel()
	id := uuid.NewString()
	d := setup(t, map[string]any{"GET mail /api/v1/admin/mail/" + id: `{"id":"` + id + `","subject":"Hello","html":"<p style=\"color:red\">Hi</p>"}`})
	res := d.get("/admin/mails/" + id)
	require.Contains(t, string(res.Body), `<a href="/admin/mails" aria-current="page">`)
	res = d.get("/admin/mails/" + id + "/preview")
	require.Equal(t, `<p style="color:red">Hi</p>`, string(res.Body))
	policy := res.Header.Get("Content-Security-Policy")
	require.Contains(t, policy, "sandbox")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "script-src")
}
