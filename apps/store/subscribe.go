package main

import (
	"context"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.OnDirect(subs, s.suspended)
	sub.OnDirect(subs, s.removed)
}

// suspended ends the account's sessions. A second copy finds none.
func (s *service) suspended(ctx context.Context, e events.AccountSuspended) error {
	return s.sessions.endAll(ctx, e.AccountID)
}

// removed ends the sessions of an account that is gone, and forgets that it had any.
func (s *service) removed(ctx context.Context, e events.AccountRemoved) error {
	if err := s.sessions.endAll(ctx, e.AccountID); err != nil {
		return err
	}
	return s.sessions.forget(ctx, e.AccountID)
}
