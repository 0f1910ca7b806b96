package main

import (
	"context"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.OnDirect(subs, s.suspended)
}

// suspended ends the account's sessions. A second copy finds none.
func (s *service) suspended(ctx context.Context, e events.AccountSuspended) error {
	return s.sessions.endAll(ctx, e.AccountID)
}
