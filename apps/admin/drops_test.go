package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestWhen: a time of a form is the zone's, and what its clocks never show, or show twice, is refused (tzdata: London goes
// forward on 29 March 2026 at 01:00 and back on 25 October at 02:00; Lord Howe by half an hour).
func TestWhen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ zone, typed, want, wrong string }{
		{"Europe/London", "2026-12-04T18:00", "2026-12-04T18:00:00Z", ""},
		{"Europe/London", "2026-07-04T18:00", "2026-07-04T18:00:00+01:00", ""},
		{"Europe/London", "2026-03-29T00:59", "2026-03-29T00:59:00Z", ""},
		{"Europe/London", "2026-03-29T01:30", "", "no such time"},
		{"Europe/London", "2026-03-29T02:00", "2026-03-29T02:00:00+01:00", ""},
		{"Europe/London", "2026-10-25T00:59", "2026-10-25T00:59:00+01:00", ""},
		{"Europe/London", "2026-10-25T01:00", "", "two such times"},
		{"Europe/London", "2026-10-25T01:59", "", "two such times"},
		{"Europe/London", "2026-10-25T02:00", "2026-10-25T02:00:00Z", ""},
		{"Australia/Lord_Howe", "2026-04-05T01:45", "", "two such times"},
		{"Australia/Lord_Howe", "2026-10-04T02:15", "", "no such time"},
		{"UTC", "2026-10-25T01:30", "2026-10-25T01:30:00Z", ""},
		{"Asia/Kolkata", "2026-10-25T01:30", "2026-10-25T01:30:00+05:30", ""},
		{"UTC", "tomorrow", "", "write a day"},
		{"UTC", "", "", "write a day"},
	} {
		zone, err := time.LoadLocation(tt.zone)
		require.NoError(t, err)
		at, wrong := when(tt.typed, zone)
		if tt.wrong != "" {
			require.Contains(t, wrong, tt.wrong, "%v", tt)
			continue
		}
		require.Empty(t, wrong, "%v", tt)
		require.Equal(t, tt.want, at.Format(time.RFC3339), "%v", tt)
	}
}

func TestReadLot(t *testing.T) {
	t.Parallel()
	l, ok := readLot(" LAMP, RED , 100,1\n")
	require.True(t, ok)
	require.Equal(t, dropLot{"LAMP, RED", 100, 1}, l)
	for _, line := range []string{"", "LAMP", "LAMP, 1", "LAMP, x, 1", ", 1, 1", "LAMP, 1, "} {
		_, ok := readLot(line)
		require.False(t, ok, line)
	}
}

const (
	watchDrop = "GET /api/v1/admin/drops/{id}"
	makeDrop  = "POST /api/v1/admin/drops"
)

// likeDrop is a drop as drops tells staff of it.
func likeDrop(t *testing.T, id uuid.UUID, state string, more map[string]any) json.RawMessage {
	opens := time.Date(2026, 12, 4, 18, 0, 0, 0, time.UTC)
	all := map[string]any{
		"id": id, "slug": "lamp", "title": "The <lamp>", "preset": "queue", "state": state, "zone": "Europe/Paris",
		"prequeue_at": opens.Add(-10 * time.Minute), "opens_at": opens, "closes_at": opens.Add(time.Hour), "grace_s": 45, "hold_s": 600,
		"standby_s": 60, "beacon": "commit", "message": "", "calls_per_s": 100, "set_aside": "open", "refused": "", "entered": 1234,
		"beacon_silent": false,
		"lots":          []any{map[string]any{"sku": "LAMP/RED", "units": 50, "limit": 1}},
		"watch": []any{map[string]any{
			"sku": "LAMP/RED", "asked": 0, "waiting": 1134,
			"called": 100, "free": 7, "held": 3, "sold": 40, "came": 80, "stayed": 20, "show_rate": .8,
			"standby": 12, "lapsed": 9, "refused": 6,
		}},
		"acts": []any{map[string]any{"act": "message", "detail": "<b>Soon</b>", "at": opens}},
	}
	for k, v := range more {
		all[k] = v
	}
	return servetest.Like(t, "drops", watchDrop, all)
}

