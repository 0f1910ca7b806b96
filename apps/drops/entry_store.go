package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/pg"
)

// Of a removed account only the leaf stays, and it has no entry.
const entryColumns = `id, account_id, idx, position, skus, quantity, salt, leaf, entered_at, left_at, excluded, email`

// entry reads an account's entry. Errors: ErrEntryNotFound.
func (s store) entry(ctx context.Context, of, account uuid.UUID) (Entry, error) {
	rows, err := s.db.Query(ctx, `SELECT `+entryColumns+` FROM entries WHERE drop_id = $1 AND account_id = $2`, of, account)
	if err != nil {
		return Entry{}, fmt.Errorf("entry: %w", err)
	}
	e, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Entry])
	if errors.Is(err, pgx.ErrNoRows) {
		return e, ErrEntryNotFound
	}
	return e, err
}

// versions reads, by id, what changes with each thing that becomes of an entry, but for its place among those who stand by.
func (s store) versions(ctx context.Context, ids ...uuid.UUID) (map[uuid.UUID]string, error) {
	rows, err := s.db.Query(ctx, `
		SELECT e.id, md5(concat_ws(' ', d.state IN ('sold_out', 'closed'), e.position, e.left_at IS NULL, e.excluded, e.quantity, e.skus,
			ARRAY(SELECT l.sku FROM drop_lots l
				WHERE l.drop_id = e.drop_id AND l.sku = ANY (e.skus) AND l.called > e.position ORDER BY l.sku),
			ARRAY(SELECT concat_ws(' ', c.sku, c.state, c.quantity, extract(epoch FROM c.until)) FROM claims c
				WHERE c.entry_id = e.id ORDER BY c.sku)))
		FROM entries e JOIN drops d ON d.id = e.drop_id WHERE e.id = ANY ($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("versions: %w", err)
	}
	versions := make(map[uuid.UUID]string, len(ids))
	var id uuid.UUID
	var version string
	_, err = pgx.ForEachRow(rows, []any{&id, &version}, func() error { versions[id] = version; return nil })
	if err != nil {
		return nil, fmt.Errorf("versions: %w", err)
	}
	return versions, nil
}

// entriesOf reads the entries of some accounts, by account; to be changed, with their rows locked.
func entriesOf(ctx context.Context, db pg.Querier, of uuid.UUID, accounts []uuid.UUID, lock bool) (map[uuid.UUID]Entry, error) {
	query := `SELECT ` + entryColumns + ` FROM entries WHERE drop_id = $1 AND account_id = ANY ($2) ORDER BY id`
	if lock {
		query += ` FOR UPDATE`
	}
	rows, err := db.Query(ctx, query, of, accounts)
	if err != nil {
		return nil, fmt.Errorf("entries: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Entry])
	by := make(map[uuid.UUID]Entry, len(found))
	for _, e := range found {
		by[e.AccountID] = e
	}
	return by, err
}

// addEntries saves new entries of a drop that is locked and has counted them, and counts what they want. What those want who
// were there at the opening is counted again then: until it, they may leave, and change what they want.
func addEntries(ctx context.Context, tx pgx.Tx, d Drop, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	b := &pgx.Batch{}
	type want struct{ entrants, units int64 }
	wants := map[string]want{}
	b.Queue(`
		INSERT INTO entries (id, drop_id, account_id, idx, position, skus, quantity, salt, leaf, entered_at, email)
		SELECT id, $1::uuid, account_id, idx, position, skus, quantity, decode(salt, 'base64'), decode(leaf, 'base64'), entered_at, email
		FROM jsonb_to_recordset($2) AS e (id uuid, account_id uuid, idx bigint, position bigint, skus text[], quantity bigint, salt text,
			leaf text, entered_at timestamptz, email text)`, d.ID, entries)
	for _, e := range entries {
		for _, sku := range e.SKUs {
			w := wants[sku]
			wants[sku] = want{w.entrants + 1, w.units + e.Quantity}
		}
	}
	for _, sku := range slices.Sorted(maps.Keys(wants)) {
		b.Queue(`UPDATE drop_lots SET entrants = entrants + $3, wanted = wanted + $4 WHERE drop_id = $1 AND sku = $2`,
			d.ID, sku, wants[sku].entrants, wants[sku].units)
	}
	b.Queue(`UPDATE drops SET entered = $2 WHERE id = $1`, d.ID, d.Entered)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("add entries: %w", err)
	}
	return nil
}

// setEntry saves what somebody may change of an entry. Who comes back stands by from now on: who was served while they were away has
// passed nobody over.
func setEntry(ctx context.Context, tx pgx.Tx, e Entry, now time.Time) error {
	_, err := tx.Exec(ctx, `
		WITH back AS (
			UPDATE claims c SET made_at = $6 FROM entries e
			WHERE c.entry_id = e.id AND e.id = $1 AND c.state = 'standby' AND e.left_at IS NOT NULL)
		UPDATE entries SET skus = $2, quantity = $3, left_at = $4, email = $5 WHERE id = $1`,
		e.ID, e.SKUs, e.Quantity, e.LeftAt, e.Email, now)
	if err != nil {
		return fmt.Errorf("set entry: %w", err)
	}
	return nil
}

// leave notes that an account does not want to be called any more. What it was offered and has not accepted ends; what it holds is its
// own to buy until its end.
func (s store) leave(ctx context.Context, of, account uuid.UUID) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var id uuid.UUID
		err := tx.QueryRow(ctx, `
			UPDATE entries SET left_at = $3 WHERE drop_id = $1 AND account_id = $2 AND left_at IS NULL RETURNING id`,
			of, account, s.now()).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("leave: %w", err)
		}
		return s.endGivenUp(ctx, tx, of, id)
	})
}

// exclude shuts an entry out, which loses what no order has. Errors: ErrEntryNotFound.
func (s store) exclude(ctx context.Context, tx pgx.Tx, of uuid.UUID, idx int64, reason string) error {
	var id uuid.UUID
	err := tx.QueryRow(ctx, `
		UPDATE entries SET excluded = $3 WHERE drop_id = $1 AND idx = $2 RETURNING id`, of, idx, reason).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrEntryNotFound
	}
	if err != nil {
		return fmt.Errorf("exclude: %w", err)
	}
	return s.endGivenUp(ctx, tx, of, id)
}

// forgetAccount forgets whose entries are an account's.
func forgetAccount(ctx context.Context, tx pgx.Tx, account uuid.UUID) error {
	b := &pgx.Batch{}
	b.Queue(`
		UPDATE entries SET account_id = NULL, salt = NULL, email = NULL, left_at = COALESCE(left_at, now()) WHERE account_id = $1`, account)
	b.Queue(`DELETE FROM standings WHERE account_id = $1`, account)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("forget account: %w", err)
	}
	return nil
}

// forgetOld forgets whose entries were of drops that ended before a time.
func (s store) forgetOld(ctx context.Context, before time.Time) error {
	err := pg.Prune(ctx, s.db, `
		UPDATE entries SET account_id = NULL, salt = NULL, email = NULL WHERE id IN (
			SELECT e.id FROM drops d CROSS JOIN LATERAL (
				SELECT id FROM entries WHERE drop_id = d.id AND account_id IS NOT NULL ORDER BY account_id LIMIT $1) e
			WHERE d.ended_at < $2 LIMIT $1)`, before)
	if err != nil {
		return fmt.Errorf("forget old entries: %w", err)
	}
	return nil
}

// grow adds to a tree what a drop's log has beyond it.
func grow(ctx context.Context, db pg.Querier, of uuid.UUID, t *proof.Tree) error {
	rows, err := db.Query(ctx, `SELECT leaf FROM entries WHERE drop_id = $1 AND idx >= $2 ORDER BY idx`, of, int64(t.Size()))
	if err != nil {
		return fmt.Errorf("leaves: %w", err)
	}
	var leaf []byte
	if _, err = pgx.ForEachRow(rows, []any{&leaf}, func() error { return t.Add(leaf) }); err != nil {
		return fmt.Errorf("leaves: %w", err)
	}
	return nil
}

// leaves reads a part of a drop's log.
func (s store) leaves(ctx context.Context, of uuid.UUID, from int64, limit int) ([]proof.Hex, error) {
	rows, err := s.db.Query(ctx, `SELECT leaf FROM entries WHERE drop_id = $1 AND idx >= $2 ORDER BY idx LIMIT $3`, of, from, limit)
	if err != nil {
		return nil, fmt.Errorf("leaves: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[proof.Hex])
}

// addHead keeps a head.
func addHead(ctx context.Context, db pg.Querier, of uuid.UUID, h proof.Head) error {
	_, err := db.Exec(ctx, `INSERT INTO heads (drop_id, size, root, at, key, signature) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (drop_id, at) DO NOTHING`, of, int64(h.Size), []byte(h.Root), h.At, []byte(h.Key), []byte(h.Signature))
	if err != nil {
		return fmt.Errorf("add head: %w", err)
	}
	return nil
}

// heads reads those of a drop, oldest first.
func heads(ctx context.Context, db pg.Querier, of uuid.UUID, last int) ([]proof.Head, error) {
	rows, err := db.Query(ctx, `
		SELECT size, root, at, key, signature FROM (
			SELECT size, root, at, key, signature FROM heads WHERE drop_id = $1 ORDER BY at DESC LIMIT $2) h ORDER BY at`, of, last)
	if err != nil {
		return nil, fmt.Errorf("heads: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[proof.Head])
}

// positionsAtOnce is how many positions one statement writes.
const positionsAtOnce = 10_000

// setPositions writes the positions of the entries from the first on. Again it changes nothing.
func (s store) setPositions(ctx context.Context, of uuid.UUID, positions []uint64) error {
	for from := 0; from < len(positions); from += positionsAtOnce {
		part := positions[from:min(from+positionsAtOnce, len(positions))]
		_, err := s.db.Exec(ctx, `
			UPDATE entries e SET position = p.position
			FROM unnest($3::bigint[]) WITH ORDINALITY AS p(position, number)
			WHERE e.drop_id = $1 AND e.idx = $2 + p.number - 1 AND e.idx >= $2 AND e.idx < $2 + cardinality($3)
			  AND e.position IS DISTINCT FROM p.position`, of, from, pg.Column(part, func(p uint64) int64 { return int64(p) }))
		if err != nil {
			return fmt.Errorf("positions: %w", err)
		}
	}
	return nil
}

// countWanted counts what all who are there want of each lot.
func countWanted(ctx context.Context, tx pgx.Tx, of uuid.UUID) error {
	_, err := tx.Exec(ctx, `
		UPDATE drop_lots l SET entrants = c.entrants, wanted = c.wanted
		FROM (SELECT sku, count(*) AS entrants, sum(e.quantity) AS wanted
			FROM entries e CROSS JOIN LATERAL unnest(e.skus) AS sku
			WHERE e.drop_id = $1 AND e.left_at IS NULL AND e.excluded IS NULL GROUP BY sku) c
		WHERE l.drop_id = $1 AND l.sku = c.sku`, of)
	if err != nil {
		return fmt.Errorf("count wanted: %w", err)
	}
	return nil
}
