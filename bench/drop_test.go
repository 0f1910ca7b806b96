package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/stampede-shop/stampede/drop"
)

// stood reads a status document as drops writes it.
func stood(t *testing.T, format string, args ...any) standing {
	t.Helper()
	var st standing
	require.NoError(t, json.Unmarshal(fmt.Appendf(nil, format, args...), &st))
	return st
}

// TestPause: who comes to the bench's drop looks as often as the page does (TestDropPauses of tests/browser has the same table).
func TestPause(t *testing.T) {
	t.Parallel()
	opens := time.Unix(1_000_000, 0).UTC()
	for _, tt := range []struct {
		state  string
		now    time.Duration // after the opening
		ahead  uint64
		rate   int
		random float64
		want   time.Duration
	}{
		{"open", time.Minute, 5, 60, 0, 2 * time.Second}, // it takes 5 s
		{"open", time.Minute, 5, 60, 1, 2600 * time.Millisecond},
		{"open", time.Minute, 100, 60, 0, 5 * time.Second},
		{"open", time.Minute, 9000, 60, 0, 10 * time.Second},
		{"open", time.Minute, 9000, 60, 1, 13 * time.Second},
		{"open", time.Minute, 9, 0, 0, 10 * time.Second}, // nobody is called
		{"open", time.Minute, 0, 0, 0, 2 * time.Second},  // called, or holding
		{"paused", time.Minute, 9, 0, 0, 10 * time.Second},
		{"prequeue", -time.Minute, 0, 0, 0, 10 * time.Second},
		{"prequeue", -5 * time.Second, 0, 0, 0, 5 * time.Second}, // at the opening and not before
		{"prequeue", -5 * time.Second, 0, 0, 1, 13 * time.Second},
		{"prequeue", time.Second, 0, 0, 0, 2 * time.Second}, // the order is being drawn
	} {
		st := stood(t, `{"state": %q, "opens_at": %q, "poll_s": [2, 10], "skus": [{"sku": "a", "rate_per_min": %d}]}`,
			tt.state, opens.Format(time.RFC3339), tt.rate)
		require.Equal(t, tt.want, st.pause(tt.ahead, opens.Add(tt.now), tt.random), "%+v", tt)
	}
}

// TestPlace: everybody works out the position that the service gives them, and nobody before it can be known.
func TestPlace(t *testing.T) {
	t.Parallel()
	const n = 300
	seed := drop.Seed([32]byte{1}, nil, [32]byte{2}, n)
	at := func(st standing, idx uint64) string {
		position, known := st.place(idx)
		return fmt.Sprint(position, known)
	}
	open := stood(t, `{"n": %d, "seed": %q, "skus": []}`, n, hex.EncodeToString(seed[:]))
	for idx, want := range drop.Positions(n, seed) {
		require.Equal(t, fmt.Sprint(want, true), at(open, uint64(idx)))
	}
	require.Equal(t, "300 true", at(open, 300)) // came after the opening
	require.Equal(t, "0 false", at(stood(t, `{"n": null, "skus": []}`), 7))
	require.Equal(t, "0 false", at(stood(t, `{"n": 300, "skus": []}`), 7)) // frozen, not drawn
}

