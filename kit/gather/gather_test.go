package gather_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/trace"
)

const waitFor, tick = 10 * time.Second, time.Millisecond

// work is an operation that can be held up, and notes its batches.
type work struct {
	began chan []int
	goOn  chan error // what the batch that began returns
}

func newWork() *work { return &work{make(chan []int, 100), make(chan error)} }

func (w *work) do(_ context.Context, batch []int) ([]gather.Answer[string], error) {
	w.began <- batch
	if err := <-w.goOn; err != nil {
		return nil, err
	}
	answers := make([]gather.Answer[string], 0, len(batch))
	for _, n := range batch {
		if n < 0 {
			answers = append(answers, gather.Answer[string]{Err: fmt.Errorf("no %d", n)})
			continue
		}
		answers = append(answers, gather.Answer[string]{Value: fmt.Sprint(n)})
	}
	return answers, nil
}

// crowd calls g for each n while a batch is at work, one after the other, and returns what waits for their answers.
func crowd(t *testing.T, g *gather.Gatherer[int, string], ns ...int) (wait func() map[int]gather.Answer[string]) {
	t.Helper()
	return call(t, g, true, ns...)
}

// begin calls g while it is at rest.
func begin(t *testing.T, g *gather.Gatherer[int, string], n int) (wait func() map[int]gather.Answer[string]) {
	t.Helper()
	return call(t, g, false, n)
}

func call(t *testing.T, g *gather.Gatherer[int, string], queued bool, ns ...int) (wait func() map[int]gather.Answer[string]) {
	t.Helper()
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		answers = map[int]gather.Answer[string]{}
	)
	for _, n := range ns {
		before := g.Waits()
		all.Go(func() {
			v, err := g.Do(context.Background(), n)
			mu.Lock()
			defer mu.Unlock()
			answers[n] = gather.Answer[string]{Value: v, Err: err}
		})
		if queued {
			require.Eventually(t, func() bool { return g.Waits() > before }, waitFor, tick)
		}
	}
	return func() map[int]gather.Answer[string] { all.Wait(); return answers }
}

// TestTogether: who comes while a batch is at work is in the next, in the order of coming, each with an answer of its own.
func TestTogether(t *testing.T) {
	t.Parallel()
	w := newWork()
	g := gather.New(gather.Settings[int]{Most: 3}, w.do)
	first := make(chan string)
	go func() { v, _ := g.Do(context.Background(), 1); first <- v }()
	require.Equal(t, []int{1}, <-w.began, "alone, at once")
	wait := crowd(t, g, 2, -3, 4, 5)
	w.goOn <- nil
	require.Equal(t, "1", <-first)
	require.Equal(t, []int{2, -3, 4}, <-w.began)
	w.goOn <- nil
	require.Equal(t, []int{5}, <-w.began)
	w.goOn <- nil
	answers := wait()
	require.Equal(t, "2", answers[2].Value)
	require.EqualError(t, answers[-3].Err, "no -3")
	require.Equal(t, "4", answers[4].Value)
	require.Equal(t, "5", answers[5].Value)
}

// TestTrace: one alone goes on in its own trace; of many the batch is in that of the first which is kept.
func TestTrace(t *testing.T) {
	t.Parallel()
	const (
		dropped = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
		kept    = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01"
	)
	began, goOn := make(chan string), make(chan struct{})
	g := gather.New(gather.Settings[int]{}, gather.Whole(func(ctx context.Context, _ []int) error {
		began <- trace.Of(ctx)
		<-goOn
		return nil
	}))
	var all sync.WaitGroup
	for i, traceparent := range []string{dropped, dropped, kept} {
		before := g.Waits()
		all.Go(func() { _, _ = g.Do(trace.Resume(context.Background(), traceparent), i) })
		if i == 0 {
			require.Equal(t, dropped, <-began)
			continue
		}
		require.Eventually(t, func() bool { return g.Waits() > before }, waitFor, tick)
	}
	goOn <- struct{}{}
	require.Equal(t, kept, <-began)
	goOn <- struct{}{}
	all.Wait()
}

// TestConflicts: what must not share a batch does not, and the others do not wait for it.
func TestConflicts(t *testing.T) {
	t.Parallel()
	w := newWork()
	g := gather.New(gather.Settings[int]{Conflict: func(n int) string { return fmt.Sprint(n % 10) }}, w.do)
	wait := begin(t, g, 1)
	<-w.began
	waitMore := crowd(t, g, 2, 12, 3, 22)
	w.goOn <- nil
	require.Equal(t, []int{2, 3}, <-w.began)
	w.goOn <- nil
	require.Equal(t, []int{12}, <-w.began)
	w.goOn <- nil
	require.Equal(t, []int{22}, <-w.began)
	w.goOn <- nil
	wait()
	waitMore()
}

