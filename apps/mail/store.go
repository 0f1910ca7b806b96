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
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
)

// store is the database of mails.
type store struct{ db *pgxpool.Pool }

const mailColumns = `id, kind, about, topic, event_id, order_id, account_id, sender, recipient, subject, data, status, error, tries, cut_off,
	next_try_at, leased_until, expires_at, again_of, traceparent, created_at, sent_at`

// wanted are columns that tell whether a mail is wanted still, beside those of mails: the kinds of mails about its order
// that are in the log, and whether a code of its kind is there that ends later.
const wanted = `
	ARRAY(SELECT DISTINCT l.kind FROM mails l WHERE l.order_id = mails.order_id) AS logged,
	(mails.expires_at IS NOT NULL AND EXISTS (
		SELECT FROM mails l WHERE l.account_id = mails.account_id AND l.kind = mails.kind AND l.expires_at > mails.expires_at)) AS newer`

// insertMails logs mails, each unless the one that it is the only one about is logged already, or it is about somebody who is
// to be forgotten, and returns those that it logged.
func insertMails(ctx context.Context, tx pgx.Tx, mails []*Mail) ([]Job, error) {
	// In one order, in which those about the same are waited for.
	mails = slices.SortedFunc(slices.Values(mails), func(a, b *Mail) int { return strings.Compare(about(a), about(b)) })
	rows, err := tx.Query(ctx, `
		INSERT INTO mails (id, kind, about, topic, event_id, order_id, account_id, sender, recipient, subject, data, status, error, tries,
			next_try_at, leased_until, expires_at, again_of, traceparent, created_at)
		SELECT id, kind, about, topic, event_id, order_id, account_id, sender, recipient, subject, data::jsonb, status, error, tries,
			next_try_at, leased_until, expires_at, again_of, traceparent, created_at
		FROM unnest(@id::uuid[], @kind::text[], @about::text[], @topic::text[], @event_id::text[], @order_id::uuid[], @account_id::uuid[],
			@sender::text[], @recipient::text[], @subject::text[], @data::text[], @status::text[], @error::text[], @tries::int[],
			@next_try_at::timestamptz[], @leased_until::timestamptz[], @expires_at::timestamptz[], @again_of::uuid[],
			@traceparent::text[], @created_at::timestamptz[])
			AS m (id, kind, about, topic, event_id, order_id, account_id, sender, recipient, subject, data, status, error, tries,
				next_try_at, leased_until, expires_at, again_of, traceparent, created_at)
		WHERE NOT `+forget.Noted("COALESCE(m.order_id, m.account_id)")+`
		ON CONFLICT (about) DO NOTHING
		RETURNING id, `+wanted, pgx.StrictNamedArgs{
		"id":           pg.Column(mails, func(m *Mail) uuid.UUID { return m.ID }),
		"kind":         pg.Column(mails, func(m *Mail) string { return string(m.Kind) }),
		"about":        pg.Column(mails, func(m *Mail) *string { return m.About }),
		"topic":        pg.Column(mails, func(m *Mail) string { return m.Topic }),
		"event_id":     pg.Column(mails, func(m *Mail) string { return m.EventID }),
		"order_id":     pg.Column(mails, func(m *Mail) *uuid.UUID { return m.OrderID }),
		"account_id":   pg.Column(mails, func(m *Mail) *uuid.UUID { return m.AccountID }),
		"sender":       pg.Column(mails, func(m *Mail) string { return m.Sender }),
		"recipient":    pg.Column(mails, func(m *Mail) string { return m.Recipient }),
		"subject":      pg.Column(mails, func(m *Mail) string { return m.Subject }),
		"data":         pg.Column(mails, func(m *Mail) string { return string(m.Data) }),
		"status":       pg.Column(mails, func(m *Mail) string { return string(m.Status) }),
		"error":        pg.Column(mails, func(m *Mail) string { return m.Error }),
		"tries":        pg.Column(mails, func(m *Mail) int { return m.Tries }),
		"next_try_at":  pg.Column(mails, func(m *Mail) time.Time { return m.NextTryAt }),
		"leased_until": pg.Column(mails, func(m *Mail) *time.Time { return m.LeasedUntil }),
		"expires_at":   pg.Column(mails, func(m *Mail) *time.Time { return m.ExpiresAt }),
		"again_of":     pg.Column(mails, func(m *Mail) *uuid.UUID { return m.AgainOf }),
		"traceparent":  pg.Column(mails, func(m *Mail) string { return m.Traceparent }),
		"created_at":   pg.Column(mails, func(m *Mail) time.Time { return m.CreatedAt }),
	})
	if err != nil {
		return nil, fmt.Errorf("insert mails: %w", err)
	}
	var logged []Job
	var id uuid.UUID
	var j Job
	_, err = pgx.ForEachRow(rows, []any{&id, &j.Logged, &j.Newer}, func() error {
		j.Mail = *mails[slices.IndexFunc(mails, func(m *Mail) bool { return m.ID == id })]
		logged = append(logged, j)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("insert mails: %w", err)
	}
	return logged, nil
}

func about(m *Mail) string {
	if m.About == nil {
		return ""
	}
	return *m.About
}

// claimMails leases up to n mails that are due, codes first, or codes alone. A lease that ran out is a try whose end nobody
// saw.
func claimMails(ctx context.Context, db pg.Querier, n int, codesOnly bool, now time.Time) ([]Job, error) {
	// Each half as its index has it.
	rows, err := db.Query(ctx, `
		WITH codes AS MATERIALIZED (
			SELECT id FROM mails
			WHERE status = 'queued' AND expires_at IS NOT NULL AND next_try_at <= $1 AND (leased_until IS NULL OR leased_until <= $1)
			ORDER BY next_try_at LIMIT $3 FOR UPDATE SKIP LOCKED
		), others AS MATERIALIZED (
			SELECT id FROM mails
			WHERE status = 'queued' AND expires_at IS NULL AND next_try_at <= $1 AND (leased_until IS NULL OR leased_until <= $1)
			ORDER BY next_try_at LIMIT CASE WHEN $4 THEN 0 ELSE $3 - (SELECT count(*) FROM codes) END FOR UPDATE SKIP LOCKED
		)
		UPDATE mails SET tries = tries + 1, cut_off = cut_off + (leased_until IS NOT NULL)::int, leased_until = $2
		WHERE id IN (SELECT id FROM codes UNION ALL SELECT id FROM others)
		RETURNING `+mailColumns+`,`+wanted, now, now.Add(lease), n, codesOnly)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	claimed, err := pgx.CollectRows(rows, pgx.RowToStructByName[Job])
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return claimed, nil
}

// noteTries saves what became of leased mails, each unless another sender has claimed it since. What a mail with a code
// shows is forgotten once it has ended.
func noteTries(ctx context.Context, db pg.Querier, mails []*Mail) error {
	_, err := db.Exec(ctx, `
		UPDATE mails m SET status = t.status, error = t.error, next_try_at = t.next_try_at, leased_until = t.leased_until,
			sent_at = t.sent_at, cut_off = t.cut_off, data = CASE WHEN t.forget THEN '{}' ELSE m.data END
		FROM unnest(@id::uuid[], @tries::int[], @status::text[], @error::text[], @next_try_at::timestamptz[], @leased_until::timestamptz[],
			@sent_at::timestamptz[], @cut_off::int[], @forget::bool[])
			AS t (id, tries, status, error, next_try_at, leased_until, sent_at, cut_off, forget)
		WHERE m.id = t.id AND m.tries = t.tries`, pgx.StrictNamedArgs{
		"id":           pg.Column(mails, func(m *Mail) uuid.UUID { return m.ID }),
		"tries":        pg.Column(mails, func(m *Mail) int { return m.Tries }),
		"status":       pg.Column(mails, func(m *Mail) string { return string(m.Status) }),
		"error":        pg.Column(mails, func(m *Mail) string { return m.Error }),
		"next_try_at":  pg.Column(mails, func(m *Mail) time.Time { return m.NextTryAt }),
		"leased_until": pg.Column(mails, func(m *Mail) *time.Time { return m.LeasedUntil }),
		"sent_at":      pg.Column(mails, func(m *Mail) *time.Time { return m.SentAt }),
		"cut_off":      pg.Column(mails, func(m *Mail) int { return m.CutOff }),
		"forget":       pg.Column(mails, func(m *Mail) bool { return m.Kind.Secret() && m.Status != Queued }),
	})
	if err != nil {
		return fmt.Errorf("note tries: %w", err)
	}
	return nil
}

// deleteAbout deletes the mails about accounts, but for those about their orders, and about orders.
func deleteAbout(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	b := &pgx.Batch{}
	b.Queue(`DELETE FROM mails WHERE order_id = ANY ($1)`, ids)
	b.Queue(`DELETE FROM mails WHERE account_id = ANY ($1) AND order_id IS NULL`, ids)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("delete mails about somebody: %w", err)
	}
	return nil
}

