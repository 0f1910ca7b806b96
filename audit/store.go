package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// batch is how many rows of a table are in memory at a time.
const batch = 1000

// booksKept is for how long the sandbox keeps its books, less a day.
const booksKept = 89 * 24 * time.Hour

// mailsTold is how far back each order is looked for in the log of mails,
// which is pruned at its far end.
const mailsTold = 7 * 24 * time.Hour

// databases are the services' databases, by the service's name.
type databases map[string]*pgx.Conn

// open connects to every database of urls, by the service's name, and keeps
// those that kit's migrations have made: others, such as Keycloak's, are not
// a service's. Nothing can be written through the connections.
func open(ctx context.Context, urls map[string]string) (databases, error) {
	dbs := databases{}
	for name, url := range urls {
		cfg, err := pgx.ParseConfig(url)
		if err != nil {
			return dbs, fmt.Errorf("%s: %w", variable(name), err)
		}
		cfg.RuntimeParams["timezone"] = "UTC"
		cfg.RuntimeParams["application_name"] = "audit"
		cfg.RuntimeParams["default_transaction_read_only"] = "on"
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return dbs, fmt.Errorf("%s: %w", variable(name), err)
		}
		dbs[name] = conn
		var service bool
		if err := conn.QueryRow(ctx, `SELECT to_regclass('kit_migrations') IS NOT NULL`).Scan(&service); err != nil {
			return dbs, fmt.Errorf("%s: %w", variable(name), err)
		}
		if !service {
			delete(dbs, name)
			if err := conn.Close(ctx); err != nil {
				return dbs, fmt.Errorf("%s: %w", variable(name), err)
			}
		}
	}
	return dbs, nil
}

func (dbs databases) close(ctx context.Context) error {
	var all error
	for _, conn := range dbs {
		all = errors.Join(all, conn.Close(ctx))
	}
	return all
}

// each calls fn with every row of a statement, one after the other as they
// come from the server. T has a field a column.
func each[T any](ctx context.Context, dbs databases, service, sql string, args pgx.NamedArgs, fn func(T) error) error {
	fail := func(err error) error {
		return fmt.Errorf("%s: %s: %w", service, strings.Join(strings.Fields(sql), " "), err)
	}
	conn := dbs[service]
	if conn == nil {
		return fmt.Errorf("%s: %s is not given, or names no database of that service", service, variable(service))
	}
	rows, err := conn.Query(ctx, sql, pgx.StrictNamedArgs(args))
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		row, err := pgx.RowToStructByName[T](rows)
		if err != nil {
			return fail(err)
		}
		if err := fn(row); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	return nil
}

// column reads the only column of a statement's few rows.
func column[T any](ctx context.Context, dbs databases, service, sql string, args pgx.NamedArgs) ([]T, error) {
	rows, err := dbs[service].Query(ctx, sql, pgx.StrictNamedArgs(args))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", service, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", service, err)
	}
	return list, nil
}

// known is column as a set.
func known[T comparable](ctx context.Context, dbs databases, service, sql string, args pgx.NamedArgs) (map[T]bool, error) {
	list, err := column[T](ctx, dbs, service, sql, args)
	set := make(map[T]bool, len(list))
	for _, v := range list {
		set[v] = true
	}
	return set, err
}

// pages reads a table of one service by order id, upwards, a batch at a time.
// Its statement takes @after and @batch.
type pages[T any] struct {
	dbs     databases
	service string
	sql     string
	args    pgx.NamedArgs // besides those two
	id      func(T) uuid.UUID

	read []T // and not taken yet
	last uuid.UUID
	done bool
}

// peek returns the id of the next row; ok is false after the last one.
func (p *pages[T]) peek(ctx context.Context) (id uuid.UUID, ok bool, err error) {
	if len(p.read) == 0 && !p.done {
		args := pgx.NamedArgs{"after": p.last, "batch": batch}
		for name, value := range p.args {
			args[name] = value
		}
		if err := each(ctx, p.dbs, p.service, p.sql, args, func(row T) error {
			p.read = append(p.read, row)
			return nil
		}); err != nil {
			return uuid.Nil, false, err
		}
		if p.done = len(p.read) < batch; len(p.read) > 0 {
			p.last = p.id(p.read[len(p.read)-1])
		}
	}
	if len(p.read) == 0 {
		return uuid.Nil, false, nil
	}
	return p.id(p.read[0]), true, nil
}

