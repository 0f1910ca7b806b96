// Command plans loads as much as a shop has after half a year, runs every statement that the services have on it, and
// tells which of them read more rows than a page can be worth (make plans).
//
// Each service's program is asked everything that its OpenAPI document lets one ask for. Its own tests run on the loaded
// database, for what events, workers and changes run, and then each on a copy of a smaller one, as most stop early on what
// another has left; what they say does not count there, since they expect an empty one. PostgreSQL explains all that is run
// (auto_explain). What the source has and nothing ran is named too.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/bench/load"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := start(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "\nerror: %v\n", err)
		os.Exit(1)
	}
}

// options are what the environment may change.
type options struct {
	Rows   int    `env:"PLANS_ROWS" envDefault:"1000000" doc:"How many orders are loaded, and mails; of the ledger ten times as many"`
	Server string `env:"PLANS_SERVER" envDefault:"" doc:"A server to use, with its databases as they are: a superuser's address"`
	Only   string `env:"PLANS_ONLY" envDefault:"" doc:"The one service to look at"`
	Tests  bool   `env:"PLANS_TESTS" envDefault:"true" doc:"Whether the services' tests run, or their API is asked alone"`
}

// kitTests are the packages of kit whose tests run statements; on orders' database.
var kitTests = []string{"./kit/feed", "./kit/idempotency", "./kit/outbox", "./kit/sub"}

// sources are the folders of kit that have statements.
var sources = []string{"kit/feed", "kit/idempotency", "kit/keyset", "kit/outbox", "kit/serve", "kit/sub"}

