package stack

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPortsOfStacks: whole stacks at every thousand, of as many instances as
// there may be, fit beside each other on one machine, with the run file that is
// really used.
func TestPortsOfStacks(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../dapr/dapr.yaml")
	require.NoError(t, err)
	all := map[int]string{}
	for offset := 0; offset <= maxOffset; offset += 1000 {
		shifted, err := shiftPorts(text, "/clone/dapr", offset, "/clone/.run")
		require.NoError(t, err)
		apps, err := parseRunFile(shifted)
		require.NoError(t, err)
		require.NotEmpty(t, apps)
		s := &Stack{Offset: offset, Bench: true, Proxied: true, Watched: true}
		further := s.Surplus(apps)
		require.Len(t, further, (mostInstances-1)*len(apps))
		for port, name := range s.ports(append(apps, further...)) {
			require.Empty(t, all[port], "port %d of %s", port, name)
			all[port] = name
			require.Less(t, port-offset+maxOffset, 1<<16)
		}
	}
}

func TestFreeOffset(t *testing.T) {
	t.Parallel()
	ports := []int{8000, 15432}
	for _, tc := range []struct {
		name   string
		taken  []int
		offset int
		want   int
	}{
		{name: "nothing else runs", want: 1000},
		{name: "taken at 1000", taken: []int{16432}, want: 2000},
		{name: "asked at 1000, where one is taken", taken: []int{9000, 10000}, offset: 1000, want: 3000},
		{name: "taken everywhere", taken: []int{9000, 10000, 11000, 12000, 13000}, want: 0},
	} {
		taken := map[int]string{}
		for _, port := range tc.taken {
			taken[port] = "inode"
		}
		shifted := []int{ports[0] + tc.offset, ports[1] + tc.offset}
		require.Equal(t, tc.want, freeOffset(shifted, tc.offset, taken), tc.name)
	}
}

func TestListener(t *testing.T) {
	t.Parallel()
	const listening = "   3: 0100007F:3C48 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4242 1 0000 100 0 0 10 0"
	port, inode, ok := listener(listening)
	require.True(t, ok)
	require.Equal(t, 15432, port)
	require.Equal(t, "4242", inode)
	_, _, ok = listener(strings.Replace(listening, " 0A ", " 01 ", 1))
	require.False(t, ok, "a connection, not a listener")
	_, _, ok = listener("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode")
	require.False(t, ok)
}
