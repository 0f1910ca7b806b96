package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

const arrivalColumns = `id, email, first_name, last_name, phone, address, invite, account_id, tries, noted_at`

// noteArrivals notes those of a batch who neither have an account nor are noted already, and tells who they are, by address.
// No address is in it twice.
func (s store) noteArrivals(ctx context.Context, batch []Arrival, now time.Time) (map[string]bool, error) {
	rows, err := s.db.Query(ctx, `
		INSERT INTO arrivals (id, email, first_name, last_name, phone, address, invite, noted_at, next_try_at)
		SELECT id, email, first_name, last_name, phone, NULLIF(address, 'null'), invite, @now::timestamptz, @now
		FROM unnest(@ids::uuid[], @emails::text[], @first_names::text[], @last_names::text[], @phones::text[], @addresses::jsonb[],
			@invites::boolean[]) AS f (id, email, first_name, last_name, phone, address, invite)
		WHERE NOT EXISTS (SELECT FROM accounts WHERE accounts.email = f.email)
		ORDER BY email
		ON CONFLICT (email) DO NOTHING RETURNING email`, pgx.StrictNamedArgs{
		"now":         now,
		"ids":         pg.Column(batch, func(a Arrival) uuid.UUID { return a.ID }),
		"emails":      pg.Column(batch, func(a Arrival) string { return a.Email }),
		"first_names": pg.Column(batch, func(a Arrival) string { return a.FirstName }),
		"last_names":  pg.Column(batch, func(a Arrival) string { return a.LastName }),
		"phones":      pg.Column(batch, func(a Arrival) string { return a.Phone }),
		"addresses":   pg.Column(batch, func(a Arrival) any { return a.Address }),
		"invites":     pg.Column(batch, func(a Arrival) bool { return a.Invite }),
	})
	if err != nil {
		return nil, fmt.Errorf("note arrivals: %w", err)
	}
	emails, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("note arrivals: %w", err)
	}
	fresh := map[string]bool{}
	for _, email := range emails {
		fresh[email] = true
	}
	return fresh, nil
}

// claimArrivals leases arrivals that are due.
func (s store) claimArrivals(ctx context.Context, now time.Time, limit int) ([]Arrival, error) {
	rows, err := s.db.Query(ctx, `
		UPDATE arrivals SET next_try_at = $2, tries = tries + 1
		WHERE id IN (SELECT id FROM arrivals WHERE next_try_at <= $1 ORDER BY next_try_at LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING `+arrivalColumns, now, now.Add(time.Duration(limit)*lease), limit)
	if err != nil {
		return nil, fmt.Errorf("claim arrivals: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Arrival])
}

// putOff says when an arrival that could not be made is tried again, nil for never, and why it could not be made; cause may
// be empty.
func (s store) putOff(ctx context.Context, a Arrival, next *time.Time, cause string) error {
	_, err := s.db.Exec(ctx, `UPDATE arrivals SET next_try_at = $2, error = $3 WHERE id = $1`, a.ID, next, cause)
	if err != nil {
		return fmt.Errorf("put arrival off: %w", err)
	}
	return nil
}

// dropArrival deletes an arrival that comes too late: the address is somebody's.
func (s store) dropArrival(ctx context.Context, a Arrival) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM arrivals WHERE id = $1`, a.ID); err != nil {
		return fmt.Errorf("drop arrival: %w", err)
	}
	return nil
}

// arrived notes that an account has been told of an arrival; false when it had been. What is left to do is to wait until the
// address is proved.
func arrived(ctx context.Context, tx pgx.Tx, a Arrival, account uuid.UUID) (bool, error) {
	tag, err := tx.Exec(ctx, `
		UPDATE arrivals SET account_id = $2, invite = false, next_try_at = NULL, tries = 0, error = ''
		WHERE id = $1 AND account_id IS DISTINCT FROM $2`, a.ID, account)
	if err != nil {
		return false, fmt.Errorf("arrived: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// takeArrival deletes what a file had of an address that was proved, and returns it; nil when there is nothing.
func takeArrival(ctx context.Context, tx pgx.Tx, email string) (*Arrival, error) {
	rows, err := tx.Query(ctx, `DELETE FROM arrivals WHERE email = $1 RETURNING `+arrivalColumns, email)
	if err != nil {
		return nil, fmt.Errorf("take arrival: %w", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Arrival])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // most have none
	}
	if err != nil {
		return nil, fmt.Errorf("take arrival: %w", err)
	}
	return a, nil
}

// waiting is who has no account yet.
type waiting struct {
	Waiting int       `json:"waiting" doc:"Customers of files who get their account in the background, counted up to 10,000"`
	Failed  []failure `json:"failed" nullable:"false" doc:"Some of those for whom that fails"`
}

// failure is why somebody has no account.
type failure struct {
	Email string `json:"email"`
	Error string `json:"error"`
	Again bool   `json:"again" doc:"It is tried again"`
}

// arrivals counts who waits for an account, and reads some of those whose last try has failed.
func (s store) arrivals(ctx context.Context) (waiting, error) {
	out := waiting{Failed: []failure{}}
	err := s.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM arrivals WHERE next_try_at IS NOT NULL LIMIT $1) w`, pg.CountLimit).
		Scan(&out.Waiting)
	if err != nil {
		return out, fmt.Errorf("count arrivals: %w", err)
	}
	rows, err := s.db.Query(ctx, `
		SELECT email, error, next_try_at IS NOT NULL AS again FROM arrivals WHERE error <> '' ORDER BY next_try_at DESC LIMIT 20`)
	if err != nil {
		return out, fmt.Errorf("failed arrivals: %w", err)
	}
	if out.Failed, err = pgx.CollectRows(rows, pgx.RowToStructByName[failure]); err != nil {
		return out, fmt.Errorf("failed arrivals: %w", err)
	}
	return out, nil
}
