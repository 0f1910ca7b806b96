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
}

// newVariantCache keeps variants for a second: in a rush everybody asks for the same few, and a price that is at most
// a second old is honoured.
func newVariantCache() *otter.Cache[string, variant] {
	return otter.Must(&otter.Options[string, variant]{
		MaximumSize:      10_000,
		ExpiryCalculator: otter.ExpiryWriting[string, variant](time.Second),
	})
}

// read asks for SKUs, those not in the cache. Unknown ones are left out.
func (p products) read(ctx context.Context, skus []string) (map[string]variant, error) {
	found := make(map[string]variant, len(skus))
	var missing []string
	for _, sku := range skus {
		if v, ok := p.variants.GetIfPresent(sku); ok {
			found[sku] = v
		} else {
			missing = append(missing, sku)
		}
	}
	if missing == nil {
		return found, nil
	}
	in := struct {
		SKUs []string `json:"skus"`
	}{missing}
	var out struct {
		Items []variant `json:"items"`
	}
	if err := p.dapr.Call(ctx, "products", http.MethodPost, "/internal/variants", in, &out); err != nil {
		return nil, expect(err)
	}
	for _, v := range out.Items {
		found[v.SKU] = v
		p.variants.Set(v.SKU, v)
	}
	return found, nil
}