// filter narrows the log; empty members do not.
type filter struct {
	Status    Status
	Kind      Kind
	Recipient string // how it begins, in small or capital letters
	Order     *uuid.UUID
}

// Ids of mails sort by time.
var mailLists = keyset.List{ID: "id", Sorts: map[string]string{
	"newest": "id DESC", "oldest": "id", "recipient": `lower(recipient) COLLATE "C"`, "-recipient": `lower(recipient) COLLATE "C" DESC`,
}}

// listMails reads a page of the log, without what the mails show, and the cursor of the next one.
func listMails(ctx context.Context, db pg.Querier, f filter, sort string, page rest.Page) ([]Mail, *string, error) {
	return keyset.Read[Mail](ctx, db, mailLists, sort, page, `
		SELECT id, kind, about, topic, event_id, order_id, account_id, sender, recipient, subject, '{}'::jsonb AS data, status, error,
			tries, cut_off, next_try_at, leased_until, expires_at, again_of, traceparent, created_at, sent_at
		FROM mails
		WHERE ($1::text = '' OR status = $1) AND ($2::text = '' OR kind = $2) AND ($3::text = '' OR lower(recipient) COLLATE "C" LIKE lower($4))
			AND ($5::uuid IS NULL OR order_id = $5)`, f.Status, f.Kind, f.Recipient, pg.Begins(f.Recipient), f.Order)
}

