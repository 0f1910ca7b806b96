package main

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// fillDrops makes drops of as many entrants, as bench/load knows of none: last year's, over, with a unit for each hundredth of
// them; and, when live, one that is on.
func fillDrops(ctx context.Context, url string, entrants int, live bool) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	drops := map[string]string{"last-year": "closed"}
	if live {
		drops["today"] = "open"
	}
	for slug, state := range drops {
		opened := "now() - interval '1 hour'"
		if state == "closed" {
			opened = "now() - interval '1 year'"
		}
		var batch pgx.Batch
		batch.Queue(`
			INSERT INTO drops (id, slug, title, preset, state, zone, prequeue_at, opens_at, closes_at, grace_s, hold_s, standby_s,
				calls_per_s, notify, beacon, lots, rules, nonce, commitment, entered, n, root, secret, seed, opened_at, ended_at,
				created_at)
			SELECT gen_random_uuid(), $1, $1, 'queue', $2, 'Europe/Berlin', at - interval '1 hour', at, at + interval '1 day', 60, 600, 60,
				1000, true, 'commit', $2, '{}', decode(repeat('01', 16), 'hex'), decode(repeat('02', 32), 'hex'), $3::bigint, $3::bigint,
				decode(repeat('03', 32), 'hex'), decode(repeat('04', 32), 'hex'), decode(repeat('05', 32), 'hex'), at,
				CASE $2 WHEN 'closed' THEN at + interval '1 hour' END, at - interval '1 day'
			FROM (SELECT `+opened+` AS at) t`, slug, state, entrants)
		batch.Queue(`
			INSERT INTO drop_lots (drop_id, sku, units, most, called, entrants, wanted, came, stayed, free, sold)
			SELECT id, 'LD-0000000-M', GREATEST(n / 100, 1), 1, GREATEST(n / 50, 1), n, n, n / 100, n / 100, 0, n / 100
			FROM drops WHERE slug = $1`, slug)
		batch.Queue(`
			INSERT INTO entries (id, drop_id, account_id, idx, position, skus, quantity, salt, leaf, entered_at)
			SELECT gen_random_uuid(), id, gen_random_uuid(), i, (i * 7919) % n, '{LD-0000000-M}', 1, decode(repeat('06', 16), 'hex'),
				sha256(i::text::bytea), opens_at - interval '1 minute'
			FROM drops CROSS JOIN generate_series(0, n - 1) AS i WHERE slug = $1`, slug)
		batch.Queue(`
			INSERT INTO calls (drop_id, sku, first, last, called, called_at, settled_at)
			SELECT id, 'LD-0000000-M', i, i + 10, 10, opens_at, opens_at + interval '1 minute'
			FROM drops CROSS JOIN generate_series(0, n / 50 - 10, 10) AS i WHERE slug = $1`, slug)
		batch.Queue(`
			INSERT INTO claims (entry_id, sku, drop_id, quantity, position, state, until, made_at)
			SELECT e.id, 'LD-0000000-M', d.id, 1, e.position, CASE WHEN e.position % 2 = 0 THEN 'bought' ELSE 'lapsed' END, NULL, opens_at
			FROM drops d JOIN entries e ON e.drop_id = d.id WHERE slug = $1 AND e.position < n / 50`, slug)
		if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
	}
	_, err = conn.Exec(ctx, `ANALYZE`)
	return err
}
