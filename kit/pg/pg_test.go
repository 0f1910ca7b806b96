package pg_test

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

var migrations = fstest.MapFS{"migrations/00001_t.sql": {Data: []byte("-- +goose Up\nCREATE TABLE t (n int CONSTRAINT one_n UNIQUE);\n")}}

func TestLikePatterns(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	for _, c := range []struct {
		text, s       string
		begins, holds bool
	}{
		{"ada@example.test", "ada@", true, true},
		{"ada@example.test", "example", false, true},
		{"ada@example.test", "a_a", false, false},
		{"a%b", "a%", true, true},
		{"acb", "a%b", false, false},
		{`a\b`, `a\`, true, true},
		{`x'; --`, `'; --`, false, true},
		{"anything", "", true, true},
	} {
		var begins, holds bool
		row := db.QueryRow(t.Context(), `SELECT $1 LIKE $2, $1 LIKE $3`, c.text, pg.Begins(c.s), pg.Contains(c.s))
		require.NoError(t, row.Scan(&begins, &holds))
		require.Equal(t, []bool{c.begins, c.holds}, []bool{begins, holds}, "%s in %s", c.s, c.text)
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	counts, err := pg.Counts(t.Context(), db, `SELECT n::text, count(*) FROM t GROUP BY n`)
	require.NoError(t, err)
	require.Equal(t, map[string]int{}, counts)
	counts, err = pg.Counts(t.Context(), db, `SELECT * FROM (VALUES ('a', 2), ('b', 1)) v`)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"a": 2, "b": 1}, counts)
	_, err = pg.Counts(t.Context(), db, `SELECT NULL::text, 1`)
	require.Error(t, err)
}

// TestAlone: of two instances one does the work, the other goes on without it, and does it when the first has ended.
func TestAlone(t *testing.T) {
	t.Parallel()
	one := pgtest.New(t, migrations)
	two, err := pgxpool.NewWithConfig(t.Context(), one.Config())
	require.NoError(t, err)
	t.Cleanup(two.Close)
	runs := 0
	count := func(context.Context) error { runs++; return nil }
	require.NoError(t, pg.Alone(t.Context(), one, "sweep", func(ctx context.Context) error {
		require.NoError(t, pg.Alone(ctx, two, "sweep", count))
		require.Zero(t, runs, "the first is at it")
		require.NoError(t, pg.Alone(ctx, two, "prune", count))
		require.Equal(t, 1, runs, "other work is not held up")
		return nil
	}))
	require.NoError(t, pg.Alone(t.Context(), two, "sweep", count))
	require.Equal(t, 2, runs)
	failure := errors.New("failed")
	require.ErrorIs(t, pg.Alone(t.Context(), two, "sweep", func(context.Context) error { return failure }), failure)
	require.NoError(t, pg.Alone(t.Context(), one, "sweep", count))
	require.Equal(t, 3, runs, "failing ends it too")
}

func TestInTx(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	ctx := t.Context()

	tries := 0
	err := pg.InTx(ctx, db, func(tx pgx.Tx) error {
		tries++
		if _, err := tx.Exec(ctx, `INSERT INTO t VALUES ($1)`, tries); err != nil {
			return err
		}
		if tries < 3 {
			return &pgconn.PgError{Code: "40P01"} // deadlock detected
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 3, tries)

	err = pg.InTx(ctx, db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO t VALUES (3)`)
		return err
	})
	require.True(t, pg.IsUnique(err, "one_n"))
	require.True(t, pg.IsUnique(err, ""))
	require.False(t, pg.IsUnique(err, "another"))
	require.False(t, pg.IsUnique(errors.New("x"), ""))

	var n int
	require.NoError(t, db.QueryRow(ctx, `SELECT count(*) FROM t`).Scan(&n))
	require.Equal(t, 1, n, "what was tried anew left nothing")
}

// TestEnd: what follows the end of a transaction does so once, whatever became of it.
func TestEnd(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	failure := errors.New("failed")
	for _, c := range []struct {
		name      string
		do        func() error
		committed bool
	}{
		{"done", func() error { return nil }, true},
		{"failed", func() error { return failure }, false},
		{"panic", func() error { panic(failure) }, false},
	} {
		var ends []bool
		func() {
			defer func() { _ = recover() }()
			_ = pg.InTx(t.Context(), db, func(tx pgx.Tx) error {
				pg.OnEnd(tx, func(committed bool) { ends = append(ends, committed) })
				return c.do()
			})
		}()
		require.Equal(t, []bool{c.committed}, ends, c.name)
	}
}

func TestMigrateAgainChangesNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, migrations)
	errs := make(chan error)
	for range 4 { // instances that start together take turns
		go func() { errs <- pg.Migrate(context.WithoutCancel(t.Context()), url, migrations) }()
	}
	for range 4 {
		require.NoError(t, <-errs)
	}
}

func TestListenComesBack(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan string, 100)
	done := make(chan struct{})
	go func() { defer close(done); pg.Listen(ctx, db, "news", func(s string) { heard <- s }) }()
	next := func() string {
		select {
		case s := <-heard:
			return s
		case <-time.After(10 * time.Second):
			t.Fatal("nothing heard")
			return ""
		}
	}
	require.Empty(t, next(), "connected")
	_, err := db.Exec(ctx, `SELECT pg_notify('news', 'first')`)
	require.NoError(t, err)
	require.Equal(t, "first", next())

	// Its connection is cut: it connects again and says so.
	_, err = db.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`)
	require.NoError(t, err)
	require.Empty(t, next(), "connected again")
	_, err = db.Exec(ctx, `SELECT pg_notify('news', 'second')`)
	require.NoError(t, err)
	require.Equal(t, "second", next())
	cancel()
	<-done
}
