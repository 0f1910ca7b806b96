package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
)

// registered makes the profile of a new account.
func (s *service) registered(ctx context.Context, tx pgx.Tx, e events.AccountRegistered) error {
	return register(ctx, tx, stamped{AccountID: e.AccountID, Email: e.Email, FirstName: e.FirstName, LastName: e.LastName, At: e.At})
}

// activated takes over the e-mail address that has been verified.
func (s *service) activated(ctx context.Context, tx pgx.Tx, e events.AccountActivated) error {
	return register(ctx, tx, stamped{AccountID: e.AccountID, Email: e.Email, FirstName: e.FirstName, At: e.At})
}
