package main

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// login gives tokens for a password. Keycloak looks at the password first, so that only who knows it learns
// that an account is pending or suspended; the session that comes with it is dropped then.
// ErrCredentialsInvalid, ErrAccountPending, ErrAccountSuspended, problem.ErrTooMany.
func (s *service) login(ctx context.Context, email, secret string) (Tokens, error) {
	ctx, cancel := working(ctx)
	defer cancel()
	begun := s.now()
	try, tokens, err := s.tryPassword(ctx, email, secret)
	if err != nil {
		return Tokens{}, err
	}
	refused := s.mayLogIn(ctx, email, begun, tokens)
	outcome := "success"
	if refused != nil {
		outcome = "refused"
	}
	if err := s.store.endLogin(ctx, try, outcome, s.now()); err != nil {
		refused = errors.Join(refused, err)
	}
	if refused != nil {
		s.drop(ctx, tokens)
		return Tokens{}, refused
	}
	return tokens, nil
}

// tryPassword asks Keycloak whether a password is right. Wrong ones are counted, also those that other
// requests try at the same time. The try has still to be ended.
func (s *service) tryPassword(ctx context.Context, email, secret string) (try uuid.UUID, t Tokens, err error) {
	try, wait, err := s.store.beginLogin(ctx, email, rest.ClientAddress(ctx), userAgent(rest.UserAgent(ctx)), s.settings.Limits, s.now())
	if err != nil {
		return try, t, err
	}
	if wait > 0 {
		return try, t, problem.ErrTooMany.RetryAfter(wait)
	}
	t, err = s.keycloak.login(ctx, email, secret)
	switch {
	case errors.Is(err, errWrongPassword):
		if err := s.store.endLogin(ctx, try, "failed", s.now()); err != nil {
			return try, t, err
		}
		return try, t, ErrCredentialsInvalid
	case err != nil: // nothing was tried
		return try, t, errors.Join(err, s.store.dropLogin(ctx, try))
	}
	return try, t, nil
}

// mayLogIn says what keeps the owner of new tokens out, if anything does. A login that began before the account was
// active does not count: its password may have been another's.
func (s *service) mayLogIn(ctx context.Context, email string, begun time.Time, t Tokens) error {
	sub, _, err := readToken(t.AccessToken)
	if err != nil {
		return err
	}
	a, err := s.store.byAccountID(ctx, sub)
	if errors.Is(err, ErrAccountNotFound) { // while creating, the row does not know its user
		a, err = s.store.byEmail(ctx, email)
	}
	switch {
	case errors.Is(err, ErrAccountNotFound):
		s.log.WarnContext(ctx, "Keycloak knows a user without an account here", "user", sub)
		return ErrCredentialsInvalid
	case err != nil:
		return err
	case a.Status == Suspended:
		return ErrAccountSuspended
	case a.Status == Ending:
		return ErrCredentialsInvalid
	case a.Status != Active || a.ActivatedAt.After(begun):
		return ErrAccountPending
	}
	return nil
}

// drop ends a session that nobody gets.
func (s *service) drop(ctx context.Context, t Tokens) {
	if err := s.keycloak.logout(ctx, t.RefreshToken); err != nil && !errors.Is(err, errBadToken) {
		s.log.WarnContext(ctx, "a session was not ended; nobody has its tokens", "error", err)
	}
}

// refresh renews tokens; ErrUnauthenticated when the refresh token is not, or no longer, good.
func (s *service) refresh(ctx context.Context, refreshToken string) (Tokens, error) {
	t, err := s.keycloak.refresh(ctx, refreshToken)
	if errors.Is(err, errBadToken) {
		return Tokens{}, errRefreshToken
	}
	if err != nil {
		return Tokens{}, err
	}
	sub, _, err := readToken(t.AccessToken)
	if err != nil {
		return Tokens{}, err
	}
	a, err := s.store.byAccountID(ctx, sub)
	switch {
	case err != nil && !errors.Is(err, ErrAccountNotFound):
		return Tokens{}, err
	case a.Status == Suspended: // its sessions are about to end
		s.drop(ctx, t)
		return Tokens{}, errRefreshToken
	}
	return t, nil
}

var errRefreshToken = problem.ErrUnauthenticated.Detail("The refresh token is not valid")

// logout ends a session, also one that has ended before; ErrUnauthenticated for what is no refresh token.
func (s *service) logout(ctx context.Context, refreshToken string) error {
	err := s.keycloak.logout(ctx, refreshToken)
	if errors.Is(err, errBadToken) {
		return errRefreshToken
	}
	return err
}

// own is the account of who is logged in. ErrForbidden for a user whom Keycloak alone knows.
func (s *service) own(ctx context.Context, caller auth.Caller) (Account, error) {
	a, err := s.store.byAccountID(ctx, caller.ID)
	if errors.Is(err, ErrAccountNotFound) {
		return a, problem.ErrForbidden.Detail("This account is not kept here")
	}
	return a, err
}

