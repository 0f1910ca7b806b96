// Package pg opens PostgreSQL for a service: pool, migrations, transactions
// and notifications.
package pg

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/stampede-shop/stampede/kit/pause"
)

//go:embed migrations/*.sql
var kitMigrations embed.FS

// Querier is what reads and writes: the pool or a transaction.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Connections is how many connections of its pool an instance takes at most,
// unless its settings say otherwise. Those that listen come on top (Listen).
const Connections = 12

// Open connects to url by at most so many connections and checks that the server
// answers. Every statement is traced, and ends within answerLimit whatever its
// context says.
func Open(ctx context.Context, url string, connections int) (*pgxpool.Pool, error) {
	return open(ctx, url, connections, answerLimit)
}

func open(ctx context.Context, url string, connections int, answer time.Duration) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database url: %w", err)
	}
	cfg.MaxConns = int32(max(4, connections)) // whoever waits for one may hold another (Alone)
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.PingTimeout = pingTimeout
	cfg.ConnConfig.Tracer = newTracer(answer)
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	limit(cfg, answer)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	return pool, nil
}

// Migrate brings the database up to date: kit's tables first (outbox, inbox,
// dead_letters, idempotency_keys), then the service's own folder
// "migrations" in files, which may be nil. Forward only; instances that start
// together take turns by goose's session lock.
func Migrate(ctx context.Context, url string, files fs.FS) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("database url: %w", err)
	}
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	unlock, err := lock(ctx, db)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer unlock()
	if err := migrate(ctx, db, "kit_migrations", kitMigrations); err != nil {
		return err
	}
	if files == nil {
		return nil
	}
	return migrate(ctx, db, "migrations", files)
}

// lock lets one instance migrate at a time.
func lock(ctx context.Context, db *sql.DB) (func(), error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	const key = 7310971 // any number, the same in every instance
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", key); err != nil {
		conn.Close()
		return nil, err
	}
	return func() {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", key)
		conn.Close()
	}, nil
}

func migrate(ctx context.Context, db *sql.DB, table string, files fs.FS) error {
	dir, err := fs.Sub(files, "migrations")
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	store, err := database.NewStore(database.DialectPostgres, table)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	p, err := goose.NewProvider("", db, dir, goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// InTx runs fn in one transaction and commits it unless fn returns an error.
// Serialization failures and deadlocks run fn again, up to three times in
// all, so fn must not do anything outside the database; what has to follow the
// commit is given to OnEnd.
func InTx(ctx context.Context, db *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	var err error
	for range 3 {
		err = inTx(ctx, db, fn)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || (pgErr.Code != "40001" && pgErr.Code != "40P01") {
			return err
		}
	}
	return err
}

func inTx(ctx context.Context, db *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	t, committed := &transaction{db: db}, false
	defer func() { t.end(committed) }() // also when fn panics
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		t.Tx = tx
		return fn(t)
	})
	committed = err == nil
	return err
}

// transaction is what InTx runs, or a part of it, and what follows its end.
type transaction struct {
	pgx.Tx
	db    any          // the pool, for comparing it
	outer *transaction // of a part, a savepoint
	after []func(committed bool)
}

// Begin implements pgx.Tx: a part that can be undone alone.
func (t *transaction) Begin(ctx context.Context) (pgx.Tx, error) {
	inner, err := t.Tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &transaction{Tx: inner, db: t.db, outer: t}, nil
}

// Commit implements pgx.Tx. What is to follow a part follows the whole.
func (t *transaction) Commit(ctx context.Context) error {
	err := t.Tx.Commit(ctx)
	if t.outer != nil && err == nil {
		t.outer.after = append(t.outer.after, t.after...)
		t.after = nil
	}
	return err
}

// Rollback implements pgx.Tx.
func (t *transaction) Rollback(ctx context.Context) error {
	err := t.Tx.Rollback(ctx)
	t.end(false)
	return err
}

func (t *transaction) end(committed bool) {
	for _, fn := range t.after {
		fn(committed)
	}
	t.after = nil
}

// OnEnd calls fn once the transaction that InTx began has ended: after its
// commit, or with false when there was none, or no answer to it.
func OnEnd(tx pgx.Tx, fn func(committed bool)) {
	t := tx.(*transaction)
	t.after = append(t.after, fn)
}

