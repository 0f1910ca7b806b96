package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/trace"
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

// Begin writes the key's row, which gives the attempt the order id, or takes over an attempt whose lease is over. The row
// may be there under this id: a claim was written whose answer was lost, and has the attempt already.
// answer is what was answered before, if it was. abandoned is an order id whose hold must be released.
// Errors: idempotency.ErrKeyReused, idempotency.ErrInProgress.
func (s store) Begin(
	ctx context.Context, account uuid.UUID, key string, id uuid.UUID, body idempotency.Hashes, now time.Time,
) (a attempt, answer json.RawMessage, abandoned []uuid.UUID, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		a, answer, abandoned = attempt{Account: account, Key: key, OrderID: id, Holder: 1}, nil, nil
		// The empty update locks the row of an earlier attempt and returns it.
		rows, err := tx.Query(ctx, `
			INSERT INTO order_keys (account_id, key, body_hmac, order_id, lease_until, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (account_id, key) DO UPDATE SET key = excluded.key
			RETURNING `+keyColumns,
			account, key, body.Kept(), id, now.Add(lease), now.Add(keepKeys))
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[keyRow])
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		a.Holder = row.Attempt
		switch {
		case row.OrderID == id && row.Attempt == 1: // else another has taken it over
			return nil
		case !row.ExpiresAt.After(now):
			// The key is free again. An unanswered attempt under it may have left a hold.
			if row.Answer == nil {
				if _, err := decide(ctx, tx, row.OrderID, "void", now); err != nil {
					return err
				}
				abandoned = append(abandoned, row.OrderID)
			}
		case !body.Are(row.BodyHMAC):
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
			"body_hmac": body.Kept(), "order_id": a.OrderID, "expires_at": now.Add(keepKeys),
		})
		return err
	})
	return a, answer, abandoned, err
}

// asked is whose request to order came under which key.
type asked struct {
	account uuid.UUID
	key     string
}

// found is what is known of it.
type found struct {
	Suspended bool // the account may not order
	Known     bool // the key has been used
}

// look reads, for some requests at once, what has to be known before anything else.
func (s store) look(ctx context.Context, batch []asked) ([]gather.Answer[found], error) {
	rows, err := s.db.Query(ctx, `
		SELECT EXISTS (SELECT FROM standings s WHERE s.account_id = m.account_id AND s.suspended) AS suspended,
		       EXISTS (SELECT FROM order_keys k WHERE k.account_id = m.account_id AND k.key = m.key) AS known
		FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS m (account_id, key, n) ORDER BY m.n`,
		pg.Column(batch, func(a asked) uuid.UUID { return a.account }), pg.Column(batch, func(a asked) string { return a.key }))
	if err != nil {
		return nil, fmt.Errorf("look for keys: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (gather.Answer[found], error) {
		f, err := pgx.RowToStructByName[found](row)
		return gather.Answer[found]{Value: f}, err
	})
}

// claim is an attempt under a key that nobody has used, with what it is for.
type claim struct {
	attempt
	basket
	now time.Time
}

// errTaken means that the key or the checkout has another attempt: Begin and Claim sort that out.
var errTaken = errors.New("the key or the checkout is taken")

// ClaimNew writes the key's row of an attempt, with its order id and its claim of the checkout, and notes that it is
// written. Errors: errTaken, and then nothing was written; bought, as Claim.
func (s store) ClaimNew(ctx context.Context, a *attempt, b basket, now time.Time) (attempt, error) {
	a.Unwritten = false // also when no answer comes
	claimed, err := s.claims.Do(ctx, claim{*a, b, now})
	a.Unwritten = errors.Is(err, errTaken)
	return claimed, err
}

