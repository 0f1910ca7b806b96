package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/skus"
)

// inventory is the neighbour that holds stock for carts. It is asked at once for
// what is wanted at the same time.
type inventory struct {
	dapr  *dapr.Client
	holds *gather.Gatherer[hold, heldNow]
}

func newInventory(sidecar *dapr.Client) inventory {
	i := inventory{dapr: sidecar}
	i.holds = gather.New(gather.Settings[hold]{}, i.setAll)
	return i
}

// hold is what a shopper wants to hold of a SKU.
type hold struct {
	Shopper  string `json:"shopper"`
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

type held struct {
	SKU       string     `json:"sku"`
	Quantity  int        `json:"quantity"`
	ExpiresAt *time.Time `json:"expires_at"`
}

type heldItems struct {
	Items []held `json:"items"`
}

func holdsPath(shopper string) string { return "/internal/holds/" + url.PathEscape(shopper) }

// heldNow is what a change of a hold answers; Held is null from an inventory
// that does not tell yet.
type heldNow struct {
	Held []held `json:"held"`
}

// setAll sets holds of several shoppers by one call.
func (i inventory) setAll(ctx context.Context, holds []hold) ([]gather.Answer[heldNow], error) {
	if len(holds) > 1 {
		return dapr.CallEach[hold, heldNow](ctx, i.dapr, "inventory", "/internal/holds", holds)
	}
	h := holds[0]
	var out heldNow
	path := holdsPath(h.Shopper) + "/" + skus.Segment(h.SKU)
	err := i.dapr.Call(ctx, "inventory", http.MethodPut, path, map[string]int{"quantity": h.Quantity}, &out)
	return []gather.Answer[heldNow]{{Value: out, Err: err}}, nil
}

// hold sets the shopper's hold of a SKU, and returns what the shopper's cart
// holds then, as list does, or nil when it must be asked for. Errors:
// ErrOutOfStock with what this shopper may have, ErrLimitReached with that and
// the limit. A SKU that inventory does not know yet is out of stock.
func (i inventory) hold(ctx context.Context, shopper, sku string, quantity int) (map[string]held, error) {
	ctx, cancel := context.WithTimeout(ctx, dapr.CallTimeout)
	defer cancel()
	out, err := i.holds.Do(ctx, hold{shopper, sku, quantity})
	var p *problem.Error
	if errors.As(err, &p) && p.Kind() == problem.NotFound {
		if quantity == 0 {
			return nil, nil
		}
		return nil, ErrOutOfStock.With("available", 0)
	}
	if err != nil || out.Held == nil {
		return nil, err
	}
	return bySKU(out.Held), nil
}

// list returns when the shopper's live holds end, by SKU.
func (i inventory) list(ctx context.Context, shopper string) (map[string]held, error) {
	var out heldItems
	if err := i.dapr.Call(ctx, "inventory", http.MethodGet, holdsPath(shopper), nil, &out); err != nil {
		return nil, err
	}
	return bySKU(out.Items), nil
}

func bySKU(items []held) map[string]held {
	holds := make(map[string]held, len(items))
	for _, h := range items {
		holds[h.SKU] = h
	}
	return holds
}

// giveBack ends all holds of a shopper.
func (i inventory) giveBack(ctx context.Context, shopper string) error {
	return i.dapr.Call(ctx, "inventory", http.MethodDelete, holdsPath(shopper), nil, nil)
}

// transfer makes a guest's holds an account's, as far as there is stock for
// lines.
func (i inventory) transfer(ctx context.Context, guest, account string, lines []Line) error {
	in := struct {
		To    string `json:"to"`
		Lines []Line `json:"lines"`
	}{account, lines}
	return i.dapr.Call(ctx, "inventory", http.MethodPost, holdsPath(guest)+"/transfer", in, nil)
}
