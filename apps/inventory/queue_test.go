package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// waitFor polls until a SKU is being served and so many wait for it.
func waitFor(t *testing.T, q *queue, sku string, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		waiting, served := q.waiting[sku]
		return served && len(waiting) == n
	}, 10*time.Second, time.Millisecond)
}

func TestQueueServesTogetherWhatArrivesTogether(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var batches [][]string
	proceed := make(chan struct{})
	q := newQueue(func(_ context.Context, _ string, batch []*putHold) error {
		var names []string
		for _, p := range batch {
			names = append(names, p.shopper)
		}
		mu.Lock()
		batches = append(batches, names)
		mu.Unlock()
		<-proceed
		for _, p := range batch {
			p.answer <- putAnswer{hold: CartHold{Quantity: p.quantity}}
		}
		return nil
	})
	var all sync.WaitGroup
	put := func(i int) {
		all.Add(1)
		go func() {
			defer all.Done()
			hold, err := q.put(context.Background(), fmt.Sprint(i), "HOT", int64(i))
			if err != nil || hold.Quantity != int64(i) {
				t.Errorf("put %d: %v, %v", i, hold, err)
			}
		}()
	}
	put(0) // served at once, alone
	waitFor(t, q, "HOT", 0)
	for i := 1; i <= maxBatch+5; i++ { // they arrive one after the other while it is under way
		put(i)
		waitFor(t, q, "HOT", i)
	}
	close(proceed)
	all.Wait()

	require.Len(t, batches, 3)
	require.Equal(t, []string{"0"}, batches[0])
	require.Len(t, batches[1], maxBatch)
	require.Len(t, batches[2], 5)
	next := 1
	for _, batch := range batches[1:] {
		for _, name := range batch {
			require.Equal(t, fmt.Sprint(next), name, "first come, first served")
			next++
		}
	}
	require.Eventually(t, func() bool { q.mu.Lock(); defer q.mu.Unlock(); return len(q.waiting) == 0 }, 10*time.Second, time.Millisecond, "nothing is kept of a SKU at rest")
}

func TestQueueDoesNotMakeOneSKUWaitForAnother(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	q := newQueue(func(_ context.Context, sku string, batch []*putHold) error {
		if sku == "SLOW" {
			<-proceed
		}
		for _, p := range batch {
			p.answer <- putAnswer{}
		}
		return nil
	})
	slow := make(chan error, 1)
	go func() {
		_, err := q.put(context.Background(), "a", "SLOW", 1)
		slow <- err
	}()
	waitFor(t, q, "SLOW", 0)
	_, err := q.put(t.Context(), "a", "QUICK", 1)
	require.NoError(t, err)
	close(proceed)
	require.NoError(t, <-slow)
}

func TestQueueLeavesOutWhoHasLeft(t *testing.T) {
	t.Parallel()
	var served []string
	proceed := make(chan struct{})
	q := newQueue(func(ctx context.Context, _ string, batch []*putHold) error {
		<-proceed
		for _, p := range batch {
			served = append(served, p.shopper)
			p.answer <- putAnswer{err: ctx.Err()}
		}
		return nil
	})
	answers := make(chan error, 3)
	leaving, leave := context.WithCancel(context.Background())
	for i, ctx := range []context.Context{leaving, leaving, context.Background()} {
		go func() {
			_, err := q.put(ctx, fmt.Sprint(i), "HOT", 1)
			answers <- err
		}()
		waitFor(t, q, "HOT", i)
	}
	leave()
	require.ErrorIs(t, <-answers, context.Canceled)
	require.ErrorIs(t, <-answers, context.Canceled)
	close(proceed)
	require.NoError(t, <-answers, "the batch does not end with the context of one who left")
	require.Equal(t, []string{"0", "2"}, served, "0 left while it was served, 1 before")
}

func TestQueueTellsAllOfAFailure(t *testing.T) {
	t.Parallel()
	broken := errors.New("database is away")
	q := newQueue(func(context.Context, string, []*putHold) error { return broken })
	_, err := q.put(t.Context(), "a", "HOT", 1)
	require.ErrorIs(t, err, broken)
	_, err = q.put(t.Context(), "a", "HOT", 1)
	require.ErrorIs(t, err, broken, "and goes on")
}
