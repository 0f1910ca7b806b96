package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
)

// store holds the statements about drops, their lots and what staff did to them.
type store struct {
	db  *pgxpool.Pool
	now func() time.Time
}

const dropColumns = `id, slug, title, preset, state, zone, prequeue_at, opens_at, closes_at, grace_s, hold_s, standby_s, calls_per_s,
	notify, tell_end, beacon, beacon_round, message, lots, refused, rules, nonce, commitment, entered, n, root, beacon_signature, secret,
	seed, opened_at, paused_at, ended_at, created_at`

func oneDrop(rows pgx.Rows, err error) (Drop, error) {
	if err != nil {
		return Drop{}, fmt.Errorf("drop: %w", err)
	}
	d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Drop])
	if errors.Is(err, pgx.ErrNoRows) {
		return d, ErrDropNotFound
	}
	if err != nil {
		return d, fmt.Errorf("drop: %w", err)
	}
	return d, nil
}

// dropBySlug reads a drop. Errors: ErrDropNotFound, also for a draft.
func dropBySlug(ctx context.Context, db pg.Querier, slug string) (Drop, error) {
	return oneDrop(db.Query(ctx, `SELECT `+dropColumns+` FROM drops WHERE slug = $1 AND state <> 'draft'`, slug))
}

// bySlug reads a drop and its lots. Errors: ErrDropNotFound, also for a draft.
func bySlug(ctx context.Context, db pg.Querier, slug string) (d Drop, lots []Lot, err error) {
	d, err = dropBySlug(ctx, db, slug)
	if err != nil {
		return d, nil, err
	}
	lots, err = lotsOf(ctx, db, d.ID)
	return d, lots, err
}

