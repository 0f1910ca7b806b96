package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

const pageColumns = `slug, title, body, published, foot, categories, products, version, changed_at`

// loadShopPage returns nil when there is no such page.
func loadShopPage(ctx context.Context, q pg.Querier, slug string) (*ShopPage, error) {
	rows, err := q.Query(ctx, `SELECT `+pageColumns+` FROM pages WHERE slug = $1`, slug)
	if err != nil {
		return nil, fmt.Errorf("load page: %w", err)
	}
	p, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[ShopPage])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load page: %w", err)
	}
	p.ChangedAt = p.ChangedAt.UTC()
	return &p, nil
}

func loadPages(ctx context.Context, q pg.Querier) ([]ShopPage, error) {
	rows, err := q.Query(ctx, `SELECT `+pageColumns+` FROM pages ORDER BY title, slug LIMIT $1`, maxPages)
	if err != nil {
		return nil, fmt.Errorf("load pages: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[ShopPage])
	if err != nil {
		return nil, fmt.Errorf("load pages: %w", err)
	}
	for i := range found {
		found[i].ChangedAt = found[i].ChangedAt.UTC()
	}
	return found, nil
}

// footLinks are the published pages that the foot names.
func footLinks(ctx context.Context, q pg.Querier) ([]PageLink, error) {
	rows, err := q.Query(ctx, `SELECT slug, title FROM pages WHERE published AND foot > 0 ORDER BY foot, title, slug LIMIT $1`, maxPages)
	if err != nil {
		return nil, fmt.Errorf("load the foot: %w", err)
	}
	links, err := pgx.CollectRows(rows, pgx.RowToStructByName[PageLink])
	if err != nil {
		return nil, fmt.Errorf("load the foot: %w", err)
	}
	return append([]PageLink{}, links...), nil
}

// loadGuides tells which published page is the size guide of what; of two for the same the first by its address.
func loadGuides(ctx context.Context, q pg.Querier) (guides, error) {
	g := guides{map[string]PageLink{}, map[string]PageLink{}}
	rows, err := q.Query(ctx, `
		SELECT slug, title, categories, products FROM pages
		WHERE published AND (categories <> '{}' OR products <> '{}') ORDER BY slug DESC LIMIT $1`, maxPages)
	if err != nil {
		return g, fmt.Errorf("load size guides: %w", err)
	}
	var link PageLink
	var categories, products []string
	_, err = pgx.ForEachRow(rows, []any{&link.Slug, &link.Title, &categories, &products}, func() error {
		for _, slug := range categories {
			g.category[slug] = link
		}
		for _, slug := range products {
			g.product[slug] = link
		}
		return nil
	})
	if err != nil {
		return g, fmt.Errorf("load size guides: %w", err)
	}
	return g, nil
}

// insertPage keeps a new page. Errors: ErrSlugTaken, ErrTooManyPages.
func (s store) insertPage(ctx context.Context, p ShopPage) error {
	return taken(pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM pages`).Scan(&n); err != nil {
			return fmt.Errorf("count pages: %w", err)
		}
		if n >= maxPages {
			return ErrTooManyPages
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO pages (slug, title, body, published, foot, categories, products, version, changed_at)
			VALUES (@slug, @title, @body, @published, @foot, @categories, @products, @version, @at)`, p.arguments())
		return err
	}))
}

func (p ShopPage) arguments() pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"slug": p.Slug, "title": p.Title, "body": p.Body, "published": p.Published, "foot": p.Foot, "categories": p.Categories,
		"products": p.Products, "version": p.Version, "at": p.ChangedAt,
	}
}

// updatePage changes a page that still has the version of p, and gives p the next one. Errors: ErrPageNotFound,
// ErrVersionConflict.
func (s store) updatePage(ctx context.Context, p *ShopPage) error {
	err := s.db.QueryRow(ctx, `
		UPDATE pages SET title = @title, body = @body, published = @published, foot = @foot, categories = @categories,
			products = @products, version = version + 1, changed_at = @at
		WHERE slug = @slug AND version = @version::bigint RETURNING version`, p.arguments()).Scan(&p.Version)
	if !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	there, err := loadShopPage(ctx, s.db, p.Slug)
	if err == nil && there == nil {
		return ErrPageNotFound
	}
	if err == nil {
		err = ErrVersionConflict
	}
	return err
}

// deletePage deletes a page. Errors: ErrPageNotFound.
func (s store) deletePage(ctx context.Context, slug string) error {
	tag, err := s.db.Exec(ctx, `DELETE FROM pages WHERE slug = $1`, slug)
	if err != nil {
		return fmt.Errorf("delete page: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrPageNotFound
	}
	return nil
}
