package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/pg"
)

const (
	parallel   = 32  // calls to a provider at a time, of an instance
	checkBatch = 200 // orders asked about in one call
)

// charges charges what is due, or asks what became of it, until ctx ends.
func (s *service) charges(ctx context.Context) error {
	claim := func(ctx context.Context, n int) ([]Charge, error) { return claimCharges(ctx, s.db, n, s.now()) }
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	woken := make(chan struct{}, 1)
	go pg.Listen(ctx, s.db, workChannel, func(string) {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	return work(ctx, woken, claim, s.settle)
}

// refunds makes the refunds that are due, until ctx ends.
func (s *service) refunds(ctx context.Context) error {
	claim := func(ctx context.Context, n int) ([]ClaimedRefund, error) { return claimRefunds(ctx, s.db, n, s.now()) }
	return work(ctx, nil, claim, s.giveBack)
}

// settle calls the provider about one claimed charge, outside any transaction, and notes what it said. Should
// this process die before it has, the lease ends and the provider is asked.
func (s *service) settle(ctx context.Context, claimed Charge) {
	provider, ok := s.providers[claimed.Provider]
	if !ok {
		s.log.ErrorContext(ctx, "charge of a provider that is not configured", "order", claimed.OrderID, "provider", claimed.Provider)
		return
	}
	call, cancel := context.WithTimeout(ctx, s.timeout)
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
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		return s.change(ctx, tx, claimed.OrderID, func(c *Charge, now time.Time) Change {
			decided := callErr == nil && (result.Outcome == Succeeded || result.Outcome == Declined)
			switch {
			case !decided && c.Tries != claimed.Tries: // the lease was over and somebody else is at it
				return Change{}
			case callErr == nil:
				return c.Settle(result, now)
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

// giveBack calls the provider about one claimed refund, outside any transaction, and notes what it said.
func (s *service) giveBack(ctx context.Context, claimed ClaimedRefund) {
	provider, ok := s.providers[claimed.Provider]
	if !ok {
		s.log.ErrorContext(ctx, "refund of a provider that is not configured", "refund", claimed.ID, "provider", claimed.Provider)
		return
	}
	call, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	result, callErr := provider.Refund(call, RefundRequest{
		Key: claimed.ID, Charge: claimed.OrderID, ChargeRef: claimed.ChargeRef, Amount: money.New(claimed.Amount, claimed.Currency),
	})
	if callErr != nil {
		s.log.WarnContext(ctx, "provider", "refund", claimed.ID, "tries", claimed.Tries, "error", callErr)
	}
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		return s.changeRefund(ctx, tx, claimed.ID, func(r *Refund, now time.Time) bool {
			if callErr != nil {
				r.Again(callErr.Error(), now)
				return false
			}
			return r.Settle(result, now)
		})
	})
	if err != nil {
		s.log.ErrorContext(ctx, "the provider's answer was not noted, it is asked again", "refund", claimed.ID, "error", err)
	}
}

// check asks orders what became of the orders whose money was taken a while ago. It cures an order.cancelled
// that was lost on its way.
func (s *service) check(ctx context.Context) error {
	for {
		ids, err := dueChecks(ctx, s.db, checkBatch, s.now())
		if err != nil || len(ids) == 0 {
			return err
		}
		statuses, err := s.orders.statuses(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.checked(ctx, id, statuses[id]); err != nil {
				return err
			}
		}
	}
}

func (s *service) checked(ctx context.Context, order uuid.UUID, status string) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		locked, err := lockCharge(ctx, tx, order)
		if err != nil {
			return err
		}
		refunds, err := refundsOf(ctx, tx, order)
		if err != nil {
			return err
		}
		kept := Kept(locked, refunds)
		return s.change(ctx, tx, order, func(c *Charge, now time.Time) Change { return c.Checked(status, kept, now) })
	})
}

// work claims what is due and does it, at most `parallel` at a time, until ctx ends: when woken (which may be nil),
// else every second. What has begun when ctx ends is finished first.
func work[T any](ctx context.Context, woken <-chan struct{}, claim func(context.Context, int) ([]T, error), do func(context.Context, T)) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	ended := make(chan struct{}, parallel)
	for free := parallel; ; {
		claimed, err := claim(ctx, free)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
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
