package infra

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
	"github.com/stampede-shop/stampede/kit/pause"
)

// postgres makes the cluster when there is none and returns the server.
func (s Servers) postgres(ctx context.Context) (supervise.Process, error) {
	bin, err := install.PostgresBin()
	if err != nil {
		return supervise.Process{}, err
	}
	dir := filepath.Join(s.Data, "postgres")
	superuser, err := url.Parse(s.Settings.Get("POSTGRES_SUPERUSER_URL"))
	if err != nil {
		return supervise.Process{}, fmt.Errorf("POSTGRES_SUPERUSER_URL: %w", err)
	}
	if !install.Exists(filepath.Join(dir, "PG_VERSION")) {
		password, _ := superuser.User.Password()
		file := filepath.Join(s.Data, "initdb-password")
		if err := ownedFile(file, password+"\n", "postgres"); err != nil {
			return supervise.Process{}, err
		}
		defer os.Remove(file)
		who, err := supervise.Credential("postgres")
		if err != nil {
			return supervise.Process{}, err
		}
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", dir, "-U", superuser.User.Username(), "--pwfile="+file,
			"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums")
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
		if err := supervise.Run(ctx, s.LogFile("initdb"), cmd); err != nil {
			return supervise.Process{}, err
		}
	}
	text, err := s.writePostgresConf("")
	if err != nil {
		return supervise.Process{}, err
	}
	return supervise.Process{
		Args: []string{filepath.Join(bin, "postgres"), "-D", dir}, Dir: dir, Env: stack.Environment(), User: "postgres",
		Signal: syscall.SIGINT, Patience: 20 * time.Second, Stage: stack.StageStore, // SIGINT: do not wait for clients
		Health: "tcp:" + s.At(stack.PortPostgres), Stamp: supervise.Digest(text),
	}, nil
}

// writePostgresConf writes the server's configuration, with more lines at its
// end, and returns it. It is written each time: the data folder is out of reach
// for the server's own user otherwise (a clone under /root), and the port is
// this stack's.
func (s Servers) writePostgresConf(more string) (string, error) {
	conf, err := os.ReadFile(filepath.Join(s.Root, "deploy", "postgres", "postgresql.conf"))
	if err != nil {
		return "", err
	}
	text := string(conf) + fmt.Sprintf("\nlisten_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = ''\n", s.Port(stack.PortPostgres))
	if s.Bench {
		text += "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.max = 10000\n"
	}
	text += more
	return text, ownedFile(filepath.Join(s.Data, "postgres", "postgresql.conf"), text, "postgres")
}

// databases makes the database and the role of every *_DATABASE_URL setting.
// Each role may connect to its own database only.
func (s Servers) databases(ctx context.Context) error {
	admin := s.Settings.Get("POSTGRES_SUPERUSER_URL")
	db, err := connect(ctx, admin)
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	if _, err := db.Exec(ctx, `REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC`); err != nil {
		return err
	}
	for key, value := range s.Settings.All() {
		if !strings.HasSuffix(key, "_DATABASE_URL") {
			continue
		}
		u, err := url.Parse(value)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		password, _ := u.User.Password()
		if err := makeDatabase(ctx, db, strings.TrimPrefix(u.Path, "/"), u.User.Username(), password); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	if s.Bench {
		if _, err := db.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS pg_stat_statements`); err != nil {
			return err
		}
	}
	// What only a superuser should add: the catalogue's search.
	u, err := url.Parse(admin)
	if err != nil {
		return err
	}
	u.Path = "/products"
	products, err := connect(ctx, u.String())
	if err != nil {
		return err
	}
	defer products.Close(ctx)
	for _, extension := range []string{"pg_trgm", "unaccent"} {
		if _, err := products.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS "+extension); err != nil {
			return err
		}
	}
	return nil
}

// second ends the name of whoever takes turns with the one without it, so that two passwords are good while one takes the
// other's place: a role of PostgreSQL, which then acts as the first, and a user of RabbitMQ.
const second = "-2"

// other is the one that name takes turns with.
func other(name string) string {
	if first, ok := strings.CutSuffix(name, second); ok {
		return first
	}
	return name + second
}

func makeDatabase(ctx context.Context, db *pgx.Conn, name, role, password string) error {
	owner := strings.TrimSuffix(role, second)
	if role != owner {
		if err := makeSecond(ctx, db, owner, role, password); err != nil {
			return err
		}
	}
	var hasRole, hasDatabase bool
	err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1), EXISTS (SELECT FROM pg_database WHERE datname = $2)`, owner, name).
		Scan(&hasRole, &hasDatabase)
	if err != nil {
		return err
	}
	quotedRole, quotedName := pgx.Identifier{owner}.Sanitize(), pgx.Identifier{name}.Sanitize()
	if role == owner {
		verb := "CREATE"
		if hasRole {
			verb = "ALTER"
		}
		// The password again each time, so that the settings file is always right.
		if _, err := db.Exec(ctx, verb+" ROLE "+quotedRole+login(password)); err != nil {
			return err
		}
	}
	if hasDatabase {
		return nil
	}
	if _, err := db.Exec(ctx, "CREATE DATABASE "+quotedName+" OWNER "+quotedRole); err != nil {
		return err
	}
	_, err = db.Exec(ctx, "REVOKE ALL ON DATABASE "+quotedName+" FROM PUBLIC")
	return err
}

// makeSecond makes the role that acts as owner whenever it logs in, and owner where it is not there.
func makeSecond(ctx context.Context, db *pgx.Conn, owner, role, password string) error {
	quotedOwner, quotedRole := pgx.Identifier{owner}.Sanitize(), pgx.Identifier{role}.Sanitize()
	for name, as := range map[string]string{owner: " NOLOGIN", role: ""} {
		has := false
		if err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, name).Scan(&has); err != nil {
			return err
		}
		if has {
			continue
		}
		if _, err := db.Exec(ctx, "CREATE ROLE "+pgx.Identifier{name}.Sanitize()+as); err != nil {
			return err
		}
	}
	for _, statement := range []string{
		"ALTER ROLE " + quotedRole + login(password), "GRANT " + quotedOwner + " TO " + quotedRole,
		"ALTER ROLE " + quotedRole + " SET role TO " + literal(owner),
	} {
		if _, err := db.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func login(password string) string { return " LOGIN PASSWORD " + literal(password) }

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// connect waits for a server that is still coming up: it listens a moment
// before it takes connections.
func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	deadline := time.Now().Add(60 * time.Second)
	for {
		db, err := pgx.Connect(ctx, url)
		if err == nil {
			return db, nil
		}
		if strings.Contains(err.Error(), "password authentication failed") {
			return nil, errors.New("PostgreSQL refuses the password in settings.env: the data is of other settings; make clean removes it")
		}
		if time.Now().After(deadline) || !pause.For(ctx, 100*time.Millisecond) {
			return nil, fmt.Errorf("PostgreSQL does not take connections: %w", err)
		}
	}
}
