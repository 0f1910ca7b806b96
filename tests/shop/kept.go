package shop

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Kept names the places where the stack keeps one of the texts, in small or capital letters: lines of a dump of the whole
// database cluster, keys of Redis, log files. Keycloak's own log of events is left out: it cannot be told to forget one user,
// and forgets all within a day (deploy/keycloak).
func (s *Shop) Kept(t testing.TB, texts ...string) (found []string) {
	t.Helper()
	var wanted [][]byte
	for _, text := range texts {
		wanted = append(wanted, bytes.ToLower([]byte(text)), []byte(hex.EncodeToString([]byte(text))))
	}
	look := func(place string, content []byte) {
		content = bytes.ToLower(content)
		for _, text := range wanted {
			if at := bytes.Index(content, text); at >= 0 {
				found = append(found, place+": …"+string(content[max(0, at-100):min(len(content), at+100)])+"…")
			}
		}
	}
	cluster, err := url.Parse(s.Settings["POSTGRES_SUPERUSER_URL"])
	require.NoError(t, err)
	password, _ := cluster.User.Password()
	env := []string{"PGPASSWORD=" + password}
	// Those that are called test_… are of services' own tests, and come and go.
	const databases = `SELECT datname FROM pg_database WHERE datallowconn AND datname NOT LIKE 'test\_%'`
	var dump []byte
	for _, database := range strings.Fields(string(output(t, env, "psql", "-XAtq", "-c", databases, cluster.String()))) {
		cluster.Path = "/" + database
		dump = append(dump, output(t, env, "pg_dump", "--dbname="+cluster.String())...)
	}
	for table := ""; len(dump) > 0; {
		var line []byte
		line, dump, _ = bytes.Cut(dump, []byte("\n"))
		switch {
		case bytes.HasPrefix(line, []byte("COPY ")):
			table, _, _ = strings.Cut(strings.TrimPrefix(string(line), "COPY "), " ")
		case bytes.Equal(line, []byte(`\.`)):
			table = ""
		case table != "public.event_entity":
			look("table "+table, line)
		}
	}
	if s.Plugged(t, "state") == "state.redis" {
		look("Redis", s.redis(t))
	}
	logs := 0
	for _, folder := range []string{s.Run, filepath.Join(s.Run, "logs")} {
		folder, err := filepath.EvalSymlinks(folder)
		require.NoError(t, err)
		require.NoError(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed at this moment
			}
			if err != nil || d.IsDir() || filepath.Ext(path) != ".log" {
				return err
			}
			content, err := os.ReadFile(path)
			logs++
			look(path, content)
			return err
		}))
	}
	require.Greater(t, logs, 20, "that are all the logs of a shop?")
	return found
}

// redis is all that Redis keeps, as text.
func (s *Shop) redis(t testing.TB) []byte {
	t.Helper()
	const all = `
		local out = {}
		for _, k in ipairs(redis.call('KEYS', '*')) do
			local kind = redis.call('TYPE', k).ok
			out[#out + 1] = k
			if kind == 'hash' then
				for _, v in ipairs(redis.call('HGETALL', k)) do out[#out + 1] = v end
			elseif kind == 'string' then
				out[#out + 1] = redis.call('GET', k)
			end
		end
		return out`
	host, port, err := net.SplitHostPort(s.Settings["REDIS_HOST"])
	require.NoError(t, err)
	return output(t, []string{"REDISCLI_AUTH=" + s.Settings["REDIS_PASSWORD"]}, "redis-cli", "-h", host, "-p", port, "EVAL", all, "0")
}

// output is what a program prints that gets env, too.
func output(t testing.TB, env []string, program string, args ...string) []byte {
	t.Helper()
	var problems strings.Builder
	run := exec.CommandContext(t.Context(), program, args...)
	run.Stderr, run.Env = &problems, append(os.Environ(), env...)
	out, err := run.Output()
	require.NoError(t, err, "%s: %s", program, problems.String())
	require.NotEmpty(t, out, program)
	return out
}
