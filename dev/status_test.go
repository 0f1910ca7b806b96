package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/supervise"
)

func TestPrintStatus(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	printStatus(&b, []supervise.Status{
		{Name: "orders", Health: "ok", PID: 7, Bytes: 30 << 20, Restarts: 1, Up: 61 * time.Second},
		{Name: "redis", Health: "down (signal: killed)", Restarts: 2},
	})
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, []string{"orders", "7", "ok", "30", "MB", "1", "1m1s"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"redis", "-", "down", "(signal:", "killed)", "0", "MB", "2", "0s"}, strings.Fields(lines[2]))
	require.Equal(t, []string{"2", "processes", "1", "ok", "30", "MB", "3"}, strings.Fields(lines[3]))
}
