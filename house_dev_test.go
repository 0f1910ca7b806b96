package stampede_test

import (
	"cmp"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// devRooms are the rooms of dev and which of the others each may import. What
// keeps processes running knows no shop, and what is printed nothing at all.
var devRooms = map[string][]string{
	"progress":  nil,
	"supervise": nil,
	"install":   {"progress", "supervise"},
	"stack":     {"install", "progress", "supervise"},
	"infra":     {"install", "progress", "stack", "supervise"},
	"kube":      {"install", "progress", "stack", "supervise"},
}

// TestDevRooms: imports between the rooms of dev go one way only, and nothing
// of the shop depends on what starts it on one machine. The commands, dev
// itself and those in folders of their own, may import every room; so may the
// bench, which is one.
func TestDevRooms(t *testing.T) {
	t.Parallel()
	for _, file := range goFiles(t) {
		dir := path.Dir(file)
		room, inDev := strings.CutPrefix(dir, "dev/")
		allowed, isRoom := devRooms[room]
		for _, i := range imports(t, file) {
			target, ok := strings.CutPrefix(i, module+"dev/")
			switch {
			case !ok:
			case isRoom && inDev && !slices.Contains(allowed, target):
				t.Errorf("%s: dev/%s must not import dev/%s", file, room, target)
			case dir != "dev" && dir != "bench" && !inDev:
				t.Errorf("%s: only dev imports %s", file, i)
			}
		}
	}
	for room := range devRooms {
		if files := goFilesOf(t, "dev/"+room); len(files) == 0 {
			t.Errorf("there is no dev/%s", room)
		}
	}
}

func goFilesOf(t *testing.T, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(goFiles(t), func(file string) bool { return path.Dir(file) != dir })
}

// TestNoBinaries: nothing that a compiler made lies in a folder of the
// repository; committed, it would be in every clone for ever.
func TestNoBinaries(t *testing.T) {
	t.Parallel()
	const most = 1 << 20 // bytes; the largest file is the API's document
	require.NoError(t, filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return cmp.Or(err, fs.SkipDir)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if strings.Contains(file, "/") && info.Mode().IsRegular() && info.Size() > most {
			t.Errorf("%s has %d bytes: what is built or loaded does not belong here", file, info.Size())
		}
		return nil
	}))
}