// snapshot reads how a drop stands at one moment, which it tells: of two the one of the later moment knows nothing that is older,
// whichever instance has read it and however long that took. Errors: ErrDropNotFound.
func (s store) snapshot(ctx context.Context, slug string, clock func() time.Time) (sn snapshot, err error) {
	there := false
	err = s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM drops WHERE slug = $1 AND state <> 'draft')`, slug).Scan(&there)
	if err != nil {
		return sn, fmt.Errorf("drop: %w", err)
	}
	if !there { // names that somebody makes up cost no more than this
		return sn, ErrDropNotFound
	}
	one := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, s.db, one, func(tx pgx.Tx) error {
		now := clock() // the first statement's moment is that of all
		d, lots, err := bySlug(ctx, tx, slug)
		if err != nil {
			return err
		}
		forward, err := forwardSince(ctx, tx, d.ID, now.Add(-time.Minute))
		sn = snapshot{d, lots, statusOf(d, lots, forward, now)}
		return err
	})
	return sn, err
}

// byID reads a drop and its lots, a draft, too. Errors: ErrDropNotFound.
func (s store) byID(ctx context.Context, id uuid.UUID) (d Drop, lots []Lot, err error) {
	if d, err = oneDrop(s.db.Query(ctx, `SELECT `+dropColumns+` FROM drops WHERE id = $1`, id)); err != nil {
		return d, nil, err
	}
	lots, err = lotsOf(ctx, s.db, d.ID)
	return d, lots, err
}

func lotsOf(ctx context.Context, db pg.Querier, of uuid.UUID) ([]Lot, error) {
	all, err := lotsOfAll(ctx, db, of)
	return all[of], err
}

// lotsOfAll reads the lots of drops, by their drop.
func lotsOfAll(ctx context.Context, db pg.Querier, of ...uuid.UUID) (map[uuid.UUID][]Lot, error) {
	rows, err := db.Query(ctx, `
		SELECT drop_id, sku, units, adding, most, called, likely_below, entrants, wanted, came, stayed, free, held, sold FROM drop_lots
		WHERE drop_id = ANY ($1) ORDER BY drop_id, sku`, of)
	if err != nil {
		return nil, fmt.Errorf("lots: %w", err)
	}
	type ofDrop struct {
		DropID uuid.UUID
		Lot
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[ofDrop])
	all := make(map[uuid.UUID][]Lot, len(of))
	for _, l := range found {
		all[l.DropID] = append(all[l.DropID], l.Lot)
	}
	return all, err
}

// dropLists: those that are not over first, of each the newest first.
var dropLists = keyset.List{ID: "id", Sorts: map[string]string{
	"": "(CASE WHEN state IN ('sold_out', 'closed') THEN 0 ELSE 1e12 END + EXTRACT(EPOCH FROM opens_at)) DESC",
}}

// list reads a page of drops and the cursor of the next one; drafts for staff alone.
func (s store) list(ctx context.Context, drafts bool, page rest.Page) ([]Drop, *string, error) {
	return keyset.Read[Drop](ctx, s.db, dropLists, "", page, `SELECT `+dropColumns+` FROM drops WHERE $1 OR state <> 'draft'`, drafts)
}

// live reads the drops that time or inventory moves on.
func (s store) live(ctx context.Context) ([]Drop, error) {
	rows, err := s.db.Query(ctx, `
		SELECT `+dropColumns+` FROM drops
		WHERE state NOT IN ('draft', 'sold_out', 'closed') OR lots IN ('asked', 'closing') ORDER BY opens_at, id`)
	if err != nil {
		return nil, fmt.Errorf("live drops: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Drop])
}

// create saves a new draft. Errors: ErrSlugTaken.
func (s store) create(ctx context.Context, d Drop, lots []LotWanted, by uuid.UUID) error {
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO drops (id, slug, title, preset, state, zone, prequeue_at, opens_at, closes_at, grace_s, hold_s, standby_s,
				calls_per_s, notify, tell_end, beacon, message, created_at)
			VALUES (@id, @slug, @title, @preset, @state, @zone, @prequeue_at, @opens_at, @closes_at, @grace_s, @hold_s, @standby_s,
				@calls_per_s, @notify, @tell_end, @beacon, @message, @created_at)`, pgx.StrictNamedArgs{
			"id": d.ID, "slug": d.Slug, "title": d.Title, "preset": d.Preset, "state": d.State, "zone": d.Zone,
			"prequeue_at": d.PrequeueAt, "opens_at": d.OpensAt, "closes_at": d.ClosesAt, "grace_s": d.GraceS, "hold_s": d.HoldS,
			"standby_s": d.StandbyS, "calls_per_s": d.CallsPerS, "notify": d.Notify, "tell_end": d.TellEnd, "beacon": d.Beacon,
			"message": d.Message, "created_at": d.CreatedAt,
		})
		if err != nil {
			return err
		}
		if err := wantLots(ctx, tx, d.ID, lots); err != nil {
			return err
		}
		return noteAct(ctx, tx, d.ID, "created", "", by, d.CreatedAt)
	})
	if pg.IsUnique(err, "drops_slug_key") {
		return ErrSlugTaken
	}
	if err != nil {
		return fmt.Errorf("create drop: %w", err)
	}
	return nil
}

// wantLots notes what a drop is to have, as a whole.
func wantLots(ctx context.Context, tx pgx.Tx, of uuid.UUID, lots []LotWanted) error {
	b := &pgx.Batch{}
	for _, l := range lots {
		b.Queue(`
			INSERT INTO drop_lots (drop_id, sku, units, most) VALUES ($1, $2, $3, $4)
			ON CONFLICT (drop_id, sku) DO UPDATE SET units = EXCLUDED.units, most = EXCLUDED.most`, of, l.SKU, l.Units, l.Limit)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("lots of a drop: %w", err)
	}
	return nil
}

// change locks a drop, has fn change it, and saves it. What fn does besides belongs to the same transaction.
func (s store) change(ctx context.Context, id uuid.UUID, fn func(tx pgx.Tx, d *Drop) error) (d Drop, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if d, err = lockDrop(ctx, tx, id); err != nil {
			return err
		}
		if err := fn(tx, &d); err != nil {
			return err
		}
		return saveDrop(ctx, tx, d)
	})
	return d, err
}

func lockDrop(ctx context.Context, tx pgx.Tx, id uuid.UUID) (Drop, error) {
	return oneDrop(tx.Query(ctx, `SELECT `+dropColumns+` FROM drops WHERE id = $1 FOR UPDATE`, id))
}

