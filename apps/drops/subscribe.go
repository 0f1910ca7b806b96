package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.On(subs, s.suspended)
	sub.On(subs, s.activated)
	sub.On(subs, s.removed)
	sub.On(subs, s.emailChanged)
}

// suspended keeps an account out of drops.
func (s *service) suspended(ctx context.Context, tx pgx.Tx, e events.AccountSuspended) error {
	return setSuspended(ctx, tx, e.AccountID, true, e.At)
}

// activated lets it take part again.
func (s *service) activated(ctx context.Context, tx pgx.Tx, e events.AccountActivated) error {
	return setSuspended(ctx, tx, e.AccountID, false, e.At)
}

// emailChanged has an account told at its new address.
func (s *service) emailChanged(ctx context.Context, tx pgx.Tx, e events.AccountEmailChanged) error {
	return setEmail(ctx, tx, e.AccountID, e.Email)
}

// removed forgets whose an account's entries are. Their leaves stay: nobody can tell whose they were.
func (s *service) removed(ctx context.Context, tx pgx.Tx, e events.AccountRemoved) error {
	return forgetAccount(ctx, tx, e.AccountID)
}
