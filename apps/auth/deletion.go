package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/auth"
)

// deleteAccount removes the account of who is logged in and knows the password. It has succeeded once the row says that the
// account is ending: what Keycloak does not do now, the sweep sees to, and then the others are told (events.AccountRemoved).
// ErrCredentialsInvalid, ErrAccountSuspended, problem.ErrTooMany.
func (s *service) deleteAccount(ctx context.Context, caller auth.Caller, secret string) error {
	ctx, cancel := working(ctx)
	defer cancel()
	a, err := s.own(ctx, caller)
	if err != nil {
		return err
	}
	if err := s.confirmPassword(ctx, a, secret); err != nil {
		return err
	}
	err = whileAtWork(ctx, func() error {
		a, err = s.store.update(ctx, a.ID, func(_ pgx.Tx, a *Account) (bool, error) { return true, a.Delete(s.now()) })
		return err
	})
	if err != nil {
		return err
	}
	if err := s.remove(ctx, a); err != nil {
		s.log.WarnContext(ctx, "the rest of an account is left to the sweep", "account", a.AccountID, "error", err)
		if err := s.store.release(ctx, a, s.now()); err != nil {
			s.log.ErrorContext(ctx, "the rest of an account waits for the lease", "account", a.AccountID, "error", err)
		}
	}
	return nil
}
