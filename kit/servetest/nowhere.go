package servetest

import (
	"encoding/hex"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// Nowhere demands that no row of any table has one of the texts in it, in small
// or capital letters, also within bytes. They must be such as no id has by chance.
func Nowhere(t testing.TB, db *pgxpool.Pool, texts ...string) {
	t.Helper()
	for _, text := range texts {
		require.NotRegexp(t, `^[0-9a-fA-F-]{1,6}$`, text, "an id may have this in it")
	}
	rows, err := db.Query(t.Context(), `SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	for _, table := range tables {
		for _, text := range texts {
			rows, err := db.Query(t.Context(), `
				SELECT t::text FROM `+table+` t WHERE t::text ILIKE '%' || $1 || '%' OR t::text LIKE '%' || $2 || '%'`,
				text, hex.EncodeToString([]byte(text)))
			require.NoError(t, err)
			found, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			require.Empty(t, found, "%s is in %s", text, table)
		}
	}
}
