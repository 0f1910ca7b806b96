package infra

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// archived is a PostgreSQL server of its own whose WAL is archived.
type archived struct {
	Servers
	t *testing.T
}

func newArchived(t *testing.T) archived {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr)
	require.NoError(t, l.Close())
	// Where the server's own user can reach it.
	dir, err := os.MkdirTemp("/var/tmp", "archive")
	require.NoError(t, err)
	t.Cleanup(func() { removed(t, dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	s := withMedia(t, "", "WAL_ARCHIVE="+filepath.Join(dir, "archive"),
		"POSTGRES_SUPERUSER_URL=postgres://postgres:secret@"+port.String()+"/postgres")
	s.Run, s.Data, s.Offset = t.TempDir(), filepath.Join(dir, "data"), port.Port-stack.PortPostgres
	return archived{s, t}
}

// removed removes what a server that was killed may be leaving just now.
func removed(t *testing.T, dir string) {
	t.Helper()
	err := os.RemoveAll(dir)
	for deadline := time.Now().Add(time.Minute); err != nil && time.Now().Before(deadline); {
		err = os.RemoveAll(dir)
	}
	require.NoError(t, err)
}

// start starts a process of the stack; end kills it and what it has started.
func (a archived) start(p supervise.Process, err error) (end func()) {
	a.t.Helper()
	require.NoError(a.t, err)
	who, err := supervise.Credential(p.User)
	require.NoError(a.t, err)
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Dir, cmd.Env = p.Dir, p.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Setpgid: true}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(a.t, cmd.Start())
	end = sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if a.t.Failed() {
			a.t.Logf("%s: %s", filepath.Base(p.Args[0]), said.String())
		}
	})
	a.t.Cleanup(end)
	return end
}

// folders makes an empty data folder.
func (a archived) folders() {
	a.t.Helper()
	dir := filepath.Join(a.Data, "postgres")
	removed(a.t, a.Data)
	require.NoError(a.t, os.MkdirAll(dir, 0o700))
	require.NoError(a.t, os.Chmod(a.Data, 0o755))
	require.NoError(a.t, a.own(a.t.Context(), "postgres", dir))
}

// up starts the server, and returns what kills it without a word.
func (a archived) up() (db *pgx.Conn, kill func()) {
	a.t.Helper()
	p, err := a.postgres(a.t.Context())
	p.Args = append(p.Args, "-c", "fsync=off") // a process is killed here, not the machine
	kill = a.start(p, err)
	db, err = connect(a.t.Context(), a.Settings.Get("POSTGRES_SUPERUSER_URL"))
	require.NoError(a.t, err)
	return db, kill
}

// write adds a row and returns the server's time before it and when it is committed.
func (a archived) write(db *pgx.Conn, text string) (before, after time.Time) {
	a.t.Helper()
	require.NoError(a.t, db.QueryRow(a.t.Context(), `SELECT clock_timestamp()`).Scan(&before))
	_, err := db.Exec(a.t.Context(), `INSERT INTO said VALUES ($1)`, text)
	require.NoError(a.t, err)
	require.NoError(a.t, db.QueryRow(a.t.Context(), `SELECT clock_timestamp()`).Scan(&after))
	return before, after
}

