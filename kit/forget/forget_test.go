package forget_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/sub"
)

// parcel is an event about an account, and perhaps an order of it.
type parcel struct {
	Account uuid.UUID  `json:"account_id"`
	Order   *uuid.UUID `json:"order_id,omitempty"`
	To      string     `json:"to"`
}

func (parcel) Topic() string { return "parcel.lost.v1" }

var none = fstest.MapFS{"migrations/00001_none.sql": {
	Data: []byte("-- +goose Up\nCREATE TABLE parcels (id uuid PRIMARY KEY, recipient text NOT NULL);\n"),
}}

// office handles no parcel.
func office(t *testing.T) (*serve.Runtime, *pgxpool.Pool) {
	t.Helper()
	rt, db := servetest.NewTest(t, "mail", none) // whom auth tells what it missed
	sub.On(rt.Subs, func(context.Context, pgx.Tx, parcel) error { return fmt.Errorf("no such street: %w", sub.Drop) })
	return rt, db
}

// bury makes a dead letter of a parcel.
func bury(t *testing.T, rt *serve.Runtime, db *pgxpool.Pool, p parcel) {
	t.Helper()
	data, err := json.Marshal(p)
	require.NoError(t, err)
	told := []outbox.Published{{ID: uuid.New(), Topic: p.Topic(), Data: data}}
	servetest.Neighbour(t, rt, "auth", "GET /internal/events", servetest.Feed(&told))
	_, err = db.Exec(t.Context(), `DELETE FROM feed_positions`)
	require.NoError(t, err)
	require.NoError(t, rt.Subs.Missed("auth", time.Minute)(t.Context()))
}

func count(t *testing.T, db *pgxpool.Pool, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
	return n
}

func note(t *testing.T, db *pgxpool.Pool, ids ...uuid.UUID) {
	t.Helper()
	require.NoError(t, pg.InTx(t.Context(), db, func(tx pgx.Tx) error { return forget.Note(t.Context(), tx, ids...) }))
}

// TestNote: what kit's tables hold of an account goes with it, of an order with the order, and what dies later is not buried.
func TestNote(t *testing.T) {
	t.Parallel()
	rt, db := office(t)
	account, order := uuid.New(), uuid.New()
	bury(t, rt, db, parcel{account, nil, "Ada"})
	bury(t, rt, db, parcel{account, &order, "Ada"})
	bury(t, rt, db, parcel{uuid.New(), nil, "Bob"})
	require.Equal(t, 3, count(t, db, "dead_letters"))
	for i, item := range []any{
		map[string]any{"order_id": order, "to": "Ada"},
		map[string]any{"data": parcel{account, nil, "Ada"}},
		map[string]any{"data": parcel{account, &order, "Ada"}},
	} {
		_, err := db.Exec(t.Context(), `
			INSERT INTO feed_failures (name, item, item_hash, error, next_try_at) VALUES ('x', $1, $2, '', now())`, item, []byte{byte(i)})
		require.NoError(t, err)
	}
	for i, answer := range []any{map[string]any{"order_id": order, "to": "Ada"}, map[string]any{"sku": "TEE"}, nil} {
		_, err := db.Exec(t.Context(), `
			INSERT INTO idempotency_keys (scope, key, body_hash, status, answer) VALUES ('x', $1, '', 201, COALESCE($2::jsonb, 'null'))`,
			fmt.Sprint(i), answer)
		require.NoError(t, err)
	}

	note(t, db, account)
	require.Equal(t, []int{2, 2, 3}, []int{count(t, db, "dead_letters"), count(t, db, "feed_failures"), count(t, db, "idempotency_keys")},
		"the order may go on")
	note(t, db, order)
	note(t, db, order, account)
	require.Equal(t, []int{1, 1, 2}, []int{count(t, db, "dead_letters"), count(t, db, "feed_failures"), count(t, db, "idempotency_keys")})
	bury(t, rt, db, parcel{account, nil, "Ada"})
	bury(t, rt, db, parcel{account, &order, "Ada"})
	require.Equal(t, 1, count(t, db, "dead_letters"))
	bury(t, rt, db, parcel{uuid.New(), nil, "Bob"})
	require.Equal(t, 2, count(t, db, "dead_letters"), "others die as ever")
}

// TestAgain: what was noted is deleted again, with growing waits, until nothing can come any more; by one instance at a time.
func TestAgain(t *testing.T) {
	t.Parallel()
	_, db := office(t)
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	note(t, db, ids...)
	var seen []uuid.UUID
	again := forget.Again(db, func(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
		seen = append(seen, ids...)
		_, err := tx.Exec(ctx, `DELETE FROM parcels WHERE id = ANY ($1)`, ids)
		return err
	})
	_, err := db.Exec(t.Context(), `INSERT INTO parcels SELECT id, 'Ada' FROM forgotten`)
	require.NoError(t, err)
	require.NoError(t, again(t.Context()))
	require.Empty(t, seen, "a handler may still be at work")

	waits := 0
	for ; waits < 20; waits++ {
		// As long as it waits, and no longer.
		_, err := db.Exec(t.Context(), `
			UPDATE forgotten SET noted_at = noted_at - (again_at - now()), again_at = now() WHERE again_at IS NOT NULL`)
		require.NoError(t, err)
		var left int
		require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM forgotten WHERE again_at IS NOT NULL`).Scan(&left))
		if left == 0 {
			break
		}
		seen = nil
		require.NoError(t, again(t.Context()))
		require.ElementsMatch(t, ids, seen)
		require.Zero(t, count(t, db, "parcels"))
	}
	require.InDelta(t, 6, waits, 2, "few looks in eight days")
	var days float64
	require.NoError(t, db.QueryRow(t.Context(), `SELECT EXTRACT(EPOCH FROM now() - min(noted_at)) / 86400 FROM forgotten`).Scan(&days))
	require.Greater(t, days, 8.0)
	require.Equal(t, 2, count(t, db, "forgotten"), "a late event finds that it is")
}
