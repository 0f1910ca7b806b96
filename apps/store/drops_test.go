package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

var update = flag.Bool("update", false, "write testdata/standings.json")

// standing is an example of what the page of a drop shows to somebody, by which its script is tested too (tests/browser).
type standing struct {
	Name     string     `json:"name"`
	Preset   string     `json:"preset"`
	Status   dropStatus `json:"status"`
	Me       *standsFor `json:"me"`
	Position *int64     `json:"position"`
	Rows     []string   `json:"rows"`
	Stage    string     `json:"stage"`
}

type standsFor struct {
	Left     bool    `json:"left"`
	Excluded bool    `json:"excluded"`
	Claims   []claim `json:"claims"`
}

func standings() []standing {
	opens := time.Date(2026, 12, 4, 18, 0, 0, 0, time.UTC)
	at := func(state string, seconds int) dropStatus {
		return dropStatus{
			State: state, Now: opens.Add(time.Duration(seconds) * time.Second), OpensAt: opens, ClosesAt: opens.Add(time.Hour),
			Entered: 1000, PollS: [2]int64{2, 3},
			SKUs: []lotStatus{{"A", 100, 5, 5, 40, 60, 103, nil}, {"B", 50, 0, 3, 7, 0, 50, nil}, {"C", 900, 0, 0, 9, 0, 900, nil}},
		}
	}
	me := func(claims ...string) *standsFor {
		m := &standsFor{Claims: []claim{}}
		for _, c := range claims {
			sku, state, _ := strings.Cut(c, " ")
			m.Claims = append(m.Claims, claim{SKU: sku, State: state})
		}
		return m
	}
	place := func(n int64) *int64 { return &n }
	left, out := me("A"), me("A held")
	left.Left, out.Excluded = true, true
	return []standing{
		{"announced", "queue", at("scheduled", -900), nil, nil, nil, "announced"},
		{"not entered", "queue", at("prequeue", -60), nil, nil, nil, "enter"},
		{"has left", "queue", at("prequeue", -60), left, nil, []string{"waiting"}, "enter"},
		{"in", "queue", at("prequeue", -60), me("A", "B"), nil, []string{"waiting", "waiting"}, "in"},
		{"at the opening", "queue", at("prequeue", 0), me("A"), nil, []string{"waiting"}, "drawing"},
		{"drawing", "queue", at("drawing", 3), me("A"), nil, []string{"waiting"}, "drawing"},
		{"waiting", "queue", at("open", 30), me("A"), place(100), []string{"waiting"}, "waiting"},
		{"called", "queue", at("open", 30), me("A"), place(99), []string{"turn"}, "turn"},
		{"called for one of two", "queue", at("open", 30), me("A", "B"), place(50), []string{"turn", "waiting"}, "turn"},
		{"another size is gone", "queue", at("open", 30), me("C", "B"), place(60), []string{"sold-out", "waiting"}, "waiting"},
		{"all that was wanted is gone", "queue", at("open", 30), me("C"), place(10), []string{"sold-out"}, "sold-out"},
		{"late", "queue", at("open", 30), nil, nil, nil, "late"},
		{"late, and all is held", "queue", at("all_held", 30), nil, nil, nil, "late"},
		{"late at a draw", "draw", at("open", 30), nil, nil, nil, "entry-closed"},
		{"left, and it is open", "queue", at("open", 30), left, place(10), []string{"turn"}, "late"},
		{"asked for", "queue", at("open", 30), me("A asked"), place(10), []string{"holding"}, "holding"},
		{"holding", "queue", at("open", 30), me("A held", "B"), place(10), []string{"holding", "turn"}, "holding"},
		{"holding in a pause", "queue", at("paused", 30), me("A held"), place(10), []string{"holding"}, "holding"},
		{"holding the last one", "queue", at("all_held", 30), me("B held"), place(10), []string{"holding"}, "holding"},
		{"standing by", "queue", at("all_held", 30), me("B standby"), place(10), []string{"standby"}, "standby"},
		{"standing by for what is gone", "queue", at("open", 30), me("C standby"), place(10), []string{"sold-out"}, "sold-out"},
		{"offered", "queue", at("all_held", 30), me("B offered", "A"), place(10), []string{"offered", "turn"}, "offered"},
		{"lapsed", "queue", at("open", 30), me("A lapsed"), place(10), []string{"lapsed"}, "lapsed"},
		{"beyond the limit", "queue", at("open", 30), me("A refused"), place(10), []string{"refused"}, "refused"},
		{"beyond one limit", "queue", at("open", 30), me("A refused", "B"), place(10), []string{"refused", "turn"}, "turn"},
		{"beyond one limit, another is gone", "queue", at("open", 30), me("A refused", "C"), place(10), []string{"refused", "sold-out"},
			"refused"},
		{"beyond one limit, another bought", "queue", at("open", 30), me("A refused", "B bought"), place(10), []string{"refused", "bought"},
			"bought"},
		{"beyond the limit of what is gone", "queue", at("open", 30), me("C refused"), place(10), []string{"sold-out"}, "sold-out"},
		{"beyond the limit in a pause", "queue", at("paused", 30), me("A refused"), place(10), []string{"refused"}, "paused"},
		{"beyond the limit, and it is over", "queue", at("closed", 30), me("A refused"), place(10), []string{"refused"}, "closed"},
		{"bought", "queue", at("open", 30), me("A bought"), place(10), []string{"bought"}, "bought"},
		{"bought one, called for another", "queue", at("open", 30), me("A bought", "B"), place(10), []string{"bought", "turn"}, "turn"},
		{"bought one, and it is over", "queue", at("closed", 30), me("A bought", "B"), place(70), []string{"bought", "waiting"}, "bought"},
		{"paused", "queue", at("paused", 30), me("A"), place(10), []string{"turn"}, "paused"},
		{"all held", "queue", at("all_held", 30), me("A"), place(500), []string{"waiting"}, "all-held"},
		{"sold out", "queue", at("sold_out", 30), me("A"), place(500), []string{"sold-out"}, "sold-out"},
		{"over", "queue", at("closed", 30), me("A"), place(500), []string{"waiting"}, "closed"},
		{"shut out", "queue", at("open", 30), out, place(10), []string{"holding"}, "excluded"},
	}
}

