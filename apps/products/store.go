package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
)

// Whoever locks rows of several tables locks products first (by id), then their variants, and renews the
// catalogue's version last: it is one row, and every writer waits for it.

// store is the database of the catalogue.
type store struct{ db *pgxpool.Pool }

// productRow is a product as products keeps it.
type productRow struct {
	ID          uuid.UUID
	Slug        string
	Name        string
	Description string
	Vendor      string
	CategoryID  *uuid.UUID
	Tags        []string
	OptionNames []string
	Attributes  map[string]string
	Status      Status
	Version     int
	PublishedAt *time.Time
}

const productColumns = `p.id, p.slug, p.name, p.description, p.vendor, p.category_id, p.tags, p.option_names, p.attributes, p.status, p.version, p.published_at`

// The ways to choose products to load.
const (
	byID            = `p.id = ANY($1) ORDER BY p.id`
	byIDLocked      = `p.id = ANY($1) ORDER BY p.id FOR UPDATE`
	bySlugLocked    = `p.slug = ANY($1) ORDER BY p.id FOR UPDATE`
	byPublishedSlug = `p.slug = ANY($1) AND p.status = 'published'`
)

// attributeNames lists what products tell about themselves, of all products.
func attributeNames(ctx context.Context, q pg.Querier) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT DISTINCT a.key FROM products p, jsonb_object_keys(p.attributes) AS a (key) ORDER BY a.key LIMIT 500`)
	if err != nil {
		return nil, fmt.Errorf("attributes: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("attributes: %w", err)
	}
	return found, nil
}

// batcher is the pool or a transaction.
type batcher interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// loadProducts reads whole products, with one question to the database.
func loadProducts(ctx context.Context, q batcher, where string, a ...any) ([]*Product, error) {
	var batch pgx.Batch
	theirs := `product_id IN (SELECT p.id FROM products p WHERE ` + where + `) ORDER BY product_id, position`
	batch.Queue(`SELECT `+productColumns+` FROM products p WHERE `+where, a...)
	batch.Queue(`
		SELECT product_id, sku, options, price, max_per_shopper, initial_stock, in_stock, image, weight_grams
		FROM variants WHERE `+theirs, a...)
	batch.Queue(`SELECT product_id, id, url, alt FROM images WHERE `+theirs, a...)
	results := q.SendBatch(ctx, &batch)
	defer results.Close()

	rows, err := results.Query()
	if err != nil {
		return nil, fmt.Errorf("load products: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[productRow])
	if err != nil {
		return nil, fmt.Errorf("load products: %w", err)
	}
	products := make([]*Product, len(found))
	byID := make(map[uuid.UUID]*Product, len(found))
	for i, r := range found {
		products[i] = &Product{
			ID: r.ID, Slug: r.Slug, Name: r.Name, Description: r.Description, Vendor: r.Vendor, CategoryID: r.CategoryID,
			Tags: r.Tags, OptionNames: r.OptionNames, Attributes: r.Attributes, Status: r.Status, Version: r.Version, PublishedAt: r.PublishedAt,
		}
		byID[r.ID] = products[i]
	}
	if rows, err = results.Query(); err != nil {
		return nil, fmt.Errorf("load variants: %w", err)
	}
	var id uuid.UUID
	var v Variant
	columns := []any{&id, &v.SKU, &v.Options, &v.Price, &v.MaxPerShopper, &v.InitialStock, &v.InStock, &v.Image, &v.Weight}
	_, err = pgx.ForEachRow(rows, columns, func() error {
		if p := byID[id]; p != nil { // one may have come since the first statement
			p.Variants = append(p.Variants, v)
		}
		v = Variant{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load variants: %w", err)
	}
	if rows, err = results.Query(); err != nil {
		return nil, fmt.Errorf("load images: %w", err)
	}
	var img Image
	_, err = pgx.ForEachRow(rows, []any{&id, &img.ID, &img.URL, &img.Alt}, func() error {
		if p := byID[id]; p != nil {
			p.Images = append(p.Images, img)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load images: %w", err)
	}
	return products, nil
}

// change is a product before (nil: new) and after.
type change struct{ before, after *Product }

// saveProducts writes the products that are not as they were, with everything that follows from it:
// version, search, the catalogue's version, events. The rows are locked, or new. It is the only way in
// which products are written.
func saveProducts(ctx context.Context, tx pgx.Tx, changes []change, currency string, now time.Time) error {
	changes = slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return c.before != nil && c.before.Same(c.after) })
	if len(changes) == 0 {
		return nil
	}
	tree, err := loadCategories(ctx, tx)
	if err != nil {
		return err
	}
	var (
		batch   pgx.Batch
		ids     []uuid.UUID
		known   []string
		visible bool
	)
	for _, c := range changes {
		p := c.after
		p.Version = 1
		if c.before != nil {
			p.Version = c.before.Version + 1
		}
		ids = append(ids, p.ID)
		queueProduct(&batch, p, tree, now)
		known = append(known, vocabulary(p, tree)...)
		visible = visible || p.Status == Published || c.before != nil && c.before.Status == Published
	}
	batch.Queue(`DELETE FROM images WHERE product_id = ANY($1)`, ids)
	for _, c := range changes {
		for i, v := range c.after.Variants {
			queueVariant(&batch, c.after, i, v)
		}
		for i, img := range c.after.Images {
			batch.Queue(`INSERT INTO images (id, product_id, position, url, alt) VALUES ($1, $2, $3, $4, $5)`, img.ID, c.after.ID, i, img.URL, img.Alt)
		}
	}
	batch.Queue(`
		UPDATE products p SET in_stock = coalesce(v.in_stock, false)
		FROM products o LEFT JOIN (SELECT product_id, bool_or(in_stock) AS in_stock FROM variants WHERE product_id = ANY($1) GROUP BY product_id) v ON v.product_id = o.id
		WHERE o.id = p.id AND p.id = ANY($1)`, ids)
	queueWords(&batch, known)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("save products: %w", err)
	}
	for _, c := range changes {
		if e := eventOf(c, currency, now); e != nil {
			if err := outbox.Put(ctx, tx, e); err != nil {
				return err
			}
		}
	}
	if visible {
		return renewCatalogue(ctx, tx)
	}
	return nil
}

func queueProduct(b *pgx.Batch, p *Product, tree categoryTree, now time.Time) {
	b.Queue(`
		INSERT INTO products (id, slug, name, description, vendor, category_id, tags, option_names, attributes, status, version,
			published_at, created_at, updated_at, price, in_stock, search)
		VALUES (@id, @slug, @name, @description, @vendor, @category_id, @tags, @option_names, @attributes, @status, @version,
			@published_at, @now, @now, @price, false, @search::text::tsvector)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description, vendor = excluded.vendor,
			category_id = excluded.category_id, tags = excluded.tags, option_names = excluded.option_names,
			attributes = excluded.attributes, status = excluded.status, version = excluded.version,
			published_at = excluded.published_at, updated_at = excluded.updated_at, price = excluded.price, search = excluded.search`, pgx.StrictNamedArgs{
		"id": p.ID, "slug": p.Slug, "name": p.Name, "description": p.Description, "vendor": p.Vendor, "category_id": p.CategoryID,
		"tags": orEmpty(p.Tags), "option_names": orEmpty(p.OptionNames), "attributes": orEmptyMap(p.Attributes),
		"status": p.Status, "version": p.Version, "published_at": p.PublishedAt, "now": now, "price": p.lowest(),
		"search": documentOf(p, tree),
	})
}

// indexAgain makes products findable, and sorted by price, that another version of this service saved. Instances share the
// work.
func indexAgain(ctx context.Context, db *pgxpool.Pool) error {
	const some = 200
	for {
		var ids []uuid.UUID
		err := pg.InTx(ctx, db, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, `
				SELECT id FROM products WHERE NOT search @@ '''`+indexed+`'''::tsquery ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`, some)
			if err != nil {
				return err
			}
			if ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID]); err != nil || len(ids) == 0 {
				return err
			}
			products, err := loadProducts(ctx, tx, byID, ids)
			if err != nil {
				return err
			}
			tree, err := loadCategories(ctx, tx)
			if err != nil {
				return err
			}
			var batch pgx.Batch
			var known []string
			for _, p := range products {
				batch.Queue(`UPDATE products SET search = $2::text::tsvector, price = $3 WHERE id = $1`,
					p.ID, documentOf(p, tree), p.lowest())
				known = append(known, vocabulary(p, tree)...)
			}
			queueWords(&batch, known)
			if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
				return err
			}
			return renewCatalogue(ctx, tx)
		})
		if err != nil {
			return fmt.Errorf("index products again: %w", err)
		}
		if len(ids) < some {
			return nil
		}
	}
}

func queueVariant(b *pgx.Batch, p *Product, position int, v Variant) {
	// What inventory says about stock is not overwritten, except while it cannot have said anything.
	b.Queue(`
		INSERT INTO variants AS v (sku, product_id, position, options, price, max_per_shopper, initial_stock, image, in_stock, weight_grams)
		VALUES (@sku, @product_id, @position, @options, @price, @max_per_shopper, @initial_stock, @image, @in_stock, @weight_grams)
		ON CONFLICT (sku) DO UPDATE SET position = excluded.position, options = excluded.options, price = excluded.price,
			max_per_shopper = excluded.max_per_shopper, initial_stock = excluded.initial_stock, image = excluded.image,
			weight_grams = excluded.weight_grams,
			in_stock = CASE WHEN v.stock_number = 0 AND v.stock_at = '-infinity' THEN excluded.in_stock ELSE v.in_stock END
		WHERE v.product_id = excluded.product_id`, pgx.StrictNamedArgs{
		"sku": v.SKU, "product_id": p.ID, "position": position, "options": orEmpty(v.Options), "price": v.Price,
		"max_per_shopper": v.MaxPerShopper, "initial_stock": v.InitialStock, "image": v.Image, "in_stock": v.InStock,
		"weight_grams": v.Weight,
	}).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return ErrSKUTaken.With("sku", v.SKU) // by another product, between the check and now
		}
		return nil
	})
}

// vocabulary is what a mistyped word may have meant.
func vocabulary(p *Product, tree categoryTree) []string {
	parts := append([]string{p.Name, p.Vendor, tree.names(p.CategoryID), plain(p.Description)}, p.Tags...)
	for _, v := range p.Variants {
		parts = append(parts, v.Options...)
	}
	return slices.DeleteFunc(words(strings.Join(parts, " ")), func(w string) bool {
		return len(w) < 3 || unspaced(w) || strings.ContainsFunc(w, unicode.IsDigit)
	})
}

func queueWords(b *pgx.Batch, known []string) {
	slices.Sort(known) // in one order, so that two writers do not wait for each other
	b.Queue(`INSERT INTO words (word) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING`, slices.Compact(known))
}

// eventOf is what a saved change tells the other services; nil when they never heard of the product.
func eventOf(c change, currency string, now time.Time) outbox.Event {
	p := c.after
	e := events.Product{ProductID: p.ID, Version: p.Version, Slug: p.Slug, Name: p.Name, Status: string(p.Status), Variants: []events.ProductVariant{}, At: now}
	for _, v := range p.Variants {
		e.Variants = append(e.Variants, events.ProductVariant{
			SKU: v.SKU, Options: v.named(p.OptionNames), Variant: v.name(), Price: events.Money{Amount: v.Price, Currency: currency},
			InitialStock: v.InitialStock, MaxPerShopper: v.MaxPerShopper,
		})
	}
	was := c.before != nil && c.before.Status == Published
	switch is := p.Status == Published; {
	case is && was:
		return events.ProductChanged{Product: e}
	case is:
		return events.ProductPublished{Product: e}
	case was:
		return events.ProductWithdrawn{Product: e}
	}
	return nil
}

// tellAgain tells the other services once more of the products that a migration has marked, as new versions of what they
// are. Instances share the work; each is told by the transaction that takes its mark away.
func tellAgain(ctx context.Context, db *pgxpool.Pool, currency string, now time.Time) error {
	const batch = 50
	for {
		var marked []uuid.UUID
		err := pg.InTx(ctx, db, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, `
				DELETE FROM untold WHERE product_id IN (SELECT product_id FROM untold ORDER BY product_id LIMIT $1 FOR UPDATE SKIP LOCKED)
				RETURNING product_id`, batch)
			if err != nil {
				return err
			}
			if marked, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID]); err != nil || len(marked) == 0 {
				return err
			}
			products, err := loadProducts(ctx, tx, byIDLocked, marked)
			if err != nil {
				return err
			}
			for _, p := range products {
				if p.Status != Published { // told when it is published again
					continue
				}
				p.Version++
				if _, err := tx.Exec(ctx, `UPDATE products SET version = $2 WHERE id = $1`, p.ID, p.Version); err != nil {
					return err
				}
				if err := outbox.Put(ctx, tx, eventOf(change{p, p}, currency, now)); err != nil {
					return err
				}
			}
			return renewCatalogue(ctx, tx)
		})
		if err != nil {
			return fmt.Errorf("tell products again: %w", err)
		}
		if len(marked) < batch {
			return nil
		}
	}
}

// freeSlug is the first of slugs that no product has.
func freeSlug(ctx context.Context, q pg.Querier, slugs []string) (slug string, err error) {
	rows, err := q.Query(ctx, `SELECT slug FROM products WHERE slug = ANY($1)`, slugs)
	if err != nil {
		return "", fmt.Errorf("free slug: %w", err)
	}
	taken, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("free slug: %w", err)
	}
	for _, slug = range slugs {
		if !slices.Contains(taken, slug) {
			break
		}
	}
	return slug, nil
}

func renewCatalogue(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `UPDATE catalogue SET version = version + 1`); err != nil {
		return fmt.Errorf("renew catalogue: %w", err)
	}
	return nil
}

func catalogueVersion(ctx context.Context, q pg.Querier) (int64, error) {
	var v int64
	if err := q.QueryRow(ctx, `SELECT version FROM catalogue`).Scan(&v); err != nil {
		return 0, fmt.Errorf("catalogue version: %w", err)
	}
	return v, nil
}

// taken turns a violated unique constraint into its problem.
func taken(err error) error {
	switch {
	case pg.IsUnique(err, "products_slug"), pg.IsUnique(err, "categories_slug"), pg.IsUnique(err, "categories_name"),
		pg.IsUnique(err, "pages_pkey"):
		return ErrSlugTaken
	case pg.IsUnique(err, "variants_pkey"), pg.IsUnique(err, "variants_sku"):
		return ErrSKUTaken
	}
	return err
}

// one returns the only product, or ErrProductNotFound.
func one(products []*Product, err error) (*Product, error) {
	if err == nil && len(products) == 0 {
		err = ErrProductNotFound
	}
	if err != nil {
		return nil, err
	}
	return products[0], nil
}

func newID() uuid.UUID {
	id, err := uuid.NewV7()
	if err != nil {
		panic(errors.Join(errors.New("no random numbers"), err))
	}
	return id
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func orEmptyMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
