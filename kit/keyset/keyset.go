// Package keyset reads sorted lists page by page. A page begins after the key
// of the row before it, not after a number of rows, so that it is right
// whatever was added or removed in between, and costs the same however far
// down it is.
package keyset

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// List says how a statement's rows can be sorted.
type List struct {
	ID    string            // the column that tells rows apart
	Sorts map[string]string // by name in the API: an expression over the statement's columns that is never null, "total", "total DESC"
}

// place is what a cursor holds: the last row of the page before.
type place struct {
	Sort string `json:"s"`
	Key  string `json:"k"`
	ID   string `json:"i"`
}

// Read reads the page of a statement's rows, each into a T by the columns'
// names. next is the cursor of the page that follows, nil at the end. Errors:
// `invalid` for a cursor that is not one of this list and sort.
func Read[T any](ctx context.Context, db pg.Querier, l List, sort string, page rest.Page, sql string, args ...any) (rows []T, next *string, err error) {
	by, ok := l.Sorts[sort]
	if !ok {
		return nil, nil, problem.InvalidField("query.sort", problem.CodeNotOneOf, "is not a way to sort this list")
	}
	key, down := strings.CutSuffix(by, " DESC")
	compare, direction := ">", ""
	if down {
		compare, direction = "<", " DESC"
	}
	n := len(args)
	where := ""
	var after place
	given, err := page.After(&after)
	if err != nil {
		return nil, nil, err
	}
	if given {
		if after.Sort != sort {
			return nil, nil, problem.InvalidField("query.cursor", problem.CodeWrongFormat, "is of the list in another order")
		}
		where = fmt.Sprintf(" WHERE (%s, l.%s) %s ($%d, $%d)", key, l.ID, compare, n+1, n+2)
		args = append(args, after.Key, after.ID)
	}
	args = append(args, page.Limit+1)
	// Planned anew each time, for these arguments: a filter that few rows pass and one that most pass are walked along
	// different indexes, and a filter that is not given costs nothing.
	args = append([]any{pgx.QueryExecModeCacheDescribe}, args...)
	found, err := db.Query(ctx, fmt.Sprintf("SELECT l.*, (%s)::text AS list_key, l.%s::text AS list_id FROM (%s) l%s ORDER BY %s%s, l.%s%s LIMIT $%d",
		key, l.ID, sql, where, key, direction, l.ID, direction, len(args)-1), args...)
	if err != nil {
		return nil, nil, fmt.Errorf("list: %w", err)
	}
	at := place{Sort: sort}
	rows = []T{}
	for found.Next() {
		if len(rows) == page.Limit { // one more than asked for: there is another page
			next = page.Next(at)
			break
		}
		row, err := pgx.RowToStructByName[T](keyed{found, &at})
		if err != nil {
			found.Close()
			return nil, nil, fmt.Errorf("list: %w", err)
		}
		rows = append(rows, row)
	}
	found.Close()
	if err := found.Err(); err != nil {
		return nil, nil, fmt.Errorf("list: %w", err)
	}
	return rows, next, nil
}

// keyed is a row whose last two columns are its place.
type keyed struct {
	pgx.CollectableRow
	at *place
}

// FieldDescriptions implements pgx.CollectableRow.
func (r keyed) FieldDescriptions() []pgconn.FieldDescription {
	all := r.CollectableRow.FieldDescriptions()
	return all[:len(all)-2]
}

// Scan implements pgx.CollectableRow.
func (r keyed) Scan(dest ...any) error {
	return r.CollectableRow.Scan(append(dest[:len(dest):len(dest)], &r.at.Key, &r.at.ID)...)
}