// TestOver: who waits goes when all is paid, not while something is held that may come back.
func TestOver(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"state": "open", "skus": [{"free": 0, "held": 1, "sold": 9}]}`:     false,
		`{"state": "open", "skus": [{"free": 1, "held": 0, "sold": 9}]}`:     false,
		`{"state": "prequeue", "skus": [{"free": 0, "held": 0, "sold": 0}]}`: false,
		`{"state": "all_held", "skus": [{"free": 0, "held": 0, "sold": 9}]}`: true,
		`{"state": "sold_out", "skus": [{"free": 0, "held": 0, "sold": 9}]}`: true,
		`{"state": "closed", "skus": [{"free": 3, "held": 0, "sold": 0}]}`:   true,
	} {
		st := stood(t, "%s", text)
		require.Equal(t, want, st.over(), text)
	}
}

// TestAhead: who is called, or does not know their place, waits for nobody.
func TestAhead(t *testing.T) {
	t.Parallel()
	st := stood(t, `{"skus": [{"called": 10}]}`)
	place := func(n uint64) *person { return &person{position: &n} }
	require.Zero(t, (&person{}).ahead(&st))
	require.Zero(t, place(9).ahead(&st))
	require.EqualValues(t, 5, place(15).ahead(&st))
}

// shopOf is a sale at a shop that answers like that.
func shopOf(t *testing.T, answer http.HandlerFunc) *sale {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	b := &bench{shop: &shop{base: server.URL, http: &http.Client{Transport: http.DefaultTransport}}}
	s := &sale{
		bench: b, path: "/api/v1/drops/lamp", sku: "LAMP", statuses: map[int]int{}, answers: map[string]int{},
		positions: map[uint64]uint64{},
	}
	s.shop = b.shop.patient()
	s.shop.http = &http.Client{Transport: s}
	return s
}

// TestTurn: what a claim is answered with decides who goes, who stands by and who looks again.
func TestTurn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		status  int
		body    string
		habit   habit
		answer  string
		standby bool
		wrong   bool
	}{
		{"held", 201, `{"state": "held"}`, lapses, unpaid, false, false},
		{"standby", 202, `{"state": "standby"}`, stays, "", true, false},
		{"sold out", 409, `{"type": "urn:stampede:problem:sold-out"}`, stays, soldOut, false, false},
		{"over", 409, `{"type": "urn:stampede:problem:drop-ended"}`, stays, soldOut, false, false},
		{"crowded", 503, `{"type": "urn:stampede:problem:unavailable"}`, stays, "", false, false},
		{"lapsed", 409, `{"type": "urn:stampede:problem:claim-lapsed"}`, stays, "", false, false},
		{"another's", 403, `{"type": "urn:stampede:problem:ticket-invalid"}`, stays, "", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := shopOf(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Drop-Ticket") != "mine" {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			p := &person{habit: tt.habit, ticket: "mine"}
			answer, err := s.turn(t.Context(), p)
			require.Equal(t, tt.wrong, err != nil, "%v", err)
			require.Equal(t, tt.answer, answer)
			require.Equal(t, tt.standby, p.standby)
			require.Equal(t, map[int]int{tt.status: 1}, s.statuses)
			require.Len(t, s.claims, 1)
			want := 0
			if tt.status >= 500 {
				want = 1
			}
			require.Equal(t, want, s.failed())
		})
	}
}

// TestStandby: who stands by among the first waits for news of the entry beside the looks at the status, and claims when there
// are some; who is further back looks now and then; who was answered at once without any leaves it for a while.
func TestStandby(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		place   int
		answers []string // to who waits: the entry's version and state
		asked   []string // queries
		answer  string
	}{
		{"first", 1, []string{"2 standby", "3 offered"}, []string{"", "wait=25&since=1", "wait=25&since=2"}, unpaid},
		{"twentieth", 20, []string{"2 offered"}, []string{"", "wait=25&since=1"}, unpaid},
		{"crowded", 1, []string{"1 standby"}, []string{"", "wait=25&since=1"}, ""},
		{"further back", 21, nil, []string{""}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var asked []string
			s := shopOf(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				switch r.URL.Path {
				case "/api/v1/drops/lamp/entry":
					asked = append(asked, r.URL.RawQuery)
					said := "1 standby"
					if len(asked) > 1 {
						said = tt.answers[len(asked)-2]
					}
					version, state, _ := strings.Cut(said, " ")
					fmt.Fprintf(w, `{"version": %q, "claims": [{"state": %q, "standby": %d}]}`, version, state, tt.place)
				case "/api/v1/drops/lamp/claim":
					_, _ = w.Write([]byte(`{"state": "held"}`))
				}
			})
			st := stood(t, `{"state": "all_held", "n": 0, "skus": [{"called": 9, "held": 9}], "poll_s": [2, 10]}`)
			at := uint64(3)
			p := &person{habit: lapses, ticket: "mine", position: &at, standby: true, news: make(chan heard, 1)}
			answer, err := s.follow(t.Context(), p, &st)
			for err == nil && p.hangs {
				require.True(t, p.rest(t.Context(), time.Minute))
				answer, err = s.follow(t.Context(), p, &st)
			}
			require.NoError(t, err)
			require.Equal(t, tt.answer, answer)
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, tt.asked, asked)
			require.Len(t, asked, int(s.looks.Load()))
		})
	}
}

// TestHangsUp: who goes while they wait for news has not been left without an answer.
func TestHangsUp(t *testing.T) {
	t.Parallel()
	s := shopOf(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	p := &person{news: make(chan heard, 1)}
	last := ownEntry{Version: "1"}
	require.NoError(t, json.Unmarshal([]byte(`{"version": "1", "claims": [{"state": "standby", "standby": 1}]}`), &last))
	s.hang(ctx, p, &last)
	cancel()
	require.True(t, (<-p.news).crowded)
	require.Empty(t, s.statuses)
}

// TestToldWithin: who came when all was gone already did not wait for it.
func TestToldWithin(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	s := &sale{ended: at(100), told: []hearing{{at(1), at(104)}, {at(50), at(101)}, {at(130), at(131)}}}
	require.Equal(t, []time.Duration{time.Second, 4 * time.Second}, s.toldWithin())
}

// TestEvading: of what is sent to miss what is kept, no two requests are alike.
func TestEvading(t *testing.T) {
	t.Parallel()
	target := evading("http://shop/status")
	seen := map[string]bool{}
	for range 100 {
		var to vegeta.Target
		require.NoError(t, target(&to))
		require.Regexp(t, `^http://shop/status\?miss=\d+$`, to.URL)
		for _, unlike := range []string{to.URL, to.Header.Get("Authorization"), to.Header.Get("Cookie"), to.Header.Get("Accept")} {
			require.False(t, seen[unlike], unlike)
			seen[unlike] = true
		}
	}
}