// take returns the next row if it is of that order, else nil.
func (p *pages[T]) take(id uuid.UUID) *T {
	if len(p.read) == 0 || p.id(p.read[0]) != id {
		return nil
	}
	row := p.read[0]
	p.read = p.read[1:]
	return &row
}

const stockSQL = `
	SELECT s.sku, s.on_hand - s.cart_held - s.order_held AS free, s.cart_held + s.order_held AS held, s.sold,
	       COALESCE(l.entered, 0)::bigint AS entered, s.on_hand, COALESCE(l.booked, 0)::bigint AS booked,
	       s.cart_held, COALESCE(c.held, 0)::bigint AS cart_sum,
	       s.order_held, COALESCE(o.held, 0)::bigint AS order_sum, COALESCE(o.sold, 0)::bigint AS sold_sum
	FROM stock s
	LEFT JOIN (SELECT sku, sum(delta) AS booked, sum(delta) FILTER (WHERE kind NOT IN ('sale', 'return')) AS entered
	           FROM ledger GROUP BY sku) l USING (sku)
	LEFT JOIN (SELECT sku, sum(quantity) AS held FROM cart_holds GROUP BY sku) c USING (sku)
	LEFT JOIN (SELECT sku, sum(quantity) FILTER (WHERE state = 'held') AS held, sum(quantity) FILTER (WHERE state = 'sold') AS sold
	           FROM order_hold_lines JOIN order_holds USING (order_id) GROUP BY sku) o USING (sku)`

// What each shopper has where there is a limit: in the cart, in orders that
// are pending, and in those that are paid. Guests have their cart alone.
const limitsSQL = `
	SELECT shopper, sku, sum(quantity)::bigint AS has, s.max_per_shopper::bigint AS most, '' AS drop
	FROM (SELECT shopper, sku, quantity FROM cart_holds WHERE expires_at > @now
	      UNION ALL
	      SELECT shopper, sku, quantity FROM order_holds JOIN order_hold_lines USING (order_id)
	      WHERE state IN ('held', 'sold') AND shopper LIKE 'account:%') had
	JOIN stock s USING (sku)
	WHERE s.max_per_shopper IS NOT NULL
	GROUP BY shopper, sku, s.max_per_shopper
	HAVING sum(quantity) > s.max_per_shopper`

// Lots that are open by one of the two rows, and those that were.
const lotsSQL = `
	SELECT COALESCE(l.drop, s.lot)::text AS drop, n.sku, l.drop IS NOT NULL AND l.closed_at IS NULL AS open, s.sku IS NOT NULL AS standing,
	       COALESCE(l.units, 0) AS units, COALESCE(s.lot_free, 0) AS free, COALESCE(s.lot_held, 0) AS held, COALESCE(s.lot_sold, 0) AS sold,
	       (COALESCE(c.held, 0) + COALESCE(o.held, 0))::bigint AS held_sum, COALESCE(o.sold, 0)::bigint AS sold_sum
	FROM lots l
	FULL JOIN (SELECT lot, sku, lot_free, lot_held, lot_sold FROM stock WHERE lot IS NOT NULL) s ON s.lot = l.drop AND s.sku = l.sku
	CROSS JOIN LATERAL (SELECT COALESCE(l.sku, s.sku) AS sku) n
	LEFT JOIN (SELECT lot, sku, sum(quantity) AS held FROM cart_holds WHERE lot IS NOT NULL GROUP BY lot, sku) c
	       ON c.lot = COALESCE(l.drop, s.lot) AND c.sku = n.sku
	LEFT JOIN (SELECT lot, sku, sum(quantity) FILTER (WHERE state = 'held') AS held, sum(quantity) FILTER (WHERE state = 'sold') AS sold
	           FROM order_hold_lines JOIN order_holds USING (order_id) WHERE lot IS NOT NULL GROUP BY lot, sku) o
	       ON o.lot = COALESCE(l.drop, s.lot) AND o.sku = n.sku`