// TestWatchDrop: figures, log and rules of a drop, and of what can be done to it only what its state lets.
func TestWatchDrop(t *testing.T) {
	t.Parallel()
	d := setup(t)
	id := uuid.New()
	at := "/admin/drops/" + id.String()
	acts := []string{"change", "schedule", "pause", "resume", "message", "rate", "exclude", "end", "units?sku=LAMP%2fRED"}
	for state, can := range map[string][]string{
		"draft": {"change", "schedule"}, "scheduled": {"message", "rate", "exclude", "end", "units?sku=LAMP%2fRED"},
		"open":   {"pause", "message", "rate", "exclude", "end", "units?sku=LAMP%2fRED"},
		"paused": {"resume", "message", "rate", "exclude", "end", "units?sku=LAMP%2fRED"}, "sold_out": nil, "closed": nil,
	} {
		servetest.Neighbour(t, d.rt, "drops", watchDrop, servetest.Answers(likeDrop(t, id, state, nil)))
		body := string(d.get(at).Body)
		for _, act := range acts {
			if slices.Contains(can, act) {
				require.Contains(t, body, at+"/"+act, state)
			} else {
				require.NotContains(t, body, at+"/"+act, state)
			}
		}
		for _, words := range []string{
			"1134", "80&nbsp;%", ">12<", "9 let one go, 6 were refused", "The &lt;lamp&gt;", "&lt;b&gt;Soon",
			"Fri 4 Dec 2026, 19:00 CET", "could influence",
		} {
			require.Contains(t, body, words, state)
		}
	}
	servetest.Neighbour(t, d.rt, "drops", watchDrop,
		servetest.Answers(likeDrop(t, id, "draft", map[string]any{"set_aside": "refused", "refused": "out-of-stock"})))
	require.Contains(t, string(d.get(at).Body), "Out of stock. Change the draft")
	require.NotContains(t, string(d.get(at).Body), "does not answer")
	servetest.Neighbour(t, d.rt, "drops", watchDrop, servetest.Answers(likeDrop(t, id, "draft", map[string]any{"beacon_silent": true})))
	for _, page := range []string{at, at + "/schedule"} {
		require.Contains(t, string(d.get(page).Body), "cannot be had just now", page)
	}
	require.Equal(t, 404, d.get("/admin/drops/x").Status)
}

// TestMakeDrop: what is typed goes to drops in the zone's own time; whatever is refused stays in the form.
func TestMakeDrop(t *testing.T) {
	t.Parallel()
	d := setup(t)
	id := uuid.New()
	form := func() url.Values {
		return url.Values{
			"slug": {"lamp"}, "title": {"The lamp"}, "preset": {"queue"}, "lots": {"LAMP, 100, 1\r\n\r\nCHAIR, 5, 2"},
			"zone": {"Europe/London"}, "prequeue_at": {"2026-07-04T17:50"}, "opens_at": {"2026-07-04T18:00"},
			"closes_at": {"2026-07-04T20:00"}, "beacon": {"drand"}, "grace_s": {""}, "hold_s": {"300"},
			"notify": {""}, "tell_end": {"no"},
		}
	}
	var sent map[string]any
	servetest.Neighbour(t, d.rt, "drops", makeDrop, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		servetest.AnswersStatus(http.StatusCreated, likeDrop(t, id, "draft", nil))(w, r)
	})
	res := d.post("/admin/drops/new", form())
	require.Equal(t, http.StatusSeeOther, res.Status, "%s", res.Body)
	require.Equal(t, "/admin/drops/"+id.String()+"?done=created", res.Header.Get("Location"))
	require.Equal(t, map[string]any{
		"slug": "lamp", "title": "The lamp", "preset": "queue", "zone": "Europe/London", "prequeue_at": "2026-07-04T17:50:00+01:00",
		"opens_at": "2026-07-04T18:00:00+01:00", "closes_at": "2026-07-04T20:00:00+01:00", "beacon": "drand", "hold_s": 300.0,
		"tell_end": false, "lots": []any{
			map[string]any{"sku": "LAMP", "units": 100.0, "limit": 1.0}, map[string]any{"sku": "CHAIR", "units": 5.0, "limit": 2.0},
		},
	}, sent)

	wrong := form()
	wrong.Set("opens_at", "2026-03-29T01:30")
	wrong.Set("lots", "LAMP; 100")
	wrong.Set("hold_s", "long")
	res = d.post("/admin/drops/new", wrong)
	require.Equal(t, http.StatusUnprocessableEntity, res.Status)
	for _, words := range []string{
		"clocks go forward", "“LAMP; 100” is not", "Write a number", `value="2026-03-29T01:30"`, "LAMP; 100</textarea>",
	} {
		require.Contains(t, string(res.Body), words)
	}
	servetest.Neighbour(t, d.rt, "drops", makeDrop,
		servetest.Refuses(problem.InvalidField("body.closes_at", problem.CodeTooSmall, "is not after opens_at")))
	res = d.post("/admin/drops/new", form())
	require.Equal(t, http.StatusUnprocessableEntity, res.Status)
	require.Contains(t, string(res.Body), "Must be after the opening")
	servetest.Neighbour(t, d.rt, "drops", makeDrop,
		servetest.Refuses(problem.New(problem.Conflict, "slug-taken", "Another drop has this name")))
	require.Contains(t, string(d.post("/admin/drops/new", form()).Body), "Another one has this address.")
}