// TestStandings: what is shown to whom. The file has the same examples for the script.
func TestStandings(t *testing.T) {
	t.Parallel()
	const file = "testdata/standings.json"
	if *update {
		data, err := json.MarshalIndent(standings(), "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, append(data, '\n'), 0o644))
	}
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var kept []standing
	require.NoError(t, json.Unmarshal(data, &kept))
	require.Equal(t, standings(), kept, "go test ./apps/store -run TestStandings -update")
	for _, want := range kept {
		var e *entry
		var rows []string
		if want.Me != nil {
			e = &entry{Left: want.Me.Left}
			if want.Me.Excluded {
				e.Excluded = new(string)
			}
			for _, c := range want.Me.Claims {
				rows = append(rows, want.Status.row(c, want.Position))
			}
		}
		require.Equal(t, want.Rows, rows, want.Name)
		require.Equal(t, want.Stage, want.Status.stage(want.Preset, e, rows), want.Name)
	}
}

// told is an example of what somebody who waits is told, by which the page's script is tested too (tests/browser).
type told struct {
	Lot      lotStatus `json:"lot"`
	Position *int64    `json:"position"`
	Odds     string    `json:"odds"`
	Wait     string    `json:"wait"`
}

func TestLasts(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int]string{
		45: "45 seconds", 60: "60 seconds", 90: "90 seconds", 600: "10 minutes", 3600: "60 minutes", 7200: "2 hours", 86400: "24 hours",
		172800: "2 days",
	} {
		require.Equal(t, want, lasts(seconds))
	}
}

// TestDrawPage: a draw says how long there is to buy, asks whether to write, and tells who is drawn that there is no hurry.
func TestDrawPage(t *testing.T) {
	t.Parallel()
	c, _ := newQueue(t)
	c.rules = map[string]any{"preset": "draw", "grace_s": 86400, "notify": true, "tell_end": true}
	until := dropOpens.Add(24 * time.Hour)
	c.stands("d1", "prequeue", -60, nil)
	body := c.get("/in/d1")
	require.Regexp(t, `name="tell" value="1" checked>\s+<span>\s+Tell me by e-mail when it is my turn, and when it is over `+
		`and there was none for me\s+</span>`, body)
	require.Contains(t, body, "you have 24 hours to buy")
	for slug, tt := range map[string]struct {
		state string
		mine  map[string]any
		says  []string
	}{
		"d2": {"all_held", held("offered", map[string]any{"hold_expires_at": until}),
			[]string{"You were drawn", "no hurry", "Sat 5 Dec, 19:00 CET"}},
		"d3": {"all_held", map[string]any{"position": 411, "tell": true},
			[]string{"who were drawn", "we write to you", "and when it is over"}},
		"d4": {"open", map[string]any{"position": 411}, []string{"24 hours to buy"}},
		"d5": {"open", held("lapsed", nil), []string{"stand by"}},
		"d6": {"open", nil, []string{"Entries are closed"}},
	} {
		c.stands(slug, tt.state, 60, tt.mine)
		section := seen(t, c.get("/in/"+slug))
		for _, words := range tt.says {
			require.Contains(t, section, words, slug)
		}
		require.Equal(t, slug == "d3", strings.Contains(section, "we write to you"), slug)
	}
}

func examples() (all []told) {
	lot := func(called, free, rate, likely int64) lotStatus {
		return lotStatus{SKU: "A", Called: called, Free: free, RatePerMin: rate, LikelyBelow: likely}
	}
	for _, l := range []lotStatus{
		lot(100, 5, 60, 1000), lot(100, 5, 1, 1000), lot(100, 5, 0, 1000), lot(100, 5, 7000, 100_000), lot(100, 0, 60, 100),
		lot(100, 5, 60, 100), lot(0, 5, 900, 40_000),
	} {
		for _, position := range []int64{0, 99, 100, 104, 159, 399, 699, 999, 1000, 10_000, 99_999} {
			all = append(all, told{l, &position, l.odds(&position), l.wait(position)})
		}
	}
	for _, part := range []float64{0, .000_01, .0123, .15, .3, .333_333, .499_999, .5, .55, .749_999, .949_999, .95, 1} {
		l := lotStatus{SKU: "A", Part: &part}
		all = append(all, told{l, nil, l.odds(nil), ""})
	}
	return append(all, told{lot(100, 5, 60, 1000), nil, "", ""})
}

