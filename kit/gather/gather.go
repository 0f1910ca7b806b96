// Package gather does together what arrives together. What comes while a batch
// is at work is the next batch: nobody waits for a timer, a batch of one costs
// what it would have cost alone, and the more there are the less each costs.
package gather

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/trace"
)

// ErrCrowded is answered at once when too many wait already.
var ErrCrowded = problem.ErrUnavailable

// Settings of a Gatherer. The zero value is a good one.
type Settings[In any] struct {
	// Conflict names what two members of one batch must not have in common: the
	// later one waits for the next batch. Nil: any may be together.
	Conflict func(In) string
	Most     int           // members of a batch; 100 when 0
	Waiting  int           // callers that may wait; 2,000 when 0
	Limit    time.Duration // of a batch; 5 s when 0. What its members have on top is for trying them one by one
	// Apart is how long after a batch began the next one begins at the earliest,
	// for what nobody waits for.
	Apart time.Duration
	// Rest is how many times as long as a batch took its gatherer rests after it,
	// at most mostRest, and no longer once a whole batch waits: batches are slow
	// when the machine has much to do, and then more come together. For what no
	// one sits and waits for.
	Rest int
}

// mostRest is the longest rest. Of 100 and 250 ms the longer one spared twice as
// much at 64 clients (bench/TRIED.md).
const mostRest = 250 * time.Millisecond

// Gatherer gathers callers of one operation. It does one batch at a time.
type Gatherer[In, Out any] struct {
	do  func(ctx context.Context, batch []In) ([]Answer[Out], error)
	set Settings[In]

	mu      sync.Mutex
	waiting []*member[In, Out]
	serving bool
	full    chan struct{} // closed when a whole batch waits; nil when nobody wants to know
}

// Answer is what one member of a batch gets.
type Answer[Out any] struct {
	Value Out
	Err   error
}

type member[In, Out any] struct {
	ctx    context.Context
	in     In
	key    string
	answer chan Answer[Out] // has room for the one answer, so that nobody who has left holds the others up
}

// left tells whether nobody waits for the answer any more.
func (m *member[In, Out]) left() bool {
	end, limited := m.ctx.Deadline()
	return m.ctx.Err() != nil || limited && !time.Now().Before(end)
}

// New gathers the callers of do, which answers each member of a batch, in its
// order, or fails for all. When it fails, except because a neighbour or the
// database is away, its members are tried again one by one, so that a bad one
// fails alone: do must leave nothing behind when it returns an error.
func New[In, Out any](set Settings[In], do func(ctx context.Context, batch []In) ([]Answer[Out], error)) *Gatherer[In, Out] {
	set.Most, set.Waiting, set.Limit = cmp.Or(set.Most, 100), cmp.Or(set.Waiting, 2000), cmp.Or(set.Limit, 5*time.Second)
	return &Gatherer[In, Out]{do: do, set: set}
}

// Whole is what New takes where the members of a batch have nothing to be told
// but that it is done.
func Whole[In any](do func(ctx context.Context, batch []In) error) func(context.Context, []In) ([]Answer[struct{}], error) {
	return func(ctx context.Context, batch []In) ([]Answer[struct{}], error) {
		return make([]Answer[struct{}], len(batch)), do(ctx, batch)
	}
}

