// Package outbox publishes events that were saved in the transaction which
// caused them: a table, and a relay that empties it into the broker.
package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

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
	channel = "outbox"
	slots   = 16 // events of one topic that are being published at a time; hanging ones hold up no other topic
	keep    = 24 * time.Hour

	// What is claimed is published at once, so the lease covers all that an
	// attempt may take: no other begins while it runs.
	lease        = 30 * time.Second
	claimLimit   = 5 * time.Second
	publishLimit = 10 * time.Second
	noteLimit    = 5 * time.Second
)

// Put saves an event in tx, to be published once tx is committed. Its row id,
// a UUIDv7, begins the CloudEvent's id; the trace of ctx goes with it.
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

	mu      sync.Mutex
	running map[string]int // by topic
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
	poke := func() {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	go pg.Listen(ctx, r.DB, channel, func(string) { poke() })
	var publishing sync.WaitGroup
	defer publishing.Wait()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		claimed, err := r.claim(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.ErrorContext(ctx, "outbox", "error", err)
		}
		for _, e := range claimed {
			r.count(e.Topic, 1)
			publishing.Go(func() {
				if err := r.publish(ctx, e); err != nil && ctx.Err() == nil {
					r.Log.ErrorContext(ctx, "outbox", "topic", e.Topic, "event", e.ID, "error", err)
				}
				// Claiming some at a time costs less than one for one.
				if r.count(e.Topic, -1) == slots/2 {
					poke()
				}
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-tick.C:
		}
	}
}

// count notes that n more of a topic are being published and returns how many are.
func (r *Relay) count(topic string, n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		r.running = map[string]int{}
	}
	r.running[topic] += n
	return r.running[topic]
}

// claim leases, of each topic, the oldest events that are due and for which
// there is a slot.
func (r *Relay) claim(ctx context.Context) ([]row, error) {
	ctx, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	r.mu.Lock()
	running := maps.Clone(r.running)
	r.mu.Unlock()
	if running == nil {
		running = map[string]int{}
	}
	// The topics are found by skipping through outbox_due, one step each.
	rows, err := r.DB.Query(ctx, `
		WITH RECURSIVE topics AS (
			(SELECT topic FROM outbox WHERE sent_at IS NULL ORDER BY topic LIMIT 1)
			UNION ALL
			SELECT (SELECT topic FROM outbox WHERE sent_at IS NULL AND topic > t.topic ORDER BY topic LIMIT 1) FROM topics t WHERE t.topic IS NOT NULL
		), due AS (
			SELECT d.id FROM topics t CROSS JOIN LATERAL (
				SELECT id FROM outbox WHERE sent_at IS NULL AND topic = t.topic AND next_try_at <= now()
				ORDER BY next_try_at, id LIMIT GREATEST($1 - COALESCE(($2::jsonb ->> t.topic)::int, 0), 0) FOR UPDATE SKIP LOCKED) d
		)
		UPDATE outbox o SET next_try_at = now() + $3::interval, tries = o.tries + 1 FROM due WHERE o.id = due.id
		RETURNING o.id, o.topic, o.data, o.traceparent, o.tries`, slots, running, lease)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	claimed, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return claimed, nil
}

// publish is one attempt, and writes down what became of it. Its CloudEvent's
// id is its own, "<row id>.<try>": daprd loses one of two deliveries that are
// under way on a stream under the same id, and with it a slot of the broker's.
// Consumers (kit/sub) go by the row's.
func (r *Relay) publish(ctx context.Context, e row) error {
	pubCtx, cancel := context.WithTimeout(ctx, publishLimit)
	defer cancel()
	err := r.Dapr.Publish(pubCtx, r.Pubsub, e.Topic, fmt.Sprintf("%s.%d", e.ID, e.Tries), r.Source, e.Traceparent, e.Data)
	// What happened is written down even while the service is stopping.
	noteCtx, cancelNote := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
	defer cancelNote()
	if err != nil {
		backoff := min(time.Second<<min(e.Tries, 5), 30*time.Second)
		_, noteErr := r.DB.Exec(noteCtx, `UPDATE outbox SET next_try_at = now() + $2::interval, last_error = $3 WHERE id = $1 AND sent_at IS NULL AND tries = $4`,
			e.ID, backoff, err.Error(), e.Tries)
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
	return pg.Prune(ctx, r.DB, `DELETE FROM outbox WHERE id IN (
		SELECT id FROM outbox WHERE sent_at < now() - $2::interval ORDER BY sent_at LIMIT $1)`, keep)
}

// Lag is the age of the oldest row that has not been sent, in seconds: the
// metric outbox_lag_seconds.
func Lag(ctx context.Context, db pg.Querier) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	var lag float64
	err := db.QueryRow(ctx, `SELECT COALESCE(EXTRACT(EPOCH FROM now() - min(created_at)), 0)::float8 FROM outbox WHERE sent_at IS NULL`).Scan(&lag)
	return lag, err
}
