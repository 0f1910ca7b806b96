// Package sub consumes events: a streaming subscription for each type, an
// inbox so that a replay changes nothing, counted tries, and a table of dead
// letters at their end.
package sub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pause"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/trace"
)

// Drop marks a failure that no repetition can cure: wrap it and the event
// becomes a dead letter at once.
var Drop = errors.New("cannot be handled")

const (
	deadline   = 10 * time.Second // one try of one handler
	maxWait    = 5 * time.Second  // before asking for redelivery; deadline + maxWait stay under the brokers' acknowledgement time
	maxTries   = 15               // about a minute, then a dead letter
	inFlight   = 32               // handlers of one topic at a time, as many as a broker sends ahead
	keepInbox  = 7 * 24 * time.Hour
	watchEvery = 500 * time.Millisecond

	buryLimit   = 5 * time.Second
	stuckAfter  = 30 * time.Second    // longer than deadline, counting, burying and maxWait together
	keepLetters = 90 * 24 * time.Hour // what nobody looked at for so long is forgotten, with the data of people in it
)

// Subscriber holds the subscriptions of one service.
type Subscriber struct {
	DB     *pgxpool.Pool // nil in services without SQL
	Dapr   *dapr.Client
	Pubsub string // the component's name
	Log    *slog.Logger

	topics []*topic
}

type topic struct {
	name   string
	handle func(ctx context.Context, e dapr.Event) error                // one try, its effect committed when nil
	apply  func(ctx context.Context, tx pgx.Tx, batch []delivery) error // the handler alone; nil when direct
	direct bool
	secret bool // its data must not stay in a table (outbox.Secret)
	open   atomic.Bool

	mu      sync.Mutex
	flights map[*time.Time]struct{} // when each delivery began that is not answered
}

// delivery is an event with the context in which it is handled.
type delivery struct {
	ctx context.Context
	dapr.Event
}

// Delivered is an event of a batch.
type Delivered[E any] struct {
	Event E
	ID    string // as EventID tells it
	Trace string // what trace.Of would tell of it alone; that of the batch's context is another's, maybe
}

