package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stampede-shop/stampede/kit/pause"
	"github.com/stampede-shop/stampede/kit/skus"
)

// home is where all parcels go.
var home = map[string]string{"name": "Ann Lee", "line1": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA", "country": "GB"}

// order buys one unit: into the cart, ordered for what the cart says that it
// costs, and awaited until it is confirmed, which means paid.
func (s *shop) order(ctx context.Context, who shopper, sku string) error {
	return s.buy(ctx, who, sku, func(string) {})
}

// The steps of an order.
const (
	inCart    = "into the cart"
	placed    = "placed"
	confirmed = "confirmed"
)

// buy is order, and calls lap at the end of each step.
func (s *shop) buy(ctx context.Context, who shopper, sku string, lap func(step string)) error {
	var cart struct {
		Total money `json:"total"`
	}
	if err := s.send(ctx, "PUT", "/api/v1/cart/items/"+skus.Segment(sku), who.token, map[string]int{"quantity": 1}, &cart); err != nil {
		return err
	}
	lap(inCart)
	var order struct {
		ID      string `json:"id"`
		Status  string `json:"status"`
		Version int    `json:"version"`
	}
	err := s.send(ctx, "POST", "/api/v1/orders", who.token, map[string]any{
		"address": home, "payment_method": "pm_card_visa", "expected_total": cart.Total,
	}, &order, "Idempotency-Key", rand.Text())
	if err != nil {
		return err
	}
	lap(placed)
	for err == nil && order.Status == "pending" {
		begun := time.Now()
		err = s.send(ctx, "GET", fmt.Sprintf("/api/v1/orders/%s?wait=20&since=%d", order.ID, order.Version), who.token, nil, &order)
		if order.Status == "pending" && time.Since(begun) < askAgain { // many wait: who asks again at once takes what they wait for
			pause.For(ctx, askAgain)
		}
	}
	if err == nil && order.Status != "confirmed" {
		err = fmt.Errorf("the order is %s", order.Status)
	}
	if err == nil {
		lap(confirmed)
	}
	return err
}

// askAgain is how long who is answered without news, since many wait, lets pass before asking again.
const askAgain = time.Second

// orders measures orders by ever more clients.
func (b *bench) orders(ctx context.Context) error {
	b.used += 40
	closed(ctx, 4, b.limit, 40, func(ctx context.Context, n int) error { return b.shop.order(ctx, b.shopper(n), b.lamp(n).SKU) }) // warm
	for _, clients := range b.clients {
		from := b.used
		var laps laps
		r, err := b.counted(ctx, func(ctx context.Context) (*result, error) {
			profiled := b.takeProfiles(ctx)
			r := closed(ctx, clients, b.limit, b.most, func(ctx context.Context, n int) error {
				return b.shop.buy(ctx, b.shopper(from+n), b.lamp(from+n).SKU, laps.begin())
			})
			return r, profiled()
		})
		if err != nil {
			return err
		}
		r.Name = "order"
		b.used += len(r.Times)
		b.keep("order", r)
		b.say("order", "%d clients: p50 %s.", clients, laps.String())
		b.detail(r)
		if err := b.showProfiles(); err != nil {
			return err
		}
	}
	return nil
}

// laps are how long the steps of many orders took.
type laps struct {
	mu    sync.Mutex
	steps map[string][]time.Duration
}

// begin returns what one order calls at the end of each step.
func (l *laps) begin() func(step string) {
	from := time.Now()
	return func(step string) {
		now := time.Now()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.steps == nil {
			l.steps = map[string][]time.Duration{}
		}
		l.steps[step] = append(l.steps[step], now.Sub(from))
		from = now
	}
}

// String tells the median of each.
func (l *laps) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for _, step := range []string{inCart, placed, confirmed} {
		slices.Sort(l.steps[step])
		parts = append(parts, step+" "+milliseconds(percentile(l.steps[step], 50))+" ms")
	}
	return strings.Join(parts, ", ")
}

// detail shows what makes up an operation's cost.
func (b *bench) detail(r *result) {
	var parts []string
	for _, name := range r.Cost.processes() {
		if ms := r.Cost.per(r.Cost.Processor[name].Seconds() * 1000); ms >= 0.05 {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, ms))
		}
	}
	fmt.Printf("  ms on a processor: %s\n", strings.Join(parts, " · "))
	parts = nil
	for _, kind := range legKinds {
		if n := r.Cost.Legs[kind.name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %.1f", kind.name, r.Cost.per(n)))
		}
	}
	fmt.Printf("  the sidecars counted: %s\n", strings.Join(parts, " · "))
	if b.top > 0 {
		b.listStatements(r)
	}
}
