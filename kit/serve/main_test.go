package serve

import (
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/pgtest"
)

// TestMigrate: a service brings its database up to date without being started, as often as it is asked, and names what it
// lacks.
func TestMigrate(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, nil)
	p := program[struct{}]{name: "wishes", migrations: fstest.MapFS{
		"migrations/00001_wishes.sql": {Data: []byte("-- +goose Up\nCREATE TABLE wishes (n int);\n")},
	}}
	for range 2 {
		require.NoError(t, p.migrate(t.Context(), map[string]string{"WISHES_DATABASE_URL": url}))
	}
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), "INSERT INTO wishes VALUES (1)")
	require.NoError(t, err)

	require.ErrorContains(t, p.migrate(t.Context(), nil), "setting WISHES_DATABASE_URL is not set")
	p.migrations = nil
	require.ErrorContains(t, p.migrate(t.Context(), nil), "wishes has no database")
}