// On consumes the events of type E in services with a database. fn runs in
// the transaction that also marks the event as seen, so it takes effect once
// however often the event is delivered. fn calls nothing outside the
// database.
func On[E outbox.Event](s *Subscriber, fn func(ctx context.Context, tx pgx.Tx, e E) error) {
	t := newTopic[E]()
	t.apply = func(_ context.Context, tx pgx.Tx, batch []delivery) error {
		for _, d := range batch {
			e, err := decode[E](d.Event)
			if err != nil {
				return err
			}
			if err := fn(d.ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	}
	t.handle = func(ctx context.Context, ev dapr.Event) error {
		return pg.InTx(ctx, s.DB, func(tx pgx.Tx) error { return t.once(ctx, tx, []delivery{{ctx, ev}}) })
	}
	s.topics = append(s.topics, t)
}

// OnBatch is On for events of which many come at a time: those that wait are
// handled by one fn in one transaction. When it fails, each is handled alone.
// fn locks rows in one order for the whole batch, whose order means nothing.
func OnBatch[E outbox.Event](s *Subscriber, fn func(ctx context.Context, tx pgx.Tx, batch []Delivered[E]) error) {
	t := newTopic[E]()
	t.apply = func(ctx context.Context, tx pgx.Tx, batch []delivery) error {
		events := make([]Delivered[E], 0, len(batch))
		for _, d := range batch {
			e, err := decode[E](d.Event)
			if err != nil {
				return err
			}
			events = append(events, Delivered[E]{e, d.ID, trace.Of(d.ctx)})
		}
		return fn(ctx, tx, events)
	}
	together := gather.New(gather.Settings[delivery]{
		Most: inFlight, Limit: deadline / 2, Rest: 10, Conflict: func(d delivery) string { return d.ID },
	}, gather.Whole(func(ctx context.Context, batch []delivery) error {
		return pg.InTx(ctx, s.DB, func(tx pgx.Tx) error { return t.once(ctx, tx, batch) })
	}))
	t.handle = func(ctx context.Context, ev dapr.Event) error {
		_, err := together.Do(ctx, delivery{ctx, ev})
		return err
	}
	s.topics = append(s.topics, t)
}

func newTopic[E outbox.Event]() *topic {
	var zero E
	secret, ok := any(zero).(outbox.Secret)
	counted(zero.Topic())
	return &topic{name: zero.Topic(), secret: ok && secret.Secret()}
}

// once handles in tx what of a batch the inbox has not as done. Its rows are
// done at once: they are there only if all is.
func (t *topic) once(ctx context.Context, tx pgx.Tx, batch []delivery) error {
	ids := make([]string, 0, len(batch))
	for _, d := range batch {
		ids = append(ids, d.ID)
	}
	slices.Sort(ids) // the order in which they are locked
	rows, err := tx.Query(ctx, `
		INSERT INTO inbox (event_id, topic, done_at) SELECT id, $2, now() FROM unnest($1::text[]) AS e (id) WHERE `+pg.WaitsAWhile+`
		ON CONFLICT (event_id) DO UPDATE SET done_at = excluded.done_at WHERE inbox.done_at IS NULL
		RETURNING event_id`, ids, t.name)
	if err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	fresh, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	repeated.WithLabelValues(t.name).Add(float64(len(batch) - len(fresh)))
	batch = slices.DeleteFunc(slices.Clone(batch), func(d delivery) bool { return !slices.Contains(fresh, d.ID) })
	if len(batch) == 0 {
		return nil
	}
	return t.apply(ctx, tx, batch)
}

// OnDirect consumes the events of type E in services without a database. fn
// must be idempotent by what it writes. It is tried until it succeeds; an
// event that cannot be decoded, or that fn drops, is logged and forgotten.
func OnDirect[E outbox.Event](s *Subscriber, fn func(ctx context.Context, e E) error) {
	var zero E
	counted(zero.Topic())
	s.topics = append(s.topics, &topic{name: zero.Topic(), direct: true, handle: func(ctx context.Context, ev dapr.Event) error {
		e, err := decode[E](ev)
		if err != nil {
			return err
		}
		return fn(ctx, e)
	}})
}

func decode[E any](ev dapr.Event) (E, error) {
	var e E
	if err := json.Unmarshal(ev.Data, &e); err != nil {
		return e, fmt.Errorf("decode %s: %v: %w", ev.Topic, err, Drop)
	}
	return e, nil
}

// Run subscribes to every topic and again whenever a stream breaks. It
// returns when ctx has ended and the handlers that ran have finished.
func (s *Subscriber) Run(ctx context.Context) error {
	if len(s.topics) == 0 {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		// One life of the sidecar: when it goes, all streams are ended, because
		// a stopping daprd waits for them.
		life, end := context.WithCancel(ctx)
		var streams sync.WaitGroup
		for _, t := range s.topics {
			streams.Add(1)
			go func() {
				defer streams.Done()
				s.stream(life, t)
			}()
		}
		s.watch(life)
		end()
		streams.Wait()
	}
	return nil
}

// watch returns when the sidecar has not answered twice.
func (s *Subscriber) watch(ctx context.Context) {
	failures := 0
	for failures < 2 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchEvery):
		}
		askCtx, cancel := context.WithTimeout(ctx, time.Second)
		if err := s.Dapr.Alive(askCtx); err != nil {
			failures++
		} else {
			failures = 0
		}
		cancel()
	}
}

// stream keeps one topic subscribed until life ends.
func (s *Subscriber) stream(life context.Context, t *topic) {
	for life.Err() == nil {
		err := s.Dapr.Stream(life, s.Pubsub, t.name, inFlight, func() { t.open.Store(true) }, func(ctx context.Context, e dapr.Event, answer func(dapr.Verdict)) {
			// In flight until the answer is sent, too: a sidecar that does not take it stops the topic.
			defer t.fly(time.Now())()
			answer(s.deliver(ctx, life, t, e))
		})
		t.open.Store(false)
		if life.Err() != nil {
			return
		}
		s.Log.WarnContext(life, "subscription ended, subscribing again", "topic", t.name, "error", err)
		pause.For(life, time.Second)
	}
}

// Ready reports whether every topic is subscribed.
func (s *Subscriber) Ready() bool {
	for _, t := range s.topics {
		if !t.open.Load() {
			return false
		}
	}
	return true
}

