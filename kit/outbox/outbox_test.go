package outbox

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/dapr/daprtest"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/trace"
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

// TestFrom: an event is in the trace of the transaction that saves it, or in that of its own cause, and is what it is
// in either.
func TestFrom(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	const here, there = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-00"
	ctx := trace.Resume(t.Context(), here)
	require.NoError(t, pg.InTx(ctx, db, func(tx pgx.Tx) error {
		return Put(ctx, tx, parcel{N: 1}, From(there, code{"123456"}), From("", parcel{N: 2}))
	}))
	rows, err := db.Query(ctx, `SELECT topic || ' ' || secret || ' ' || traceparent FROM outbox ORDER BY id`)
	require.NoError(t, err)
	saved, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{
		parcel{}.Topic() + " false " + here, "code.issued.v1 true " + there, parcel{}.Topic() + " false " + here,
	}, saved)
}

// TestPublishedInItsTrace: what the sidecar does to publish an event is a part of the event's trace.
func TestPublishedInItsTrace(t *testing.T) {
	t.Parallel()
	const there = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01"
	seen := make(chan []string, 1)
	sidecar, _ := daprtest.Sidecar{Publish: func(ctx context.Context, _, _ string) error {
		md, _ := metadata.FromIncomingContext(ctx)
		seen <- md.Get("traceparent")
		return nil
	}}.Start(t)
	relay := NewRelay(nil, sidecar, "pubsub", "test", slog.New(slog.DiscardHandler))
	require.NoError(t, relay.publish(t.Context(), row{Topic: "code.issued.v1", Data: []byte("{}"), Traceparent: there}))
	require.Equal(t, []string{there}, <-seen)
	require.NoError(t, relay.publish(t.Context(), row{Topic: "code.issued.v1", Data: []byte("{}")}))
	require.Empty(t, <-seen)
}

// TestBrokerAway: nothing is lost or marked while nobody takes the events, and
// the next try waits.
func TestBrokerAway(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	sidecar, err := dapr.At("127.0.0.1:1", "127.0.0.1:1", "") // nobody is there
	require.NoError(t, err)
	defer sidecar.Close()
	require.NoError(t, pg.InTx(ctx, db, func(tx pgx.Tx) error { return Put(ctx, tx, code{"123456"}) }))
	relay := NewRelay(db, sidecar, "pubsub", "test", slog.New(slog.DiscardHandler))
	claimed, err := relay.claim(ctx)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	require.Error(t, relay.note(ctx, claimed[0], relay.publish(ctx, claimed[0])))
	var kept, waits bool
	var tries int
	require.NoError(t, db.QueryRow(ctx, `
		SELECT sent_at IS NULL AND data ->> 'code' = '123456' AND last_error <> '', next_try_at > now(), tries FROM outbox`).Scan(&kept, &waits, &tries))
	require.True(t, kept)
	require.True(t, waits)
	require.Equal(t, 1, tries)
	claimed, err = relay.claim(ctx)
	require.NoError(t, err)
	require.Empty(t, claimed, "not due yet")
}

type parcel struct {
	N     int `json:"n"`
	topic string
}

func (p parcel) Topic() string { return p.topic }

