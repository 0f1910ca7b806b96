package keyset_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

var migrations = fstest.MapFS{"migrations/00001_t.sql": {Data: []byte(`-- +goose Up
CREATE TABLE parcels (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), label text NOT NULL, grams bigint NOT NULL, at timestamptz NOT NULL);
`)}}

func init() { rest.SignCursors("what cursors of these tests are signed with") }

var parcels = keyset.List{ID: "id", Sorts: map[string]string{
	"newest": "at DESC", "oldest": "at", "label": "label", "-label": "lower(label) DESC", "grams": "grams + 1",
}}

type parcel struct {
	ID    string
	Label string
	Grams int64
}

func read(t *testing.T, db *pgxpool.Pool, sort string, page rest.Page) (labels []string, next *string) {
	t.Helper()
	rows, next, err := keyset.Read[struct {
		parcel
		Odd bool
		At  any
	}](t.Context(), db, parcels, sort, page, `SELECT p.id::text, p.label, p.grams, p.at, p.grams % 2 = 1 AS odd FROM parcels p WHERE p.grams >= $1`, 0)
	require.NoError(t, err)
	for _, r := range rows {
		require.NotEmpty(t, r.ID)
		labels = append(labels, r.Label)
	}
	return labels, next
}

func walk(t *testing.T, db *pgxpool.Pool, sort string, limit int) (labels []string) {
	t.Helper()
	page := rest.Page{Limit: limit}
	for {
		found, next := read(t, db, sort, page)
		labels = append(labels, found...)
		if next == nil {
			return labels
		}
		require.Len(t, found, limit, "only the last page is short")
		page.Cursor = *next
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	none, next := read(t, db, "newest", rest.Page{Limit: 2})
	require.Empty(t, none)
	require.Nil(t, next)

	// Two weigh the same, and times differ by a microsecond.
	_, err := db.Exec(t.Context(), `INSERT INTO parcels (label, grams, at) VALUES
		('Ann', 5, '2026-03-01 12:00:00.000001+00'), ('bob', 5, '2026-03-01 12:00:00.000002+00'), ('''; --', 70, '2026-03-01 13:00:00+01'),
		('', 600, '2025-01-01 00:00:00+00'), ('Äh', 9, '2026-10-25 00:30:00+00'), ('gone', -1, now())`)
	require.NoError(t, err)
	for sort, want := range map[string][]string{
		"newest": {"Äh", "bob", "Ann", "'; --", ""},
		"oldest": {"", "'; --", "Ann", "bob", "Äh"},
		"grams":  nil,
		"label":  nil,
		"-label": nil,
	} {
		whole := walk(t, db, sort, 100)
		require.Len(t, whole, 5, sort)
		if want != nil {
			require.Equal(t, want, whole, sort)
		}
		for limit := 1; limit <= 6; limit++ {
			require.Equal(t, whole, walk(t, db, sort, limit), "%s by %d", sort, limit)
		}
	}
	byWeight := walk(t, db, "grams", 1)
	require.ElementsMatch(t, []string{"Ann", "bob"}, byWeight[:2])
	require.Equal(t, []string{"Äh", "'; --", ""}, byWeight[2:])
	labels := walk(t, db, "-label", 1)
	require.Less(t, slices.Index(labels, "bob"), slices.Index(labels, "Ann"), "whatever the letters' case")
}

// A page goes on where the one before ended, though that row is gone and another came before it.
func TestReadWhileTheListChanges(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	exec := func(sql string) {
		_, err := db.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	exec(`INSERT INTO parcels (label, grams, at) SELECT 'n' || n, n, '2026-03-01'::timestamptz + n * interval '1 hour' FROM generate_series(1, 5) n`)
	first, next := read(t, db, "oldest", rest.Page{Limit: 2})
	require.Equal(t, []string{"n1", "n2"}, first)
	exec(`DELETE FROM parcels WHERE label = 'n2'`)
	exec(`INSERT INTO parcels (label, grams, at) VALUES ('early', 1, '2026-01-01'), ('late', 1, '2026-12-01')`)
	second, next := read(t, db, "oldest", rest.Page{Limit: 3, Cursor: *next})
	require.Equal(t, []string{"n3", "n4", "n5"}, second)
	third, next := read(t, db, "oldest", rest.Page{Limit: 3, Cursor: *next})
	require.Equal(t, []string{"late"}, third)
	require.Nil(t, next)
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, migrations)
	_, err := db.Exec(t.Context(), `INSERT INTO parcels (label, grams, at) VALUES ('a', 1, now()), ('b', 2, now())`)
	require.NoError(t, err)
	_, next := read(t, db, "newest", rest.Page{Limit: 1})
	for name, c := range map[string]struct{ sort, cursor string }{
		"no such sort":     {"height", ""},
		"no cursor":        {"newest", "forged"},
		"another's cursor": {"newest", rest.EncodeCursor("", "x")},
		"in another order": {"oldest", *next},
		"of another list":  {"newest", rest.EncodeCursor("another", map[string]string{"s": "newest", "k": "2026-01-01"})},
	} {
		_, _, err := keyset.Read[parcel](t.Context(), db, parcels, c.sort, rest.Page{Limit: 1, Cursor: c.cursor}, `SELECT id::text, label, grams FROM parcels`)
		var known *problem.Error
		require.ErrorAs(t, err, &known, name)
		require.Equal(t, 422, rest.StatusOf(known), name)
	}
}
