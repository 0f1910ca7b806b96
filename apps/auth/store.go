package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
)

// store holds every SQL statement of the service. Methods with a tx are part of their caller's transaction.
type store struct{ db *pgxpool.Pool }

const accountColumns = `id, account_id, email, first_name, last_name, status, created_at, verified_at, activated_at,
	lease_until, sessions_end_at, keep_session, failures_from, role_due, suspended_at, suspend_reason, email_due, imported_at`

// one reads one account; ErrAccountNotFound when there is none.
func one(ctx context.Context, q pg.Querier, where string, args ...any) (Account, error) {
	rows, err := q.Query(ctx, `SELECT `+accountColumns+` FROM accounts WHERE `+where, args...)
	if err != nil {
		return Account{}, fmt.Errorf("read account: %w", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Account])
	if errors.Is(err, pgx.ErrNoRows) {
		return Account{}, ErrAccountNotFound
	}
	if err != nil {
		return Account{}, fmt.Errorf("read account: %w", err)
	}
	return a, nil
}

func (s store) byAccountID(ctx context.Context, accountID uuid.UUID) (Account, error) {
	return one(ctx, s.db, `account_id = $1`, accountID)
}

func (s store) byEmail(ctx context.Context, email string) (Account, error) {
	return one(ctx, s.db, `email = $1`, email)
}

