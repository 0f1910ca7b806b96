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
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/trace"
)

// Event is a fact to publish. Topic is also the CloudEvent's type, for
// instance "order.placed.v1".
type Event interface{ Topic() string }

// Secret is implemented by events whose data must not stay in the table once
// they are sent.
type Secret interface{ Secret() bool }

const (
	slots = 32 // events of one topic that are being published at a time; hanging ones hold up no other topic
	keep  = 24 * time.Hour

	// What is claimed is published at once, so the lease covers all that an
	// attempt may take: no other begins while it runs.
	lease        = 30 * time.Second
	claimLimit   = 5 * time.Second
	publishLimit = 10 * time.Second
	noteLimit    = 5 * time.Second

	// markEvery is how often what was sent is marked at most. Until then a crash
	// has it sent again, which consumers bear.
	markEvery = 100 * time.Millisecond
)

// From is e in the trace of its own cause: that of ctx is the one of who saves it, with others maybe. Where traceparent is ""
// it stays in that.
func From(traceparent string, e Event) Event {
	if traceparent == "" {
		return e
	}
	return caused{e, traceparent}
}

type caused struct {
	Event
	traceparent string
}

// Row is an event on its way through the table. Its id, a UUIDv7, begins the
// CloudEvent's; the trace in which it was caused goes with it.
type Row struct {
	ID          uuid.UUID
	Topic       string
	Data        json.RawMessage
	Traceparent string
	Secret      bool

	event Event     // for what is counted of it
	relay *Relay    // that runs here; nil when none does
	since time.Time // when it took a slot for the row, and the lease with it; zero when it had none
}

// NewRows makes the rows for events that a statement of one's own will insert
// (Insert, Args) in db. Each must be told how that ended (Row.End).
func NewRows(ctx context.Context, db *pgxpool.Pool, events ...Event) ([]*Row, error) {
	return newRows(ctx, db, events...)
}

func newRows(ctx context.Context, db any, events ...Event) ([]*Row, error) {
	here := trace.Of(ctx)
	rows := make([]*Row, 0, len(events))
	for _, e := range events {
		traceparent := here
		if c, ok := e.(caused); ok {
			e, traceparent = c.Event, c.traceparent
		}
		data, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("outbox %s: %w", e.Topic(), err)
		}
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		secret, ok := e.(Secret)
		rows = append(rows, &Row{
			ID: id, Topic: e.Topic(), Data: data, Traceparent: traceparent, Secret: ok && secret.Secret(), event: e,
		})
	}
	if r, ok := relays.Load(db); ok {
		for _, row := range rows {
			r.(*Relay).reserve(row)
		}
	}
	return rows, nil
}

// Insert saves the rows of Args. What is appended to it can join or filter
// them, as e.
const Insert = `
	INSERT INTO outbox (id, topic, data, traceparent, secret, tries, next_try_at)
	SELECT e.id, e.topic, e.data::jsonb, e.traceparent, e.secret, e.taken::int, now() + e.taken::int * @outbox_lease::interval
	FROM unnest(@outbox_id::uuid[], @outbox_topic::text[], @outbox_data::text[], @outbox_traceparent::text[],
	            @outbox_secret::bool[], @outbox_taken::bool[]) AS e (id, topic, data, traceparent, secret, taken)`

// Args are what Insert needs, into args.
func Args(args pgx.StrictNamedArgs, rows []*Row) pgx.StrictNamedArgs {
	maps.Copy(args, pgx.StrictNamedArgs{
		"outbox_id":          pg.Column(rows, func(r *Row) uuid.UUID { return r.ID }),
		"outbox_topic":       pg.Column(rows, func(r *Row) string { return r.Topic }),
		"outbox_data":        pg.Column(rows, func(r *Row) string { return string(r.Data) }),
		"outbox_traceparent": pg.Column(rows, func(r *Row) string { return r.Traceparent }),
		"outbox_secret":      pg.Column(rows, func(r *Row) bool { return r.Secret }),
		"outbox_taken":       pg.Column(rows, func(r *Row) bool { return !r.since.IsZero() }),
		"outbox_lease":       lease,
	})
	return args
}

// End has what is committed published: at once if there was a slot for it. What
// was not committed gives its slot back.
func (r *Row) End(committed bool) {
	if committed {
		count(r.event)
	}
	if r.relay != nil {
		r.relay.end(r, committed)
	}
}

// Put saves events in tx, which pg.InTx began, to be published once tx is
// committed.
func Put(ctx context.Context, tx pgx.Tx, events ...Event) error {
	if len(events) == 0 {
		return nil
	}
	return PutWith(ctx, tx, "", pgx.StrictNamedArgs{}, events...)
}

