package main

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/problem"
)

// told1000 is how a relay tells round 1000 of Quicknet (drand's HTTP API, version 1).
const told1000 = `{"round":1000,"randomness":"fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd",` +
	`"signature":"` + round1000 + `"}`

// TestRelay: a relay is asked for the chain's round, and whatever it does but tell it is a beacon that is not well just now.
func TestRelay(t *testing.T) {
	t.Parallel()
	var answer atomic.Value // an http.HandlerFunc
	relays := http.NewServeMux()
	relays.HandleFunc("GET /{chain}/public/{round}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("chain") != "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971" || r.PathValue("round") != "1000" {
			http.NotFound(w, r)
			return
		}
		answer.Load().(http.HandlerFunc)(w, r)
	})
	server := httptest.NewServer(relays)
	t.Cleanup(server.Close)
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	beacon := relay{server.Client(), server.URL, time.Minute}

	answer.Store(says(http.StatusOK, told1000))
	got, err := beacon.signature(t.Context(), 1000)
	require.NoError(t, err)
	require.Equal(t, round1000, hex.EncodeToString(got))
	_, err = proof.Quicknet.Check(1000, got)
	require.NoError(t, err)
	_, err = beacon.signature(t.Context(), 1001)
	require.ErrorIs(t, err, problem.ErrUnavailable, "not told yet")

	for name, answers := range map[string]http.HandlerFunc{
		"too early":   says(http.StatusTooEarly, told1000),
		"unwell":      says(http.StatusBadGateway, told1000),
		"accepted":    says(http.StatusAccepted, told1000),
		"nothing":     says(http.StatusOK, ""),
		"half of it":  says(http.StatusOK, told1000[:100]),
		"a page":      says(http.StatusOK, "<html>"),
		"a list":      says(http.StatusOK, "["+told1000+"]"),
		"no hex":      says(http.StatusOK, strings.Replace(told1000, round1000, "zz"+round1000[2:], 1)),
		"half a byte": says(http.StatusOK, strings.Replace(told1000, round1000, round1000[1:], 1)),
		"too large":   says(http.StatusOK, `{"signature":"`+strings.Repeat("00", 1<<16)+`"}`),
		"hangs up":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		answer.Store(answers)
		_, err := beacon.signature(t.Context(), 1000)
		require.ErrorIs(t, err, problem.ErrUnavailable, name)
	}

	answer.Store(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	beacon.limit = time.Millisecond
	_, err = beacon.signature(t.Context(), 1000)
	require.ErrorIs(t, err, problem.ErrUnavailable, "slow")
	server.Close()
	beacon.limit = time.Minute
	_, err = beacon.signature(t.Context(), 1000)
	require.ErrorIs(t, err, problem.ErrUnavailable, "away")
}