// TestSteerDrop: each act is sent as it was typed, what cannot be undone asks first, and a refusal is told in the form.
func TestSteerDrop(t *testing.T) {
	t.Parallel()
	d := setup(t)
	id := uuid.New()
	at := "/admin/drops/" + id.String()
	whole := likeDrop(t, id, "open", nil)
	servetest.Neighbour(t, d.rt, "drops", watchDrop, servetest.Answers(whole))
	for _, tt := range []struct {
		act, asks, operation string
		typed                url.Values
		body                 string
	}{
		{"pause", "", "PUT /api/v1/admin/drops/{id}/pause", nil, ""},
		{"resume", "", "DELETE /api/v1/admin/drops/{id}/pause", nil, ""},
		{"schedule", "do not change from then on", "POST /api/v1/admin/drops/{id}/schedule", nil, ""},
		{"rate", "Called in a second", "PUT /api/v1/admin/drops/{id}/rate", url.Values{"calls_per_s": {"7"}}, `{"calls_per_s":7}`},
		{"message", "public log for ever", "PUT /api/v1/admin/drops/{id}/message", url.Values{"message": {"a\r\nb"}}, `{"message":"a\nb"}`},
		{"units?sku=LAMP%2FRED", "Units now", "PUT /api/v1/admin/drops/{id}/units/{sku}", url.Values{"more": {"10"}},
			`{"units":60,"expected":50}`},
		{"end", "cannot be begun again", "POST /api/v1/admin/drops/{id}/end", nil, ""},
		{"exclude", "not let in again", "PUT /api/v1/admin/drops/{id}/exclusions/{idx}",
			url.Values{"number": {"12"}, "reason": {"two accounts"}}, `{"reason":"two accounts"}`},
	} {
		if tt.asks != "" {
			require.Contains(t, string(d.get(at+"/"+tt.act).Body), tt.asks, tt.act)
		}
		var path string
		var sent json.RawMessage
		servetest.Neighbour(t, d.rt, "drops", tt.operation, func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.EscapedPath()
			_ = json.NewDecoder(r.Body).Decode(&sent)
			servetest.Answers(whole)(w, r)
		})
		typed := tt.typed
		if typed == nil {
			typed = url.Values{}
		}
		res := d.post(at+"/"+tt.act, typed)
		require.Equal(t, http.StatusSeeOther, res.Status, "%s: %s", tt.act, res.Body)
		require.NotEmpty(t, path, tt.act)
		if tt.body != "" {
			require.JSONEq(t, tt.body, string(sent), tt.act)
		}
		if tt.act == "exclude" {
			require.Contains(t, path, "/exclusions/11", "the API counts from 0")
		}
		if tt.asks == "" {
			continue
		}
		servetest.Neighbour(t, d.rt, "drops", tt.operation,
			servetest.Refuses(problem.New(problem.Conflict, "drop-state", "The drop is not in the state for that")))
		res = d.post(at+"/"+tt.act, typed)
		require.Equal(t, http.StatusConflict, res.Status, tt.act)
		require.Contains(t, string(res.Body), "is not in the state for that", tt.act)
	}
	for _, tt := range []struct{ act, name, typed, says string }{
		{"rate", "calls_per_s", "fast", "Write a number"}, {"units?sku=LAMP%2FRED", "more", "-1", "never taken away"},
		{"exclude", "number", "0", "Must be 1 or more"},
	} {
		res := d.post(at+"/"+tt.act, url.Values{tt.name: {tt.typed}})
		require.Equal(t, http.StatusUnprocessableEntity, res.Status, tt.act)
		require.Contains(t, string(res.Body), tt.says)
		require.Contains(t, string(res.Body), `value="`+tt.typed+`"`)
	}
	// Somebody has added units since the form was shown: what is sent is what it said, and the next form says what there is by now.
	const addUnits = "PUT /api/v1/admin/drops/{id}/units/{sku}"
	servetest.Neighbour(t, d.rt, "drops", addUnits, func(w http.ResponseWriter, r *http.Request) {
		var sent map[string]any
		_ = json.NewDecoder(r.Body).Decode(&sent)
		require.Equal(t, map[string]any{"units": 50.0, "expected": 40.0}, sent)
		changed := problem.New(problem.Conflict, "units-changed", "The lot has another number of units by now")
		servetest.Refuses(changed.With("units", 50))(w, r)
	})
	require.Contains(t, string(d.get(at+"/units?sku=LAMP%2FRED").Body), "seen=50")
	res := d.post(at+"/units?seen=40&sku=LAMP%2FRED", url.Values{"more": {"10"}})
	require.Equal(t, http.StatusConflict, res.Status)
	for _, words := range []string{"another number of units by now", ">50</dd>", "seen=50", `value="10"`} {
		require.Contains(t, string(res.Body), words)
	}
	servetest.Neighbour(t, d.rt, "drops", addUnits, servetest.Answers(likeDrop(t, id, "open", map[string]any{"watch": []any{
		map[string]any{"sku": "LAMP/RED", "asked": 60, "waiting": 0, "called": 0, "free": 0, "held": 0, "sold": 0, "came": 0, "stayed": 0,
			"show_rate": .8, "standby": 0, "lapsed": 0, "refused": 0},
	}})))
	res = d.post(at+"/units?sku=LAMP%2FRED", url.Values{"more": {"10"}})
	require.Contains(t, res.Header.Get("Location"), "done=drop-units-asked")
	require.Equal(t, 404, d.post(at+"/units?sku=OTHER", url.Values{"more": {"1"}}).Status)
}