func (a archived) read(db *pgx.Conn) []string {
	a.t.Helper()
	rows, err := db.Query(a.t.Context(), `SELECT what FROM said ORDER BY what`)
	require.NoError(a.t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(a.t, err)
	return all
}

// TestUntil: a cluster that is lost after its backup comes back as it was at any moment since: with the row that was
// committed before, without the one that came after, also what is in a file of WAL that is not full. What cannot be is
// refused: a moment that the archive does not reach, an archive with a hole.
func TestUntil(t *testing.T) {
	t.Parallel()
	ctx, a := t.Context(), newArchived(t)
	a.folders()
	db, kill := a.up()
	require.NoError(t, a.makeSlot(ctx, db))
	receiver, err := a.walReceiver()
	endReceiver := a.start(receiver, err)
	first, err := a.Archive()
	require.NoError(t, err)
	_, err = db.Exec(ctx, `CREATE TABLE said (what text)`)
	require.NoError(t, err)
	a.write(db, "1 before the backup")
	backup := t.TempDir()
	require.NoError(t, a.copyDatabases(ctx, backup))
	_, one := a.write(db, "2 before the moment")
	_, err = db.Exec(ctx, `SELECT pg_switch_wal()`)
	require.NoError(t, err)
	two, three := a.write(db, "3 after the moment")
	require.True(t, one.Before(two))
	require.Eventually(t, func() bool {
		behind := 1
		err := db.QueryRow(ctx, `
			SELECT coalesce(max(pg_current_wal_flush_lsn() - flush_lsn), 1)::bigint FROM pg_stat_replication`).Scan(&behind)
		return err == nil && behind <= 0
	}, 20*time.Second, 10*time.Millisecond)
	kill()
	endReceiver()

	archive := filepath.Join(a.Settings.Get("WAL_ARCHIVE"), first)
	restored := func(at time.Time) ([]string, time.Time) {
		a.folders()
		require.NoError(t, a.putBackDatabases(ctx, backup))
		last, err := a.replay(ctx, Until{archive, at})
		require.NoError(t, err)
		require.NoFileExists(t, filepath.Join(a.Data, "wal"))
		db, kill := a.up()
		defer kill()
		a.write(db, "4 since") // it is a server like any
		return a.read(db), last
	}
	all, last := restored(two)
	require.Equal(t, []string{"1 before the backup", "2 before the moment", "4 since"}, all)
	require.True(t, last.Before(two), last)
	all, last = restored(time.Time{})
	require.Equal(t, []string{"1 before the backup", "2 before the moment", "3 after the moment", "4 since"}, all)
	require.True(t, last.After(two), last)

	a.folders()
	require.NoError(t, a.putBackDatabases(ctx, backup))
	_, err = a.replay(ctx, Until{archive, three.Add(time.Hour)})
	require.ErrorContains(t, err, "UNTIL=latest")
	begins, err := firstSegment(filepath.Join(backup, keptPostgres))
	require.NoError(t, err)
	hole := nextSegment(begins)
	require.NoError(t, os.Rename(filepath.Join(archive, hole), filepath.Join(archive, "away")))
	a.folders()
	require.NoError(t, a.putBackDatabases(ctx, backup))
	_, err = a.replay(ctx, Until{archive, two})
	require.ErrorContains(t, err, "lacks "+hole)
}

// TestPruneArchive: what the oldest backup needs stays, also of a file that is not full; what only older ones need goes, with
// the archives of shops from before a restore.
func TestPruneArchive(t *testing.T) {
	t.Parallel()
	a := newArchived(t)
	base, backup := a.Settings.Get("WAL_ARCHIVE"), t.TempDir()
	at := func(name string) string { return filepath.Join(base, "20261129T120000Z", name) }
	for _, name := range []string{
		"000000010000000000000004", "0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000.partial",
	} {
		require.NoError(t, stack.WriteFile(at(name), "", 0o600))
	}
	others := map[string]bool{"20261128T120000Z": false, "20261130T120000Z": true, "of-somebody": true}
	for name := range others {
		require.NoError(t, stack.WriteFile(filepath.Join(base, name, "x"), "", 0o600))
	}
	label := "START WAL LOCATION: 0/FE000028 (file 0000000100000000000000FE)\nCHECKPOINT LOCATION: 0/FE000060\n"
	require.NoError(t, stack.WriteFile(filepath.Join(backup, keptPostgres, "backup_label"), label, 0o600))
	require.NoError(t, whole(at(""), "0000000100000000000000FE"), "over the end of 4 GB")
	require.ErrorContains(t, whole(at(""), "000000010000000000000004"), "lacks 000000010000000000000005")
	require.ErrorContains(t, whole(at(""), "000000010000000100000001"), "lacks 000000010000000100000001")

	require.NoError(t, a.PruneArchive(context.Background(), backup, "20261129T120000Z"))
	require.NoFileExists(t, at("000000010000000000000004"))
	require.NoError(t, whole(at(""), "0000000100000000000000FE"))
	for name, stays := range others {
		_, err := os.Stat(filepath.Join(base, name))
		require.Equal(t, stays, err == nil, name)
	}
}
