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

// loadProducts reads whole products.
func loadProducts(ctx context.Context, q pg.Querier, where string, a ...any) ([]*Product, error) {
	rows, err := q.Query(ctx, `SELECT `+productColumns+` FROM products p WHERE `+where, a...)
	if err != nil {
		return nil, fmt.Errorf("load products: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[productRow])
	if err != nil {
		return nil, fmt.Errorf("load products: %w", err)
	}
	products := make([]*Product, len(found))
	ids := make([]uuid.UUID, len(found))
	byID := make(map[uuid.UUID]*Product, len(found))
	for i, r := range found {
		products[i] = &Product{
			ID: r.ID, Slug: r.Slug, Name: r.Name, Description: r.Description, Vendor: r.Vendor, CategoryID: r.CategoryID,
			Tags: r.Tags, OptionNames: r.OptionNames, Attributes: r.Attributes, Status: r.Status, Version: r.Version, PublishedAt: r.PublishedAt,
		}
		ids[i] = r.ID
		byID[r.ID] = products[i]
	}
	if len(ids) == 0 {
		return products, nil
	}
	rows, err = q.Query(ctx, `
		SELECT product_id, sku, options, price, max_per_shopper, initial_stock, in_stock, image
		FROM variants WHERE product_id = ANY($1) ORDER BY product_id, position`, ids)
	if err != nil {
		return nil, fmt.Errorf("load variants: %w", err)
	}
	var id uuid.UUID
	var v Variant
	_, err = pgx.ForEachRow(rows, []any{&id, &v.SKU, &v.Options, &v.Price, &v.MaxPerShopper, &v.InitialStock, &v.InStock, &v.Image}, func() error {
		byID[id].Variants = append(byID[id].Variants, v)
		v = Variant{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load variants: %w", err)
	}
	rows, err = q.Query(ctx, `SELECT product_id, id, url, alt FROM images WHERE product_id = ANY($1) ORDER BY product_id, position`, ids)
	if err != nil {
		return nil, fmt.Errorf("load images: %w", err)
	}
	var img Image
	_, err = pgx.ForEachRow(rows, []any{&id, &img.ID, &img.URL, &img.Alt}, func() error {
		byID[id].Images = append(byID[id].Images, img)
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
	var first int64
	options, skus := []string{}, []string{}
	for i, v := range p.Variants {
		if i == 0 {
			first = v.Price
		}
		options = append(options, v.Options...)
		skus = append(skus, v.SKU)
	}
	attributes := []string{}
	for _, v := range p.Attributes {
		attributes = append(attributes, v)
	}
	b.Queue(`
		INSERT INTO products (id, slug, name, description, vendor, category_id, tags, option_names, attributes, status, version,
			published_at, created_at, updated_at, price, in_stock, search)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, false,
			setweight(to_tsvector('english', $15), 'A') || setweight(to_tsvector('english', $16), 'B') ||
			setweight(to_tsvector('english', $17), 'C') || setweight(to_tsvector('english', $18), 'D'))
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description, vendor = excluded.vendor,
			category_id = excluded.category_id, tags = excluded.tags, option_names = excluded.option_names,
			attributes = excluded.attributes, status = excluded.status, version = excluded.version,
			published_at = excluded.published_at, updated_at = excluded.updated_at, price = excluded.price, search = excluded.search`,
		p.ID, p.Slug, p.Name, p.Description, p.Vendor, p.CategoryID, orEmpty(p.Tags), orEmpty(p.OptionNames), orEmptyMap(p.Attributes), p.Status, p.Version,
		p.PublishedAt, now, first,
		searchable(p.Name),
		searchable(p.Vendor, tree.names(p.CategoryID)),
		searchable(append(append(options, skus...), p.Tags...)...),
		searchable(append(attributes, plain(p.Description))...))
}

func queueVariant(b *pgx.Batch, p *Product, position int, v Variant) {
	// What inventory says about stock is not overwritten, except while it cannot have said anything.
	b.Queue(`
		INSERT INTO variants AS v (sku, product_id, position, options, price, max_per_shopper, initial_stock, image, in_stock)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (sku) DO UPDATE SET position = excluded.position, options = excluded.options, price = excluded.price,
			max_per_shopper = excluded.max_per_shopper, initial_stock = excluded.initial_stock, image = excluded.image,
			in_stock = CASE WHEN v.stock_number = 0 AND v.stock_at = '-infinity' THEN excluded.in_stock ELSE v.in_stock END
		WHERE v.product_id = excluded.product_id`,
		v.SKU, p.ID, position, orEmpty(v.Options), v.Price, v.MaxPerShopper, v.InitialStock, v.Image, v.InStock,
	).Exec(func(tag pgconn.CommandTag) error {
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
		return len(w) < 3 || strings.ContainsFunc(w, unicode.IsDigit)
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
			SKU: v.SKU, Options: v.named(p.OptionNames), Price: events.Money{Amount: v.Price, Currency: currency},
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

// skuOwners tells which product has each of the SKUs, by SKU in small letters.
func skuOwners(ctx context.Context, q pg.Querier, skus []string) (map[string]uuid.UUID, error) {
	owners := map[string]uuid.UUID{}
	rows, err := q.Query(ctx, `SELECT lower(sku), product_id FROM variants WHERE lower(sku) = ANY($1)`, skus)
	if err != nil {
		return nil, fmt.Errorf("sku owners: %w", err)
	}
	var sku string
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&sku, &id}, func() error { owners[sku] = id; return nil })
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

// Stock

// stockWord is what inventory says about a SKU.
type stockWord struct {
	SKU     string
	InStock bool
	Number  int64 // of an event; 0 when inventory was asked
	At      time.Time
}

// applyStock takes what inventory says, unless something newer is known: events are ordered by their
// number, an answer counts when it is younger than what was heard last. Unknown SKUs are passed over.
func applyStock(ctx context.Context, tx pgx.Tx, said []stockWord) error {
	skus := make([]string, len(said))
	for i, s := range said {
		skus[i] = s.SKU
	}
	rows, err := tx.Query(ctx, `
		SELECT id FROM products WHERE id IN (SELECT product_id FROM variants WHERE sku = ANY($1)) ORDER BY id FOR UPDATE`, skus)
	if err != nil {
		return fmt.Errorf("apply stock: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("apply stock: %w", err)
	}
	if len(ids) == 0 {
		return nil
	}
	var batch pgx.Batch
	for _, s := range said {
		batch.Queue(`
			UPDATE variants SET in_stock = $2, stock_number = greatest(stock_number, $3), stock_at = greatest(stock_at, $4)
			WHERE sku = $1 AND ($3 > stock_number OR $3 = 0 AND $4 > stock_at AND in_stock <> $2)`, s.SKU, s.InStock, s.Number, s.At)
	}
	batch.Queue(`
		WITH stock AS (SELECT product_id, bool_or(in_stock) AS in_stock FROM variants WHERE product_id = ANY($1) GROUP BY product_id),
		changed AS (
			UPDATE products p SET in_stock = s.in_stock FROM stock s
			WHERE p.id = s.product_id AND p.in_stock <> s.in_stock RETURNING p.status)
		UPDATE catalogue SET version = version + 1 WHERE EXISTS (SELECT FROM changed WHERE status = 'published')`, ids)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("apply stock: %w", err)
	}
	return nil
}

// Categories

// Category is a shelf of the catalogue; categories form trees.
type Category struct {
	ID       uuid.UUID
	Slug     string
	Name     string
	ParentID *uuid.UUID
}

type categoryTree map[uuid.UUID]Category

// names are the names of a category and of those above it.
func (t categoryTree) names(id *uuid.UUID) string {
	var names []string
	for range 20 { // a tree has no circle; this ends even if one did
		if id == nil {
			break
		}
		names = append(names, t[*id].Name)
		id = t[*id].ParentID
	}
	return strings.Join(names, " ")
}

// slug is the category's slug, nil without one.
// path is what a product file calls a category: "Clothes > Shirts".
func (t categoryTree) path(id *uuid.UUID) string {
	var names []string
	for range 20 { // as in names
		if id == nil {
			break
		}
		c := t[*id]
		names = append([]string{c.Name}, names...)
		id = c.ParentID
	}
	return strings.Join(names, " > ")
}

func (t categoryTree) slug(id *uuid.UUID) *string {
	if id == nil {
		return nil
	}
	s := t[*id].Slug
	return &s
}

func (t categoryTree) bySlug(slug string) (Category, bool) {
	for _, c := range t {
		if c.Slug == slug {
			return c, true
		}
	}
	return Category{}, false
}

// within reports whether a category is, or lies below, another.
func (t categoryTree) within(id uuid.UUID, other uuid.UUID) bool {
	for at, n := &id, 0; at != nil && n < 20; at, n = t[*at].ParentID, n+1 {
		if *at == other {
			return true
		}
	}
	return false
}

func loadCategories(ctx context.Context, q pg.Querier) (categoryTree, error) {
	rows, err := q.Query(ctx, `SELECT id, slug, name, parent_id FROM categories`)
	if err != nil {
		return nil, fmt.Errorf("load categories: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Category])
	if err != nil {
		return nil, fmt.Errorf("load categories: %w", err)
	}
	tree := make(categoryTree, len(list))
	for _, c := range list {
		tree[c.ID] = c
	}
	return tree, nil
}

func insertCategory(ctx context.Context, tx pgx.Tx, c Category) error {
	_, err := tx.Exec(ctx, `INSERT INTO categories (id, slug, name, parent_id) VALUES ($1, $2, $3, $4)`, c.ID, c.Slug, c.Name, c.ParentID)
	if err != nil {
		return fmt.Errorf("insert category: %w", err)
	}
	return nil
}

func updateCategory(ctx context.Context, tx pgx.Tx, c Category) error {
	if _, err := tx.Exec(ctx, `UPDATE categories SET name = $2, parent_id = $3 WHERE id = $1`, c.ID, c.Name, c.ParentID); err != nil {
		return fmt.Errorf("update category: %w", err)
	}
	return nil
}

// reindexCategory makes the products of a category, and below it, findable by its new name.
func reindexCategory(ctx context.Context, tx pgx.Tx, id uuid.UUID, now time.Time) error {
	tree, err := loadCategories(ctx, tx)
	if err != nil {
		return err
	}
	var below []uuid.UUID
	for c := range tree {
		if tree.within(c, id) {
			below = append(below, c)
		}
	}
	rows, err := tx.Query(ctx, `SELECT id FROM products WHERE category_id = ANY($1) ORDER BY id`, below)
	if err != nil {
		return fmt.Errorf("reindex category: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("reindex category: %w", err)
	}
	for some := range slices.Chunk(ids, 500) {
		products, err := loadProducts(ctx, tx, byIDLocked, some)
		if err != nil {
			return err
		}
		var batch pgx.Batch
		var known []string
		for _, p := range products {
			queueProduct(&batch, p, tree, now)
			known = append(known, vocabulary(p, tree)...)
		}
		queueWords(&batch, known)
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("reindex category: %w", err)
		}
	}
	return nil
}

// lockCategories lets one writer at a time change the tree, so that no circle is closed by two.
func lockCategories(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `LOCK TABLE categories IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return fmt.Errorf("lock categories: %w", err)
	}
	return nil
}

// deleteCategory reports false when something is in it.
func deleteCategory(ctx context.Context, tx pgx.Tx, id uuid.UUID) (bool, error) {
	tag, err := tx.Exec(ctx, `
		DELETE FROM categories WHERE id = $1
		AND NOT EXISTS (SELECT FROM products WHERE category_id = $1) AND NOT EXISTS (SELECT FROM categories WHERE parent_id = $1)`, id)
	if err != nil {
		return false, fmt.Errorf("delete category: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// ensureCategory returns the category at a path of names, and makes what is missing of it.
func ensureCategory(ctx context.Context, tx pgx.Tx, tree categoryTree, path []string) (uuid.UUID, error) {
	var parent *uuid.UUID
	for _, name := range path {
		name, err := line("category", name, maxOption)
		if err != nil {
			return uuid.Nil, err
		}
		var found *Category
		for _, c := range tree {
			if equalPtr(c.ParentID, parent) && strings.EqualFold(c.Name, name) {
				found = &c
			}
		}
		if found == nil {
			c := Category{ID: newID(), Slug: slugify(name), Name: name, ParentID: parent}
			if _, taken := tree.bySlug(c.Slug); taken && parent != nil {
				c.Slug = tree[*parent].Slug + "-" + c.Slug
			}
			if _, taken := tree.bySlug(c.Slug); taken || c.Slug == "" {
				c.Slug = strings.TrimLeft(c.Slug+"-"+c.ID.String()[24:], "-")
			}
			if err := insertCategory(ctx, tx, c); err != nil {
				return uuid.Nil, err
			}
			tree[c.ID] = c
			found = &c
		}
		parent = &found.ID
	}
	return *parent, nil
}

// Pictures

func savePicture(ctx context.Context, q pg.Querier, name, file string) error {
	_, err := q.Exec(ctx, `INSERT INTO pictures (name, file) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET file = excluded.file`, name, file)
	if err != nil {
		return fmt.Errorf("save picture: %w", err)
	}
	return nil
}

func loadPictures(ctx context.Context, q pg.Querier, names []string) (map[string]string, error) {
	files := map[string]string{}
	rows, err := q.Query(ctx, `SELECT name, file FROM pictures WHERE name = ANY($1)`, names)
	if err != nil {
		return nil, fmt.Errorf("load pictures: %w", err)
	}
	var name, file string
	if _, err = pgx.ForEachRow(rows, []any{&name, &file}, func() error { files[name] = file; return nil }); err != nil {
		return nil, fmt.Errorf("load pictures: %w", err)
	}
	return files, nil
}

// lockImport keeps other imports out until release is called; ok is false when one is running.
func lockImport(ctx context.Context, db *pgxpool.Pool) (release func(), ok bool, err error) {
	const key = 7310972
	conn, err := db.Acquire(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("lock import: %w", err)
	}
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, key).Scan(&ok); err != nil || !ok {
		conn.Release()
		return nil, false, err
	}
	return func() {
		// A connection that cannot unlock is closed, which unlocks.
		if _, err := conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, key); err != nil {
			_ = conn.Conn().Close(context.WithoutCancel(ctx))
		}
		conn.Release()
	}, true, nil
}

// Lists

// filter says which products a list is about.
type filter struct {
	Query    string     `json:"q,omitempty"` // a tsquery
	Category string     `json:"c,omitempty"` // its slug
	Min      *int64     `json:"min,omitempty"`
	Max      *int64     `json:"max,omitempty"`
	InStock  *bool      `json:"in,omitempty"`
	Options  [][]string `json:"o,omitempty"` // name, value, value, …
	Statuses []Status   `json:"-"`           // for the back office; else Published
}

// arguments collects the values of a statement; add returns their placeholder.
type arguments []any

func (a *arguments) add(v any) string {
	*a = append(*a, v)
	return fmt.Sprintf("$%d", len(*a))
}

// where writes the filter as SQL over products p. A facet leaves out the part that it offers to change.
func (f filter) where(a *arguments, without string) string {
	conditions := []string{"p.status = 'published'"}
	if f.Statuses != nil {
		conditions[0] = "p.status = ANY(" + a.add(f.Statuses) + ")"
	}
	if f.Query != "" {
		conditions = append(conditions, "p.search @@ to_tsquery('english', "+a.add(f.Query)+")")
	}
	if f.Category != "" {
		conditions = append(conditions, `p.category_id IN (
			WITH RECURSIVE t AS (SELECT id FROM categories WHERE slug = `+a.add(f.Category)+`
				UNION SELECT c.id FROM categories c JOIN t ON c.parent_id = t.id) SELECT id FROM t)`)
	}
	if f.InStock != nil {
		conditions = append(conditions, "p.in_stock = "+a.add(*f.InStock))
	}
	if without != "price" {
		if f.Min != nil {
			conditions = append(conditions, "p.price >= "+a.add(*f.Min))
		}
		if f.Max != nil {
			conditions = append(conditions, "p.price <= "+a.add(*f.Max))
		}
	}
	if without != "options" && len(f.Options) > 0 {
		match := "v.product_id = p.id"
		for _, o := range f.Options {
			match += " AND v.options[array_position(p.option_names, " + a.add(o[0]) + "::text)] = ANY(" + a.add(o[1:]) + "::text[])"
		}
		conditions = append(conditions, "EXISTS (SELECT FROM variants v WHERE "+match+")")
	}
	return strings.Join(conditions, " AND ")
}

// position is where a list goes on: after the product with this key and id.
type position struct {
	Rank  float32   `json:"r,omitempty"`
	At    time.Time `json:"t,omitzero"`
	Price int64     `json:"p,omitempty"`
	Name  string    `json:"n,omitempty"`
	ID    uuid.UUID `json:"id"`
}

// summaryRow is a product in a list.
type summaryRow struct {
	ID          uuid.UUID
	Slug        string
	Name        string
	Price       int64
	InStock     bool
	Status      Status
	Version     int
	PublishedAt time.Time // of drafts: when they were last changed
	Rank        float32
	Category    *string
	SKU         string
	Variants    int
	// Whether the first variant is in stock, as far as the catalogue knows.
	FirstInStock bool
	ImageURL     *string
}

func (r summaryRow) position() position {
	return position{Rank: r.Rank, At: r.PublishedAt, Price: r.Price, Name: r.Name, ID: r.ID}
}

// The orders of a list: what it is sorted by, which way, and where that stands in a position.
var orders = map[string]struct {
	key  string
	desc bool
	of   func(position) any
}{
	"relevance": {"rank", true, func(p position) any { return p.Rank }},
	"newest":    {"at", true, func(p position) any { return p.At }},
	"oldest":    {"at", false, func(p position) any { return p.At }},
	"price":     {"price", false, func(p position) any { return p.Price }},
	"-price":    {"price", true, func(p position) any { return p.Price }},
	"name":      {"name", false, func(p position) any { return p.Name }},
	"-name":     {"name", true, func(p position) any { return p.Name }},
}

// selectPage is the statement for one page: limit products after a position. Keys are compared, not
// counted, so a page is right whatever was added or removed before it.
func (f filter) selectPage(sort string, after *position, limit int) (string, arguments) {
	var a arguments
	order := orders[sort]
	expression := map[string]string{
		"rank": "0::real", "at": "p.published_at", "price": "p.price", "name": "p.name",
	}
	if f.Statuses != nil {
		expression["at"] = "coalesce(p.published_at, p.updated_at)"
	}
	where := f.where(&a, "")
	if f.Query != "" {
		expression["rank"] = "ts_rank_cd('{0.05, 0.2, 0.4, 1.0}', p.search, to_tsquery('english', " + a.add(f.Query) + "), 1)"
	}
	key := expression[order.key]
	direction, compare := "", ">"
	if order.desc {
		direction, compare = " DESC", "<"
	}
	if after != nil {
		cast := map[string]string{"rank": "::real", "at": "::timestamptz", "price": "::bigint", "name": "::text"}[order.key]
		where += fmt.Sprintf(" AND (%s, p.id) %s (%s%s, %s)", key, compare, a.add(order.of(*after)), cast, a.add(after.ID))
	}
	// The page is chosen before anything is joined to it.
	return fmt.Sprintf(`
		SELECT p.id, p.slug, p.name, p.price, p.in_stock, p.status, p.version, p.at AS published_at, p.rank, c.slug AS category,
			coalesce(v.sku, '') AS sku, coalesce(v.variants, 0)::int AS variants,
			coalesce(v.in_stock, false) AS first_in_stock, i.url AS image_url
		FROM (
			SELECT p.id, p.slug, p.name, p.price, p.in_stock, p.status, p.version, p.category_id, %s AS at, %s AS rank
			FROM products p WHERE %s ORDER BY %s%s, p.id%s LIMIT %s) p
		LEFT JOIN categories c ON c.id = p.category_id
		LEFT JOIN LATERAL (SELECT sku, in_stock, count(*) OVER () AS variants FROM variants WHERE product_id = p.id ORDER BY position LIMIT 1) v ON true
		LEFT JOIN LATERAL (SELECT url FROM images WHERE product_id = p.id ORDER BY position LIMIT 1) i ON true
		ORDER BY p.%s%s, p.id%s`,
		expression["at"], expression["rank"], where, key, direction, direction, a.add(limit), order.key, direction, direction), a
}

// facetRow is one choice that narrows a list.
type facetRow struct {
	Name  string
	Value string
	Count int
}

// facetRows are the choices of a list.
type facetRows struct {
	categories []facetRow
	options    []facetRow
	min, max   *int64
}

// loadPage reads one page, and the facets when asked for them.
func loadPage(ctx context.Context, db *pgxpool.Pool, f filter, sort string, after *position, limit int, withFacets bool) ([]summaryRow, *facetRows, error) {
	var (
		batch  pgx.Batch
		page   []summaryRow
		facets *facetRows
	)
	statement, a := f.selectPage(sort, after, limit)
	batch.Queue(statement, a...).Query(func(rows pgx.Rows) (err error) {
		page, err = pgx.CollectRows(rows, pgx.RowToStructByName[summaryRow])
		return err
	})
	if withFacets {
		facets = &facetRows{}
		collect := func(into *[]facetRow) func(pgx.Rows) error {
			return func(rows pgx.Rows) (err error) {
				*into, err = pgx.CollectRows(rows, pgx.RowToStructByName[facetRow])
				return err
			}
		}
		a = nil
		// A category counts what is below it too, as filtering by it does.
		batch.Queue(`
			WITH RECURSIVE m AS (SELECT p.category_id AS id, count(*) AS n FROM products p WHERE `+f.where(&a, "")+` AND p.category_id IS NOT NULL GROUP BY 1),
			up AS (SELECT id, n FROM m UNION ALL SELECT c.parent_id, up.n FROM up JOIN categories c ON c.id = up.id WHERE c.parent_id IS NOT NULL)
			SELECT c.name, c.slug AS value, sum(up.n)::int AS count FROM up JOIN categories c ON c.id = up.id
			GROUP BY c.name, c.slug ORDER BY count DESC, c.name LIMIT 50`, a...).Query(collect(&facets.categories))
		a = nil
		batch.Queue(`SELECT min(p.price), max(p.price) FROM products p WHERE `+f.where(&a, "price"), a...).QueryRow(func(row pgx.Row) error {
			return row.Scan(&facets.min, &facets.max)
		})
		a = nil
		batch.Queue(`
			SELECT name, value, count FROM (
				SELECT o.name, o.value, count(DISTINCT p.id)::int AS count, row_number() OVER (PARTITION BY o.name ORDER BY count(DISTINCT p.id) DESC, o.value) AS place,
					sum(count(DISTINCT p.id)) OVER (PARTITION BY o.name) AS total
				FROM products p JOIN variants v ON v.product_id = p.id CROSS JOIN LATERAL unnest(p.option_names, v.options) AS o (name, value)
				WHERE `+f.where(&a, "options")+` AND o.value <> '' GROUP BY o.name, o.value) f
			WHERE place <= 30 ORDER BY total DESC, name, place LIMIT 300`, a...).Query(collect(&facets.options))
	}
	if err := db.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, nil, fmt.Errorf("load page: %w", err)
	}
	return page, facets, nil
}

// similarWords returns words of the catalogue that look like w, or begin with it.
func similarWords(ctx context.Context, q pg.Querier, w string) ([]string, error) {
	rows, err := q.Query(ctx, `
		(SELECT word FROM words WHERE word LIKE $1 || '%' LIMIT 1)
		UNION ALL (SELECT word FROM words ORDER BY word <-> $1 LIMIT 40)`, w)
	if err != nil {
		return nil, fmt.Errorf("similar words: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("similar words: %w", err)
	}
	return found, nil
}

// categoryCount is a category with how many published products are in it and below.
type categoryCount struct {
	Slug   string
	Name   string
	Parent *string
	Count  int
}

func countCategories(ctx context.Context, q pg.Querier) ([]categoryCount, error) {
	rows, err := q.Query(ctx, `
		WITH RECURSIVE m AS (SELECT category_id AS id, count(*) AS n FROM products WHERE status = 'published' AND category_id IS NOT NULL GROUP BY 1),
		up AS (SELECT id, n FROM m UNION ALL SELECT c.parent_id, up.n FROM up JOIN categories c ON c.id = up.id WHERE c.parent_id IS NOT NULL)
		SELECT c.slug, c.name, o.slug AS parent, coalesce((SELECT sum(n) FROM up WHERE up.id = c.id), 0)::int AS count
		FROM categories c LEFT JOIN categories o ON o.id = c.parent_id ORDER BY c.name, c.slug`)
	if err != nil {
		return nil, fmt.Errorf("count categories: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[categoryCount])
	if err != nil {
		return nil, fmt.Errorf("count categories: %w", err)
	}
	return list, nil
}

// variantRow is a variant with what neighbours need of its product.
type variantRow struct {
	SKU           string
	Options       []string
	Price         int64
	MaxPerShopper *int
	InStock       bool
	Image         string
	Slug          string
	Name          string
	Status        Status
	ImageURL      *string
}

func loadVariants(ctx context.Context, q pg.Querier, skus []string) ([]variantRow, error) {
	rows, err := q.Query(ctx, `
		SELECT v.sku, v.options, v.price, v.max_per_shopper, v.in_stock, v.image, p.slug, p.name, p.status,
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

// taken turns a violated unique constraint into its problem.
func taken(err error) error {
	switch {
	case pg.IsUnique(err, "products_slug"), pg.IsUnique(err, "categories_slug"), pg.IsUnique(err, "categories_name"):
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
