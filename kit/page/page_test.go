package page

import (
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
)

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		headers map[string]string
		want    bool
	}{
		"own page":              {map[string]string{"Sec-Fetch-Site": "same-origin"}, true},
		"other site":            {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "http://shop.test"}, false},
		"neighbour of the name": {map[string]string{"Sec-Fetch-Site": "same-site"}, false},
		"typed":                 {map[string]string{"Sec-Fetch-Site": "none"}, false},
		"origin":                {map[string]string{"Origin": "http://shop.test"}, true},
		"foreign origin":        {map[string]string{"Origin": "http://evil.test"}, false},
		"other port":            {map[string]string{"Origin": "http://shop.test:81"}, false},
		"other scheme":          {map[string]string{"Origin": "https://shop.test"}, false},
		"opaque":                {map[string]string{"Origin": "null", "Referer": "http://shop.test/"}, false},
		"referer":               {map[string]string{"Referer": "http://shop.test/cart"}, true},
		"foreign referer":       {map[string]string{"Referer": "http://evil.test/http://shop.test"}, false},
		"nothing":               {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("POST", "/", nil)
			for k, v := range tt.headers {
				r.Header.Set(k, v)
			}
			require.Equal(t, tt.want, SameOrigin(r, "http://shop.test"))
		})
	}
}

func TestFormToken(t *testing.T) {
	t.Parallel()
	require.True(t, CheckFormToken("a", FormToken("a")))
	require.False(t, CheckFormToken("a", FormToken("b")))
	require.False(t, CheckFormToken("a", ""))
	require.False(t, CheckFormToken("", FormToken("")))
}

func TestFormats(t *testing.T) {
	t.Parallel()
	text := func(locale string, minor int64, currency string) string {
		return Formats(locale)["money"].(func(money.Money) string)(money.New(minor, currency))
	}
	require.Equal(t, "£1,234.50", text("en-GB", 123450, "GBP"))
	require.Equal(t, "£0.05", text("en-GB", 5, "GBP"))
	require.Equal(t, "-£12.00", text("en-GB", -1200, "GBP"))
	require.Equal(t, "¥1,500", text("en-JP", 1500, "JPY"))
	require.Equal(t, "€1.234,50", text("en-DE", 123450, "EUR"))
	require.Equal(t, []string{"United Kingdom", "France", "what?"}, []string{Country("GB"), Country("FR"), Country("what?")})
}

func TestTimes(t *testing.T) {
	t.Parallel()
	write := func(locale, zone, what string, at time.Time) string {
		t.Helper()
		in, err := time.LoadLocation(zone)
		require.NoError(t, err)
		return string(Times(locale, in)[what].(func(time.Time) template.HTML)(at))
	}
	at := time.Date(2026, 10, 25, 0, 30, 9, 0, time.UTC) // an hour before the clocks go back in Europe
	for what, want := range map[string]string{
		"date": "25 October 2026", "moment": "25 Oct 2026, 01:30 BST", "instant": "25 Oct 2026, 01:30:09 BST", "clock": "01:30 BST",
	} {
		require.Equal(t, `<time datetime="2026-10-25T01:30:09+01:00">`+want+`</time>`, write("en-GB", "Europe/London", what, at))
	}
	require.Contains(t, write("en-GB", "Europe/London", "moment", at.Add(time.Hour)),
		">25 Oct 2026, 01:30 GMT<", "the same by the clock, an hour later")
	require.Contains(t, write("en-US", "America/New_York", "moment", at), ">Oct 24, 2026, 8:30 PM EDT<")
	require.Contains(t, write("en-IN", "Asia/Kolkata", "date", at.Add(18*time.Hour)), ">26 October 2026<")
	require.Contains(t, write("en-GB", "UTC", "moment", at), ` datetime="2026-10-25T00:30:09Z">25 Oct 2026, 00:30 UTC<`)
	require.Empty(t, write("en-GB", "UTC", "date", time.Time{}))
}

