package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

// skuOwners tells which product has each of the SKUs, in whatever letters, by SKU in small letters.
func skuOwners(ctx context.Context, q pg.Querier, skus []string) (map[string]uuid.UUID, error) {
	owners := map[string]uuid.UUID{}
	rows, err := q.Query(ctx, `
		SELECT sku, product_id FROM variants WHERE lower(sku) = ANY(ARRAY(SELECT lower(s) FROM unnest($1::text[]) AS s))`, skus)
	if err != nil {
		return nil, fmt.Errorf("sku owners: %w", err)
	}
	var sku string
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&sku, &id}, func() error { owners[strings.ToLower(sku)] = id; return nil })
	if err != nil {
		return nil, fmt.Errorf("sku owners: %w", err)
	}
	return owners, nil
}

// deleteVariant removes a variant of a product that was never published.
func deleteVariant(ctx context.Context, tx pgx.Tx, sku string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM variants WHERE sku = $1`, sku); err != nil {
		return fmt.Errorf("delete variant: %w", err)
	}
	return nil
}

// variantRow is a variant with what neighbours need of its product.
type variantRow struct {
	SKU           string
	Options       []string
	Price         int64
	MaxPerShopper *int
	InStock       bool
	Image         string
	Weight        int `db:"weight_grams"`
	Slug          string
	Name          string
	Status        Status
	ImageURL      *string
}

// picture is the variant's own, or the product's first; "" when there is none.
func (r variantRow) picture() string {
	if r.Image == "" && r.ImageURL != nil {
		return *r.ImageURL
	}
	return r.Image
}

func loadVariants(ctx context.Context, q pg.Querier, skus []string) ([]variantRow, error) {
	rows, err := q.Query(ctx, `
		SELECT v.sku, v.options, v.price, v.max_per_shopper, v.in_stock, v.image, v.weight_grams, p.slug, p.name, p.status,
			(SELECT url FROM images WHERE product_id = p.id ORDER BY position LIMIT 1) AS image_url
		FROM variants v JOIN products p ON p.id = v.product_id WHERE v.sku = ANY($1) ORDER BY v.sku`, skus)
	if err != nil {
		return nil, fmt.Errorf("load variants: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[variantRow])
	if err != nil {
		return nil, fmt.Errorf("load variants: %w", err)
	}
	return list, nil
}
