package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/pg"
)

// webhookLease keeps other instances from sending the same webhook; longer than one try takes.
const webhookLease = 15 * time.Second

// How long the sandbox remembers. Payments is told by webhooks for three days, as by a real provider.
const (
	keepBooks           = 90 * 24 * time.Hour
	keepSandboxWebhooks = 3 * 24 * time.Hour
)

const sandboxColumns = `key, ref, amount, currency, taken, taken_currency, method, status, reason, calls, settles_at, created_at`

// bookNew writes charges into the sandbox's books, with the webhooks that tell them, and commits. Those whose key is
// known it leaves as they are, and answers with nil.
func (s *sandbox) bookNew(ctx context.Context, asked []ChargeRequest) ([]gather.Answer[*sandboxCharge], error) {
	type event struct {
		key, id string
		payload []byte
		due     time.Time
	}
	now := s.now()
	charges, owed := make([]*sandboxCharge, 0, len(asked)), []event{}
	for _, r := range asked {
		c := &sandboxCharge{
			Key: r.Key.String(), Ref: newRef("pi"), Amount: r.Amount.Amount, Currency: r.Amount.Currency,
			Taken: r.Amount.Amount, TakenCurrency: r.Amount.Currency, Method: r.Method, Calls: 1, CreatedAt: now,
		}
		c.decide(now)
		charges = append(charges, c)
		if kind, o := c.webhook(); kind != "" {
			id, payload, err := newSandboxEvent(kind, o, c.SettlesAt)
			if err != nil {
				return nil, err
			}
			owed = append(owed, event{c.Key, id, payload, c.SettlesAt})
		}
	}
	sorted := slices.SortedFunc(slices.Values(charges), func(a, b *sandboxCharge) int { return strings.Compare(a.Key, b.Key) })
	rows, err := s.db.Query(ctx, `
		WITH booked AS (
			INSERT INTO sandbox_charges (key, ref, amount, currency, taken, taken_currency, method, status, reason, settles_at, created_at)
			SELECT key, ref, amount, currency, amount, currency, method, status, reason, settles_at, @now
			FROM unnest(@key::text[], @ref::text[], @amount::bigint[], @currency::text[], @method::text[], @status::text[], @reason::text[],
				@settles_at::timestamptz[]) AS c (key, ref, amount, currency, method, status, reason, settles_at)
			ON CONFLICT (key) DO NOTHING
			RETURNING key
		), owed AS (
			INSERT INTO sandbox_webhooks (id, payload, next_try_at, created_at)
			SELECT w.id, w.payload, w.due, w.due
			FROM unnest(@about::text[], @id::text[], @payload::bytea[], @due::timestamptz[]) AS w (key, id, payload, due)
			JOIN booked USING (key)
		)
		SELECT key FROM booked`, pgx.StrictNamedArgs{
		"now":        now,
		"key":        pg.Column(sorted, func(c *sandboxCharge) string { return c.Key }),
		"ref":        pg.Column(sorted, func(c *sandboxCharge) string { return c.Ref }),
		"amount":     pg.Column(sorted, func(c *sandboxCharge) int64 { return c.Amount }),
		"currency":   pg.Column(sorted, func(c *sandboxCharge) string { return c.Currency }),
		"method":     pg.Column(sorted, func(c *sandboxCharge) string { return c.Method }),
		"status":     pg.Column(sorted, func(c *sandboxCharge) string { return string(c.Status) }),
		"reason":     pg.Column(sorted, func(c *sandboxCharge) string { return c.Reason }),
		"settles_at": pg.Column(sorted, func(c *sandboxCharge) time.Time { return c.SettlesAt }),
		"about":      pg.Column(owed, func(e event) string { return e.key }),
		"id":         pg.Column(owed, func(e event) string { return e.id }),
		"payload":    pg.Column(owed, func(e event) []byte { return e.payload }),
		"due":        pg.Column(owed, func(e event) time.Time { return e.due }),
	})
	if err != nil {
		return nil, err
	}
	booked, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	answers := make([]gather.Answer[*sandboxCharge], len(asked))
	for i, c := range charges {
		if slices.Contains(booked, c.Key) {
			answers[i].Value = c
		}
	}
	return answers, nil
}