// claimNew is ClaimNew for some attempts.
func (s store) claimNew(ctx context.Context, batch []claim) ([]gather.Answer[attempt], error) {
	// In one transaction and two statements: whoever had a claim until the first one got it may have placed the order.
	b := &pgx.Batch{}
	written := map[uuid.UUID]bool{}
	b.Queue(`
		INSERT INTO order_keys (account_id, key, body_hmac, order_id, checkout_id, lines, lease_until, expires_at)
		SELECT m.account_id, m.key, m.body_hmac, m.order_id, m.checkout_id, m.lines, m.lease_until, m.expires_at
		FROM unnest(@accounts::uuid[], @keys::text[], @hashes::bytea[], @ids::uuid[], @checkouts::uuid[], @lines::jsonb[],
		            @leases::timestamptz[], @ends::timestamptz[])
		  AS m (account_id, key, body_hmac, order_id, checkout_id, lines, lease_until, expires_at)
		WHERE `+pg.WaitsAWhile+` ORDER BY m.account_id, m.key
		ON CONFLICT DO NOTHING RETURNING order_id`, pgx.StrictNamedArgs{
		"accounts":  pg.Column(batch, func(c claim) uuid.UUID { return c.Account }),
		"keys":      pg.Column(batch, func(c claim) string { return c.Key }),
		"hashes":    pg.Column(batch, func(c claim) []byte { return c.BodyHMAC }),
		"ids":       pg.Column(batch, func(c claim) uuid.UUID { return c.OrderID }),
		"checkouts": pg.Column(batch, func(c claim) uuid.UUID { return c.CheckoutID }),
		"lines":     pg.Column(batch, func(c claim) any { return c.Lines }),
		"leases":    pg.Column(batch, func(c claim) time.Time { return c.now.Add(lease) }),
		"ends":      pg.Column(batch, func(c claim) time.Time { return c.now.Add(keepKeys) }),
	}).Query(func(rows pgx.Rows) error {
		var id uuid.UUID
		_, err := pgx.ForEachRow(rows, []any{&id}, func() error { written[id] = true; return nil })
		return err
	})
	declined, bought := make([]*uuid.UUID, len(batch)), make([]error, len(batch))
	queueOrdered(b, pg.Column(batch, func(c claim) cart { return cart{c.Account, c.basket} }), batch[0].now, declined, bought)
	if err := s.db.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	answers := make([]gather.Answer[attempt], 0, len(batch))
	for i, c := range batch {
		switch {
		case !written[c.OrderID]:
			answers = append(answers, gather.Answer[attempt]{Err: errTaken})
		default:
			c.InsteadOf = declined[i]
			answers = append(answers, gather.Answer[attempt]{Value: c.attempt, Err: bought[i]})
		}
	}
	return answers, nil
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
		claimed.InsteadOf, err = ordered(ctx, tx, cart{a.Account, b}, now)
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

// cart is what an account is about to buy.
type cart struct {
	account uuid.UUID
	basket
}

// ordered returns bought when an order that is not cancelled bought what is in the cart, or some of it. Else it names
// the account's last order that ended because the payment was declined, if that was not long ago.
func ordered(ctx context.Context, db interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}, c cart, now time.Time) (*uuid.UUID, error) {
	b := &pgx.Batch{}
	declined, bought := make([]*uuid.UUID, 1), make([]error, 1)
	queueOrdered(b, []cart{c}, now, declined, bought)
	if err := db.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("orders of a cart: %w", err)
	}
	return declined[0], bought[0]
}

// queueOrdered has b answer as ordered does, for each cart at its place.
func queueOrdered(b *pgx.Batch, carts []cart, now time.Time, declined []*uuid.UUID, errs []error) {
	type record struct {
		N         int         `json:"n"`
		AccountID uuid.UUID   `json:"account_id"`
		Since     uuid.UUID   `json:"since"`
		Checkout  uuid.UUID   `json:"checkout_id"`
		Ended     []uuid.UUID `json:"ended"`
	}
	records := make([]record, 0, len(carts))
	for i, c := range carts {
		records = append(records, record{i, c.account, c.Since, c.CheckoutID, c.Ended})
	}
	b.Queue(`
		SELECT m.n, last.id, last.checkout_id, last.status = 'pending',
		       (SELECT id FROM orders WHERE account_id = m.account_id AND cancel_reason = 'payment-declined' AND updated_at > $2
		        ORDER BY updated_at DESC LIMIT 1)
		FROM jsonb_to_recordset($1) AS m (n int, account_id uuid, since uuid, checkout_id uuid, ended uuid[])
		LEFT JOIN LATERAL (SELECT id, checkout_id, status FROM orders
		                   WHERE account_id = m.account_id AND checkout_id BETWEEN m.since AND m.checkout_id AND status <> 'cancelled'
		                     AND id <> ALL (coalesce(m.ended, '{}'::uuid[]))
		                   ORDER BY checkout_id DESC LIMIT 1) AS last ON true`, records, now.Add(-instead)).
		Query(func(rows pgx.Rows) error {
			var (
				n                        int
				order, checkout, decline *uuid.UUID
				pending                  *bool
			)
			_, err := pgx.ForEachRow(rows, []any{&n, &order, &checkout, &pending, &decline}, func() error {
				if order != nil {
					errs[n] = bought{order: *order, whole: *checkout == carts[n].CheckoutID, pending: *pending}
				} else {
					declined[n] = decline
				}
				return nil
			})
			return err
		})
}