// Do returns when what is asked for is done, or ctx ends (then it may still
// happen). Errors: ErrCrowded, and what the batch answered.
func (g *Gatherer[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	m := &member[In, Out]{ctx: ctx, in: in, answer: make(chan Answer[Out], 1)}
	if g.set.Conflict != nil {
		m.key = g.set.Conflict(in)
	}
	g.mu.Lock()
	if len(g.waiting) >= g.set.Waiting {
		g.mu.Unlock()
		var none Out
		return none, ErrCrowded.Because(fmt.Errorf("%d wait already", g.set.Waiting))
	}
	g.waiting = append(g.waiting, m)
	begin := !g.serving
	g.serving = true
	if g.full != nil && len(g.waiting) >= g.set.Most {
		close(g.full)
		g.full = nil
	}
	g.mu.Unlock()
	if begin {
		go g.serve()
	}
	select {
	case a := <-m.answer:
		return a.Value, a.Err
	case <-ctx.Done():
		var none Out
		return none, ctx.Err()
	}
}

// Waits tells how many callers wait for the next batch.
func (g *Gatherer[In, Out]) Waits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// serve does batch after batch until nobody waits.
func (g *Gatherer[In, Out]) serve() {
	for batch := g.next(); batch != nil; batch = g.next() {
		began := time.Now()
		g.answer(batch)
		took := time.Since(began)
		g.rest(max(g.set.Apart-took, min(time.Duration(g.set.Rest)*took, mostRest)))
	}
}

// rest waits for so long, or until a whole batch waits.
func (g *Gatherer[In, Out]) rest(long time.Duration) {
	g.mu.Lock()
	if long <= 0 || len(g.waiting) >= g.set.Most {
		g.mu.Unlock()
		return
	}
	full := make(chan struct{})
	g.full = full
	g.mu.Unlock()
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-full:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.full = nil
}

// next takes those who still wait, first come first; nil when there is nobody.
func (g *Gatherer[In, Out]) next() []*member[In, Out] {
	g.mu.Lock()
	defer g.mu.Unlock()
	var batch, left []*member[In, Out]
	taken := map[string]bool{}
	for i, m := range g.waiting {
		if len(batch) == g.set.Most {
			left = append(left, g.waiting[i:]...)
			break
		}
		switch {
		case m.left():
		case m.key != "" && taken[m.key]:
			left = append(left, m)
		default:
			taken[m.key] = true
			batch = append(batch, m)
		}
	}
	g.waiting = left
	g.serving = batch != nil
	return batch
}

// sideBySide is how many members of a batch that was late are tried at a time: what serves others needs connections too.
const sideBySide = pg.Connections / 2

func (g *Gatherer[In, Out]) answer(batch []*member[In, Out]) {
	answers, err := g.attempt(batch)
	switch {
	case err == nil:
		for i, m := range batch {
			m.answer <- answers[i]
		}
	case len(batch) == 1 || errors.Is(err, problem.ErrUnavailable) || pg.Away(err) && !pg.Late(err):
		for _, m := range batch {
			m.answer <- Answer[Out]{Err: err}
		}
	case pg.Late(err): // what holds one up must not hold up the others
		var each errgroup.Group
		each.SetLimit(sideBySide)
		for _, m := range batch {
			each.Go(func() error { g.alone(m); return nil })
		}
		_ = each.Wait()
	default:
		for _, m := range batch {
			g.alone(m)
		}
	}
}

// alone tries a member of a batch that failed, unless it has left meanwhile.
func (g *Gatherer[In, Out]) alone(m *member[In, Out]) {
	if !m.left() {
		g.answer([]*member[In, Out]{m})
	}
}

// until is when a batch must be done: nobody waits for it after the last of its members' deadlines.
func (g *Gatherer[In, Out]) until(batch []*member[In, Out]) time.Time {
	limit := time.Now().Add(g.set.Limit)
	var last time.Time
	for _, m := range batch {
		end, limited := m.ctx.Deadline()
		if !limited || end.After(limit) {
			return limit
		}
		if end.After(last) {
			last = end
		}
	}
	return last
}

func (g *Gatherer[In, Out]) attempt(batch []*member[In, Out]) (answers []Answer[Out], err error) {
	// The batch belongs to all who wait for it: no one of them can cancel it.
	ctx, end := trace.Together(pg.Column(batch, func(m *member[In, Out]) context.Context { return m.ctx }))
	defer end()
	ctx, cancel := context.WithDeadline(ctx, g.until(batch))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	ins := make([]In, 0, len(batch))
	for _, m := range batch {
		ins = append(ins, m.in)
	}
	answers, err = g.do(ctx, slices.Clip(ins))
	if err == nil && len(answers) != len(batch) {
		err = fmt.Errorf("%d answers for a batch of %d", len(answers), len(batch))
	}
	return answers, err
}
