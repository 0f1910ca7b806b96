package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// overload measures what is left of the shop when four times as many come as it
// can serve, each at their time, whether or not those before them have been
// answered. Who is refused goes away.
func (b *bench) overload(ctx context.Context) error {
	best := b.best()
	if best == 0 { // the orders were not measured
		r := closed(ctx, 16, b.limit, b.most, func(ctx context.Context, n int) error {
			return b.shop.order(ctx, b.shopper(b.used+n), b.lamp(b.used+n).SKU)
		})
		b.used += len(r.Times)
		best = r.rate()
	}
	people := &arrivals{bench: b, from: b.used}
	r, err := b.measured(ctx, func(ctx context.Context) (*result, error) {
		target := vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: "http://one.order/"})
		return arrive(ctx, target, int(4*best), b.limit,
			vegeta.Client(&http.Client{Transport: people}), vegeta.MaxWorkers(20_000)), nil
	})
	if err != nil {
		return err
	}
	b.used += int(people.count.Load())
	r.Name = fmt.Sprintf("orders, %s a second arrive", number(4*best))
	b.keep("overload", r)
	slices.Sort(people.placed)
	b.say("overload", "Of %d who came within %s, %d were refused (p99 %s ms), %d ordered (answered within p50 %s, p99 %s ms), "+
		"%d of these orders were confirmed: %s a second, %.0f %% of the best rate (%s). %d failed otherwise.",
		people.count.Load(), b.limit, len(r.Refused), milliseconds(percentile(r.Refused, 99)), len(people.placed),
		milliseconds(percentile(people.placed, 50)), milliseconds(percentile(people.placed, 99)), len(r.Times), number(r.rate()),
		100*r.rate()/best, number(best), r.failed())
	return nil
}

// arrive has requests arrive at a rate, each at its time, whether or not those before it have been answered.
func arrive(ctx context.Context, to vegeta.Targeter, aSecond int, long time.Duration, set ...func(*vegeta.Attacker)) *result {
	attacker := vegeta.NewAttacker(set...)
	begun := time.Now()
	var t tally
	for hit := range attacker.Attack(to, vegeta.Rate{Freq: aSecond, Per: time.Second}, long, "") {
		if ctx.Err() != nil {
			attacker.Stop()
		}
		switch {
		case hit.Code == 0:
			t.add(hit.Latency, errors.New(hit.Error))
		case hit.Code < 400:
			t.add(hit.Latency, nil)
		default:
			t.add(hit.Latency, refused(hit.Method, &http.Response{StatusCode: int(hit.Code), Header: hit.Headers}, hit.Body))
		}
	}
	return t.end(begun)
}

// best is the best rate of orders that was measured.
func (b *bench) best() float64 {
	var best float64
	for _, s := range b.sections["order"].results() {
		best = max(best, s.rate())
	}
	return best
}

// arrivals makes of each request of vegeta, which keeps the time, one order.
type arrivals struct {
	bench *bench
	from  int
	count atomic.Int64

	mu     sync.Mutex
	placed []time.Duration // from coming to the answer to POST /orders
}

// RoundTrip lets the next shopper order, and answers as the shop did in the end.
func (a *arrivals) RoundTrip(req *http.Request) (*http.Response, error) {
	n := a.from + int(a.count.Add(1)) - 1
	begun := time.Now()
	err := a.bench.shop.buy(req.Context(), a.bench.shopper(n), a.bench.lamp(n).SKU, func(step string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if step == placed {
			a.placed = append(a.placed, time.Since(begun))
		}
	})
	answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}
	var no *refusal
	switch {
	case err == nil:
	case errors.As(err, &no):
		answer.StatusCode, answer.Body = no.status, io.NopCloser(bytes.NewBufferString(no.request+" "+no.body))
	default:
		return nil, err
	}
	return answer, nil
}
