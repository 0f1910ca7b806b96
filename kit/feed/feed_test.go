package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

var migrations = fstest.MapFS{"migrations/00001_feed.sql": {Data: []byte(`-- +goose Up
CREATE TABLE decided (id text PRIMARY KEY, noted_at timestamptz NOT NULL DEFAULT transaction_timestamp());
CREATE TABLE applied (n int PRIMARY KEY, times int NOT NULL DEFAULT 1);
`)}}

type decided struct {
	ID      string
	NotedAt time.Time
}

func read(t *testing.T, db *pgxpool.Pool, cursor string, limit int) (ids []string, next string) {
	t.Helper()
	rows, next, _, err := feed.ReadNow(t.Context(), db, feed.Ask{Cursor: cursor, Since: time.Now().Add(-time.Hour), Limit: limit},
		`SELECT id, noted_at FROM decided WHERE (noted_at, id) > ($1, $2) AND noted_at < $3 ORDER BY noted_at, id LIMIT $4`,
		func(r decided) feed.Place { return feed.Place{At: r.NotedAt, Key: r.ID} })
	require.NoError(t, err)
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids, next
}

// TestOpenTransactionsAreNotPassedOver: what an open transaction has written
// comes when it is committed, though others wrote later and committed before.
func TestOpenTransactionsAreNotPassedOver(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	ctx := t.Context()
	_, err := db.Exec(ctx, `INSERT INTO decided (id) VALUES ('first')`)
	require.NoError(t, err)
	slow, err := db.Begin(ctx)
	require.NoError(t, err)
	_, err = slow.Exec(ctx, `INSERT INTO decided (id) VALUES ('slow')`)
	require.NoError(t, err)
	_, err = db.Exec(ctx, `INSERT INTO decided (id) VALUES ('quick')`)
	require.NoError(t, err)
	ids, cursor := read(t, db, "", 10)
	require.Equal(t, []string{"first"}, ids)
	ids, cursor = read(t, db, cursor, 10)
	require.Empty(t, ids)
	require.NoError(t, slow.Commit(ctx))
	ids, cursor = read(t, db, cursor, 1)
	require.Equal(t, []string{"slow"}, ids)
	ids, _ = read(t, db, cursor, 10)
	require.Equal(t, []string{"quick"}, ids)
}

// source tells n items in pages of two; a cursor is the number of the next.
func source(n int) feed.Source {
	return func(_ context.Context, ask feed.Ask) (page feed.Page[json.RawMessage], err error) {
		at := 0
		if ask.Cursor != "" {
			if _, err := fmt.Sscan(ask.Cursor, &at); err != nil {
				return page, err
			}
		}
		end := min(at+2, n)
		for i := at; i < end; i++ {
			page.Items = append(page.Items, json.RawMessage(fmt.Sprint(i)))
		}
		page.Cursor, page.More = fmt.Sprint(end), end < n
		return page, nil
	}
}

func apply(fails func(n int) error) func(context.Context, pgx.Tx, int) error {
	return func(ctx context.Context, tx pgx.Tx, n int) error {
		if _, err := tx.Exec(ctx, `INSERT INTO applied (n) VALUES ($1) ON CONFLICT (n) DO UPDATE SET times = applied.times + 1`, n); err != nil {
			return err
		}
		return fails(n)
	}
}

