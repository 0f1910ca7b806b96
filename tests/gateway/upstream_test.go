package gateway

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// upstream stands where the three edge sidecars would, and writes down what reaches them.
type upstream struct {
	mu      sync.Mutex
	seen    map[string]*seen
	answers map[string]http.HandlerFunc // by path
	count   map[string]int              // by path
	last    map[string]*seen            // by path
}

// seen is one request as a sidecar got it.
type seen struct {
	edge   string
	method string
	uri    string
	host   string
	header http.Header
	body   int
}

// newUpstream listens at these three addresses; a port of 0 is a free one. It gives the addresses back.
func newUpstream(t testing.TB, addresses [3]string) (*upstream, [3]string) {
	u := &upstream{seen: map[string]*seen{}, answers: map[string]http.HandlerFunc{}, count: map[string]int{}, last: map[string]*seen{}}
	for i, edge := range []string{"edge", "edge-auth", "edge-admin"} {
		listener, err := net.Listen("tcp", addresses[i])
		require.NoError(t, err)
		server := &http.Server{Handler: u.handler(edge), MaxHeaderBytes: 1 << 20}
		go server.Serve(listener)
		t.Cleanup(func() { server.Close() })
		addresses[i] = listener.Addr().String()
	}
	return u, addresses
}

func (u *upstream) handler(edge string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := &seen{edge: edge, method: r.Method, uri: r.RequestURI, host: r.Host, header: r.Header.Clone()}
		u.mu.Lock()
		u.seen[r.Header.Get("X-Probe")] = s
		u.count[r.URL.Path]++
		u.last[r.URL.Path] = s
		answer := u.answers[r.URL.Path]
		u.mu.Unlock()
		n, _ := io.Copy(io.Discard, r.Body)
		u.mu.Lock()
		s.body = int(n)
		u.mu.Unlock()
		if answer != nil {
			answer(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/api/v1/drops" {
			io.WriteString(w, listed())
			return
		}
		io.WriteString(w, `{"from":"`+edge+`"}`)
	}
}

func (u *upstream) find(id string) *seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen[id]
}

// asked is the last request for a path.
func (u *upstream) asked(path string) *seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last[path]
}

// answer says what the sidecars answer at a path from now on.
func (u *upstream) answer(path string, fn http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answers[path] = fn
}

// times says how many requests for a path have reached a sidecar.
func (u *upstream) times(path string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count[path]
}
