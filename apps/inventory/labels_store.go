package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/text"
)

// label is what people call a SKU.
type label struct {
	SKU     string `json:"sku"`
	Name    string `json:"name"`    // of the product
	Variant string `json:"variant"` // which of its variants; empty when there is but one
	Found   string `json:"found"`   // what it is found by
}

// labelsOf are the labels of a product's SKUs.
func labelsOf(p events.Product) []label {
	labels := make([]label, 0, len(p.Variants))
	for _, v := range p.Variants {
		l := label{SKU: v.SKU, Name: p.Name, Variant: v.Variant}
		if l.Variant == "" { // told by a version of before
			for _, option := range slices.Sorted(maps.Keys(v.Options)) {
				l.Variant += " / " + v.Options[option]
			}
			l.Variant = strings.TrimPrefix(l.Variant, " / ")
		}
		labels = append(labels, l)
	}
	return labels
}

// label writes what SKUs are called. With known false it leaves those alone that have a label.
func (s *store) label(ctx context.Context, db pg.Querier, labels []label, known bool) error {
	for i := range labels {
		l := &labels[i]
		l.Found = text.Fold(l.SKU + " " + l.Name + " " + l.Variant)
	}
	_, err := db.Exec(ctx, `
		INSERT INTO labels (sku, name, variant, found) SELECT sku, name, variant, found
		FROM jsonb_to_recordset($1) AS l (sku text, name text, variant text, found text) ORDER BY sku
		ON CONFLICT (sku) DO UPDATE SET name = EXCLUDED.name, variant = EXCLUDED.variant, found = EXCLUDED.found
		WHERE $2 AND (labels.name, labels.variant) IS DISTINCT FROM (EXCLUDED.name, EXCLUDED.variant)`, labels, known)
	if err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	return nil
}

// unlabelled lists SKUs that have no label: those of before there were any.
func (s *store) unlabelled(ctx context.Context, size int) ([]string, error) {
	rows, err := s.db.Query(ctx, `
		SELECT s.sku FROM stock s LEFT JOIN labels l ON l.sku = s.sku WHERE l.sku IS NULL ORDER BY s.sku LIMIT $1`, size)
	if err != nil {
		return nil, fmt.Errorf("unlabelled: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// setLowAt says with how many available a SKU runs out; nil: as the shop says of all. Errors: ErrSKUNotFound.
func (s *store) setLowAt(ctx context.Context, sku string, lowAt *int64) (StockView, error) {
	if _, err := s.db.Exec(ctx, `UPDATE stock SET low_at = $2 WHERE sku = $1 AND low_at IS DISTINCT FROM $2`, sku, lowAt); err != nil {
		return StockView{}, fmt.Errorf("low_at of %s: %w", sku, err)
	}
	return s.view(ctx, s.db, sku)
}
