package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
)

var slugs = struct {
	sync.Mutex
	all []string
}{all: []string{"red-shirt"}} // of examples of paths

// newDrop gives the slug of a drop that no other test has.
func newDrop() string {
	slugs.Lock()
	defer slugs.Unlock()
	slug := fmt.Sprintf("drop-%d", lastRequest.Add(1))
	slugs.all = append(slugs.all, slug)
	return slug
}

// listed is the list of all drops.
func listed() string {
	slugs.Lock()
	defer slugs.Unlock()
	var items []map[string]string
	for _, slug := range slugs.all {
		items = append(items, map[string]string{"id": "1", "slug": slug, "title": `"slug":"quoted"`})
	}
	text, _ := json.Marshal(map[string]any{"items": items})
	return string(text)
}

func claim(slug string) string  { return "/api/v1/drops/" + slug + "/claim" }
func status(slug string) string { return "/api/v1/drops/" + slug + "/status" }

// answers says what a drop's status is from now on.
func answers(g *gateway, slug, text string) {
	g.upstream.answer(status(slug), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, text)
	})
}

// claims sends a claim.
func claims(t require.TestingT, g *gateway, slug string, header ...string) answer {
	return g.send(t, request{method: "POST", path: claim(slug), header: header, body: "{}"})
}

// opens lets a drop for which nobody waited be open: a position is a place in the log of entries.
func opens(g *gateway, slug string, called int) {
	answers(g, slug, fmt.Sprintf(`{"state":"open","n":0,"skus":[{"sku":"A","called":0},{"sku":"B","called":%d}]}`, called))
}

// ticket is the header with which an entry's owner claims.
func ticket(slug string, idx int, good time.Duration) string {
	return sealed(slug, idx, good, drop.TicketKey([]byte(dropsKey), slug))
}

// sealed is the header with a ticket of the entry that came as number idx, signed with any key.
func sealed(slug string, idx int, good time.Duration, key []byte) string {
	now := time.Now()
	return "Drop-Ticket: " + drop.Ticket{
		Drop: slug, Subject: "somebody", Entry: fmt.Sprintf("%s-%d", slug, idx), Idx: uint64(max(idx, 0)),
		IssuedAt: now.Unix(), ExpiresAt: now.Add(good).Unix(),
	}.Sign(key)
}

// TestStrangers: names that no drop has bring drops hardly a request, however many are made up, and a new drop is seen
// meanwhile.
func TestStrangers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, sidecars [3]string) *nginx{
		"nginx": func(t *testing.T, addresses [3]string) *nginx {
			vars := sidecars(addresses)
			vars["RATE_ADDRESS"] = "100000"
			return newNginx(t, vars, nil)
		},
		"kong": func(t *testing.T, addresses [3]string) *nginx { return newKongLua(t, addresses, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
			strangers(t, &gateway{address: start(t, addresses).gateway, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u})
		})
	}
}

func strangers(t *testing.T, g *gateway) {
	for _, name := range []string{"Spring", "a.b", "a%20b", strings.Repeat("a", 101)} {
		a := g.send(t, request{method: "GET", path: status(name)})
		refused(t, a, 404, "drop-not-found")
		require.Zero(t, g.upstream.times(status(name)), "no drop is called %q", name)
	}
	require.Zero(t, g.upstream.times("/api/v1/drops"))

	began := time.Now()
	asked := func() (n int) {
		for i := range 400 {
			n += g.upstream.times(status(fmt.Sprintf("none-%d", i)))
		}
		return n
	}
	together(400, func(i int) {
		slug := fmt.Sprintf("none-%d", i)
		g.upstream.answer(status(slug), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
		})
		switch a := g.send(t, request{method: "GET", path: status(slug)}); a.status {
		case 404:
			refused(t, a, 404, "drop-not-found")
		default:
			refused(t, a, 429, "too-many-requests")
		}
	})
	seconds := 1 + int(time.Since(began)/time.Second)
	require.LessOrEqual(t, asked(), 20*seconds)
	require.LessOrEqual(t, g.upstream.times("/api/v1/drops"), seconds)

	// A new drop is found by the list, whatever else is asked.
	slug := newDrop()
	answers(g, slug, `{"state":"scheduled"}`)
	crowd := func() {
		together(25, func(i int) { g.send(t, request{method: "GET", path: status(fmt.Sprintf("none-%d", i))}) })
	}
	lists := g.upstream.times("/api/v1/drops")
	for end := time.Now().Add(10 * time.Second); g.upstream.times("/api/v1/drops") == lists; crowd() {
		require.True(t, time.Now().Before(end))
	}
	for range 5 {
		crowd()
		a := g.send(t, request{method: "GET", path: status(slug)})
		require.Equal(t, 200, a.status, a.body)
		require.JSONEq(t, `{"state":"scheduled"}`, a.body)
	}
}