// confirmPassword has who is logged in show the password again. Nobody logs in by it. ErrCredentialsInvalid,
// problem.ErrTooMany: guesses count as failed logins.
func (s *service) confirmPassword(ctx context.Context, a Account, secret string) error {
	try, tokens, err := s.tryPassword(ctx, a.Email, secret)
	if err != nil {
		return err
	}
	s.drop(ctx, tokens)
	return s.store.dropLogin(ctx, try)
}

// changePassword sets a new password for who knows the old one. The session that asks stays, all others of
// the account end. ErrCredentialsInvalid, ErrAccountSuspended, problem.ErrTooMany: guesses count as failed logins.
func (s *service) changePassword(ctx context.Context, caller auth.Caller, old, secret string) error {
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
	try, tokens, err := s.tryPassword(ctx, a.Email, old)
	if err != nil {
		return err
	}
	err = s.store.dropLogin(ctx, try) // nobody logged in
	if err == nil {
		a, err = s.store.update(ctx, a.ID, func(tx pgx.Tx, a *Account) (bool, error) {
			if a.Status == Suspended {
				return false, ErrAccountSuspended
			}
			a.ChangePassword(session, s.now())
			return true, dropCode(ctx, tx, a.ID, ChangeEmail)
		})
	}
	if err == nil {
		err = s.setPassword(ctx, a, secret, "body.new_password")
	}
	if err != nil {
		s.drop(ctx, tokens)
	}
	return err
}

// resetPassword sets a new password for who knows the code. All sessions end. A pending account becomes active: the
// code has proved the address. ErrCodeInvalid; when the password cannot be set the code stays good.
func (s *service) resetPassword(ctx context.Context, email, code, secret string) error {
	ctx, cancel := working(ctx)
	defer cancel()
	return s.choosePassword(ctx, PasswordReset, email, code, secret, "body.new_password")
}

// choosePassword sets a password for who knows a code. A pending account becomes active, not before it has the password.
// location is where that was.
func (s *service) choosePassword(ctx context.Context, p Purpose, email, code, secret, location string) error {
	a, err := s.useCode(ctx, email, p, code, func(a *Account, now time.Time) { a.ChangePassword("", now) })
	if err != nil {
		return err
	}
	err = s.setPassword(ctx, a, secret, location)
	if err == nil && a.Status == Pending {
		err = s.verified(ctx, a)
	}
	if err != nil {
		return errors.Join(err, s.store.giveBack(ctx, a.ID, p, s.hashCodes(a.ID, p, "", code)))
	}
	return nil
}

// verified notes that the owner of a pending account has proved the address, and lets it in.
func (s *service) verified(ctx context.Context, a Account) error {
	a, err := s.store.update(ctx, a.ID, func(_ pgx.Tx, a *Account) (bool, error) { return a.Verify(s.now()), nil })
	if err != nil || a.Status != Pending { // the sweep was faster
		return err
	}
	if err := s.activate(ctx, a); err != nil {
		return errors.Join(err, s.store.release(ctx, a, s.now()))
	}
	return nil
}

// setPassword sets the password and ends the sessions, as noted in the account before. When Keycloak may or
// may not have set it, the sessions end all the same, by the sweep. location is where the password was.
func (s *service) setPassword(ctx context.Context, a Account, secret, location string) error {
	if err := s.keycloak.setPassword(ctx, *a.AccountID, secret); err != nil {
		var refused errRefused
		var unsent notSent
		if errors.As(err, &refused) || errors.As(err, &unsent) {
			return errors.Join(refusal(err, location), s.store.sessionsEnded(ctx, a.ID, *a.SessionsEndAt))
		}
		return errors.Join(err, s.store.release(ctx, a, s.now()))
	}
	s.endSessionsSoon(ctx, a) // the password is set, so this has succeeded for the caller
	return nil
}

// endSessionsSoon is endSessions, now or by the sweep.
func (s *service) endSessionsSoon(ctx context.Context, a Account) {
	err := s.endSessions(ctx, a)
	if err == nil {
		return
	}
	s.log.WarnContext(ctx, "sessions are left to the sweep", "account", a.AccountID, "error", err)
	if err := s.store.release(ctx, a, s.now()); err != nil {
		s.log.ErrorContext(ctx, "sessions wait for the lease", "account", a.AccountID, "error", err)
	}
}

func (s *service) endSessions(ctx context.Context, a Account) error {
	if err := s.keycloak.endSessions(ctx, *a.AccountID, a.KeepSession); err != nil {
		return err
	}
	return s.store.sessionsEnded(ctx, a.ID, *a.SessionsEndAt)
}
