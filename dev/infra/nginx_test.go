package infra

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFill(t *testing.T) {
	t.Parallel()
	values := map[string]string{"PORT": "8000", "EMPTY": ""}
	text, err := fill([]byte("listen ${PORT};${EMPTY} set $host ${lower};"), values)
	require.NoError(t, err)
	require.Equal(t, "listen 8000; set $host ${lower};", string(text))
	_, err = fill([]byte("${PORT} ${A} ${B} ${A}"), values)
	require.EqualError(t, err, "no value for ${A} and ${B}")
}

func TestRender(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(from, "lua"), 0o755))
	for name, text := range map[string]string{
		"a.conf.template": "${X}", edgesFile + ".template": "${X}", "lua/b.lua": "${X}", "main.go": "package x", "README.md": "x",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(from, name), []byte(text), 0o644))
	}
	stamp, err := render(from, to, map[string]string{"X": "1"}, 0o600)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(to, "a.conf"))
	require.NoError(t, err)
	require.Equal(t, "1", string(text))
	text, err = os.ReadFile(filepath.Join(to, "lua", "b.lua"))
	require.NoError(t, err)
	require.Equal(t, "${X}", string(text), "only templates are filled in")
	require.NoFileExists(t, filepath.Join(to, "main.go"))
	require.NoFileExists(t, filepath.Join(to, "README.md"))

	modes := func() {
		for name, mode := range map[string]os.FileMode{"a.conf": 0o600, edgesFile: 0o600, "lua/b.lua": 0o644} {
			info, err := os.Stat(filepath.Join(to, name))
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode(), name)
		}
	}
	modes()
	require.NoError(t, os.Chmod(filepath.Join(to, "a.conf"), 0o644), "as an older make up has left it")

	again, err := render(from, to, map[string]string{"X": "1"}, 0o600)
	require.NoError(t, err)
	require.Equal(t, stamp, again)
	modes()
	other, err := render(from, to, map[string]string{"X": "2"}, 0o600)
	require.NoError(t, err)
	require.NotEqual(t, stamp, other)
}
