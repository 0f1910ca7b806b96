package names

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dapr/components-contrib/nameresolution"
	"github.com/dapr/components-contrib/nameresolution/sqlite"
	"github.com/dapr/kit/logger"
	"github.com/stretchr/testify/require"
)

// app is an app that welcomes calls or does not, and knows what it was told.
type app struct {
	welcome atomic.Bool
	told    atomic.Value // the last listed=
	times   atomic.Int64 // how often it was asked
	server  *httptest.Server
}

func newApp(t *testing.T) *app {
	a := &app{}
	a.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.times.Add(1)
		a.told.Store(r.URL.Query().Get("listed"))
		if !a.welcome.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(a.server.Close)
	return a
}

func (a *app) port(t *testing.T) int { return port(t, strings.TrimPrefix(a.server.URL, "http://")) }

func port(t *testing.T, address string) int {
	_, text, err := net.SplitHostPort(address)
	require.NoError(t, err)
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

func listen(t *testing.T, address string) net.Listener {
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func start(t *testing.T, r nameresolution.Resolver, file, id string, internal, appPort int) {
	t.Helper()
	require.NoError(t, r.Init(t.Context(), nameresolution.Metadata{
		Instance:      nameresolution.Instance{AppID: id, Address: "127.0.0.1", DaprInternalPort: internal, AppPort: appPort},
		Configuration: map[string]string{"connectionString": file, "updateInterval": "60s", "timeout": "5s"}, // none is renewed within a test
	}))
	t.Cleanup(func() { _ = r.Close() })
}

// TestListed: callers, whose resolver is Dapr's own, find an instance exactly while its app welcomes calls, and the app
// knows it.
func TestListed(t *testing.T) {
	t.Parallel()
	log, file := logger.NewLogger("test"), filepath.Join(t.TempDir(), "names.db")
	caller := sqlite.NewResolver(log)
	start(t, caller, file, "carts", 1, 0)
	find := func() string {
		address, err := caller.ResolveID(t.Context(), nameresolution.ResolveRequest{ID: "orders"})
		if err != nil {
			require.ErrorIs(t, err, sqlite.ErrNoHost)
		}
		return address
	}
	eventually := func(ok func() bool, what string) {
		t.Helper()
		require.Eventually(t, ok, 20*time.Second, 10*time.Millisecond, what)
	}
	one, two := newApp(t), newApp(t)
	sidecars := []net.Listener{listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")}
	at := []string{sidecars[0].Addr().String(), sidecars[1].Addr().String()}
	require.NoError(t, sidecars[0].Close())
	first := New(log)
	start(t, first, file, "orders", port(t, at[0]), one.port(t))
	eventually(func() bool { return one.told.Load() == "false" }, "asked")
	require.Empty(t, find(), "an app that does not answer well yet")

	one.welcome.Store(true)
	asked := one.times.Load()
	eventually(func() bool { return one.times.Load() > asked+2 }, "asked again")
	require.Empty(t, find(), "its sidecar takes no calls yet")
	listen(t, at[0])
	eventually(func() bool { return one.told.Load() == "true" }, "told that it is listed")
	require.Equal(t, at[0], find())

	two.welcome.Store(true)
	start(t, New(log), file, "orders", port(t, at[1]), two.port(t))
	eventually(func() bool { return two.told.Load() == "true" }, "the second is listed")
	eventually(func() bool { return find() == at[1] }, "the second is found")
	eventually(func() bool { return find() == at[0] }, "and so is the first")

	one.welcome.Store(false)
	eventually(func() bool { return one.told.Load() == "false" }, "told that it is not listed")
	for range 50 {
		require.Equal(t, at[1], find(), "nobody finds who stops")
	}
	two.server.Close() // as a crash
	eventually(func() bool { return find() == "" }, "who is gone is not found")

	one.welcome.Store(true)
	eventually(func() bool { return find() == at[0] }, "it is back")
	require.NoError(t, first.Close())
	require.Empty(t, find(), "who has ended is not found")
}

// TestSucceeds: a sidecar that crashed is not found any more when another one is beside its app.
func TestSucceeds(t *testing.T) {
	t.Parallel()
	log, file := logger.NewLogger("test"), filepath.Join(t.TempDir(), "names.db")
	one := newApp(t)
	one.welcome.Store(true)
	crashed, next := listen(t, "127.0.0.1:0").Addr().String(), listen(t, "127.0.0.1:0").Addr().String()
	first := New(log).(*resolver)
	start(t, first, file, "orders", port(t, crashed), one.port(t))
	require.Eventually(t, func() bool { return one.told.Load() == "true" }, 20*time.Second, 10*time.Millisecond)
	first.end() // it asks no more, and its row stays
	first.done.Wait()
	one.told.Store("")

	second := New(log)
	start(t, second, file, "orders", port(t, next), one.port(t))
	require.Eventually(t, func() bool { return one.told.Load() == "true" }, 20*time.Second, 10*time.Millisecond)
	for range 50 {
		address, err := second.ResolveID(t.Context(), nameresolution.ResolveRequest{ID: "orders"})
		require.NoError(t, err)
		require.Equal(t, next, address)
	}
}

// TestWithoutApp: a sidecar of the edge is listed at once, as Dapr does it.
func TestWithoutApp(t *testing.T) {
	t.Parallel()
	edge := New(logger.NewLogger("test"))
	start(t, edge, filepath.Join(t.TempDir(), "names.db"), "edge", 1, 0)
	address, err := edge.ResolveID(t.Context(), nameresolution.ResolveRequest{ID: "edge"})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", address)
}
