package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
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
	asks  *gather.Gatherer[[]string, map[string]int64]
}

func newInventory(sidecar *dapr.Client) inventory {
	i := inventory{dapr: sidecar}
	i.holds = gather.New(gather.Settings[hold]{}, i.setAll)
	i.asks = gather.New(gather.Settings[[]string]{}, i.ask)
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
	Free      *int64     `json:"free"` // how many there are besides; nil from an inventory that does not tell yet
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
// the limit, ErrClaimRequired for more than is held of a SKU that is in a drop. A SKU that inventory does not know yet is
// out of stock.
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

// askLimit is what a cart waits for numbers that it can do without.
const askLimit = 500 * time.Millisecond

// free returns how much anybody could take of SKUs; of none when inventory does not tell in time.
func (i inventory) free(ctx context.Context, skus []string) map[string]int64 {
	if len(skus) == 0 {
		return nil
	}
	found, _ := i.asks.Do(ctx, skus)
	return found
}

// anyones is what inventory tells of a SKU to anybody.
type anyones struct {
	SKU       string `json:"sku"`
	Available int64  `json:"available"`
}

// ask asks once for the SKUs of several carts. It does not fail, so that nobody asks again alone.
func (i inventory) ask(ctx context.Context, carts [][]string) ([]gather.Answer[map[string]int64], error) {
	var out struct {
		Items []anyones `json:"items"`
	}
	in := map[string][]string{"skus": slices.Concat(carts...)}
	_ = i.dapr.Call(ctx, "inventory", http.MethodPost, "/internal/availability", in, &out, dapr.Timeout(askLimit))
	found := make(map[string]int64, len(out.Items))
	for _, a := range out.Items {
		found[a.SKU] = a.Available
	}
	return slices.Repeat([]gather.Answer[map[string]int64]{{Value: found}}, len(carts)), nil
}