// saveDrop saves what may change of a drop that is locked.
func saveDrop(ctx context.Context, tx pgx.Tx, d Drop) error {
	_, err := tx.Exec(ctx, `
		UPDATE drops SET title = @title, preset = @preset, state = @state, zone = @zone, prequeue_at = @prequeue_at,
			opens_at = @opens_at, closes_at = @closes_at, grace_s = @grace_s, hold_s = @hold_s, standby_s = @standby_s,
			calls_per_s = @calls_per_s, notify = @notify, tell_end = @tell_end, beacon = @beacon, beacon_round = @beacon_round,
			message = @message, lots = @lots, refused = @refused, rules = @rules, nonce = @nonce, commitment = @commitment,
			entered = @entered, n = @n, root = @root, beacon_signature = @beacon_signature, secret = @secret, seed = @seed,
			opened_at = @opened_at, paused_at = @paused_at, ended_at = @ended_at
		WHERE id = @id`, pgx.StrictNamedArgs{
		"id": d.ID, "title": d.Title, "preset": d.Preset, "state": d.State, "zone": d.Zone, "prequeue_at": d.PrequeueAt,
		"opens_at": d.OpensAt, "closes_at": d.ClosesAt, "grace_s": d.GraceS, "hold_s": d.HoldS, "standby_s": d.StandbyS,
		"calls_per_s": d.CallsPerS, "notify": d.Notify, "tell_end": d.TellEnd, "beacon": d.Beacon, "beacon_round": d.BeaconRound,
		"message": d.Message, "lots": d.Lots, "refused": d.Refused, "rules": d.Rules, "nonce": d.Nonce, "commitment": d.Commitment,
		"entered": d.Entered, "n": d.N, "root": d.Root, "beacon_signature": d.BeaconSignature, "secret": d.Secret, "seed": d.Seed,
		"opened_at": d.OpenedAt, "paused_at": d.PausedAt, "ended_at": d.EndedAt,
	})
	if err != nil {
		return fmt.Errorf("save drop: %w", err)
	}
	return nil
}

// stand notes how inventory says that a drop's lots stand.
func (s store) stand(ctx context.Context, of uuid.UUID, all []stands) error {
	_, err := s.db.Exec(ctx, `
		UPDATE drop_lots l SET units = u.units, free = u.free, held = u.held, sold = u.sold
		FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS u(sku, units, free, held, sold)
		WHERE l.drop_id = $1 AND l.sku = u.sku
		  AND (l.units, l.free, l.held, l.sold) IS DISTINCT FROM (u.units, u.free, u.held, u.sold)`, of,
		pg.Column(all, func(l stands) string { return l.SKU }), pg.Column(all, func(l stands) int64 { return l.Units }),
		pg.Column(all, func(l stands) int64 { return l.Free }), pg.Column(all, func(l stands) int64 { return l.Held }),
		pg.Column(all, func(l stands) int64 { return l.Sold }))
	if err != nil {
		return fmt.Errorf("stand of lots: %w", err)
	}
	return nil
}

// setAdding notes how many units in all inventory is asked for of a lot; nil: none but those that it has.
func setAdding(ctx context.Context, tx pgx.Tx, of uuid.UUID, sku string, units *int64) error {
	if _, err := tx.Exec(ctx, `UPDATE drop_lots SET adding = $3 WHERE drop_id = $1 AND sku = $2`, of, sku, units); err != nil {
		return fmt.Errorf("set adding: %w", err)
	}
	return nil
}

// lotKey names a lot.
type lotKey struct {
	DropID uuid.UUID
	SKU    string
}