// fly notes that a delivery began; what it returns ends it.
func (t *topic) fly(now time.Time) (land func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flights == nil {
		t.flights = map[*time.Time]struct{}{}
	}
	t.flights[&now] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.flights, &now)
	}
}

// InFlight tells how many deliveries of a topic are being handled or answered,
// and the age of the oldest; zero when there is none.
func (s *Subscriber) InFlight(name string, now time.Time) (n int, oldest time.Duration) {
	t := s.topic(name)
	if t == nil {
		return 0, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for began := range t.flights {
		oldest = max(oldest, now.Sub(*began))
	}
	return len(t.flights), oldest
}

// Stuck lists the topics at which something has been in flight for longer than
// any handler may take: no event of theirs may come through any more.
func (s *Subscriber) Stuck(now time.Time) []string {
	var names []string
	for _, t := range s.topics {
		if _, oldest := s.InFlight(t.name, now); oldest > stuckAfter {
			names = append(names, t.name)
		}
	}
	return names
}

// Topics lists what is consumed.
func (s *Subscriber) Topics() []string {
	names := make([]string, 0, len(s.topics))
	for _, t := range s.topics {
		names = append(names, t.name)
	}
	return names
}

// Deliver hands one event to its handler, once, as a broker would. Tests use
// it; Run does the same with waiting and counting around it.
func (s *Subscriber) Deliver(ctx context.Context, e dapr.Event) error {
	e.ID = rowID(e.ID)
	if t := s.topic(e.Topic); t != nil {
		return s.try(ctx, t, e, t.handle)
	}
	return fmt.Errorf("nobody consumes %s", e.Topic)
}

// topic finds what is consumed by its name; nil when it is not.
func (s *Subscriber) topic(name string) *topic {
	for _, t := range s.topics {
		if t.name == name {
			return t
		}
	}
	return nil
}

// try runs handle once, with its deadline, in the event's trace.
func (s *Subscriber) try(ctx context.Context, t *topic, e dapr.Event, handle func(context.Context, dapr.Event) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	ctx = trace.Resume(ctx, e.Traceparent)
	ctx, span := otel.Tracer("kit/sub").Start(ctx, t.name+" process", oteltrace.WithSpanKind(oteltrace.SpanKindConsumer))
	defer span.End()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
	}()
	return handle(context.WithValue(ctx, eventKey{}, e.ID), e)
}

// rowID is what all attempts to publish an event have in common: a CloudEvent's
// id is "<row id>.<try>" (kit/outbox).
func rowID(id string) string {
	id, _, _ = strings.Cut(id, ".")
	return id
}

// deliver tries once; on failure it counts, waits and asks for redelivery, or
// buries the event.
func (s *Subscriber) deliver(ctx, life context.Context, t *topic, e dapr.Event) dapr.Verdict {
	e.ID = rowID(e.ID)
	ctx = trace.Resume(ctx, e.Traceparent) // for what is logged of a failure, too
	err := s.try(ctx, t, e, t.handle)
	if err == nil {
		handled.WithLabelValues(t.name, done).Inc()
		return dapr.Done
	}
	verdict := s.failed(ctx, life, t, e, err)
	outcome := failed
	if verdict == dapr.Done {
		outcome = dead
	}
	handled.WithLabelValues(t.name, outcome).Inc()
	return verdict
}

// failed is deliver's answer to a failure.
func (s *Subscriber) failed(ctx, life context.Context, t *topic, e dapr.Event, err error) dapr.Verdict {
	if t.direct {
		if errors.Is(err, Drop) {
			s.Log.ErrorContext(ctx, "event dropped", "topic", t.name, "event", e.ID, "error", err)
			return dapr.Done
		}
		s.Log.WarnContext(ctx, "event failed", "topic", t.name, "event", e.ID, "error", err)
		pause.For(life, time.Second)
		return dapr.Again
	}
	if pg.Locked(err) { // by others, for as long as they like: not its failure
		s.Log.WarnContext(ctx, "event waits for a lock", "topic", t.name, "event", e.ID, "error", err)
		pause.For(life, time.Second)
		return dapr.Again
	}
	tries, countErr := s.count(ctx, t, e)
	if countErr != nil { // the database is away: that is nobody's fault, so nothing is counted
		s.Log.ErrorContext(ctx, "event failed and could not be counted", "topic", t.name, "event", e.ID, "error", err, "count_error", countErr)
		pause.For(life, maxWait)
		return dapr.Again
	}
	if errors.Is(err, Drop) || tries >= maxTries {
		if buryErr := s.bury(ctx, t, e, tries, err); buryErr != nil {
			s.Log.ErrorContext(ctx, "dead letter not written", "topic", t.name, "event", e.ID, "error", buryErr)
			pause.For(life, maxWait)
			return dapr.Again
		}
		s.Log.ErrorContext(ctx, "event became a dead letter", "topic", t.name, "event", e.ID, "tries", tries, "error", err)
		return dapr.Done
	}
	s.Log.WarnContext(ctx, "event failed", "topic", t.name, "event", e.ID, "tries", tries, "error", err)
	pause.For(life, min(100*time.Millisecond<<min(tries-1, 10), maxWait))
	return dapr.Again
}