func put(t *testing.T, db *pgxpool.Pool, topic string, n int) {
	t.Helper()
	require.NoError(t, pg.InTx(t.Context(), db, func(tx pgx.Tx) error {
		for i := range n {
			if err := Put(t.Context(), tx, parcel{i, topic}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// run runs a relay of db until the test ends. The sidecar is a stand-in for
// its publish call only, because no broker hangs on demand.
func run(t *testing.T, db *pgxpool.Pool, publish func(ctx context.Context, topic, id string) error) {
	t.Helper()
	sidecar, _ := daprtest.Sidecar{Publish: publish}.Start(t)
	relay := NewRelay(db, sidecar, "pubsub", "test", slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
}

// TestHangingTopic: more events of one topic hang than there are slots, and
// those of another go out; of the hanging ones no more are claimed than are
// under way, so that no lease runs out while its event waits for its turn.
func TestHangingTopic(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	put(t, db, "a.hangs.v1", 3*slots)
	began, sent := make(chan string, 3*slots), make(chan string, 3*slots)
	run(t, db, func(ctx context.Context, topic, id string) error {
		if topic == "a.hangs.v1" {
			began <- id
			<-ctx.Done()
			return ctx.Err()
		}
		sent <- id
		return nil
	})
	for range slots {
		<-began
	}
	put(t, db, "b.flows.v1", 2*slots)
	for range 2 * slots {
		<-sent
	}
	var claimed int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE topic = 'a.hangs.v1' AND tries > 0`).Scan(&claimed))
	require.Equal(t, slots, claimed)
}

// TestEachOnceWithTwoInstances: slow publishes are not begun a second time by
// another instance, nor by the same.
func TestEachOnceWithTwoInstances(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	const n = 5 * slots
	var (
		mu   sync.Mutex
		seen []string
		all  = make(chan struct{})
	)
	publish := func(_ context.Context, _, id string) error {
		mu.Lock()
		defer mu.Unlock() // one at a time, as the component of RabbitMQ does
		seen = append(seen, id)
		if len(seen) == n {
			close(all)
		}
		return nil
	}
	put(t, db, "a.flows.v1", n)
	run(t, db, publish)
	run(t, db, publish)
	<-all
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(seen)
	require.Len(t, slices.Compact(slices.Clone(seen)), n)
	for _, id := range seen {
		require.True(t, strings.HasSuffix(id, ".1"), id)
	}
}

// TestTriesHaveTheirOwnIDs: a second attempt does not share its id with the
// first, which may still be under way, and its note stands.
func TestTriesHaveTheirOwnIDs(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	put(t, db, "a.fails.v1", 1)
	ids := make(chan string, 2)
	sidecar, _ := daprtest.Sidecar{Publish: func(_ context.Context, _, id string) error {
		ids <- id
		if strings.HasSuffix(id, ".1") {
			return errors.New("not now")
		}
		return nil
	}}.Start(t)
	relay := NewRelay(db, sidecar, "pubsub", "test", slog.New(slog.DiscardHandler))
	first, err := relay.claim(t.Context())
	require.NoError(t, err)
	require.Len(t, first, 1)
	// Its lease ends before it has begun: another takes it over and succeeds.
	_, err = db.Exec(t.Context(), `UPDATE outbox SET next_try_at = now()`)
	require.NoError(t, err)
	second, err := relay.claim(t.Context())
	require.NoError(t, err)
	require.Len(t, second, 1)
	require.NoError(t, relay.note(t.Context(), second[0], relay.publish(t.Context(), second[0])))
	require.Error(t, relay.note(t.Context(), first[0], relay.publish(t.Context(), first[0])))
	id := first[0].ID.String()
	require.Equal(t, []string{id + ".2", id + ".1"}, []string{<-ids, <-ids})
	var sent, failed bool
	require.NoError(t, db.QueryRow(t.Context(), `SELECT sent_at IS NOT NULL, last_error IS NOT NULL FROM outbox`).Scan(&sent, &failed))
	require.True(t, sent)
	require.False(t, failed)
}

// TestHandedOver: what is saved while a relay runs is leased to it by the statement that saves it, and published after the
// commit; without one, or beyond its slots, it is to be claimed.
func TestHandedOver(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	sent := make(chan string, 3*slots)
	goOn := make(chan struct{})
	run(t, db, func(_ context.Context, _, id string) error {
		<-goOn
		sent <- id
		return nil
	})
	running(t, db)
	broken := errors.New("broken")
	fails := func(how func() error) {
		defer func() { _ = recover() }()
		require.ErrorIs(t, pg.InTx(t.Context(), db, func(tx pgx.Tx) error {
			for i := range slots {
				require.NoError(t, Put(t.Context(), tx, parcel{i, "a.flows.v1"}))
			}
			return how()
		}), broken)
	}
	fails(func() error { return broken })
	fails(func() error { panic(broken) })
	put(t, db, "a.flows.v1", slots+2) // the slots of what was rolled back are free again
	var leased, free int
	require.NoError(t, db.QueryRow(t.Context(), `
		SELECT count(*) FILTER (WHERE tries = 1 AND next_try_at > now() + '20 s'), count(*) FILTER (WHERE tries = 0)
		FROM outbox`).Scan(&leased, &free))
	require.Equal(t, slots, leased)
	require.Equal(t, 2, free)
	close(goOn)
	for range slots + 2 {
		require.True(t, strings.HasSuffix(<-sent, ".1"))
	}
}

// running returns once a relay runs for db.
func running(t *testing.T, db *pgxpool.Pool) {
	t.Helper()
	require.Eventually(t, func() bool { _, ok := relays.Load(db); return ok }, 10*time.Second, time.Millisecond)
}

// TestRowsOfOnesOwn: a statement that saves some of its rows says so, and the others are not published.
func TestRowsOfOnesOwn(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	sent := make(chan string, 2)
	run(t, db, func(_ context.Context, _, id string) error { sent <- id; return nil })
	running(t, db)
	rows, err := NewRows(t.Context(), db, parcel{1, "a.flows.v1"}, parcel{2, "a.flows.v1"})
	require.NoError(t, err)
	tag, err := db.Exec(t.Context(), Insert+` WHERE e.id = @id`, Args(pgx.StrictNamedArgs{"id": rows[1].ID}, rows))
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
	rows[0].End(false)
	rows[1].End(true)
	require.Equal(t, rows[1].ID.String()+".1", <-sent)
	require.Empty(t, sent)
}