// placing is an order on its way into the table, in the name of its attempt.
type placing struct {
	attempt
	trace  string // of who places it
	order  *Order
	event  Event
	answer json.RawMessage
}

// place writes orders, their events and their keys' answers, each whole or not at all. Answers:
// idempotency.ErrInProgress (another took the attempt over), errVoid. A cart that was ordered already fails them all.
func (s store) place(ctx context.Context, batch []placing) ([]gather.Answer[struct{}], error) {
	ids := pg.Column(batch, func(p placing) uuid.UUID { return p.OrderID })
	args := recordsOf(pg.Column(batch, func(p placing) *Order { return p.order }))
	maps.Copy(args, pgx.StrictNamedArgs{
		"accounts": pg.Column(batch, func(p placing) uuid.UUID { return p.Account }),
		"keys":     pg.Column(batch, func(p placing) string { return p.Key }),
		"holders":  pg.Column(batch, func(p placing) int { return p.Holder }),
		"ids":      ids,
		"answers":  pg.Column(batch, func(p placing) string { return string(p.answer) }),
		"now":      batch[0].order.CreatedAt,
	})
	events, err := outbox.NewRows(ctx, s.db, pg.Column(batch, func(p placing) outbox.Event { return outbox.From(p.trace, p.event) })...)
	if err != nil {
		return nil, err
	}
	placed := map[uuid.UUID]bool{}
	defer func() {
		for i, e := range events {
			e.End(placed[ids[i]])
		}
	}()
	// The keys' rows are locked before the ids', as Void does it.
	rows, err := s.db.Query(ctx, `
		WITH mine AS (
			SELECT k.account_id, k.key, m.order_id, m.answer
			FROM unnest(@accounts::uuid[], @keys::text[], @holders::int[], @ids::uuid[], @answers::text[])
			  AS m (account_id, key, holder, order_id, answer)
			JOIN order_keys k ON k.account_id = m.account_id AND k.key = m.key AND k.attempt = m.holder
			WHERE `+pg.WaitsAWhile+` ORDER BY k.order_id FOR UPDATE OF k
		), placed AS (
			INSERT INTO order_ids (id, fate, decided_at) SELECT order_id, 'placed', @now FROM mine ORDER BY order_id
			ON CONFLICT (id) DO NOTHING RETURNING id
		), answered AS (
			UPDATE order_keys k SET answer = mine.answer::json, checkout_id = NULL, lines = NULL
			FROM mine JOIN placed ON placed.id = mine.order_id WHERE k.account_id = mine.account_id AND k.key = mine.key
		), `+insertOrders+`, events AS (`+outbox.Insert+`
			JOIN unnest(@outbox_id::uuid[], @ids::uuid[]) AS of (event_id, order_id) ON of.event_id = e.id
			JOIN placed ON placed.id = of.order_id
		)
		SELECT mine.order_id, placed.id IS NOT NULL FROM mine LEFT JOIN placed ON placed.id = mine.order_id`, outbox.Args(args, events))
	if err != nil {
		return nil, fmt.Errorf("place: %w", err)
	}
	var (
		id   uuid.UUID
		done bool
		mine = map[uuid.UUID]bool{}
		yes  = map[uuid.UUID]bool{}
	)
	if _, err := pgx.ForEachRow(rows, []any{&id, &done}, func() error { mine[id], yes[id] = true, done; return nil }); err != nil {
		return nil, fmt.Errorf("place: %w", err)
	}
	placed = yes // committed
	out := make([]gather.Answer[struct{}], len(batch))
	for i, id := range ids {
		switch {
		case !mine[id]:
			out[i].Err = idempotency.ErrInProgress
		case !placed[id]:
			out[i].Err = errVoid
		}
	}
	return out, nil
}

// Place writes the order, its event and the key's answer, all or nothing.
// Errors: idempotency.ErrInProgress (another took the attempt over), errVoid, bought.
func (s store) Place(ctx context.Context, a attempt, o *Order, event Event, answer json.RawMessage, now time.Time) error {
	_, err := s.places.Do(ctx, placing{a, trace.Of(ctx), o, event, answer})
	if pg.IsUnique(err, "orders_checkout") {
		if _, err := ordered(ctx, s.db, cart{o.AccountID, basket{CheckoutID: o.CheckoutID, Since: o.CheckoutID}}, now); err != nil {
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