// TestArrive: all that arrive are told apart by their answers.
func TestArrive(t *testing.T) {
	t.Parallel()
	var count atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch count.Add(1) % 3 {
		case 0:
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"type": "urn:stampede:problem:not-called"}`))
		case 1:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"type": "urn:stampede:problem:drop-not-found"}`))
		}
	}))
	t.Cleanup(server.Close)
	target := vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: server.URL})
	r := arrive(context.Background(), target, 100, 200*time.Millisecond, crowded()...)
	n := int(count.Load())
	require.Len(t, r.Refused, n/3)
	require.Equal(t, map[string]int{"404 drop-not-found": (n + 2) / 3}, r.Errors)
	require.Len(t, r.Times, n-n/3-(n+2)/3)
}

// TestServed: what a service counts is read by route, whatever stands beside it.
func TestServed(t *testing.T) {
	t.Parallel()
	const labels = `method="GET",route="/api/v1/drops/{slug}/status",status="2xx"} 12`
	require.Equal(t, statusRoute, label(labels, "method")+" "+label(labels, "route"))
	require.Empty(t, label(labels, "work"))
}

// TestPut: a part of the page that was measured alone takes the place of the one before it, and leaves the others.
func TestPut(t *testing.T) {
	t.Parallel()
	page := "# Page\n\n## An order\nfast\n\n" + byHand + "much\n"
	page = put(page, "## A drop\nfair\n")
	require.Equal(t, "# Page\n\n## An order\nfast\n\n## A drop\nfair\n\n"+byHand+"much\n", page)
	page = put(page, "## A drop\nfairer\n")
	require.Equal(t, "# Page\n\n## An order\nfast\n\n## A drop\nfairer\n\n"+byHand+"much\n", page)
	require.Equal(t, "# Page\n\n## An order\nfaster\n\n## A drop\nfairer\n\n"+byHand+"much\n", put(page, "## An order\nfaster\n"))
}
