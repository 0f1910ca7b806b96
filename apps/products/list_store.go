package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/pg"
)

// Lists

// filter says which products a list is about.
type filter struct {
	Search   search     `json:"q,omitzero"`
	Category string     `json:"c,omitempty"` // its slug
	Min      *int64     `json:"min,omitempty"`
	Max      *int64     `json:"max,omitempty"`
	InStock  *bool      `json:"in,omitempty"` // true: some variant is; false: none is
	Options  [][]string `json:"o,omitempty"`  // name, value, value, …
	Statuses []Status   `json:"-"`            // for the back office; else Published
}

// arguments collects the values of a statement; add returns their placeholder.
type arguments []any

func (a *arguments) add(v any) string {
	*a = append(*a, v)
	return fmt.Sprintf("$%d", len(*a))
}

// where writes the filter as SQL over products p.
func (f filter) where(a *arguments) string {
	conditions := f.product(a)
	if f.Max != nil {
		conditions += " AND p.price <= " + a.add(*f.Max) // the lowest of its variants'
	}
	// Stock, price and options have to hold for one and the same variant. Of stock alone, or the highest price, the product
	// tells.
	if stocked := f.InStock != nil && *f.InStock; f.Min != nil || len(f.Options) > 0 || stocked && f.Max != nil {
		conditions += " AND EXISTS (SELECT FROM variants v WHERE v.product_id = p.id" + f.variant(a, "") + ")"
	}
	return conditions
}

// product writes what the filter asks of a product as a whole.
func (f filter) product(a *arguments) string {
	conditions := []string{"p.status = 'published'"}
	if f.Statuses != nil {
		conditions[0] = "p.status = ANY(" + a.add(f.Statuses) + ")"
	}
	if f.Search.Must != "" {
		conditions = append(conditions, "p.search @@ "+a.add(f.Search.Must)+"::text::tsquery")
	}
	if f.Category != "" {
		conditions = append(conditions, `p.category_id IN (
			WITH RECURSIVE t AS (SELECT id FROM categories WHERE slug = `+a.add(f.Category)+`
				UNION SELECT c.id FROM categories c JOIN t ON c.parent_id = t.id) SELECT id FROM t)`)
	}
	if f.InStock != nil {
		conditions = append(conditions, "p.in_stock = "+a.add(*f.InStock))
	}
	return strings.Join(conditions, " AND ")
}

// variant writes what the filter asks of one variant v of product p. A facet leaves out the part that it offers to change:
// the price, or of options the one with the name that is counted, o.name.
func (f filter) variant(a *arguments, without string) string {
	var conditions string
	if f.InStock != nil && *f.InStock {
		conditions += " AND v.in_stock"
	}
	if f.Min != nil && without != "price" {
		conditions += " AND v.price >= " + a.add(*f.Min)
	}
	if f.Max != nil && without != "price" {
		conditions += " AND v.price <= " + a.add(*f.Max)
	}
	for _, o := range f.Options {
		name := a.add(o[0]) + "::text"
		has := "v.options[array_position(p.option_names, " + name + ")] = ANY(" + a.add(o[1:]) + "::text[])"
		if without == "options" {
			has = "(o.name = " + name + " OR " + has + ")"
		}
		conditions += " AND " + has
	}
	return conditions
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
	Price       int64 // the lowest of its variants'
	Highest     int64
	FirstPrice  int64
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
	where := f.where(&a)
	if f.Search.Must != "" && order.key == "rank" {
		rank := "ts_rank%s('{0.05, 0.2, 0.4, 1.0}', p.search, %s::text::tsquery, 1)"
		// What stands there as it was typed counts more than what it begins, and that with its stems.
		expression["rank"] = fmt.Sprintf("("+rank+" + 6::real * "+rank+")", "_cd", a.add(f.Search.Must), "", a.add(f.Search.Exact))
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
	return strings.NewReplacer("{at}", expression["at"], "{rank}", expression["rank"], "{where}", where,
		"{key}", key, "{column}", order.key, "{direction}", direction, "{limit}", a.add(limit)).Replace(`
		SELECT p.id, p.slug, p.name, p.price, p.in_stock, p.status, p.version, p.at AS published_at, p.rank, c.slug AS category,
			coalesce(v.sku, '') AS sku, coalesce(v.variants, 0)::int AS variants, coalesce(v.price, 0) AS first_price,
			coalesce(v.highest, 0) AS highest, coalesce(v.in_stock, false) AS first_in_stock, i.url AS image_url
		FROM (
			SELECT p.id, p.slug, p.name, p.price, p.in_stock, p.status, p.version, p.category_id, {at} AS at, {rank} AS rank
			FROM products p WHERE {where} ORDER BY {key}{direction}, p.id{direction} LIMIT {limit}) p
		LEFT JOIN categories c ON c.id = p.category_id
		LEFT JOIN LATERAL (
			SELECT sku, in_stock, price, count(*) OVER () AS variants, max(price) OVER () AS highest
			FROM variants WHERE product_id = p.id ORDER BY position LIMIT 1) v ON true
		LEFT JOIN LATERAL (SELECT url FROM images WHERE product_id = p.id ORDER BY position LIMIT 1) i ON true
		ORDER BY p.{column}{direction}, p.id{direction}`), a
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
			WITH RECURSIVE m AS (SELECT p.category_id AS id, count(*) AS n FROM products p WHERE `+f.where(&a)+`
				AND p.category_id IS NOT NULL GROUP BY 1),
			up AS (SELECT id, n FROM m UNION ALL SELECT c.parent_id, up.n FROM up JOIN categories c ON c.id = up.id WHERE c.parent_id IS NOT NULL)
			SELECT c.name, c.slug AS value, sum(up.n)::int AS count FROM up JOIN categories c ON c.id = up.id
			GROUP BY c.name, c.slug ORDER BY count DESC, c.name LIMIT 50`, a...).Query(collect(&facets.categories))
		a = nil
		batch.Queue(`
			SELECT min(v.price), max(v.price) FROM products p JOIN variants v ON v.product_id = p.id
			WHERE `+f.product(&a)+f.variant(&a, "price"), a...).QueryRow(func(row pgx.Row) error {
			return row.Scan(&facets.min, &facets.max)
		})
		a = nil
		batch.Queue(`
			SELECT name, value, count FROM (
				SELECT o.name, o.value, count(DISTINCT p.id)::int AS count, row_number() OVER (PARTITION BY o.name ORDER BY count(DISTINCT p.id) DESC, o.value) AS place,
					sum(count(DISTINCT p.id)) OVER (PARTITION BY o.name) AS total
				FROM products p JOIN variants v ON v.product_id = p.id CROSS JOIN LATERAL unnest(p.option_names, v.options) AS o (name, value)
				WHERE `+f.product(&a)+f.variant(&a, "options")+` AND o.value <> '' GROUP BY o.name, o.value) f
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
