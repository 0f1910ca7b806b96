package infra

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// What a backup holds, beside what the command writes about it.
const (
	keptPostgres = "postgres" // a data folder: every database, Keycloak's too, as of one instant
	keptRedis    = "redis.rdb"
	keptPictures = "pictures"

	redisBase = "appendonly.aof.1.base.rdb"
)

// Backup copies what the servers keep into a folder while they serve: Redis, then all databases as of one instant, then the
// pictures. In this order a cart may be older than the orders, for which carts asks orders, and a picture that a product
// names is there. What waits in the broker is not kept: see Resend.
func (s Servers) Backup(ctx context.Context, dir string) error {
	rdb := filepath.Join(dir, keptRedis)
	dump := exec.CommandContext(ctx, "redis-cli", "-h", "127.0.0.1", "-p", strconv.Itoa(s.Port(stack.PortRedis)), "--rdb", rdb)
	dump.Env = append(stack.Environment(), "REDISCLI_AUTH="+s.Settings.Get("REDIS_PASSWORD"))
	if err := supervise.Run(ctx, s.LogFile("backup-redis"), dump); err != nil {
		return err
	}
	if err := supervise.Run(ctx, s.LogFile("backup-redis"), exec.CommandContext(ctx, "redis-check-rdb", rdb)); err != nil {
		return err
	}
	if err := s.copyDatabases(ctx, dir); err != nil {
		return err
	}
	pictures, err := s.pictures()
	if err != nil || pictures == "" {
		return err
	}
	return s.copy(ctx, pictures, filepath.Join(dir, keptPictures))
}

// copyDatabases copies the whole cluster as of one instant.
func (s Servers) copyDatabases(ctx context.Context, dir string) error {
	program, at, password, err := s.postgresClient("pg_basebackup")
	if err != nil {
		return err
	}
	base := exec.CommandContext(ctx, program, append(at, "--pgdata="+filepath.Join(dir, keptPostgres),
		"--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256")...)
	base.Env = append(stack.Environment(), password)
	if err := supervise.Run(ctx, s.LogFile("backup-postgres"), base); err != nil {
		return err
	}
	return s.verify(ctx, dir)
}

// postgresClient is one of PostgreSQL's programs that connects as superuser: where it is, how it is told whom to ask, and
// the password's variable.
func (s Servers) postgresClient(name string) (program string, at []string, password string, err error) {
	bin, err := install.PostgresBin()
	if err != nil {
		return "", nil, "", err
	}
	u, err := url.Parse(s.Settings.Get("POSTGRES_SUPERUSER_URL"))
	if err != nil {
		return "", nil, "", fmt.Errorf("POSTGRES_SUPERUSER_URL: %w", err)
	}
	secret, _ := u.User.Password()
	return filepath.Join(bin, name), []string{
		"--host=" + u.Hostname(), "--port=" + u.Port(), "--username=" + u.User.Username(), "--no-password",
	}, "PGPASSWORD=" + secret, nil
}

// pictures is the folder that they are in; "" when it is a bucket of somebody else, which has ways of its own to keep them.
func (s Servers) pictures() (string, error) {
	kind, _, err := s.media()
	switch {
	case err != nil:
		return "", err
	case kind == "folder":
		return s.Settings.Get("MEDIA_DIR"), nil
	case s.Needs("s3"):
		return s.s3Dir(), nil
	}
	return "", nil
}

// verify compares a copy of the databases with its manifest.
func (s Servers) verify(ctx context.Context, dir string) error {
	bin, err := install.PostgresBin()
	if err != nil {
		return err
	}
	kept := filepath.Join(dir, keptPostgres)
	of, err := os.ReadFile(filepath.Join(kept, "PG_VERSION"))
	if err != nil {
		return fmt.Errorf("there is no backup of PostgreSQL in %s: %w", dir, err)
	}
	if here := filepath.Base(filepath.Dir(bin)); strings.TrimSpace(string(of)) != here {
		return fmt.Errorf("the backup is of PostgreSQL %s, and here is %s", strings.TrimSpace(string(of)), here)
	}
	return supervise.Run(ctx, s.LogFile("verify-backup"), exec.CommandContext(ctx, filepath.Join(bin, "pg_verifybackup"), kept))
}

