package outbox

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

type code struct {
	Code string `json:"code"`
}

func (code) Topic() string { return "code.issued.v1" }
func (code) Secret() bool  { return true }

func TestPutIsPartOfTheTransaction(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	ctx := t.Context()
	broken := errors.New("broken")
	require.ErrorIs(t, pg.InTx(ctx, db, func(tx pgx.Tx) error {
		require.NoError(t, Put(ctx, tx, code{"123456"}))
		return broken
	}), broken)
	lag, err := Lag(ctx, db)
	require.NoError(t, err)
	require.Zero(t, lag)

	require.NoError(t, pg.InTx(ctx, db, func(tx pgx.Tx) error { return Put(ctx, tx, code{"123456"}) }))
	var topic string
	var secret bool
	require.NoError(t, db.QueryRow(ctx, `SELECT topic, secret FROM outbox`).Scan(&topic, &secret))
	require.Equal(t, "code.issued.v1", topic)
	require.True(t, secret)
}

// TestBrokerAway: nothing is lost or marked while nobody takes the events, and
// the next try waits.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	sidecar, err := dapr.New() // none runs at its port
	require.NoError(t, err)
	defer sidecar.Close()
	require.NoError(t, pg.InTx(ctx, db, func(tx pgx.Tx) error { return Put(ctx, tx, code{"123456"}) }))
	relay := &Relay{DB: db, Dapr: sidecar, Pubsub: "pubsub", Source: "test", Log: slog.New(slog.DiscardHandler)}
	n, err := relay.once(ctx)
	require.Error(t, err)
	require.Equal(t, 1, n)
	var kept, waits bool
	var tries int
	require.NoError(t, db.QueryRow(ctx, `
		SELECT sent_at IS NULL AND data ->> 'code' = '123456' AND last_error <> '', next_try_at > now(), tries FROM outbox`).Scan(&kept, &waits, &tries))
	require.True(t, kept)
	require.True(t, waits)
	require.Equal(t, 1, tries)
	n, err = relay.once(ctx)
	require.NoError(t, err)
	require.Zero(t, n, "not due yet")
}
