package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

const (
	settleBatch    = 20
	settleParallel = 4
)

// remind sends order.placed again for orders that have been pending for a while: the first may have been lost.
func (s *service) remind(ctx context.Context) error {
	if err := s.store.NoteSent(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		now := s.now()
		found, err := s.store.Remind(ctx, now.Add(-s.settings.RemindAfter), now)
		if err != nil || !found {
			return err
		}
	}
	return nil
}

// settle ends orders that have waited too long. Nobody but payments knows whether money was taken, so payments is
// asked to void the charge, and what it answers decides.
func (s *service) settle(ctx context.Context) error {
	if err := s.store.NoteSent(ctx); err != nil {
		return err
	}
	now := s.now()
	ids, err := s.store.Unsettled(ctx, now.Add(-s.settings.Deadline), now.Add(-s.settings.RemindAfter), now, now.Add(s.settings.VoidEvery), settleBatch)
	if err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(settleParallel)
	failed := make([]error, len(ids))
	for i, id := range ids {
		g.Go(func() error {
			failed[i] = s.settleOne(ctx, id)
			return nil // the others go on
		})
	}
	_ = g.Wait()
	return errors.Join(failed...)
}

func (s *service) settleOne(ctx context.Context, id uuid.UUID) error {
	answer, err := s.voidCharge(ctx, id)
	if err != nil {
		return err
	}
	return s.settled(ctx, id, answer)
}

// settled applies payments' answer to the request to void an order's charge.
func (s *service) settled(ctx context.Context, id uuid.UUID, answer string) error {
	now := s.now()
	var apply func(*Order) Event
	switch answer {
	case "captured":
		apply = func(o *Order) Event { return o.Captured(now) }
	case "failed":
		apply = func(o *Order) Event { return o.Declined(now) }
	case "voided":
		apply = func(o *Order) Event { return o.TimedOut(now) }
	case "unknown":
		return nil // asked again when the lease is over
	default:
		return fmt.Errorf("void the charge of %s: unexpected answer %q", id, answer)
	}
	_, err := s.store.Update(ctx, id, now, func(o *Order) (Event, error) { return apply(o), nil })
	return err
}

// prune forgets keys that are over.
func (s *service) prune(ctx context.Context) error {
	abandoned, err := s.store.PruneKeys(ctx, s.now())
	if err != nil {
		return err
	}
	s.release(ctx, abandoned...)
	return nil
}

// clock is the time of day in UTC, as exact as PostgreSQL keeps it, so that what is answered now reads the same later.
func clock() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
