package main

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/money"
)

// products is the neighbour that knows names and prices. variants are what it
// told within the last second; what several carts lack at the same time is asked
// for together.
type products struct {
	dapr     *dapr.Client
	variants *otter.Cache[string, variant]
	asks     *gather.Gatherer[[]string, map[string]variant]
}

func newProducts(sidecar *dapr.Client) products {
	p := products{dapr: sidecar, variants: newVariantCache()}
	p.asks = gather.New(gather.Settings[[]string]{}, p.ask)
	return p
}

// newVariantCache keeps variants for a second: in a rush everybody asks for the
// same few, and a price that is at most a second old is honoured.
func newVariantCache() *otter.Cache[string, variant] {
	return otter.Must(&otter.Options[string, variant]{
		MaximumSize:      10_000,
		ExpiryCalculator: otter.ExpiryWriting[string, variant](time.Second),
	})
}

// variant is what products tells about a SKU.
type variant struct {
	SKU           string      `json:"sku"`
	Slug          string      `json:"slug"`
	Name          string      `json:"name"`
	Variant       string      `json:"variant"`
	ImageURL      string      `json:"image_url"`
	UnitPrice     money.Money `json:"unit_price"`
	MaxPerShopper *int        `json:"max_per_shopper"` // null: no limit of its own
	Status        string      `json:"status"`
}

// forSale reports whether shoppers may buy it.
func (v variant) forSale() bool { return v.Status == "published" }

// limit is how many of it one cart may hold.
func (v variant) limit() int {
	if v.MaxPerShopper == nil {
		return maxQuantity
	}
	return min(*v.MaxPerShopper, maxQuantity)
}

// read returns what products knows of the SKUs, at most a second old; unknown
// ones are left out.
func (p products) read(ctx context.Context, skus []string) (map[string]variant, error) {
	return p.variants.BulkGet(ctx, skus, otter.BulkLoaderFunc[string, variant](p.asks.Do))
}

// atOnce is how many SKUs products takes.
const atOnce = 500

// ask asks once for the SKUs that any of them wants, and answers each with its own.
func (p products) ask(ctx context.Context, batch [][]string) ([]gather.Answer[map[string]variant], error) {
	found := map[string]variant{}
	for skus := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(slices.Concat(batch...)))), atOnce) {
		var out struct {
			Items []variant `json:"items"`
		}
		err := p.dapr.Call(ctx, "products", http.MethodPost, "/internal/variants", map[string][]string{"skus": skus}, &out)
		if err != nil {
			return nil, err
		}
		for _, v := range out.Items {
			found[v.SKU] = v
		}
	}
	answers := make([]gather.Answer[map[string]variant], len(batch))
	for i, skus := range batch {
		answers[i] = gather.Answer[map[string]variant]{Value: map[string]variant{}}
		for _, sku := range skus {
			if v, ok := found[sku]; ok {
				answers[i].Value[sku] = v
			}
		}
	}
	return answers, nil
}
