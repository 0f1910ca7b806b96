package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/trace"
)

// store is the database of charges, refunds and webhooks.
type store struct{ db *pgxpool.Pool }

const chargeColumns = `order_id, number, email, amount, currency, method, provider, state, reason, provider_ref, tries, next_try_at,
	leased_until, attempted_at, placed_at, cancelled_at, void_asked_at, captured_at, captured_amount, captured_currency,
	traceparent, created_at, updated_at`

const refundColumns = `id, order_id, key, amount, reason, origin, requested_by, state, error, provider_ref, tries, next_try_at, leased_until,
	traceparent, created_at, ended_at`

// insertCharges saves charges, which are sorted by order (byOrder), unless their order has one, and tells whose are new.
func insertCharges(ctx context.Context, tx pgx.Tx, charges []*Charge) (map[uuid.UUID]bool, error) {
	rows, err := tx.Query(ctx, `
		INSERT INTO charges (order_id, number, email, amount, currency, method, provider, state, tries, next_try_at, leased_until,
			attempted_at, placed_at, traceparent, created_at, updated_at)
		SELECT * FROM unnest(@order_id::uuid[], @number::text[], @email::text[], @amount::bigint[], @currency::text[], @method::text[],
			@provider::text[], @state::text[], @tries::int[], @next_try_at::timestamptz[], @leased_until::timestamptz[],
			@attempted_at::timestamptz[], @placed_at::timestamptz[], @traceparent::text[], @created_at::timestamptz[],
			@updated_at::timestamptz[])
		ON CONFLICT (order_id) DO NOTHING
		RETURNING order_id`, pgx.StrictNamedArgs{
		"order_id":     pg.Column(charges, func(c *Charge) uuid.UUID { return c.OrderID }),
		"number":       pg.Column(charges, func(c *Charge) string { return c.Number }),
		"email":        pg.Column(charges, func(c *Charge) string { return c.Email }),
		"amount":       pg.Column(charges, func(c *Charge) int64 { return c.Amount }),
		"currency":     pg.Column(charges, func(c *Charge) string { return c.Currency }),
		"method":       pg.Column(charges, func(c *Charge) string { return c.Method }),
		"provider":     pg.Column(charges, func(c *Charge) string { return c.Provider }),
		"state":        pg.Column(charges, func(c *Charge) string { return string(c.State) }),
		"tries":        pg.Column(charges, func(c *Charge) int { return c.Tries }),
		"next_try_at":  pg.Column(charges, func(c *Charge) time.Time { return c.NextTryAt }),
		"leased_until": pg.Column(charges, func(c *Charge) *time.Time { return c.LeasedUntil }),
		"attempted_at": pg.Column(charges, func(c *Charge) *time.Time { return c.AttemptedAt }),
		"placed_at":    pg.Column(charges, func(c *Charge) *time.Time { return c.PlacedAt }),
		"traceparent":  pg.Column(charges, func(c *Charge) string { return c.Traceparent }),
		"created_at":   pg.Column(charges, func(c *Charge) time.Time { return c.CreatedAt }),
		"updated_at":   pg.Column(charges, func(c *Charge) time.Time { return c.UpdatedAt }),
	})
	if err != nil {
		return nil, fmt.Errorf("insert charges: %w", err)
	}
	fresh := map[uuid.UUID]bool{}
	var order uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&order}, func() error { fresh[order] = true; return nil }); err != nil {
		return nil, fmt.Errorf("insert charges: %w", err)
	}
	return fresh, nil
}

// lockCharge reads a charge that nobody else may change until tx ends. It returns ErrPaymentNotFound.
func lockCharge(ctx context.Context, tx pgx.Tx, order uuid.UUID) (*Charge, error) {
	return oneCharge(ctx, tx, `SELECT `+chargeColumns+` FROM charges WHERE order_id = $1 FOR UPDATE`, order)
}

