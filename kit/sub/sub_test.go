package sub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/dapr/daprtest"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/trace"
)

type thing struct {
	N int `json:"n"`
}

func (thing) Topic() string { return "thing.happened.v1" }

var migrations = fstest.MapFS{"migrations/00001_effects.sql": {Data: []byte("-- +goose Up\nCREATE TABLE effects (n int NOT NULL);\n")}}

// bench is a subscriber on a database, whose handler inserts and then returns
// what fail says.
func bench(t *testing.T, fail func(n int) error) *Subscriber {
	s := &Subscriber{DB: pgtest.New(t, migrations), Log: slog.New(slog.DiscardHandler)}
	On(s, func(ctx context.Context, tx pgx.Tx, e thing) error {
		if _, err := tx.Exec(ctx, `INSERT INTO effects (n) VALUES ($1)`, e.N); err != nil {
			return err
		}
		return fail(e.N)
	})
	return s
}

func event(n int) dapr.Event {
	return dapr.Event{ID: uuid.Must(uuid.NewV7()).String(), Topic: thing{}.Topic(), Data: fmt.Appendf(nil, `{"n":%d}`, n)}
}

// deliverNow is one delivery by the broker; waiting is cut short.
func (s *Subscriber) deliverNow(t *testing.T, e dapr.Event) dapr.Verdict {
	life, end := context.WithCancel(t.Context())
	end()
	return s.deliver(t.Context(), life, s.topics[0], e)
}

func count(t *testing.T, s *Subscriber, sql string) (n int) {
	require.NoError(t, s.DB.QueryRow(t.Context(), sql).Scan(&n))
	return n
}

func TestOnceHoweverOftenDelivered(t *testing.T) {
	t.Parallel()
	s := bench(t, func(int) error { return nil })
	e := event(1)
	for range 3 {
		require.Equal(t, dapr.Done, s.deliverNow(t, e))
	}
	verdicts := make(chan dapr.Verdict)
	other := event(2)
	for range 8 { // at the same time, too
		go func() { verdicts <- s.deliverNow(t, other) }()
	}
	for range 8 {
		require.Equal(t, dapr.Done, <-verdicts)
	}
	require.Equal(t, 2, count(t, s, `SELECT count(*) FROM effects`))
}

func TestFailureLeavesNothingAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	failures := 2
	s := bench(t, func(int) error {
		if failures > 0 {
			failures--
			return errors.New("not now")
		}
		return nil
	})
	e := event(1)
	require.Equal(t, dapr.Again, s.deliverNow(t, e))
	require.Equal(t, dapr.Again, s.deliverNow(t, e))
	require.Zero(t, count(t, s, `SELECT count(*) FROM effects`))
	require.Equal(t, 2, count(t, s, `SELECT tries FROM inbox`))
	require.Equal(t, dapr.Done, s.deliverNow(t, e))
	require.Equal(t, 1, count(t, s, `SELECT count(*) FROM effects`))
	require.Zero(t, count(t, s, `SELECT count(*) FROM dead_letters`))
}

func TestDeadLetterAfterTheLastTry(t *testing.T) {
	t.Parallel()
	s := bench(t, func(int) error { return errors.New("never") })
	e := event(1)
	for range maxTries - 1 {
		require.Equal(t, dapr.Again, s.deliverNow(t, e))
	}
	require.Zero(t, count(t, s, `SELECT count(*) FROM dead_letters`))
	require.Equal(t, dapr.Done, s.deliverNow(t, e))
	require.Equal(t, maxTries, count(t, s, `SELECT tries FROM dead_letters WHERE error = 'never' AND topic = 'thing.happened.v1'`))
	require.Equal(t, dapr.Done, s.deliverNow(t, e), "a late copy of a dead event rests")
	require.Equal(t, 1, count(t, s, `SELECT count(*) FROM dead_letters`))
	require.Zero(t, count(t, s, `SELECT count(*) FROM effects`))
}

