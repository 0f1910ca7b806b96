package progress

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// failure is an error with something to read below it.
type failure struct {
	line   string
	detail []string
}

func (f failure) Error() string    { return f.line }
func (f failure) Detail() []string { return f.detail }

func TestReport(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"one line", errors.New("no"), "\nerror: no\n"},
		{"with the end of a log", fmt.Errorf("redis: %w", failure{"no", []string{"a", "b"}}), "\nerror: redis: no\n    a\n    b\n"},
		{"a full disk", failure{"no", []string{"write: No space left on device"}}, "\nerror: the disk is full: no\n    write: No space left on device\n"},
		{"a full disk of our own", fmt.Errorf("x: %w", syscall.ENOSPC), "\nerror: the disk is full: x: no space left on device\n"},
	} {
		var b strings.Builder
		Report(&b, tc.err)
		require.Equal(t, tc.want, b.String(), tc.name)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	require.Equal(t, "", List(nil))
	require.Equal(t, "a", List([]string{"a"}))
	require.Equal(t, "a, b and c", List([]string{"a", "b", "c"}))
}
