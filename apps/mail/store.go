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

// store is the database of mails.
type store struct{ db *pgxpool.Pool }

// workChannel wakes the senders of every instance.
const workChannel = "mail_work"

const mailColumns = `id, kind, about, topic, event_id, order_id, account_id, sender, recipient, subject, data, status, error, tries, cut_off,
	next_try_at, leased_until, expires_at, again_of, created_at, sent_at`

// loggedKinds lists the kinds of mails about an order that are in the log.
func loggedKinds(ctx context.Context, db pg.Querier, order uuid.UUID) ([]Kind, error) {
	rows, err := db.Query(ctx, `SELECT DISTINCT kind FROM mails WHERE order_id = $1`, order)
	if err != nil {
		return nil, fmt.Errorf("logged kinds: %w", err)
	}
	kinds, err := pgx.CollectRows(rows, pgx.RowTo[Kind])
	if err != nil {
		return nil, fmt.Errorf("logged kinds: %w", err)
	}
	return kinds, nil
}

// newerCode reports whether the log has a code of that kind for the account that ends later.
func newerCode(ctx context.Context, db pg.Querier, m *Mail) (bool, error) {
	var newer bool
	err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM mails WHERE account_id = $1 AND kind = $2 AND expires_at > $3)`,
		m.AccountID, m.Kind, m.ExpiresAt).Scan(&newer)
	if err != nil {
		return false, fmt.Errorf("newer code: %w", err)
	}
	return newer, nil
}

// insertMail logs a mail, unless the one that it is the only one about is logged already, and reports whether it did.
// Senders are woken once tx is committed.
func insertMail(ctx context.Context, tx pgx.Tx, m *Mail) (bool, error) {
	tag, err := tx.Exec(ctx, `
		INSERT INTO mails (id, kind, about, topic, event_id, order_id, account_id, sender, recipient, subject, data, status, error,
			next_try_at, expires_at, again_of, created_at)
		VALUES (@id, @kind, @about, @topic, @event_id, @order_id, @account_id, @sender, @recipient, @subject, @data,
			@status, @error, @next_try_at, @expires_at, @again_of, @created_at)
		ON CONFLICT (about) DO NOTHING`, pgx.StrictNamedArgs{
		"id": m.ID, "kind": m.Kind, "about": m.About, "topic": m.Topic, "event_id": m.EventID,
		"order_id": m.OrderID, "account_id": m.AccountID, "sender": m.Sender, "recipient": m.Recipient,
		"subject": m.Subject, "data": m.Data, "status": m.Status, "error": m.Error,
		"next_try_at": m.NextTryAt, "expires_at": m.ExpiresAt, "again_of": m.AgainOf,
		"created_at": m.CreatedAt,
	})
	if err != nil {
		return false, fmt.Errorf("insert mail: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	if _, err := tx.Exec(ctx, `SELECT pg_notify($1, '')`, workChannel); err != nil {
		return false, fmt.Errorf("wake senders: %w", err)
	}
	return true, nil
}

// claimMail leases the next mail that is due, codes first, or a code alone; nil when there is none. A lease that ran
// out is a try whose end nobody saw.
func claimMail(ctx context.Context, db pg.Querier, codesOnly bool, now time.Time) (*Mail, error) {
	m, err := claimOf(ctx, db, "expires_at IS NOT NULL", now)
	if err != nil || m != nil || codesOnly {
		return m, err
	}
	return claimOf(ctx, db, "expires_at IS NULL", now)
}

// claimOf claims of the mails of which which is true, as an index has it.
func claimOf(ctx context.Context, db pg.Querier, which string, now time.Time) (*Mail, error) {
	rows, err := db.Query(ctx, `
		UPDATE mails SET tries = tries + 1, cut_off = cut_off + (leased_until IS NOT NULL)::int, leased_until = $2
		WHERE id = (
			SELECT id FROM mails
			WHERE status = 'queued' AND `+which+` AND next_try_at <= $1 AND (leased_until IS NULL OR leased_until <= $1)
			ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING `+mailColumns, now, now.Add(lease))
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	m, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Mail])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return m, nil
}

// noteTry saves what became of a claimed mail, unless another sender has claimed it since.
func noteTry(ctx context.Context, db pg.Querier, m *Mail) error {
	_, err := db.Exec(ctx, `
		UPDATE mails SET status = @status, error = @error, data = @data, next_try_at = @next_try_at,
			leased_until = @leased_until, sent_at = @sent_at, cut_off = @cut_off
		WHERE id = @id AND tries = @tries`, pgx.StrictNamedArgs{
		"id": m.ID, "tries": m.Tries, "status": m.Status, "error": m.Error, "data": m.Data,
		"next_try_at": m.NextTryAt, "leased_until": m.LeasedUntil, "sent_at": m.SentAt, "cut_off": m.CutOff,
	})
	if err != nil {
		return fmt.Errorf("note try: %w", err)
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
			tries, cut_off, next_try_at, leased_until, expires_at, again_of, created_at, sent_at
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