func TestDropAndUndecodableDieAtOnce(t *testing.T) {
	t.Parallel()
	s := bench(t, func(int) error { return fmt.Errorf("broken rule: %w", Drop) })
	require.Equal(t, dapr.Done, s.deliverNow(t, event(1)))
	bad := event(1)
	bad.Data = []byte(`{"n":"one"}`)
	require.Equal(t, dapr.Done, s.deliverNow(t, bad))
	require.Equal(t, 2, count(t, s, `SELECT count(*) FROM dead_letters`))
}

type secret struct{ thing }

func (secret) Secret() bool { return true }

func TestSecretsAreNotBuried(t *testing.T) {
	t.Parallel()
	s := &Subscriber{DB: pgtest.New(t, migrations), Log: slog.New(slog.DiscardHandler)}
	On(s, func(context.Context, pgx.Tx, secret) error { return Drop })
	require.Equal(t, dapr.Done, s.deliverNow(t, event(123456)))
	require.Equal(t, 1, count(t, s, `SELECT count(*) FROM dead_letters WHERE event = '{}'`))
}

func TestPanicIsAFailure(t *testing.T) {
	t.Parallel()
	s := bench(t, func(int) error { panic("boom") })
	require.Equal(t, dapr.Again, s.deliverNow(t, event(1)))
	require.Zero(t, count(t, s, `SELECT count(*) FROM effects`))
}

func TestDatabaseAwayIsNotCounted(t *testing.T) {
	t.Parallel()
	s := bench(t, func(int) error { return nil })
	s.DB.Close()
	require.Equal(t, dapr.Again, s.deliverNow(t, event(1)))
}

// TestLocked: what somebody else keeps locked is waited for briefly, and is no failure of the event that needs it; those
// that came at the same time are handled.
func TestLocked(t *testing.T) {
	t.Parallel()
	s := &Subscriber{DB: pgtest.New(t, migrations), Log: slog.New(slog.DiscardHandler)}
	OnBatch(s, func(ctx context.Context, tx pgx.Tx, batch []Delivered[thing]) error {
		for _, d := range batch {
			if d.Event.N == 1 {
				if _, err := tx.Exec(ctx, `SELECT FROM effects WHERE n = 1 FOR UPDATE`); err != nil {
					return err
				}
			}
			if _, err := tx.Exec(ctx, `INSERT INTO effects SELECT $1 WHERE current_setting('lock_timeout') = '1s'`, d.Event.N); err != nil {
				return err
			}
		}
		return nil
	})
	_, err := s.DB.Exec(t.Context(), `INSERT INTO effects VALUES (1)`)
	require.NoError(t, err)
	other, err := s.DB.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Rollback(context.Background()) })
	_, err = other.Exec(t.Context(), `SELECT FROM effects FOR UPDATE`)
	require.NoError(t, err)

	const many = 8
	verdicts := make([]dapr.Verdict, many)
	first := event(1)
	var all sync.WaitGroup
	for n := range many {
		e := event(n)
		if n == 1 {
			e = first
		}
		all.Go(func() { verdicts[n] = s.deliverNow(t, e) })
	}
	all.Wait()
	for n, verdict := range verdicts {
		require.Equal(t, n != 1, verdict == dapr.Done, n)
	}
	require.Equal(t, many, count(t, s, `SELECT count(*) FROM effects`))
	require.Zero(t, count(t, s, `SELECT count(*) FROM inbox WHERE tries > 0`))
	require.NoError(t, other.Rollback(t.Context()))
	require.Equal(t, dapr.Done, s.deliverNow(t, first))
	require.Equal(t, many+1, count(t, s, `SELECT count(*) FROM effects`))
}

