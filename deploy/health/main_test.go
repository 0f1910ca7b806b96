package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/well":
			w.WriteHeader(http.StatusNoContent)
		case "/elsewhere":
			http.Redirect(w, r, "/well", http.StatusFound)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	require.NoError(t, run([]string{server.URL + "/well"}))
	require.ErrorContains(t, run([]string{server.URL + "/ill"}), "503")
	require.ErrorContains(t, run([]string{server.URL + "/elsewhere"}), "302")
	require.Error(t, run(nil))
	gone := httptest.NewServer(nil)
	gone.Close()
	require.Error(t, run([]string{gone.URL}))
}

// TestHold: the holder gives away one page and nothing beside it, until it is told to stop.
func TestHold(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.String() == "/metrics" && r.Header.Get("Authorization") == "" {
			_, _ = w.Write([]byte("up 1"))
			return
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	defer app.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- hold(ctx, address, app.URL+"/metrics") }()
	for _, path := range []string{"/metrics", "/api/v1/orders?all=1"} {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, nil)
			require.NoError(c, err)
			req.Header.Set("Authorization", "Bearer x")
			resp, err := http.DefaultClient.Do(req)
			require.NoError(c, err)
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			require.NoError(c, err)
			require.Equal(c, "up 1", string(text))
		}, 10*time.Second, 10*time.Millisecond)
	}
	stop()
	require.NoError(t, <-ended)
}