// TestBadMember: a batch that fails is tried member by member; one whose database or neighbour is away is not.
func TestBadMember(t *testing.T) {
	t.Parallel()
	w := newWork()
	g := gather.New(gather.Settings[int]{}, w.do)
	wait := begin(t, g, 1)
	<-w.began
	waitMore := crowd(t, g, 2, 3)
	w.goOn <- nil
	<-w.began
	w.goOn <- errors.New("3 is bad")
	require.Equal(t, []int{2}, <-w.began)
	w.goOn <- nil
	require.Equal(t, []int{3}, <-w.began)
	w.goOn <- errors.New("3 is bad")
	wait()
	answers := waitMore()
	require.NoError(t, answers[2].Err)
	require.EqualError(t, answers[3].Err, "3 is bad")

	wait = begin(t, g, 1)
	<-w.began
	waitMore = crowd(t, g, 2, 3)
	w.goOn <- nil
	<-w.began
	w.goOn <- context.Canceled
	wait()
	answers = waitMore()
	require.ErrorIs(t, answers[2].Err, context.Canceled)
	require.ErrorIs(t, answers[3].Err, context.Canceled)

	// Also when the neighbour was late: whoever is asked again is asked for nothing.
	wait = begin(t, g, 1)
	<-w.began
	waitMore = crowd(t, g, 2, 3)
	w.goOn <- nil
	<-w.began
	w.goOn <- problem.ErrUnavailable.Because(context.DeadlineExceeded)
	wait()
	answers = waitMore()
	require.ErrorIs(t, answers[2].Err, problem.ErrUnavailable)
	require.ErrorIs(t, answers[3].Err, problem.ErrUnavailable)

	// Late: the members do not wait for each other.
	wait = begin(t, g, 1)
	<-w.began
	waitMore = crowd(t, g, 2, 3)
	w.goOn <- nil
	<-w.began
	w.goOn <- context.DeadlineExceeded
	alone := slices.Concat(<-w.began, <-w.began)
	slices.Sort(alone)
	require.Equal(t, []int{2, 3}, alone)
	w.goOn <- nil
	w.goOn <- nil
	wait()
	answers = waitMore()
	require.NoError(t, errors.Join(answers[2].Err, answers[3].Err))
}

// leaver waits for n. What it returns has it leave.
func leaver(t *testing.T, g *gather.Gatherer[int, string], n int) (leave func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() { _, err := g.Do(ctx, n); left <- err }()
	require.Eventually(t, func() bool { return g.Waits() == 1 }, waitFor, tick)
	return func() {
		t.Helper()
		cancel()
		require.ErrorIs(t, <-left, context.Canceled)
	}
}

// TestLeavers: who has left is not served, and holds nobody up.
func TestLeavers(t *testing.T) {
	t.Parallel()
	w := newWork()
	g := gather.New(gather.Settings[int]{}, w.do)
	wait := begin(t, g, 1)
	<-w.began
	leave := leaver(t, g, 2)
	waitMore := crowd(t, g, 3)
	leave()
	w.goOn <- nil
	require.Equal(t, []int{3}, <-w.began)
	w.goOn <- nil
	wait()
	waitMore()
}

// TestLeaversOfABatch: who leaves while the batch is at work is not tried alone when it has failed.
func TestLeaversOfABatch(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{context.DeadlineExceeded, errors.New("3 is bad")} {
		w := newWork()
		g := gather.New(gather.Settings[int]{}, w.do)
		wait := begin(t, g, 1)
		<-w.began
		leave := leaver(t, g, 2)
		waitMore := crowd(t, g, 3)
		w.goOn <- nil
		require.Equal(t, []int{2, 3}, <-w.began)
		leave()
		w.goOn <- failure
		require.Equal(t, []int{3}, <-w.began)
		w.goOn <- nil
		wait()
		require.NoError(t, waitMore()[3].Err)
		require.Empty(t, w.began)
	}
}

