package infra

import (
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/stack"
)

// TestAddLogin: two passwords are good for one database until the first is ended; what was open goes on; whoever logs in, all
// is the owner's; and the third takes the first one's name.
func TestAddLogin(t *testing.T) {
	t.Parallel()
	ctx, a := t.Context(), newArchived(t)
	a.Settings.File = filepath.Join(t.TempDir(), "settings.env")
	a.folders()
	admin, _ := a.up()
	server := a.Settings.Get("POSTGRES_SUPERUSER_URL")
	const setting = "ORDERS_DATABASE_URL"
	require.NoError(t, a.Settings.Put(setting, "postgres://orders:first@"+a.At(stack.PortPostgres)+"/orders"))
	require.NoError(t, makeDatabase(ctx, admin, "orders", "orders", "first"))
	open := func() *pgx.Conn {
		t.Helper()
		db, err := pgx.Connect(ctx, a.Settings.Get(setting))
		require.NoError(t, err)
		t.Cleanup(func() { db.Close(ctx) })
		return db
	}
	first := open()
	_, err := first.Exec(ctx, `CREATE TABLE one ()`)
	require.NoError(t, err)
	before := a.Settings.Get(setting)

	address, end, err := a.AddLogin(ctx, setting)
	require.NoError(t, err)
	require.Contains(t, address, "orders-2:")
	open() // still
	require.NoError(t, a.Settings.Put(setting, address))
	two := open()
	_, err = two.Exec(ctx, `ALTER TABLE one ADD COLUMN x int; CREATE TABLE two ()`)
	require.NoError(t, err)
	_, err = first.Exec(ctx, `ALTER TABLE two ADD COLUMN x int`)
	require.NoError(t, err)
	require.NoError(t, end(ctx))
	_, err = pgx.Connect(ctx, before)
	require.Error(t, err)
	_, err = first.Exec(ctx, `SELECT FROM two`)
	require.NoError(t, err, "what is open goes on")
	require.NoError(t, makeDatabase(ctx, admin, "orders", "orders-2", "as make up does"))

	third, end, err := a.AddLogin(ctx, setting)
	require.NoError(t, err)
	require.Contains(t, third, "//orders:")
	require.NoError(t, a.Settings.Put(setting, third))
	_, err = open().Exec(ctx, `DROP TABLE one, two`)
	require.NoError(t, err)
	require.NoError(t, end(ctx))
	_, err = pgx.Connect(ctx, address)
	require.Error(t, err)

	called := false
	require.NoError(t, a.ChangePassword(ctx, setting, func() error { called = true; return nil }))
	require.True(t, called)
	_, err = pgx.Connect(ctx, third)
	require.Error(t, err)
	open()
	require.NoError(t, a.ChangePassword(ctx, "POSTGRES_SUPERUSER_URL", func() error { return nil }))
	_, err = pgx.Connect(ctx, server)
	require.Error(t, err)
	db, err := a.superuser(ctx)
	require.NoError(t, err)
	require.NoError(t, db.Close(ctx))
}
