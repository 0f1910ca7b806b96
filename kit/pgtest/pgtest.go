// Package pgtest gives each test a PostgreSQL database of its own, on a real
// server: TEST_DATABASE_URL (a superuser's), else one started from the
// installed PostgreSQL for this test process, else a container where there is
// Docker.
package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"

	"github.com/stampede-shop/stampede/kit/pg"
)

// New makes a database with kit's tables and those of migrations, opens it, and
// drops it when the test ends.
func New(t testing.TB, migrations fs.FS) *pgxpool.Pool {
	t.Helper()
	pool, err := pg.Open(t.Context(), URL(t, migrations), pg.Connections)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// These variables are what `make plans` gives tests a database by that has much
// of everything: one that all share, or one of which each gets a copy, on the
// server of TEST_DATABASE_URL.
const (
	loadedURL      = "TEST_LOADED_URL"
	loadedTemplate = "TEST_LOADED_TEMPLATE"
)

// Loaded tells whether tests run on a database that has much of everything:
// `make plans` looks at how their statements fare there, not at what the tests
// say.
func Loaded() bool { return os.Getenv(loadedURL) != "" || os.Getenv(loadedTemplate) != "" }

// URL is New without opening, or the database of all where tests share one.
func URL(t testing.TB, migrations fs.FS) string {
	t.Helper()
	if shared := os.Getenv(loadedURL); shared != "" {
		return shared
	}
	server, err := Server()
	require.NoError(t, err, "a PostgreSQL server for tests")
	name, template := "test", os.Getenv(loadedTemplate)
	if template != "" {
		name = template // by which it is known whose it is
	} else {
		template, err = newTemplate(server, migrations)
		require.NoError(t, err, "template database")
	}
	name = fmt.Sprintf("%s_%d_%d", name, os.Getpid(), next())
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, server)
	require.NoError(t, err)
	defer admin.Close(ctx)
	create := fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, template)
	if os.Getenv("TEST_DATABASE_URL") == "" || Loaded() {
		create += " STRATEGY FILE_COPY" // which has all that changed written out: nothing here, and half the time
	}
	_, err = admin.Exec(ctx, create)
	require.NoError(t, err)
	t.Cleanup(func() {
		admin, err := pgx.Connect(ctx, server)
		if err != nil {
			t.Errorf("drop %s: %v", name, err)
			return
		}
		defer admin.Close(ctx)
		if _, err := admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
	})
	return WithDatabase(server, name)
}

var (
	counter int
	mu      sync.Mutex
)

func next() int {
	mu.Lock()
	defer mu.Unlock()
	counter++
	return counter
}

// WithDatabase is a server's address with another database.
func WithDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic("pgtest: server url: " + err.Error())
	}
	u.Path = "/" + name
	return u.String()
}

var templates = map[string]string{}

// newTemplate makes, once for each set of migrations and process, the database
// that the tests' are cloned from.
func newTemplate(server string, migrations fs.FS) (string, error) {
	mu.Lock()
	defer mu.Unlock()
	sum := sha256.New()
	if migrations != nil {
		err := fs.WalkDir(migrations, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(migrations, path)
			sum.Write([]byte(path))
			sum.Write(data)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	name := fmt.Sprintf("template_%d_%s", os.Getpid(), hex.EncodeToString(sum.Sum(nil))[:12])
	if templates[name] != "" {
		return name, nil
	}
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name); err != nil {
		return "", err
	}
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	if err := pg.Migrate(ctx, WithDatabase(server, name), migrations); err != nil {
		return "", err
	}
	templates[name] = name
	return name, nil
}

// Server is the address of the server, as a superuser; it is started when it
// is first asked for, and ends with this process.
var Server = sync.OnceValues(func() (string, error) {
	if u := os.Getenv("TEST_DATABASE_URL"); u != "" {
		return u, nil
	}
	bin, err := binaries()
	if err != nil {
		return startContainer(context.Background(), err)
	}
	return startServer(bin, memory())
})

// Start starts a further server from the installed PostgreSQL, with options
// such as "-c", "work_mem=8MB", and returns its address as Server does.
func Start(options ...string) (string, error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	return startServer(bin, disk, options...)
}

// startContainer starts a server in Docker, which testcontainers removes after
// this process. native is why none could be started without.
func startContainer(ctx context.Context, native error) (string, error) {
	c, err := postgres.Run(ctx, "postgres:15-alpine", postgres.WithDatabase("postgres"), postgres.WithUsername("postgres"),
		postgres.WithPassword("postgres"), postgres.BasicWaitStrategies(),
		testcontainers.WithCmdArgs("-c", "fsync=off", "-c", "max_connections=300"))
	if err != nil {
		return "", fmt.Errorf("%w; nor is there Docker: %w", native, err)
	}
	return c.ConnectionString(ctx, "sslmode=disable")
}

// lifelines are our ends of the watching shells' pipes, held so that they are
// not collected, which would close them.
var lifelines []io.WriteCloser

const disk = "/var/tmp"

// memory is a folder in memory where there is room for many databases, else the
// disk. On ext4 a new file is looked for among the inodes that were freed in the
// last minutes, which those of dropped databases are by the ten thousand: more
// than half of what tests took of the processors.
func memory() string {
	const shared, room = "/dev/shm", 2 << 30
	var fs syscall.Statfs_t
	if syscall.Statfs(shared, &fs) != nil || fs.Bavail*uint64(fs.Bsize) < room {
		return disk
	}
	return shared
}

// startServer starts a throwaway server with its data below a folder. It ends
// with this process: postgres is told to stop by the watching shell when our end
// of its pipe closes.
func startServer(bin, below string, options ...string) (string, error) {
	dir, err := os.MkdirTemp(below, "pgtest")
	if err != nil {
		return "", err
	}
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return "", fmt.Errorf("running as root needs the user postgres: %w", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return "", err
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	// The shell lives until our pipe closes, however we end, then stops the
	// server and removes its folder.
	script := `data=$1; dir=$2; shift 2
"$0" -D "$data" -k "$dir" -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=300 "$@" >"$dir/log" 2>&1 &
pid=$!; cat >/dev/null; kill -INT $pid; wait $pid; cd /; rm -rf "$dir"`
	shell := exec.Command("/bin/sh", append([]string{"-c", script, filepath.Join(bin, "postgres"), data, dir}, options...)...)
	shell.SysProcAttr = &syscall.SysProcAttr{Credential: attr.Credential, Setpgid: true}
	shell.Dir = dir
	lifeline, err := shell.StdinPipe()
	if err != nil {
		return "", err
	}
	mu.Lock()
	lifelines = append(lifelines, lifeline)
	mu.Unlock()
	if err := shell.Start(); err != nil {
		return "", err
	}
	u := "postgres:///postgres?user=postgres&host=" + url.QueryEscape(dir)
	for end := time.Now().Add(30 * time.Second); ; {
		conn, err := pgx.Connect(context.Background(), u)
		if err == nil {
			return u, conn.Close(context.Background())
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return "", fmt.Errorf("postgres did not start: %w: %s", err, log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// binaries finds the newest installed server.
func binaries() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errors.New("no PostgreSQL: set TEST_DATABASE_URL, or `make infra` installs one")
	}
	return filepath.Dir(found[len(found)-1]), nil
}
