package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// demo is an account that exists from the start in development.
type demo struct {
	email, first, last, secret string
	admin                      bool
}

// makeDemo sees to it that a demo account is active and has its password and role. It opens the account as
// a registration would, with the same events, but nobody has to enter a code.
func (s *service) makeDemo(ctx context.Context, d demo) error {
	ctx, cancel := working(ctx)
	defer cancel()
	a, fresh, err := s.begin(ctx, d.email, d.first, d.last, nil)
	switch {
	case errors.Is(err, ErrEmailTaken), errors.Is(err, errAtWork):
		if a, err = s.store.byEmail(ctx, d.email); err != nil {
			return err
		}
		if a.Status == Creating || a.Status == Ending {
			return fmt.Errorf("%s is being made or removed by somebody else", d.email)
		}
		if err := s.keepPassword(ctx, a, d.secret); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		id, err := s.create(ctx, a, d.secret)
		if err != nil {
			return s.abandon(ctx, a, fresh, err)
		}
		if a, err = s.open(ctx, a, id, func(pgx.Tx, *Account) error { return nil }); err != nil {
			return err
		}
	}
	if d.admin && a.Status != Suspended { // before it can log in: make up does so at once, and would get a token without the role
		if err := s.keycloak.giveRole(ctx, *a.AccountID, roleAdmin); err != nil {
			return err
		}
	}
	if a.Status == Pending {
		a, err = s.store.update(ctx, a.ID, func(_ pgx.Tx, a *Account) (bool, error) { return a.Verify(s.now()), nil })
		if err != nil {
			return err
		}
		if err := s.activate(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// keepPassword sets the password of the settings again when the account has another.
func (s *service) keepPassword(ctx context.Context, a Account, secret string) error {
	tokens, err := s.keycloak.login(ctx, a.Email, secret)
	if errors.Is(err, errWrongPassword) {
		return s.keycloak.setPassword(ctx, *a.AccountID, secret)
	}
	if err == nil {
		s.drop(ctx, tokens)
	}
	return err
}

// makeDemos makes all demo accounts, then nothing more.
func (s *service) makeDemos(demos []demo) func(context.Context) error {
	done := false
	return func(ctx context.Context) error {
		if done {
			return nil
		}
		for _, d := range demos {
			if err := s.makeDemo(ctx, d); err != nil {
				return fmt.Errorf("demo account %s: %w", d.email, err)
			}
		}
		done = true
		return nil
	}
}
