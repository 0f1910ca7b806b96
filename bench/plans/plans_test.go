package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const source = "package main\n\n" +
	"const columns = `id, name`\n" + // no statement
	"func f() {\n" +
	"\tquery(`SELECT ` + columns + ` FROM things WHERE id = $1`)\n" +
	"\tquery(`\n\t\tUPDATE things SET name = @name\n\t\tWHERE id = @id`)\n" +
	"\tquery(fmt.Sprintf(\"SELECT l.* FROM (%s) l LIMIT $%d\", sql, n))\n" +
	"\tthings(`WHERE name LIKE $1`)\n" +
	"\tprintln(`SELECT one of these`, \"Select a size\")\n" +
	"}\n"

func found(t *testing.T) []statement {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "apps/shop"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "apps/shop/store.go"), []byte(source), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(root, "apps/shop/store_test.go"), []byte(source), 0o644))
	all, err := statements(root, "apps/shop")
	require.NoError(t, err)
	return all
}

// TestStatements: SQL is found however it is put together, and known again as it is run.
func TestStatements(t *testing.T) {
	t.Parallel()
	all := found(t)
	texts := map[string]string{}
	for _, s := range all {
		texts[s.at] = s.text
	}
	require.Equal(t, map[string]string{
		"apps/shop/store.go:5":  "SELECT … FROM things WHERE id = ?",
		"apps/shop/store.go:6":  "UPDATE things SET name = ? WHERE id = ?",
		"apps/shop/store.go:9":  "SELECT l.* FROM (…) l LIMIT …",
		"apps/shop/store.go:10": "WHERE name LIKE ?",
		"apps/shop/store.go:11": "SELECT one of these",
	}, texts)
	b := newBook(all)
	at := func(text string) (places []string) {
		for _, i := range b.of("shop", text) {
			places = append(places, strings.TrimPrefix(all[i].at, "apps/shop/store.go:"))
		}
		return places
	}
	require.Equal(t, []string{"5"}, at("SELECT id, name FROM things WHERE id = $1"))
	require.Equal(t, []string{"6"}, at("UPDATE things\nSET name = $2 WHERE id = $1"))
	require.Equal(t, []string{"9", "10"}, at("SELECT l.* FROM (SELECT * FROM things WHERE name LIKE $1) l LIMIT $2"))
	require.Empty(t, at("SELECT count(*) FROM things"), "a test's own")
	require.Empty(t, b.of("other", "SELECT id, name FROM things WHERE id = $1"), "another service's database")
}

// explained is a line of the server's log.
func explained(t *testing.T, database, sql string, plan map[string]any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"Query Text": sql, "Plan": plan})
	require.NoError(t, err)
	line, err := json.Marshal(map[string]any{"dbname": database, "message": "duration: 12.345 ms  plan:\n" + string(text)})
	require.NoError(t, err)
	return string(line) + "\n"
}

// TestJudge: what a plan has read is counted, too much of it is told with its plan, and so is what was never run.
func TestJudge(t *testing.T) {
	t.Parallel()
	b := newBook(found(t))
	log := filepath.Join(t.TempDir(), "log")
	scan := func(rows, removed, loops float64) map[string]any {
		return map[string]any{"Node Type": "Limit", "Actual Rows": 1, "Actual Loops": 1, "Shared Hit Blocks": 7,
			"Plans": []any{map[string]any{
				"Node Type": "Seq Scan", "Relation Name": "things",
				"Actual Rows": rows, "Rows Removed by Filter": removed, "Actual Loops": loops, "Filter": "(name)",
			}}}
	}
	lines := explained(t, "shop", "SELECT id, name FROM things WHERE id = $1", scan(1, 0, 1)) +
		`{"message":"checkpoint"}` + "\n" +
		explained(t, "shop", "UPDATE things SET name = $1 WHERE id = $2", scan(1, 500, 4)) +
		explained(t, "shop", "SELECT count(*) FROM things", scan(1_000_000, 0, 1))
	require.NoError(t, os.WriteFile(log, []byte(lines+`{"half`), 0o644))
	end, err := follow(log, 0, b.note)
	require.NoError(t, err)
	require.EqualValues(t, len(lines), end, "the rest is read when it is whole")

	var out strings.Builder
	require.Equal(t, 1, b.offenders(&out))
	require.Contains(t, out.String(), "apps/shop/store.go:6, in shop: 2004 rows, 7 blocks, 12.3 ms")
	require.Contains(t, out.String(), "Seq Scan on things, 1 rows x 4, 500 removed by (name)")
	require.Equal(t, []string{
		"apps/shop/store.go:9: SELECT l.* FROM (…) l LIMIT …", "apps/shop/store.go:10: WHERE name LIKE ?",
		"apps/shop/store.go:11: SELECT one of these",
	}, b.never())
}

// TestValues: each parameter of an operation has something to be tried with.
func TestValues(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	services, err := withDatabase(root)
	require.NoError(t, err)
	for _, service := range services {
		list, err := operations(filepath.Join(root, "apps", service, "openapi.json"))
		require.NoError(t, err)
		require.NotEmpty(t, list)
		for _, op := range list {
			for _, p := range op.Parameters {
				if len(p.Schema.Enum) > 0 || p.Schema.Type == "boolean" || ignored(p.Name, p.Schema.Format) {
					continue
				}
				require.NotEmpty(t, valueOf(service, op, p.Name), "GET %s of %s: %s", op.path, service, p.Name)
			}
		}
	}
}
