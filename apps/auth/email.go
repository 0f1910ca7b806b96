package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/problem"
)

// askEmail sends a code to another address for who knows the password, and a notice to the one that the account has. The
// address changes when the code comes back. An account has one such code: the newest, until its password changes.
// ErrCredentialsInvalid, ErrAccountSuspended, ErrEmailTaken, problem.ErrTooMany.
func (s *service) askEmail(ctx context.Context, caller auth.Caller, secret, email, client string) error {
	ctx, cancel := working(ctx)
	defer cancel()
	a, err := s.own(ctx, caller)
	if err != nil {
		return err
	}
	if email == a.Email {
		return problem.InvalidField("body.email", problem.CodeNotAllowed, "is the address of the account already")
	}
	if err := s.confirmPassword(ctx, a, secret); err != nil {
		return err
	}
	wait, err := s.store.askEmail(ctx, a.ID, email, client, s.settings.Limits, s.now(), func(tx pgx.Tx, a Account) error {
		if err := s.issueCodeFor(ctx, tx, a, ChangeEmail, email); err != nil {
			return err
		}
		return outbox.Put(ctx, tx, events.AccountEmailChangeAsked{
			AccountID: *a.AccountID, Email: a.Email, FirstName: a.FirstName, At: s.now(),
		})
	})
	if wait > 0 {
		return problem.ErrTooMany.RetryAfter(wait)
	}
	return err
}

// confirmEmail gives the account the address that its code was sent to. The session that asks stays, all others end. The
// code of a change that was made already, or is under way, may be shown again. ErrCodeInvalid, ErrEmailTaken. When Keycloak
// does not answer, the sweep ends what is begun.
func (s *service) confirmEmail(ctx context.Context, caller auth.Caller, code string) error {
	ctx, cancel := working(ctx)
	defer cancel()
	a, err := s.own(ctx, caller)
	if err != nil {
		return err
	}
	_, session, err := readToken(caller.Token)
	if err != nil {
		return err
	}
	if !codePattern.MatchString(code) {
		return ErrCodeInvalid
	}
	a, right, err := s.store.proveEmail(ctx, a.ID, session, s.now(),
		func(email string) [][]byte { return s.hashCodes(a.ID, ChangeEmail, email, code) })
	switch {
	case err != nil:
		return err
	case !right:
		return ErrCodeInvalid
	case a.EmailDue == "": // made before
		return nil
	}
	moved, err := s.moveEmail(ctx, a)
	if err != nil {
		return errors.Join(err, s.store.release(ctx, a, s.now()))
	}
	if moved.SessionsEndAt != nil {
		s.endSessionsSoon(ctx, moved)
	}
	return nil
}

// moveEmail ends what Account.ProveEmail has begun: a pending account that somebody has opened for the address ends, since
// nobody has proved it for that; Keycloak's user gets the address, then the row, and the others are told. Each step may be
// repeated. ErrEmailTaken when the address is somebody else's since: the account keeps the one that it has.
func (s *service) moveEmail(ctx context.Context, a Account) (Account, error) {
	moved := a
	moved.Email = a.EmailDue
	err := whileAtWork(ctx, func() error {
		there, _, err := s.store.endIf(ctx, a.EmailDue, s.now(), nil)
		if err := s.removeBegun(ctx, there, err); err != nil {
			return err
		}
		err = s.keycloak.changeUser(ctx, *a.AccountID, moved, true)
		if !errors.Is(err, errUserExists) {
			return err
		}
		if _, err := s.store.byEmail(ctx, a.EmailDue); !errors.Is(err, ErrAccountNotFound) {
			return errors.Join(err, atWork()) // a registration that has begun since: it is looked at again
		}
		return ErrEmailTaken
	})
	if errors.Is(err, ErrEmailTaken) {
		_, dropErr := s.store.update(ctx, a.ID, func(_ pgx.Tx, now *Account) (bool, error) {
			mine := now.EmailDue == a.EmailDue
			if mine {
				now.EmailDue = ""
			}
			return mine, nil
		})
		return a, errors.Join(err, dropErr)
	}
	if err != nil {
		return a, err
	}
	return s.store.moveEmail(ctx, a, s.now(), func(tx pgx.Tx, a Account) error {
		if err := outbox.Put(ctx, tx, events.AccountEmailChanged{AccountID: *a.AccountID, Email: a.Email, At: s.now()}); err != nil {
			return err
		}
		return s.settleArrival(ctx, tx, a)
	})
}