func (s *Subscriber) count(ctx context.Context, t *topic, e dapr.Event) (tries int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err = s.DB.QueryRow(ctx, `
		INSERT INTO inbox (event_id, topic, tries) VALUES ($1, $2, 1)
		ON CONFLICT (event_id) DO UPDATE SET tries = inbox.tries + 1
		RETURNING tries`, e.ID, t.name).Scan(&tries)
	return tries, err
}

func (s *Subscriber) bury(ctx context.Context, t *topic, e dapr.Event, tries int, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, buryLimit)
	defer cancel()
	return pg.InTx(ctx, s.DB, func(tx pgx.Tx) error { return t.bury(ctx, tx, e, tries, cause) })
}

func (t *topic) bury(ctx context.Context, tx pgx.Tx, e dapr.Event, tries int, cause error) error {
	data := e.Data
	if t.secret {
		data = []byte("{}")
	}
	var about struct {
		Account *uuid.UUID `json:"account_id"`
		Order   *uuid.UUID `json:"order_id"`
	}
	if json.Unmarshal(data, &about) != nil { // it may be dead because it cannot be read
		about.Account, about.Order = nil, nil
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO dead_letters (event_id, topic, event, error, tries, account_id, order_id)
		SELECT @id, @topic, @event, @error, @tries, @account::uuid, @order::uuid
		WHERE NOT `+forget.Noted("COALESCE(@order::uuid, @account::uuid)")+`
		ON CONFLICT (event_id) DO UPDATE SET error = excluded.error, tries = excluded.tries, died_at = now()`, pgx.StrictNamedArgs{
		"id": e.ID, "topic": t.name, "event": data, "error": cause.Error(), "tries": tries,
		"account": about.Account, "order": about.Order,
	}); err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO inbox (event_id, topic, tries, done_at) VALUES ($1, $2, $3, now())
		ON CONFLICT (event_id) DO UPDATE SET done_at = now()`, e.ID, t.name, tries); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	return nil
}

// Prune forgets events that were seen a week ago, as no broker delivers later,
// and dead letters of three months.
func (s *Subscriber) Prune(ctx context.Context) error {
	return errors.Join(
		pg.Prune(ctx, s.DB, `DELETE FROM inbox WHERE event_id IN (
			SELECT event_id FROM inbox WHERE seen_at < now() - $2::interval ORDER BY seen_at LIMIT $1)`, keepInbox),
		pg.Prune(ctx, s.DB, `DELETE FROM dead_letters WHERE event_id IN (
			SELECT event_id FROM dead_letters WHERE died_at < now() - $2::interval ORDER BY died_at LIMIT $1)`, keepLetters))
}

type eventKey struct{}

// EventID is the id of the event that is being handled: that of the row in its
// publisher's outbox, the same however often it is published.
func EventID(ctx context.Context) string {
	id, _ := ctx.Value(eventKey{}).(string)
	return id
}

// EventTime is when the event that is being handled was saved, to the
// millisecond: its id is a UUIDv7 (RFC 9562). Zero when it is not.
func EventTime(ctx context.Context) time.Time {
	id, err := uuid.Parse(EventID(ctx))
	if err != nil || id.Version() != 7 {
		return time.Time{}
	}
	sec, nsec := id.Time().UnixTime()
	return time.Unix(sec, nsec).UTC()
}
