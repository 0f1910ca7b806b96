package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/infra"
	"github.com/stampede-shop/stampede/dev/stack"
)

// TestRaces: what the race detector said in any log, also in one that was moved on, fails a run.
func TestRaces(t *testing.T) {
	t.Parallel()
	s := &shop{infra.Servers{Stack: &stack.Stack{Run: t.TempDir()}}}
	log := func(name, text string) {
		file := s.LogFile(name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	log("orders", `{"msg":"serving"}`)
	require.NoError(t, s.races())
	log("carts", "{}\n==================\nWARNING: DATA RACE\nWrite at 0x00c0")
	require.ErrorContains(t, s.races(), "carts.log")
	require.NoError(t, os.Rename(s.LogFile("carts"), s.LogFile("carts")+".1"))
	require.ErrorContains(t, s.races(), "carts.log.1")
}