// TestOddsInWords: the file has the same examples for the script.
func TestOddsInWords(t *testing.T) {
	t.Parallel()
	const file = "testdata/odds.json"
	if *update {
		data, err := json.MarshalIndent(examples(), "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, append(data, '\n'), 0o644))
	}
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var kept []told
	require.NoError(t, json.Unmarshal(data, &kept))
	require.Equal(t, examples(), kept, "go test ./apps/store -run TestOddsInWords -update")

	place, l := int64(699), lotStatus{Called: 100, Free: 5, RatePerMin: 60, LikelyBelow: 1000}
	require.Equal(t, "It is likely that there is one for you.", l.odds(&place))
	require.Equal(t, "in 5 to 11 minutes", l.wait(place))
	l.LikelyBelow = 699
	require.Contains(t, l.odds(&place), "is unlikely")
	require.Empty(t, l.wait(place), "no time is told for what will probably not be")
	l.Free = 0
	require.Contains(t, l.odds(&place), "only if others")
	for part, want := range map[float64]string{
		1: "for nearly all of", .62: "for 6 in 10 of", .01: "for about 1 in 100 of",
	} {
		require.Contains(t, lotStatus{Part: &part}.odds(nil), want)
	}
}

const (
	readDrop   = "GET /api/v1/drops/{slug}"
	readStatus = "GET /api/v1/drops/{slug}/status"
	readEntry  = "GET /api/v1/drops/{slug}/entry"
	doClaim    = "POST /api/v1/drops/{slug}/claim"
)

// queue is a drop beside a storefront that somebody has logged in to.
type queue struct {
	t    *testing.T
	rt   *serve.Runtime
	who  *shopper
	lots []any

	rules  map[string]any // of the drop, if they are others
	status map[string]any // of it, too
}

func newQueue(t *testing.T) (*queue, *service) {
	rt, s := newTest(t)
	c := &queue{t: t, rt: rt, who: &shopper{session: &session{id: "the-id", Access: "the-access-token", Account: uuid.New()}}}
	c.lots = []any{map[string]any{"sku": "A", "units": 50, "limit": 2}}
	c.as(s)
	return c, s
}

// as puts the pages at a path once more, where whoever asks has logged in.
func (c *queue) as(s *service) {
	for method, paths := range map[string]map[string]page.Handler{
		"GET": {"/in/{slug}": s.getDrop, "/in/{slug}/body": s.getDropBody, "/in/{slug}/verify": s.getDropProof},
		"POST": {"/in/{slug}/entry": s.postEntry, "/in/{slug}/leave": s.postLeave, "/in/{slug}/claim": s.postClaim,
			"/in/{slug}/more-time": s.postMoreTime},
	} {
		for path, fn := range paths {
			c.rt.Router.Method(method, path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				require.NoError(c.t, r.ParseForm())
				s.pages.Handle(fn)(w, r.WithContext(withShopper(r.Context(), c.who)))
			}))
		}
	}
}

var dropOpens = time.Date(2026, 12, 4, 18, 0, 0, 0, time.UTC)

// stands has drops tell how the drop stands, and what somebody's entry is; nil: they have none.
func (c *queue) stands(slug, state string, seconds int, mine map[string]any) {
	c.t.Helper()
	before := dropOpens.Add(-10 * time.Minute)
	whole := map[string]any{
		"slug": slug, "title": "The <lamp>", "preset": "queue", "state": state, "zone": "Europe/Paris", "prequeue_at": before,
		"opens_at": dropOpens, "closes_at": dropOpens.Add(time.Hour), "grace_s": 45, "hold_s": 600, "standby_s": 60, "lots": c.lots,
		"beacon": "commit", "notify": false, "tell_end": false,
	}
	maps.Copy(whole, c.rules)
	servetest.Neighbour(c.t, c.rt, "drops", readDrop, servetest.Answers(servetest.Like(c.t, "drops", readDrop, whole)))
	status := map[string]any{
		"v": 1, "state": state, "now": dropOpens.Add(time.Duration(seconds) * time.Second), "opens_at": dropOpens,
		"closes_at": dropOpens.Add(time.Hour), "entered": 1234, "n": nil, "message": "", "poll_s": []any{2, 3},
		"skus": []any{map[string]any{"sku": "A", "called": 100, "free": 7, "held": 3, "sold": 40, "rate_per_min": 60,
			"likely_below": 500}},
	}
	maps.Copy(status, c.status)
	servetest.Neighbour(c.t, c.rt, "drops", readStatus, servetest.Answers(servetest.Like(c.t, "drops", readStatus, status)))
	if mine == nil {
		servetest.Neighbour(c.t, c.rt, "drops", readEntry,
			servetest.Refuses(problem.New(problem.NotFound, "entry-not-found", "The account has not entered")))
		return
	}
	whole = map[string]any{
		"ticket": "the.ticket", "idx": 411, "position": nil, "skus": []any{"A"}, "quantity": 2, "left": false, "tell": false,
		"excluded": nil,
		"claims":   []any{}, "odds": []any{}, "version": "v1",
	}
	maps.Copy(whole, mine)
	servetest.Neighbour(c.t, c.rt, "drops", readEntry, servetest.Answers(servetest.Like(c.t, "drops", readEntry, whole)))
}

