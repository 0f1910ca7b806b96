package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTally: what went well, what is sold out, what should come again and what
// went wrong are told apart, and times are in order.
func TestTally(t *testing.T) {
	t.Parallel()
	var all tally
	begun := time.Now()
	for i := range 100 {
		all.add(time.Duration(100-i)*time.Millisecond, nil)
	}
	all.add(time.Second, &refusal{status: 409, slug: "out-of-stock"})
	all.add(time.Second, &refusal{status: 503, slug: "overloaded"})
	all.add(time.Second, &refusal{status: 429})
	all.add(time.Second, &refusal{status: 409, slug: "not-called", after: 2 * time.Second})
	all.add(time.Second, &refusal{status: 409, slug: "hold-differs"})
	all.add(time.Second, errors.New("reset"))
	r := all.end(begun)
	require.Len(t, r.Times, 100)
	require.Equal(t, time.Millisecond, r.Times[0])
	require.Len(t, r.SoldOut, 1)
	require.Equal(t, 101, r.done())
	require.Len(t, r.Refused, 3)
	require.Equal(t, map[string]int{"409 hold-differs": 1, "no answer": 1}, r.Errors)
	require.Equal(t, 2, r.failed())
	require.ErrorContains(t, r.First, "409")
	require.Equal(t, 51*time.Millisecond, percentile(r.Times, 50))
	require.Equal(t, 100*time.Millisecond, percentile(r.Times, 99))
	require.Zero(t, percentile(nil, 99))
}

// TestClosed: so many clients at once and never more, as often as was said,
// each number once.
func TestClosed(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	seen := make([]atomic.Int64, 50)
	r := closed(t.Context(), 5, time.Minute, 50, func(_ context.Context, n int) error {
		if k := now.Add(1); k > most.Load() {
			most.Store(k)
		}
		defer now.Add(-1)
		seen[n].Add(1)
		return nil
	})
	require.Len(t, r.Times, 50)
	require.LessOrEqual(t, most.Load(), int64(5))
	for i := range seen {
		require.EqualValues(t, 1, seen[i].Load())
	}
	r = closed(t.Context(), 3, time.Minute, 50, func(context.Context, int) error { return errOver })
	require.Zero(t, r.done()+r.failed())
}

// TestSince: what a measurement cost is the difference of two readings, and a
// process that was started again meanwhile does not count backwards.
func TestSince(t *testing.T) {
	t.Parallel()
	before := reading{
		processor: map[string]time.Duration{"orders": time.Second, "mail": time.Minute}, transactions: 10, writes: 5, log: 1000,
		statements: map[string]statement{"orders 1": {Calls: 7, Took: time.Second}, "orders 2": {Calls: 3}},
		legs:       map[string]float64{"HTTP in": 2},
	}
	after := reading{
		processor: map[string]time.Duration{"orders": 3 * time.Second, "mail": time.Second}, transactions: 30, writes: 15, log: 9000,
		statements: map[string]statement{"orders 1": {Calls: 17, Took: 3 * time.Second}, "orders 2": {Calls: 3}, "orders 3": {Calls: 20}},
		legs:       map[string]float64{"HTTP in": 12},
	}
	c := after.since(before)
	c.Operations = 10
	require.Equal(t, 200*time.Millisecond, c.total())
	require.Equal(t, []statement{{Calls: 20}, {Calls: 10, Took: 2 * time.Second}}, c.Statements)
	require.InDelta(t, 3, c.statements(), 1e-9)
	require.InDelta(t, 1, c.legs(), 1e-9)
	require.EqualValues(t, 20, c.Transactions)
}

// TestChart: a chart is a whole document, whatever a label holds.
func TestChart(t *testing.T) {
	t.Parallel()
	svg := chart("a < b", "ms", []bar{{"order & cart", []piece{{"postgres", 14}, {"orders", 6}}}, {"none", nil}})
	require.Equal(t, 2, strings.Count(svg, "<title>postgres")+strings.Count(svg, "<title>orders"))
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err, svg)
	}
}

// TestTable: columns that say nothing are left out.
func TestTable(t *testing.T) {
	t.Parallel()
	got := table([]string{"what", "errors", "rate"}, [][]string{{"order", "0", "27"}, {"cart", "0", ""}})
	require.Equal(t, "| what | rate |\n| --- | --- |\n| order | 27 |\n| cart |  |\n", got)
}

func TestParse(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"-offset", "2000", "-only", "order,hot", "-clients", "1,64"})
	require.NoError(t, err)
	require.Equal(t, ".run-2000", o.run)
	require.Equal(t, []int{1, 64}, o.clients)
	_, err = parse([]string{"-only", "nonsense"})
	require.ErrorContains(t, err, "nonsense")
	_, err = parse([]string{"-clients", "many"})
	require.Error(t, err)
}
