package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

const (
	public = "http://shop.test"
	cookie = "the-session"
)

// desk is the back office without any service: no sidecar answers here, as when
// all are away. What services answer is in tests/office.
type desk struct {
	t       *testing.T
	rt      *serve.Runtime
	service *service
	token   string
}

func setup(t *testing.T, environment ...string) *desk {
	t.Helper()
	rt, _ := servetest.NewTest(t, "admin", nil)
	rt.Settings.Issuer = public + "/realms/stampede"
	s, err := newService(rt, servetest.Settings[settings](t, append(environment, "PUBLIC_URL", public)...))
	require.NoError(t, err)
	return &desk{t, rt, s, servetest.Token(t, uuid.New(), "ops@example.test", auth.RoleAdmin)}
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
	d := setup(t)
	id := uuid.New()
	require.Equal(t, 401, servetest.Do(t, d.rt, "GET", "/admin/orders", "", nil).Status)
	res := servetest.Do(t, d.rt, "GET", "/admin/orders", servetest.Token(t, id, "shopper@example.test", auth.RoleUser), nil)
	require.Equal(t, 403, res.Status)
	require.Contains(t, string(res.Body), "shopper@example.test may not")
	// Who is not staff keeps the login, with which the page has its style, and can end it.
	require.Empty(t, res.Header.Get("Set-Cookie"))
	require.Contains(t, string(res.Body), `<form method="post" action="/admin/logout"`)
	require.NotContains(t, string(res.Body), `href="/admin/orders"`)
	other := d.get("/admin/orders")
	d.token = servetest.Token(t, id, "shopper@example.test", auth.RoleUser)
	require.Equal(t, 303, d.post("/admin/logout", url.Values{}).Status)
	require.Equal(t, 403, d.post("/admin/orders/"+id.String()+"/cancel", url.Values{}).Status)
	d.token = servetest.Token(t, id, "ops@example.test", auth.RoleAdmin)
	require.Contains(t, string(other.Body), `href="/admin/orders"`)

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
	require.Empty(t, res.Header.Get("Set-Cookie"), "the page has its style by the session")
	require.Contains(t, string(res.Body), `href="/admin/orders/`+id.String()+`/cancel?lost=1"`)

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
	d := setup(t)
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
		"a page of ours": {url.Values{}, nil, 503, "is not answering"}, // let through, as far as the service
	} {
		res := d.post(path, c.form, c.headers...)
		require.Equal(t, c.want, res.Status, "%s: %s", name, res.Body)
		require.Contains(t, string(res.Body), c.says, name)
	}
	// What is left of a form that met a login page: the page with the button, which says so.
	res := d.get(path + "?sent=1")
	require.Equal(t, 302, res.Status)
	require.Equal(t, "/admin/orders/"+id+"?lost=1", res.Header.Get("Location"))
}

// TestDetailsOfSeveralLines: what the form shows of them is what it reads again.
func TestDetailsOfSeveralLines(t *testing.T) {
	t.Parallel()
	s := &service{settings: settings{Shop: serve.Shop{Currency: "GBP"}}}
	p := product{Attributes: map[string]string{"Care": "Wash cold\nDry flat", "Material": "Wool"}}
	v := productView{Form: form{Fields: p.fields(nil, false)}}
	in, _, wrong := s.read(&v, url.Values{"attributes": {strings.ReplaceAll(v.Form.field("attributes").Value, "\n", "\r\n")}})
	require.Nil(t, wrong)
	require.Equal(t, p.Attributes, in.Attributes)
}

// TestLongReport: a page lists the first rows, and those that tell something.
func TestLongReport(t *testing.T) {
	t.Parallel()
	all := report{Rows: make([]reportRow, 20_000), Created: 5, Refused: 1, Complete: true}
	all.Rows[15_000].Outcome = "refused"
	all.Rows[16_000].Notes = []string{"negative"}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	r, err := readReport(bytes.NewReader(text), 10)
	require.NoError(t, err)
	require.Len(t, r.Rows, maxRows+2)
	require.Equal(t, 20_000-maxRows-2, r.Left)
	require.Equal(t, "refused", r.Rows[maxRows].Outcome)
	require.Equal(t, 10, r.Rows[0].Line, "counted from the beginning of the file")
	require.Equal(t, []any{5, 1, true}, []any{r.Created, r.Refused, r.Complete})
	for _, cut := range []int{0, 1, 8, 100, len(text) - 1} {
		_, err = readReport(bytes.NewReader(text[:cut]), 0)
		require.Error(t, err, "cut off after %d bytes", cut)
	}
}