func (c *queue) get(path string) string {
	c.t.Helper()
	res := servetest.Do(c.t, c.rt, "GET", path, "", nil)
	require.Equal(c.t, 200, res.Status, "%s", res.Body)
	return string(res.Body)
}

func (c *queue) post(path string, form url.Values) servetest.Response {
	c.t.Helper()
	return servetest.Do(c.t, c.rt, "POST", path, "", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// seen is the section of a drop's page that is to be seen: there must be one.
func seen(t *testing.T, body string) string {
	t.Helper()
	found := ""
	for _, part := range strings.Split(body, `<section data-stage="`)[1:] {
		head, _, _ := strings.Cut(part, ">")
		if !strings.Contains(head, "hidden") {
			require.Empty(t, found, "two sections are to be seen")
			found, _, _ = strings.Cut(part, "</section>")
		}
	}
	require.NotEmpty(t, found, "no section is to be seen")
	return strings.Join(strings.Fields(found), " ")
}

func held(state string, more map[string]any) map[string]any {
	c := map[string]any{"sku": "A", "state": state, "quantity": 2, "hold_expires_at": nil, "standby": 0, "more_time": 0}
	for k, v := range more {
		c[k] = v
	}
	return map[string]any{"position": 10, "claims": []any{c}}
}

// TestDropPage: each way that a drop can stand for somebody has its words; without scripts the page renews itself where
// something moves, and never where somebody is about to act.
func TestDropPage(t *testing.T) {
	t.Parallel()
	c, _ := newQueue(t)
	until := dropOpens.Add(10 * time.Minute)
	moves, never := [2]int{15, 25}, [2]int{}
	for i, tt := range []struct {
		state   string
		seconds int
		mine    map[string]any
		says    []string
		renews  [2]int // after how many seconds, at least and at most; none: never
	}{
		{"scheduled", -700, nil, []string{"announced", "Opens <time", "19:00 CET", "logged in", "calendar.ics"}, [2]int{115, 125}},
		{"scheduled", -4300, nil, []string{"announced"}, never}, // an hour and more before
		{"prequeue", -100, nil, []string{"enter", "1234</span>.", `action="/drops/d2/entry"`, `name="sku" value="A"`}, never},
		{"prequeue", -100, map[string]any{}, []string{"in", "Entry number", "412", `action="/drops/d3/leave"`}, moves},
		{"drawing", 2, map[string]any{}, []string{"drawing", "being drawn", `<p data-drawn hidden>`}, moves},
		{"drawing", 5, map[string]any{"position": 411}, []string{"drawing", `<p data-drawn>`, "412</strong>."}, moves},
		{"open", 60, map[string]any{"position": 411},
			[]string{"waiting", ">311</span> before you", "412</strong> of", "in 3 to 6 minutes"}, moves},
		{"open", 60, map[string]any{"position": 99}, []string{"turn", "It is your turn", `value="the.ticket"`, "Take <bdi>A</bdi>"}, never},
		{"open", 60, nil, []string{"late", "still join", ">7</span>."}, never},
		{"open", 60, held("held", map[string]any{"hold_expires_at": until}), []string{"holding", "19:10 CET", `href="/checkout"`}, never},
		{"open", 60, held("asked", nil), []string{"holding", "putting it aside"}, moves},
		{"all_held", 60, held("standby", map[string]any{"standby": 3}),
			[]string{"standby", ">3</span> is your number", "keep this page open"}, moves},
		{"all_held", 60, held("offered", map[string]any{"hold_expires_at": until}),
			[]string{"offered", "One has come back", "Take <bdi>"}, never},
		{"open", 60, held("lapsed", nil), []string{"lapsed", "ask for it again"}, never},
		{"open", 60, held("bought", nil), []string{"bought", "Thank you"}, never},
		{"paused", 60, map[string]any{"position": 99}, []string{"paused", "Your place is safe"}, moves},
		{"all_held", 60, map[string]any{"position": 411},
			[]string{"all-held", "All are being paid for", ">311</span> are before you"}, moves},
		{"open", 60, held("refused", nil),
			[]string{"refused", "as many of it as one shopper may", `name="ticket"`, "Take <bdi>A</bdi>"}, never},
		{"sold_out", 60, map[string]any{"position": 411}, []string{"sold-out", "All 50 are paid for", "not charged", "/verify"}, never},
		{"closed", 60, nil, []string{"closed", "has ended"}, never},
		{"open", 60, map[string]any{"position": 10, "excluded": "two <accounts>"}, []string{"excluded", "two &lt;accounts&gt;"}, never},
	} {
		slug := "d" + itoa(i)
		c.stands(slug, tt.state, tt.seconds, tt.mine)
		body := c.get("/in/" + slug)
		section := seen(t, body)
		require.True(t, strings.HasPrefix(section, tt.says[0]+`"`), "%d: %s", i, section)
		for _, words := range tt.says {
			require.Contains(t, section, words, "%d: %s", i, tt.state)
		}
		require.Contains(t, body, "<h1 dir=\"auto\">The &lt;lamp&gt;</h1>")
		renews := 0
		if meta := renewal.FindStringSubmatch(body); meta != nil {
			renews, _ = strconv.Atoi(meta[1])
			require.Contains(t, body, `<a href="/drops/`+slug+`?still=1">Stop that`)
		}
		require.True(t, tt.renews[0] <= renews && renews <= tt.renews[1], "%d: after %d s: %s", i, renews, section)
		still := c.get("/in/" + slug + "?still=1")
		require.NotContains(t, still, `<meta http-equiv="refresh"`)
		require.NotRegexp(t, `(?i)<style|\sstyle=|\son[a-z]+=`, body, "nothing that the policy would refuse")
		require.Equal(t, section, seen(t, c.get("/in/"+slug+"/body")), "the part says the same")
	}
}

// renewal is how a browser without scripts is told to load a page again: nowhere else.
var renewal = regexp.MustCompile(`<noscript><meta http-equiv="refresh" content="(\d+)"></noscript>`)

// TestDropRenewal: pages that renew themselves spread over ten seconds, whenever they were loaded. Each costs drops one question,
// for what is somebody's own: what is the same for everybody is asked for once a second, and guests cost nothing more.
func TestDropRenewal(t *testing.T) {
	t.Parallel()
	c, s := newQueue(t)
	after := map[string]bool{}
	for second := range 60 {
		slug := "s" + itoa(second)
		c.stands(slug, "open", second, map[string]any{"position": 411})
		after[renewal.FindStringSubmatch(c.get("/in/" + slug))[1]] = true
	}
	require.Len(t, after, 11)
	require.Contains(t, after, "15")
	require.Contains(t, after, "25")

	asked := map[string]int{}
	count := func(operation string, answer map[string]any) {
		whole := servetest.Like(t, "drops", operation, answer)
		servetest.Neighbour(t, c.rt, "drops", operation, func(w http.ResponseWriter, r *http.Request) {
			asked[operation]++
			servetest.Answers(whole)(w, r)
		})
	}
	s.drops.seen = otter.Must(&otter.Options[string, seenDrop]{MaximumSize: 100}) // a second that does not end
	lots := []any{map[string]any{"sku": "A", "units": 50, "limit": 2}}
	count(readDrop, map[string]any{"slug": "lamp", "state": "open", "lots": lots})
	count(readStatus, map[string]any{"state": "open", "now": dropOpens.Add(time.Minute), "skus": []any{}})
	count(readEntry, map[string]any{"position": 411, "skus": []any{"A"}})
	for range 20 {
		c.get("/in/lamp")
		c.get("/drops/lamp")
	}
	require.Equal(t, map[string]int{readDrop: 1, readStatus: 1, readEntry: 20}, asked)
}

// TestSoldOutOf: of a drop of two SKUs one is gone. Who wanted that one reads just this, not that there is nothing at all.
func TestSoldOutOf(t *testing.T) {
	t.Parallel()
	c, _ := newQueue(t)
	c.lots = []any{map[string]any{"sku": "A", "units": 50, "limit": 2}, map[string]any{"sku": "GONE", "units": 9, "limit": 2}}
	c.status = map[string]any{"skus": []any{
		map[string]any{"sku": "A", "called": 100, "free": 7, "held": 3, "sold": 40, "rate_per_min": 60, "likely_below": 500},
		map[string]any{"sku": "GONE", "called": 100, "free": 0, "held": 0, "sold": 9, "rate_per_min": 0, "likely_below": 100},
	}}
	c.stands("lamp", "open", 60, map[string]any{"position": 10, "skus": []any{"GONE"}})
	section := seen(t, c.get("/in/lamp"))
	require.Contains(t, section, "All of what you entered for is paid for")
	require.NotContains(t, section, "All 59")
}

// TestDropLog: everybody reads what staff did to a drop, not who did it; the page that checks the order leads there.
func TestDropLog(t *testing.T) {
	t.Parallel()
	c, _ := newQueue(t)
	var acts []any
	for i, act := range [][2]string{
		{"created", ""}, {"changed", ""}, {"scheduled", ""}, {"paused", ""}, {"resumed", ""}, {"rate", "5 a second"},
		{"units", "A: 60 in all"}, {"message", "Wait <b>a moment</b>"}, {"message", ""}, {"excluded", "entry number 412: two accounts"},
		{"units-asked", "A: 90 in all"}, {"units-refused", "A: 90 in all, out-of-stock"}, {"ended", ""},
		{"polished", "what this page does not know"},
	} {
		acts = append(acts, map[string]any{"act": act[0], "detail": act[1], "at": dropOpens.Add(time.Duration(i) * time.Minute)})
	}
	c.rules = map[string]any{"acts": acts}
	c.stands("lamp", "open", 60, nil)
	body := c.get("/in/lamp")
	_, log, found := strings.Cut(body, `<details class="drop-log">`)
	require.True(t, found)
	log, _, _ = strings.Cut(log, "</details>")
	for _, words := range []string{
		"What staff did", "19:00 CET", "19:03 CET", "Made", "Changed", "Scheduled", "Paused", "Resumed", "5 a second", "A: 60 in all",
		`id="log"`, "Took its message back", "Wait &lt;b&gt;a moment&lt;/b&gt;", "entry number 412: two accounts", "Ended", "Polished",
		"asked for", "no more units",
	} {
		require.Contains(t, log, words)
	}
	require.Equal(t, len(acts), strings.Count(log, "<li>"))
	require.NotRegexp(t, `(?i)<style|\sstyle=|\son[a-z]+=`, body)
	require.Contains(t, c.get("/in/lamp/verify"), `href="/drops/lamp#log"`)

	for len(acts) < 1000 {
		acts = append(acts, map[string]any{"act": "rate", "detail": itoa(len(acts)) + " a second", "at": dropOpens})
	}
	c.rules = map[string]any{"acts": acts}
	c.stands("long", "open", 60, nil)
	body = c.get("/in/long")
	require.Contains(t, body, "999 a second")
	require.NotContains(t, body, "949 a second", "the page stays small")
	require.Contains(t, body, `href="/api/v1/drops/long"`)

	c.rules = nil
	c.stands("none", "open", 60, nil)
	require.NotContains(t, c.get("/in/none"), "What staff did")
}

// TestDropForGuests: who has not logged in sees a page that the edge may keep, and is told to log in before it opens.
func TestDropForGuests(t *testing.T) {
	t.Parallel()
	c, _ := newQueue(t)
	c.stands("lamp", "scheduled", -700, nil)
	res := servetest.Do(t, c.rt, "GET", "/drops/lamp", "", nil)
	require.Equal(t, 200, res.Status)
	require.Equal(t, anonymous, res.Header.Get("Cache-Control"))
	require.Contains(t, seen(t, string(res.Body)), "Log in before it opens")
	require.Contains(t, string(res.Body), `href="/login?next=/drops/lamp"`)

	c.stands("chair", "prequeue", -60, nil)
	require.Contains(t, seen(t, c.get("/drops/chair")), "Log in to enter")
	require.Equal(t, http.StatusSeeOther, servetest.Do(t, c.rt, "POST", "/drops/chair/entry", "", "", "Origin", public).Status)

	ics := servetest.Do(t, c.rt, "GET", "/drops/lamp/calendar.ics", "", nil)
	require.Contains(t, ics.Header.Get("Content-Type"), "text/calendar")
	require.Contains(t, string(ics.Body), "DTSTART:20261204T175000Z\r\n")
}

// TestDropAway: while drops does not answer the page shows what is known, says so, and loses nobody's place.
func TestDropAway(t *testing.T) {
	t.Parallel()
	c, s := newQueue(t)
	c.stands("lamp", "open", 60, map[string]any{"position": 411})
	require.Contains(t, c.get("/in/lamp"), `id="drop-old" hidden`)
	for _, operation := range []string{readDrop, readStatus, readEntry} {
		servetest.Neighbour(t, c.rt, "drops", operation, servetest.IsAway)
	}
	s.drops.seen.InvalidateAll()
	body := c.get("/in/lamp")
	require.Contains(t, body, `id="drop-old">`)
	require.Contains(t, body, "Your place is safe")
	require.Contains(t, c.get("/drops/lamp"), `id="drop-old">`, "also to who has not logged in")
	require.Equal(t, 503, servetest.Do(t, c.rt, "GET", "/in/other", "", nil).Status)
}

// TestNearby: a page that is near waits for news of its entry, as far as there are places; it then shows how it stands now.
func TestNearby(t *testing.T) {
	t.Parallel()
	c, s := newQueue(t)
	c.stands("lamp", "all_held", 60, held("standby", map[string]any{"standby": 3}))
	require.Contains(t, c.get("/in/lamp"), "version&#34;:&#34;v1")
	var asked []string
	servetest.Neighbour(t, c.rt, "drops", readEntry, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		c.stands("lamp", "all_held", 70, held("offered", map[string]any{"hold_expires_at": dropOpens.Add(time.Hour)}))
		s.drops.seen.InvalidateAll()
		servetest.Answers(servetest.Like(t, "drops", readEntry, nil))(w, r)
	})
	require.Contains(t, seen(t, c.get("/in/lamp/body?wait=20&since=v1")), "One has come back")
	require.Equal(t, []string{"since=v1&wait=20"}, asked)

	s.nearby = make(chan struct{}) // no place
	require.Contains(t, seen(t, c.get("/in/lamp/body?wait=20&since=v1")), "One has come back")
	require.Len(t, asked, 1, "what is there is shown")
}

// TestEnter: a form is all it takes; what is refused is said on the page, with what was chosen.
func TestEnter(t *testing.T) {
	t.Parallel()
	c, _ := newQueue(t)
	c.lots = append(c.lots, map[string]any{"sku": "B", "units": 5, "limit": 2})
	c.stands("lamp", "prequeue", -60, nil)
	const enter, leave = "POST /api/v1/drops/{slug}/entry", "DELETE /api/v1/drops/{slug}/entry"
	var sent map[string]any
	servetest.Neighbour(t, c.rt, "drops", enter, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		require.Equal(t, "Bearer the-access-token", r.Header.Get("Authorization"))
		servetest.Answers(servetest.Like(t, "drops", enter, nil))(w, r)
	})
	res := c.post("/in/lamp/entry", url.Values{"sku": {"A", "B"}, "quantity": {"2"}})
	require.Equal(t, http.StatusSeeOther, res.Status, "%s", res.Body)
	require.Equal(t, "/drops/lamp", res.Header.Get("Location"))
	require.Equal(t, map[string]any{"skus": []any{"A", "B"}, "quantity": 2.0, "tell": false}, sent)
	c.post("/in/lamp/entry", url.Values{"sku": {"A"}, "quantity": {"1"}, "tell": {"1"}})
	require.Equal(t, true, sent["tell"])

	res = c.post("/in/lamp/entry", url.Values{"quantity": {"2"}})
	require.Equal(t, http.StatusUnprocessableEntity, res.Status)
	require.Contains(t, string(res.Body), "Please choose what you want")
	require.Equal(t, http.StatusBadRequest, c.post("/in/lamp/entry", url.Values{"sku": {"A"}, "quantity": {"x"}}).Status)

	servetest.Neighbour(t, c.rt, "drops", enter, servetest.Refuses(problem.New(problem.Conflict, "drop-drawing", "")))
	res = c.post("/in/lamp/entry", url.Values{"sku": {"B"}, "quantity": {"2"}})
	require.Equal(t, http.StatusConflict, res.Status)
	require.Contains(t, string(res.Body), "being drawn at this moment")
	require.Contains(t, string(res.Body), `value="B" checked`)

	servetest.Neighbour(t, c.rt, "drops", enter,
		servetest.Refuses(problem.New(problem.Forbidden, "not-eligible", "").With("rule", "suspended")))
	res = c.post("/in/lamp/entry", url.Values{"sku": {"B"}, "quantity": {"2"}})
	require.Equal(t, http.StatusForbidden, res.Status)
	require.Contains(t, seen(t, string(res.Body)), "You cannot take part")
	require.Contains(t, string(res.Body), "is suspended")

	servetest.Neighbour(t, c.rt, "drops", leave, servetest.AnswersStatus(http.StatusNoContent, nil))
	require.Equal(t, http.StatusSeeOther, c.post("/in/lamp/leave", nil).Status)
}