// lockCharges reads the charges of orders, in their order, that nobody else may change until tx ends.
func lockCharges(ctx context.Context, tx pgx.Tx, orders []uuid.UUID) ([]Charge, error) {
	rows, err := tx.Query(ctx, `SELECT `+chargeColumns+` FROM charges WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE`, orders)
	if err != nil {
		return nil, fmt.Errorf("lock charges: %w", err)
	}
	return collect[Charge](rows, "lock charges")
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

// changed is a charge that is to be saved, and the state in which it was read.
type changed struct {
	*Charge
	was State
}

// updateCharges saves charges that were locked in the state that each was in.
func updateCharges(ctx context.Context, tx pgx.Tx, charges []changed) error {
	tag, err := tx.Exec(ctx, `
		UPDATE charges c SET number = u.number, email = u.email, amount = u.amount, currency = u.currency, method = u.method,
			provider = u.provider, state = u.state, reason = u.reason, provider_ref = u.provider_ref, next_try_at = u.next_try_at,
			leased_until = u.leased_until, placed_at = u.placed_at, cancelled_at = u.cancelled_at, void_asked_at = u.void_asked_at,
			captured_at = u.captured_at, captured_amount = u.captured_amount, captured_currency = u.captured_currency,
			traceparent = u.traceparent, updated_at = u.updated_at
		FROM unnest(@order_id::uuid[], @was::text[], @number::text[], @email::text[], @amount::bigint[], @currency::text[], @method::text[],
			@provider::text[], @state::text[], @reason::text[], @provider_ref::text[], @next_try_at::timestamptz[],
			@leased_until::timestamptz[], @placed_at::timestamptz[], @cancelled_at::timestamptz[], @void_asked_at::timestamptz[],
			@captured_at::timestamptz[], @captured_amount::bigint[], @captured_currency::text[], @traceparent::text[],
			@updated_at::timestamptz[])
			AS u (order_id, was, number, email, amount, currency, method, provider, state, reason, provider_ref, next_try_at,
				leased_until, placed_at, cancelled_at, void_asked_at, captured_at, captured_amount, captured_currency, traceparent,
				updated_at)
		WHERE c.order_id = u.order_id AND c.state = u.was`, pgx.StrictNamedArgs{
		"order_id":          pg.Column(charges, func(c changed) uuid.UUID { return c.OrderID }),
		"was":               pg.Column(charges, func(c changed) string { return string(c.was) }),
		"number":            pg.Column(charges, func(c changed) string { return c.Number }),
		"email":             pg.Column(charges, func(c changed) string { return c.Email }),
		"amount":            pg.Column(charges, func(c changed) int64 { return c.Amount }),
		"currency":          pg.Column(charges, func(c changed) string { return c.Currency }),
		"method":            pg.Column(charges, func(c changed) string { return c.Method }),
		"provider":          pg.Column(charges, func(c changed) string { return c.Provider }),
		"state":             pg.Column(charges, func(c changed) string { return string(c.State) }),
		"reason":            pg.Column(charges, func(c changed) string { return c.Reason }),
		"provider_ref":      pg.Column(charges, func(c changed) string { return c.ProviderRef }),
		"next_try_at":       pg.Column(charges, func(c changed) time.Time { return c.NextTryAt }),
		"leased_until":      pg.Column(charges, func(c changed) *time.Time { return c.LeasedUntil }),
		"placed_at":         pg.Column(charges, func(c changed) *time.Time { return c.PlacedAt }),
		"cancelled_at":      pg.Column(charges, func(c changed) *time.Time { return c.CancelledAt }),
		"void_asked_at":     pg.Column(charges, func(c changed) *time.Time { return c.VoidAskedAt }),
		"captured_at":       pg.Column(charges, func(c changed) *time.Time { return c.CapturedAt }),
		"captured_amount":   pg.Column(charges, func(c changed) int64 { return c.CapturedAmount }),
		"captured_currency": pg.Column(charges, func(c changed) string { return c.CapturedCurrency }),
		"traceparent":       pg.Column(charges, func(c changed) string { return c.Traceparent }),
		"updated_at":        pg.Column(charges, func(c changed) time.Time { return c.UpdatedAt }),
	})
	if err != nil {
		return fmt.Errorf("update charges: %w", err)
	}
	if int(tag.RowsAffected()) != len(charges) {
		return fmt.Errorf("update %d charges: only %d are still what they were", len(charges), tag.RowsAffected())
	}
	return nil
}

// decideCharges saves, in a transaction of its own, charges that were captured or failed since they were leased, each with
// the event that tells it, and tells which events those are. A charge that is no longer what it was, or whose order was
// cancelled meanwhile, is left as it is.
func decideCharges(ctx context.Context, db *pgxpool.Pool, charges []changed, told []outbox.Event) (saved []bool, err error) {
	out, err := outbox.NewRows(ctx, db, told...)
	if err != nil {
		return nil, err
	}
	saved = make([]bool, len(charges))
	defer func() {
		for i, row := range out {
			row.End(err == nil && saved[i])
		}
	}()
	rows, err := db.Query(ctx, `
		WITH told AS MATERIALIZED (
			SELECT * FROM unnest(@order_id::uuid[], @was::text[], @state::text[], @reason::text[], @provider_ref::text[],
				@captured_at::timestamptz[], @captured_amount::bigint[], @captured_currency::text[], @updated_at::timestamptz[],
				@event::uuid[])
				AS t (order_id, was, state, reason, provider_ref, captured_at, captured_amount, captured_currency, updated_at, event)
		), locked AS MATERIALIZED (
			SELECT order_id FROM charges WHERE order_id = ANY (@order_id) ORDER BY order_id FOR UPDATE
		), decided AS (
			UPDATE charges c SET state = t.state, reason = t.reason, provider_ref = t.provider_ref, leased_until = NULL,
				captured_at = t.captured_at, captured_amount = t.captured_amount, captured_currency = t.captured_currency,
				updated_at = t.updated_at
			FROM told t JOIN locked USING (order_id)
			WHERE c.order_id = t.order_id AND c.state = t.was AND c.cancelled_at IS NULL
			RETURNING t.event
		)`+outbox.Insert+` JOIN decided ON decided.event = e.id RETURNING outbox.id`, outbox.Args(pgx.StrictNamedArgs{
		"order_id":          pg.Column(charges, func(c changed) uuid.UUID { return c.OrderID }),
		"was":               pg.Column(charges, func(c changed) string { return string(c.was) }),
		"state":             pg.Column(charges, func(c changed) string { return string(c.State) }),
		"reason":            pg.Column(charges, func(c changed) string { return c.Reason }),
		"provider_ref":      pg.Column(charges, func(c changed) string { return c.ProviderRef }),
		"captured_at":       pg.Column(charges, func(c changed) *time.Time { return c.CapturedAt }),
		"captured_amount":   pg.Column(charges, func(c changed) int64 { return c.CapturedAmount }),
		"captured_currency": pg.Column(charges, func(c changed) string { return c.CapturedCurrency }),
		"updated_at":        pg.Column(charges, func(c changed) time.Time { return c.UpdatedAt }),
		"event":             pg.Column(out, func(r *outbox.Row) uuid.UUID { return r.ID }),
	}, out))
	if err != nil {
		return nil, fmt.Errorf("decide charges: %w", err)
	}
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		saved[slices.IndexFunc(out, func(r *outbox.Row) bool { return r.ID == id })] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decide charges: %w", err)
	}
	return saved, nil
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
	charges, err := lockCharges(ctx, tx, ids)
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

// insertRefund saves a refund, also one that is done already, with the trace of ctx.
func insertRefund(ctx context.Context, tx pgx.Tx, r *Refund) error {
	r.Traceparent = trace.Of(ctx)
	_, err := tx.Exec(ctx, `
		INSERT INTO refunds (id, order_id, key, amount, reason, origin, requested_by, state, provider_ref, next_try_at, traceparent,
			created_at, ended_at, noted_at)
		VALUES (@id, @order_id, @key, @amount, @reason, @origin, @requested_by, @state, @provider_ref, @next_try_at, @traceparent,
			@created_at, @ended_at, CASE @state WHEN 'done' THEN transaction_timestamp() END)`, pgx.StrictNamedArgs{
		"id": r.ID, "order_id": r.OrderID, "key": r.Key, "amount": r.Amount, "reason": r.Reason,
		"origin": r.Origin, "requested_by": r.RequestedBy, "state": r.State, "provider_ref": r.ProviderRef,
		"next_try_at": r.NextTryAt, "traceparent": r.Traceparent, "created_at": r.CreatedAt, "ended_at": r.EndedAt,
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

// seen is a webhook that came.
type seen struct {
	provider string
	Webhook
}

// order is whose charge the webhook is about; none when its key is no order's.
func (w seen) order() *uuid.UUID {
	order, err := uuid.Parse(w.Key)
	if err != nil {
		return nil
	}
	return &order
}

// compare sorts by the order in which webhooks are locked.
func (w seen) compare(other seen) int {
	return cmp.Or(strings.Compare(w.provider, other.provider), strings.Compare(w.ID, other.ID))
}

// insertWebhooks notes webhooks, which are sorted (compare), and reports which are new.
func insertWebhooks(ctx context.Context, tx pgx.Tx, webhooks []seen, now time.Time) ([]bool, error) {
	rows, err := tx.Query(ctx, `
		INSERT INTO webhooks (provider, event_id, type, key, received_at)
		SELECT provider, event_id, type, key, $5
		FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS w (provider, event_id, type, key)
		ON CONFLICT (provider, event_id) DO NOTHING
		RETURNING provider, event_id`,
		pg.Column(webhooks, func(w seen) string { return w.provider }), pg.Column(webhooks, func(w seen) string { return w.ID }),
		pg.Column(webhooks, func(w seen) string { return w.Type }), pg.Column(webhooks, func(w seen) string { return w.Key }), now)
	if err != nil {
		return nil, fmt.Errorf("insert webhooks: %w", err)
	}
	return whichOf(rows, webhooks)
}

// insertKnown notes, in a transaction of its own, those of webhooks about charges that tell what is known for good, and
// tells which: what was captured was, and what has ended declined or without a charge stays so (Settle).
func insertKnown(ctx context.Context, db pg.Querier, webhooks []seen, now time.Time) ([]bool, error) {
	rows, err := db.Query(ctx, `
		INSERT INTO webhooks (provider, event_id, type, key, received_at)
		SELECT w.provider, w.event_id, w.type, w.key, @now
		FROM unnest(@provider::text[], @event_id::text[], @type::text[], @key::text[], @order_id::uuid[], @outcome::text[])
			AS w (provider, event_id, type, key, order_id, outcome)
		JOIN charges c ON c.order_id = w.order_id AND CASE w.outcome
			WHEN 'succeeded' THEN c.captured_at IS NOT NULL
			WHEN 'declined' THEN c.state IN ('captured', 'failed', 'voided')
			ELSE false END
		ON CONFLICT (provider, event_id) DO NOTHING
		RETURNING provider, event_id`, pgx.StrictNamedArgs{
		"now":      now,
		"provider": pg.Column(webhooks, func(w seen) string { return w.provider }),
		"event_id": pg.Column(webhooks, func(w seen) string { return w.ID }),
		"type":     pg.Column(webhooks, func(w seen) string { return w.Type }),
		"key":      pg.Column(webhooks, func(w seen) string { return w.Key }),
		"order_id": pg.Column(webhooks, seen.order),
		"outcome":  pg.Column(webhooks, func(w seen) string { return string(w.Result.Outcome) }),
	})
	if err != nil {
		return nil, fmt.Errorf("insert webhooks: %w", err)
	}
	return whichOf(rows, webhooks)
}

// whichOf tells which of webhooks rows names.
func whichOf(rows pgx.Rows, webhooks []seen) ([]bool, error) {
	named := make([]bool, len(webhooks))
	var provider, id string
	_, err := pgx.ForEachRow(rows, []any{&provider, &id}, func() error {
		named[slices.IndexFunc(webhooks, func(w seen) bool { return w.provider == provider && w.ID == id })] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("insert webhooks: %w", err)
	}
	return named, nil
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

// forgetCharges deletes who paid for orders, what staff wrote about their refunds, and what was told of those.
func forgetCharges(ctx context.Context, tx pgx.Tx, orders []uuid.UUID) error {
	b := &pgx.Batch{}
	b.Queue(`SELECT FROM charges WHERE order_id = ANY ($1) ORDER BY order_id FOR UPDATE`, orders)
	b.Queue(`UPDATE charges SET email = '' WHERE order_id = ANY ($1)`, orders)
	b.Queue(`UPDATE refunds SET reason = '' WHERE order_id = ANY ($1) AND origin = 'staff'`, orders)
	b.Queue(`
		DELETE FROM outbox e USING refunds r
		WHERE r.order_id = ANY ($1) AND e.created_at = r.noted_at AND NOT e.secret AND e.data ->> 'order_id' = r.order_id::text`, orders)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("forget charges: %w", err)
	}
	return nil
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

func collect[T any](rows pgx.Rows, what string) ([]T, error) {
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[T])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}