// PutWith is Put by the statement that saves the change: with is its WITH
// clause, and args are what that needs.
func PutWith(ctx context.Context, tx pgx.Tx, with string, args pgx.StrictNamedArgs, events ...Event) error {
	rows, err := newRows(ctx, pg.DatabaseOf(tx), events...)
	if err != nil {
		return err
	}
	pg.OnEnd(tx, func(committed bool) {
		for _, r := range rows {
			r.End(committed)
		}
	})
	if _, err = tx.Exec(ctx, with+Insert, Args(args, rows)); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// relays has the relay that runs for a database in this process.
var relays sync.Map // *pgxpool.Pool → *Relay

// Relay publishes what is in the table of one service.
type Relay struct {
	db     *pgxpool.Pool
	dapr   *dapr.Client
	pubsub string
	source string
	log    *slog.Logger
	marks  *gather.Gatherer[uuid.UUID, struct{}]
	poke   chan struct{}

	mu         sync.Mutex
	ctx        context.Context // of Run; nil before and after
	running    map[string]int  // slots that are taken, by topic
	publishing sync.WaitGroup
}

// row is one that was claimed.
type row struct {
	ID          uuid.UUID
	Topic       string
	Data        json.RawMessage
	Traceparent string
	Tries       int
}

// NewRelay makes the relay of the service source, which publishes through the
// component pubsub.
func NewRelay(db *pgxpool.Pool, sidecar *dapr.Client, pubsub, source string, log *slog.Logger) *Relay {
	r := &Relay{db: db, dapr: sidecar, pubsub: pubsub, source: source, log: log, poke: make(chan struct{}, 1), running: map[string]int{}}
	// What is sent together is marked together.
	r.marks = gather.New(gather.Settings[uuid.UUID]{
		Most: 1000, Waiting: 10_000, Limit: noteLimit / 2, Apart: markEvery,
	}, gather.Whole(r.mark))
	return r
}

// Run publishes until ctx ends: what this process has saved at once, handed
// over in memory and leased by the statement that saved it; what was left by
// others, or failed, within a second. Several instances share the work by
// leases; no transaction is open while publishing. An event may be published
// twice after a crash, never lost.
func (r *Relay) Run(ctx context.Context) error {
	r.open(ctx)
	defer r.close()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		claimed, err := r.claim(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "outbox", "error", err)
		}
		for _, e := range claimed {
			r.mu.Lock()
			r.running[e.Topic]++
			r.begin(e)
			r.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.poke:
		case <-tick.C:
		}
	}
}

func (r *Relay) open(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ctx = ctx
	relays.Store(r.db, r)
}

func (r *Relay) close() {
	relays.Delete(r.db)
	r.mu.Lock()
	r.ctx = nil
	r.mu.Unlock()
	r.publishing.Wait()
}

// reserve takes a slot for a row that is about to be saved.
func (r *Relay) reserve(e *Row) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.relay = r
	if r.ctx != nil && r.running[e.Topic] < slots {
		r.running[e.Topic]++
		e.since = time.Now()
	}
}

// end uses the slot of a row, or gives it back: its lease must cover the attempt.
func (r *Relay) end(e *Row, committed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case e.since.IsZero():
		if committed {
			r.wake()
		}
	case !committed || r.ctx == nil || time.Since(e.since) > lease-publishLimit-noteLimit:
		r.running[e.Topic]--
	default:
		r.begin(row{e.ID, e.Topic, e.Data, e.Traceparent, 1})
	}
}

// begin publishes an event in the slot that it has. r.mu is held.
func (r *Relay) begin(e row) {
	ctx := r.ctx
	r.publishing.Go(func() {
		err := r.publish(ctx, e)
		r.free(e.Topic)
		// What happened is written down even while the service is stopping.
		noteCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
		defer cancel()
		if err := r.note(noteCtx, e, err); err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "outbox", "topic", e.Topic, "event", e.ID, "error", err)
		}
	})
}

// free gives a slot back.
func (r *Relay) free(topic string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[topic]--
	// Others may have found no slot. Claiming some at a time costs less than one for one.
	if r.running[topic] == slots/2 {
		r.wake()
	}
}

func (r *Relay) wake() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// claim leases, of each topic, the oldest events that are due and for which
// there is a slot.
func (r *Relay) claim(ctx context.Context) ([]row, error) {
	ctx, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	r.mu.Lock()
	running := maps.Clone(r.running)
	r.mu.Unlock()
	// The topics are found by skipping through outbox_due, one step each.
	rows, err := r.db.Query(ctx, `
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

// publish is one attempt. Its CloudEvent's id is its own, "<row id>.<try>":
// daprd loses one of two deliveries that are under way on a stream under the
// same id, and with it a slot of the broker's. Consumers (kit/sub) go by the
// row's.
func (r *Relay) publish(ctx context.Context, e row) error {
	ctx, cancel := context.WithTimeout(trace.Resume(ctx, e.Traceparent), publishLimit)
	defer cancel()
	return r.dapr.Publish(ctx, r.pubsub, e.Topic, fmt.Sprintf("%s.%d", e.ID, e.Tries), r.source, e.Traceparent, e.Data)
}

// note writes down what became of an attempt, and returns what went wrong with
// either.
func (r *Relay) note(ctx context.Context, e row, err error) error {
	if err == nil {
		_, err = r.marks.Do(ctx, e.ID)
		return err
	}
	backoff := min(time.Second<<min(e.Tries, 5), 30*time.Second)
	_, noteErr := r.db.Exec(ctx, `
		UPDATE outbox SET next_try_at = now() + $2::interval, last_error = $3 WHERE id = $1 AND sent_at IS NULL AND tries = $4`,
		e.ID, backoff, err.Error(), e.Tries)
	return errors.Join(err, noteErr)
}

// mark notes that events were sent.
func (r *Relay) mark(ctx context.Context, ids []uuid.UUID) error {
	_, err := r.db.Exec(ctx, `
		UPDATE outbox SET sent_at = now(), last_error = NULL, data = CASE WHEN secret THEN '{}' ELSE data END
		WHERE id = ANY ($1)`, ids)
	if err != nil {
		return fmt.Errorf("mark sent: %w", err)
	}
	return nil
}

// Prune removes rows that were sent a day ago.
func (r *Relay) Prune(ctx context.Context) error {
	return pg.Prune(ctx, r.db, `DELETE FROM outbox WHERE id IN (
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