// TestClaim: what is claimed goes into the cart, by the ticket of the page; what is not one's turn is told.
func TestClaim(t *testing.T) {
	t.Parallel()
	c, _ := newQueue(t)
	c.stands("lamp", "open", 60, map[string]any{"position": 10})
	const put = "PUT /api/v1/cart/items/{sku}"
	var ticket string
	answer := func(state string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			ticket = r.Header.Get("Drop-Ticket")
			status := map[string]int{"standby": http.StatusAccepted}[state]
			whole := servetest.Like(t, "drops", doClaim, map[string]any{"sku": "A", "state": state, "quantity": 2})
			servetest.AnswersStatus(cmp.Or(status, http.StatusCreated), whole)(w, r)
		}
	}
	var quantities []float64
	inCart := func(most float64) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var in map[string]float64
			_ = json.NewDecoder(r.Body).Decode(&in)
			quantities = append(quantities, in["quantity"])
			if in["quantity"] > most {
				servetest.Refuses(problem.New(problem.Conflict, "limit-reached", "").With("limit", 2).With("available", most))(w, r)
				return
			}
			servetest.Answers(servetest.Like(t, "carts", put, map[string]any{"checkout_id": uuid.New()}))(w, r)
		}
	}
	form := url.Values{"sku": {"A"}, "quantity": {"2"}, "ticket": {"the.ticket"}}
	servetest.Neighbour(t, c.rt, "drops", doClaim, answer("held"))
	servetest.Neighbour(t, c.rt, "carts", put, inCart(2))
	res := c.post("/in/lamp/claim", form)
	require.Equal(t, http.StatusSeeOther, res.Status, "%s", res.Body)
	require.Equal(t, "the.ticket", ticket)
	require.Equal(t, []float64{2}, quantities)

	// One is in an order already.
	servetest.Neighbour(t, c.rt, "carts", put, inCart(1))
	require.Equal(t, http.StatusSeeOther, c.post("/in/lamp/claim", form).Status)
	require.Equal(t, []float64{2, 2, 1}, quantities)

	// Carts is away: nobody can take it meanwhile, and the page says how to go on.
	servetest.Neighbour(t, c.rt, "carts", put, servetest.IsAway)
	c.stands("chair", "open", 60, held("held", map[string]any{"hold_expires_at": dropOpens.Add(time.Hour)}))
	res = c.post("/in/chair/claim", form)
	require.Equal(t, http.StatusServiceUnavailable, res.Status)
	require.Contains(t, string(res.Body), "held for you, but could not be put into your cart")
	require.Contains(t, seen(t, string(res.Body)), "into my cart again")

	// Nothing is free.
	servetest.Neighbour(t, c.rt, "drops", doClaim, answer("standby"))
	require.Equal(t, http.StatusSeeOther, c.post("/in/lamp/claim", form).Status)
	require.Len(t, quantities, 3, "nothing goes into the cart")

	// The form has the ticket of the shopper's own entry. With another's, or without one, drops refuses it as any claim.
	servetest.Neighbour(t, c.rt, "drops", doClaim, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Drop-Ticket") != "the.ticket" {
			servetest.Refuses(problem.New(problem.Forbidden, "ticket-invalid", ""))(w, r)
			return
		}
		answer("held")(w, r)
	})
	servetest.Neighbour(t, c.rt, "carts", put, inCart(2))
	require.Contains(t, seen(t, c.get("/in/lamp")), `name="ticket" value="the.ticket"`)
	for _, wrong := range []url.Values{
		{"sku": {"A"}, "quantity": {"2"}, "ticket": {"another.ticket"}}, {"sku": {"A"}, "quantity": {"2"}},
	} {
		res = c.post("/in/lamp/claim", wrong)
		require.Equal(t, http.StatusForbidden, res.Status)
		require.Contains(t, string(res.Body), "was another account’s")
		require.Contains(t, seen(t, string(res.Body)), `value="the.ticket"`, "from here it can be tried again")
		require.Len(t, quantities, 3, "nothing goes into the cart")
	}
	require.Equal(t, http.StatusSeeOther, c.post("/in/lamp/claim", form).Status)

	for slug, says := range map[string]string{
		"not-called": "not your turn yet", "drop-paused": "paused", "sold-out": "Nothing is left",
		"claim-lapsed": "Your time for it was over",
	} {
		servetest.Neighbour(t, c.rt, "drops", doClaim, servetest.Refuses(problem.New(problem.Conflict, slug, "")))
		res = c.post("/in/lamp/claim", form)
		require.Equal(t, http.StatusConflict, res.Status)
		require.Contains(t, string(res.Body), says)
	}
}

