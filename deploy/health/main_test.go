package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

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
