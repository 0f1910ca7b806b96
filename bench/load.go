package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stampede-shop/stampede/kit/pause"
)

// result is what one measurement found.
type result struct {
	Name    string
	Clients int // how many asked at once; 0 where they came at a rate

	Took    time.Duration   // from the first request to the last answer
	Times   []time.Duration // of operations that went well, the shortest first
	SoldOut []time.Duration // of those that were told that there is none left, the shortest first
	Refused []time.Duration // of those that were told to come again later (503, 429), the shortest first
	Errors  map[string]int  // of all others, by what went wrong
	First   error           // the first of these

	Cost *cost // nil where it was not measured
}

// rate is how many operations went well in a second.
func (r *result) rate() float64 { return float64(len(r.Times)) / r.Took.Seconds() }

// done is how many operations had the answer that they came for, be it no.
func (r *result) done() int { return len(r.Times) + len(r.SoldOut) }

// failed is how many went wrong.
func (r *result) failed() int {
	n := 0
	for _, k := range r.Errors {
		n += k
	}
	return n
}

// percentile is the time within which so much of 100 was answered.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(float64(len(sorted))*p/100), len(sorted)-1)]
}

// tally collects what becomes of operations that run side by side.
type tally struct {
	mu sync.Mutex
	r  result
}

// errOver ends a client of closed.
var errOver = errors.New("enough")

func (t *tally) add(took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var no *refusal
	switch {
	case err == nil:
		t.r.Times = append(t.r.Times, took)
	case errors.As(err, &no) && no.slug == "out-of-stock":
		t.r.SoldOut = append(t.r.SoldOut, took)
	case errors.As(err, &no) && no.later():
		t.r.Refused = append(t.r.Refused, took)
	default:
		kind := "no answer"
		if no != nil {
			kind = no.kind()
		}
		if t.r.First == nil {
			t.r.First = err
		}
		if t.r.Errors == nil {
			t.r.Errors = map[string]int{}
		}
		t.r.Errors[kind]++
	}
}

// end returns what was found, begun then.
func (t *tally) end(begun time.Time) *result {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.r.Took = time.Since(begun)
	slices.Sort(t.r.Times)
	slices.Sort(t.r.SoldOut)
	slices.Sort(t.r.Refused)
	return &t.r
}

// closed lets so many clients do something again and again, each beginning
// anew when it has its answer, until the time is over, it was done so often, or
// it answers errOver. Who is told to come again later waits for that long, at
// most a second. n counts the operations.
func closed(ctx context.Context, clients int, limit time.Duration, most int, do func(ctx context.Context, n int) error) *result {
	var (
		t     tally
		count atomic.Int64
		wait  sync.WaitGroup
	)
	begun := time.Now()
	until := begun.Add(limit)
	for range clients {
		wait.Go(func() {
			for ctx.Err() == nil && time.Now().Before(until) {
				n := int(count.Add(1)) - 1
				if n >= most {
					return
				}
				from := time.Now()
				err := do(ctx, n)
				if errors.Is(err, errOver) {
					return
				}
				t.add(time.Since(from), err)
				var no *refusal
				if errors.As(err, &no) && no.after > 0 {
					pause.For(ctx, min(no.after, time.Second))
				}
			}
		})
	}
	wait.Wait()
	r := t.end(begun)
	r.Clients = clients
	return r
}

// each does something for all, so many at a time.
func each[T any](ctx context.Context, all []T, atOnce int, do func(ctx context.Context, i int, one T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range atOnce {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := do(ctx, i, all[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

// milliseconds shows a time as the tables do.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}