// adding reads the lots of drops that are not over for which inventory is asked for more units.
func (s store) adding(ctx context.Context) ([]lotKey, error) {
	rows, err := s.db.Query(ctx, `
		SELECT l.drop_id, l.sku FROM drop_lots l JOIN drops d ON d.id = l.drop_id
		WHERE l.adding IS NOT NULL AND d.state NOT IN ('sold_out', 'closed') ORDER BY l.drop_id, l.sku`)
	if err != nil {
		return nil, fmt.Errorf("lots that get more: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[lotKey])
}

// waiting is who entered for a lot l of a drop d and is not called yet; some of them may have left.
const waiting = `GREATEST(l.entrants - (
	SELECT COALESCE(sum(k.called), 0)::bigint FROM calls k WHERE k.drop_id = d.id AND k.sku = l.sku), 0)`

// crowd is how those stand who want a lot.
type crowd struct {
	SKU     string
	Waiting int64
	Standby int64
	Lapsed  int64
	Refused int64
}

// crowds reads them, for each lot of a drop.
func (s store) crowds(ctx context.Context, of uuid.UUID) ([]crowd, error) {
	rows, err := s.db.Query(ctx, `
		SELECT l.sku, `+waiting+` AS waiting, c.standby, c.lapsed, c.refused
		FROM drops d JOIN drop_lots l ON l.drop_id = d.id CROSS JOIN LATERAL (
			SELECT count(*) FILTER (WHERE state = 'standby') AS standby, count(*) FILTER (WHERE state = 'lapsed') AS lapsed,
				count(*) FILTER (WHERE state = 'refused') AS refused
			FROM claims WHERE drop_id = d.id AND sku = l.sku) c
		WHERE d.id = $1`, of)
	if err != nil {
		return nil, fmt.Errorf("crowds: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[crowd])
}

// noteAnswer notes what became of the units that staff asked for last, by whom they were asked for.
func noteAnswer(ctx context.Context, tx pgx.Tx, of uuid.UUID, act, asked, detail string, at time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO acts (drop_id, act, detail, by_id, at)
		SELECT drop_id, $2, $4, by_id, $5 FROM acts WHERE drop_id = $1 AND act = 'units-asked' AND detail = $3 ORDER BY id DESC LIMIT 1`,
		of, act, asked, detail, at)
	if err != nil {
		return fmt.Errorf("note act: %w", err)
	}
	return nil
}

// Act is what staff did to a drop.
type Act struct {
	Act    string    `json:"act"`
	Detail string    `json:"detail"`
	At     time.Time `json:"at"`
}

func noteAct(ctx context.Context, tx pgx.Tx, of uuid.UUID, act, detail string, by uuid.UUID, at time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO acts (drop_id, act, detail, by_id, at) VALUES ($1, $2, $3, $4, $5)`, of, act, detail, by, at)
	if err != nil {
		return fmt.Errorf("note act: %w", err)
	}
	return nil
}

// acts lists what staff did to a drop, oldest first.
func (s store) acts(ctx context.Context, of uuid.UUID) ([]Act, error) {
	rows, err := s.db.Query(ctx, `SELECT act, detail, at FROM acts WHERE drop_id = $1 ORDER BY id LIMIT 1000`, of)
	if err != nil {
		return nil, fmt.Errorf("acts: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Act])
}

// setSuspended notes whether an account is suspended, unless something later is known.
func setSuspended(ctx context.Context, tx pgx.Tx, account uuid.UUID, suspended bool, at time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO standings (account_id, suspended, told_at) VALUES ($1, $2, $3)
		ON CONFLICT (account_id) DO UPDATE SET suspended = excluded.suspended, told_at = excluded.told_at
		WHERE standings.told_at < excluded.told_at`, account, suspended, at)
	if err != nil {
		return fmt.Errorf("standing: %w", err)
	}
	return nil
}

// suspended lists which of some accounts are.
func suspended(ctx context.Context, tx pgx.Tx, accounts []uuid.UUID) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, `SELECT account_id FROM standings WHERE account_id = ANY ($1) AND suspended`, accounts)
	if err != nil {
		return nil, fmt.Errorf("standings: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

// replaceLots gives a draft other lots.
func replaceLots(ctx context.Context, tx pgx.Tx, of uuid.UUID, lots []LotWanted) error {
	if _, err := tx.Exec(ctx, `DELETE FROM drop_lots WHERE drop_id = $1`, of); err != nil {
		return fmt.Errorf("replace lots: %w", err)
	}
	return wantLots(ctx, tx, of, lots)
}
