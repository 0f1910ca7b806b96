// Package longpoll lets requests wait until something has changed.
package longpoll

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Most is how many wait at an instance: each occupies one of about a hundred
// streams of a sidecar's connection, and some memory. Whoever comes on top is
// answered at once.
const Most = 200

// Each is how many wait for the same thing: the tabs and devices of whose it is.
const Each = 8

// Polls are the requests that wait, each for one thing.
type Polls struct {
	mu      sync.Mutex
	waiting map[uuid.UUID]map[chan struct{}]struct{}
	n, most int
}

// New lets at most so many wait.
func New(most int) *Polls {
	return &Polls{waiting: map[uuid.UUID]map[chan struct{}]struct{}{}, most: most}
}

// Waiting counts the requests that wait.
func (p *Polls) Waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// IDs names what is waited for.
func (p *Polls) IDs() []uuid.UUID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.waiting))
}

// Wake has those look again who wait for things that have changed.
func (p *Polls) Wake(ids ...uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		ring(p.waiting[id])
	}
}

// WakeAll has all look again: some change may have been missed.
func (p *Polls) WakeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, all := range p.waiting {
		ring(all)
	}
}

func ring(all map[chan struct{}]struct{}) {
	for c := range all {
		select {
		case c <- struct{}{}:
		default: // it has not looked yet
		}
	}
}

// join waits for a thing until leave is called; the channel gets a value after
// changes. ok is false when too many wait already, in all or for it.
func (p *Polls) join(id uuid.UUID) (woken <-chan struct{}, leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n >= p.most || len(p.waiting[id]) >= Each {
		return nil, nil, false
	}
	c := make(chan struct{}, 1)
	if p.waiting[id] == nil {
		p.waiting[id] = map[chan struct{}]struct{}{}
	}
	p.waiting[id][c] = struct{}{}
	p.n++
	return c, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.n--
		delete(p.waiting[id], c)
		if len(p.waiting[id]) == 0 {
			delete(p.waiting, id)
		}
	}, true
}

// Read reads a thing until what it reads is news: at first, and after each
// change. It comes back with what it has read last when the wait or ctx is
// over, stopping is closed, or too many wait. Errors: those of read, and ctx's.
func Read[T any](
	ctx context.Context, p *Polls, id uuid.UUID, wait time.Duration, stopping <-chan struct{}, read func() (T, error), news func(T) bool,
) (T, error) {
	if wait == 0 {
		return read()
	}
	woken, leave, ok := p.join(id)
	if !ok {
		return read()
	}
	defer leave()
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		// Read after joining, so that no change falls in between.
		v, err := read()
		if err != nil || news(v) {
			return v, err
		}
		select {
		case <-woken:
		case <-over.C:
			return v, nil
		case <-stopping:
			return v, nil
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}
