package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

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

// freeSlug is a slug for a category of that name that no other has.
func (t categoryTree) freeSlug(name string, id uuid.UUID) (slug string) {
	for _, slug = range slugsFor(name, "category", id) {
		if _, taken := t.bySlug(slug); !taken {
			break
		}
	}
	return slug
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
			c := Category{ID: newID(), Name: name, ParentID: parent}
			c.Slug = slugify(name)
			if _, taken := tree.bySlug(c.Slug); (taken || c.Slug == "") && parent != nil {
				name = tree[*parent].Slug + "-" + name // says more than a number
			}
			c.Slug = tree.freeSlug(name, c.ID)
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
