package supervise

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	st, ok := parseStat("42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 2 x")
	require.True(t, ok)
	require.Equal(t, stat{state: "S", parent: 7, start: 98765, used: 5 + 6 + 7 + 8}, st)
	_, ok = parseStat("")
	require.False(t, ok)

	me, ok := readStat(os.Getpid())
	require.True(t, ok)
	require.Equal(t, os.Getppid(), me.parent)
	require.Positive(t, memory(os.Getpid(), children()))
	require.Zero(t, birth(1<<30))
}

func TestTail(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(file, []byte("one\n\ntwo\nthree\n"), 0o600))
	require.Equal(t, []string{"two", "three"}, Tail(file, 2))
	require.Equal(t, []string{"one", "two", "three"}, Tail(file, 9))
	require.Nil(t, Tail(file+"x", 2))
}
