// Package crew does what the rows of a table ask for: some at a time, each under
// a lease and outside any transaction. What this process saves it is handed in
// memory, leased by the statement that saves it. What others left, what failed
// and what found no hand it claims, many at once.
package crew

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

const (
	sweepEvery = time.Second // how often it looks for what is due
	claimLimit = 5 * time.Second
	// patience is how long what is due waits for half of the hands to be free:
	// claiming many costs what claiming one does.
	patience = 50 * time.Millisecond
)

// Settings of a Crew.
type Settings[T any] struct {
	Log  *slog.Logger
	Most int // jobs at a time
	// Claim leases up to n rows that are due.
	Claim func(ctx context.Context, n int) ([]T, error)
	// Do does one and notes what became of it, within its lease. Its context
	// does not end when the service stops.
	Do func(ctx context.Context, job T)
	// Late is how long ago a lease may have begun that still covers Do.
	Late time.Duration
}

// Crew does jobs.
type Crew[T any] struct {
	set   Settings[T]
	sweep time.Duration
	poke  chan struct{}

	mu      sync.Mutex
	ctx     context.Context // of jobs
	open    bool            // Run runs
	most    int
	busy    int       // hands that work, or are promised
	waits   bool      // something that is due waits for a hand
	claimed time.Time // when it last looked
	hands   sync.WaitGroup
}

// New makes a crew that does nothing before Run.
func New[T any](set Settings[T]) *Crew[T] {
	return &Crew[T]{set: set, sweep: sweepEvery, most: set.Most, poke: make(chan struct{}, 1)}
}

// Limit changes how many jobs are done at a time, from now on.
func (c *Crew[T]) Limit(most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = most
}

// Run does what is due until ctx ends; what has begun, or was promised a hand,
// is finished first. A claim that fails is tried again within a second. It runs
// once at a time.
func (c *Crew[T]) Run(ctx context.Context) error {
	c.opens(ctx)
	defer c.closes()
	tick := time.NewTicker(c.sweep)
	defer tick.Stop()
	for ctx.Err() == nil {
		if n := c.look(); n > 0 {
			jobs, err := c.claim(ctx, n)
			if err != nil && ctx.Err() == nil {
				c.set.Log.ErrorContext(ctx, "nothing can be claimed", "error", err)
			}
			c.start(jobs, n, len(jobs) == n)
		}
		select {
		case <-ctx.Done():
		case <-c.poke:
		case <-tick.C:
		}
	}
	return nil
}

func (c *Crew[T]) claim(ctx context.Context, n int) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	return c.set.Claim(ctx, n)
}

func (c *Crew[T]) opens(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx, c.open = context.WithoutCancel(ctx), true
}

func (c *Crew[T]) closes() {
	c.mu.Lock()
	c.open = false
	c.mu.Unlock()
	c.hands.Wait()
}

// look promises a claim all hands that are free.
func (c *Crew[T]) look() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.claimed, c.waits = time.Now(), false
	return c.promise(c.most)
}

// promise takes up to n hands. c.mu is held.
func (c *Crew[T]) promise(n int) int {
	n = max(min(n, c.most-c.busy), 0)
	c.busy += n
	c.hands.Add(n)
	return n
}

// start does jobs with hands of which so many were promised; more tells that
// others wait.
func (c *Crew[T]) start(jobs []T, promised int, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx := c.ctx
	for _, job := range jobs {
		go func() {
			defer c.done()
			c.set.Do(ctx, job)
		}()
	}
	c.waits = c.waits || more
	c.free(promised - len(jobs))
}

func (c *Crew[T]) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free(1)
}

// free gives n hands back, and has the table looked at if something waits for
// them. c.mu is held.
func (c *Crew[T]) free(n int) {
	c.busy -= n
	c.hands.Add(-n)
	free := c.most - c.busy
	if c.waits && free > 0 && (free*2 >= c.most || time.Since(c.claimed) > patience) {
		c.waits = false
		select {
		case c.poke <- struct{}{}:
		default:
		}
	}
}

// Hands are promised to what a transaction saves.
type Hands[T any] struct {
	// N is how many: so many rows may be saved as leased from now on. What is
	// saved besides is claimed as soon as it can be done.
	N int

	crew  *Crew[T]
	jobs  []T
	more  bool
	since time.Time
}

// Promise takes up to n hands for the rows that tx, which pg.InTx began, is
// about to save.
func (c *Crew[T]) Promise(tx pgx.Tx, n int) *Hands[T] {
	h := &Hands[T]{crew: c, since: time.Now()}
	c.mu.Lock()
	if c.open {
		h.N = c.promise(n)
	}
	c.mu.Unlock()
	h.more = h.N < n
	pg.OnEnd(tx, h.end)
	return h
}

// Give hands over rows that were saved as leased: they are done once the
// transaction is committed.
func (h *Hands[T]) Give(jobs ...T) { h.jobs = append(h.jobs, jobs...) }

func (h *Hands[T]) end(committed bool) {
	if !committed || time.Since(h.since) > h.crew.set.Late {
		h.jobs = nil // whose lease, if it was saved, ends by itself
	}
	h.crew.start(h.jobs, h.N, h.more && committed)
}