// DatabaseOf tells one pool, in which InTx began tx, from another. It is not to
// be used within tx.
func DatabaseOf(tx pgx.Tx) any { return tx.(*transaction).db }

// OneByOne lets transactions about one thing come one after the other, also when
// it has no row that could be locked.
func OneByOne(ctx context.Context, tx pgx.Tx, thing string) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, thing); err != nil {
		return fmt.Errorf("one by one: %w", err)
	}
	return nil
}

// Alone runs fn unless another instance is just running what has that name: for
// work that finds what is to do by itself, and would do it twice side by side.
// The lock ends with the instance.
func Alone(ctx context.Context, db *pgxpool.Pool, name string, fn func(ctx context.Context) error) error {
	conn, err := db.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("alone: %w", err)
	}
	defer conn.Release()
	var mine bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended('alone ' || $1, 0))`, name).Scan(&mine); err != nil || !mine {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialTimeout)
		defer cancel()
		if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock(hashtextextended('alone ' || $1, 0))`, name); err != nil {
			_ = conn.Conn().Close(ctx) // and the lock with it
		}
	}()
	return fn(ctx)
}

// Prune runs a DELETE of at most $1 rows, or an UPDATE after which they are no
// longer found, until no more are left; args are $2 and on. A statement for all
// would reach statementTimeout after a busy day, and then every time.
func Prune(ctx context.Context, db *pgxpool.Pool, sql string, args ...any) error {
	const atOnce = 5000
	for {
		limited, cancel := context.WithTimeout(ctx, statementTimeout)
		tag, err := db.Exec(limited, sql, append([]any{atOnce}, args...)...)
		cancel()
		if err != nil {
			return fmt.Errorf("prune: %w", err)
		}
		if tag.RowsAffected() < atOnce {
			return nil
		}
	}
}

// CountLimit is how far figures count: where there are more, they say so many. It keeps what is asked every few seconds
// from growing with what there is, and is far above what people can see to one by one.
const CountLimit = 10_000

// Counts reads rows of a name and a number, as of GROUP BY. Those of which there
// are none are left out.
func Counts(ctx context.Context, db Querier, sql string, args ...any) (map[string]int, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	counts := map[string]int{}
	var (
		name string
		n    int
	)
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		if n > 0 {
			counts[name] = n
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("count: %w", err)
	}
	return counts, nil
}

// Column lists one member of each row, as an argument of unnest.
func Column[R, V any](rows []R, of func(R) V) []V {
	values := make([]V, 0, len(rows))
	for _, r := range rows {
		values = append(values, of(r))
	}
	return values
}

// IsUnique reports whether err is a violation of the named unique constraint
// or index; any of them when constraint is empty.
func IsUnique(err error, constraint string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "23505" && (constraint == "" || pgErr.ConstraintName == constraint)
}

// Begins is the pattern for LIKE of texts that begin with s, whatever s is.
func Begins(s string) string { return likeEscape.Replace(s) + "%" }

// Contains is the pattern for LIKE of texts that contain s anywhere.
func Contains(s string) string { return "%" + likeEscape.Replace(s) + "%" }

var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// Listen calls fn with the payload of every notification on channel until ctx
// ends, over a connection of its own. After each (re)connection it calls fn
// with an empty payload, because notifications may have been missed. It
// blocks: run it in a goroutine.
func Listen(ctx context.Context, db *pgxpool.Pool, channel string, fn func(payload string)) {
	for ctx.Err() == nil {
		if err := listen(ctx, db, channel, fn); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "listen", "channel", channel, "error", err)
			pause.For(ctx, time.Second)
		}
	}
}

func listen(ctx context.Context, db *pgxpool.Pool, channel string, fn func(payload string)) error {
	conn, err := pgx.ConnectConfig(ctx, db.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return err
	}
	fn("")
	for {
		// In slices, with a question in between: a peer that is gone without a
		// word would be waited for in silence.
		slice, cancel := context.WithTimeout(ctx, listenSlice)
		n, err := conn.WaitForNotification(slice)
		cancel()
		switch {
		case err == nil:
			fn(n.Payload)
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return err
		default:
			slice, cancel := context.WithTimeout(ctx, dialTimeout)
			err := conn.Ping(slice)
			cancel()
			if err != nil {
				return err
			}
		}
	}
}

// listenSlice is how long Listen waits in silence; shorter than answerLimit.
const listenSlice = 10 * time.Second
