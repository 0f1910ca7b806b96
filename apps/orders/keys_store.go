package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
)

type keyRow struct {
	BodyHMAC   []byte
	OrderID    uuid.UUID
	Attempt    int
	LeaseUntil time.Time
	CheckoutID *uuid.UUID
	Lines      []basketLine
	Answer     json.RawMessage
	ExpiresAt  time.Time
}

const keyColumns = `body_hmac, order_id, attempt, lease_until, checkout_id, lines, answer, expires_at`

// Begin writes the key's row, which gives the attempt its order id, or takes over an attempt whose lease is over.
// answer is what was answered before, if it was. abandoned is an order id whose hold must be released.
// Errors: idempotency.ErrKeyReused, idempotency.ErrInProgress.
func (s store) Begin(ctx context.Context, account uuid.UUID, key string, bodyHMAC []byte, now time.Time) (a attempt, answer json.RawMessage, abandoned []uuid.UUID, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return a, nil, nil, fmt.Errorf("order id: %w", err)
	}
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		a, answer, abandoned = attempt{Account: account, Key: key, OrderID: id, Holder: 1}, nil, nil
		// The empty update locks the row of an earlier attempt and returns it.
		rows, err := tx.Query(ctx, `
			INSERT INTO order_keys (account_id, key, body_hmac, order_id, lease_until, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (account_id, key) DO UPDATE SET key = excluded.key
			RETURNING `+keyColumns,
			account, key, bodyHMAC, id, now.Add(lease), now.Add(keepKeys))
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[keyRow])
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		a.Holder = row.Attempt
		switch {
		case row.OrderID == id:
			return nil
		case !row.ExpiresAt.After(now):
			// The key is free again. An unanswered attempt under it may have left a hold.
			if row.Answer == nil {
				if _, err := decide(ctx, tx, row.OrderID, "void", now); err != nil {
					return err
				}
				abandoned = append(abandoned, row.OrderID)
			}
		case !bytes.Equal(row.BodyHMAC, bodyHMAC):
			return idempotency.ErrKeyReused
		case row.Answer != nil:
			answer = row.Answer
			return nil
		case row.LeaseUntil.After(now):
			return idempotency.ErrInProgress
		default:
			a.OrderID, a.Held = row.OrderID, true
		}
		a.Holder++
		_, err = tx.Exec(ctx, `
			UPDATE order_keys SET attempt = @attempt, lease_until = @lease_until, body_hmac = @body_hmac,
				order_id = @order_id, expires_at = @expires_at, answer = NULL,
			       checkout_id = CASE WHEN order_id = @order_id THEN checkout_id END, lines = CASE WHEN order_id = @order_id THEN lines END
			WHERE account_id = @account_id AND key = @key`, pgx.StrictNamedArgs{
			"account_id": account, "key": key, "attempt": a.Holder, "lease_until": now.Add(lease),
			"body_hmac": bodyHMAC, "order_id": a.OrderID, "expires_at": now.Add(keepKeys),
		})
		return err
	})
	return a, answer, abandoned, err
}

// lockKey locks the attempt's row. Errors: idempotency.ErrInProgress when another took the attempt over.
func lockKey(ctx context.Context, tx pgx.Tx, a attempt) (keyRow, error) {
	rows, err := tx.Query(ctx, `SELECT `+keyColumns+` FROM order_keys WHERE account_id = $1 AND key = $2 AND attempt = $3 FOR UPDATE`, a.Account, a.Key, a.Holder)
	if err != nil {
		return keyRow{}, fmt.Errorf("key: %w", err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[keyRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return keyRow{}, idempotency.ErrInProgress
	}
	if err != nil {
		return keyRow{}, fmt.Errorf("key: %w", err)
	}
	return row, nil
}

// Claim takes the checkout for the attempt and notes what the hold will be for. An attempt that was taken over with
// another basket gets a new order id, because the old one may hold other goods; a claim whose holder's lease is over
// is taken from it. The order ids that were given up are void, and abandoned: their holds must be released.
// Errors: bought, errCheckoutBusy (another attempt has it and is at work),
// idempotency.ErrInProgress.
func (s store) Claim(ctx context.Context, a attempt, b basket, now time.Time) (claimed attempt, abandoned []uuid.UUID, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		claimed, abandoned = a, nil
		own, err := lockKey(ctx, tx, a)
		if err != nil {
			return err
		}
		if own.CheckoutID != nil && (*own.CheckoutID != b.CheckoutID || !slices.Equal(own.Lines, b.Lines)) {
			if _, err := decide(ctx, tx, own.OrderID, "void", now); err != nil {
				return err
			}
			abandoned = append(abandoned, own.OrderID)
			if claimed.OrderID, err = uuid.NewV7(); err != nil {
				return fmt.Errorf("order id: %w", err)
			}
			claimed.Held = false
		}
		var other struct {
			account uuid.UUID
			key     string
			order   uuid.UUID
			lease   time.Time
		}
		err = tx.QueryRow(ctx, `
			SELECT account_id, key, order_id, lease_until FROM order_keys
			WHERE checkout_id = $1 AND (account_id, key) <> ($2, $3) FOR UPDATE`, b.CheckoutID, a.Account, a.Key).
			Scan(&other.account, &other.key, &other.order, &other.lease)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return fmt.Errorf("claim: %w", err)
		case other.lease.After(now):
			return errCheckoutBusy
		default:
			if _, err := decide(ctx, tx, other.order, "void", now); err != nil {
				return err
			}
			abandoned = append(abandoned, other.order)
			if _, err := tx.Exec(ctx, `DELETE FROM order_keys WHERE account_id = $1 AND key = $2`, other.account, other.key); err != nil {
				return fmt.Errorf("claim: %w", err)
			}
		}
		_, err = tx.Exec(ctx, `UPDATE order_keys SET order_id = $4, checkout_id = $5, lines = $6 WHERE account_id = $1 AND key = $2 AND attempt = $3`,
			a.Account, a.Key, a.Holder, claimed.OrderID, b.CheckoutID, b.Lines)
		if err != nil {
			return err
		}
		// Asked last: whoever had the claim until a moment ago may have placed the order.
		claimed.InsteadOf, err = ordered(ctx, tx, a.Account, b, now)
		return err
	})
	if pg.IsUnique(err, "order_keys_checkout") {
		return a, nil, errCheckoutBusy
	}
	if err != nil {
		return a, nil, err
	}
	return claimed, abandoned, nil
}

