package stampede_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGenerated: what make generate writes is as its sources have it.
func TestGenerated(t *testing.T) {
	t.Parallel()
	// go test sees which files a test looks at, not those of the programs that it
	// starts: without this it would go on saying that all is well.
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		_, err = os.Stat(path)
		return err
	}))
	program := filepath.Join(t.TempDir(), "generate")
	out, err := goCommand("build", "-o", program, "./dev/generate").CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.Command(program, "-check").CombinedOutput()
	require.NoError(t, err, "%s", out)
}