func TestDirect(t *testing.T) {
	t.Parallel()
	s := &Subscriber{Log: slog.New(slog.DiscardHandler)}
	var err error
	OnDirect(s, func(context.Context, thing) error { return err })
	require.Equal(t, dapr.Done, s.deliverNow(t, event(1)))
	err = errors.New("not now")
	for range 2 * maxTries {
		require.Equal(t, dapr.Again, s.deliverNow(t, event(1)), "without limit")
	}
	err = Drop
	require.Equal(t, dapr.Done, s.deliverNow(t, event(1)))
}

func TestEventTime(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("017f22e2-79b0-7cc3-98c4-dc0c0c07398f") // RFC 9562, appendix A.6: 2022-02-22T19:22:22Z
	ctx := context.WithValue(t.Context(), eventKey{}, id.String())
	require.Equal(t, "2022-02-22T19:22:22Z", EventTime(ctx).Format("2006-01-02T15:04:05Z07:00"))
	require.True(t, EventTime(t.Context()).IsZero())
}

// TestAttemptsAreOneEvent: an event that was published twice has two
// CloudEvent ids, and one row in the inbox, one effect, one dead letter.
func TestAttemptsAreOneEvent(t *testing.T) {
	t.Parallel()
	var seen []string
	var at time.Time
	s := &Subscriber{DB: pgtest.New(t, migrations), Log: slog.New(slog.DiscardHandler)}
	On(s, func(ctx context.Context, tx pgx.Tx, e thing) error {
		seen, at = append(seen, EventID(ctx)), EventTime(ctx)
		if e.N < 0 {
			return Drop
		}
		return nil
	})
	for _, n := range []int{1, -1} {
		e := event(n)
		row := e.ID
		for _, try := range []string{".1", ".2"} {
			e.ID = row + try
			require.Equal(t, dapr.Done, s.deliverNow(t, e))
		}
		e.ID = row + ".3"
		require.NoError(t, s.Deliver(t.Context(), e))
		require.Equal(t, row, seen[len(seen)-1])
		require.False(t, at.IsZero())
	}
	require.Len(t, seen, 2)
	require.Equal(t, 2, count(t, s, `SELECT count(*) FROM inbox`))
	require.Equal(t, 1, count(t, s, `SELECT count(*) FROM dead_letters WHERE event_id NOT LIKE '%.%'`))
}

func TestStuck(t *testing.T) {
	t.Parallel()
	s := &Subscriber{Log: slog.New(slog.DiscardHandler)}
	OnDirect(s, func(context.Context, thing) error { return nil })
	now := time.Now()
	require.Empty(t, s.Stuck(now))
	land := s.topics[0].fly(now)
	s.topics[0].fly(now.Add(10 * time.Second))()
	later := s.topics[0].fly(now.Add(20 * time.Second))
	defer later()
	n, oldest := s.InFlight(thing{}.Topic(), now.Add(stuckAfter))
	require.Equal(t, 2, n)
	require.Equal(t, stuckAfter, oldest)
	require.Empty(t, s.Stuck(now.Add(stuckAfter)))
	require.Equal(t, []string{thing{}.Topic()}, s.Stuck(now.Add(stuckAfter+time.Second)))
	land()
	require.Empty(t, s.Stuck(now.Add(stuckAfter+time.Second)))
	require.Greater(t, stuckAfter, deadline+buryLimit+maxWait+3*time.Second, "no handler that works is stuck")
}