// countMails counts mails by status, up to pg.CountLimit.
func countMails(ctx context.Context, db pg.Querier) (map[string]int, error) {
	return pg.Counts(ctx, db, `
		SELECT 'queued', count(*) FROM (SELECT FROM mails WHERE status = 'queued' LIMIT $1) f
		UNION ALL SELECT 'failed', count(*) FROM (SELECT FROM mails WHERE status = 'failed' LIMIT $1) f
		UNION ALL SELECT 'skipped', count(*) FROM (SELECT FROM mails WHERE status = 'skipped' LIMIT $1) f
		UNION ALL SELECT 'sent', count(*) FROM (SELECT FROM mails WHERE status = 'sent' LIMIT $1) f`, pg.CountLimit)
}

// getMail reads one mail. It returns ErrMailNotFound.
func getMail(ctx context.Context, db pg.Querier, id uuid.UUID) (*Mail, error) {
	rows, err := db.Query(ctx, `SELECT `+mailColumns+` FROM mails WHERE id = $1`, id)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	m, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Mail])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrMailNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return m, nil
}

// deleteMails deletes at most limit mails that have ended and were made before a time, the oldest first, and tells how
// many. Ids begin with the time.
func deleteMails(ctx context.Context, db pg.Querier, before time.Time, limit int) (int, error) {
	tag, err := db.Exec(ctx, `
		DELETE FROM mails WHERE id IN (SELECT id FROM mails WHERE id < $1 AND status <> 'queued' ORDER BY id LIMIT $2)`,
		firstID(before), limit)
	if err != nil {
		return 0, fmt.Errorf("delete mails: %w", err)
	}
	return int(tag.RowsAffected()), nil
}

// firstID is below every UUIDv7 that is made from t on, by the millisecond.
func firstID(t time.Time) (id uuid.UUID) {
	ms := t.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id
}
