package main

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/longpoll"
)

// heard wakes those who wait for the orders that a notification names, or everybody when it names none, because
// notifications may have been missed.
func (s *service) heard(payload string) {
	if payload == "" {
		s.polls.WakeAll()
		return
	}
	for text := range strings.SplitSeq(payload, ",") {
		if id, err := uuid.Parse(text); err == nil {
			s.polls.Wake(id)
		}
	}
}

// newer reads an order of an account when its version is above since, or when it has changed so, or as it is once the
// wait is over, the service stops, or too many wait.
func (s *service) newer(ctx context.Context, account, id uuid.UUID, since int, wait time.Duration) (*Order, error) {
	return longpoll.Read(ctx, s.polls, id, wait, s.stopping,
		func() (*Order, error) { return s.own(ctx, account, id) }, func(o *Order) bool { return o.Version > since })
}
