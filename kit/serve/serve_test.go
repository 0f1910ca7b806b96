package serve_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestLeaves: a service that is told to stop says so at once, and goes on answering as long as callers may find it.
func TestLeaves(t *testing.T) {
	t.Parallel()
	rt, _ := servetest.NewTest(t, "test", nil)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	rt.Settings.AppHost, rt.Settings.AppPort = "127.0.0.1", free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	rt.Router.Get("/call", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answered") })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- rt.Serve(ctx) }()
	get := func(path string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(rt.Settings.AppPort)+path, nil)
		require.NoError(t, err)
		req.Header.Set("dapr-api-token", rt.Settings.AppToken)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	eventually := func(ok func() bool, what string) {
		t.Helper()
		require.Eventually(t, ok, 20*time.Second, 10*time.Millisecond, what)
	}
	eventually(func() bool { return get("/listz?listed=false") == 200 }, "welcome")
	require.Equal(t, 503, get("/readyz"), "nobody finds it yet")
	require.Equal(t, 200, get("/listz?listed=true"))

	stop()
	eventually(func() bool { return get("/listz?listed=true") == 503 }, "it says that it stops")
	require.Equal(t, 503, get("/readyz"))
	require.Equal(t, 200, get("/call"), "who still finds it is answered")
	require.Equal(t, 503, get("/listz?listed=false"))
	require.Equal(t, 200, get("/call"), "who found it just before is answered")
	require.NoError(t, <-ended)
	require.Zero(t, get("/call"))
}
