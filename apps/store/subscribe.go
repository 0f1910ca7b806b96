package main

import (
	"context"

	"github.com/stampede-shop/stampede/events"
)

// suspended ends the account's sessions. A second copy finds none.
func (s *service) suspended(ctx context.Context, e events.AccountSuspended) error {
	return s.sessions.endAll(ctx, e.AccountID)
}
