package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/serve"
)

const (
	batch     = 200                 // orders that are reminded or settled at once, as many as payments takes
	pruned    = 1000                // rows that are pruned at once
	workLimit = 30 * time.Second    // of one batch
	voidLimit = 10 * time.Second    // for payments to void a batch
	keepVoid  = 30 * 24 * time.Hour // order ids that will never be an order
	keepGone  = 30 * 24 * time.Hour // that an account is gone, once none of its orders is left to forget
	arrived   = 30 * 24 * time.Hour // after it was shipped an order has ended, whether or not it was noted as delivered
)

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) {
	rt.Go("polls", time.Second, func(ctx context.Context) error {
		pg.Listen(ctx, s.store.db, changed, s.heard)
		return nil
	})
	rt.Go("tell", time.Second, s.news.tell)
	rt.Go("remind", min(5*time.Second, s.settings.RemindAfter), s.remind)
	rt.Go("settle", min(5*time.Second, s.settings.VoidEvery), s.settle)
	rt.Go("words", time.Second, s.words)
	rt.Go("forget", 2*time.Second, s.forget)
	rt.Go("forget again", forget.Every, forget.Again(s.store.db, forgetImported))
	rt.Go("owners", 2*time.Second, s.findOwners)
	rt.Alone("prune keys", 10*time.Minute, s.prune)
	rt.Go("pull refunds", feed.Every(s.settings.PullBehind), s.pullRefunds().Run)
	rt.Missed("auth")
	rt.Gauge("orders_pending_seconds", "For how long the oldest pending order has been pending.", s.store.Waiting)
}

// inBatches calls fn, which does up to size things and says how many it did, until there are no more.
func inBatches(ctx context.Context, size int, fn func(ctx context.Context, size int) (done int, err error)) error {
	for {
		limited, cancel := context.WithTimeout(ctx, workLimit)
		done, err := fn(limited, size)
		cancel()
		if err != nil || done < size {
			return err
		}
	}
}

// remind sends order.placed again for orders that have been pending for a while: the first may have been lost.
func (s *service) remind(ctx context.Context) error {
	if err := inBatches(ctx, batch, s.store.NoteSent); err != nil {
		return err
	}
	return inBatches(ctx, batch, func(ctx context.Context, size int) (int, error) {
		now := s.now()
		return s.store.Remind(ctx, now.Add(-s.settings.RemindAfter), now, size)
	})
}

// settle ends orders that have waited too long. Nobody but payments knows whether money was taken, so payments is
// asked to void the charges, and what it answers decides. What is left, an order or a whole batch, is due again when the
// lease is over.
func (s *service) settle(ctx context.Context) error {
	if err := inBatches(ctx, batch, s.store.NoteSent); err != nil {
		return err
	}
	return inBatches(ctx, batch, func(ctx context.Context, size int) (int, error) {
		now := s.now()
		ids, err := s.store.Unsettled(ctx, now.Add(-s.settings.Deadline), now.Add(-s.settings.RemindAfter), now, now.Add(s.settings.VoidEvery), size)
		if err != nil || len(ids) == 0 {
			return 0, err
		}
		charges, err := s.payments.void(ctx, ids)
		if err != nil {
			return 0, err
		}
		if err := s.settled(ctx, charges); err != nil {
			s.log.ErrorContext(ctx, "orders not settled", "error", err)
		}
		return len(ids), nil
	})
}

// words writes what the back office finds orders by.
func (s *service) words(ctx context.Context) error { return inBatches(ctx, batch, s.store.WriteWords) }

// settled applies what payments answered to the request to void charges. Errors are those of single orders, joined.
func (s *service) settled(ctx context.Context, charges []charge) error {
	now := s.now()
	answers := make(map[uuid.UUID]charge, len(charges))
	ids := make([]uuid.UUID, 0, len(charges))
	for _, c := range charges {
		if c.Status != "unknown" { // asked again when the lease is over
			answers[c.OrderID] = c
			ids = append(ids, c.OrderID)
		}
	}
	return s.store.UpdateAll(ctx, ids, now, func(o *Order) (Event, error) {
		switch c := answers[o.ID]; c.Status {
		case "captured":
			return o.Captured(c.Amount, now)
		case "failed":
			return o.Declined(now), nil
		case "voided":
			return o.TimedOut(now), nil
		default:
			return nil, fmt.Errorf("void the charge of %s: unexpected answer %q", o.ID, c.Status)
		}
	})
}

// pullRefunds reads what payments gave back, in case its event never came.
func (s *service) pullRefunds() feed.Pull[events.PaymentRefunded] {
	return feed.Pull[events.PaymentRefunded]{
		Name: "payments.refunds", DB: s.store.db, Log: s.log, Source: s.payments.refunds(), Behind: s.settings.PullBehind,
		Apply: s.refunded,
	}
}

// forget has orders forgotten that have ended, of accounts that are gone.
func (s *service) forget(ctx context.Context) error {
	return inBatches(ctx, batch, func(ctx context.Context, size int) (int, error) {
		now := s.now()
		return s.store.ForgetOrders(ctx, now.Add(-arrived), now, size)
	})
}

// prune forgets keys that are over, and order ids that nobody can ask about any more.
func (s *service) prune(ctx context.Context) error {
	return errors.Join(
		inBatches(ctx, pruned, func(ctx context.Context, size int) (int, error) {
			n, abandoned, err := s.store.PruneKeys(ctx, s.now(), size)
			s.release(ctx, abandoned...)
			return n, err
		}),
		inBatches(ctx, pruned, func(ctx context.Context, size int) (int, error) {
			return s.store.PruneVoid(ctx, s.now().Add(-keepVoid), size)
		}),
		inBatches(ctx, pruned, func(ctx context.Context, size int) (int, error) {
			return s.store.PruneRemoved(ctx, s.now().Add(-keepGone), size)
		}),
	)
}
