package gateway

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// gatewayLooks is how long after a change of the list no request goes by the old one any more, whichever worker takes it: as
// long as dev/infra waits before it counts what a sidecar has in hand.
const gatewayLooks = 300 * time.Millisecond

// TestEdges puts one sidecar in another's place while Nginx runs, one that wants another token: what comes then goes to the
// new one with its token, what the old one has in hand ends, and Nginx says how much that is.
func TestEdges(t *testing.T) {
	t.Parallel()
	u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
	n := newNginx(t, map[string]string{"EDGE": addresses[0], "EDGE_AUTH": addresses[1], "EDGE_ADMIN": addresses[2]}, nil)
	g := &gateway{address: n.gateway, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u}
	list := func(edge, token string) {
		text := fmt.Sprintf("edge %s\nedge-auth %s\nedge-admin %s\nDAPR_API_TOKEN %s\nDROPS_KEY %s\n",
			edge, addresses[1], addresses[2], token, dropsKey)
		file := filepath.Join(n.dir, "edges.list")
		require.NoError(t, os.WriteFile(file+".new", []byte(text), 0o644))
		require.NoError(t, os.Rename(file+".new", file))
	}
	inHand := func() string {
		resp, err := http.Get("http://" + n.keys + "/edges")
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(text)
	}
	where := func() string {
		a := g.send(t, request{method: "GET", path: "/api/v1/products"})
		require.Equal(t, 200, a.status)
		return a.seen.edge + " by " + a.seen.header.Get("dapr-api-token")
	}
	release := make(chan struct{})
	u.answer("/api/v1/products/slow", func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.WriteHeader(http.StatusNoContent)
	})
	var slow sync.WaitGroup
	slow.Go(func() {
		if a := g.send(t, request{method: "GET", path: "/api/v1/products/slow"}); a.status != 204 {
			t.Errorf("what was in hand was answered %d", a.status)
		}
	})
	require.Eventually(t, func() bool { return u.times("/api/v1/products/slow") == 1 }, 10*time.Second, time.Millisecond)
	// An answer is read before Nginx has noted that it is done.
	has := func(n int) {
		line := fmt.Sprintf("%s %d\n", addresses[0], n)
		require.Eventually(t, func() bool { return strings.Contains(inHand(), line) }, 10*time.Second, time.Millisecond)
	}
	require.Equal(t, "edge by "+apiToken, where())
	has(1)

	list(addresses[1], "another-token") // whose name is edge-auth here
	for listed := time.Now(); time.Since(listed) < gatewayLooks; {
		require.Contains(t, []string{"edge by " + apiToken, "edge-auth by another-token"}, where(), "each worker looks for itself")
	}
	for range 20 {
		require.Equal(t, "edge-auth by another-token", where())
	}
	has(1)
	close(release)
	slow.Wait()
	has(0)

	list(addresses[0]+" "+addresses[1], apiToken)
	require.Eventually(t, func() bool { return where() == "edge by "+apiToken }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return where() == "edge-auth by "+apiToken }, 10*time.Second, time.Millisecond, "they take turns")

	u.answer("/api/v1/products", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for range 4 {
		require.Equal(t, 503, g.send(t, request{method: "GET", path: "/api/v1/products"}).status)
	}
	idle := func() bool {
		for line := range strings.Lines(inHand()) {
			if !strings.HasSuffix(line, " 0\n") {
				return false
			}
		}
		return true
	}
	require.Eventually(t, idle, 10*time.Second, time.Millisecond, "what failed is not in hand any more")
}

// TestCounts: what the gateway has answered is told to Prometheus, by service, work and status, and to nobody who comes
// by the gateway.
func TestCounts(t *testing.T) {
	t.Parallel()
	u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
	n := newNginx(t, map[string]string{"EDGE": addresses[0], "EDGE_AUTH": addresses[1], "EDGE_ADMIN": addresses[2]}, nil)
	g := &gateway{address: n.gateway, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u}
	for range 3 {
		require.Equal(t, 200, g.send(t, request{method: "GET", path: "/api/v1/products"}).status)
	}
	require.Equal(t, 404, g.send(t, request{method: "GET", path: "/api/v1/nothing"}).status)
	require.NotContains(t, g.send(t, request{method: "GET", path: "/metrics"}).body, "gateway_requests_total")
	told := func() string {
		resp, err := http.Get("http://" + n.keys + "/metrics")
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(text)
	}
	var page string
	require.Eventually(t, func() bool {
		page = told()
		return strings.Contains(page, `gateway_requests_total{service="products",work="browse",status="200"} 3`+"\n")
	}, 10*time.Second, 10*time.Millisecond, "counted once it is logged")
	require.Contains(t, page, `gateway_requests_total{service="none",work="other",status="404"} 2`+"\n")
	require.Contains(t, page, `gateway_request_seconds_bucket{work="browse",le="+Inf"} 3`+"\n")
	require.Contains(t, page, `nginx_connections{state="active"} `)
}
