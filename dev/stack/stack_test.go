package stack

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSetAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, settings := filepath.Join(dir, "data"), filepath.Join(dir, "settings.env")
	require.NoError(t, setAside(data, settings), "nothing is there yet")

	require.NoError(t, os.MkdirAll(filepath.Join(data, "postgres"), 0o755))
	require.NoError(t, os.WriteFile(settings, nil, 0o600))
	require.NoError(t, setAside(data, settings))
	require.DirExists(t, data, "with its settings it stays")

	require.NoError(t, os.Remove(settings))
	require.NoError(t, setAside(data, settings))
	require.NoDirExists(t, data)
	left, err := filepath.Glob(data + "-left-*/postgres")
	require.NoError(t, err)
	require.Len(t, left, 1, "kept beside")
}