func TestDayBegins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		zone, day, begins string
		hours             float64
	}{
		{"UTC", "2026-03-29", "2026-03-29T00:00:00Z", 24},
		{"Europe/London", "2026-03-29", "2026-03-29T00:00:00Z", 23},
		{"Europe/London", "2026-10-25", "2026-10-24T23:00:00Z", 25},
		{"America/New_York", "2026-03-08", "2026-03-08T05:00:00Z", 23},
		{"America/New_York", "2026-11-01", "2026-11-01T04:00:00Z", 25},
		{"Asia/Kolkata", "2026-06-01", "2026-05-31T18:30:00Z", 24},
		{"Africa/Cairo", "2023-04-28", "2023-04-27T22:00:00Z", 23},   // from 00:00 to 01:00
		{"America/Havana", "2022-11-06", "2022-11-06T04:00:00Z", 25}, // from 01:00 to 00:00
		{"Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00:00Z", 24.5},
	} {
		zone, err := time.LoadLocation(tt.zone)
		require.NoError(t, err)
		begins, err := DayBegins(tt.day, zone)
		require.NoError(t, err)
		require.Equal(t, tt.begins, begins.UTC().Format(time.RFC3339), "%v", tt)
		next, err := DayBegins(begins.AddDate(0, 0, 1).Format(time.DateOnly), zone)
		require.NoError(t, err)
		require.InDelta(t, tt.hours, next.Sub(begins).Hours(), 0, "%v", tt)
	}
	for _, wrong := range []string{"", "yesterday", "2026-02-30", "26-2-3"} {
		_, err := DayBegins(wrong, time.UTC)
		require.Error(t, err, wrong)
	}
}

func TestPagesAndFragments(t *testing.T) {
	t.Parallel()
	p, err := Load(fstest.MapFS{
		"pages/layout.html": {Data: []byte(`{{define "layout"}}<title>{{.Title}}</title>{{.Meta}}{{template "main" .}}{{end}}`)},
		"pages/home.html":   {Data: []byte(`{{define "main"}}{{template "part" .Data}}{{end}}`)},
		"pages/error.html":  {Data: []byte(`{{define "main"}}<h1>{{.Data.Status}}</h1>{{end}}`)},
		"pages/_part.html":  {Data: []byte(`{{define "part"}}<b>{{.}}</b>{{end}}`)},
	}, "/assets", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	p.Views = map[string]any{"home": "", "part": "", "error": Problem{}}
	p.Meta = func(r *http.Request) any { return r.Method }
	handler := p.Handle(func(w http.ResponseWriter, r *http.Request) (Answer, error) {
		w.Header().Set("Cache-Control", "public, max-age=1")
		return Show("home", View{Title: "T", Data: "<x>"}), nil
	})
	rec := httptest.NewRecorder()
	handler(rec, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, `<title>T</title>GET<b>&lt;x&gt;</b>`, rec.Body.String())
	tag := rec.Header().Get("ETag")
	require.NotEmpty(t, tag)

	again := httptest.NewRequest("GET", "/", nil)
	again.Header.Set("If-None-Match", tag)
	rec = httptest.NewRecorder()
	handler(rec, again)
	require.Equal(t, http.StatusNotModified, rec.Code)
	require.Empty(t, rec.Body.String())

	rec = httptest.NewRecorder()
	part := func(http.ResponseWriter, *http.Request) (Answer, error) { return Part("part", 409, "y"), nil }
	p.Handle(part)(rec, httptest.NewRequest("GET", "/", nil))
	require.Equal(t, 409, rec.Code)
	require.Equal(t, "<b>y</b>", rec.Body.String())
	require.Empty(t, rec.Header().Get("ETag"))
}

// TestAnswers: what is no page of its view is refused, and a handler can lead on.
func TestAnswers(t *testing.T) {
	t.Parallel()
	p, err := Load(fstest.MapFS{
		"pages/layout.html": {Data: []byte(`{{define "layout"}}{{template "main" .}}{{day "paper"}}{{end}}`)},
		"pages/home.html":   {Data: []byte(`{{define "main"}}{{.Data}}{{end}}`)},
		"pages/error.html":  {Data: []byte(`{{define "main"}}{{.Data.Slug}}{{end}}`)},
	}, "/assets", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	p.Views = map[string]any{"home": "", "error": Problem{}}
	for name, c := range map[string]struct {
		answer Answer
		err    error
		status int
		body   string
		to     string
	}{
		"page":             {Show("home", View{Status: 422, Data: "x"}), nil, 422, "x#ffffff", ""},
		"another's view":   {Show("home", View{Data: 1}), nil, 500, "Something went wrong on our side\n", ""},
		"no such page":     {Show("nothing", View{}), nil, 500, "Something went wrong on our side\n", ""},
		"redirect":         {Redirect("/cart"), nil, 303, "", "/cart"},
		"moved":            {Moved("/search"), nil, 301, "", "/search"},
		"a known problem":  {nil, problem.ErrNotFound, 404, "not-found#ffffff", ""},
		"an unknown error": {nil, errors.New("boom"), 500, "internal#ffffff", ""},
	} {
		rec := httptest.NewRecorder()
		p.Handle(func(http.ResponseWriter, *http.Request) (Answer, error) { return c.answer, c.err })(rec, httptest.NewRequest("POST", "/", nil))
		require.Equal(t, c.status, rec.Code, name)
		require.Equal(t, c.body, rec.Body.String(), name)
		require.Equal(t, c.to, rec.Header().Get("Location"), name)
	}
}