func start(ctx context.Context) error {
	set, err := settings.Read[options](settings.Environment(), "")
	if err != nil {
		return err
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	services, err := withDatabase(root)
	if err != nil {
		return err
	}
	if set.Only != "" {
		services = slices.DeleteFunc(services, func(s string) bool { return s != set.Only })
	}
	work := filepath.Join(root, ".run-plans")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	s := &session{root: root, work: work, out: os.Stdout, began: time.Now()}
	if s.server, err = serverAt(set.Server); err != nil {
		return err
	}
	dirs := slices.Clone(sources)
	if set.Only != "" {
		dirs = nil
	}
	for _, service := range services {
		dirs = append(dirs, "apps/"+service)
	}
	all, err := statements(root, dirs...)
	if err != nil {
		return err
	}
	s.book = newBook(all)
	if err := s.fill(ctx, services, set.Rows, ""); err != nil {
		return err
	}
	if err := s.fill(ctx, services, set.Rows/50, small); err != nil {
		return err
	}
	if err := s.explain(ctx); err != nil {
		return err
	}
	var failed []error
	for _, service := range services {
		failed = append(failed, s.look(ctx, service, set.Tests))
	}
	if set.Only == "" && set.Tests {
		s.tests(ctx, "kit", s.shared("orders"), kitTests...)
		s.tests(ctx, "kit-alone", s.copied("orders"), kitTests...)
	}
	return errors.Join(append(failed, s.report(ctx, services, set.Rows, set.Tests))...)
}

// withDatabase lists the services that keep records.
func withDatabase(root string) (names []string, err error) {
	found, err := filepath.Glob(filepath.Join(root, "apps", "*", "migrations"))
	for _, dir := range found {
		names = append(names, filepath.Base(filepath.Dir(dir)))
	}
	return names, err
}

// session is one look at all statements.
type session struct {
	root, work string
	server     string // address, as a superuser
	book       *book
	out        io.Writer
	began      time.Time
	logFile    string
	logEnd     int64
}

func (s *session) say(format string, a ...any) {
	fmt.Fprintf(s.out, "%5.0fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, a...))
}

// serverOptions make PostgreSQL explain what it runs, into a log of JSON.
var serverOptions = []string{
	"-c", "shared_preload_libraries=auto_explain", "-c", "auto_explain.log_analyze=on", "-c", "auto_explain.log_timing=off",
	"-c", "auto_explain.log_buffers=on", "-c", "auto_explain.log_nested_statements=on", "-c", "auto_explain.log_format=json",
	"-c", "logging_collector=on", "-c", "log_destination=jsonlog", "-c", "log_rotation_age=0", "-c", "log_rotation_size=0",
	"-c", "shared_buffers=1GB", "-c", "max_wal_size=8GB", "-c", "effective_cache_size=4GB", "-c", "random_page_cost=1.1",
}

func serverAt(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	return pgtest.Start(serverOptions...)
}

// small ends the names of the databases that tests get copies of.
const small = "_small"

// fill makes, migrates and loads the databases that are not there; their names end in suffix.
func (s *session) fill(ctx context.Context, services []string, rows int, suffix string) error {
	admin, err := pgx.Connect(ctx, s.server)
	if err != nil {
		return err
	}
	defer admin.Close(ctx)
	missing := map[string]string{}
	for _, service := range services {
		name := service + suffix
		url := pgtest.WithDatabase(s.server, name)
		var has bool
		if err := admin.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&has); err != nil {
			return err
		}
		if !has {
			if _, err := admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
				return err
			}
			missing[service] = url
		}
		if err := pg.Migrate(ctx, url, os.DirFS(filepath.Join(s.root, "apps", service))); err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	s.say("loading %d orders", rows)
	if url, ok := missing["drops"]; ok {
		if err := fillDrops(ctx, url, max(100, rows/10), suffix == ""); err != nil {
			return err
		}
	}
	return load.Load(ctx, missing, load.Size{Products: max(100, rows/10, min(rows, 20_000)), Orders: rows, Ledger: 10 * rows, Mails: rows})
}

// explain has the server explain whatever is run from now on.
func (s *session) explain(ctx context.Context) error {
	admin, err := pgx.Connect(ctx, s.server)
	if err != nil {
		return err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, `ALTER SYSTEM SET auto_explain.log_min_duration = 0`); err != nil {
		return err
	}
	if _, err := admin.Exec(ctx, `SELECT pg_reload_conf()`); err != nil {
		return err
	}
	return admin.QueryRow(ctx, `
		SELECT current_setting('data_directory') || '/' || log, (pg_stat_file(log)).size FROM pg_current_logfile('jsonlog') AS log`).
		Scan(&s.logFile, &s.logEnd)
}

// read notes what was run since it was read last.
func (s *session) read() (err error) {
	s.logEnd, err = follow(s.logFile, s.logEnd, s.book.note)
	return err
}

// look runs all that one service runs.
func (s *session) look(ctx context.Context, service string, tests bool) error {
	s.say("%s: its API", service)
	err := s.api(ctx, service)
	if !tests {
		return errors.Join(err, s.read())
	}
	s.say("%s: its tests", service)
	s.tests(ctx, service, s.shared(service), "./apps/"+service)
	s.say("%s: its tests, each alone", service)
	s.tests(ctx, service+"-alone", s.copied(service), "./apps/"+service)
	return errors.Join(err, s.read())
}

// shared has tests run on a service's database.
func (s *session) shared(service string) []string {
	return []string{"TEST_LOADED_URL=" + pgtest.WithDatabase(s.server, service)}
}

// copied has tests run on copies of a service's smaller database.
func (s *session) copied(service string) []string {
	return []string{"TEST_LOADED_TEMPLATE=" + service + small, "TEST_DATABASE_URL=" + s.server}
}

// tests runs tests on what env says. They fail, as it is not empty: that is no matter.
func (s *session) tests(ctx context.Context, name string, env []string, packages ...string) {
	// Some wait on a shared one for what never comes, as there is too much before it.
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1", "-timeout=3m", "-v", "-tags=keycloak"}, packages...)...)
	cmd.Dir = s.root
	cmd.Env = append(append(os.Environ(), "GOWORK=off"), env...)
	out, _ := cmd.CombinedOutput()
	_ = os.WriteFile(filepath.Join(s.work, "tests-"+name+".log"), out, 0o644)
	if err := s.read(); err != nil {
		s.say("%v", err)
	}
}

func (s *session) report(ctx context.Context, services []string, rows int, tests bool) error {
	if err := s.read(); err != nil {
		return err
	}
	var failed []error
	if n := s.book.offenders(s.out); n > 0 {
		failed = append(failed, fmt.Errorf("%d statements read more than a page can be worth", n))
	}
	if never := s.book.never(); len(never) > 0 && tests {
		failed = append(failed, fmt.Errorf("%d statements were never run:\n  %s", len(never), strings.Join(never, "\n  ")))
	}
	unused, err := s.unused(ctx, services)
	if err != nil {
		return err
	}
	text := s.table(rows, unused)
	if err := os.WriteFile(filepath.Join(s.work, "plans.md"), []byte(text), 0o644); err != nil {
		return err
	}
	fmt.Fprint(s.out, text)
	return errors.Join(failed...)
}

// unused lists indexes that nothing read.
func (s *session) unused(ctx context.Context, services []string) (names []string, err error) {
	for _, service := range services {
		conn, err := pgx.Connect(ctx, pgtest.WithDatabase(s.server, service))
		if err != nil {
			return nil, err
		}
		rows, err := conn.Query(ctx, `
			SELECT current_database() || ' ' || relname || ' ' || indexrelname || ' ' || pg_size_pretty(pg_relation_size(indexrelid))
			FROM pg_stat_user_indexes JOIN pg_index USING (indexrelid)
			WHERE idx_scan = 0 AND NOT indisunique AND relname NOT LIKE '%migrations' ORDER BY 1`)
		if err == nil {
			var found []string
			found, err = pgx.CollectRows(rows, pgx.RowTo[string])
			names = append(names, found...)
		}
		if err := errors.Join(err, conn.Close(ctx)); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// table is what was seen, as Markdown: those that read the most.
func (s *session) table(rows int, unused []string) string {
	var b strings.Builder
	groups := s.book.sorted()
	runs := 0
	for _, g := range groups {
		runs += g.runs
	}
	fmt.Fprintf(&b, "\n%d orders: %d statements, run %d times. Those that read the most, each at its worst:\n\n", rows, len(groups), runs)
	b.WriteString("| statement | where | rows read | blocks | ms |\n|---|---|---|---|---|\n")
	for i, g := range groups {
		if i == 60 {
			break
		}
		_, why := allowed(g.statement, g.worst.text)
		if why != "" {
			why = " (" + why + ")"
		}
		fmt.Fprintf(&b, "| `%s` | %s%s | %d | %d | %.1f |\n", strings.ReplaceAll(short(g.statement.text, 110), "|", "\\|"),
			g.statement.at, why,
			g.worst.reads, g.worst.blocks, g.worst.ms)
	}
	fmt.Fprintf(&b, "\nIndexes that nothing read: %s\n", strings.Join(unused, ", "))
	return b.String()
}
