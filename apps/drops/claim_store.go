package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/kit/pg"
)

const claimColumns = `entry_id, sku, quantity, position, state, until, lapses, made_at, extended, offered_at, offered`

// claimKey names a claim.
type claimKey struct {
	entry uuid.UUID
	sku   string
}

func (c Claim) key() claimKey { return claimKey{c.EntryID, c.SKU} }

// changeClaims locks entries, has fn change each of some claims, and saves them. A claim that is not there has no state; one
// that fn returns false for is left as it is. So all that happens to one entry's claims happens one after the other,
// whichever instance does it. Whatever fn does, what is not to be had any more by who has left, or is shut out, ends.
func (s store) changeClaims(
	ctx context.Context, of uuid.UUID, keys []claimKey, fn func(tx pgx.Tx, claims map[claimKey]*Claim) ([]claimKey, error),
) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		ids := pg.Column(keys, func(k claimKey) uuid.UUID { return k.entry })
		if err := lockEntries(ctx, tx, ids); err != nil {
			return err
		}
		return s.changeLocked(ctx, tx, of, ids, func(claims map[claimKey]*Claim) ([]claimKey, error) { return fn(tx, claims) })
	})
}

// endGivenUp ends what is not to be had any more of an entry that is locked, by who has just left, or was shut out.
func (s store) endGivenUp(ctx context.Context, tx pgx.Tx, of, entry uuid.UUID) error {
	return s.changeLocked(ctx, tx, of, []uuid.UUID{entry}, func(claims map[claimKey]*Claim) ([]claimKey, error) {
		return slices.Collect(maps.Keys(claims)), nil
	})
}

func lockEntries(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	if _, err := tx.Exec(ctx, `SELECT FROM entries WHERE id = ANY ($1) ORDER BY id FOR UPDATE`, ids); err != nil {
		return fmt.Errorf("lock entries: %w", err)
	}
	return nil
}

