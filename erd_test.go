package stampede_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/pgtest"
)

// TestERD: docs/erd.md shows the columns that the migrations make, and no others.
func TestERD(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/erd.md")
	require.NoError(t, err)
	sections := map[string][]string{}
	for i, text := range strings.Split(string(page), "\n## ") {
		name, text, _ := strings.Cut(text, "\n")
		if i > 0 {
			sections[name] = drawnColumns(text)
		}
	}
	shared := sections["In each of the seven databases"]
	require.NotEmpty(t, shared)
	for _, app := range withDatabase {
		t.Run(app, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t, os.DirFS(filepath.Join("apps", app)))
			rows, err := db.Query(t.Context(), `
				SELECT table_name || '.' || column_name || ' ' || udt_name || CASE is_nullable WHEN 'YES' THEN ' null' ELSE '' END
				FROM information_schema.columns
				WHERE table_schema = 'public' AND table_name NOT IN ('migrations', 'kit_migrations')`)
			require.NoError(t, err)
			made, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			drawn := slices.Concat(shared, sections[app])
			slices.Sort(made)
			slices.Sort(drawn)
			require.Empty(t, cmp.Diff(made, drawn), "-made by the migrations, +drawn in docs/erd.md")
		})
	}
}

var (
	drawnTable  = regexp.MustCompile(`^    (\w+) \{$`)
	drawnColumn = regexp.MustCompile(`^        ([\w\[\]]+) (\w+)`)
)

// drawnColumns reads the columns of a Mermaid diagram, in PostgreSQL's own words
// for types.
func drawnColumns(text string) []string {
	types := map[string]string{"int": "int4", "integer": "int4", "bigint": "int8", "boolean": "bool", "text[]": "_text"}
	var columns []string
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := drawnTable.FindStringSubmatch(line); m != nil {
			table = m[1]
		}
		if m := drawnColumn.FindStringSubmatch(line); m != nil {
			kind := m[1]
			if own, ok := types[kind]; ok {
				kind = own
			}
			null := ""
			if strings.HasSuffix(line, `"null"`) {
				null = " null"
			}
			columns = append(columns, fmt.Sprintf("%s.%s %s%s", table, m[2], kind, null))
		}
	}
	return columns
}
