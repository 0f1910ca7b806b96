package gateway

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// What an external gateway must be configured with for this suite.
const (
	apiToken   = "token-for-the-sidecars"
	dropsKey   = "0123456789abcdef0123456789abcdef"
	publicHost = "shop.test:8000"
)

var (
	rates   = struct{ token, address, login int }{token: 40, address: 60, login: 6} // requests a minute
	origins = []string{"http://one.test", "https://two.test:8443"}
)

var lastPort atomic.Int64

func init() { lastPort.Store(21000 + int64(os.Getpid()%9000)) }

// gateway is what is being held to the contract.
type gateway struct {
	address  string // where it is dialled
	host     string // how it is named
	loopback bool   // whether clients may have addresses 127.x.y.z of their own
	upstream *upstream
	limits   bool // it uses [rates]
}

// rule is one line of the contract.
type rule struct {
	name  string
	need  need
	check func(t require.TestingT, g *gateway)
}

type need int

const (
	outside  need = iota // can be seen from outside, in front of the real shop too
	inside               // needs to see what reached the sidecars, or to say what they answer
	limited              // needs the limits of [rates]
	patience             // takes over 30 s; left out with -short
)

func TestContract(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for _, r := range rules {
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			if r.need == patience && testing.Short() {
				t.Skip("takes over 30 s")
			}
			t.Parallel()
			r.check(t, g)
		})
	}
}

// newGateway gives the gateway that the environment names, else a native Nginx.
func newGateway(t *testing.T) *gateway {
	behind := os.Getenv("UPSTREAM")
	if behind == "" {
		u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
		n := newNginx(t, sidecars(addresses), nil)
		return &gateway{address: n.gateway, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u, limits: true}
	}
	addresses := strings.Split(behind, ",")
	require.Len(t, addresses, 3, "UPSTREAM must be the addresses of edge, edge-auth and edge-admin")
	u, _ := newUpstream(t, [3]string(addresses))
	return &gateway{address: os.Getenv("GATEWAY"), host: publicHost, loopback: runtime.GOOS == "linux", upstream: u, limits: true}
}

// sidecars gives the variables for these addresses. Each stands twice, as two sidecars would.
func sidecars(addresses [3]string) map[string]string {
	vars := map[string]string{}
	for i, name := range []string{"EDGE", "EDGE_AUTH", "EDGE_ADMIN"} {
		vars[name] = addresses[i] + " " + addresses[i]
	}
	return vars
}

// TestShop checks a running shop through its front.
func TestShop(t *testing.T) {
	base := os.Getenv("BASE")
	if base == "" {
		t.Skip("BASE is not set: no running shop to check")
	}
	t.Parallel()
	u, err := url.Parse(base)
	require.NoError(t, err)
	ips, err := net.LookupIP(u.Hostname())
	require.NoError(t, err)
	g := &gateway{address: u.Host, host: u.Host}
	for _, ip := range ips {
		if ip.Equal(net.IPv4(127, 0, 0, 1)) && runtime.GOOS == "linux" {
			g.address, g.loopback = net.JoinHostPort("127.0.0.1", u.Port()), true
		}
	}
	for _, r := range append(rules, shopRules...) {
		if r.need != outside {
			continue
		}
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			r.check(t, g)
		})
	}
}

// problem reads a problem document and checks what every one of them must have.
func problem(t require.TestingT, a answer, status int, slug string) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), a.body)
	var p struct {
		Type, Title, Detail, Instance string
		Status                        int
		TraceID                       string `json:"trace_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &p), a.body)
	require.Equal(t, "urn:stampede:problem:"+slug, p.Type)
	require.Equal(t, status, p.Status)
	require.NotEmpty(t, p.Title)
	require.NotEmpty(t, p.Instance)
	require.NotEmpty(t, p.TraceID)
	require.NotEmpty(t, a.header.Get("X-Request-Id"))
	switch status {
	case http.StatusUnauthorized:
		require.Contains(t, a.header.Get("WWW-Authenticate"), "Bearer")
	case http.StatusMethodNotAllowed:
		require.NotEmpty(t, a.header.Get("Allow"))
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		require.Regexp(t, `^[1-9][0-9]*$`, a.header.Get("Retry-After"))
	}
}

// refused checks that a request came back from the gateway itself and that nothing went in.
func refused(t require.TestingT, a answer, status int, slug string) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	require.Nil(t, a.seen, "it reached a sidecar")
	problem(t, a, status, slug)
}

// together runs fn n times at once.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

func bearer(n any) string { return fmt.Sprintf("Authorization: Bearer token-%v", n) }
