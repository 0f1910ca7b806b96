package gateway

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOverload: what is too much is refused at once, and browsing first, by both gateways. The bound itself is tested
// where it is decided (deploy/nginx).
func TestOverload(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T, sidecars [3]string) *nginx{
		"nginx": func(t *testing.T, addresses [3]string) *nginx {
			vars := sidecars(addresses)
			vars["RATE_ADDRESS"] = "1000"
			return newNginx(t, vars, func(file, text string) string {
				return strings.ReplaceAll(text, "worker_processes auto;", "worker_processes 1;") // each has a bound of its own
			})
		},
		"kong": func(t *testing.T, addresses [3]string) *nginx { return newKongLua(t, addresses, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
			overload(t, &gateway{address: start(t, addresses).gateway, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u})
		})
	}
}

func overload(t *testing.T, g *gateway) {
	const browsers = 200
	release := make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	held := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "{}")
	}
	g.upstream.answer("/api/v1/products", held)
	waits := []string{"/api/v1/orders/waits", "/api/v1/drops/waits/entry"}
	for _, path := range waits {
		g.upstream.answer(path, held)
	}
	browse := request{method: "GET", path: "/api/v1/products"}
	answers := make(chan answer, browsers)
	send := func(n int, r request) {
		for range n {
			go func() { answers <- g.send(t, r) }()
		}
	}

	// Who hangs up leaves no place behind, and nothing is learned of how long they stayed.
	var ended atomic.Int64
	g.upstream.answer("/api/v1/products/gone", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		ended.Add(1)
	})
	for n := 50; n <= 300; n += 50 {
		var connections []net.Conn
		for range 50 {
			c := g.dial(t, "")
			_, err := c.Write(request{method: "GET", path: "/api/v1/products/gone"}.bytes(g.host, ""))
			require.NoError(t, err)
			connections = append(connections, c)
		}
		soon(t, func() bool { return g.upstream.times("/api/v1/products/gone") == n })
		for _, c := range connections {
			c.Close()
		}
		soon(t, func() bool { return ended.Load() == int64(n) })
	}

	// Nobody is answered, so each browser is let in or refused.
	send(browsers, browse)
	refusals := 0
	for in := 0; in+refusals < browsers; in = g.upstream.times(browse.path) {
		select {
		case a := <-answers:
			refused(t, a, 503, "unavailable")
			require.NotEmpty(t, a.header.Get("Retry-After"))
			refusals++
		case <-time.After(10 * time.Millisecond):
		}
	}
	require.Equal(t, 50, browsers-refusals, "what browsers may have of the first bound")

	page := g.send(t, request{method: "GET", path: "/search"})
	require.Equal(t, 503, page.status)
	require.Nil(t, page.seen)
	require.Contains(t, page.header.Get("Content-Type"), "text/html")
	require.Regexp(t, `^([4-9]|10)$`, page.header.Get("Retry-After"), "browsers come back by themselves")

	// Whoever buys is let in, and who pays, works here or is only waiting for news.
	for _, path := range waits {
		send(30, request{method: "GET", path: path + "?wait=25"})
		soon(t, func() bool { return g.upstream.times(path) == 30 })
	}
	for _, r := range []request{
		{method: "PUT", path: "/api/v1/cart/items/SKU-1"},
		{method: "POST", path: "/api/v1/orders"},
		{method: "GET", path: "/api/v1/orders/0198?wait=0"},
		{method: "POST", path: "/checkout"},
		{method: "GET", path: "/assets/store.css"},
		{method: "POST", path: "/api/v1/payments/webhooks/sandbox"},
		{method: "GET", path: "/api/v1/admin/orders"},
	} {
		require.Equal(t, 200, g.send(t, r).status, r.path)
	}
	preflight := g.send(t, request{method: "OPTIONS", path: browse.path,
		header: []string{"Origin: " + origins[0], "Access-Control-Request-Method: GET"}})
	require.Equal(t, 204, preflight.status)

	// What has a wait in its query and does not wait is counted as work.
	pretend := []string{"/api/v1/cart?wait=25", "/api/v1/orders/waits?wait=", "/drops/waits?wait=25"}
	g.upstream.answer("/api/v1/cart", held)
	g.upstream.answer("/drops/waits", held)
	for _, path := range pretend {
		send(20, request{method: "GET", path: path})
	}
	turned := 0
	for ; turned < 10*len(pretend); turned++ { // few are let in
		select {
		case a := <-answers:
			require.Equal(t, 503, a.status)
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d are refused", turned)
		}
	}

	// A form of a page waits for room, since a browser cannot send it again by itself: some seconds, and no longer.
	g.upstream.answer("/api/v1/orders", held)
	buyers := make(chan answer, 50)
	for range cap(buyers) {
		go func() { buyers <- g.send(t, request{method: "POST", path: "/api/v1/orders"}) }()
	}
	require.Equal(t, 503, (<-buyers).status, "the checkout is full")
	checkout, begun := request{method: "POST", path: "/checkout"}, time.Now()
	late := g.send(t, checkout)
	require.Equal(t, 503, late.status)
	require.Nil(t, late.seen)
	require.Contains(t, late.header.Get("Content-Type"), "text/html")
	require.GreaterOrEqual(t, time.Since(begun), 3*time.Second)
	sent := make(chan answer, 1)
	go func() { sent <- g.send(t, checkout) }()
	select {
	case a := <-sent:
		t.Fatalf("a form is answered %d at once", a.status)
	case <-time.After(500 * time.Millisecond):
	}

	// Who was let in is answered, and then there is room again.
	let()
	require.Equal(t, 200, (<-sent).status)
	for range cap(buyers) - 1 {
		require.Contains(t, []int{200, 503}, (<-buyers).status)
	}
	for range browsers - refusals + 30*len(waits) + 20*len(pretend) - turned {
		require.Contains(t, []int{200, 503}, (<-answers).status)
	}
	for range browsers {
		require.Equal(t, 200, g.send(t, browse).status)
	}
}

func soon(t *testing.T, is func() bool) {
	t.Helper()
	require.Eventually(t, is, 10*time.Second, 10*time.Millisecond)
}
