package names

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
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
	server  *httptest.Server
}

func newApp(t *testing.T) *app {
	a := &app{}
	a.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.told.Store(r.URL.Query().Get("listed"))
		if !a.welcome.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(a.server.Close)
	return a
}

func (a *app) port(t *testing.T) int {
	u, err := url.Parse(a.server.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	return port
}

func start(t *testing.T, r nameresolution.Resolver, file, id string, internal, appPort int) {
	t.Helper()
	require.NoError(t, r.Init(t.Context(), nameresolution.Metadata{
		Instance:      nameresolution.Instance{AppID: id, Address: "127.0.0.1", DaprInternalPort: internal, AppPort: appPort},
		Configuration: map[string]string{"connectionString": file},
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
	first := New(log)
	start(t, first, file, "orders", 11, one.port(t))
	eventually(func() bool { return one.told.Load() == "false" }, "asked")
	require.Empty(t, find(), "an app that does not answer well yet")

	one.welcome.Store(true)
	eventually(func() bool { return one.told.Load() == "true" }, "told that it is listed")
	require.Equal(t, "127.0.0.1:11", find())

	two.welcome.Store(true)
	start(t, New(log), file, "orders", 12, two.port(t))
	eventually(func() bool { return two.told.Load() == "true" }, "the second is listed")
	eventually(func() bool { return find() == "127.0.0.1:12" }, "the second is found")
	eventually(func() bool { return find() == "127.0.0.1:11" }, "and so is the first")

	one.welcome.Store(false)
	eventually(func() bool { return one.told.Load() == "false" }, "told that it is not listed")
	for range 50 {
		require.Equal(t, "127.0.0.1:12", find(), "nobody finds who stops")
	}
	two.server.Close() // as a crash
	eventually(func() bool { return find() == "" }, "who is gone is not found")

	one.welcome.Store(true)
	eventually(func() bool { return find() == "127.0.0.1:11" }, "it is back")
	require.NoError(t, first.Close())
	require.Empty(t, find(), "who has ended is not found")
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
