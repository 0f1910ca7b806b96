package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// scratch is the database that pgbench writes to.
const scratch = "bench"

// inserts is what PostgreSQL does in a second of what an order must write at
// least: its rows in orders, by one statement in one transaction, in tables of
// the same form in a database of their own.
func (b *bench) inserts(ctx context.Context) error {
	if err := b.openScratch(ctx); err != nil {
		return err
	}
	defer b.dropScratch(context.WithoutCancel(ctx))
	form, err := exec.CommandContext(ctx, "pg_dump", "--schema-only", "--no-owner", "--no-privileges", b.at("orders")).Output()
	if err != nil {
		return fmt.Errorf("pg_dump: %w", err)
	}
	load := exec.CommandContext(ctx, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", b.at(scratch))
	load.Stdin = bytes.NewReader(form)
	if out, err := load.CombinedOutput(); err != nil {
		return fmt.Errorf("psql: %w: %s", err, out)
	}
	script, err := b.orderScript(ctx)
	if err != nil {
		return err
	}
	for _, clients := range []int{1, 16, 64} {
		if err := b.pgbench(ctx, "reference", "pgbench, an order's inserts alone", clients, script); err != nil {
			return err
		}
	}
	return nil
}

// orderScript is a statement that writes a confirmed order again, with another
// id.
func (b *bench) orderScript(ctx context.Context) (string, error) {
	db, err := pgx.Connect(ctx, b.at("orders"))
	if err != nil {
		return "", err
	}
	defer db.Close(ctx)
	var id uuid.UUID
	if err := db.QueryRow(ctx, `SELECT id FROM orders WHERE status = 'confirmed' ORDER BY id DESC LIMIT 1`).Scan(&id); err != nil {
		return "", fmt.Errorf("an order to copy: %w", err)
	}
	script := "WITH new AS (SELECT gen_random_uuid() AS id)"
	for i, table := range []struct{ name, key string }{
		{"order_ids", "id"}, {"orders", "id"}, {"order_lines", "order_id"}, {"order_history", "order_id"},
	} {
		var columns []string
		err := db.QueryRow(ctx, `
			SELECT array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns
			WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER'`, table.name).Scan(&columns)
		if err != nil {
			return "", err
		}
		var values []string
		for _, column := range columns {
			switch column {
			case table.key, "checkout_id":
				values = append(values, `$$new.id$$`)
			case "number":
				values = append(values, `$$'S' || left(new.id::text, 18)$$`)
			default:
				values = append(values, fmt.Sprintf(`quote_nullable(%q) || '::' || (SELECT format_type(atttypid, atttypmod) `+
					`FROM pg_attribute WHERE attrelid = '%s'::regclass AND attname = '%s')`, column, table.name, column))
			}
		}
		var rows []string
		err = db.QueryRow(ctx, fmt.Sprintf(`SELECT array_agg(concat_ws(', ', %s)) FROM %s WHERE %s = $1`,
			strings.Join(values, ", "), table.name, table.key), id).Scan(&rows)
		if err != nil {
			return "", fmt.Errorf("%s: %w", table.name, err)
		}
		for n, row := range rows {
			script += fmt.Sprintf(", t%d_%d AS (INSERT INTO %s (%s) SELECT %s FROM new)",
				i, n, table.name, strings.Join(columns, ", "), row)
		}
	}
	return script + " SELECT 1;\n", nil
}

func (b *bench) openScratch(ctx context.Context) error {
	b.dropScratch(ctx)
	_, err := b.db.Exec(ctx, "CREATE DATABASE "+scratch)
	return err
}

func (b *bench) dropScratch(ctx context.Context) {
	_, _ = b.db.Exec(ctx, "DROP DATABASE IF EXISTS "+scratch+" WITH (FORCE)") // making it again would say what is wrong
}

// at is the address of a database for the one who may see all.
func (b *bench) at(database string) string {
	u, err := url.Parse(b.shop.Settings.Get("POSTGRES_SUPERUSER_URL"))
	if err != nil {
		return ""
	}
	u.Path = "/" + database
	return u.String()
}

// What pgbench says.
var (
	rate      = regexp.MustCompile(`tps = ([0-9.]+)`)
	latency   = regexp.MustCompile(`latency average = ([0-9.]+) ms`)
	processed = regexp.MustCompile(`number of transactions actually processed: ([0-9]+)`)
)

// pgbench runs a script by so many clients, and keeps what it says; of the time
// that one takes only the average is known.
func (b *bench) pgbench(ctx context.Context, section, name string, clients int, script string) error {
	file := filepath.Join(b.shop.Run, "bench.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return err
	}
	return b.row(ctx, section, name, func(ctx context.Context) (*result, error) {
		seconds := strconv.Itoa(max(int(b.limit.Seconds()/2), 1))
		cmd := exec.CommandContext(ctx, "pgbench", "-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", "2",
			"-T", seconds, "-f", file, b.at(scratch))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("pgbench: %w: %s", err, out)
		}
		figure := func(of *regexp.Regexp) float64 {
			found := of.FindSubmatch(out)
			if found == nil {
				return 0
			}
			n, _ := strconv.ParseFloat(string(found[1]), 64)
			return n
		}
		r := &result{Clients: clients, Times: make([]time.Duration, int(figure(processed)))}
		for i := range r.Times {
			r.Times[i] = time.Duration(figure(latency) * float64(time.Millisecond))
		}
		r.Took = time.Duration(float64(len(r.Times)) / max(figure(rate), 0.001) * float64(time.Second))
		return r, nil
	})
}

// holds measures how many holds of one SKU inventory takes at its own door,
// beside how many changes of one row PostgreSQL makes.
func (b *bench) holds(ctx context.Context) error {
	hot, err := b.products(ctx, 1, 1_000_000)
	if err != nil {
		return err
	}
	var door string
	for _, a := range b.apps {
		if a.ID == "inventory" {
			door = fmt.Sprintf("http://127.0.0.1:%d/internal/holds/", a.Port)
		}
	}
	if err := b.openScratch(ctx); err != nil {
		return err
	}
	defer b.dropScratch(context.WithoutCancel(ctx))
	if err := b.oneRow(ctx); err != nil {
		return err
	}
	for _, clients := range []int{16, 64} {
		if err := b.pgbench(ctx, "holds", "pgbench, one row changed", clients, "UPDATE hot SET n = n + 1 WHERE id = 1;\n"); err != nil {
			return err
		}
		err := b.row(ctx, "holds", "a hold of one SKU, at inventory's door", func(ctx context.Context) (*result, error) {
			return closed(ctx, clients, b.limit/2, b.most, func(ctx context.Context, _ int) error {
				at := door + url.PathEscape("account:"+uuid.NewString()) + "/" + hot[0].SKU
				return b.shop.send(ctx, "PUT", at, "", map[string]int{"quantity": 1}, nil,
					"dapr-api-token", b.shop.Settings.Get("APP_API_TOKEN"), "dapr-caller-app-id", "carts")
			}), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// oneRow makes the row that everybody wants.
func (b *bench) oneRow(ctx context.Context) error {
	db, err := pgx.Connect(ctx, b.at(scratch))
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	_, err = db.Exec(ctx, `CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL); INSERT INTO hot VALUES (1, 0)`)
	return err
}
