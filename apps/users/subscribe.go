package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.On(subs, s.registered)
	sub.On(subs, s.activated)
	sub.On(subs, s.suspended)
	sub.On(subs, s.imported)
	sub.On(subs, s.emailChanged)
	sub.On(subs, s.removed)
}

// registered makes the profile of a new account.
func (s *service) registered(ctx context.Context, tx pgx.Tx, e events.AccountRegistered) error {
	return register(ctx, tx, stamped{AccountID: e.AccountID, Email: e.Email, FirstName: e.FirstName, LastName: e.LastName, At: e.At})
}

// activated takes over the e-mail address that has been verified, and ends a suspension.
func (s *service) activated(ctx context.Context, tx pgx.Tx, e events.AccountActivated) error {
	if err := register(ctx, tx, stamped{AccountID: e.AccountID, Email: e.Email, FirstName: e.FirstName, At: e.At}); err != nil {
		return err
	}
	return setSuspended(ctx, tx, e.AccountID, e.Email, false, e.At)
}

// suspended notes for the back office that the account is shut out.
func (s *service) suspended(ctx context.Context, tx pgx.Tx, e events.AccountSuspended) error {
	return setSuspended(ctx, tx, e.AccountID, e.Email, true, e.At)
}

// imported takes over what another shop's file had of somebody who has told nothing here yet.
func (s *service) imported(ctx context.Context, tx pgx.Tx, e events.AccountImported) error {
	p := stamped{AccountID: e.AccountID, Email: e.Email, FirstName: e.FirstName, LastName: e.LastName, At: e.At}
	if err := register(ctx, tx, p); err != nil {
		return err
	}
	return importProfile(ctx, tx, e)
}

// emailChanged takes over the address that an account has now.
func (s *service) emailChanged(ctx context.Context, tx pgx.Tx, e events.AccountEmailChanged) error {
	return register(ctx, tx, stamped{AccountID: e.AccountID, Email: e.Email, At: e.At})
}

// removed forgets an account.
func (s *service) removed(ctx context.Context, tx pgx.Tx, e events.AccountRemoved) error {
	return remove(ctx, tx, e.AccountID, e.At)
}
