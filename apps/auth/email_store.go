package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

// askEmail lets fn issue a code for another address of an account, and says how long to wait when that was asked for too
// often: for the address, by the account, or from the network address client. ErrAccountSuspended, ErrEmailTaken.
func (s store) askEmail(
	ctx context.Context, id uuid.UUID, email, client string, l Limits, now time.Time, fn func(tx pgx.Tx, a Account) error,
) (wait time.Duration, err error) {
	taken := false
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		taken = false
		a, err := one(ctx, tx, `id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		if a.Status != Active {
			return ErrAccountSuspended
		}
		if err := pg.OneByOne(ctx, tx, email); err != nil {
			return err
		}
		for _, asked := range []struct{ email, client string }{{email, client}, {a.Email, ""}} {
			if wait, err = codesWait(ctx, tx, ChangeEmail, asked.email, asked.client, l, now); err != nil || wait > 0 {
				return err
			}
			if err := putRequest(ctx, tx, ChangeEmail, asked.email, asked.client, now, &now); err != nil {
				return err
			}
		}
		there, err := one(ctx, tx, `email = $1`, email)
		switch {
		case errors.Is(err, ErrAccountNotFound):
		case err != nil:
			return err
		case there.Status != Creating && !there.replaceable():
			taken = true
			return nil // the request counts all the same
		}
		return fn(tx, a)
	})
	if err == nil && taken {
		err = ErrEmailTaken
	}
	return wait, err
}

// proveEmail tries the code for another address of an active account and, when it is the right one, notes that the address
// is due. The try is counted either way. The code of a change that is due, or was made, is right, too. hash is that of the
// code for an address. Errors: those of Account.ProveEmail.
func (s store) proveEmail(
	ctx context.Context, id uuid.UUID, session string, now time.Time, hashes func(email string) [][]byte,
) (a Account, right bool, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		right = false
		if a, err = one(ctx, tx, `id = $1 AND status = ANY($2) FOR UPDATE`, id, ChangeEmail.needs()); err != nil {
			if errors.Is(err, ErrAccountNotFound) {
				return nil
			}
			return err
		}
		var email string
		var known []byte
		var used bool
		err := tx.QueryRow(ctx, `SELECT email, hash, used_at IS NOT NULL FROM codes WHERE account = $1 AND purpose = $2`, id, ChangeEmail).
			Scan(&email, &known, &used)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read code: %w", err)
		}
		switch again := used && slices.ContainsFunc(hashes(email), func(hash []byte) bool { return bytes.Equal(known, hash) }); {
		case again && a.Email == email:
			right = true
			return nil
		case again && a.EmailDue == email:
			right = true
		default:
			if right, err = tryCode(ctx, tx, id, ChangeEmail, hashes(email), now); err != nil || !right {
				return err
			}
		}
		if err := a.ProveEmail(email, session, now); err != nil {
			return err
		}
		return save(ctx, tx, a)
	})
	return a, right, err
}

// moveEmail gives an account the address that is due, and what fn writes beside it. A registration of the address that has
// but begun makes way: Keycloak refuses it.
func (s store) moveEmail(ctx context.Context, a Account, now time.Time, fn func(tx pgx.Tx, a Account) error) (Account, error) {
	due := a.EmailDue
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM accounts WHERE email = $1 AND status = $2`, due, Creating); err != nil {
			return fmt.Errorf("move account: %w", err)
		}
		var err error
		if a, err = one(ctx, tx, `id = $1 FOR UPDATE`, a.ID); err != nil {
			return err
		}
		if !a.Move(due, now) {
			return nil
		}
		if err := save(ctx, tx, a); err != nil {
			return err
		}
		return fn(tx, a)
	})
	return a, err
}
