package main

import (
	"context"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/variants"
)

// products is the neighbour that knows what is sold.
type products struct{ variants *variants.Reader[variant] }

func newProducts(sidecar *dapr.Client) products {
	return products{variants.New(sidecar, func(v variant) string { return v.SKU })}
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

// read returns what products knows of the SKUs, at most a second old; unknown ones are left out.
func (p products) read(ctx context.Context, skus []string) (map[string]variant, error) {
	found, err := p.variants.Read(ctx, skus)
	return found, expect(err)
}
