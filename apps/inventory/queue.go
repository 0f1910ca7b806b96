package main

import (
	"context"
	"sync"
	"time"
)

// putHold is one shopper's wish for one SKU, waiting for its turn.
type putHold struct {
	ctx      context.Context
	shopper  string
	quantity int64
	answer   chan putAnswer // has room for the one answer, so that nobody who has left holds the queue up
}

type putAnswer struct {
	hold CartHold
	err  error
}

const (
	maxBatch     = 200
	batchTimeout = 5 * time.Second
)

// queue applies the cart holds of one SKU that arrive together in one transaction, first come first served. A SKU at
// rest is served at once; what arrives meanwhile waits for that transaction, not for a timer, and is the next batch.
// So a hot SKU costs one row lock and one commit a batch, however many shoppers want it. Several instances have a
// queue each: between them the row's lock decides.
type queue struct {
	apply func(ctx context.Context, sku string, batch []*putHold) error // answers each, or fails for all

	mu      sync.Mutex
	waiting map[string][]*putHold // a SKU is in here while somebody serves it
}

func newQueue(apply func(ctx context.Context, sku string, batch []*putHold) error) *queue {
	return &queue{apply: apply, waiting: map[string][]*putHold{}}
}

// put sets a shopper's hold and returns when it is committed, or ctx ends (then it may still happen).
func (q *queue) put(ctx context.Context, shopper, sku string, quantity int64) (CartHold, error) {
	p := &putHold{ctx: ctx, shopper: shopper, quantity: quantity, answer: make(chan putAnswer, 1)}
	q.mu.Lock()
	others, served := q.waiting[sku]
	q.waiting[sku] = append(others, p)
	q.mu.Unlock()
	if !served {
		go q.serve(sku)
	}
	select {
	case a := <-p.answer:
		return a.hold, a.err
	case <-ctx.Done():
		return CartHold{}, ctx.Err()
	}
}

// serve applies batch after batch until nobody waits for the SKU.
func (q *queue) serve(sku string) {
	for {
		batch := q.next(sku)
		if batch == nil {
			return
		}
		// The batch belongs to all who wait for it: no one of them can cancel it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(batch[0].ctx), batchTimeout)
		if err := q.apply(ctx, sku, batch); err != nil {
			for _, p := range batch {
				p.answer <- putAnswer{err: err}
			}
		}
		cancel()
	}
}

// next takes the first of those who still wait, or nil when there is nobody.
func (q *queue) next(sku string) []*putHold {
	q.mu.Lock()
	defer q.mu.Unlock()
	var batch []*putHold
	waiting := q.waiting[sku]
	for len(waiting) > 0 && len(batch) < maxBatch {
		if waiting[0].ctx.Err() == nil {
			batch = append(batch, waiting[0])
		}
		waiting = waiting[1:]
	}
	if batch == nil {
		delete(q.waiting, sku)
		return nil
	}
	q.waiting[sku] = waiting
	return batch
}