// book writes a charge into the sandbox's books and commits; the same key is the same charge.
func (s *sandbox) book(ctx context.Context, r ChargeRequest, now time.Time) (*sandboxCharge, error) {
	var c *sandboxCharge
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			INSERT INTO sandbox_charges (key, ref, amount, currency, taken, taken_currency, method, status, settles_at, created_at)
			VALUES ($1, $2, $3, $4, $3, $4, $5, 'none', $6, $6)
			ON CONFLICT (key) DO UPDATE SET calls = sandbox_charges.calls + 1
			RETURNING `+sandboxColumns,
			r.Key.String(), newRef("pi"), r.Amount.Amount, r.Amount.Currency, r.Method, now)
		if err != nil {
			return err
		}
		if c, err = pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[sandboxCharge]); err != nil {
			return err
		}
		if c.Amount != r.Amount.Amount || c.Currency != r.Amount.Currency || c.Method != r.Method {
			return errors.New("this key came with another charge")
		}
		if c.Status != "none" {
			return nil
		}
		if c.decide(now); c.Status == "none" {
			return nil
		}
		_, err = tx.Exec(ctx, `UPDATE sandbox_charges SET status = $2, reason = $3, settles_at = $4 WHERE key = $1`,
			c.Key, c.Status, c.Reason, c.SettlesAt)
		if err != nil {
			return err
		}
		kind, o := c.webhook()
		if kind == "" {
			return nil
		}
		return oweWebhook(ctx, tx, kind, o, c.SettlesAt)
	})
	return c, err
}

// find reads a charge; nil when there is none.
func (s *sandbox) find(ctx context.Context, key uuid.UUID) (*sandboxCharge, error) {
	rows, err := s.db.Query(ctx, `SELECT `+sandboxColumns+` FROM sandbox_charges WHERE key = $1`, key.String())
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[sandboxCharge])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return c, nil
}

// misbehave makes the sandbox take something else than it will be asked for.
func (s *sandbox) misbehave(ctx context.Context, r ChargeRequest, taken money.Money) error {
	_, err := s.db.Exec(ctx, `
		INSERT INTO sandbox_charges (key, ref, amount, currency, taken, taken_currency, method, status, calls, settles_at, created_at)
		VALUES (@key, @ref, @amount, @currency, @taken, @taken_currency, @method, 'none', 0, now(), now())`, pgx.StrictNamedArgs{
		"key": r.Key.String(), "ref": newRef("pi"), "amount": r.Amount.Amount, "currency": r.Amount.Currency,
		"taken": taken.Amount, "taken_currency": taken.Currency, "method": r.Method,
	})
	return err
}

// bookRefund writes a refund into the sandbox's books and commits; the same key is the same refund, and without a key
// it is one that somebody makes by hand. It returns errOverdrawn.
func (s *sandbox) bookRefund(ctx context.Context, r RefundRequest, now time.Time) (given Given, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var (
			taken    money.Money
			charge   string
			refunded int64
		)
		if err := tx.QueryRow(ctx, `SELECT taken, taken_currency, ref FROM sandbox_charges WHERE key = $1 FOR UPDATE`, r.Charge.String()).
			Scan(&taken.Amount, &taken.Currency, &charge); err != nil {
			return err
		}
		given = Given{Key: r.Key, Result: Result{Outcome: Succeeded, Amount: r.Amount}}
		err := tx.QueryRow(ctx, `SELECT ref, amount FROM sandbox_refunds WHERE key = $1`, r.Key).Scan(&given.Ref, &given.Amount.Amount)
		if err == nil && given.Amount != r.Amount {
			return errors.New("this key came with another refund")
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT COALESCE(sum(amount), 0)::bigint FROM sandbox_refunds WHERE charge_key = $1`, r.Charge.String()).Scan(&refunded); err != nil {
			return err
		}
		if r.Amount.Currency != taken.Currency {
			return errors.New("this is not the charge's currency")
		}
		if refunded+r.Amount.Amount > taken.Amount {
			return errOverdrawn
		}
		given.Ref = newRef("re")
		kind, about := "refund.updated", map[string]string{"refund_id": r.Key}
		if r.Key == "" {
			kind, about, given.Key = "refund.created", map[string]string{}, given.Ref
		}
		_, err = tx.Exec(ctx, `INSERT INTO sandbox_refunds (key, ref, charge_key, amount, created_at) VALUES ($1, $2, $3, $4, $5)`,
			given.Key, given.Ref, r.Charge.String(), r.Amount.Amount, now)
		if err != nil {
			return err
		}
		return oweWebhook(ctx, tx, kind, sandboxObject{
			ID: given.Ref, Object: "refund", Status: Succeeded, Amount: r.Amount.Amount, Currency: r.Amount.Currency, Charge: charge, Metadata: about,
		}, now)
	})
	return given, err
}

