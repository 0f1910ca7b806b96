package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/text"
)

type store struct{ db *pgxpool.Pool }

// ensure makes the profile unless there is one. problem.ErrUnauthenticated when
// the account is gone.
func (s store) ensure(ctx context.Context, p stamped) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if err := pg.OneByOne(ctx, tx, p.AccountID.String()); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO profiles (account_id, email, first_name, last_name) SELECT $1, $2, $3, $4
			WHERE `+notRemoved+`
			ON CONFLICT (account_id) DO UPDATE SET account_id = excluded.account_id`, p.AccountID, p.Email, p.FirstName, p.LastName)
		if err != nil {
			return fmt.Errorf("ensure profile: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return problem.ErrUnauthenticated.Detail("The account is gone")
		}
		return nil
	})
}

// register makes the profile, or takes over the e-mail address when the news
// is newer. Names that the shopper has changed since stay.
func register(ctx context.Context, tx pgx.Tx, p stamped) error {
	if err := pg.OneByOne(ctx, tx, p.AccountID.String()); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO profiles (account_id, email, first_name, last_name, told_at, created_at) SELECT $1, $2, $3, $4, $5, $5
		WHERE `+notRemoved+`
		ON CONFLICT (account_id) DO UPDATE SET
			created_at = least(profiles.created_at, excluded.created_at),
			email = CASE WHEN profiles.told_at > excluded.told_at THEN profiles.email ELSE excluded.email END,
			told_at = GREATEST(profiles.told_at, excluded.told_at),
			first_name = CASE WHEN profiles.first_name = '' THEN excluded.first_name ELSE profiles.first_name END,
			last_name = CASE WHEN profiles.last_name = '' THEN excluded.last_name ELSE profiles.last_name END
		WHERE profiles.told_at IS NULL OR profiles.told_at < excluded.told_at OR profiles.last_name = ''`,
		p.AccountID, p.Email, p.FirstName, p.LastName, p.At)
	if err != nil {
		return fmt.Errorf("register profile: %w", err)
	}
	return nil
}

// importProfile gives a profile the telephone number and the address of a file, unless it has some.
func importProfile(ctx context.Context, tx pgx.Tx, e events.AccountImported) error {
	_, err := tx.Exec(ctx, `UPDATE profiles SET phone = NULLIF($2, '') WHERE account_id = $1 AND phone IS NULL`, e.AccountID, e.Phone)
	if err != nil || e.Address == nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	a := e.Address
	_, err = tx.Exec(ctx, `
		INSERT INTO addresses (id, account_id, name, line1, line2, city, region, postal_code, country, phone, created_at)
		SELECT @id, account_id, @name, @line1, @line2, @city, @region, @postal_code, @country, @phone, @at FROM profiles
		WHERE account_id = @account AND NOT EXISTS (SELECT FROM addresses WHERE account_id = @account)`, pgx.StrictNamedArgs{
		"account": e.AccountID, "id": id, "name": a.Name, "line1": a.Line1, "line2": a.Line2, "city": a.City, "region": a.Region,
		"postal_code": a.PostalCode, "country": a.Country, "phone": a.Phone, "at": e.At,
	})
	if err != nil {
		return fmt.Errorf("import profile: %w", err)
	}
	return nil
}

