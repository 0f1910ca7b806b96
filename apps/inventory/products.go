package main

import (
	"context"
	"net/http"

	"github.com/stampede-shop/stampede/kit/dapr"
)

// products is the neighbour that knows what SKUs are called.
type products struct{ dapr *dapr.Client }

// labels asks what SKUs are called. Those that it does not know are left out.
func (p products) labels(ctx context.Context, skus []string) ([]label, error) {
	var out struct {
		Items []struct {
			SKU     string `json:"sku"`
			Name    string `json:"name"`
			Variant string `json:"variant"`
		} `json:"items"`
	}
	in := map[string][]string{"skus": skus}
	err := p.dapr.Call(ctx, "products", http.MethodPost, "/internal/variants", in, &out, dapr.Timeout(workLimit))
	labels := make([]label, 0, len(out.Items))
	for _, v := range out.Items {
		labels = append(labels, label{SKU: v.SKU, Name: v.Name, Variant: v.Variant})
	}
	return labels, err
}

// labelled is how many SKUs products is asked about at once.
const labelled = 500

// labelOld asks products what SKUs are called that have no label: events tell it only of what changes.
func (s *service) labelOld(ctx context.Context) error {
	for {
		skus, err := s.store.unlabelled(ctx, labelled)
		if err != nil || len(skus) == 0 {
			return err
		}
		labels, err := s.products.labels(ctx, skus)
		if err != nil {
			return err
		}
		has := map[string]bool{}
		for _, l := range labels {
			has[l.SKU] = true
		}
		for _, sku := range skus {
			if !has[sku] {
				labels = append(labels, label{SKU: sku}) // nobody knows it any more
			}
		}
		if err := s.store.label(ctx, s.store.db, labels, false); err != nil {
			return err
		}
	}
}