// owners reads which of some addresses are proved to be somebody's, and whose.
func (s store) owners(ctx context.Context, emails []string) ([]owner, error) {
	rows, err := s.db.Query(ctx, `
		SELECT email, account_id FROM accounts WHERE email = ANY ($1) AND status IN ('active', 'suspended')`, emails)
	if err != nil {
		return nil, fmt.Errorf("owners: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[owner])
}

func save(ctx context.Context, tx pgx.Tx, a Account) error {
	_, err := tx.Exec(ctx, `
		UPDATE accounts SET account_id = @account_id, email = @email, email_due = @email_due, first_name = @first_name,
			last_name = @last_name, status = @status, verified_at = @verified_at, activated_at = @activated_at,
		       lease_until = @lease_until, sessions_end_at = @sessions_end_at, keep_session = @keep_session,
			failures_from = @failures_from,
		       role_due = @role_due, suspended_at = @suspended_at, suspend_reason = @suspend_reason, imported_at = @imported_at
		WHERE id = @id`, pgx.StrictNamedArgs{
		"id": a.ID, "account_id": a.AccountID, "email": a.Email, "email_due": a.EmailDue,
		"first_name": a.FirstName, "last_name": a.LastName, "status": a.Status, "verified_at": a.VerifiedAt, "activated_at": a.ActivatedAt,
		"lease_until": a.LeaseUntil, "sessions_end_at": a.SessionsEndAt, "keep_session": a.KeepSession,
		"failures_from": a.FailuresFrom, "role_due": a.RoleDue, "suspended_at": a.SuspendedAt,
		"suspend_reason": a.SuspendReason, "imported_at": a.ImportedAt,
	})
	if err != nil {
		return fmt.Errorf("save account: %w", err)
	}
	return nil
}

// begin writes the row of a new account, or lets the registration take over what another left half-made.
// ErrEmailTaken when the address has an account, errAtWork when one is being made or removed.
func (s store) begin(ctx context.Context, a Account, now time.Time) (Account, error) {
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO accounts (id, email, first_name, last_name, status, created_at, lease_until, imported_at)
			VALUES (@id, @email, @first_name, @last_name, @status, @created_at,
				@lease_until, @imported_at) ON CONFLICT ON CONSTRAINT accounts_email DO NOTHING`, pgx.StrictNamedArgs{
			"id": a.ID, "email": a.Email, "first_name": a.FirstName, "last_name": a.LastName, "status": a.Status,
			"created_at": a.CreatedAt, "lease_until": a.LeaseUntil, "imported_at": a.ImportedAt,
		})
		if err != nil {
			return fmt.Errorf("begin account: %w", err)
		}
		if tag.RowsAffected() == 1 {
			return nil
		}
		there, err := one(ctx, tx, `email = $1 FOR UPDATE`, a.Email)
		if errors.Is(err, ErrAccountNotFound) {
			return atWork() // it was being given up just now
		}
		if err != nil {
			return err
		}
		if err := there.TakeOver(a.FirstName, a.LastName, a.ImportedAt, now); err != nil {
			return err
		}
		a = there
		return save(ctx, tx, a)
	})
	return a, err
}

// end begins the end of the pending account that an address has, if it has one; client is the network address that
// registers it anew. That sends a code, so it counts as a request for one: wait is how long to wait when that was too often.
// Errors: those of Account.End.
func (s store) end(ctx context.Context, email, client string, l Limits, now time.Time) (a Account, wait time.Duration, err error) {
	return s.endIf(ctx, email, now, func(tx pgx.Tx) (time.Duration, error) {
		wait, err := codesWait(ctx, tx, VerifyEmail, email, client, l, now)
		if err != nil || wait > 0 {
			return wait, err
		}
		return 0, putRequest(ctx, tx, VerifyEmail, email, client, now, &now)
	})
}

// endIf begins the end of the pending account that an address has, if it has one and allowed, which may be nil, finds no
// reason to wait.
func (s store) endIf(
	ctx context.Context, email string, now time.Time, allowed func(tx pgx.Tx) (time.Duration, error),
) (a Account, wait time.Duration, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if err := pg.OneByOne(ctx, tx, email); err != nil {
			return err
		}
		there, err := one(ctx, tx, `email = $1 AND status <> $2 FOR UPDATE`, email, Creating)
		if errors.Is(err, ErrAccountNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := there.End(now); err != nil {
			return err
		}
		if allowed != nil {
			if wait, err = allowed(tx); err != nil || wait > 0 {
				return err
			}
		}
		a = there
		return save(ctx, tx, a)
	})
	return a, wait, err
}

// endOverdue begins the end of accounts that are pending for too long and have no code that is still good, for the sweep: at
// most so many that were registered before a time, and as many that a file brought before another.
func (s store) endOverdue(ctx context.Context, registered, imported, now time.Time, limit int) error {
	for _, overdue := range []struct {
		of, since string
		before    time.Time
	}{
		{"imported_at IS NULL", "created_at", registered},
		{"imported_at IS NOT NULL", "imported_at", imported},
	} {
		_, err := s.db.Exec(ctx, `
			UPDATE accounts SET status = 'ending', lease_until = $2
			WHERE id IN (
				SELECT id FROM accounts
				WHERE status = 'pending' AND verified_at IS NULL AND `+overdue.of+` AND `+overdue.since+` < $1 AND lease_until <= $2
				  AND NOT EXISTS (SELECT FROM codes WHERE account = accounts.id AND expires_at > $2 AND used_at IS NULL)
				ORDER BY `+overdue.since+` LIMIT $3 FOR UPDATE SKIP LOCKED)`, overdue.before, now, limit)
		if err != nil {
			return fmt.Errorf("end overdue accounts: %w", err)
		}
	}
	return nil
}

// remove deletes an account that is ending, once Keycloak has no user of it any more, with all that tells of it, and what fn
// writes beside it. It may be repeated. What limits how often an address is tried stays unless its owner was known.
func (s store) remove(ctx context.Context, a Account, now time.Time, fn func(tx pgx.Tx) error) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		a, err := one(ctx, tx, `id = $1 AND status = $2 FOR UPDATE`, a.ID, Ending)
		if errors.Is(err, ErrAccountNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := forget.Note(ctx, tx, *a.AccountID); err != nil {
			return err
		}
		if err := deletePageLogins(ctx, tx, []uuid.UUID{*a.AccountID}); err != nil {
			return err
		}
		b := &pgx.Batch{}
		b.Queue(`DELETE FROM outbox WHERE data ->> 'account_id' = $1`, a.AccountID.String())
		if a.ActivatedAt != nil {
			b.Queue(`DELETE FROM logins WHERE account = $1`, a.ID)
			b.Queue(`DELETE FROM logins WHERE email = $1 AND outcome IN ('trying', 'failed')`, a.Email)
			b.Queue(`DELETE FROM code_requests WHERE email = $2 OR email IN (SELECT email FROM codes WHERE account = $1)`, a.ID, a.Email)
			b.Queue(`DELETE FROM arrivals WHERE email = $1`, a.Email)
		} else { // whoever registered it has proved nothing: the account that a file had brought is made again
			b.Queue(`UPDATE arrivals SET next_try_at = $2 WHERE email = $1 AND noted_at > $3`,
				a.Email, now.Add(untilFree), now.Add(-arrivalLife))
		}
		b.Queue(`DELETE FROM accounts WHERE id = $1`, a.ID)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return fmt.Errorf("remove account: %w", err)
		}
		return fn(tx)
	})
}

// update changes one account under its row lock, and what fn writes beside it, in one transaction. Nothing
// is written when fn returns false.
func (s store) update(ctx context.Context, id uuid.UUID, fn func(tx pgx.Tx, a *Account) (bool, error)) (Account, error) {
	var a Account
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var err error
		if a, err = one(ctx, tx, `id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		changed, err := fn(tx, &a)
		if err != nil || !changed {
			return err
		}
		return save(ctx, tx, a)
	})
	return a, err
}

