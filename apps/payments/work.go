package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/serve"
)

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) {
	rt.Go("charges", time.Second, s.charges)
	rt.Go("refunds", time.Second, s.refunds)
	rt.Go("pull orders", feed.Every(s.settings.PullBehind), s.pullOrders(s.orders.outcomes()).Run)
	rt.Go("prune payments", time.Hour, s.prune)
	rt.Go("sandbox webhooks", time.Second, s.sandbox.webhooks)
	rt.Go("sandbox prune", time.Hour, s.sandbox.prune)
}

const parallel = 32 // calls to a provider at a time, of an instance

// charges charges what is due, or asks what became of it, until ctx ends.
func (s *service) charges(ctx context.Context) error {
	claim := func(ctx context.Context, n int) ([]Charge, error) {
		return claimCharges(ctx, s.store.db, n, s.settings.lease(), s.now())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	woken := make(chan struct{}, 1)
	go pg.Listen(ctx, s.store.db, workChannel, func(string) {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	return work(ctx, s.log, woken, claim, s.settle)
}

// refunds makes the refunds that are due, until ctx ends.
func (s *service) refunds(ctx context.Context) error {
	claim := func(ctx context.Context, n int) ([]ClaimedRefund, error) {
		return claimRefunds(ctx, s.store.db, n, s.settings.lease(), s.now())
	}
	return work(ctx, s.log, nil, claim, s.giveBack)
}

// prune forgets what has been kept long enough.
func (s *service) prune(ctx context.Context) error { return prune(ctx, s.store.db, s.now()) }

// note runs fn in one transaction, which has its own time limit whatever the call before it took.
func (s *service) note(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, noteLimit)
	defer cancel()
	return pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error { return fn(ctx, tx) })
}

// settle calls the provider about one claimed charge, outside any transaction, and notes what it said. Should
// this process die before it has, the lease ends and the provider is asked.
func (s *service) settle(ctx context.Context, claimed Charge) {
	provider, ok := s.providers[claimed.Provider]
	if !ok {
		s.log.ErrorContext(ctx, "charge of a provider that is not configured", "order", claimed.OrderID, "provider", claimed.Provider)
		return
	}
	call, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	var (
		result  Result
		callErr error
	)
	if claimed.State == Attempted {
		result, callErr = provider.Charge(call, ChargeRequest{Key: claimed.OrderID, Amount: claimed.Total(), Method: claimed.Method, Number: claimed.Number})
	} else {
		result, callErr = provider.Find(call, claimed.OrderID)
	}
	if callErr != nil {
		s.log.WarnContext(ctx, "provider", "order", claimed.OrderID, "state", claimed.State, "tries", claimed.Tries, "error", callErr)
	}
	err := s.note(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return s.change(ctx, tx, claimed.OrderID, func(c *Charge, now time.Time) Change {
			decided := callErr == nil && (result.Outcome == Succeeded || result.Outcome == Declined)
			switch {
			case !decided && c.Tries != claimed.Tries: // the lease was over and somebody else is at it
				return Change{}
			case callErr == nil:
				return c.Settle(result, s.settings.MissingAfter, now)
			case claimed.State == Attempted && errors.Is(callErr, ErrNotExecuted):
				return c.NotSent(now)
			default:
				return c.NoAnswer(now)
			}
		})
	})
	if err != nil {
		s.log.ErrorContext(ctx, "the provider's answer was not noted, it is asked again", "order", claimed.OrderID, "error", err)
	}
}

// giveBack calls the provider about one claimed refund, outside any transaction, and notes what it said. When that is
// no, or when it is the last try, the provider is also asked what it has given back of the charge.
func (s *service) giveBack(ctx context.Context, claimed ClaimedRefund) {
	provider, ok := s.providers[claimed.Provider]
	if !ok {
		s.log.ErrorContext(ctx, "refund of a provider that is not configured", "refund", claimed.ID, "provider", claimed.Provider)
		return
	}
	result, callErr := s.askRefund(ctx, provider, claimed)
	var given []Given
	if (callErr == nil && result.Outcome == Declined) || (callErr != nil && claimed.Tries >= maxRefundTries) {
		var err error
		if given, err = s.askRefunds(ctx, provider, claimed); err != nil {
			callErr = errors.Join(callErr, err)
		}
	}
	if callErr != nil {
		s.log.WarnContext(ctx, "provider", "refund", claimed.ID, "tries", claimed.Tries, "error", callErr)
	}
	err := s.note(ctx, func(ctx context.Context, tx pgx.Tx) error {
		b, err := s.lockChargeTx(ctx, tx, claimed.OrderID)
		if err != nil {
			return err
		}
		waiting := false // for a refund that somebody else has begun
		for _, g := range given {
			waiting = waiting || g.Outcome == Processing && b.find(g.Key) == nil
			if err := b.note(ctx, g); err != nil {
				return err
			}
		}
		r := b.find(claimed.Key)
		switch decided := callErr == nil && !waiting && result.Outcome != Processing; {
		case r == nil: // somebody else has been here, and asks for something else
			return nil
		case !decided && r.Tries != claimed.Tries: // the lease was over and somebody else is at it
			return nil
		case callErr != nil:
			r.NoAnswer(callErr.Error(), b.now)
			return b.save(ctx, r)
		case waiting:
			r.Again("a refund that was made elsewhere is not done yet", b.now)
			return b.save(ctx, r)
		case result.Outcome == Declined && r.State == RefundRequested:
			return b.refused(ctx, r, result)
		default:
			return b.settle(ctx, r, result)
		}
	})
	if err != nil {
		s.log.ErrorContext(ctx, "the provider's answer was not noted, it is asked again", "refund", claimed.ID, "error", err)
	}
}

func (s *service) askRefund(ctx context.Context, provider Provider, claimed ClaimedRefund) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	return provider.Refund(ctx, RefundRequest{
		Key: claimed.Key, Charge: claimed.OrderID, ChargeRef: claimed.ChargeRef, Amount: money.New(claimed.Amount, claimed.CapturedCurrency),
	})
}

func (s *service) askRefunds(ctx context.Context, provider Provider, claimed ClaimedRefund) ([]Given, error) {
	ctx, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	return provider.Refunds(ctx, claimed.OrderID, claimed.ChargeRef)
}

// work claims what is due and does it, at most `parallel` at a time, until ctx ends: when woken (which may be nil),
// else every second. A claim that fails is tried again then; what has begun goes on, and is finished before work ends.
func work[T any](ctx context.Context, log *slog.Logger, woken <-chan struct{}, claim func(context.Context, int) ([]T, error), do func(context.Context, T)) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	ended := make(chan struct{}, parallel)
	for free := parallel; ; {
		claimed, err := inTime(ctx, free, claim)
		if ctx.Err() != nil && len(claimed) == 0 {
			return nil
		}
		if err != nil {
			log.ErrorContext(ctx, "nothing can be claimed", "error", err)
		}
		more := len(claimed) == free // then whatever ends makes room for another claim
		free -= len(claimed)
		for _, c := range claimed {
			running.Go(func() {
				do(context.WithoutCancel(ctx), c)
				ended <- struct{}{}
			})
		}
		for wait := true; wait; {
			select {
			case <-ctx.Done():
				return nil
			case <-woken:
				wait = free == 0
			case <-tick.C:
				wait = free == 0
			case <-ended:
				free++
				wait = !more
			}
		}
	}
}

func inTime[T any](ctx context.Context, n int, claim func(context.Context, int) ([]T, error)) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, noteLimit)
	defer cancel()
	return claim(ctx, n)
}
