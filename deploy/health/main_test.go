package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

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
	require.NoError(t, run(t.Context(), []string{server.URL + "/well"}))
	require.ErrorContains(t, run(t.Context(), []string{server.URL + "/ill"}), "503")
	require.ErrorContains(t, run(t.Context(), []string{server.URL + "/elsewhere"}), "302")
	require.Error(t, run(t.Context(), nil))
	gone := httptest.NewServer(nil)
	gone.Close()
	require.Error(t, run(t.Context(), []string{gone.URL}))
}

// TestWait: it waits until it is told to stop, and that is no failure.
func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, []string{"wait"}) }()
		synctest.Wait()
		require.Empty(t, ended)
		stop()
		require.NoError(t, <-ended)
	})
}
