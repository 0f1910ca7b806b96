package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
)

// importedRow is an imported order as its table has it.
type importedRow struct {
	ID        uuid.UUID
	Number    string
	Email     string
	AccountID *uuid.UUID
	PlacedAt  time.Time
	Total     int64
	Currency  string
	Details   ImportedDetails
	Forgotten bool
}

const selectImported = `
	SELECT o.id, o.number, o.email, o.account_id, o.placed_at, o.total, o.currency, o.details, o.forgotten_at IS NOT NULL AS forgotten
	FROM imported_orders o `

func (r importedRow) order() Imported {
	return Imported{
		ID: r.ID, Number: r.Number, Email: r.Email, PlacedAt: r.PlacedAt.UTC(), Total: money.New(r.Total, r.Currency),
		ImportedDetails: r.Details,
	}
}

// SaveImported keeps orders of a file, none of them twice, and says by number what became of each: csvfile.Created or Changed;
// nothing where the order is as it was, or was forgotten.
func (s store) SaveImported(ctx context.Context, batch []Imported, now time.Time) (map[string]string, error) {
	rows, err := s.db.Query(ctx, `
		INSERT INTO imported_orders AS o (id, number, email, owner_due, placed_at, total, currency, details, imported_at)
		SELECT id, number, email, email <> '', placed_at, total, currency, details, @now::timestamptz
		FROM unnest(@ids::uuid[], @numbers::text[], @emails::text[], @placed::timestamptz[], @totals::bigint[], @currencies::text[],
			@details::jsonb[]) AS f (id, number, email, placed_at, total, currency, details)
		ORDER BY number
		ON CONFLICT (number) DO UPDATE SET email = excluded.email, placed_at = excluded.placed_at, total = excluded.total,
			currency = excluded.currency, details = excluded.details, imported_at = excluded.imported_at,
			account_id = CASE WHEN o.email = excluded.email THEN o.account_id END,
			owner_due = CASE WHEN o.email = excluded.email THEN o.owner_due ELSE excluded.owner_due END
		WHERE o.forgotten_at IS NULL AND (o.email, o.placed_at, o.total, o.currency, o.details)
			IS DISTINCT FROM (excluded.email, excluded.placed_at, excluded.total, excluded.currency, excluded.details)
		RETURNING o.number, CASE WHEN o.xmax = 0 THEN '`+csvfile.Created+`' ELSE '`+csvfile.Changed+`' END`, pgx.StrictNamedArgs{
		"now":        now,
		"ids":        pg.Column(batch, func(o Imported) uuid.UUID { return o.ID }),
		"numbers":    pg.Column(batch, func(o Imported) string { return o.Number }),
		"emails":     pg.Column(batch, func(o Imported) string { return o.Email }),
		"placed":     pg.Column(batch, func(o Imported) time.Time { return o.PlacedAt }),
		"totals":     pg.Column(batch, func(o Imported) int64 { return o.Total.Amount }),
		"currencies": pg.Column(batch, func(o Imported) string { return o.Total.Currency }),
		"details":    pg.Column(batch, func(o Imported) any { return o.ImportedDetails }),
	})
	if err != nil {
		return nil, fmt.Errorf("save imported orders: %w", err)
	}
	done := map[string]string{}
	var number, outcome string
	if _, err := pgx.ForEachRow(rows, []any{&number, &outcome}, func() error { done[number] = outcome; return nil }); err != nil {
		return nil, fmt.Errorf("save imported orders: %w", err)
	}
	return done, nil
}

var importedLists = keyset.List{ID: "id", Sorts: map[string]string{"newest": "placed_at DESC", "oldest": "placed_at"}}

// OwnImported reads a page of the imported orders of an account, newest first, and the cursor of the next one.
func (s store) OwnImported(ctx context.Context, account uuid.UUID, page rest.Page) ([]importedRow, *string, error) {
	return keyset.Read[importedRow](ctx, s.db, importedLists, "newest", page, selectImported+`WHERE o.account_id = $1`, account)
}

// ListImported reads a page of all imported orders, of those with a number, or with an e-mail address that begins so.
func (s store) ListImported(ctx context.Context, q, sort string, page rest.Page) ([]importedRow, *string, error) {
	switch {
	case q == "":
		return keyset.Read[importedRow](ctx, s.db, importedLists, sort, page, selectImported)
	case strings.Contains(q, "@"):
		return keyset.Read[importedRow](ctx, s.db, importedLists, sort, page,
			selectImported+`WHERE o.email <> '' AND o.email LIKE $1`, pg.Begins(strings.ToLower(q)))
	}
	return keyset.Read[importedRow](ctx, s.db, importedLists, sort, page,
		selectImported+`WHERE o.number = ANY ($1)`, []string{q, "#" + q, strings.ToUpper(q), "#" + strings.ToUpper(q)})
}

// Imported reads an imported order. Errors: ErrImportedNotFound.
func (s store) Imported(ctx context.Context, id uuid.UUID) (importedRow, error) {
	rows, err := s.db.Query(ctx, selectImported+`WHERE o.id = $1`, id)
	if err != nil {
		return importedRow{}, fmt.Errorf("read imported order: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[importedRow])
	if err != nil {
		return importedRow{}, fmt.Errorf("read imported order: %w", err)
	}
	if len(found) == 0 {
		return importedRow{}, ErrImportedNotFound
	}
	return found[0], nil
}

// claimImported gives the imported orders of an e-mail address, whose owner has proved it, to the account.
func claimImported(ctx context.Context, tx pgx.Tx, email string, account uuid.UUID) error {
	_, err := tx.Exec(ctx, `
		UPDATE imported_orders SET account_id = $2, owner_due = false
		WHERE email = $1 AND email <> '' AND account_id IS NULL`, email, account)
	if err != nil {
		return fmt.Errorf("claim imported orders: %w", err)
	}
	return nil
}

// dueImported is an imported order of which it is not known yet whose it is.
type dueImported struct {
	ID    uuid.UUID
	Email string
}

// DueImported reads some imported orders of which auth has still to be asked whose they are.
func (s store) DueImported(ctx context.Context, limit int) ([]dueImported, error) {
	rows, err := s.db.Query(ctx, `SELECT id, email FROM imported_orders WHERE owner_due ORDER BY id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("due imported orders: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[dueImported])
}

// OwnersKnown gives imported orders to the accounts that auth has named, by address. Whoever else proves an address later
// claims them then.
func (s store) OwnersKnown(ctx context.Context, asked []dueImported, owners map[string]uuid.UUID) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		for email, account := range owners {
			if err := claimImported(ctx, tx, email, account); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `UPDATE imported_orders SET owner_due = false WHERE id = ANY ($1)`,
			pg.Column(asked, func(o dueImported) uuid.UUID { return o.ID }))
		if err != nil {
			return fmt.Errorf("owners known: %w", err)
		}
		return nil
	})
}

// forgetImported deletes who placed the imported orders of accounts that are gone; what stays is what forgetOrders leaves.
func forgetImported(ctx context.Context, tx pgx.Tx, accounts []uuid.UUID) error {
	_, err := tx.Exec(ctx, `
		UPDATE imported_orders SET email = '', owner_due = false, forgotten_at = transaction_timestamp(),
			details = details - 'billing' || jsonb_build_object('address', jsonb_strip_nulls(jsonb_build_object(
				'country', details -> 'address' -> 'country', 'region', details -> 'address' -> 'region')))
		WHERE account_id = ANY ($1) AND forgotten_at IS NULL`, accounts)
	if err != nil {
		return fmt.Errorf("forget imported orders: %w", err)
	}
	return nil
}