// TestDeliveriesAreInFlight: an event counts from its delivery until its answer is sent.
func TestDeliveriesAreInFlight(t *testing.T) {
	t.Parallel()
	answered := make(chan string, 1)
	sidecar, _ := daprtest.Sidecar{Answered: answered, Deliver: func(string) []dapr.Event {
		return []dapr.Event{{ID: uuid.NewString(), Data: []byte(`{"n":1}`)}}
	}}.Start(t)
	begun, end := make(chan struct{}), make(chan struct{})
	s := &Subscriber{Dapr: sidecar, Log: slog.New(slog.DiscardHandler)}
	OnDirect(s, func(context.Context, thing) error {
		close(begun)
		<-end
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	<-begun
	n, _ := s.InFlight(thing{}.Topic(), time.Now())
	require.Equal(t, 1, n)
	require.Equal(t, []string{thing{}.Topic()}, s.Stuck(time.Now().Add(stuckAfter+time.Minute)))
	close(end)
	<-answered
	stop()
	running.Wait()
	n, _ = s.InFlight(thing{}.Topic(), time.Now())
	require.Zero(t, n)
}

// TestPrune: what is old goes, however much of it, and what is not stays.
func TestPrune(t *testing.T) {
	t.Parallel()
	s := bench(t, func(int) error { return nil })
	_, err := s.DB.Exec(t.Context(), `
		INSERT INTO inbox (event_id, topic, seen_at) SELECT n::text, 't', now() - interval '8 days' FROM generate_series(1, 12000) n;
		INSERT INTO inbox (event_id, topic) VALUES ('new', 't');
		INSERT INTO dead_letters (event_id, topic, event, error, tries, died_at)
			SELECT n::text, 't', '{}', 'x', 1, now() - interval '91 days' FROM generate_series(1, 12000) n;
		INSERT INTO dead_letters (event_id, topic, event, error, tries, died_at) VALUES ('new', 't', '{}', 'x', 1, now() - interval '89 days')`)
	require.NoError(t, err)
	require.NoError(t, s.Prune(t.Context()))
	require.Equal(t, 1, count(t, s, `SELECT count(*) FROM inbox WHERE event_id = 'new'`))
	require.Equal(t, 1, count(t, s, `SELECT count(*) FROM inbox`))
	require.Equal(t, 1, count(t, s, `SELECT count(*) FROM dead_letters`))
}

// TestTraceOfEach: a handler goes on in the trace of its event, and of a batch each event brings its own.
func TestTraceOfEach(t *testing.T) {
	t.Parallel()
	s := &Subscriber{DB: pgtest.New(t, migrations), Log: slog.New(slog.DiscardHandler)}
	var alone string
	On(s, func(ctx context.Context, _ pgx.Tx, _ thing) error {
		alone = trace.Of(ctx)
		return nil
	})
	traced := map[int]string{}
	OnBatch(s, func(_ context.Context, _ pgx.Tx, batch []Delivered[thing]) error {
		for _, d := range batch {
			traced[d.Event.N] = d.Trace
		}
		return nil
	})
	traces := map[int]string{
		1: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 2: "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-00", 3: "",
	}
	var batch []delivery
	for n, traceparent := range traces {
		e := event(n)
		e.Traceparent = traceparent
		require.NoError(t, s.try(t.Context(), s.topics[0], e, s.topics[0].handle))
		require.Equal(t, traceparent, alone)
		require.NoError(t, s.try(t.Context(), s.topics[1], event(n), func(ctx context.Context, _ dapr.Event) error {
			batch = append(batch, delivery{trace.Resume(ctx, traceparent), event(n)})
			return nil
		}))
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), s.DB, func(tx pgx.Tx) error { return s.topics[1].once(t.Context(), tx, batch) }))
	require.Equal(t, traces, traced)
}

// TestFailureIsLoggedInTheTrace: what is logged of an event that failed names the trace that it came in.
func TestFailureIsLoggedInTheTrace(t *testing.T) {
	t.Parallel()
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	s := bench(t, func(int) error { return errors.New("not now") })
	logged := &inTraces{}
	s.Log = slog.New(logged)
	e := event(1)
	e.Traceparent = traceparent
	require.Equal(t, dapr.Again, s.deliverNow(t, e))
	require.Equal(t, []string{traceparent}, logged.traces)
}

// inTraces notes the trace of each line.
type inTraces struct {
	slog.Handler
	traces []string
}

func (h *inTraces) Enabled(context.Context, slog.Level) bool { return true }
func (h *inTraces) Handle(ctx context.Context, _ slog.Record) error {
	h.traces = append(h.traces, trace.Of(ctx))
	return nil
}