// forget deletes an account for which Keycloak has no user, unless somebody else has taken it since.
func (s store) forget(ctx context.Context, a Account) error {
	_, err := s.db.Exec(ctx, `DELETE FROM accounts WHERE id = $1 AND status = $2 AND lease_until = $3`, a.ID, Creating, a.LeaseUntil)
	if err != nil {
		return fmt.Errorf("forget account: %w", err)
	}
	return nil
}

// release ends a lease, so that the next request or the sweep can go on at once.
func (s store) release(ctx context.Context, a Account, now time.Time) error {
	_, err := s.db.Exec(ctx, `UPDATE accounts SET lease_until = $3 WHERE id = $1 AND lease_until = $2`, a.ID, a.LeaseUntil, now)
	if err != nil {
		return fmt.Errorf("release account: %w", err)
	}
	return nil
}

// halfMade leases accounts on which something was begun and not ended, for the sweep.
func (s store) halfMade(ctx context.Context, now time.Time, limit int) ([]Account, error) {
	rows, err := s.db.Query(ctx, `
		UPDATE accounts SET lease_until = $2
		WHERE id IN (
			SELECT id FROM accounts
			WHERE (status IN ('creating', 'ending') OR (status = 'pending' AND verified_at IS NOT NULL)
			       OR sessions_end_at IS NOT NULL OR role_due <> '' OR email_due <> '')
			  AND lease_until <= $1
			ORDER BY lease_until LIMIT $3 FOR UPDATE SKIP LOCKED)
		RETURNING `+accountColumns, now, now.Add(lease), limit)
	if err != nil {
		return nil, fmt.Errorf("half-made accounts: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Account])
}

// sessionsEnded notes that Keycloak has ended the sessions that were to end since due.
func (s store) sessionsEnded(ctx context.Context, id uuid.UUID, due time.Time) error {
	_, err := s.db.Exec(ctx, `
		UPDATE accounts SET sessions_end_at = NULL, keep_session = '' WHERE id = $1 AND sessions_end_at = $2`, id, due)
	if err != nil {
		return fmt.Errorf("sessions ended: %w", err)
	}
	return nil
}

// putCode keeps the hash of a new code in place of the one before; email is the new address that it is about, or empty.
func putCode(ctx context.Context, tx pgx.Tx, account uuid.UUID, p Purpose, email string, hash []byte, expires time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO codes (account, purpose, email, hash, expires_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account, purpose) DO UPDATE
		SET email = excluded.email, hash = excluded.hash, expires_at = excluded.expires_at, tries = 0, used_at = NULL`,
		account, p, email, hash, expires)
	if err != nil {
		return fmt.Errorf("put code: %w", err)
	}
	return nil
}

// tryCode counts one try and uses the code up when it is the right one, in one statement: two requests with
// the same code wait for each other, and the second finds it used.
func tryCode(ctx context.Context, tx pgx.Tx, account uuid.UUID, p Purpose, hashes [][]byte, now time.Time) (right bool, err error) {
	err = tx.QueryRow(ctx, `
		UPDATE codes SET tries = tries + 1, used_at = CASE WHEN hash = ANY($3) THEN $4::timestamptz END
		WHERE account = $1 AND purpose = $2 AND used_at IS NULL AND tries < $5 AND expires_at > $4
		RETURNING used_at IS NOT NULL`, account, p, hashes, now, maxTries).Scan(&right)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("try code: %w", err)
	}
	return right, nil
}

// useCode tries a code of the account with this address and, when it is the right one, changes the account
// with then. The try is counted either way. Not right: also when there is no such account. A change of the address that was
// asked for before is off: who uses a code of another purpose may have been told of it just now.
func (s store) useCode(
	ctx context.Context, email string, p Purpose, now time.Time, hashes func(Account) [][]byte, then func(*Account),
) (a Account, right bool, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		right = false
		a, err = one(ctx, tx, `email = $1 AND status = ANY($2) FOR UPDATE`, email, p.needs())
		if errors.Is(err, ErrAccountNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if right, err = tryCode(ctx, tx, a.ID, p, hashes(a), now); err != nil || !right {
			return err
		}
		if err := dropCode(ctx, tx, a.ID, ChangeEmail); err != nil {
			return err
		}
		then(&a)
		return save(ctx, tx, a)
	})
	return a, right, err
}

// dropCode forgets the code that an account has for a purpose.
func dropCode(ctx context.Context, tx pgx.Tx, account uuid.UUID, p Purpose) error {
	if _, err := tx.Exec(ctx, `DELETE FROM codes WHERE account = $1 AND purpose = $2`, account, p); err != nil {
		return fmt.Errorf("drop code: %w", err)
	}
	return nil
}

// giveBack makes a used code good again, because what it was used for could not be done. A newer code stays.
func (s store) giveBack(ctx context.Context, account uuid.UUID, p Purpose, hashes [][]byte) error {
	_, err := s.db.Exec(ctx, `
		UPDATE codes SET used_at = NULL, tries = tries - 1
		WHERE account = $1 AND purpose = $2 AND hash = ANY($3) AND used_at IS NOT NULL`, account, p, hashes)
	if err != nil {
		return fmt.Errorf("give code back: %w", err)
	}
	return nil
}

// requestCode notes that somebody asked for a code, and says how long to wait when that was too often.
func (s store) requestCode(ctx context.Context, p Purpose, email, address string, l Limits, now time.Time) (wait time.Duration, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if err := pg.OneByOne(ctx, tx, email); err != nil {
			return err
		}
		if wait, err = codesWait(ctx, tx, p, email, address, l, now); err != nil || wait > 0 {
			return err
		}
		return putRequest(ctx, tx, p, email, address, now, nil)
	})
	return wait, err
}

// codesWait is how long to wait when codes were asked for too often. The address is locked.
func codesWait(ctx context.Context, tx pgx.Tx, p Purpose, email, address string, l Limits, now time.Time) (time.Duration, error) {
	since := now.Add(-l.CodesWindow)
	byEmail, err := recent(ctx, tx, `
		SELECT requested_at AS at FROM code_requests WHERE email = $1 AND purpose = $2 AND requested_at > $3
		ORDER BY requested_at DESC LIMIT $4`, email, p, since, l.Codes)
	if err != nil {
		return 0, err
	}
	byAddress, err := recent(ctx, tx, `
		SELECT requested_at AS at FROM code_requests WHERE address = $1 AND address <> '' AND requested_at > $2
		ORDER BY requested_at DESC LIMIT $3`, address, since, l.CodesAddress)
	if err != nil {
		return 0, err
	}
	return max(byEmail.wait(l.Codes, l.CodesWindow, now), byAddress.wait(l.CodesAddress, l.CodesWindow, now)), nil
}

// putRequest notes a request for a code; done is when it was answered, nil when a worker has still to do that.
func putRequest(ctx context.Context, tx pgx.Tx, p Purpose, email, address string, now time.Time, done *time.Time) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO code_requests (id, purpose, email, address, requested_at, done_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		id, p, email, address, now, done)
	if err != nil {
		return fmt.Errorf("request code: %w", err)
	}
	return nil
}

// answerRequest takes the oldest request for a code and lets fn answer it when there is a fitting account.
// False when no request waits.
func (s store) answerRequest(ctx context.Context, now time.Time, fn func(tx pgx.Tx, a Account, p Purpose) error) (bool, error) {
	found := false
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var id uuid.UUID
		var p Purpose
		var email string
		err := tx.QueryRow(ctx, `
			SELECT id, purpose, email FROM code_requests WHERE done_at IS NULL
			ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED`).Scan(&id, &p, &email)
		if errors.Is(err, pgx.ErrNoRows) {
			found = false
			return nil
		}
		if err != nil {
			return fmt.Errorf("read code request: %w", err)
		}
		found = true
		if _, err := tx.Exec(ctx, `UPDATE code_requests SET done_at = $2 WHERE id = $1`, id, now); err != nil {
			return fmt.Errorf("answer code request: %w", err)
		}
		// The lock keeps the account's status as it is until the code is there.
		a, err := one(ctx, tx, `email = $1 AND status = ANY($2) FOR UPDATE`, email, p.needs())
		if errors.Is(err, ErrAccountNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(tx, a, p)
	})
	return found, err
}

// beginLogin notes that a password is about to be tried. Instead of an id it returns how long to wait when
// there were too many failures. Failures count from the last success or password reset on.
func (s store) beginLogin(ctx context.Context, email, address, agent string, l Limits, now time.Time) (id uuid.UUID, wait time.Duration, err error) {
	id, err = uuid.NewV7()
	if err != nil {
		return id, 0, err
	}
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if err := pg.OneByOne(ctx, tx, email); err != nil {
			return err
		}
		since, gone := now.Add(-l.LoginWindow), now.Add(-tryingTime)
		byEmail, err := recent(ctx, tx, `
			SELECT at FROM logins
			WHERE email = $1 AND (outcome = 'failed' OR outcome = 'trying' AND at <= $3)
			  AND at > GREATEST($2, (SELECT failures_from FROM accounts WHERE email = $1))
			ORDER BY at DESC LIMIT $4`, email, since, gone, l.LoginFailures)
		if err != nil {
			return err
		}
		byAddress, err := recent(ctx, tx, `
			SELECT at FROM logins
			WHERE address = $1 AND address <> '' AND (outcome = 'failed' OR outcome = 'trying' AND at <= $3) AND at > $2
			ORDER BY at DESC LIMIT $4`, address, since, gone, l.LoginFailuresAddress)
		if err != nil {
			return err
		}
		trying, err := recent(ctx, tx, `
			SELECT at FROM logins WHERE email = $1 AND outcome = 'trying' AND at > $2 LIMIT $3`, email, gone, maxTrying)
		if err != nil {
			return err
		}
		wait = max(byEmail.wait(l.LoginFailures, l.LoginWindow, now), byAddress.wait(l.LoginFailuresAddress, l.LoginWindow, now))
		if wait == 0 && trying.Count >= maxTrying {
			wait = time.Second
		}
		if wait > 0 {
			return nil
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO logins (id, account, email, address, user_agent, outcome, at)
			VALUES ($1, (SELECT id FROM accounts WHERE email = $2), $2, $3, $4, 'trying', $5)`,
			id, email, address, agent, now)
		if err != nil {
			return fmt.Errorf("begin login: %w", err)
		}
		return nil
	})
	return id, wait, err
}

