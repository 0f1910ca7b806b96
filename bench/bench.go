package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/kit/pause"
)

// bench is a shop with what is measured with.
type bench struct {
	options
	shop      *shop
	db        *pgx.Conn
	apps      []stack.App
	databases []string // the services'
	metrics   []int    // the sidecars' ports
	atRest    float64  // transactions a second while nobody asks anything

	begun   time.Time
	command string // as it was given
	resting string // what the stack takes while nobody asks anything
	rows    string // what is in the databases

	token    string // an administrator's
	shoppers []shopper
	lamps    []product
	used     int // how many orders there were, so that nobody buys twice in a row

	sections sections
}

// lamps is how many products the orders are spread over, and shoppers how many
// buy; without a key of its own, as many as Keycloak makes within half a minute.
const (
	lamps        = 200
	shoppers     = 4000
	slowShoppers = 400
)

// open finds the shop.
func open(ctx context.Context, o options) (*bench, error) {
	s, err := openShop(o.run)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, shop: s, sections: sections{}, begun: time.Now()}
	if b.db, err = connect(ctx, s); err != nil {
		return nil, err
	}
	services, err := s.Services()
	if err != nil {
		return nil, err
	}
	for _, a := range services {
		b.databases = append(b.databases, a.ID)
	}
	if b.apps, err = s.LoadApps(); err != nil {
		return nil, err
	}
	for _, a := range b.apps {
		b.metrics = append(b.metrics, a.MetricsPort)
	}
	return b, nil
}

// prepare makes who buys and what is bought, and measures the shop at rest.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.token, err = b.shop.admin(ctx); err != nil {
		return err
	}
	n := slowShoppers
	if b.shop.Bench {
		n = shoppers
	}
	fmt.Printf("%d shoppers, %d products\n", n, lamps)
	if b.shoppers, err = b.shop.crowd(ctx, n); err != nil {
		return err
	}
	if err := b.findLamps(ctx); err != nil {
		return err
	}
	if b.rows, err = b.countRows(ctx); err != nil {
		return err
	}
	if err := b.calm(ctx); err != nil {
		return err
	}
	return b.watchRest(ctx)
}

// calm waits until the services have read of each other what was loaded, which
// asks many statements and writes few.
func (b *bench) calm(ctx context.Context) error {
	if !b.shop.Bench {
		return nil // nobody counts statements
	}
	const calm, within = 50, 10 * time.Minute // statements a second; a stack at rest has half as many
	for deadline := time.Now().Add(within); ; {
		before, err := b.readStatements(ctx)
		if err != nil {
			return err
		}
		begun := time.Now()
		if !pause.For(ctx, 10*time.Second) {
			return ctx.Err()
		}
		after, err := b.readStatements(ctx)
		if err != nil {
			return err
		}
		c := reading{statements: after}.since(reading{statements: before})
		c.Operations = 1
		rate := c.statements() / time.Since(begun).Seconds()
		if rate < calm {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the stack does not come to rest: %.0f statements a second", rate)
		}
	}
}

func (b *bench) close() { _ = b.db.Close(context.Background()) } // it only read

// products makes so many products of so many units.
func (b *bench) products(ctx context.Context, n, units int) ([]product, error) {
	list := make([]product, n)
	at := time.Now().Format("150405")
	err := each(ctx, list, 4, func(ctx context.Context, i int, _ product) (err error) {
		list[i], err = b.shop.newProduct(ctx, b.token, fmt.Sprintf("%s-%d-%d", at, units, i), units)
		return err
	})
	for _, p := range list {
		if err == nil {
			err = b.shop.await(ctx, p.SKU)
		}
	}
	return list, err
}

// findLamps finds the products that the orders are spread over: those of the
// last run on this shop, or new ones.
func (b *bench) findLamps(ctx context.Context) error {
	file := filepath.Join(b.shop.Run, "bench-lamps.json")
	if text, err := os.ReadFile(file); err == nil {
		return json.Unmarshal(text, &b.lamps)
	}
	var err error
	if b.lamps, err = b.products(ctx, lamps, 1_000_000); err != nil {
		return err
	}
	text, err := json.Marshal(b.lamps)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// watchRest measures what the stack takes while nobody asks anything.
func (b *bench) watchRest(ctx context.Context) error {
	if err := b.rest(ctx); err != nil {
		return err
	}
	pause.For(ctx, flushed)
	before, err := b.read(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	pause.For(ctx, flushed)
	after, err := b.read(ctx)
	if err != nil {
		return err
	}
	took := time.Since(begun)
	c := after.since(before)
	c.Operations = 1
	b.atRest = float64(c.Transactions) / took.Seconds()
	b.resting = fmt.Sprintf("%.1f %% of a processor, %.1f statements and %.1f transactions a second",
		100*c.total().Seconds()/took.Seconds(), c.statements()/took.Seconds(), b.atRest)
	fmt.Printf("at rest: %s\n\n%s\n", b.resting, strings.Join(columns, " | "))
	return nil
}

// lamp is one of the products, another each time.
func (b *bench) lamp(n int) product { return b.lamps[n*7919%len(b.lamps)] }

// shopper is one of the shoppers, another each time.
func (b *bench) shopper(n int) shopper { return b.shoppers[n%len(b.shoppers)] }

// row measures what fn does, and keeps it by a name in a section of the page.
func (b *bench) row(ctx context.Context, section, name string, fn func(ctx context.Context) (*result, error)) error {
	r, err := b.measured(ctx, fn)
	if err != nil {
		return err
	}
	r.Name = name
	b.keep(section, r)
	return nil
}

// keep shows a result and keeps it for a section of the page.
func (b *bench) keep(section string, r *result) {
	b.sections.of(section).rows = append(b.sections.of(section).rows, r)
	fmt.Println(strings.Join(cells(r), " | "))
	if r.First != nil {
		fmt.Printf("  %d went wrong, the first with: %v\n", r.failed(), r.First)
	}
}

// say shows a sentence and keeps it for a section of the page.
func (b *bench) say(section, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.sections.of(section).notes = append(b.sections.of(section).notes, text)
	fmt.Println(text)
}

// mark shows what was measured beside what is promised, and keeps it for a section of the page.
func (b *bench) mark(section, promise, mark, format string, args ...any) {
	row := []string{promise, mark, fmt.Sprintf(format, args...)}
	b.sections.of(section).marks = append(b.sections.of(section).marks, row)
	fmt.Println(strings.Join(row, " | "))
}

// section is a part of the page.
type section struct {
	rows  []*result
	marks [][]string // what is promised, the mark, and what was measured
	notes []string
}

// results are those of a section, none of one that is not there.
func (s *section) results() []*result {
	if s == nil {
		return nil
	}
	return s.rows
}

// sections are the parts of the page, by the measurement's name.
type sections map[string]*section

func (s sections) of(name string) *section {
	if s[name] == nil {
		s[name] = &section{}
	}
	return s[name]
}
