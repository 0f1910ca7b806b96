package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
)

// TestKept: a small run keeps what it promises, and is the same whenever it is played.
func TestKept(t *testing.T) {
	t.Parallel()
	rows := verdict(play(theRules, []batch{{12, 1000}}, 6))
	require.Greater(t, len(rows), 10)
	for _, r := range rows {
		require.True(t, r.kept, "%s: %s, not %s", r.promise, r.measured, r.mark)
	}
	require.Equal(t, run(scene{7, 500, 64, theRules}), run(scene{7, 500, 64, theRules}))
}

// TestBroken: the judge refuses what breaks a promise, and that promise; and there is none that nothing breaks.
func TestBroken(t *testing.T) {
	t.Parallel()
	breaks := []struct {
		promise string
		breaks  func(*rules)
	}{
		{"never too many", func(r *rules) { // more than there are
			r.hold = func(l *drop.Lot, quantity int64, until, now time.Time, has drop.Has) (drop.Has, drop.Refusal) {
				more := max(quantity-has.Ordered-has.Held, 0)
				l.Free += more
				has, refusal := l.Hold(quantity, until, now, has)
				l.Free -= more
				return has, refusal
			}
		}},
		{"never too many", func(r *rules) { // beyond the limit
			r.hold = func(l *drop.Lot, quantity int64, until, now time.Time, has drop.Has) (drop.Has, drop.Refusal) {
				forgetful := *l
				forgetful.Limit = 1000
				has, refusal := forgetful.Hold(quantity, until, now, has)
				forgetful.Limit = l.Limit
				*l = forgetful
				return has, refusal
			}
		}},
		{"never too many", func(r *rules) { r.called = func(_, after int64) int64 { return after / 2 } }},
		{"never too few", func(r *rules) { r.serve = func(free int64, _ []int64) ([]int, int64) { return nil, free } }},
		{"fair: the tenth", func(r *rules) { r.positions = inOrder }},
		{"fair: the time", func(r *rules) { r.positions = inOrder }},
		{"k accounts", func(r *rules) { r.positions = inOrder }}, // of who entered in the first second
		{"64 tabs", func(r *rules) { r.entries = 64 }},
		{"speed gains nothing", func(r *rules) { r.more = func(drop.Call) int { return 1000 } }},
		{"up to 10,000 wait", func(r *rules) { r.poll = func(int64) [2]int64 { return [2]int64{2, 10} } }},
		{"100,000 wait", func(r *rules) { r.poll = func(int64) [2]int64 { return [2]int64{2, 20} } }},
		{"come back", func(r *rules) { r.entries = 2 }},                   // a place for each device
		{"come back", func(r *rules) { r.own = noShuffle }},               // a device that gets it wrong
		{"requests for a position", func(r *rules) { r.own = noShuffle }}, // and so does the first
		{"requests for a position", func(r *rules) { r.positions = reversed }},
		{"requests for a position", func(r *rules) { r.tells = false }}, // so that pages have to ask
		{"who was told “likely”", func(r *rules) { r.likely = func(_ drop.Line, called int64) int64 { return called + 100 } }},
		{"before the opening", func(r *rules) { r.enough = func(float64) bool { return true } }},
		{"the range of the wait", func(r *rules) { r.wait = func(int64, int64) (from, to float64, known bool) { return 0, 0, true } }},
	}
	broken := map[string]bool{}
	for _, b := range breaks {
		with := theRules
		b.breaks(&with)
		found := play(with, []batch{{6, 600}, {fewest, 60}}, 3)
		for i := range 3 {
			found.drops[i].shoppers = large // as far as the judge knows
		}
		refused := false
		for _, r := range verdict(found) {
			is := strings.Contains(r.promise, b.promise)
			refused = refused || is && !r.kept
			broken[r.promise] = broken[r.promise] || is && !r.kept || r.mark == "no mark"
		}
		require.True(t, refused, b.promise)
	}
	for promise, is := range broken {
		require.True(t, is, "%s: nothing breaks it", promise)
	}
}

// noShuffle is a page that takes the place in the log for the position.
func noShuffle(idx, _ uint64, _ [32]byte) uint64 { return idx }

// inOrder is who comes first.
func inOrder(n uint64, _ [32]byte) []uint64 {
	all := make([]uint64, n)
	for i := range all {
		all[i] = uint64(i)
	}
	return all
}

// reversed is another order than the one that everybody can work out.
func reversed(n uint64, seed [32]byte) []uint64 {
	all := drop.Positions(n, seed)
	for i := range all {
		all[i] = n - 1 - all[i]
	}
	return all
}

func TestBeyond(t *testing.T) {
	t.Parallel()
	for chi, p := range map[float64]float64{81: .479, 103.01: .05, 113.512: .01, 126.083: .001} { // tables of χ² of 81
		require.InDelta(t, p, beyond(chi, 81), p/20+.002)
	}
}

// TestQueue: events come in the order of their times.
func TestQueue(t *testing.T) {
	t.Parallel()
	var q queue
	s := stream(1)
	for range 1000 {
		q.push(event{at: ms(s.next() % 500)})
	}
	last := ms(-1)
	for len(q) > 0 {
		e := q.pop()
		require.GreaterOrEqual(t, e.at, last)
		last = e.at
	}
}