// TestFormsKeepWhatWasTyped: a form comes back with what is wrong beside the
// field, and with its key, when it cannot be sent on.
func TestFormsKeepWhatWasTyped(t *testing.T) {
	t.Parallel()
	d := setup(t)
	res := d.post("/admin/products/new", url.Values{"name": {`<b>"Lamp"`}, "v.0.sku": {""}, "v.1.sku": {"A"}, "v.1.price": {"x"}, "attributes": {"no colon"}})
	require.Equal(t, 422, res.Status)
	require.Contains(t, string(res.Body), `id="f-v-1-price-why"`)
	require.Contains(t, string(res.Body), `id="f-attributes-why"`)
	require.Contains(t, string(res.Body), `<a href="#f-v-1-price" dir="auto">Price in GBP of variant 2: `, "what leads to it")
	require.NotContains(t, string(res.Body), `id="f-v-0-price-why"`, "empty rows are left out")
	require.Contains(t, string(res.Body), `value="&lt;b&gt;&#34;Lamp&#34;"`, "nothing typed is lost")
}

func TestParseAmount(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"12": 1200, "12.5": 1250, " £1,299.00 ": 129900, "0.01": 1, "0": 0} {
		m, ok := parseAmount(text, "GBP")
		require.True(t, ok, text)
		require.Equal(t, want, m.Amount, text)
	}
	for _, text := range []string{"", "-1", "1.234", "two", ".5", "99999999999999999999", "1e3", "12,50", "1,2", "1,2345", "1.234,00", ",5", "1,", "1 000"} {
		_, ok := parseAmount(text, "GBP")
		require.False(t, ok, text)
	}
}

// TestLogout ends the session at the edge, and leads to where Keycloak's ends.
func TestLogout(t *testing.T) {
	t.Parallel()
	d := setup(t)
	res := d.post("/admin/logout", url.Values{})
	require.Equal(t, 303, res.Status)
	require.Contains(t, res.Header.Get("Set-Cookie"), "gosessionsid=; ")
	require.Equal(t, public+"/realms/stampede/protocol/openid-connect/logout?client_id=backoffice&post_logout_redirect_uri=http%3A%2F%2Fshop.test%2Fadmin", res.Header.Get("Location"))
	require.Equal(t, 403, d.post("/admin/logout", url.Values{"token": {"x"}}).Status, "nobody else can do it")
}