// What each account has of a lot, open or not: in the cart, in orders that are
// pending, and in those that are paid.
const lotLimitsSQL = `
	SELECT shopper, had.sku, sum(quantity)::bigint AS has, l.most, l.drop::text AS drop
	FROM (SELECT lot, shopper, sku, quantity FROM cart_holds WHERE lot IS NOT NULL AND expires_at > @now
	      UNION ALL
	      SELECT lot, shopper, sku, quantity FROM order_holds JOIN order_hold_lines USING (order_id)
	      WHERE lot IS NOT NULL AND state IN ('held', 'sold')) had
	JOIN lots l ON l.drop = had.lot AND l.sku = had.sku
	GROUP BY shopper, had.sku, l.drop, l.most
	HAVING sum(quantity) > l.most`

// Drops that were published, with what proves their order. called and told must be the same, and so must entered and counted.
const dropsSQL = `
	SELECT id, slug, state, rules, commitment, entered, n, root, beacon_signature, secret, seed, opened_at IS NOT NULL AS opened
	FROM drops WHERE state <> 'draft'`

const dropHeadsSQL = `SELECT size, root, at, key, signature FROM heads WHERE drop_id = @drop ORDER BY at`

const dropEntriesSQL = `
	SELECT id, account_id, idx, position, salt, leaf FROM entries WHERE drop_id = @drop ORDER BY idx`

const dropCalledSQL = `
	SELECT d.slug, l.sku, l.called, COALESCE(max(c.last), 0) AS told
	FROM drop_lots l JOIN drops d ON d.id = l.drop_id LEFT JOIN calls c ON c.drop_id = l.drop_id AND c.sku = l.sku
	GROUP BY d.slug, l.sku, l.called HAVING l.called <> COALESCE(max(c.last), 0)`

// Claims of those who were not called.
const dropUncalledSQL = `
	SELECT d.slug, c.sku, c.entry_id, c.position, l.called
	FROM claims c JOIN drop_lots l ON l.drop_id = c.drop_id AND l.sku = c.sku JOIN drops d ON d.id = c.drop_id
	WHERE c.position >= l.called`

// Who stood by, and somebody behind them, for as much at least, who was served meanwhile: at once when they claimed, or by an offer.
// Meanwhile begins later than a batch of claims takes at most (kit/gather), beside which another instance's may be at work. Who left
// and came back stands by since then. Whose standing has changed since they stand by is not judged: nobody knows when drops heard it.
const dropPassedSQL = `
	WITH line AS (
		SELECT drop_id, sku, entry_id, lapses, position, made_at,
		       CASE WHEN state = 'standby' THEN NULL WHEN offered_at > made_at THEN offered_at ELSE made_at END AS served_at,
		       CASE WHEN offered_at > made_at THEN offered ELSE quantity END AS units
		FROM claims WHERE state IN ('standby', 'held', 'offered', 'bought'))
	SELECT DISTINCT ON (s.entry_id, s.sku) d.slug, s.sku, s.entry_id, s.position, o.position AS other, o.served_at AS since
	FROM line s JOIN drops d ON d.id = s.drop_id JOIN entries e ON e.id = s.entry_id
	JOIN line o ON o.drop_id = s.drop_id AND o.sku = s.sku AND (o.lapses, o.position) > (s.lapses, s.position) AND o.units >= s.units
	 AND o.served_at > s.made_at + interval '5 seconds' AND (s.served_at IS NULL OR o.served_at < s.served_at)
	WHERE e.left_at IS NULL AND e.excluded IS NULL AND e.account_id IS NOT NULL
	  AND NOT EXISTS (SELECT FROM standings a WHERE a.account_id = e.account_id AND (a.suspended OR a.told_at > s.made_at))
	ORDER BY s.entry_id, s.sku, o.served_at`

// Whose claims drops knows.
const dropClaimsSQL = `
	SELECT c.drop_id::text || ' ' || e.account_id || ' ' || c.sku FROM claims c JOIN entries e ON e.id = c.entry_id
	WHERE e.account_id IS NOT NULL AND c.drop_id = @drop`

