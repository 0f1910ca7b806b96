package longpoll_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/longpoll"
)

// TestEach: whoever has a page open many times waits in some of them, and keeps nobody else from waiting.
func TestEach(t *testing.T) {
	t.Parallel()
	p, mine, stopping := longpoll.New(longpoll.Most), uuid.New(), make(chan struct{})
	answers := make(chan error, 2*longpoll.Most)
	poll := func(id uuid.UUID) {
		nothing, never := func() (int, error) { return 0, nil }, func(int) bool { return false }
		_, err := longpoll.Read(t.Context(), p, id, time.Hour, stopping, nothing, never)
		answers <- err
	}
	for range longpoll.Most {
		go poll(mine)
	}
	for range longpoll.Most - longpoll.Each {
		require.NoError(t, <-answers)
	}
	require.Equal(t, longpoll.Each, p.Waiting())
	go poll(uuid.New())
	require.Eventually(t, func() bool { return p.Waiting() == longpoll.Each+1 }, 5*time.Second, time.Millisecond)
	close(stopping)
	for range longpoll.Each + 1 {
		require.NoError(t, <-answers)
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	const long = time.Hour
	p, id, stopping := longpoll.New(2), uuid.New(), make(chan struct{})
	var n atomic.Int64
	wait := func(ctx context.Context, of uuid.UUID, wait time.Duration, above int64) <-chan int64 {
		answer, before := make(chan int64, 1), p.Waiting()
		go func() {
			got, err := longpoll.Read(ctx, p, of, wait, stopping, func() (int64, error) { return n.Load(), nil },
				func(v int64) bool { return v > above })
			if err != nil {
				got = -1
			}
			answer <- got
		}()
		if wait == long && n.Load() <= above && before < 2 {
			require.Eventually(t, func() bool { return p.Waiting() == before+1 }, 5*time.Second, time.Millisecond)
		}
		return answer
	}
	require.Zero(t, <-wait(t.Context(), id, 0, 5), "no wait")
	require.Zero(t, <-wait(t.Context(), id, time.Millisecond, 5), "as it is once the wait is over")
	n.Store(1)
	require.EqualValues(t, 1, <-wait(t.Context(), id, long, 0), "it is news already")

	one, another := wait(t.Context(), id, long, 1), wait(t.Context(), uuid.New(), long, 1)
	require.Len(t, p.IDs(), 2)
	require.EqualValues(t, 1, <-wait(t.Context(), id, long, 1), "too many wait")
	p.Wake(id) // nothing has changed: it waits on
	n.Store(2)
	p.Wake(id)
	require.EqualValues(t, 2, <-one)
	require.Equal(t, 1, p.Waiting())
	p.WakeAll()
	require.EqualValues(t, 2, <-another, "some change may have been missed")

	gone, cancel := context.WithCancel(t.Context())
	left := wait(gone, id, long, 2)
	cancel()
	require.EqualValues(t, -1, <-left)
	stopped := wait(t.Context(), id, long, 2)
	close(stopping)
	require.EqualValues(t, 2, <-stopped)
	require.Zero(t, p.Waiting())
	require.Empty(t, p.IDs())

	away := errors.New("away")
	_, err := longpoll.Read(t.Context(), p, id, long, stopping, func() (int, error) { return 0, away }, func(int) bool { return false })
	require.ErrorIs(t, err, away)
}
