// Package load fills migrated databases of the services with as much as a shop has after a while, by COPY and in the
// shapes that the services write: a catalogue, orders over half a year with all that followed from them, and the
// ledger, the mails, the outboxes and inboxes that are still kept of that. What one database says the others say too,
// so that `make audit` is content.
package load

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Size is how much is loaded.
type Size struct {
	Products int // with two SKUs each
	Orders   int // of a tenth as many shoppers
	Ledger   int // rows, of which about two an order are sales; the rest is what came in and was counted
	Mails    int // those of the latest orders, as those of before have been pruned
}

// parts are the services and what fills their databases.
var parts = map[string]func(*loader) error{
	"auth":      (*loader).auth,
	"inventory": (*loader).inventory,
	"mail":      (*loader).mail,
	"orders":    (*loader).orders,
	"payments":  (*loader).payments,
	"products":  (*loader).products,
	"users":     (*loader).users,
}

// Load fills the databases at urls, by service, and leaves out services that it knows nothing of. Each is filled in one
// transaction, in which its indexes are dropped and made again: until that ends nobody can use the tables. The same size
// gives the same shop, but for the time at which it ends, which is now.
func Load(ctx context.Context, urls map[string]string, size Size) error {
	w := newWorld(size, time.Now())
	var all errgroup.Group
	all.SetLimit(2)
	for service, url := range urls {
		if fill := parts[service]; fill != nil {
			all.Go(func() error {
				if err := one(ctx, service, url, w, fill); err != nil {
					return fmt.Errorf("load %s: %w", service, err)
				}
				return nil
			})
		}
	}
	return all.Wait()
}

func one(ctx context.Context, service, url string, w *world, fill func(*loader) error) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := conn.Exec(ctx,
		`SET maintenance_work_mem = '512MB'; SET work_mem = '256MB'; SET synchronous_commit = off; SET timezone = 'UTC'`); err != nil {
		return err
	}
	began := time.Now()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return fill(&loader{ctx, tx, service, w}) })
	if err != nil {
		return err
	}
	// Not ANALYZE alone: a shop that grew slowly has been vacuumed on the way.
	if _, err := conn.Exec(ctx, `VACUUM (ANALYZE)`); err != nil {
		return err
	}
	slog.InfoContext(ctx, "loaded", "service", service, "took", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// loader fills one service's database.
type loader struct {
	ctx     context.Context
	tx      pgx.Tx
	service string
	*world
}

// into is a table, the columns that are given, and its rows.
type into struct {
	table, columns string
	rows           iter.Seq[[]any]
}

// copy fills tables, without their indexes and constraints, which are made again afterwards.
func (l *loader) copy(tables ...into) error {
	names := make([]string, 0, len(tables))
	for _, t := range tables {
		names = append(names, t.table)
	}
	again, err := l.strip(names)
	if err != nil {
		return err
	}
	for _, t := range tables {
		began := time.Now()
		next, stop := iter.Pull(t.rows)
		n, err := l.tx.CopyFrom(l.ctx, pgx.Identifier{t.table}, strings.Fields(t.columns), pgx.CopyFromFunc(func() ([]any, error) {
			row, _ := next()
			return row, nil
		}))
		stop()
		if err != nil {
			return fmt.Errorf("%s: %w", t.table, err)
		}
		slog.DebugContext(l.ctx, "copied", "service", l.service, "table", t.table, "rows", n, "took",
			time.Since(began).Round(time.Millisecond))
	}
	began := time.Now()
	for _, sql := range again {
		if _, err := l.tx.Exec(l.ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	slog.DebugContext(l.ctx, "indexed", "service", l.service, "tables", names, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// strip drops the foreign keys of the database, and the indexes of tables, and returns what makes them again.
func (l *loader) strip(tables []string) (again []string, err error) {
	rows, err := l.tx.Query(l.ctx, `
		SELECT 2, format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
		       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace AND conparentid = 0
		UNION ALL
		SELECT 1, format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
		       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE contype IN ('p', 'u') AND conrelid = ANY ($1::text[]::regclass[])
		UNION ALL
		SELECT 0, format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
		FROM pg_index i WHERE indrelid = ANY ($1::text[]::regclass[])
		  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u'))
		ORDER BY 1, 2`, tables)
	if err != nil {
		return nil, err
	}
	var (
		drop []string
		rank int
		down string
		up   string
	)
	_, err = pgx.ForEachRow(rows, []any{&rank, &down, &up}, func() error {
		drop, again = append(drop, down), append(again, up)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, sql := range slices.Backward(drop) { // foreign keys first: they need the keys
		if _, err := l.tx.Exec(l.ctx, sql); err != nil {
			return nil, fmt.Errorf("%s: %w", sql, err)
		}
	}
	return again, nil
}

// event is a row of an outbox or an inbox.
type event struct {
	id    [16]byte
	topic string
	at    time.Time
	data  any
}

// How long kit/outbox and kit/sub keep rows, less a little.
const (
	keepOutbox = 23 * time.Hour
	keepInbox  = 7*24*time.Hour - time.Hour
)

// outbox is the table of events that were published and are kept still.
func (l *loader) outbox(published iter.Seq[event]) into {
	return into{"outbox", "id topic data created_at next_try_at tries sent_at", func(yield func([]any) bool) {
		for e := range published {
			sent := e.at.Add(40 * time.Millisecond)
			if e.at.After(l.now.Add(-keepOutbox)) && !yield([]any{e.id, e.topic, e.data, e.at, sent, 1, sent}) {
				return
			}
		}
	}}
}

// inbox is the table of events that were handled and are kept still.
func (l *loader) inbox(handled iter.Seq[event]) into {
	return into{"inbox", "event_id topic seen_at done_at", func(yield func([]any) bool) {
		for e := range handled {
			seen := e.at.Add(60 * time.Millisecond)
			if e.at.After(l.now.Add(-keepInbox)) && !yield([]any{text(e.id), e.topic, seen, seen}) {
				return
			}
		}
	}}
}