const dropForgottenSQL = `SELECT count(*) FROM entries WHERE drop_id = @drop AND account_id IS NULL`

// Who has units of a lot.
const lotHoldersSQL = `
	SELECT DISTINCT lot::text AS drop, substr(shopper, 9) AS account, sku FROM (
		SELECT lot, shopper, sku FROM cart_holds WHERE lot = @drop AND expires_at > @now
		UNION ALL
		SELECT lot, shopper, sku FROM order_holds JOIN order_hold_lines USING (order_id)
		WHERE lot = @drop AND state IN ('held', 'sold')) had`

const ordersSQL = `
	SELECT id, status, payment_status AS payment, currency, total, refunded, updated_at, placed_sent_at AS sent_at
	FROM orders WHERE id > @after ORDER BY id LIMIT @batch`

const holdsSQL = `SELECT order_id, state, changed_at FROM order_holds WHERE order_id > @after ORDER BY order_id LIMIT @batch`

const chargesSQL = `
	SELECT c.order_id, c.state, c.captured_amount AS captured, c.captured_currency AS currency, COALESCE(r.done, 0)::bigint AS refunded,
	       COALESCE(r.asked, 0)::bigint AS asked, COALESCE(r.failed, 0) AS failed,
	       COALESCE(b.taken, 0)::bigint AS booked, COALESCE(g.given, 0)::bigint AS given,
	       c.provider IN ('', 'sandbox') AND c.created_at > @books_from AS has_books,
	       GREATEST(c.updated_at, r.last) AS updated_at
	FROM (SELECT * FROM charges WHERE order_id > @after ORDER BY order_id LIMIT @batch) c
	LEFT JOIN LATERAL (SELECT sum(amount) FILTER (WHERE state = 'done') AS done, sum(amount) FILTER (WHERE state = 'requested') AS asked,
	                          count(*) FILTER (WHERE state = 'failed') AS failed, max(COALESCE(ended_at, created_at)) AS last
	                   FROM refunds WHERE order_id = c.order_id) r ON true
	LEFT JOIN sandbox_charges b ON b.key = c.order_id::text AND b.status = 'succeeded' AND b.settles_at <= @now
	LEFT JOIN LATERAL (SELECT sum(amount) AS given FROM sandbox_refunds WHERE charge_key = c.order_id::text) g ON true
	ORDER BY c.order_id`

const unsentSQL = `SELECT id::text, topic, created_at AS since FROM outbox WHERE sent_at IS NULL`

const deadLettersSQL = `SELECT event_id AS id, topic, error FROM dead_letters`

const failedItemsSQL = `SELECT name, error, tries, first_at FROM feed_failures`

const mailCountsSQL = `SELECT status, count(*) AS count FROM mails GROUP BY status`

const mailsSQL = `
	SELECT COALESCE(about, id::text) AS about, status, cut_off, created_at, leased_until FROM mails WHERE status = 'queued' OR cut_off > 1`

// Of these mails, those that are in the log.
const loggedSQL = `SELECT about FROM mails WHERE about = ANY(@about)`

// Of these orders, those of which mail keeps nothing, since whoever placed them is gone.
const mailForgotSQL = `SELECT id FROM forgotten WHERE id = ANY(@orders)`

// Who has read that an order is cancelled need not read that it was confirmed,
// and so with delivered and shipped. Of a declined card no mail tells.
const dueMailsOfOrdersSQL = `
	SELECT 'order:' || o.id || ':order-' || h.status AS about, o.id AS order_id, h.at AS since
	FROM order_history h JOIN orders o ON o.id = h.order_id
	WHERE h.at > @from AND h.status <> 'pending' AND o.cancel_reason IS DISTINCT FROM 'payment-declined'
	  AND NOT (h.status = 'confirmed' AND o.status = 'cancelled') AND NOT (h.status = 'shipped' AND o.status = 'delivered')`

const dueMailsOfRefundsSQL = `
	SELECT 'refund:' || id AS about, order_id, ended_at AS since FROM refunds WHERE state = 'done' AND ended_at > @from`
