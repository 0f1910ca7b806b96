package main

import (
	"context"
	"fmt"
	"time"

	"github.com/stampede-shop/stampede/kit/pause"
)

// The minute in which everybody comes: so many want one of so few units, while
// others buy other things, so many at a time.
const (
	buyers = 2000
	units  = 100
	others = 8
)

// hot measures that minute, first without the others, for what it costs, then
// with them, for how long they wait.
func (b *bench) hot(ctx context.Context) error {
	n := min(buyers, len(b.shoppers)/2)
	rest := b.shoppers[n:]
	hot, err := b.products(ctx, 2, units)
	if err != nil {
		return err
	}
	crowd, err := b.shop.crowd(ctx, n) // with nothing in their carts
	if err != nil {
		return err
	}
	var told [2]int64
	alone, err := b.measured(ctx, func(ctx context.Context) (r *result, err error) {
		r, told[0] = b.race(ctx, crowd, hot[0].SKU)
		return r, nil
	})
	if err != nil {
		return err
	}
	alone.Name = fmt.Sprintf("%d at once for %d units", n, units)
	b.keep("hot", alone)

	if crowd, err = b.shop.crowd(ctx, n); err != nil {
		return err
	}
	over := make(chan struct{})
	beside := make(chan *result, 1)
	ctx, end := context.WithTimeout(ctx, 5*time.Minute)
	defer end()
	go func() {
		from := b.used
		beside <- closed(ctx, others, 4*time.Minute, b.most, func(ctx context.Context, n int) error {
			select {
			case <-over:
				return errOver
			default:
				return b.shop.order(ctx, rest[(from+n)%len(rest)], b.lamp(from+n).SKU)
			}
		})
	}()
	pause.For(ctx, 2*time.Second) // those are at it
	with, again := b.race(ctx, crowd, hot[1].SKU)
	told[1] = again
	close(over)
	other := <-beside
	b.used += len(other.Times)
	with.Name = alone.Name + ", while others buy"
	other.Name = "orders of other things meanwhile"
	b.keep("hot", with)
	b.keep("hot", other)
	for i, r := range []*result{alone, with} {
		b.say("hot", "%s: everybody had an answer after %.1f s; %d sold, %d told that there is none left (p99 %s ms), "+
			"%d times told to come again later.",
			r.Name, r.Took.Seconds(), len(r.Times), len(r.SoldOut), milliseconds(percentile(r.SoldOut, 99)), told[i])
		switch n := len(r.Times); {
		case n > units:
			return fmt.Errorf("%d of %d units were sold", n, units)
		case n < units:
			b.say("hot", "%d units were left over: held for attempts that were given up, until they are asked for.", units-n)
		}
	}
	return nil
}

// race lets all of a crowd buy one unit at once; times count from the common
// beginning. Who is told to come again later does, with the same key.
func (b *bench) race(ctx context.Context, crowd []shopper, sku string) (r *result, told int64) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	var t tally
	patient := b.shop.patient()
	begun := time.Now()
	_ = each(ctx, crowd, len(crowd), func(ctx context.Context, _ int, who shopper) error { // what fails is tallied
		err := patient.order(ctx, who, sku)
		t.add(time.Since(begun), err)
		return nil
	})
	r = t.end(begun)
	r.Clients = len(crowd)
	return r, patient.told.Load()
}
