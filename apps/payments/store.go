package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
)

// store is the database of charges, refunds and webhooks.
type store struct{ db *pgxpool.Pool }

// workChannel wakes the workers that charge, of every instance.
const workChannel = "payments_work"

const chargeColumns = `order_id, number, email, amount, currency, method, provider, state, reason, provider_ref, tries, next_try_at,
	leased_until, attempted_at, placed_at, cancelled_at, void_asked_at, captured_at, captured_amount, captured_currency, created_at, updated_at`

const refundColumns = `id, order_id, key, amount, reason, origin, requested_by, state, error, provider_ref, tries, next_try_at, leased_until,
	created_at, ended_at`

// insertCharge saves a charge unless the order has one, and reports whether it did.
func insertCharge(ctx context.Context, tx pgx.Tx, c *Charge) (bool, error) {
	tag, err := tx.Exec(ctx, `
		INSERT INTO charges (order_id, number, email, amount, currency, method, provider, state, next_try_at, placed_at, created_at, updated_at)
		VALUES (@order_id, @number, @email, @amount, @currency, @method, @provider, @state, @next_try_at, @placed_at,
			@created_at, @updated_at)
		ON CONFLICT (order_id) DO NOTHING`, pgx.StrictNamedArgs{
		"order_id": c.OrderID, "number": c.Number, "email": c.Email, "amount": c.Amount,
		"currency": c.Currency, "method": c.Method, "provider": c.Provider, "state": c.State,
		"next_try_at": c.NextTryAt, "placed_at": c.PlacedAt, "created_at": c.CreatedAt,
		"updated_at": c.UpdatedAt,
	})
	if err != nil {
		return false, fmt.Errorf("insert charge: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// lockCharge reads a charge that nobody else may change until tx ends. It returns ErrPaymentNotFound.
func lockCharge(ctx context.Context, tx pgx.Tx, order uuid.UUID) (*Charge, error) {
	return oneCharge(ctx, tx, `SELECT `+chargeColumns+` FROM charges WHERE order_id = $1 FOR UPDATE`, order)
}

// getCharge reads a charge. It returns ErrPaymentNotFound.
func getCharge(ctx context.Context, db pg.Querier, order uuid.UUID) (*Charge, error) {
	return oneCharge(ctx, db, `SELECT `+chargeColumns+` FROM charges WHERE order_id = $1`, order)
}

func oneCharge(ctx context.Context, db pg.Querier, sql string, order uuid.UUID) (*Charge, error) {
	rows, err := db.Query(ctx, sql, order)
	if err != nil {
		return nil, fmt.Errorf("charge: %w", err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Charge])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrPaymentNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("charge: %w", err)
	}
	return c, nil
}

// updateCharge saves a charge that was locked in state was.
func updateCharge(ctx context.Context, tx pgx.Tx, c *Charge, was State) error {
	tag, err := tx.Exec(ctx, `
		UPDATE charges SET number = @number, email = @email, amount = @amount, currency = @currency, method = @method,
			provider = @provider, state = @state, reason = @reason, provider_ref = @provider_ref, next_try_at = @next_try_at,
			leased_until = @leased_until, placed_at = @placed_at, cancelled_at = @cancelled_at, void_asked_at = @void_asked_at,
			captured_at = @captured_at, captured_amount = @captured_amount, captured_currency = @captured_currency,
				updated_at = @updated_at
		WHERE order_id = @order_id AND state = @was`, pgx.StrictNamedArgs{
		"order_id": c.OrderID, "was": was, "number": c.Number, "email": c.Email, "amount": c.Amount, "currency": c.Currency,
		"method": c.Method, "provider": c.Provider, "state": c.State, "reason": c.Reason, "provider_ref": c.ProviderRef,
		"next_try_at": c.NextTryAt, "leased_until": c.LeasedUntil, "placed_at": c.PlacedAt, "cancelled_at": c.CancelledAt,
		"void_asked_at": c.VoidAskedAt, "captured_at": c.CapturedAt, "captured_amount": c.CapturedAmount,
		"captured_currency": c.CapturedCurrency, "updated_at": c.UpdatedAt,
	})
	if err != nil {
		return fmt.Errorf("update charge: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("update charge %s: it is no longer %s", c.OrderID, was)
	}
	return nil
}

// claimCharges leases up to n charges that are due. What was requested is attempted now: charge it. What comes
// back unknown, an attempt that nobody finished included, is to be asked about.
func claimCharges(ctx context.Context, db pg.Querier, n int, lease time.Duration, now time.Time) ([]Charge, error) {
	rows, err := db.Query(ctx, `
		WITH due AS MATERIALIZED (
			SELECT order_id FROM charges
			WHERE state IN ('requested', 'attempted', 'unknown') AND next_try_at <= $2 AND (leased_until IS NULL OR leased_until <= $2)
			ORDER BY next_try_at LIMIT $1 FOR UPDATE SKIP LOCKED)
		UPDATE charges SET state = CASE state WHEN 'requested' THEN 'attempted' ELSE 'unknown' END,
			attempted_at = CASE state WHEN 'requested' THEN $2 ELSE attempted_at END,
			tries = tries + 1, leased_until = $3, updated_at = $2
		WHERE order_id IN (SELECT order_id FROM due)
		RETURNING `+chargeColumns, n, now, now.Add(lease))
	if err != nil {
		return nil, fmt.Errorf("claim charges: %w", err)
	}
	return collect[Charge](rows, "claim charges")
}

// voidCharges locks the charges of ids, in their order, lets each give up, and saves what that changed. An order that
// has none gets a tombstone. The answers are by order id.
func voidCharges(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, now time.Time) (map[uuid.UUID]Voiding, error) {
	_, err := tx.Exec(ctx, `
		INSERT INTO charges (order_id, state, next_try_at, created_at, updated_at)
		SELECT DISTINCT id, 'voided', $2::timestamptz, $2::timestamptz, $2::timestamptz FROM unnest($1::uuid[]) id ORDER BY id
		ON CONFLICT (order_id) DO NOTHING`, ids, now)
	if err != nil {
		return nil, fmt.Errorf("void charges: %w", err)
	}
	rows, err := tx.Query(ctx, `SELECT `+chargeColumns+` FROM charges WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE`, ids)
	if err != nil {
		return nil, fmt.Errorf("void charges: %w", err)
	}
	charges, err := collect[Charge](rows, "void charges")
	if err != nil {
		return nil, err
	}
	answers := make(map[uuid.UUID]Voiding, len(charges))
	var voided, asked []uuid.UUID
	for _, c := range charges {
		before := c
		answers[c.OrderID] = Voiding{c.Void(now), c.Reason, c.Taken()}
		if c.State != before.State {
			voided = append(voided, c.OrderID)
		} else if c.VoidAskedAt != before.VoidAskedAt {
			asked = append(asked, c.OrderID)
		}
	}
	for sql, changed := range map[string][]uuid.UUID{
		`UPDATE charges SET state = 'voided', leased_until = NULL, updated_at = $2 WHERE order_id = ANY($1)`: voided,
		`UPDATE charges SET void_asked_at = $2, updated_at = $2 WHERE order_id = ANY($1)`:                    asked,
	} {
		if len(changed) == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, sql, changed, now); err != nil {
			return nil, fmt.Errorf("void charges: %w", err)
		}
	}
	return answers, nil
}

// chargeByRef tells whose charge the provider knows by an id of its own; ErrPaymentNotFound when there is none.
func chargeByRef(ctx context.Context, db pg.Querier, provider, ref string) (order uuid.UUID, err error) {
	return oneID(ctx, db, `SELECT order_id FROM charges WHERE provider = $1 AND provider_ref = $2`, provider, ref)
}

// ChargeRow is a charge with what was given back of it.
type ChargeRow struct {
	Charge
	Refunded int64
}

// filter narrows a list of charges; empty members do not.
type filter struct {
	State  State
	Refund RefundState // that one of its refunds is in
	Query  string      // how the order's number or the e-mail address begins, or the whole of the provider's id
}

// leastRef is how long an id is, at least, that a provider gives to something.
const leastRef = 8

// Ids of orders sort by time.
var chargeLists = keyset.List{ID: "order_id", Sorts: map[string]string{
	"newest": "order_id DESC", "oldest": "order_id", "amount": "amount", "-amount": "amount DESC", "email": "email", "-email": "email DESC",
}}

// listCharges reads a page of the charges that fit a filter, and the cursor of the next one.
func listCharges(ctx context.Context, db pg.Querier, f filter, sort string, page rest.Page) ([]ChargeRow, *string, error) {
	// What cannot be is not in the statement: a subquery behind an OR is asked row by row, and addresses alone are found
	// in an index, and in its order, as they are not beside something else.
	query, refunded := `$2::text LIKE '%' AND $3::text LIKE '%' AND email LIKE $4`, `$5::text = ''`
	number := strings.ToUpper(f.Query)
	if f.Query == "" || len(f.Query) >= leastRef || strings.HasPrefix(number, "S-") || strings.HasPrefix("S-", number) {
		query = `($2::text = '' OR number LIKE $3 OR email LIKE $4 OR provider_ref = $2)`
	}
	if f.Refund != "" {
		refunded = `order_id IN (SELECT r.order_id FROM refunds r WHERE r.state = $5)`
	}
	return keyset.Read[ChargeRow](ctx, db, chargeLists, sort, page, `
		SELECT `+chargeColumns+`, (
			SELECT COALESCE(sum(r.amount), 0)::bigint FROM refunds r WHERE r.order_id = c.order_id AND r.state = 'done') AS refunded
		FROM charges c
		WHERE ($1::text = '' OR state = $1) AND `+query+` AND `+refunded,
		f.State, f.Query, pg.Begins(number), pg.Begins(strings.ToLower(f.Query)), f.Refund)
}

// countCharges counts charges by state, and refunds that failed, up to pg.CountLimit.
func countCharges(ctx context.Context, db pg.Querier) (states map[string]int, failedRefunds int, err error) {
	states, err = pg.Counts(ctx, db, `
		SELECT s.state, (SELECT count(*) FROM (SELECT FROM charges WHERE state = s.state LIMIT $2) f)
		FROM unnest($1::text[]) AS s (state)`, []State{Requested, Attempted, Unknown, Captured, Failed, Voided}, pg.CountLimit)
	if err != nil {
		return nil, 0, err
	}
	err = db.QueryRow(ctx, `
		SELECT count(*) FROM (SELECT FROM refunds WHERE state = 'failed' LIMIT $1) f`, pg.CountLimit).Scan(&failedRefunds)
	if err != nil {
		return nil, 0, fmt.Errorf("count refunds: %w", err)
	}
	return states, failedRefunds, nil
}

// insertRefund saves a refund, also one that is done already.
func insertRefund(ctx context.Context, tx pgx.Tx, r *Refund) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO refunds (id, order_id, key, amount, reason, origin, requested_by, state, provider_ref, next_try_at, created_at, ended_at, noted_at)
		VALUES (@id, @order_id, @key, @amount, @reason, @origin, @requested_by, @state, @provider_ref, @next_try_at,
			@created_at, @ended_at, CASE @state WHEN 'done' THEN transaction_timestamp() END)`, pgx.StrictNamedArgs{
		"id": r.ID, "order_id": r.OrderID, "key": r.Key, "amount": r.Amount, "reason": r.Reason,
		"origin": r.Origin, "requested_by": r.RequestedBy, "state": r.State, "provider_ref": r.ProviderRef,
		"next_try_at": r.NextTryAt, "created_at": r.CreatedAt, "ended_at": r.EndedAt,
	})
	if err != nil {
		return fmt.Errorf("insert refund: %w", err)
	}
	return nil
}

// nextRefundKey counts the keys that an order's automatic refund uses. Lock the charge before.
func nextRefundKey(ctx context.Context, tx pgx.Tx, order uuid.UUID) (string, error) {
	var n int
	if err := tx.QueryRow(ctx, `UPDATE charges SET refund_keys = refund_keys + 1 WHERE order_id = $1 RETURNING refund_keys`, order).Scan(&n); err != nil {
		return "", fmt.Errorf("key of a refund: %w", err)
	}
	return automaticKey(order, n), nil
}

// refundsOf reads the refunds of an order, oldest first. Lock the charge before to keep them from changing.
func refundsOf(ctx context.Context, db pg.Querier, order uuid.UUID) ([]Refund, error) {
	rows, err := db.Query(ctx, `SELECT `+refundColumns+` FROM refunds WHERE order_id = $1 ORDER BY created_at, id`, order)
	if err != nil {
		return nil, fmt.Errorf("refunds: %w", err)
	}
	return collect[Refund](rows, "refunds")
}

// orderOfRefund tells whose refund the provider knows by key; ErrPaymentNotFound when there is none.
func orderOfRefund(ctx context.Context, db pg.Querier, key string) (uuid.UUID, error) {
	return oneID(ctx, db, `SELECT order_id FROM refunds WHERE key = $1`, key)
}

func oneID(ctx context.Context, db pg.Querier, sql string, args ...any) (id uuid.UUID, err error) {
	err = db.QueryRow(ctx, sql, args...).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return id, ErrPaymentNotFound
	}
	if err != nil {
		return id, fmt.Errorf("whose payment: %w", err)
	}
	return id, nil
}

// updateRefund saves what became of a refund, unless it is made already. One that is made now is noted for the feed
// of those that were.
func updateRefund(ctx context.Context, tx pgx.Tx, r *Refund) error {
	_, err := tx.Exec(ctx, `
		UPDATE refunds SET state = @state, error = @error, provider_ref = @provider_ref, next_try_at = @next_try_at,
			leased_until = @leased_until, ended_at = @ended_at, amount = @amount, key = @key,
			noted_at = CASE @state WHEN 'done' THEN transaction_timestamp() END
		WHERE id = @id AND state <> 'done'`, pgx.StrictNamedArgs{
		"id": r.ID, "state": r.State, "error": r.Error, "provider_ref": r.ProviderRef,
		"next_try_at": r.NextTryAt, "leased_until": r.LeasedUntil, "ended_at": r.EndedAt, "amount": r.Amount,
		"key": r.Key,
	})
	if err != nil {
		return fmt.Errorf("update refund: %w", err)
	}
	return nil
}

func deleteRefund(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	if _, err := tx.Exec(ctx, `DELETE FROM refunds WHERE id = $1 AND state <> 'done'`, id); err != nil {
		return fmt.Errorf("delete refund: %w", err)
	}
	return nil
}

// MadeRefund is a refund that was made, with what its event tells of the charge.
type MadeRefund struct {
	ID, OrderID      uuid.UUID
	Number, Email    string
	Amount, Refunded int64 // minor units; Refunded of all until now
	Captured         int64
	Currency, Reason string
	EndedAt, NotedAt time.Time
}

// madeRefunds reads a page of the refunds that were made, in the order in which that was noted.
func madeRefunds(ctx context.Context, db pg.Querier, ask feed.Ask) (rows []MadeRefund, cursor string, more bool, err error) {
	return feed.Read(ctx, db, ask, `
		SELECT r.id, r.order_id, c.number, c.email, r.amount,
			(SELECT sum(d.amount) FROM refunds d WHERE d.order_id = r.order_id AND d.state = 'done')::bigint AS refunded,
			c.captured_amount AS captured, c.captured_currency AS currency, r.reason, COALESCE(r.ended_at, r.created_at) AS ended_at, r.noted_at
		FROM refunds r JOIN charges c USING (order_id)
		WHERE (r.noted_at, r.id::text) > ($1, $2) AND r.noted_at < $3
		ORDER BY r.noted_at, r.id::text LIMIT $4`,
		func(r MadeRefund) feed.Place { return feed.Place{At: r.NotedAt, Key: r.ID.String()} })
}

// ClaimedRefund is a refund to make, with what the provider needs to know of its charge.
type ClaimedRefund struct {
	Refund
	Provider, CapturedCurrency, ChargeRef string
}

// claimRefunds leases up to n refunds that are due.
func claimRefunds(ctx context.Context, db pg.Querier, n int, lease time.Duration, now time.Time) ([]ClaimedRefund, error) {
	rows, err := db.Query(ctx, `
		WITH due AS MATERIALIZED (
			SELECT id FROM refunds
			WHERE state = 'requested' AND next_try_at <= $2 AND (leased_until IS NULL OR leased_until <= $2)
			ORDER BY next_try_at LIMIT $1 FOR UPDATE SKIP LOCKED),
		claimed AS (
			UPDATE refunds SET tries = tries + 1, leased_until = $3 WHERE id IN (SELECT id FROM due) RETURNING `+refundColumns+`)
		SELECT claimed.*, c.provider, c.captured_currency, c.provider_ref AS charge_ref
		FROM claimed JOIN charges c ON c.order_id = claimed.order_id`, n, now, now.Add(lease))
	if err != nil {
		return nil, fmt.Errorf("claim refunds: %w", err)
	}
	return collect[ClaimedRefund](rows, "claim refunds")
}

// WebhookRow is a webhook that was noted.
type WebhookRow struct {
	Provider   string
	EventID    string
	Type       string
	ReceivedAt time.Time
}

// insertWebhook notes a webhook and reports whether it is new.
func insertWebhook(ctx context.Context, tx pgx.Tx, provider string, w Webhook, now time.Time) (bool, error) {
	tag, err := tx.Exec(ctx, `
		INSERT INTO webhooks (provider, event_id, type, key, received_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (provider, event_id) DO NOTHING`, provider, w.ID, w.Type, w.Key, now)
	if err != nil {
		return false, fmt.Errorf("insert webhook: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// webhooksAbout reads what providers told about any of keys, oldest first.
func webhooksAbout(ctx context.Context, db pg.Querier, keys []string) ([]WebhookRow, error) {
	rows, err := db.Query(ctx, `
		SELECT provider, event_id, type, received_at FROM webhooks WHERE key = ANY($1) ORDER BY received_at, event_id`, keys)
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	return collect[WebhookRow](rows, "webhooks")
}

// pruneBatch is how many rows one statement of a pruner deletes; each is a transaction of its own.
const pruneBatch = 1000

// prune forgets webhooks that came a month ago, and tombstones of orders that have never been placed since.
func prune(ctx context.Context, db pg.Querier, now time.Time) error {
	return errors.Join(
		pruneRows(ctx, db, `
			DELETE FROM webhooks WHERE (provider, event_id) IN (
				SELECT provider, event_id FROM webhooks WHERE received_at < $1 ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			now.Add(-keepWebhooks)),
		pruneRows(ctx, db, `
			DELETE FROM charges WHERE order_id IN (
				SELECT order_id FROM charges
				WHERE placed_at IS NULL AND created_at < $1 AND state = 'voided' AND captured_at IS NULL
				ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			now.Add(-keepTombstones)))
}

// pruneRows runs sql, which deletes at most $2 rows from before $1, until there are no more.
func pruneRows(ctx context.Context, db pg.Querier, sql string, before time.Time) error {
	for {
		n, err := pruneOnce(ctx, db, sql, before)
		if err != nil || n < pruneBatch {
			return err
		}
	}
}

func pruneOnce(ctx context.Context, db pg.Querier, sql string, before time.Time) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*noteLimit)
	defer cancel()
	tag, err := db.Exec(ctx, sql, before, pruneBatch)
	if err != nil {
		return 0, fmt.Errorf("prune: %w", err)
	}
	return tag.RowsAffected(), nil
}

// wake tells the workers that charge, of every instance, once tx is committed.
func wake(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_notify($1, '')`, workChannel); err != nil {
		return fmt.Errorf("wake workers: %w", err)
	}
	return nil
}

func collect[T any](rows pgx.Rows, what string) ([]T, error) {
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}
