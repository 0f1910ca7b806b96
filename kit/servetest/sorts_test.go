package servetest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPick: what is picked compares as it is sorted, times too, of whose fraction JSON leaves out zeros at the end.
func TestPick(t *testing.T) {
	t.Parallel()
	item := func(v any) map[string]any { return map[string]any{"a": map[string]any{"b": v}} }
	for _, pair := range [][2]any{
		{"2026-11-30T08:10:48.43Z", "2026-11-30T08:10:48.439476Z"},
		{"2026-11-30T08:10:48Z", "2026-11-30T08:10:48.1Z"},
		{"ANN", "bob"}, {"zoe", nil}, {9.0, 10.0},
	} {
		require.Less(t, pick(item(pair[0]), "a.b"), pick(item(pair[1]), "a.b"))
	}
}