// Refunds implements Provider.
func (s *sandbox) Refunds(ctx context.Context, key uuid.UUID, _ string) ([]Given, error) {
	rows, err := s.db.Query(ctx, `
		SELECT r.key, r.ref, r.amount, c.taken_currency FROM sandbox_refunds r JOIN sandbox_charges c ON c.key = r.charge_key
		WHERE r.charge_key = $1 ORDER BY r.created_at`, key.String())
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	var all []Given
	g := Given{Result: Result{Outcome: Succeeded}}
	_, err = pgx.ForEachRow(rows, []any{&g.Key, &g.Ref, &g.Amount.Amount, &g.Amount.Currency}, func() error { all = append(all, g); return nil })
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return all, nil
}

func oweWebhook(ctx context.Context, tx pgx.Tx, kind string, o sandboxObject, due time.Time) error {
	id, payload, err := newSandboxEvent(kind, o, due)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO sandbox_webhooks (id, payload, next_try_at, created_at) VALUES ($1, $2, $3, $3)`, id, payload, due)
	return err
}

// claimWebhooks leases up to n webhooks that are due.
func (s *sandbox) claimWebhooks(ctx context.Context, n int) ([]sandboxWebhook, error) {
	now := s.now()
	rows, err := s.db.Query(ctx, `
		WITH due AS MATERIALIZED (
			SELECT id FROM sandbox_webhooks WHERE sent_at IS NULL AND next_try_at <= $2
			ORDER BY next_try_at LIMIT $1 FOR UPDATE SKIP LOCKED)
		UPDATE sandbox_webhooks SET tries = tries + 1, next_try_at = $3 WHERE id IN (SELECT id FROM due)
		RETURNING id, payload, tries`, n, now, now.Add(webhookLease))
	if err != nil {
		return nil, fmt.Errorf("sandbox: claim webhooks: %w", err)
	}
	return collect[sandboxWebhook](rows, "sandbox: claim webhooks")
}

// noteTaken writes down that webhooks were taken.
func (s *sandbox) noteTaken(ctx context.Context, ids []string) error {
	_, err := s.db.Exec(ctx, `UPDATE sandbox_webhooks SET sent_at = $2 WHERE id = ANY ($1)`, ids, s.now())
	return err
}

// noteRefused writes down that a webhook was not taken: it is sent again.
func (s *sandbox) noteRefused(ctx context.Context, w sandboxWebhook) error {
	_, err := s.db.Exec(ctx, `UPDATE sandbox_webhooks SET next_try_at = $2 WHERE id = $1`, w.ID, s.now().Add(Backoff(w.Tries)))
	return err
}

// prune forgets webhooks, sent or not, and charges with their refunds.
func (s *sandbox) prune(ctx context.Context) error {
	now := s.now()
	return errors.Join(
		pruneRows(ctx, s.db, `
			DELETE FROM sandbox_webhooks WHERE id IN (
				SELECT id FROM sandbox_webhooks WHERE created_at < $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)`,
			now.Add(-keepSandboxWebhooks)),
		pruneRows(ctx, s.db, `
			WITH old AS MATERIALIZED (
				SELECT key FROM sandbox_charges WHERE created_at < $1 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED),
			refunds AS (DELETE FROM sandbox_refunds WHERE charge_key IN (SELECT key FROM old))
			DELETE FROM sandbox_charges WHERE key IN (SELECT key FROM old)`,
			now.Add(-keepBooks)))
}