// TestFileOfServiceAway: no half file, but a page.
func TestFileOfServiceAway(t *testing.T) {
	t.Parallel()
	res := setup(t).get("/admin/mails.csv")
	require.Equal(t, 503, res.Status)
	require.Contains(t, res.Header.Get("Content-Type"), "text/html")
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
	for n, want := range map[int64]int64{0: 1, 1: 1, 2: 2, 3: 4, 5: 6, 7: 8, 9: 10, 10: 10, 11: 20, 21: 40, 99: 100, 501: 600, 123_456: 200_000} {
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
	require.Contains(t, svg, `height="125.0"`, "5 of 6 of the drawing")
	require.Contains(t, svg, `height="50.0"`)
	require.Contains(t, svg, `>3</text>`, "half of orders is a number of orders")
	require.NotContains(t, svg, "<5>")
	require.NotContains(t, svg, "style=", "no inline style, which the policy forbids")
	require.Equal(t, "Orders: 7 in all; the most, <5>, from 10:00 UTC", c.Summary())
	require.Equal(t, "Orders: nothing in all that time", chart{Title: "Orders", Bars: []bar{{from, 0, "0"}}}.Summary())
}

func TestDashboardWithoutServices(t *testing.T) {
	t.Parallel()
	res := setup(t).get("/admin")
	require.Equal(t, 200, res.Status, "what answers would be shown")
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

// TestWords: what people read follows from the field and the code, whatever the
// message of the service.
func TestWords(t *testing.T) {
	t.Parallel()
	for want, wrong := range map[string]problem.FieldError{
		"must not be empty": {Location: "body.name", Code: problem.CodeRequired},
		"must be 1 or more": {Location: "body.variants[0].max_per_shopper", Code: problem.CodeTooSmall},
		"must be at most 3": {Location: "body.options", Code: problem.CodeTooMany},
		"must be more than nothing, and less than ten million": {Location: "body.variants[3].price", Code: problem.CodeOutOfRange},
		"is not one of the choices":                            {Location: "query.sort", Code: problem.CodeNotOneOf},
		"must have at most 80 characters":                      {Location: "body.carrier", Code: problem.CodeTooLong},
	} {
		wrong.Message = "expected something else"
		require.Equal(t, want, wordsAbout(wrong, &field{Max: 80}))
	}
	require.Equal(t, "is of another list, or too old", wordsAbout(problem.FieldError{Location: "query.cursor", Code: problem.CodeWrongFormat}, nil))
	require.Contains(t, wordsAbout(problem.FieldError{Location: "body", Code: problem.CodeWrongFormat}, nil), "must be a CSV file")
	require.Equal(t, "is too long", wordsAbout(problem.FieldError{Location: "query.q", Code: problem.CodeTooLong}, nil))
	require.Equal(t, "says it well", wordsAbout(problem.FieldError{Location: "body.name", Code: problem.CodeNotAllowed, Message: "says it well"}, nil))
	require.Equal(t, "write a number", wordsAbout(problem.FieldError{Location: "body.delta", Code: ownWords, Message: "write a number"}, nil))
}

func TestSentence(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{"": "", "a b": "A b.", "£13.99 is left": "£13.99 is left.", "élan": "Élan.", "Why?": "Why?"} {
		require.Equal(t, want, sentence(s))
	}
}

// TestDeclinedAttempts: they are no orders until somebody asks for them.
func TestDeclinedAttempts(t *testing.T) {
	t.Parallel()
	asked := func(query string) (own, sent url.Values) {
		_, own, sent = orderList.asked(httptest.NewRequest("GET", "/admin/orders?"+query, nil), time.UTC)
		return own, sent
	}
	own, sent := asked("status=cancelled")
	require.Equal(t, "false", sent.Get("declined"))
	require.Empty(t, own.Get("declined"))
	own, sent = asked("declined=true")
	require.Equal(t, "true", sent.Get("declined"))
	require.Equal(t, "true", own.Get("declined"), "the next page, too")
}

// TestDays: a day that is asked for is the shop's, however long it is.
func TestDays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ zone, query, from, until string }{
		{"UTC", "from=2026-03-29&until=2026-03-29", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"},
		{"Europe/London", "from=2026-03-29&until=2026-03-29", "2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z"},
		{"Europe/London", "from=2026-10-25&until=2026-10-25", "2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z"},
		{"Africa/Cairo", "from=2023-04-28&until=2023-04-27", "2023-04-27T22:00:00Z", "2023-04-27T22:00:00Z"},
		{"Asia/Kolkata", "from=2026-12-31&until=2026-12-31", "2026-12-30T18:30:00Z", "2026-12-31T18:30:00Z"},
		{"Europe/London", "from=yesterday&until=2026-02-30", "yesterday", "2026-02-30"}, // for orders to refuse
	} {
		zone, err := time.LoadLocation(tt.zone)
		require.NoError(t, err)
		_, _, sent := orderList.asked(httptest.NewRequest("GET", "/admin/orders?"+tt.query, nil), zone)
		require.Equal(t, []string{tt.from, tt.until}, []string{sent.Get("from"), sent.Get("until")}, "%v", tt)
	}
}

// TestWorth: what a refund is the price of.
func TestWorth(t *testing.T) {
	t.Parallel()
	gbp := func(n int64) money.Money { return money.New(n, "GBP") }
	o := order{Total: gbp(5000), Lines: []orderLine{
		{Name: "Tee", Variant: "M", Quantity: 2, LineTotal: gbp(3000)}, {Name: "Cap", Quantity: 1, LineTotal: gbp(1500)},
	}}
	for amount, want := range map[int64]string{
		5000: "the whole order", 3000: "2 × Tee M", 1500: "1 × Tee M or of 1 × Cap", 4500: "", 1: "", 0: "",
	} {
		require.Equal(t, want, o.worth(gbp(amount)), amount)
	}
}

func TestOwed(t *testing.T) {
	t.Parallel()
	p := paymentDetail{Refunds: []refund{{State: "done"}, {State: "failed", Error: "no such charge"}, {State: "requested"}}}
	require.Empty(t, p.Owed(), "nothing is left to pay back")
	p.Left = money.New(100, "GBP")
	require.Len(t, p.Owed(), 1)
}