// endLogin writes down how the login ended: success, failed or refused.
func (s store) endLogin(ctx context.Context, id uuid.UUID, outcome string, now time.Time) error {
	_, err := s.db.Exec(ctx, `
		WITH login AS (UPDATE logins SET outcome = $2 WHERE id = $1 RETURNING account)
		UPDATE accounts SET failures_from = $3 FROM login WHERE accounts.id = login.account AND $2 = 'success'`,
		id, outcome, now)
	if err != nil {
		return fmt.Errorf("end login: %w", err)
	}
	return nil
}

// dropLogin forgets a try that was none, because Keycloak did not answer or nobody logged in.
func (s store) dropLogin(ctx context.Context, id uuid.UUID) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM logins WHERE id = $1`, id); err != nil {
		return fmt.Errorf("drop login: %w", err)
	}
	return nil
}

// login is one line of the history.
type login struct {
	ID        uuid.UUID
	At        time.Time
	Address   string
	UserAgent string
	Outcome   string
	Through   string // api or page
}

// Ids of logins sort by time.
var loginLists = keyset.List{ID: "id", Sorts: map[string]string{"newest": "id DESC", "oldest": "id"}}

// logins reads a page of the history of a public account id, all or of one outcome, and the cursor of the next one.
// A login that is under way is not in it yet.
func (s store) logins(ctx context.Context, accountID uuid.UUID, outcome, sort string, page rest.Page, now time.Time) ([]login, *string, error) {
	return keyset.Read[login](ctx, s.db, loginLists, sort, page, `
		SELECT id, at, address, user_agent, outcome, through FROM (
			SELECT id, at, address, user_agent, CASE WHEN outcome = 'success' THEN 'success' ELSE 'failed' END AS outcome, 'api' AS through
			FROM logins WHERE account = (SELECT id FROM accounts WHERE account_id = $1) AND (outcome <> 'trying' OR at <= $2)
			UNION ALL
			SELECT id, at, address, '', outcome, 'page' FROM page_logins WHERE account_id = $1
		) h WHERE $3::text = '' OR outcome = $3`, accountID, now.Add(-tryingTime), outcome)
}

// lastPageLogin is when an account, or anybody, last tried to log in on Keycloak's page, as far as that is kept; the zero time
// in 1970 when it is not.
func (s store) lastPageLogin(ctx context.Context, account uuid.NullUUID) (at time.Time, err error) {
	sql, args := `SELECT COALESCE(max(at), 'epoch') FROM page_logins`, []any{}
	if account.Valid {
		sql, args = sql+` WHERE account_id = $1`, []any{account.UUID}
	}
	err = s.db.QueryRow(ctx, sql, args...).Scan(&at)
	if err != nil {
		return at, fmt.Errorf("last page login: %w", err)
	}
	return at, nil
}

// keepPageLogins keeps attempts on Keycloak's page, each once, but none of an account that is gone.
func (s store) keepPageLogins(ctx context.Context, found []pageLogin) error {
	b := &pgx.Batch{}
	for _, l := range found {
		b.Queue(`
			INSERT INTO page_logins (id, account_id, address, outcome, at) SELECT $1, $2, $3, $4, $5
			WHERE NOT `+forget.Noted("$2::uuid")+`
			ON CONFLICT (id) DO NOTHING`, l.ID, l.account, l.Address, l.Outcome, l.At)
	}
	if err := s.db.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("keep page logins: %w", err)
	}
	return nil
}

// deletePageLogins deletes the attempts of accounts on Keycloak's page.
func deletePageLogins(ctx context.Context, tx pgx.Tx, accounts []uuid.UUID) error {
	if _, err := tx.Exec(ctx, `DELETE FROM page_logins WHERE account_id = ANY ($1)`, accounts); err != nil {
		return fmt.Errorf("delete page logins: %w", err)
	}
	return nil
}

// Ids of accounts sort by time.
var accountLists = keyset.List{ID: "id", Sorts: map[string]string{"newest": "id DESC", "oldest": "id", "email": "email", "-email": "email DESC"}}

// accounts reads a page of the accounts, and the cursor of the next one; status and prefix of the address may be empty.
func (s store) accounts(ctx context.Context, status, prefix, sort string, page rest.Page) ([]Account, *string, error) {
	return keyset.Read[Account](ctx, s.db, accountLists, sort, page, `
		SELECT `+accountColumns+` FROM accounts WHERE ($1 = '' OR status = $1) AND email LIKE $2`, status, pg.Begins(prefix))
}

// How long rows are kept that are only a memory.
const (
	keepHistory = 365 * 24 * time.Hour
	keepUnknown = 24 * time.Hour // longer than any window of the limits
)

// prune deletes what nobody needs any more: old history, logins for addresses without an account, answered
// requests for codes, codes long expired, customers of a file who have not come for a year.
func (s store) prune(ctx context.Context, now time.Time) error {
	for _, p := range []struct {
		sql    string
		before time.Time
	}{
		{`DELETE FROM logins WHERE at < $1`, now.Add(-keepHistory)},
		{`DELETE FROM page_logins WHERE at < $1`, now.Add(-keepHistory)},
		{`DELETE FROM logins WHERE at < $1 AND account IS NULL`, now.Add(-keepUnknown)},
		{`DELETE FROM code_requests WHERE requested_at < $1 AND done_at IS NOT NULL`, now.Add(-keepUnknown)},
		{`DELETE FROM codes WHERE expires_at < $1`, now.Add(-keepUnknown)},
		{`DELETE FROM arrivals WHERE noted_at < $1`, now.Add(-arrivalLife)},
	} {
		if _, err := s.db.Exec(ctx, p.sql, p.before); err != nil {
			return fmt.Errorf("prune: %w", err)
		}
	}
	return nil
}

// recent counts the rows of a query with one column `at` and a LIMIT, and finds the oldest of them.
func recent(ctx context.Context, tx pgx.Tx, sql string, args ...any) (Recent, error) {
	var r Recent
	if err := tx.QueryRow(ctx, `SELECT count(*), min(at) FROM (`+sql+`) AS recent`, args...).Scan(&r.Count, &r.Oldest); err != nil {
		return r, fmt.Errorf("count: %w", err)
	}
	return r, nil
}
