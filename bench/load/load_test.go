package load_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/bench/load"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

// TestLoad: what is loaded adds up, as the auditor sees it, is as much as was asked for (the ledger has its last rows in
// pairs), and leaves no index behind.
func TestLoad(t *testing.T) {
	t.Parallel()
	size := load.Size{Products: 300, Orders: 3000, Ledger: 12_000, Mails: 5000}
	urls := map[string]string{}
	indexes := map[string][]string{}
	for _, service := range []string{"auth", "drops", "inventory", "mail", "orders", "payments", "products", "users"} {
		urls[service] = pgtest.URL(t, os.DirFS("../../apps/"+service))
		indexes[service] = column(t, urls[service], `SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`)
	}
	require.NoError(t, load.Load(t.Context(), urls, size))
	for service, before := range indexes {
		require.Equal(t, before, column(t, urls[service],
			`SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1`), service)
	}
	for table, want := range map[[2]string]string{
		{"orders", "orders"}: "3000", {"inventory", "ledger"}: "11999", {"inventory", "stock"}: "594", {"products", "products"}: "300",
		{"users", "profiles"}: "1000", {"payments", "charges"}: "3000",
	} {
		require.Equal(t, []string{want}, column(t, urls[table[0]], `SELECT count(*)::text FROM `+table[1]), table)
	}
	auditor := exec.Command("go", "run", "-tags=nodynamic", "../../audit")
	auditor.Env = append(os.Environ(), "CGO_ENABLED=0") // as all is compiled that is started (dev/build.go)
	for service, url := range urls {
		auditor.Env = append(auditor.Env, strings.ToUpper(service)+"_DATABASE_URL="+url)
	}
	said, err := auditor.CombinedOutput()
	require.NoError(t, err, "%.2000s", said)
	require.Contains(t, string(said), "orders delivered")
}

func column(t *testing.T, url, sql string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), sql)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return list
}
