package infra

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
	"github.com/stampede-shop/stampede/kit/pause"
)

// With WAL_ARCHIVE a process takes from PostgreSQL what it logs ahead of every change, as it does, so that a backup can be
// taken on to any instant since (docs/decisions/wal-archive.md). Each data folder has a folder of its own there: a restored
// one goes on with the same names and other contents.

const (
	archiveSlot = "archive"     // by it the server knows what the receiver has
	archiveFile = "wal-archive" // in the data folder: the name of its archive
	segmentSize = 16 << 20      // bytes of a file of WAL
	archiveName = "20060102T150405Z"
)

// Until is how far beyond a backup a restore goes.
type Until struct {
	Archive string    // the folder with the WAL since the backup
	At      time.Time // zero is as far as the archive goes
}

// Archive is the name of the folder in WAL_ARCHIVE to which this data folder's WAL goes; "" when it goes nowhere.
func (s Servers) Archive() (string, error) {
	if !s.Needs(stack.WALReceiver) {
		return "", nil
	}
	file := filepath.Join(s.Data, archiveFile)
	base := s.Settings.Get("WAL_ARCHIVE")
	if !filepath.IsAbs(base) {
		return "", fmt.Errorf("WAL_ARCHIVE must be an absolute path, not %q", base)
	}
	name, err := os.ReadFile(file)
	if err == nil && !install.Exists(filepath.Join(base, string(name))) { // a disk that is not mounted?
		err = fmt.Errorf("WAL_ARCHIVE lacks %s, to which the WAL goes: bring it back, or remove %s, which begins another one", name, file)
	}
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return string(name), err
	}
	fresh := time.Now().UTC().Format(archiveName)
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", err
	}
	if err := os.Mkdir(filepath.Join(base, fresh), 0o700); err != nil {
		return "", err
	}
	return fresh, stack.WriteFile(file, fresh, 0o644)
}

// walReceiver returns the process that fills the archive.
func (s Servers) walReceiver() (supervise.Process, error) {
	name, err := s.Archive()
	if err != nil {
		return supervise.Process{}, err
	}
	dir := filepath.Join(s.Settings.Get("WAL_ARCHIVE"), name)
	who, err := supervise.Credential("postgres") // who reads it when it is put back
	if err != nil {
		return supervise.Process{}, err
	}
	if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
		return supervise.Process{}, err
	}
	program, at, password, err := s.postgresClient("pg_receivewal")
	return supervise.Process{
		// On the disk at once. It ends with its connection: who looks after it sees that, and starts it again.
		Args: append([]string{program, "--directory=" + dir, "--slot=" + archiveSlot, "--synchronous", "--no-loop"}, at...),
		Dir:  s.Data, Env: append(stack.Environment(), password), User: "postgres",
		Patience: 10 * time.Second, Stage: stack.StageArchive, Health: "tcp:" + s.At(stack.PortPostgres),
	}, err
}

