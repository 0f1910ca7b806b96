package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// maxPolls bounds the long polls of an instance: each occupies one of about a hundred streams of a sidecar's
// connection, and some memory. Whoever comes on top is answered at once.
const maxPolls = 200

// polls are the requests that wait for an order to change.
type polls struct {
	mu      sync.Mutex
	waiting map[uuid.UUID]map[chan struct{}]struct{}
	n, max  int
}

func newPolls(limit int) *polls {
	return &polls{waiting: map[uuid.UUID]map[chan struct{}]struct{}{}, max: limit}
}

// join waits for an order until leave is called; the channel gets a value after changes. ok is false when too many
// wait already.
func (p *polls) join(id uuid.UUID) (woken <-chan struct{}, leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n >= p.max {
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

// wake tells those who wait for orders that have changed.
func (p *polls) wake(ids ...uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		ring(p.waiting[id])
	}
}

// heard wakes those who wait for the orders that a notification names, or everybody when it names none, because
// notifications may have been missed.
func (p *polls) heard(payload string) {
	if payload == "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, all := range p.waiting {
			ring(all)
		}
		return
	}
	for text := range strings.SplitSeq(payload, ",") {
		if id, err := uuid.Parse(text); err == nil {
			p.wake(id)
		}
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

// newer reads an order of an account when its version is above since, or when it has changed so, or as it is once the
// wait is over, the service stops, or too many wait.
func (s *service) newer(ctx context.Context, account, id uuid.UUID, since int, wait time.Duration) (*Order, error) {
	if wait == 0 {
		return s.own(ctx, account, id)
	}
	woken, leave, ok := s.polls.join(id)
	if !ok {
		return s.own(ctx, account, id)
	}
	defer leave()
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		// Read after joining, so that no change falls in between.
		o, err := s.own(ctx, account, id)
		if err != nil || o.Version > since {
			return o, err
		}
		select {
		case <-woken:
		case <-over.C:
			return o, nil
		case <-s.stopping:
			return o, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