func count(t *testing.T, db *pgxpool.Pool, what string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM `+what).Scan(&n))
	return n
}

// TestPastWhatFails: an item that cannot be applied holds up no other, is tried
// again, and is done once when it can.
func TestPastWhatFails(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	var works atomic.Bool
	pull := feed.Pull[int]{Name: "test", DB: db, Log: slog.New(slog.DiscardHandler), Source: source(7), Apply: apply(func(n int) error {
		if n == 2 && !works.Load() {
			return errors.New("not now")
		}
		return nil
	})}
	require.NoError(t, pull.Run(t.Context()))
	require.Equal(t, 6, count(t, db, `applied WHERE times = 1`))
	require.Equal(t, 1, count(t, db, `feed_failures WHERE item = '2' AND error = 'not now'`))
	works.Store(true)
	require.NoError(t, pull.Run(t.Context()))
	require.Equal(t, 6, count(t, db, `applied`), "not due")
	_, err := db.Exec(t.Context(), `UPDATE feed_failures SET next_try_at = now()`)
	require.NoError(t, err)
	require.NoError(t, pull.Run(t.Context()))
	require.Equal(t, 7, count(t, db, `applied WHERE times = 1`))
	require.Zero(t, count(t, db, `feed_failures`))
}

// TestOneReadsAtATime: of two instances one reads; a lease of one that died
// ends by itself.
func TestOneReadsAtATime(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	reading, goOn := make(chan struct{}), make(chan struct{})
	first := feed.Pull[int]{Name: "test", DB: db, Log: slog.New(slog.DiscardHandler), Apply: apply(func(int) error { return nil }),
		Source: func(ctx context.Context, ask feed.Ask) (feed.Page[json.RawMessage], error) {
			close(reading)
			<-goOn
			return source(2)(ctx, ask)
		}}
	done := make(chan error, 1)
	go func() { done <- first.Run(t.Context()) }()
	<-reading
	second := first
	var asked atomic.Int32
	second.Source = func(ctx context.Context, ask feed.Ask) (feed.Page[json.RawMessage], error) {
		asked.Add(1)
		return source(2)(ctx, ask)
	}
	require.NoError(t, second.Run(t.Context()))
	require.Zero(t, asked.Load(), "the first has the lease")
	_, err := db.Exec(t.Context(), `UPDATE feed_positions SET leased_until = now()`)
	require.NoError(t, err)
	require.NoError(t, second.Run(t.Context()))
	require.Equal(t, int32(1), asked.Load())
	close(goOn)
	require.NoError(t, <-done)
	require.Equal(t, 2, count(t, db, `applied`))
}

// TestAtLeastASecondBehind: what is younger is not read yet, whoever asks.
func TestAtLeastASecondBehind(t *testing.T) {
	t.Parallel()
	tx, err := pgtest.New(t, migrations).Begin(t.Context()) // in which now() stands still
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	_, err = tx.Exec(t.Context(), `INSERT INTO decided (id, noted_at) VALUES ('old', now() - interval '1.1 s'), ('young', now() - interval '0.9 s')`)
	require.NoError(t, err)
	rows, _, _, err := feed.Read(t.Context(), tx, feed.Ask{Limit: 10},
		`SELECT id, noted_at FROM decided WHERE (noted_at, id) > ($1, $2) AND noted_at < $3 ORDER BY noted_at, id LIMIT $4`,
		func(r decided) feed.Place { return feed.Place{At: r.NotedAt, Key: r.ID} })
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, "old", rows[0].ID)
}

// TestAlone: each item has a transaction of its own from the first, so one
// that fails is no reason to try the others twice.
func TestAlone(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	tries, transactions := map[int]int{}, map[string]bool{}
	pull := feed.Pull[int]{Name: "test", DB: db, Log: slog.New(slog.DiscardHandler), Source: source(4), Alone: true,
		Apply: func(ctx context.Context, tx pgx.Tx, n int) error {
			tries[n]++
			var id string
			if err := tx.QueryRow(ctx, `SELECT pg_current_xact_id()::text`).Scan(&id); err != nil {
				return err
			}
			transactions[id] = true
			return apply(func(n int) error {
				if n == 1 {
					return errors.New("not now")
				}
				return nil
			})(ctx, tx, n)
		}}
	require.NoError(t, pull.Run(t.Context()))
	require.Equal(t, map[int]int{0: 1, 1: 1, 2: 1, 3: 1}, tries)
	require.Len(t, transactions, 4)
	require.Equal(t, 3, count(t, db, `applied`))
	require.Equal(t, 1, count(t, db, `feed_failures WHERE item = '1'`))
}

// TestLeaseLasts: items that take long do not outlive the lease, neither those
// of a page nor those that are tried again; one whose lease was lost stops.
func TestLeaseLasts(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	ctx := t.Context()
	renewed := map[int]bool{}
	stolenAt := -1
	pull := feed.Pull[int]{Name: "test", DB: db, Log: slog.New(slog.DiscardHandler), Source: source(2), Alone: true,
		Apply: func(ctx context.Context, _ pgx.Tx, n int) error {
			renewed[n] = count(t, db, `feed_positions WHERE leased_until > '2001-01-01'`) == 1
			_, err := db.Exec(ctx, `UPDATE feed_positions SET leased_until = '2000-01-01'`)
			if n == stolenAt {
				_, err = db.Exec(ctx, `UPDATE feed_positions SET holder = gen_random_uuid(), leased_until = now() + interval '1 hour'`)
			}
			return err
		}}.WithLease(time.Microsecond) // due for renewal at each item
	_, err := db.Exec(ctx, `INSERT INTO feed_failures (name, item, item_hash, error, next_try_at)
		SELECT 'test', to_jsonb(n), convert_to(n::text, 'UTF8'), '', now() FROM generate_series(10, 12) n`)
	require.NoError(t, err)
	require.NoError(t, pull.Run(ctx))
	require.Equal(t, map[int]bool{0: true, 1: true, 10: true, 11: true, 12: true}, renewed)

	renewed, stolenAt = map[int]bool{}, 2
	pull.Source = source(4)
	require.NoError(t, pull.Run(ctx))
	require.Equal(t, map[int]bool{2: true}, renewed, "the other has the rest")
	require.Equal(t, 1, count(t, db, `feed_positions WHERE cursor = '2' AND leased_until > now()`), "and the lease")
}

// dies makes every statement from the nth on fail, as those of an instance
// that was killed before it.
type dies struct{ left atomic.Int32 }

func (d *dies) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if d.left.Add(-1) >= 0 {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

func (*dies) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestKilledBetweenStatements: wherever an instance dies, the position is not
// past what was neither applied nor kept, and the next one does the rest.
func TestKilledBetweenStatements(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	ctx := t.Context()
	for _, alone := range []bool{false, true} {
		for at := int32(0); ; at++ {
			_, err := db.Exec(ctx, `TRUNCATE applied, feed_positions, feed_failures`)
			require.NoError(t, err)
			_, err = db.Exec(ctx, `INSERT INTO feed_failures (name, item, item_hash, error, next_try_at) VALUES ('test', '100', 'x', '', now())`)
			require.NoError(t, err)
			killed := &dies{}
			killed.left.Store(at)
			config := db.Config()
			config.ConnConfig.Tracer = killed
			its, err := pgxpool.NewWithConfig(ctx, config)
			require.NoError(t, err)
			pull := feed.Pull[int]{Name: "test", DB: its, Log: slog.New(slog.DiscardHandler), Source: source(5), Alone: alone,
				Apply: apply(func(n int) error {
					if n == 2 {
						return errors.New("never")
					}
					return nil
				})}
			err = pull.Run(ctx)
			its.Close()
			require.Equal(t, 1, count(t, db, `(SELECT n FROM applied WHERE n = 100 UNION ALL SELECT 100 FROM feed_failures WHERE item = '100') f`), at)
			require.Zero(t, count(t, db, `feed_positions p, generate_series(0, nullif(p.cursor, '')::int - 1) i
				WHERE NOT EXISTS (SELECT FROM applied WHERE n = i) AND NOT EXISTS (SELECT FROM feed_failures WHERE item = to_jsonb(i))`), at)
			if killed.left.Load() >= 0 { // it lived to the end
				require.NoError(t, err)
				break
			}
			_, err = db.Exec(ctx, `UPDATE feed_positions SET leased_until = leased_until - interval '1 minute'`)
			require.NoError(t, err)
			pull.DB = db
			require.NoError(t, pull.Run(ctx), at)
			require.Equal(t, 5, count(t, db, `applied WHERE n <> 2`), at)
			require.Equal(t, 1, count(t, db, `feed_failures`), at)
			require.Equal(t, 1, count(t, db, `feed_positions WHERE cursor = '5' AND leased_until IS NULL`), at)
		}
	}
}

// TestPanics: a panic of what reads or applies ends the run and the lease, and
// moves nothing.
func TestPanics(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	var broken atomic.Bool
	broken.Store(true)
	pull := feed.Pull[int]{Name: "test", DB: db, Log: slog.New(slog.DiscardHandler), Source: source(5), Apply: apply(func(n int) error {
		if n == 3 && broken.Load() {
			panic("at an item")
		}
		return nil
	})}
	require.PanicsWithValue(t, "at an item", func() { _ = pull.Run(t.Context()) })
	require.Equal(t, 2, count(t, db, `applied`))
	require.Equal(t, 1, count(t, db, `feed_positions WHERE cursor = '2' AND leased_until IS NULL`))
	whole := pull.Source
	pull.Source = func(ctx context.Context, ask feed.Ask) (feed.Page[json.RawMessage], error) { panic("at a page") }
	require.PanicsWithValue(t, "at a page", func() { _ = pull.Run(t.Context()) })
	broken.Store(false)
	pull.Source = whole
	require.NoError(t, pull.Run(t.Context()))
	require.Equal(t, 5, count(t, db, `applied WHERE times = 1`))
}

// TestThreeAtOnce: whatever their order, each item is applied once.
func TestThreeAtOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	pull := feed.Pull[int]{Name: "test", DB: db, Log: slog.New(slog.DiscardHandler), Source: source(40), Apply: apply(func(int) error { return nil })}
	begin := make(chan struct{})
	done := make(chan error)
	for range 3 {
		go func() {
			<-begin
			done <- pull.Run(t.Context())
		}()
	}
	close(begin)
	for range 3 {
		require.NoError(t, <-done)
	}
	require.Equal(t, 40, count(t, db, `applied WHERE times = 1`))
}
