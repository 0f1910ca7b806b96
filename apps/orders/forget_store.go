package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
)

// removeAccount notes that an account is gone for good: it orders nothing any more, and its orders are to be forgotten.
func removeAccount(ctx context.Context, tx pgx.Tx, account uuid.UUID, at, now time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO standings (account_id, suspended, told_at, removed_at, look_at) VALUES ($1, true, $2, $2, $3)
		ON CONFLICT (account_id) DO UPDATE SET suspended = true, removed_at = excluded.removed_at, look_at = excluded.look_at`,
		account, at, now)
	if err != nil {
		return fmt.Errorf("remove account: %w", err)
	}
	if err := forgetImported(ctx, tx, []uuid.UUID{account}); err != nil {
		return err
	}
	return forget.Note(ctx, tx, account)
}

// goneAccounts are how many accounts ForgetOrders looks at together.
const goneAccounts = 50

// ForgetOrders forgets at most so many orders that have ended of accounts that are gone, and tells it; those that were
// shipped before a time have ended, too. It returns how many. Accounts that have others are looked at again a minute later,
// those that are gone since a day an hour later, in case an order was on its way into the table.
//
// An order is forgotten once all that was told of it has left the outbox; what is still in it goes with it, but for what was
// told without a change of its status, which stays a day as all that was sent.
func (s store) ForgetOrders(ctx context.Context, shippedBefore, now time.Time, limit int) (forgotten int, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT account_id FROM standings WHERE look_at <= $1 ORDER BY look_at LIMIT $2 FOR UPDATE SKIP LOCKED`, now, goneAccounts)
		if err != nil {
			return fmt.Errorf("forget orders: %w", err)
		}
		accounts, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil || len(accounts) == 0 {
			forgotten = 0
			return err
		}
		ended, err := endedOrders(ctx, tx, accounts, shippedBefore, limit)
		if err != nil {
			return err
		}
		if forgotten = len(ended); forgotten > 0 {
			if err := forgetOrders(ctx, tx, ended, now); err != nil {
				return err
			}
		}
		if forgotten == limit { // there may be more
			return nil
		}
		_, err = tx.Exec(ctx, `
			UPDATE standings s SET look_at = CASE
				WHEN EXISTS (SELECT FROM orders WHERE account_id = s.account_id AND forgotten_at IS NULL)
				THEN $2::timestamptz + interval '1 minute'
				WHEN s.removed_at > $2::timestamptz - interval '1 day' THEN $2::timestamptz + interval '1 hour' END
			WHERE account_id = ANY ($1)`, accounts, now)
		if err != nil {
			return fmt.Errorf("forget orders: %w", err)
		}
		return nil
	})
	return forgotten, err
}

// endedOrders locks at most so many orders of accounts that have ended, the money included, and are not forgotten yet.
func endedOrders(
	ctx context.Context, tx pgx.Tx, accounts []uuid.UUID, shippedBefore time.Time, limit int,
) ([]events.OrderForgotten, error) {
	rows, err := tx.Query(ctx, `
		SELECT o.id AS order_id, o.account_id, transaction_timestamp() AS at FROM orders o
		WHERE o.account_id = ANY ($1) AND o.forgotten_at IS NULL
		  AND (o.status = 'delivered' OR o.status = 'shipped' AND o.updated_at < $2
		       OR o.status = 'cancelled' AND o.payment_status IN ('failed', 'refunded'))
		  AND NOT EXISTS (
			SELECT FROM order_history h JOIN outbox e ON e.created_at = h.noted_at AND NOT e.secret AND e.sent_at IS NULL
			WHERE h.order_id = o.id AND e.data ->> 'order_id' = o.id::text)
		ORDER BY o.id LIMIT $3 FOR UPDATE OF o`, accounts, shippedBefore, limit)
	if err != nil {
		return nil, fmt.Errorf("ended orders: %w", err)
	}
	ended, err := pgx.CollectRows(rows, pgx.RowToStructByName[events.OrderForgotten])
	if err != nil {
		return nil, fmt.Errorf("ended orders: %w", err)
	}
	return ended, nil
}

// forgetOrders deletes who placed orders that are locked: what stays is what was sold when, for how much, and to which
// country and state, as the tax of it depends on those.
func forgetOrders(ctx context.Context, tx pgx.Tx, ended []events.OrderForgotten, now time.Time) error {
	ids := pg.Column(ended, func(e events.OrderForgotten) uuid.UUID { return e.OrderID })
	texts := pg.Column(ended, func(e events.OrderForgotten) string { return e.OrderID.String() })
	b := &pgx.Batch{}
	b.Queue(`
		UPDATE orders SET email = '', first_name = '', cancel_note = '', tracking_number = left(tracking_number, 0), tracking_url = NULL,
			address = jsonb_strip_nulls(jsonb_build_object('country', address -> 'country', 'region', address -> 'region')),
			updated_at = $2, forgotten_at = transaction_timestamp()
		WHERE id = ANY ($1)`, ids, now)
	b.Queue(`DELETE FROM order_keys WHERE order_id = ANY ($1)`, ids)
	b.Queue(`
		DELETE FROM outbox e USING order_history h
		WHERE h.order_id = ANY ($1) AND e.created_at = h.noted_at AND NOT e.secret AND e.data ->> 'order_id' = h.order_id::text`, ids)
	b.Queue(`DELETE FROM outbox WHERE topic = 'order.placed.v1' AND data ->> 'order_id' = ANY ($1)`, texts)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("forget orders: %w", err)
	}
	if err := forget.Note(ctx, tx, ids...); err != nil {
		return err
	}
	told := make([]outbox.Event, 0, len(ended))
	for _, e := range ended {
		told = append(told, e)
	}
	return outbox.Put(ctx, tx, told...)
}

// forgottenRow is a forgotten order in its feed.
type forgottenRow struct {
	events.OrderForgotten
	NotedAt time.Time
	Key     string
}

// Forgotten reads which orders were forgotten, oldest first.
func (s store) Forgotten(ctx context.Context, ask feed.Ask) (page feed.Page[events.OrderForgotten], err error) {
	rows, cursor, more, err := feed.Read(ctx, s.db, ask, `
		SELECT id AS order_id, account_id, forgotten_at AS at, forgotten_at AS noted_at, id::text AS key FROM orders
		WHERE (forgotten_at, id::text) > ($1, $2) AND forgotten_at < $3 ORDER BY forgotten_at, id::text LIMIT $4`,
		func(r forgottenRow) feed.Place { return feed.Place{At: r.NotedAt, Key: r.Key} })
	page = feed.Page[events.OrderForgotten]{Items: []events.OrderForgotten{}, Cursor: cursor, More: more}
	for _, r := range rows {
		page.Items = append(page.Items, r.OrderForgotten)
	}
	return page, err
}

// PruneRemoved forgets that accounts are gone which were before a time and have no orders left to forget, at most so many,
// and returns how many. No token of theirs is good any more.
func (s store) PruneRemoved(ctx context.Context, before time.Time, limit int) (int, error) {
	tag, err := s.db.Exec(ctx, `
		DELETE FROM standings WHERE account_id IN (
			SELECT account_id FROM standings WHERE removed_at < $1 AND look_at IS NULL ORDER BY removed_at LIMIT $2)`, before, limit)
	if err != nil {
		return 0, fmt.Errorf("prune removed accounts: %w", err)
	}
	return int(tag.RowsAffected()), nil
}