// Vacant tells whether there is nothing where Restore puts what a backup holds.
func (s Servers) Vacant() error {
	if install.Exists(filepath.Join(s.Data, "postgres", "PG_VERSION")) || install.Exists(filepath.Join(s.Data, "redis", "appendonlydir")) {
		return errors.New("there is a shop here already; make clean removes it")
	}
	return nil
}

// Restore puts what a backup holds where the servers will find it, and takes the databases on to until, unless that is nil.
// They must be installed, their folders made, and nothing in them. A backup that is not whole is refused before anything is
// written. It returns when the last change was made that the databases have by that, zero without until or without one.
func (s Servers) Restore(ctx context.Context, dir string, until *Until) (last time.Time, err error) {
	if err := s.putBack(ctx, dir); err != nil || until == nil {
		return time.Time{}, err
	}
	return s.replay(ctx, *until)
}

func (s Servers) putBack(ctx context.Context, dir string) error {
	redis := filepath.Join(s.Data, "redis")
	appended := filepath.Join(redis, "appendonlydir")
	if err := s.Vacant(); err != nil {
		return err
	}
	if err := s.verify(ctx, dir); err != nil {
		return err
	}
	rdb := filepath.Join(dir, keptRedis)
	if err := supervise.Run(ctx, s.LogFile("verify-redis"), exec.CommandContext(ctx, "redis-check-rdb", rdb)); err != nil {
		return err
	}
	if err := s.putBackDatabases(ctx, dir); err != nil {
		return err
	}
	// Redis begins from its append-only file, so the dump becomes the base of one.
	if err := os.Mkdir(appended, 0o750); err != nil {
		return err
	}
	if err := s.copy(ctx, rdb, filepath.Join(appended, redisBase)); err != nil {
		return err
	}
	manifest := "file " + redisBase + " seq 1 type b\n"
	if err := os.WriteFile(filepath.Join(appended, "appendonly.aof.manifest"), []byte(manifest), 0o640); err != nil {
		return err
	}
	if err := s.own(ctx, "redis", redis); err != nil {
		return err
	}
	pictures, err := s.pictures()
	if err != nil || pictures == "" {
		return err
	}
	if err := os.MkdirAll(pictures, 0o755); err != nil {
		return err
	}
	return s.copy(ctx, filepath.Join(dir, keptPictures)+"/.", pictures)
}

func (s Servers) putBackDatabases(ctx context.Context, dir string) error {
	postgres := filepath.Join(s.Data, "postgres")
	if err := s.copy(ctx, filepath.Join(dir, keptPostgres)+"/.", postgres); err != nil {
		return err
	}
	return s.own(ctx, "postgres", postgres)
}

// own gives a folder with all in it to a server's user.
func (s Servers) own(ctx context.Context, user, dir string) error {
	return supervise.Run(ctx, s.LogFile("chown"), exec.CommandContext(ctx, "chown", "-R", user+":"+user, dir))
}

func (s Servers) copy(ctx context.Context, from, to string) error {
	return supervise.Run(ctx, s.LogFile("copy"), exec.CommandContext(ctx, "cp", "-a", from, to))
}

// Resend has the services tell again what they told since then, and returns how many events that are: what of it was in the
// broker when that was lost is nowhere else. Who has handled one before knows it. Events with codes are not kept, and not
// told again.
func (s Servers) Resend(ctx context.Context, since time.Time) (int, error) {
	services, err := s.Services()
	if err != nil {
		return 0, err
	}
	total := 0
	for _, a := range services {
		if !s.KeepsRecords(a) {
			continue
		}
		db, err := connect(ctx, s.Settings.Get(a.DatabaseSetting()))
		if err != nil {
			return total, err
		}
		tag, err := db.Exec(ctx, `
			UPDATE outbox SET sent_at = NULL, next_try_at = now(), tries = 0 WHERE sent_at > $1 AND NOT secret`, since)
		_ = db.Close(ctx)
		if err != nil {
			return total, fmt.Errorf("%s: %w", a.ID, err)
		}
		total += int(tag.RowsAffected())
	}
	return total, nil
}
