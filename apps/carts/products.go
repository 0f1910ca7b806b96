package main

import (
	"context"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/variants"
)

// products is the neighbour that knows names and prices.
type products struct{ variants *variants.Reader[variant] }

func newProducts(sidecar *dapr.Client) products {
	return products{variants.New(sidecar, func(v variant) string { return v.SKU })}
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

// mayHave is how many of it a cart may have that holds some, and how many there are besides: as the hold tells, else as
// anybody was told. Both are nil when nobody told.
func (v variant) mayHave(h held, told map[string]int64) (available, free *int64) {
	n, known := told[v.SKU]
	if h.Free != nil {
		n, known = *h.Free, true
	}
	if !known {
		return nil, nil
	}
	n = max(n, 0)
	most := min(n+int64(h.Quantity), int64(v.limit()))
	return &most, &n
}

// read returns what products knows of the SKUs, at most a second old; unknown
// ones are left out.
func (p products) read(ctx context.Context, skus []string) (map[string]variant, error) {
	return p.variants.Read(ctx, skus)
}
