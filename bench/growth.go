package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// countRows says about how much is in the databases.
func (b *bench) countRows(ctx context.Context) (string, error) {
	var parts []string
	for _, table := range []struct{ database, name string }{
		{"products", "products"}, {"orders", "orders"}, {"inventory", "ledger"}, {"mail", "mails"},
	} {
		db, err := pgx.Connect(ctx, b.at(table.database))
		if err != nil {
			return "", err
		}
		var rows int64
		_, err = db.Exec(ctx, "ANALYZE "+table.name)
		if err == nil {
			err = db.QueryRow(ctx, `SELECT reltuples::bigint FROM pg_class WHERE oid = $1::regclass`, table.name).Scan(&rows)
		}
		_ = db.Close(ctx)
		if err != nil {
			return "", err
		}
		parts = append(parts, fmt.Sprintf("%d %s", rows, table.name))
	}
	return strings.Join(parts, ", "), nil
}

// keepFor writes what was measured to a file, for another run to compare with.
func (b *bench) keepFor(file string) error {
	all := map[string][]*result{"": {{Name: b.rows}}}
	for name, s := range b.sections {
		for _, r := range s.rows {
			r.First = nil // an error has no form in JSON
		}
		all[name] = s.rows
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// grown compares what was measured with what a run with fewer rows has kept.
func (b *bench) grown(context.Context) error {
	if b.growth == "" {
		return nil
	}
	text, err := os.ReadFile(b.growth)
	if err != nil {
		return err
	}
	var before map[string][]*result
	if err := json.Unmarshal(text, &before); err != nil {
		return err
	}
	b.say("growth", "First with %s, then with %s.", before[""][0].Name, b.rows)
	for _, name := range []string{"order", "browse"} {
		for _, few := range before[name] {
			for _, many := range b.sections[name].results() {
				if few.Name != many.Name || few.Clients != many.Clients {
					continue
				}
				small, big := *few, *many
				small.Name, big.Name = few.Name+", few rows", many.Name+", many"
				b.keep("growth", &small)
				b.keep("growth", &big)
				b.say("growth", "%s, %d clients: %+.0f %% CPU, %+.0f %% in p50.", few.Name, few.Clients,
					100*(many.Cost.total().Seconds()/few.Cost.total().Seconds()-1),
					100*(percentile(many.Times, 50).Seconds()/percentile(few.Times, 50).Seconds()-1))
			}
		}
	}
	return nil
}

// instances measures orders on two and three instances of the services that an
// order costs the most in, by make scale.
func (b *bench) instances(ctx context.Context) error {
	apps := []string{"orders", "inventory", "payments"}
	for _, n := range []int{2, 3, 1} {
		for _, app := range apps {
			if _, err := b.dev(ctx, "scale", app, fmt.Sprint(n)); err != nil {
				if n == 2 && app == apps[0] {
					b.say("instances", "Not measured: there is no `make scale` here.")
					return nil
				}
				return err
			}
		}
		if n == 1 {
			return nil // as it was
		}
		r, err := b.counted(ctx, func(ctx context.Context) (*result, error) {
			from := b.used
			return closed(ctx, 64, b.limit, b.most, func(ctx context.Context, k int) error {
				return b.shop.order(ctx, b.shopper(from+k), b.lamp(from+k).SKU)
			}), nil
		})
		if err != nil {
			return err
		}
		b.used += len(r.Times)
		r.Name = fmt.Sprintf("order, %d instances of %s", n, strings.Join(apps, ", "))
		b.keep("instances", r)
		if best := b.best(); best > 0 {
			b.say("instances", "%d instances: %.0f %% of the best rate of one.", n, 100*r.rate()/best)
		}
	}
	return nil
}

// dev runs a command of dev on the shop that is measured.
func (b *bench) dev(ctx context.Context, args ...string) (said string, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.shop.Root, ".run", "bin", "dev"), args...)
	cmd.Dir = b.shop.Root
	cmd.Env = append(os.Environ(), "RUN_DIR="+b.shop.Run)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("dev %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}
