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
	rows, next, _, err := feed.Read(t.Context(), db, feed.Ask{Cursor: cursor, Since: time.Now().Add(-time.Hour), Limit: limit},
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