// setSuspended notes whether an account is suspended, unless something later is known.
func setSuspended(ctx context.Context, tx pgx.Tx, account uuid.UUID, email string, suspended bool, at time.Time) error {
	if err := pg.OneByOne(ctx, tx, account.String()); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO profiles (account_id, email, suspended, standing_at) SELECT $1, $2, $3, $4
		WHERE `+notRemoved+`
		ON CONFLICT (account_id) DO UPDATE SET suspended = excluded.suspended, standing_at = excluded.standing_at
		WHERE profiles.standing_at IS NULL OR profiles.standing_at < excluded.standing_at`, account, email, suspended, at)
	if err != nil {
		return fmt.Errorf("standing: %w", err)
	}
	return nil
}

// notRemoved holds for the account $1 unless it is gone for good.
const notRemoved = `NOT EXISTS (SELECT FROM removed_accounts WHERE account_id = $1)`

// remove deletes an account's profile and addresses, for good.
func remove(ctx context.Context, tx pgx.Tx, account uuid.UUID, at time.Time) error {
	if err := pg.OneByOne(ctx, tx, account.String()); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO removed_accounts (account_id, removed_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, account, at)
	if err == nil {
		_, err = tx.Exec(ctx, `DELETE FROM profiles WHERE account_id = $1`, account)
	}
	if err != nil {
		return fmt.Errorf("remove profile: %w", err)
	}
	return nil
}

// status is what events have told about an account. One that is known by its token alone was active to get that.
const status = `CASE WHEN suspended THEN 'suspended' WHEN standing_at IS NULL AND told_at IS NOT NULL THEN 'pending' ELSE 'active' END`

func (s store) profile(ctx context.Context, account uuid.UUID) (Profile, error) {
	p := Profile{AccountID: account, Addresses: []BookAddress{}}
	err := s.db.QueryRow(ctx, `SELECT email, first_name, last_name, phone, `+status+` FROM profiles WHERE account_id = $1`, account).
		Scan(&p.Email, &p.FirstName, &p.LastName, &p.Phone, &p.Status)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, problem.ErrNotFound
	}
	if err != nil {
		return p, fmt.Errorf("read profile: %w", err)
	}
	rows, err := s.db.Query(ctx, selectAddress+` WHERE account_id = $1 ORDER BY id`, account)
	if err != nil {
		return p, fmt.Errorf("read addresses: %w", err)
	}
	if p.Addresses, err = pgx.CollectRows(rows, pgx.RowToStructByName[BookAddress]); err != nil {
		return p, fmt.Errorf("read addresses: %w", err)
	}
	return p, nil
}

type profileChange struct {
	FirstName, LastName *string
	SetPhone            bool
	Phone               *string
}

func (s store) change(ctx context.Context, account uuid.UUID, c profileChange, now time.Time) error {
	_, err := s.db.Exec(ctx, `
		UPDATE profiles SET first_name = COALESCE($2, first_name), last_name = COALESCE($3, last_name),
			phone = CASE WHEN $4 THEN $5 ELSE phone END, changed_at = $6
		WHERE account_id = $1`, account, c.FirstName, c.LastName, c.SetPhone, c.Phone, now)
	if err != nil {
		return fmt.Errorf("change profile: %w", err)
	}
	return nil
}

const selectAddress = `SELECT id, name, line1, line2, city, region, postal_code, country, phone FROM addresses`

func (s store) address(ctx context.Context, account, id uuid.UUID) (BookAddress, error) {
	rows, err := s.db.Query(ctx, selectAddress+` WHERE account_id = $1 AND id = $2`, account, id)
	if err != nil {
		return BookAddress{}, fmt.Errorf("read address: %w", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[BookAddress])
	if errors.Is(err, pgx.ErrNoRows) {
		return a, ErrAddressNotFound
	}
	if err != nil {
		return a, fmt.Errorf("read address: %w", err)
	}
	return a, nil
}

// addAddress adds to the book unless it is full; the profile's row is locked so
// that two requests cannot both take the last place.
func (s store) addAddress(ctx context.Context, account uuid.UUID, a BookAddress, now time.Time) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT 1 FROM profiles WHERE account_id = $1 FOR UPDATE`, account); err != nil {
			return fmt.Errorf("add address: %w", err)
		}
		var n int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM addresses WHERE account_id = $1`, account).Scan(&n); err != nil {
			return fmt.Errorf("add address: %w", err)
		}
		if n >= maxAddresses {
			return ErrAddressBookFull.Detail("at most %d addresses", maxAddresses)
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO addresses (id, account_id, name, line1, line2, city, region, postal_code, country, phone, created_at)
			VALUES (@id, @account_id, @name, @line1, @line2, @city, @region, @postal_code, @country, @phone, @created_at)`,
			pgx.StrictNamedArgs{
				"id": a.ID, "account_id": account, "name": a.Name, "line1": a.Line1, "line2": a.Line2,
				"city": a.City, "region": a.Region, "postal_code": a.PostalCode, "country": a.Country,
				"phone": a.Phone, "created_at": now,
			})
		if err != nil {
			return fmt.Errorf("add address: %w", err)
		}
		return nil
	})
}

func (s store) putAddress(ctx context.Context, account uuid.UUID, a BookAddress) error {
	tag, err := s.db.Exec(ctx, `
		UPDATE addresses SET name = @name, line1 = @line1, line2 = @line2, city = @city, region = @region,
			postal_code = @postal_code, country = @country, phone = @phone
		WHERE account_id = @account_id AND id = @id`, pgx.StrictNamedArgs{
		"account_id": account, "id": a.ID, "name": a.Name, "line1": a.Line1, "line2": a.Line2,
		"city": a.City, "region": a.Region, "postal_code": a.PostalCode, "country": a.Country,
		"phone": a.Phone,
	})
	if err != nil {
		return fmt.Errorf("replace address: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrAddressNotFound
	}
	return nil
}

func (s store) deleteAddress(ctx context.Context, account, id uuid.UUID) error {
	tag, err := s.db.Exec(ctx, `DELETE FROM addresses WHERE account_id = $1 AND id = $2`, account, id)
	if err != nil {
		return fmt.Errorf("remove address: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrAddressNotFound
	}
	return nil
}

// listed is a row of the list of shoppers.
type listed struct {
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"`
	FirstName string    `json:"first_name"`
	LastName  string    `json:"last_name"`
	Phone     *string   `json:"phone"`
	Status    string    `json:"status" enum:"pending,active,suspended" doc:"pending: the e-mail address is not verified yet"`
	CreatedAt time.Time `json:"created_at" doc:"When it registered"`
}

// filter narrows the list of shoppers; empty members do not.
type filter struct {
	Email  string // how the address begins
	Query  string // what the address or the name holds
	Status string
}

var lists = keyset.List{ID: "account_id", Sorts: map[string]string{
	"email": "email", "-email": "email DESC", "newest": "created_at DESC", "oldest": "created_at",
	"name": "lower(last_name || ' ' || first_name)", "-name": "lower(last_name || ' ' || first_name) DESC",
}}

// statuses are the accounts of each status, as indexes have them.
var statuses = map[string]string{
	"suspended": `suspended`,
	"pending":   `NOT suspended AND standing_at IS NULL AND told_at IS NOT NULL`,
	"active":    `NOT suspended AND (standing_at IS NOT NULL OR told_at IS NULL)`,
}

// list reads a page of the shoppers that fit a filter, and the cursor of the next one.
func (s store) list(ctx context.Context, f filter, sort string, page rest.Page) ([]listed, *string, error) {
	query, _ := text.Line(f.Query)
	return keyset.Read[listed](ctx, s.db, lists, sort, page, `
		SELECT account_id, email, first_name, last_name, phone, `+status+` AS status, created_at FROM profiles
		WHERE ($1 = '' OR email LIKE $2)
			AND ($3 = '' OR folded(email || ' ' || first_name || ' ' || last_name)
				LIKE '%' || regexp_replace(folded($3), '([\\%_])', '\\\1', 'g') || '%')
			AND (`+cmp.Or(statuses[f.Status], "true")+`)`,
		f.Email, pg.Begins(strings.ToLower(f.Email)), query)
}
