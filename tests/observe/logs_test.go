package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

var (
	// personal are e-mail addresses of those that tests make (those of people, in a shop), and access and refresh tokens.
	personal = regexp.MustCompile(`[\w.+-]+@example\.(test|com)|eyJ[\w-]{20,}\.[\w-]{20,}`)
	secret   = regexp.MustCompile(`_(PASSWORD|SECRET|TOKEN|KEY)$|_URL$`)
)

// secrets are those of the shop's settings.
func secrets(t *testing.T, s *shop.Shop) map[string]string {
	found := map[string]string{}
	for name, value := range s.Settings {
		if strings.HasSuffix(name, "_URL") {
			u, err := url.Parse(value)
			if err != nil || u.User == nil {
				continue
			}
			value, _ = u.User.Password()
		}
		if secret.MatchString(name) && len(value) >= 16 {
			found[value] = name
		}
	}
	require.Greater(t, len(found), 20, "those are all secrets?")
	return found
}

// TestLogs looks at all that the shop has logged since it began, the other suites' journeys too: no log has anything of a
// person's, or a secret. What services and the gateway say is JSON, a line each.
func TestLogs(t *testing.T) {
	s := shop.Open(t)
	known := secrets(t, s)
	// What the tests' shoppers are called, where they live, and what begins their passwords.
	for value, what := range map[string]string{
		shop.Home.Name: "a name", shop.Home.Line1: "an address", shop.Paris.Line1: "an address", "correct-horse-": "a shopper's password",
	} {
		known[value] = what
	}
	var files []string
	for _, pattern := range []string{"logs/*.log", "logs/*.log.1", "data/nginx/*.log", "data/nginx/*.log.1"} {
		some, err := filepath.Glob(filepath.Join(s.Run, pattern))
		require.NoError(t, err)
		files = append(files, some...)
	}
	require.Greater(t, len(files), 30, "those are all logs?")
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		name := filepath.Base(file)
		tell := func(what string, at []int) {
			t.Errorf("%s has %s: …%s…", name, what, text[max(0, at[0]-100):min(len(text), at[1]+100)])
		}
		if at := personal.FindIndex(text); at != nil {
			tell("an address or a token", at)
		}
		for value, what := range known {
			if i := bytes.Index(text, []byte(value)); i >= 0 {
				tell(what, []int{i, i + len(value)})
			}
		}
		base, _, _ := strings.Cut(name, ".")
		if _, err := os.Stat(s.Binary(base)); err == nil || strings.Contains(file, "/nginx/") {
			whole := text[:bytes.LastIndexByte(text, '\n')+1] // the last line may be on its way
			for line := range bytes.Lines(whole) {
				if !json.Valid(line) || !utf8.Valid(line) { // which the first does not look at
					t.Errorf("%s is not JSON: %s", name, line)
					break
				}
			}
		}
	}
}

// TestFiles looks at all that the shop has written: what has a secret in it, only who needs it can read. A folder that is closed
// to others closes what is in it.
func TestFiles(t *testing.T) {
	s := shop.Open(t)
	known := secrets(t, s)
	const most = 1 << 20 // what is larger is a program, or a store's
	data, err := filepath.EvalSymlinks(filepath.Join(s.Run, "data"))
	require.NoError(t, err)
	var closed []string
	for _, root := range []string{s.Run, data} {
		require.NoError(t, filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
			if err != nil {
				return ignoreGone(err)
			}
			info, err := entry.Info()
			switch {
			case err != nil:
				return ignoreGone(err)
			case entry.IsDir() && info.Mode()&0o007 == 0:
				return fs.SkipDir
			case !info.Mode().IsRegular() || info.Size() > most || filepath.Ext(file) == ".jar":
				return nil
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return ignoreGone(err)
			}
			for value, name := range known {
				if !bytes.Contains(text, []byte(value)) {
					continue
				}
				if info.Mode()&0o077 != 0 {
					t.Errorf("%s has %s and mode %s", file, name, info.Mode())
				}
				closed = append(closed, filepath.Base(file))
			}
			return nil
		}))
	}
	require.Subset(t, closed, []string{"settings.env", "edges.list"})
}

// ignoreGone: the shop goes on, and takes files away.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
