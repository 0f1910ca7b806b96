package crew_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/crew"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

const waitFor = 10 * time.Second

// table stands for rows that are due, of numbers; what is done waits until it may end.
type table struct {
	db *pgxpool.Pool

	mu     sync.Mutex
	due    []int
	claims []int // how many each asked for

	began  chan int
	goOn   chan struct{}
	looked chan struct{}
}

func newTable(t *testing.T) *table {
	t.Helper()
	return &table{db: pgtest.New(t, nil), began: make(chan int, 100), goOn: make(chan struct{}), looked: make(chan struct{}, 1000)}
}

func (b *table) claim(_ context.Context, n int) ([]int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = min(n, len(b.due))
	claimed := b.due[:n]
	b.due = slices.Clone(b.due[n:])
	b.claims = append(b.claims, n)
	b.looked <- struct{}{}
	return claimed, nil
}

func (b *table) do(_ context.Context, n int) {
	b.began <- n
	<-b.goOn
}

func (b *table) add(ns ...int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due = append(b.due, ns...)
}

// run has a crew of so many at work, which has looked at the table and looks again only when poked; stop tells it to stop,
// and ended when it has.
func (b *table) run(t *testing.T, most int, late time.Duration) (c *crew.Crew[int], stop func(), ended chan error) {
	t.Helper()
	c = crew.New(crew.Settings[int]{Log: slog.New(slog.DiscardHandler), Most: most, Claim: b.claim, Do: b.do, Late: late})
	c.Sweep(time.Hour) // while a look lasts it has all hands
	ctx, stop := context.WithCancel(t.Context())
	ended = make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	<-b.looked
	require.Eventually(t, c.Idle, waitFor, time.Millisecond)
	return c, stop, ended
}

// save saves rows in one transaction, those for which there is a hand as leased, and the others as due; it fails with err.
func (b *table) save(t *testing.T, c *crew.Crew[int], err error, ns ...int) (leased int) {
	t.Helper()
	require.ErrorIs(t, pg.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
		hands := c.Promise(tx, len(ns))
		leased = hands.N
		hands.Give(ns[:leased]...)
		if err == nil {
			b.add(ns[leased:]...)
		}
		return err
	}), err)
	return leased
}

func (b *table) begins(t *testing.T, n int) (began []int) {
	t.Helper()
	for range n {
		select {
		case job := <-b.began:
			began = append(began, job)
		case <-time.After(waitFor):
			t.Fatalf("only %v began", began)
		}
	}
	slices.Sort(began)
	require.Empty(t, b.began, "no more")
	return began
}

// TestPromise: what is saved is begun once it is committed, without a claim, by no more hands than there are; the rest is
// claimed, together, once half of them are free.
func TestPromise(t *testing.T) {
	t.Parallel()
	b := newTable(t)
	c, stop, ended := b.run(t, 4, time.Minute)
	require.Equal(t, 3, b.save(t, c, nil, 1, 2, 3))
	require.Equal(t, []int{1, 2, 3}, b.begins(t, 3))
	require.Equal(t, 1, b.save(t, c, errors.ErrUnsupported, 4), "its hand is given back")
	require.Equal(t, 1, b.save(t, c, nil, 5, 6, 7))
	require.Equal(t, []int{5}, b.begins(t, 1))
	require.Zero(t, b.save(t, c, nil, 8))
	for range 4 {
		b.goOn <- struct{}{}
	}
	require.Equal(t, []int{6, 7, 8}, b.begins(t, 3))

	// It ends what it has begun.
	stop()
	for range 3 {
		require.Empty(t, ended)
		b.goOn <- struct{}{}
	}
	require.NoError(t, <-ended)
	require.Zero(t, b.save(t, c, nil, 9), "nobody is there")
}

// TestPromiseWhileStopping: who was promised a hand gets it.
func TestPromiseWhileStopping(t *testing.T) {
	t.Parallel()
	b := newTable(t)
	c, stop, ended := b.run(t, 4, time.Minute)
	require.NoError(t, pg.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
		hands := c.Promise(tx, 1)
		stop()
		require.Eventually(t, func() bool { return c.Closed() }, waitFor, time.Millisecond)
		require.Zero(t, c.Promise(tx, 1).N)
		hands.Give(1)
		return nil
	}))
	require.Equal(t, []int{1}, b.begins(t, 1))
	require.Empty(t, ended)
	b.goOn <- struct{}{}
	require.NoError(t, <-ended)
}

// TestLate: a lease that is too old for what is to be done under it is left to end.
func TestLate(t *testing.T) {
	t.Parallel()
	b := newTable(t)
	c, stop, ended := b.run(t, 4, -time.Second)
	require.Equal(t, 1, b.save(t, c, nil, 1))
	require.Equal(t, 4, b.save(t, c, errors.ErrUnsupported, 1, 2, 3, 4), "its hand is free")
	require.Empty(t, b.began)
	stop()
	require.NoError(t, <-ended)
}

// TestLimit: none is begun beyond it.
func TestLimit(t *testing.T) {
	t.Parallel()
	b := newTable(t)
	c, stop, ended := b.run(t, 4, time.Minute)
	require.Equal(t, 3, b.save(t, c, nil, 1, 2, 3))
	b.begins(t, 3)
	c.Limit(1)
	require.Zero(t, b.save(t, c, nil, 4))
	for range 3 {
		b.goOn <- struct{}{}
	}
	require.Equal(t, []int{4}, b.begins(t, 1))
	require.Zero(t, b.save(t, c, nil, 5))
	b.goOn <- struct{}{}
	require.Equal(t, []int{5}, b.begins(t, 1))
	stop()
	b.goOn <- struct{}{}
	require.NoError(t, <-ended)
}

// TestClaims: a claim that fails ends nothing that runs, and is tried again; each has a limit.
func TestClaims(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	running, release, finished := make(chan struct{}), make(chan struct{}), make(chan struct{})
	claims := 0
	ended := make(chan error, 1)
	c := crew.New(crew.Settings[int]{
		Log: slog.New(slog.DiscardHandler), Most: 32,
		Claim: func(ctx context.Context, _ int) ([]int, error) {
			switch claims++; claims {
			case 1:
				_, limited := ctx.Deadline()
				if !limited {
					return nil, errors.New("no limit")
				}
				return []int{1}, nil
			case 2:
				<-running
				return nil, errors.New("the database is away")
			case 3:
				close(release) // although the first is still at it
				return []int{2}, nil
			}
			return nil, nil
		},
		Do: func(ctx context.Context, n int) {
			if n == 1 {
				close(running)
				<-release
				return
			}
			close(finished)
		},
	})
	go func() { ended <- c.Run(ctx) }()
	select {
	case <-finished:
	case err := <-ended:
		t.Fatal("it ended", err)
	case <-time.After(3 * waitFor):
		t.Fatal("nothing was claimed any more")
	}
	stop()
	require.NoError(t, <-ended)
}

// TestClaimsTogether: a full table is not emptied row by row.
func TestClaimsTogether(t *testing.T) {
	t.Parallel()
	b := newTable(t)
	const rows, hands = 400, 40
	for n := range rows {
		b.add(n)
	}
	close(b.goOn)
	b.began = make(chan int, rows)
	_, stop, ended := b.run(t, hands, time.Minute)
	b.begins(t, rows)
	stop()
	require.NoError(t, <-ended)
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Equal(t, hands, b.claims[0])
	require.Less(t, len(b.claims), rows/4, "%v", b.claims)
}
