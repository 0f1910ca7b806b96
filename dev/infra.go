package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// folders makes the data folders with the owners that PostgreSQL, Redis and
// RabbitMQ insist on, and links them from the run folder.
func (s *shop) folders() error {
	for _, f := range []struct {
		name, owner string
		mode        fs.FileMode
	}{
		{".", "", 0o755},
		{"postgres", "postgres", 0o700},
		{"redis", "redis", 0o750},
		{"rabbitmq", "rabbitmq", 0o750},
		{"sentry", "", 0o700},
		{"maildev", "", 0o755},
		{"media", "", 0o755},
		{"static", "", 0o755},
	} {
		dir := filepath.Join(s.Data, f.name)
		if err := os.MkdirAll(dir, f.mode); err != nil {
			return err
		}
		if err := os.Chmod(dir, f.mode); err != nil {
			return err
		}
		if f.owner == "" || !s.Plugged.Needs(f.name) {
			continue // the owner may not exist where the server was never needed
		}
		who, err := supervise.Credential(f.owner)
		if err != nil {
			return err
		}
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	link := filepath.Join(s.Run, "data")
	if target, err := os.Readlink(link); err == nil && target == s.Data {
		return nil
	}
	os.Remove(link)
	return os.Symlink(s.Data, link)
}

// ownedFile writes a file that holds a secret for the user that reads it.
func ownedFile(name, text, owner string) error {
	if err := stack.WriteFile(name, text, 0o600); err != nil {
		return err
	}
	who, err := supervise.Credential(owner)
	if err != nil {
		return err
	}
	return os.Chown(name, int(who.Uid), int(who.Gid))
}

// postgres makes the cluster when there is none and returns the server.
func (s *shop) postgres(ctx context.Context) (supervise.Process, error) {
	bin, err := install.PostgresBin()
	if err != nil {
		return supervise.Process{}, err
	}
	dir := filepath.Join(s.Data, "postgres")
	superuser, err := url.Parse(s.Settings.Get("POSTGRES_SUPERUSER_URL"))
	if err != nil {
		return supervise.Process{}, fmt.Errorf("POSTGRES_SUPERUSER_URL: %w", err)
	}
	if !stack.Exists(filepath.Join(dir, "PG_VERSION")) {
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
	conf, err := os.ReadFile(filepath.Join(s.Root, "deploy", "postgres", "postgresql.conf"))
	if err != nil {
		return supervise.Process{}, err
	}
	// Written each time: the data folder is out of reach for the server's own user
	// otherwise (a clone under /root), and the port is this stack's.
	text := string(conf) + fmt.Sprintf("\nlisten_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = ''\n", s.Port(stack.PortPostgres))
	if err := ownedFile(filepath.Join(dir, "postgresql.conf"), text, "postgres"); err != nil {
		return supervise.Process{}, err
	}
	return supervise.Process{
		Args: []string{filepath.Join(bin, "postgres"), "-D", dir}, Dir: dir, Env: stack.Environment(), User: "postgres",
		Signal: syscall.SIGINT, Patience: 20 * time.Second, Stage: stack.StageStore, // SIGINT: do not wait for clients
		Health: "tcp:" + s.At(stack.PortPostgres), Stamp: supervise.Digest(text),
	}, nil
}

// databases makes the database and the role of every *_DATABASE_URL setting.
// Each role may connect to its own database only.
func (s *shop) databases(ctx context.Context) error {
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

func makeDatabase(ctx context.Context, db *pgx.Conn, name, role, password string) error {
	var hasRole, hasDatabase bool
	err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1), EXISTS (SELECT FROM pg_database WHERE datname = $2)`, role, name).
		Scan(&hasRole, &hasDatabase)
	if err != nil {
		return err
	}
	quotedRole, quotedName := pgx.Identifier{role}.Sanitize(), pgx.Identifier{name}.Sanitize()
	verb := "CREATE"
	if hasRole {
		verb = "ALTER"
	}
	// The password again each time, so that the settings file is always right.
	if _, err := db.Exec(ctx, verb+" ROLE "+quotedRole+" LOGIN PASSWORD '"+strings.ReplaceAll(password, "'", "''")+"'"); err != nil {
		return err
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
		if time.Now().After(deadline) || !supervise.Pause(ctx, 100*time.Millisecond) {
			return nil, fmt.Errorf("PostgreSQL does not take connections: %w", err)
		}
	}
}

func (s *shop) redis() (supervise.Process, error) {
	dir := filepath.Join(s.Data, "redis")
	conf := filepath.Join(dir, "redis.conf")
	text := strings.Join([]string{
		"bind 127.0.0.1",
		"port " + strconv.Itoa(s.Port(stack.PortRedis)),
		"requirepass " + s.Settings.Get("REDIS_PASSWORD"),
		"dir " + dir,
		"appendonly yes",
		"appendfsync everysec",
		`save ""`,
		// Carts live here: full means an error, never a cart thrown away.
		"maxmemory 512mb",
		"maxmemory-policy noeviction",
		"",
	}, "\n")
	if err := ownedFile(conf, text, "redis"); err != nil {
		return supervise.Process{}, err
	}
	program, err := exec.LookPath("redis-server")
	return supervise.Process{
		Args: []string{program, conf}, Dir: dir, Env: stack.Environment(), User: "redis",
		Patience: 10 * time.Second, Stage: stack.StageStore,
		Health: "tcp:" + s.At(stack.PortRedis), Stamp: supervise.Digest(text),
	}, err
}

// erlang is what RabbitMQ and its port mapper share.
func (s *shop) erlang() (dir string, env []string) {
	dir = filepath.Join(s.Data, "rabbitmq")
	// The last HOME counts.
	return dir, append(stack.Environment(), "HOME="+dir,
		"ERL_EPMD_PORT="+strconv.Itoa(s.Port(stack.PortEpmd)), "ERL_EPMD_ADDRESS=127.0.0.1")
}

// epmd returns RabbitMQ's port mapper, one of our own on a port of our own: a
// shared one would be started by whichever stack comes first and stay behind
// when that ends.
func (s *shop) epmd() (supervise.Process, error) {
	dir, env := s.erlang()
	program, err := exec.LookPath("epmd")
	return supervise.Process{
		Args: []string{program}, Dir: dir, Env: env, User: "rabbitmq",
		Patience: 2 * time.Second, Stage: stack.StageStore, Health: "tcp:" + s.At(stack.PortEpmd),
	}, err
}

func (s *shop) rabbitmqNode() string {
	if s.Offset != 0 {
		return fmt.Sprintf("stampede-%d@localhost", s.Offset)
	}
	return "stampede@localhost"
}

func (s *shop) rabbitmq() (supervise.Process, error) {
	dir, env := s.erlang()
	u, err := url.Parse(s.Settings.Get("RABBITMQ_URL"))
	if err != nil {
		return supervise.Process{}, fmt.Errorf("RABBITMQ_URL: %w", err)
	}
	password, _ := u.User.Password()
	text := strings.Join([]string{
		"listeners.tcp.1 = " + s.At(stack.PortRabbitMQ),
		"management.tcp.ip = 127.0.0.1",
		"management.tcp.port = " + strconv.Itoa(s.Port(stack.PortRabbitMQPage)),
		"default_user = " + u.User.Username(),
		"default_pass = " + password,
		"vm_memory_high_watermark.absolute = 1GB",
		"disk_free_limit.absolute = 200MB",
		"log.console.level = warning",
		"",
	}, "\n")
	if err := ownedFile(filepath.Join(dir, "rabbitmq.conf"), text, "rabbitmq"); err != nil {
		return supervise.Process{}, err
	}
	if err := ownedFile(filepath.Join(dir, "enabled_plugins"), "[rabbitmq_management].\n", "rabbitmq"); err != nil {
		return supervise.Process{}, err
	}
	return supervise.Process{
		Args: []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"}, Dir: dir, User: "rabbitmq",
		Env: append(env,
			"RABBITMQ_NODENAME="+s.rabbitmqNode(),
			"RABBITMQ_DIST_PORT="+strconv.Itoa(s.Port(stack.PortRabbitMQDist)),
			"RABBITMQ_CONF_ENV_FILE="+filepath.Join(dir, "env.conf"), // not the system's
			"RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "rabbitmq.conf"),
			"RABBITMQ_ADVANCED_CONFIG_FILE="+filepath.Join(dir, "advanced.config"),
			"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "enabled_plugins"),
			"RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "mnesia"),
			"RABBITMQ_GENERATED_CONFIG_DIR="+filepath.Join(dir, "config"),
			"RABBITMQ_PID_FILE="+filepath.Join(dir, "pid"),
			"RABBITMQ_LOG_BASE="+filepath.Join(dir, "log"),
			"RABBITMQ_LOGS=-",
			// Idle schedulers sleep instead of spinning: others want the cores.
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
		),
		Patience: 20 * time.Second, Stage: stack.StageInfra,
		Health: "tcp:" + s.At(stack.PortRabbitMQ), Stamp: supervise.Digest(text),
	}, nil
}

func (s *shop) maildev() (supervise.Process, error) {
	program, err := exec.LookPath("node")
	most, memory := 2_000, 128 // MB
	if s.Proxied {
		most, memory = 20_000, 512 // make chaos looks for each
	}
	return supervise.Process{
		Dir: filepath.Join(s.Data, "maildev"), Env: stack.Environment(),
		Args: []string{
			program, "--max-old-space-size=" + strconv.Itoa(memory), s.Installer().Maildev(),
			"--smtp", strconv.Itoa(s.Port(stack.PortSMTP)), "--ip", "127.0.0.1",
			"--web", strconv.Itoa(s.Port(stack.PortMaildev)), "--web-ip", "127.0.0.1",
			"--mail-directory", filepath.Join(s.Data, "maildev"), "--max-emails", strconv.Itoa(most),
		},
		Patience: 3 * time.Second, Stage: stack.StageInfra,
		Health: "tcp:" + s.At(stack.PortMaildev),
	}, err
}

// authority returns sentry, which makes its certificates when there are none.
func (s *shop) authority() (supervise.Process, error) {
	dir := filepath.Join(s.Data, "sentry")
	if expired(filepath.Join(dir, "ca.crt")) {
		if err := os.RemoveAll(dir); err != nil {
			return supervise.Process{}, err
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return supervise.Process{}, err
		}
	}
	return supervise.Process{
		Dir: dir, Env: append(stack.Environment(), "NAMESPACE="+s.Settings.Get("NAMESPACE")),
		Args: []string{
			s.Installer().Sentry(), "--config", filepath.Join(s.Root, "dapr", "sentry.yaml"), "--issuer-credentials", dir,
			"--port", strconv.Itoa(s.Port(stack.PortSentry)), "--listen-address", "127.0.0.1",
			"--healthz-port", strconv.Itoa(s.Port(stack.PortSentryHealth)), "--healthz-listen-address", "127.0.0.1",
			"--enable-metrics=false", "--log-level", "warn",
		},
		Patience: 3 * time.Second, Stage: stack.StageInfra,
		Health: "http://" + s.At(stack.PortSentryHealth) + "/healthz",
	}, nil
}

// expired reports whether a certificate has less than a week to live.
func expired(file string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	return err == nil && time.Until(cert.NotAfter) < 7*24*time.Hour
}

// keycloak returns the identity server, in a home of this stack's own: links
// to the prepared one, our realm and our themes.
func (s *shop) keycloak(ctx context.Context) (supervise.Process, error) {
	home := filepath.Join(s.Data, filepath.Base(s.Installer().Keycloak()))
	if !stack.Exists(home) {
		if err := s.copyTree(ctx, s.Installer().Keycloak(), home); err != nil {
			return supervise.Process{}, err
		}
	}
	deploy := filepath.Join(s.Root, "deploy", "keycloak")
	realm, err := os.ReadFile(filepath.Join(deploy, "realm.json"))
	if err != nil {
		return supervise.Process{}, err
	}
	// Keycloak fills the realm's ${NAMES} in itself, from its environment.
	imports := filepath.Join(home, "data", "import")
	if err := stack.WriteFile(filepath.Join(imports, "stampede-realm.json"), string(realm), 0o600); err != nil {
		return supervise.Process{}, err
	}
	named := map[string]bool{}
	for _, m := range stack.Variable.FindAllStringSubmatch(string(realm), -1) {
		named[m[1]] = true
	}
	if themes := filepath.Join(deploy, "themes"); stack.Exists(themes) {
		if _, err := render(themes, filepath.Join(home, "themes"), nil); err != nil {
			return supervise.Process{}, err
		}
	}
	database, err := url.Parse(s.Settings.Get("KEYCLOAK_DATABASE_URL"))
	if err != nil {
		return supervise.Process{}, fmt.Errorf("KEYCLOAK_DATABASE_URL: %w", err)
	}
	password, _ := database.User.Password()
	return supervise.Process{
		Dir: home,
		Args: []string{
			filepath.Join(home, "bin", "kc.sh"), "start", "--optimized", "--import-realm", "--cache=local",
			"--http-enabled=true", "--http-host=127.0.0.1", "--http-port=" + strconv.Itoa(s.Port(stack.PortKeycloak)),
			"--http-management-port=" + strconv.Itoa(s.Port(stack.PortKeycloakManagement)),
			"--hostname=" + s.Settings.Get("PUBLIC_URL"), "--hostname-admin=" + s.Settings.Get("KEYCLOAK_URL"), "--proxy-headers=xforwarded",
			"--db-url=jdbc:postgresql://" + database.Host + database.Path, "--db-username=" + database.User.Username(),
			"--db-pool-initial-size=1", "--db-pool-max-size=20", "--log-level=warn",
		},
		Env: slices.Concat(stack.Environment(), s.Settings.Env(func(key string) bool { return named[key] }), []string{
			"KC_DB_PASSWORD=" + password,
			"KC_BOOTSTRAP_ADMIN_USERNAME=admin",
			"KC_BOOTSTRAP_ADMIN_PASSWORD=" + s.Settings.Get("KEYCLOAK_ADMIN_PASSWORD"),
			"JAVA_OPTS_KC_HEAP=-Xms64m -Xmx384m",
			// The last one: without it each connection that PostgreSQL's end has broken
			// fails a login, one after the other.
			"JAVA_OPTS_APPEND=-XX:+UseSerialGC -XX:-UseG1GC -Xss512k -XX:ReservedCodeCacheSize=96m -Dquarkus.datasource.jdbc.validate-on-borrow=true",
		}),
		Patience: 10 * time.Second, Stage: stack.StageInfra,
		Health: "http://" + s.At(stack.PortKeycloakManagement) + "/health/ready", Stamp: supervise.Digest(string(realm)),
	}, nil
}

// nginx returns the front, with its configuration rendered from deploy/nginx
// and, where pictures come from, one folder of deploy/media.
func (s *shop) nginx(ctx context.Context, list []stack.App) (supervise.Process, error) {
	if err := s.writeStatic(); err != nil {
		return supervise.Process{}, err
	}
	dir := filepath.Join(s.Data, "nginx")
	values := map[string]string{
		"RUN_DIR": dir, "NGINX_USER": "www-data",
		"LISTEN_FRONT": s.At(stack.PortFront), "LISTEN_GATEWAY": s.At(stack.PortGateway), "LISTEN_KEYS": s.At(stack.PortKeys),
		"KEYCLOAK": s.At(stack.PortKeycloak),
	}
	for key, value := range s.Settings.All() {
		if values[key] == "" {
			values[key] = value
		}
	}
	for _, address := range strings.Fields(s.Settings.Get("GATEWAY")) {
		values["GATEWAY_SERVERS"] += "server " + address + "; "
	}
	for _, a := range list {
		if a.Edge() {
			values[a.EnvName()] = "127.0.0.1:" + strconv.Itoa(a.HTTPPort)
		}
	}
	media, pictures, err := s.media()
	if err != nil {
		return supervise.Process{}, err
	}
	maps.Copy(values, pictures)
	rendered := ""
	for _, from := range []string{"nginx", filepath.Join("media", media)} {
		stamp, err := render(filepath.Join(s.Root, "deploy", from), dir, values)
		if err != nil {
			return supervise.Process{}, err
		}
		rendered = supervise.Digest(rendered + stamp)
	}
	args := []string{"/usr/sbin/nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr"}
	// A mistake in the configuration is better found while the old one runs.
	if err := supervise.Run(ctx, s.LogFile("nginx-test"), exec.CommandContext(ctx, args[0], append(args[1:], "-t")...)); err != nil {
		return supervise.Process{}, err
	}
	return supervise.Process{
		Dir: dir, Env: stack.Environment(), Args: args,
		Signal: syscall.SIGQUIT, Patience: 3 * time.Second, Stage: stack.StageFront, // SIGQUIT: requests in flight end
		Health: "tcp:" + s.At(stack.PortFront), Stamp: rendered,
	}, nil
}

// render copies a folder. Files ending in .template lose that ending and get
// every ${NAME} in them replaced; a name without a value is an error. It
// returns a text that changes with what was written.
func render(from, to string, values map[string]string) (stamp string, err error) {
	err = filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".md") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		name, isTemplate := strings.CutSuffix(name, ".template")
		if isTemplate {
			if text, err = fill(text, values); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		stamp = supervise.Digest(stamp + name + string(text))
		target := filepath.Join(to, name)
		if old, err := os.ReadFile(target); err == nil && string(old) == string(text) {
			return nil
		}
		return stack.WriteFile(target, string(text), 0o644)
	})
	return stamp, err
}

func fill(text []byte, values map[string]string) ([]byte, error) {
	var missing []string
	filled := stack.Variable.ReplaceAllFunc(text, func(name []byte) []byte {
		value, ok := values[string(name[2:len(name)-1])]
		if !ok && !slices.Contains(missing, string(name)) {
			missing = append(missing, string(name))
		}
		return []byte(value)
	})
	if len(missing) > 0 {
		return nil, fmt.Errorf("no value for %s", progress.List(missing))
	}
	return filled, nil
}

// copyTree copies a folder by hard links where it can, so that a stack's own
// Keycloak costs no disk.
func (s *shop) copyTree(ctx context.Context, from, to string) error {
	partial := to + ".partial"
	for _, how := range []string{"-al", "-a"} {
		if err := os.RemoveAll(partial); err != nil {
			return err
		}
		err := supervise.Run(ctx, s.LogFile("copy"), exec.CommandContext(ctx, "cp", how, from, partial))
		if err == nil {
			return os.Rename(partial, to)
		}
		if how == "-a" {
			return errors.Join(err, os.RemoveAll(partial))
		}
	}
	return nil
}
