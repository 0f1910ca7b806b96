package serve_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr/daprtest"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestLeaves: a service that does not reach its sidecar is not to be found; one that is told to stop says so at once, and goes on answering as long as callers may find it.
func TestLeaves(t *testing.T) {
	t.Parallel()
	rt, _ := servetest.NewTest(t, "test", nil)
	sidecar, gone := daprtest.Sidecar{}.Start(t)
	rt.Dapr = sidecar
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	rt.Settings.AppHost, rt.Settings.AppPort = "127.0.0.1", free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	rt.Router.Get("/call", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answered") })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- rt.Serve(ctx) }()
	ask := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(rt.Settings.AppPort)+path, nil)
		require.NoError(t, err)
		req.Header.Set("dapr-api-token", rt.Settings.AppToken)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	get := func(path string) int {
		status, _ := ask(path)
		return status
	}
	ready := func(but string) bool {
		_, missing := ask("/readyz")
		return !strings.Contains(missing, but)
	}
	eventually := func(ok func() bool, what string) {
		t.Helper()
		require.Eventually(t, ok, 20*time.Second, 10*time.Millisecond, what)
	}
	eventually(func() bool { return get("/listz") == 200 }, "welcome")
	require.True(t, ready("listed"), "nobody keeps a list")
	require.Equal(t, 200, get("/listz?listed=false"))
	require.False(t, ready("listed"), "nobody finds it yet")
	gone()
	eventually(func() bool { return get("/listz?listed=false") == 503 }, "it could do nothing for who calls")
	held := make(chan int, 1)
	go func() { held <- get("/listz?listed=true") }()
	eventually(func() bool { return ready("listed") }, "it has heard that it is found")

	stop()
	require.Equal(t, 503, <-held, "it says that it stops")
	require.False(t, ready("stopping"))
	require.Equal(t, 200, get("/call"), "who still finds it is answered")
	require.Equal(t, 503, get("/listz?listed=false"))
	require.Equal(t, 503, get("/listz"))
	require.Equal(t, 200, get("/call"), "who found it just before is answered")
	require.NoError(t, <-ended)
	require.Zero(t, get("/call"))
}