// archive starts the receiver and returns when it receives. Where there is to be none, the server keeps nothing for it.
func (s Servers) archive(ctx context.Context) error {
	db, err := connect(ctx, s.Settings.Get("POSTGRES_SUPERUSER_URL"))
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	if !s.Needs(stack.WALReceiver) {
		if err := s.Supervisor().Stop(ctx, false, stack.WALReceiver); err != nil {
			return err
		}
		// What comes back to WAL_ARCHIVE later begins anew: between there is a hole.
		return errors.Join(dropSlot(ctx, db), removeIfThere(filepath.Join(s.Data, archiveFile)))
	}
	if err := s.makeSlot(ctx, db); err != nil {
		return err
	}
	p, err := s.walReceiver()
	if err != nil {
		return err
	}
	p.Name = stack.WALReceiver
	if _, err := s.Supervisor().Ensure(ctx, p); err != nil {
		return err
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		receives := false
		err := db.QueryRow(ctx, `SELECT active FROM pg_replication_slots WHERE slot_name = $1`, archiveSlot).Scan(&receives)
		if err != nil {
			return err
		}
		if receives {
			return nil
		}
		if time.Now().After(deadline) {
			return &supervise.Failure{Line: "nothing reaches WAL_ARCHIVE", Lines: supervise.Tail(s.LogFile(p.Name), 5)}
		}
		if !pause.For(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// makeSlot has the server keep from now on what the receiver has not taken. Where it was away for longer than the server
// could wait, its archive has a hole, and another one is begun.
func (s Servers) makeSlot(ctx context.Context, db *pgx.Conn) error {
	status := ""
	err := db.QueryRow(ctx, `SELECT coalesce(wal_status, '') FROM pg_replication_slots WHERE slot_name = $1`, archiveSlot).Scan(&status)
	switch {
	case err == nil && status != "lost":
		return nil
	case err == nil:
		s.Out.Say(stack.WALReceiver, "the archive was away for so long that it has a hole now, and begins anew: make a backup")
		if err := errors.Join(dropSlot(ctx, db), removeIfThere(filepath.Join(s.Data, archiveFile))); err != nil {
			return err
		}
	case !errors.Is(err, pgx.ErrNoRows):
		return err
	}
	_, err = db.Exec(ctx, `SELECT pg_create_physical_replication_slot($1, true)`, archiveSlot)
	return err
}

func dropSlot(ctx context.Context, db *pgx.Conn) error {
	// A receiver that was just stopped may not be gone for the server.
	_, err := db.Exec(ctx, `
		SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1 AND active`, archiveSlot)
	if err == nil {
		_, err = db.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`, archiveSlot)
	}
	return err
}

func removeIfThere(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

var (
	beganAt      = regexp.MustCompile(`(?m)^START WAL LOCATION: .* \(file ([0-9A-F]{24})\)$`)
	segment      = regexp.MustCompile(`^([0-9A-F]{24})(?:\.partial)?$`)
	inProduction = regexp.MustCompile(`(?m)^Database cluster state: +in production$`)
	lastDone     = regexp.MustCompile(`last completed transaction was at log time (\S+ \S+)`)
)

// firstSegment is the file of WAL with which a copy of the databases begins.
func firstSegment(postgres string) (string, error) {
	label, err := os.ReadFile(filepath.Join(postgres, "backup_label"))
	if err != nil {
		return "", err
	}
	found := beganAt.FindSubmatch(label)
	if found == nil {
		return "", errors.New("backup_label does not say where the WAL begins")
	}
	return string(found[1]), nil
}

// nextSegment is the name of the file of WAL that follows: timeline, then 64 bits, of which the lower half counts to the
// end of 4 GB.
func nextSegment(name string) string {
	var timeline, high, low uint64
	_, _ = fmt.Sscanf(name, "%8X%8X%8X", &timeline, &high, &low) // segment has seen it
	if low++; low == 1<<32/segmentSize {
		high, low = high+1, 0
	}
	return fmt.Sprintf("%08X%08X%08X", timeline, high, low)
}

// whole returns an error when an archive lacks what comes between a file of WAL and its last one: PostgreSQL would take a
// hole for the end.
func whole(dir, first string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if m := segment.FindStringSubmatch(e.Name()); m != nil && m[1] >= first {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	expected := first
	for _, name := range slices.Compact(names) {
		if name != expected {
			break
		}
		expected = nextSegment(expected)
	}
	if len(names) == 0 || expected <= names[len(names)-1] {
		return fmt.Errorf("the archive %s lacks %s", dir, expected)
	}
	return nil
}

// replay takes a copy of the databases on to an instant: by a server that nobody reaches, which ends when it is there. It
// returns when the last change was made that was taken from the archive.
func (s Servers) replay(ctx context.Context, until Until) (last time.Time, err error) {
	dir, link := filepath.Join(s.Data, "postgres"), filepath.Join(s.Data, "wal")
	first, err := firstSegment(dir)
	if err != nil {
		return last, err
	}
	if err := whole(until.Archive, first); err != nil {
		return last, err
	}
	if err := s.own(ctx, "postgres", until.Archive); err != nil {
		return last, err
	}
	if err := os.Symlink(until.Archive, link); err != nil { // a path without anything that shell or PostgreSQL would read
		return last, err
	}
	defer os.Remove(link)
	conf := "\nrestore_command = 'f=\"" + link + "/%f\"; [ -f \"$f\" ] || f=\"$f.partial\"; cp \"$f\" \"%p\"'\n" +
		"recovery_target_action = 'promote'\nhot_standby = off\nlisten_addresses = ''\nunix_socket_directories = '" + dir + "'\n"
	if !until.At.IsZero() {
		conf += "recovery_target_time = '" + until.At.UTC().Format("2006-01-02 15:04:05.999999") + "+00'\n"
	}
	if _, err := s.writePostgresConf(conf); err != nil {
		return last, err
	}
	if err := ownedFile(filepath.Join(dir, "recovery.signal"), "", "postgres"); err != nil {
		return last, err
	}
	log := s.LogFile("replay")
	if err := s.untilProduction(ctx, log, dir); err != nil {
		_ = s.pgCtl(context.WithoutCancel(ctx), s.LogFile("replay-stop"), "stop", "-D", dir, "-m", "immediate") // it may not run
		const short = "before configured recovery target was reached"
		if text, readErr := os.ReadFile(log); readErr == nil && strings.Contains(string(text), short) {
			return last, fmt.Errorf("the archive %s ends before %s: UNTIL=latest goes as far as it does",
				until.Archive, until.At.Format(time.RFC3339))
		}
		return last, err
	}
	if err := s.pgCtl(ctx, s.LogFile("replay-stop"), "stop", "-D", dir, "-m", "fast", "-w", "-t", "600"); err != nil {
		return last, err
	}
	text, err := os.ReadFile(log)
	if err != nil {
		return last, err
	}
	if found := lastDone.FindSubmatch(text); found != nil {
		last, err = time.Parse("2006-01-02 15:04:05.999999-07", string(found[1]))
	}
	return last, err
}

// untilProduction starts a server, and returns when it has recovered. What it says goes to log.
func (s Servers) untilProduction(ctx context.Context, log, dir string) error {
	if err := s.pgCtl(ctx, log, "start", "-D", dir, "-w"); err != nil { // it waits until recovery has begun, not for its end
		return err
	}
	bin, err := install.PostgresBin()
	if err != nil {
		return err
	}
	for {
		ask := exec.CommandContext(ctx, filepath.Join(bin, "pg_controldata"), "-D", dir)
		ask.Env = stack.Environment() // which has its language
		state, err := ask.Output()
		if err != nil {
			return err
		}
		if inProduction.Match(state) {
			return nil
		}
		if !install.Exists(filepath.Join(dir, "postmaster.pid")) {
			return &supervise.Failure{Line: "PostgreSQL cannot be taken on; its log is " + log, Lines: supervise.Tail(log, 15)}
		}
		if !pause.For(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// pgCtl runs PostgreSQL's own starter as its user.
func (s Servers) pgCtl(ctx context.Context, log string, args ...string) error {
	bin, err := install.PostgresBin()
	if err != nil {
		return err
	}
	who, err := supervise.Credential("postgres")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "pg_ctl"), args...)
	cmd.Dir, cmd.Env = s.Data, stack.Environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	return supervise.Run(ctx, log, cmd)
}

// PruneArchive removes from WAL_ARCHIVE what only backups older than the one in dir need, whose archive has that name.
func (s Servers) PruneArchive(ctx context.Context, dir, name string) error {
	base := s.Settings.Get("WAL_ARCHIVE")
	bin, err := install.PostgresBin()
	if err != nil {
		return err
	}
	first, err := firstSegment(filepath.Join(dir, keptPostgres))
	if err != nil {
		return err
	}
	clean := exec.CommandContext(ctx, filepath.Join(bin, "pg_archivecleanup"), filepath.Join(base, name), first)
	if err := supervise.Run(ctx, s.LogFile("prune"), clean); err != nil {
		return err
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := time.Parse(archiveName, e.Name()); err == nil && e.Name() < name {
			if err := os.RemoveAll(filepath.Join(base, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// LostPictures are the slugs of products that name a picture which is not there, by the picture's file. None are looked for
// in a bucket of somebody else.
func (s Servers) LostPictures(ctx context.Context) (map[string]string, error) {
	dir, err := s.pictures()
	if err != nil || dir == "" {
		return nil, err
	}
	if s.Needs("s3") {
		dir = filepath.Join(dir, s.Settings.Get("S3_BUCKET"))
	}
	have, err := pictureFiles(dir)
	if err != nil {
		return nil, err
	}
	db, err := connect(ctx, s.Settings.Get("PRODUCTS_DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx)
	const ours = "/media/"
	rows, err := db.Query(ctx, `
		SELECT p.slug, i.url FROM images i JOIN products p ON p.id = i.product_id WHERE starts_with(i.url, $1)`, ours)
	if err != nil {
		return nil, err
	}
	lost := map[string]string{}
	var slug, url string
	_, err = pgx.ForEachRow(rows, []any{&slug, &url}, func() error {
		if file := strings.TrimPrefix(url, ours); have[file] == 0 {
			lost[file] = slug
		}
		return nil
	})
	return lost, err
}