// ordered returns bought when an order that is not cancelled bought what is in the cart, or some of it. Else it names
// the account's last order that ended because the payment was declined, if that was not long ago.
func ordered(ctx context.Context, q pg.Querier, account uuid.UUID, b basket, now time.Time) (declined *uuid.UUID, err error) {
	var found struct {
		order, checkout *uuid.UUID
		pending         *bool
	}
	err = q.QueryRow(ctx, `
		SELECT last.id, last.checkout_id, last.status = 'pending',
		       (SELECT id FROM orders WHERE account_id = $1 AND cancel_reason = 'payment-declined' AND updated_at > $2
		        ORDER BY updated_at DESC LIMIT 1)
		FROM (SELECT) AS one
		LEFT JOIN (SELECT id, checkout_id, status FROM orders
		           WHERE account_id = $1 AND checkout_id BETWEEN $3 AND $4 AND status <> 'cancelled' AND id <> ALL (coalesce($5, '{}'::uuid[]))
		           ORDER BY checkout_id DESC LIMIT 1) AS last ON true`,
		account, now.Add(-instead), b.Since, b.CheckoutID, b.Ended).Scan(&found.order, &found.checkout, &found.pending, &declined)
	if err != nil {
		return nil, fmt.Errorf("orders of a cart: %w", err)
	}
	if found.order != nil {
		return nil, bought{order: *found.order, whole: *found.checkout == b.CheckoutID, pending: *found.pending}
	}
	return declined, nil
}

// Place writes the order, its event and the key's answer, all or nothing.
// Errors: idempotency.ErrInProgress (another took the attempt over), errVoid, bought.
func (s store) Place(ctx context.Context, a attempt, o *Order, event Event, answer json.RawMessage, now time.Time) error {
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := lockKey(ctx, tx, a); err != nil {
			return err
		}
		decided, err := decide(ctx, tx, a.OrderID, "placed", now)
		if err != nil {
			return err
		}
		if decided != "placed" {
			return errVoid
		}
		if err := insert(ctx, tx, o, now); err != nil {
			return err
		}
		if err := outbox.Put(ctx, tx, event); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE order_keys SET answer = $4, checkout_id = NULL, lines = NULL WHERE account_id = $1 AND key = $2 AND attempt = $3`,
			a.Account, a.Key, a.Holder, answer)
		return err
	})
	if pg.IsUnique(err, "orders_checkout") {
		if _, err := ordered(ctx, s.db, o.AccountID, basket{CheckoutID: o.CheckoutID, Since: o.CheckoutID}, now); err != nil {
			return err
		}
	}
	return err
}

// GiveUp frees the attempt's key. When something may be held for its order id, the id is made void first, so that no
// order can be placed under it; the caller then releases the hold. If the order was placed after all (the commit's
// answer was lost), its answer is returned instead. Errors: idempotency.ErrInProgress when another took the attempt over.
func (s store) GiveUp(ctx context.Context, a attempt, now time.Time) (answer json.RawMessage, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		row, err := lockKey(ctx, tx, a)
		if err != nil {
			return err
		}
		if answer = row.Answer; answer != nil {
			return nil
		}
		if a.Held {
			if _, err := decide(ctx, tx, a.OrderID, "void", now); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `DELETE FROM order_keys WHERE account_id = $1 AND key = $2 AND attempt = $3`, a.Account, a.Key, a.Holder)
		return err
	})
	return answer, err
}

// PruneKeys forgets at most so many keys that have expired and returns how many. Those without an answer may have left
// a hold: their order ids are made void and returned, so that the holds are released.
func (s store) PruneKeys(ctx context.Context, now time.Time, limit int) (n int, abandoned []uuid.UUID, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		n, abandoned = 0, nil
		rows, err := tx.Query(ctx, `
			DELETE FROM order_keys WHERE (account_id, key) IN (
			    SELECT account_id, key FROM order_keys WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
			RETURNING order_id, answer IS NULL`, now, limit)
		if err != nil {
			return fmt.Errorf("prune keys: %w", err)
		}
		var (
			id         uuid.UUID
			unanswered bool
		)
		_, err = pgx.ForEachRow(rows, []any{&id, &unanswered}, func() error {
			if n++; unanswered {
				abandoned = append(abandoned, id)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("prune keys: %w", err)
		}
		for _, id := range abandoned {
			if _, err := decide(ctx, tx, id, "void", now); err != nil {
				return err
			}
		}
		return nil
	})
	return n, abandoned, err
}
