// Package outbox publishes events that were saved in the transaction which
// caused them: a table, and a relay that empties it into the broker.
package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/pg"
)

// Event is a fact to publish. Topic is also the CloudEvent's type, for
// instance "order.placed.v1".
type Event interface{ Topic() string }

// Secret is implemented by events whose data must not stay in the table once
// they are sent.
type Secret interface{ Secret() bool }

const (
	channel  = "outbox"
	batch    = 100
	parallel = 8
	lease    = 30 * time.Second // longer than publishing one batch may take
	keepSent = 24 * time.Hour
)

// Put saves an event in tx, to be published once tx is committed. Its row id,
// a UUIDv7, is the CloudEvent's id; the trace of ctx goes with it.
func Put(ctx context.Context, tx pgx.Tx, e Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("outbox %s: %w", e.Topic(), err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	carrier := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carrier)
	secret := false
	if s, ok := e.(Secret); ok {
		secret = s.Secret()
	}
	_, err = tx.Exec(ctx, `
		WITH put AS (INSERT INTO outbox (id, topic, data, traceparent, secret) VALUES ($1, $2, $3, $4, $5))
		SELECT pg_notify('outbox', '')`,
		id, e.Topic(), data, carrier["traceparent"], secret)
	if err != nil {
		return fmt.Errorf("outbox %s: %w", e.Topic(), err)
	}
	return nil
}

// Relay publishes what is in the table of one service.
type Relay struct {
	DB     *pgxpool.Pool
	Dapr   *dapr.Client
	Pubsub string // the component's name
	Source string // the service's name
	Log    *slog.Logger
}

type row struct {
	ID          uuid.UUID
	Topic       string
	Data        json.RawMessage
	Traceparent string
	Tries       int
}

// Run publishes until ctx ends: woken by NOTIFY, else every second. Several
// instances share the work by leases; no transaction is open while
// publishing. An event may be published twice after a crash, never lost.
func (r *Relay) Run(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	go pg.Listen(ctx, r.DB, channel, func(string) {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for {
			n, err := r.once(ctx)
			if err != nil && ctx.Err() == nil {
				r.Log.ErrorContext(ctx, "outbox", "error", err)
			}
			if n < batch || err != nil {
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-tick.C:
		}
	}
}

// once claims a batch, publishes it and writes down what became of it.
func (r *Relay) once(ctx context.Context) (int, error) {
	rows, err := r.DB.Query(ctx, `
		UPDATE outbox SET next_try_at = now() + $2::interval, tries = tries + 1
		WHERE id IN (SELECT id FROM outbox WHERE sent_at IS NULL AND next_try_at <= now()
		             ORDER BY next_try_at, id LIMIT $1 FOR UPDATE SKIP LOCKED)
		RETURNING id, topic, data, traceparent, tries`, batch, lease)
	if err != nil {
		return 0, fmt.Errorf("claim: %w", err)
	}
	claimed, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
	if err != nil {
		return 0, fmt.Errorf("claim: %w", err)
	}
	group := errgroup.Group{}
	group.SetLimit(parallel)
	for _, e := range claimed {
		group.Go(func() error { return r.publish(ctx, e) })
	}
	return len(claimed), group.Wait()
}

func (r *Relay) publish(ctx context.Context, e row) error {
	pubCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := r.Dapr.Publish(pubCtx, r.Pubsub, e.Topic, e.ID.String(), r.Source, e.Traceparent, e.Data)
	// What happened is written down even while the service is stopping.
	noteCtx, cancelNote := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancelNote()
	if err != nil {
		backoff := min(time.Second<<min(e.Tries, 5), 30*time.Second)
		_, noteErr := r.DB.Exec(noteCtx, `UPDATE outbox SET next_try_at = now() + $2::interval, last_error = $3 WHERE id = $1`,
			e.ID, backoff, err.Error())
		return errors.Join(err, noteErr)
	}
	_, err = r.DB.Exec(noteCtx, `
		UPDATE outbox SET sent_at = now(), last_error = NULL, data = CASE WHEN secret THEN '{}' ELSE data END
		WHERE id = $1`, e.ID)
	if err != nil {
		return fmt.Errorf("mark sent: %w", err)
	}
	return nil
}

// Prune removes rows that were sent a day ago.
func (r *Relay) Prune(ctx context.Context) error {
	_, err := r.DB.Exec(ctx, `DELETE FROM outbox WHERE sent_at < now() - $1::interval`, keepSent)
	return err
}

// Lag is the age of the oldest row that has not been sent, in seconds: the
// metric outbox_lag_seconds.
func Lag(ctx context.Context, db pg.Querier) (float64, error) {
	var lag float64
	err := db.QueryRow(ctx, `SELECT COALESCE(EXTRACT(EPOCH FROM now() - min(created_at)), 0)::float8 FROM outbox WHERE sent_at IS NULL`).Scan(&lag)
	return lag, err
}
