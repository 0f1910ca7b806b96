package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

// mayCome are those of entries e who have not left, are not shut out, gone or suspended.
const mayCome = `e.left_at IS NULL AND e.excluded IS NULL AND e.account_id IS NOT NULL
	AND NOT EXISTS (SELECT FROM standings s WHERE s.account_id = e.account_id AND s.suspended)`

// drawNext draws those who are next for a SKU, as far as so many units go, and counts the units. Who is last may have fewer
// than they want.
func (s store) drawNext(ctx context.Context, d Drop, sku string, units int64, now time.Time) (drawn int64, err error) {
	err = s.db.QueryRow(ctx, `
		WITH next AS (
			SELECT id, position, quantity, sum(quantity) OVER (ORDER BY position) - quantity AS before FROM (
				SELECT e.id, e.position, e.quantity FROM entries e
				WHERE e.drop_id = @drop AND @sku = ANY (e.skus) AND `+mayCome+`
				  AND e.position >= (SELECT called FROM drop_lots WHERE drop_id = @drop AND sku = @sku)
				ORDER BY e.position LIMIT @units::bigint) n
		), drawn AS (
			INSERT INTO claims (drop_id, entry_id, sku, quantity, position, state, until, made_at)
			SELECT @drop::uuid, id, @sku::text, least(quantity, @units::bigint - before), position, 'drawn', @until::timestamptz,
				@now::timestamptz
			FROM next WHERE before < @units::bigint
			RETURNING position, quantity
		), counted AS (
			SELECT count(*) AS n, max(position) + 1 AS last, COALESCE(sum(quantity), 0)::bigint AS units FROM drawn
		), noted AS (
			INSERT INTO calls (drop_id, sku, first, last, called, called_at, settled_at)
			SELECT @drop::uuid, @sku::text, l.called, c.last, c.n, @now::timestamptz, @now::timestamptz
			FROM counted c, drop_lots l WHERE l.drop_id = @drop AND l.sku = @sku AND c.n > 0
		), moved AS (
			UPDATE drop_lots l SET called = greatest(l.called, c.last)
			FROM counted c WHERE l.drop_id = @drop AND l.sku = @sku AND c.n > 0
		)
		SELECT units FROM counted`, pgx.StrictNamedArgs{
		"drop": d.ID, "sku": sku, "units": units, "until": d.within(now, d.GraceS), "now": now,
	}).Scan(&drawn)
	if err != nil {
		return 0, fmt.Errorf("draw: %w", err)
	}
	return drawn, nil
}

// toDraw is the claim of who is drawn, and where they are told; nil: they are not.
type toDraw struct {
	toClaim
	Email *string
}

// drawn reads whom inventory has not been heard of, in their order.
func (s store) drawn(ctx context.Context, of uuid.UUID, limit int) ([]toDraw, error) {
	rows, err := s.db.Query(ctx, `
		SELECT `+ownedColumns+`, e.email
		FROM claims c JOIN entries e ON e.id = c.entry_id
		WHERE c.drop_id = $1 AND c.state = 'drawn' AND e.account_id IS NOT NULL ORDER BY c.position, c.sku LIMIT $2`, of, limit)
	if err != nil {
		return nil, fmt.Errorf("drawn: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[toDraw])
}

// drawnUnits counts their units, by SKU.
func (s store) drawnUnits(ctx context.Context, of uuid.UUID) (map[string]int, error) {
	return pg.Counts(ctx, s.db, `
		SELECT c.sku, sum(c.quantity)::bigint FROM claims c JOIN entries e ON e.id = c.entry_id
		WHERE c.drop_id = $1 AND c.state = 'drawn' AND e.account_id IS NOT NULL GROUP BY c.sku`, of)
}

// untold reads the drops that are over and of which somebody's address is kept still.
func (s store) untold(ctx context.Context) ([]Drop, error) {
	rows, err := s.db.Query(ctx, `
		SELECT `+dropColumns+` FROM drops WHERE state IN ('sold_out', 'closed')
		  AND EXISTS (SELECT FROM entries e WHERE e.drop_id = drops.id AND e.email IS NOT NULL) ORDER BY ended_at, id`)
	if err != nil {
		return nil, fmt.Errorf("untold drops: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Drop])
}

// untoldEntry is an entry whose address was kept, and whether it got nothing.
type untoldEntry struct {
	AccountID uuid.UUID
	Email     string
	Missed    bool
}

// forgetEmails forgets the addresses of entries that nothing can become of any more, and returns them.
func forgetEmails(ctx context.Context, tx pgx.Tx, of uuid.UUID, limit int) ([]untoldEntry, error) {
	rows, err := tx.Query(ctx, `
		WITH gone AS (
			SELECT e.id, e.email FROM entries e
			WHERE e.drop_id = $1 AND e.email IS NOT NULL AND e.account_id IS NOT NULL
			  AND NOT EXISTS (SELECT FROM claims c WHERE c.entry_id = e.id AND c.state IN ('asked', 'held', 'offered'))
			ORDER BY e.idx LIMIT $2 FOR UPDATE)
		UPDATE entries e SET email = NULL FROM gone WHERE e.id = gone.id
		RETURNING e.account_id, gone.email,
			`+mayCome+` AND NOT EXISTS (SELECT FROM claims c WHERE c.entry_id = e.id AND c.state = 'bought') AS missed`, of, limit)
	if err != nil {
		return nil, fmt.Errorf("forget addresses: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[untoldEntry])
}

// setEmail notes the new address of an account, where it is told something.
func setEmail(ctx context.Context, db pg.Querier, account uuid.UUID, email string) error {
	_, err := db.Exec(ctx, `UPDATE entries SET email = $2 WHERE account_id = $1 AND email IS NOT NULL`, account, email)
	if err != nil {
		return fmt.Errorf("set address: %w", err)
	}
	return nil
}