// TestMoreTime: who holds something may ask for more time, as often as there is some, with nothing but a form.
func TestMoreTime(t *testing.T) {
	t.Parallel()
	c, _ := newQueue(t)
	until := dropOpens.Add(10 * time.Minute)
	for slug, says := range map[string]string{"2": "more time twice", "1": "more time once", "0": ""} {
		n, _ := strconv.Atoi(slug)
		c.stands(slug, "open", 60, held("held", map[string]any{"hold_expires_at": until, "more_time": n}))
		section := seen(t, c.get("/in/"+slug))
		require.Contains(t, section, says)
		require.Equal(t, n > 0, strings.Contains(section, `action="/drops/`+slug+`/more-time"`))
	}
	const more = "POST /api/v1/drops/{slug}/entry/more-time"
	var sent map[string]any
	servetest.Neighbour(t, c.rt, "drops", more, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		servetest.Answers(servetest.Like(t, "drops", more, nil))(w, r)
	})
	res := c.post("/in/2/more-time", url.Values{"sku": {"A"}})
	require.Equal(t, http.StatusSeeOther, res.Status, "%s", res.Body)
	require.Equal(t, "/drops/2", res.Header.Get("Location"))
	require.Equal(t, map[string]any{"sku": "A"}, sent)
	for slug, says := range map[string]string{
		"no-more-time": "no more time to give", "not-held": "not held for you", "claim-lapsed": "was over",
	} {
		servetest.Neighbour(t, c.rt, "drops", more, servetest.Refuses(problem.New(problem.Conflict, slug, "")))
		res = c.post("/in/2/more-time", url.Values{"sku": {"A"}})
		require.Equal(t, http.StatusConflict, res.Status)
		require.Contains(t, string(res.Body), says)
	}
}