// TestLate: of a batch that was late only so many are tried at a time as leave the pool to others, within the time that is
// left to its members; nothing is done for longer than somebody waits for it.
func TestLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit, deadline = time.Second, 3 * time.Second
		var now, most, tried int
		var mu sync.Mutex
		g := gather.New(gather.Settings[int]{Limit: limit}, gather.Whole(func(ctx context.Context, batch []int) error {
			if len(batch) > 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			if batch[0] == 0 { // so that the others come together
				time.Sleep(time.Millisecond)
				return nil
			}
			mu.Lock()
			now, tried = now+1, tried+1
			most = max(most, now)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			now--
			mu.Unlock()
			return ctx.Err()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), deadline-limit/2)
		defer cancel()
		for n := range 100 {
			go func() {
				_, err := g.Do(ctx, n)
				assert.Equal(t, n > 0, err != nil, n)
			}()
			if n == 0 {
				synctest.Wait()
			}
		}
		<-ctx.Done()
		synctest.Wait()
		require.Zero(t, now, "nobody waits any more")
		require.Equal(t, pg.Connections/2, most)
		require.Equal(t, 2*most, tried, "by turns, until all have left")
	})
}

// TestCrowded: no more wait than may, and the next is told so at once.
func TestCrowded(t *testing.T) {
	t.Parallel()
	w := newWork()
	g := gather.New(gather.Settings[int]{Waiting: 2}, w.do)
	wait := begin(t, g, 1)
	<-w.began
	waitMore := crowd(t, g, 2, 3)
	_, err := g.Do(t.Context(), 4)
	require.ErrorIs(t, err, gather.ErrCrowded)
	w.goOn <- nil
	<-w.began
	w.goOn <- nil
	wait()
	waitMore()
}

// TestPanic: a batch that panics fails, and the next is served.
func TestPanic(t *testing.T) {
	t.Parallel()
	g := gather.New(gather.Settings[int]{}, func(_ context.Context, batch []int) ([]gather.Answer[string], error) {
		if batch[0] == 1 {
			panic("1")
		}
		return make([]gather.Answer[string], len(batch)), nil
	})
	_, err := g.Do(t.Context(), 1)
	require.ErrorContains(t, err, "panic: 1")
	_, err = g.Do(t.Context(), 2)
	require.NoError(t, err)
}

// TestApart: batches that nobody waits for begin no closer together than is wanted; the first begins at once.
func TestApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var at []time.Duration
		var batches [][]int
		g := gather.New(gather.Settings[int]{Apart: time.Minute}, gather.Whole(func(_ context.Context, batch []int) error {
			at, batches = append(at, time.Since(begun)), append(batches, batch)
			return nil
		}))
		for n := range 5 {
			go func() {
				time.Sleep(time.Duration(n) * 25 * time.Second)
				_, err := g.Do(t.Context(), n)
				assert.NoError(t, err)
			}()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []time.Duration{0, time.Minute, 2 * time.Minute}, at)
		require.Equal(t, [][]int{{0}, {1, 2}, {3, 4}}, batches)
	})
}

// TestRest: after a batch its gatherer rests in proportion, and who comes meanwhile is the next batch; who comes later begins at
// once, and so does a whole batch.
func TestRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type batch struct {
			at time.Duration
			n  int
		}
		var batches []batch
		begun := time.Now()
		g := gather.New(gather.Settings[int]{Most: 3, Rest: 10}, gather.Whole(func(_ context.Context, ms []int) error {
			batches = append(batches, batch{time.Since(begun), len(ms)})
			time.Sleep(time.Duration(ms[0]) * time.Millisecond)
			return nil
		}))
		var all sync.WaitGroup
		come := func(at, takes int) {
			all.Go(func() {
				time.Sleep(time.Duration(at) * time.Millisecond)
				_, err := g.Do(t.Context(), takes)
				assert.NoError(t, err)
			})
		}
		come(0, 10)
		come(40, 10)
		come(80, 10)
		come(1000, 10)
		come(2000, 1000)
		come(3100, 10)
		come(5000, 20)
		for range 3 {
			come(5100, 10)
		}
		all.Wait()
		time.Sleep(time.Second) // the last rest
		ms := time.Millisecond
		require.Equal(t, []batch{
			{0, 1}, {110 * ms, 2}, // rested for ten times as long as it took
			{1000 * ms, 1},                 // alone
			{2000 * ms, 1}, {3250 * ms, 1}, // for a quarter of a second at most
			{5000 * ms, 1}, {5100 * ms, 3}, // not when a whole batch waits
		}, batches)
	})
}
