package main

import (
	"context"
	"net/http"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
)

// products is the neighbour that knows what is sold. variants are what it told within the last second.
type products struct {
	dapr     *dapr.Client
	variants *otter.Cache[string, variant]
}

// variant is what products tells about a SKU.
type variant struct {
	SKU       string      `json:"sku"`
	Slug      string      `json:"slug"`
	Name      string      `json:"name"`
	Variant   string      `json:"variant"`
	ImageURL  string      `json:"image_url"`
	UnitPrice money.Money `json:"unit_price"`
	Status    string      `json:"status"`
	Weight    int         `json:"weight_grams"`
}

// newVariantCache keeps variants for a second: in a rush everybody asks for the same few, and a price that is at most
// a second old is honoured.
func newVariantCache() *otter.Cache[string, variant] {
	return otter.Must(&otter.Options[string, variant]{
		MaximumSize:      10_000,
		ExpiryCalculator: otter.ExpiryWriting[string, variant](time.Second),
	})
}

// read returns what products knows of the SKUs, at most a second old; unknown ones are left out.
func (p products) read(ctx context.Context, skus []string) (map[string]variant, error) {
	return p.variants.BulkGet(ctx, skus, otter.BulkLoaderFunc[string, variant](p.ask))
}

// ask is for those that are not in the cache, and that nobody else is asking for.
func (p products) ask(ctx context.Context, skus []string) (map[string]variant, error) {
	var out struct {
		Items []variant `json:"items"`
	}
	if err := p.dapr.Call(ctx, "products", http.MethodPost, "/internal/variants", map[string][]string{"skus": skus}, &out); err != nil {
		return nil, expect(err)
	}
	found := make(map[string]variant, len(out.Items))
	for _, v := range out.Items {
		found[v.SKU] = v
	}
	return found, nil
}