// TestSoldInDrop: the home page tells of a drop, and a product that is sold in one leads there instead of into the cart, where
// it would be refused.
func TestSoldInDrop(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	const list, read = "GET /api/v1/drops", "GET /api/v1/products/{slug}"
	one := func(slug, state string, lots ...any) any {
		var whole any
		require.NoError(t, json.Unmarshal(servetest.Like(t, "drops", readDrop, map[string]any{
			"slug": slug, "title": "The " + slug, "state": state, "zone": "UTC", "opens_at": dropOpens, "lots": lots,
		}), &whole))
		return whole
	}
	lot := map[string]any{"sku": "LAMP", "units": 5, "limit": 1}
	servetest.Neighbour(t, rt, "drops", list, servetest.Answers(map[string]any{"items": []any{
		one("past", "sold_out", lot), one("lamp", "scheduled", lot),
	}}))
	price := map[string]any{"amount_minor": 2_899, "currency": "GBP"}
	sold := func(skus ...string) {
		var variants []any
		for _, sku := range skus {
			variants = append(variants, map[string]any{
				"sku": sku, "price": price, "available": 0, "in_stock": false, "max_per_shopper": 20,
			})
		}
		servetest.Neighbour(t, rt, "products", read, servetest.Answers(servetest.Like(t, "products", read, map[string]any{
			"slug": "lamp", "sku": skus[0], "price": price, "variants": variants,
		})))
	}
	get := func(path string) string { return string(servetest.Do(t, rt, "GET", path, "", nil).Body) }
	sold("LAMP")
	body := get("/products/lamp")
	require.Contains(t, body, `href="/drops/lamp"`)
	require.NotContains(t, body, `id="buy"`)
	require.NotContains(t, body, "Tell me when it is back")
	sold("LAMP", "OTHER")
	body = get("/products/lamp")
	require.NotContains(t, body, `href="/drops/lamp"`)
	require.Contains(t, body, `id="buy"`)

	body = get("/drops")
	require.Less(t, strings.Index(body, "/drops/lamp"), strings.Index(body, "/drops/past"))
	servetest.Neighbour(t, rt, "products", "GET /api/v1/products", servetest.Answers(map[string]any{"next_cursor": nil, "items": []any{}}))
	servetest.Neighbour(t, rt, "products", "GET /api/v1/categories", servetest.Answers(map[string]any{"items": []any{}}))
	body = get("/")
	require.Contains(t, body, `href="/drops/lamp"`)
	require.NotContains(t, body, `href="/drops/past"`)
}
