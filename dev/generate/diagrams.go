package main

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

// diagrams writes docs/erd.md's diagrams from the catalogues of databases that
// the migrations have just made, one a service and one of kit's tables alone.
func (s *shop) diagrams(ctx context.Context, g *generated) error {
	server, err := pgtest.Server()
	if err != nil {
		return fmt.Errorf("docs/erd.md is made from real databases: %w", err)
	}
	shared, err := catalogue(ctx, server, nil)
	if err != nil {
		return err
	}
	const file = "docs/erd.md"
	if err := g.part(file, "shared", mermaid(shared)); err != nil {
		return err
	}
	for _, name := range s.with(func(a app) bool { return a.Database }) {
		tables, err := catalogue(ctx, server, os.DirFS(filepath.Join(s.root, "apps", name)))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		tables = slices.DeleteFunc(tables, func(t table) bool {
			return slices.ContainsFunc(shared, func(kit table) bool { return kit.Name == t.Name })
		})
		text, err := g.text(file)
		if err != nil {
			return err
		}
		if heading := "\n## " + name + "\n"; !strings.Contains(text, heading) {
			g.put(file, text+heading+"<!-- generated: "+name+" -->\n<!-- end -->\n")
		}
		if err := g.part(file, name, mermaid(tables)); err != nil {
			return err
		}
	}
	return nil
}

// table is a table as PostgreSQL's catalogue has it.
type table struct {
	Name    string
	Columns []column
	Keys    []foreignKey
}

type column struct {
	Name, Type              string
	Primary, Foreign, Alone bool // Alone: unique by itself, and not the primary key
	Null                    bool
}

type foreignKey struct {
	Columns []string
	Target  string
	Null    bool // one of its columns may be null
	Once    bool // its columns are unique: at most one row points to a target
}

// catalogue migrates a database of its own and reads its tables, in the order
// in which they were made.
func catalogue(ctx context.Context, server string, migrations fs.FS) ([]table, error) {
	admin, err := pgx.Connect(ctx, server)
	if err != nil {
		return nil, err
	}
	defer admin.Close(context.WithoutCancel(ctx))
	name := "generate_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	defer func() {
		_, _ = admin.Exec(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)")
	}()
	at, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	at.Path = "/" + name
	if err := pg.Migrate(ctx, at.String(), migrations); err != nil {
		return nil, err
	}
	db, err := pgx.Connect(ctx, at.String())
	if err != nil {
		return nil, err
	}
	defer db.Close(context.WithoutCancel(ctx))
	return readTables(ctx, db)
}

// unique are the sets of columns that a whole, plain index keeps unique.
const unique = `
	SELECT indrelid, indisprimary, array(SELECT unnest(indkey)::int ORDER BY 1) AS cols
	FROM pg_index WHERE indisunique AND indpred IS NULL AND indexprs IS NULL`

func readTables(ctx context.Context, db *pgx.Conn) ([]table, error) {
	rows, err := db.Query(ctx, `
		WITH keys AS (`+unique+`)
		SELECT c.relname, a.attname, t.typname, NOT a.attnotnull,
			EXISTS (SELECT FROM keys WHERE indrelid = c.oid AND indisprimary AND a.attnum = ANY(cols)),
			EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND contype = 'f' AND a.attnum = ANY(conkey)),
			EXISTS (SELECT FROM keys WHERE indrelid = c.oid AND NOT indisprimary AND cols = ARRAY[a.attnum::int])
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
		WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
			AND c.relname NOT IN ('migrations', 'kit_migrations') AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY c.oid, a.attnum`)
	if err != nil {
		return nil, err
	}
	var tables []table
	var name string
	var c column
	_, err = pgx.ForEachRow(rows, []any{&name, &c.Name, &c.Type, &c.Null, &c.Primary, &c.Foreign, &c.Alone}, func() error {
		if len(tables) == 0 || tables[len(tables)-1].Name != name {
			tables = append(tables, table{Name: name})
		}
		last := &tables[len(tables)-1]
		last.Columns = append(last.Columns, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err = db.Query(ctx, `
		WITH keys AS (`+unique+`)
		SELECT c.relname, target.relname,
			array(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(n, i) JOIN pg_attribute ON attrelid = c.oid AND attnum = n ORDER BY i),
			EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attnum = ANY(k.conkey) AND NOT attnotnull),
			EXISTS (SELECT FROM keys WHERE indrelid = c.oid AND cols <@ k.conkey::int[])
		FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class target ON target.oid = k.confrelid
		WHERE k.contype = 'f' AND c.relnamespace = 'public'::regnamespace
		ORDER BY target.oid, c.oid, k.conkey`)
	if err != nil {
		return nil, err
	}
	var k foreignKey
	_, err = pgx.ForEachRow(rows, []any{&name, &k.Target, &k.Columns, &k.Null, &k.Once}, func() error {
		i := slices.IndexFunc(tables, func(t table) bool { return t.Name == name })
		if i < 0 {
			return fmt.Errorf("the key of a table that is not there: %s", name)
		}
		k.Columns = slices.Clone(k.Columns)
		tables[i].Keys = append(tables[i].Keys, k)
		return nil
	})
	return tables, err
}

// mermaid draws tables.
func mermaid(tables []table) string {
	list := []string{"```mermaid", "erDiagram"}
	for _, target := range tables {
		for _, t := range tables {
			for _, k := range t.Keys {
				if k.Target != target.Name {
					continue
				}
				from, to := "||", "o{"
				if k.Null {
					from = "|o"
				}
				if k.Once {
					to = "o|"
				}
				list = append(list, fmt.Sprintf("    %s %s--%s %s : %s", k.Target, from, to, t.Name, strings.Join(k.Columns, "_and_")))
			}
		}
	}
	for _, t := range tables {
		list = append(list, "    "+t.Name+" {")
		for _, c := range t.Columns {
			list = append(list, "        "+c.text())
		}
		list = append(list, "    }")
	}
	return lines(append(list, "```")...)
}

// text is a column as Mermaid writes it.
func (c column) text() string {
	words := map[string]string{"int4": "integer", "int8": "bigint", "bool": "boolean"}
	kind, array := strings.CutPrefix(c.Type, "_")
	if word, ok := words[kind]; ok {
		kind = word
	}
	if array {
		kind += "[]"
	}
	text := kind + " " + c.Name
	var keys []string
	for _, k := range []struct {
		is   bool
		word string
	}{{c.Primary, "PK"}, {c.Foreign, "FK"}, {c.Alone, "UK"}} {
		if k.is {
			keys = append(keys, k.word)
		}
	}
	if len(keys) > 0 {
		text += " " + strings.Join(keys, ", ")
	}
	if c.Null {
		text += ` "null"`
	}
	return text
}