// changeLocked is changeClaims where the entries are locked already.
func (s store) changeLocked(
	ctx context.Context, tx pgx.Tx, of uuid.UUID, entries []uuid.UUID, fn func(claims map[claimKey]*Claim) ([]claimKey, error),
) error {
	rows, err := tx.Query(ctx, `
		SELECT c.*, e.left_at IS NOT NULL AS has_left, e.excluded IS NOT NULL AS shut_out
		FROM (SELECT `+claimColumns+` FROM claims WHERE entry_id = ANY ($1)) c JOIN entries e ON e.id = c.entry_id`, entries)
	if err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	type ofEntry struct {
		Claim
		HasLeft, ShutOut bool
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[ofEntry])
	if err != nil {
		return fmt.Errorf("claims: %w", err)
	}
	claims := make(map[claimKey]*Claim, len(found))
	for i := range found {
		claims[found[i].key()] = &found[i].Claim
	}
	changed, err := fn(claims)
	if err != nil {
		return err
	}
	if len(changed) == 0 {
		return nil
	}
	for _, c := range found {
		if c.HasLeft || c.ShutOut {
			claims[c.key()].GiveUp(c.ShutOut, s.now().Add(takenBackFor))
		}
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO claims (drop_id, entry_id, sku, quantity, position, state, until, lapses, made_at, extended, offered_at, offered)
		SELECT $1::uuid, entry_id, sku, quantity, position, state, until, lapses, made_at, extended, offered_at, offered
		FROM jsonb_to_recordset($2) AS c (entry_id uuid, sku text, quantity bigint, position bigint, state text, until timestamptz,
			lapses bigint, made_at timestamptz, extended bigint, offered_at timestamptz, offered bigint)
		ON CONFLICT (entry_id, sku) DO UPDATE SET quantity = EXCLUDED.quantity, state = EXCLUDED.state, until = EXCLUDED.until,
			lapses = EXCLUDED.lapses, made_at = EXCLUDED.made_at, extended = EXCLUDED.extended,
			offered_at = EXCLUDED.offered_at, offered = EXCLUDED.offered`,
		of, pg.Column(changed, func(k claimKey) Claim { return *claims[k] }))
	if err != nil {
		return fmt.Errorf("save claims: %w", err)
	}
	return nil
}

// turns is whom a drop lets claim at the moment.
type turns struct {
	State  State
	Called map[string]int64     // by SKU: who has a position below it was called
	First  map[string]drop.Rank // by SKU: who is first of those who stand by, or for whom units are asked again, if anybody does
}

// turnsOf reads them.
func turnsOf(ctx context.Context, tx pgx.Tx, of uuid.UUID) (turns, error) {
	t := turns{Called: map[string]int64{}, First: map[string]drop.Rank{}}
	rows, err := tx.Query(ctx, `
		SELECT d.state, l.sku, l.called, f.lapses, f.position
		FROM drops d JOIN drop_lots l ON l.drop_id = d.id LEFT JOIN LATERAL (
			(SELECT c.lapses, c.position FROM claims c JOIN entries e ON e.id = c.entry_id
			WHERE c.drop_id = l.drop_id AND c.sku = l.sku AND c.state = 'standby' AND `+mayCome+`
			ORDER BY c.lapses, c.position LIMIT 1)
			UNION ALL
			(SELECT c.lapses, c.position FROM claims c
			WHERE c.drop_id = l.drop_id AND c.sku = l.sku AND c.state = 'drawn' ORDER BY c.lapses, c.position LIMIT 1)
			ORDER BY lapses, position LIMIT 1) f ON true
		WHERE d.id = $1`, of)
	if err != nil {
		return t, fmt.Errorf("turns: %w", err)
	}
	var (
		sku              string
		called           int64
		lapses, position *int64
	)
	_, err = pgx.ForEachRow(rows, []any{&t.State, &sku, &called, &lapses, &position}, func() error {
		t.Called[sku] = called
		if position != nil {
			t.First[sku] = drop.Rank{Lapses: *lapses, Position: *position}
		}
		return nil
	})
	if err != nil {
		return t, fmt.Errorf("turns: %w", err)
	}
	return t, nil
}

// claimed is a claim as its owner sees it.
type claimed struct {
	Claim
	Place int64 // of who stands by: 1 is next of those who may come
}

// claimsOf reads the claims of entries.
func (s store) claimsOf(ctx context.Context, entries ...uuid.UUID) ([]claimed, error) {
	rows, err := s.db.Query(ctx, `
		SELECT `+claimColumns+`, CASE WHEN state = 'standby' THEN 1 + (
			SELECT count(*) FROM claims o JOIN entries e ON e.id = o.entry_id
			WHERE o.drop_id = c.drop_id AND o.sku = c.sku AND o.state = 'standby'
			  AND (o.lapses, o.position) < (c.lapses, c.position) AND `+mayCome+`) ELSE 0 END AS place
		FROM claims c WHERE entry_id = ANY ($1) ORDER BY entry_id, sku`, entries)
	if err != nil {
		return nil, fmt.Errorf("claims of entries: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[claimed])
}

// toClaim is a claim and whose it is.
type toClaim struct {
	Claim
	AccountID uuid.UUID
}

// ownedColumns are those of a toClaim, of claims c and entries e.
const ownedColumns = `c.entry_id, c.sku, c.quantity, c.position, c.state, c.until, c.lapses, c.made_at, c.extended, c.offered_at, c.offered,
	e.account_id`

// ended reads claims of a drop that inventory is to be asked about, because their end has come. Of an offer that nobody can accept, since
// the drop is paused, it has not.
func (s store) ended(ctx context.Context, of uuid.UUID, before time.Time, limit int) ([]toClaim, error) {
	rows, err := s.db.Query(ctx, `
		SELECT `+ownedColumns+`
		FROM claims c JOIN entries e ON e.id = c.entry_id JOIN drops d ON d.id = c.drop_id
		WHERE c.drop_id = $1 AND c.until <= $2 AND c.state IN ('asked', 'held', 'offered') AND e.account_id IS NOT NULL
		  AND NOT (c.state = 'offered' AND d.state = 'paused')
		ORDER BY c.until LIMIT $3`, of, before, limit)
	if err != nil {
		return nil, fmt.Errorf("ended claims: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[toClaim])
}

// ending reads the claims that inventory is to take back, by drop.
func (s store) ending(ctx context.Context) (map[uuid.UUID][]toClaim, error) {
	rows, err := s.db.Query(ctx, `
		SELECT c.drop_id, `+ownedColumns+` FROM claims c JOIN entries e ON e.id = c.entry_id
		WHERE c.state = 'ending' AND e.account_id IS NOT NULL ORDER BY c.drop_id, c.until`)
	if err != nil {
		return nil, fmt.Errorf("claims that end: %w", err)
	}
	type ofDrop struct {
		DropID uuid.UUID
		toClaim
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[ofDrop])
	by := map[uuid.UUID][]toClaim{}
	for _, c := range found {
		by[c.DropID] = append(by[c.DropID], c.toClaim)
	}
	return by, err
}

// standby reads who stands by for a SKU behind a rank and wants no more than is free, the next first, of those who have let no more
// than so many lapse.
func (s store) standby(
	ctx context.Context, of uuid.UUID, sku string, free, lapses int64, after drop.Rank, limit int64,
) ([]toClaim, error) {
	rows, err := s.db.Query(ctx, `
		SELECT `+ownedColumns+`
		FROM claims c JOIN entries e ON e.id = c.entry_id
		WHERE c.drop_id = @drop AND c.sku = @sku AND c.state = 'standby' AND c.quantity <= @free AND c.lapses <= @lapses
		  AND (c.lapses, c.position) > (@after_lapses, @after_position) AND `+mayCome+`
		ORDER BY c.lapses, c.position LIMIT @limit`, pgx.StrictNamedArgs{
		"drop": of, "sku": sku, "free": free, "lapses": lapses, "after_lapses": after.Lapses, "after_position": after.Position,
		"limit": limit,
	})
	if err != nil {
		return nil, fmt.Errorf("standby: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[toClaim])
}

// settleCalls counts who came of those whose time is over.
func settleCalls(ctx context.Context, tx pgx.Tx, of uuid.UUID, before, now time.Time) error {
	_, err := tx.Exec(ctx, `
		WITH settled AS (
			UPDATE calls SET settled_at = $3 WHERE drop_id = $1 AND settled_at IS NULL AND called_at <= $2
			RETURNING sku, first, last, called),
		counted AS (
			SELECT k.sku, sum(k.called) AS called, sum((
				SELECT count(*) FROM claims c
				WHERE c.drop_id = $1 AND c.sku = k.sku AND c.position >= k.first AND c.position < k.last)) AS came
			FROM settled k GROUP BY k.sku)
		UPDATE drop_lots l SET came = l.came + c.came, stayed = l.stayed + greatest(c.called - c.came, 0)
		FROM counted c WHERE l.drop_id = $1 AND l.sku = c.sku`, of, before, now)
	if err != nil {
		return fmt.Errorf("settle calls: %w", err)
	}
	return nil
}

// openCalls counts whom a drop has called, by SKU, who have time left and were not heard of at a time.
func openCalls(ctx context.Context, tx pgx.Tx, of uuid.UUID, at time.Time) (map[string]int, error) {
	return pg.Counts(ctx, tx, `
		SELECT k.sku, sum(greatest(0, k.called - (
			SELECT count(*) FROM claims c
			WHERE c.drop_id = $1 AND c.sku = k.sku AND c.position >= k.first AND c.position < k.last AND c.made_at <= $2)))::bigint
		FROM calls k WHERE k.drop_id = $1 AND k.settled_at IS NULL GROUP BY k.sku`, of, at)
}

// called is who is called, and where they are told; nil: they are not.
type called struct {
	AccountID uuid.UUID
	Email     *string
}

// next reads who is next to be called for a SKU: positions, and whose they are.
func next(
	ctx context.Context, tx pgx.Tx, of uuid.UUID, sku string, from int64, n int,
) (positions []int64, who []called, err error) {
	rows, err := tx.Query(ctx, `
		SELECT position, account_id, email FROM entries e
		WHERE drop_id = $1 AND position >= $2 AND $3 = ANY (skus) AND `+mayCome+`
		ORDER BY position LIMIT $4`, of, from, sku, n)
	if err != nil {
		return nil, nil, fmt.Errorf("next: %w", err)
	}
	var position int64
	var one called
	_, err = pgx.ForEachRow(rows, []any{&position, &one.AccountID, &one.Email}, func() error {
		positions, who = append(positions, position), append(who, one)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("next: %w", err)
	}
	return positions, who, nil
}

// call notes that a drop has called the next ones for a SKU, up to before a position. What was called stays called.
func call(ctx context.Context, tx pgx.Tx, of uuid.UUID, sku string, first, last int64, n int, now time.Time) error {
	b := &pgx.Batch{}
	b.Queue(`INSERT INTO calls (drop_id, sku, first, last, called, called_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		of, sku, first, last, n, now)
	b.Queue(`UPDATE drop_lots SET called = greatest(called, $3) WHERE drop_id = $1 AND sku = $2`, of, sku, last)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	return nil
}

// setLikely notes up to which positions units will do.
func setLikely(ctx context.Context, tx pgx.Tx, of uuid.UUID, lots []Lot) error {
	_, err := tx.Exec(ctx, `
		UPDATE drop_lots l SET likely_below = u.likely FROM unnest($2::text[], $3::bigint[]) AS u(sku, likely)
		WHERE l.drop_id = $1 AND l.sku = u.sku AND l.likely_below <> u.likely`, of,
		pg.Column(lots, func(l Lot) string { return l.SKU }), pg.Column(lots, func(l Lot) int64 { return l.LikelyBelow }))
	if err != nil {
		return fmt.Errorf("set likely: %w", err)
	}
	return nil
}

// isPaused tells whether a drop is.
func isPaused(ctx context.Context, tx pgx.Tx, of uuid.UUID) (is bool, err error) {
	if err = tx.QueryRow(ctx, `SELECT state = 'paused' FROM drops WHERE id = $1`, of).Scan(&is); err != nil {
		return false, fmt.Errorf("is it paused: %w", err)
	}
	return is, nil
}

// giveTimeBack gives those who were called, or have an offer, the time that a pause took of theirs, none beyond the drop's end. What
// was held for an offer may have ended at inventory meanwhile: it is asked for again.
func giveTimeBack(ctx context.Context, tx pgx.Tx, d Drop, since, until time.Time) error {
	took := until.Sub(since)
	_, err := tx.Exec(ctx, `UPDATE calls SET called_at = called_at + $2::interval WHERE drop_id = $1 AND settled_at IS NULL`, d.ID, took)
	if err != nil {
		return fmt.Errorf("give calls time back: %w", err)
	}
	const open = `drop_id = $1 AND state IN ('offered', 'drawn') AND until > $2`
	rows, err := tx.Query(ctx, `SELECT entry_id FROM claims WHERE `+open, d.ID, since)
	if err != nil {
		return fmt.Errorf("offers: %w", err)
	}
	entries, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("offers: %w", err)
	}
	if err := lockEntries(ctx, tx, entries); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE claims SET state = 'drawn', until = least(until + $3::interval, $4) WHERE `+open+` AND entry_id = ANY ($5)`,
		d.ID, since, took, d.ClosesAt, entries)
	if err != nil {
		return fmt.Errorf("give offers time back: %w", err)
	}
	return nil
}

// forwardSince counts by how many positions each SKU's line came forward since a time.
func forwardSince(ctx context.Context, db pg.Querier, of uuid.UUID, since time.Time) (map[string]int, error) {
	return pg.Counts(ctx, db, `
		SELECT sku, sum(last - first)::bigint FROM calls WHERE drop_id = $1 AND called_at > $2 GROUP BY sku`, of, since)
}
