package main

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/skus"
)

const (
	askLimit = 500 * time.Millisecond // what a page waits for inventory
	pauseFor = 2 * time.Second        // how long a neighbour that did not answer is left alone
)

// inventory is the neighbour that knows how much there is.
type inventory struct {
	dapr  *dapr.Client
	log   *slog.Logger
	pause pause
	asked *gather.Gatherer[[]string, map[string]availability]
}

func newInventory(rt *serve.Runtime) *inventory {
	i := &inventory{dapr: rt.Dapr, log: rt.Log, pause: pause{now: rt.Now}}
	i.asked = gather.New(gather.Settings[[]string]{}, i.ask)
	return i
}

// availability is what inventory says about a SKU.
type availability struct {
	SKU       string    `json:"sku"`
	Available int64     `json:"available"`
	AsOf      time.Time `json:"as_of"`
}

// availability asks about many SKUs at once, and about those of all pages that are being made. Those that
// inventory does not know are missing, and all are when it cannot be reached: a page is shown without the
// numbers rather than late or not at all.
func (i *inventory) availability(ctx context.Context, skus []string) map[string]availability {
	if len(skus) == 0 || i.pause.on() {
		return nil
	}
	said, err := i.asked.Do(ctx, skus)
	if err != nil {
		i.log.WarnContext(ctx, "a page goes without availability", "error", err.Error())
	}
	return said
}

// ask gives the same answer to all who ask together. It does not fail, so that nobody asks again alone.
func (i *inventory) ask(ctx context.Context, pages [][]string) ([]gather.Answer[map[string]availability], error) {
	said := i.tell(ctx, slices.Concat(pages...))
	return slices.Repeat([]gather.Answer[map[string]availability]{{Value: said}}, len(pages)), nil
}

func (i *inventory) tell(ctx context.Context, skus []string) map[string]availability {
	if i.pause.on() {
		return nil
	}
	var answer struct {
		Items []availability `json:"items"`
	}
	err := i.dapr.Call(ctx, "inventory", http.MethodPost, "/internal/availability", map[string]any{"skus": skus}, &answer, dapr.Timeout(askLimit))
	if err != nil {
		i.pause.begin()
		i.log.WarnContext(ctx, "pages go without availability", "error", err.Error())
		return nil
	}
	said := make(map[string]availability, len(answer.Items))
	for _, a := range answer.Items {
		said[a.SKU] = a
	}
	return said
}

// setStock makes the units on hand of a SKU a number. The key makes it happen once.
func (i *inventory) setStock(ctx context.Context, sku string, quantity int, reason, key string) error {
	return i.dapr.Call(ctx, "inventory", http.MethodPut, "/internal/stock/"+skus.Segment(sku),
		map[string]any{"quantity": quantity, "reason": reason, "key": key}, nil)
}

// pause leaves a neighbour alone for a while after it failed, so that pages do not wait for it one by one.
type pause struct {
	now   func() time.Time
	until atomic.Int64
}

func (p *pause) on() bool { return p.now().UnixNano() < p.until.Load() }
func (p *pause) begin()   { p.until.Store(p.now().Add(pauseFor).UnixNano()) }
