package main

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/crew"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/trace"
)

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) {
	rt.Go("charges", time.Second, s.charging.Run)
	rt.Go("refunds", time.Second, s.refunds)
	rt.Go("pull orders", feed.Every(s.settings.PullBehind), s.pullOrders().Run)
	rt.Go("pull forgotten orders", feed.Every(s.settings.PullBehind), s.pullForgotten().Run)
	rt.Go("forget again", forget.Every, forget.Again(s.store.db, forgetCharges))
	rt.Go("prune payments", time.Hour, s.prune)
	rt.Go("sandbox webhooks", time.Second, s.sandbox.webhooks)
	rt.Go("sandbox prune", time.Hour, s.sandbox.prune)
}

const parallel = 32 // calls to a provider at a time, of an instance

// newCharging makes the crew that charges what is due, or asks what became of it.
func (s *service) newCharging() *crew.Crew[Charge] {
	return crew.New(crew.Settings[Charge]{
		Log: s.log, Most: parallel, Late: noteLimit, Do: s.settle,
		Claim: func(ctx context.Context, n int) ([]Charge, error) {
			return claimCharges(ctx, s.store.db, n, s.settings.lease(), s.now())
		},
	})
}

// refunds makes the refunds that are due, until ctx ends.
func (s *service) refunds(ctx context.Context) error {
	return crew.New(crew.Settings[ClaimedRefund]{
		Log: s.log, Most: parallel, Do: s.giveBack,
		Claim: func(ctx context.Context, n int) ([]ClaimedRefund, error) {
			return claimRefunds(ctx, s.store.db, n, s.settings.lease(), s.now())
		},
	}).Run(ctx)
}

// prune forgets what has been kept long enough.
func (s *service) prune(ctx context.Context) error { return prune(ctx, s.store.db, s.now()) }

// note runs fn in one transaction, which has its own time limit whatever the call before it took.
func (s *service) note(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, noteLimit)
	defer cancel()
	return pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error { return fn(ctx, tx) })
}

// answer is what a provider said about a charge that was leased.
type answer struct {
	leased Charge
	result Result
	err    error // when it said nothing
}

func (a answer) order() string { return a.leased.OrderID.String() }

// note notes the answer in a charge as it is by now.
func (a answer) note(c *Charge, missingAfter time.Duration, now time.Time) Change {
	said := a.err == nil && (a.result.Outcome == Succeeded || a.result.Outcome == Declined)
	switch {
	case !said && c.Tries != a.leased.Tries: // the lease was over and somebody else is at it
		return Change{}
	case a.err == nil:
		return c.Settle(a.result, missingAfter, now)
	case a.leased.State == Attempted && errors.Is(a.err, ErrNotExecuted):
		return c.NotSent(now)
	default:
		return c.NoAnswer(now)
	}
}

// settle calls the provider about one leased charge, outside any transaction, and has noted what it said. Should this
// process die before that, the lease ends and the provider is asked.
func (s *service) settle(ctx context.Context, leased Charge) {
	ctx = trace.Resume(ctx, leased.Traceparent)
	a, ok := s.ask(ctx, leased)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noteLimit) // whatever the call took
	defer cancel()
	// Nearly always the charge is as it was leased, and the answer decides: what that makes of it is saved if so.
	noted, err := false, error(nil)
	if todo := a.note(new(a.leased), s.settings.MissingAfter, s.now()); todo == (Change{Captured: true}) || todo == (Change{Failed: true}) {
		noted, err = s.decided.Do(ctx, a)
	}
	if err == nil && !noted {
		_, err = s.settled.Do(ctx, a)
	}
	if err != nil {
		s.log.ErrorContext(ctx, "the provider's answer was not noted, it is asked again", "order", leased.OrderID, "error", err)
	}
}

func (s *service) ask(ctx context.Context, leased Charge) (a answer, ok bool) {
	provider, ok := s.providers[leased.Provider]
	if !ok {
		s.log.ErrorContext(ctx, "charge of a provider that is not configured", "order", leased.OrderID, "provider", leased.Provider)
		return a, false
	}
	ctx, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	a.leased = leased
	if leased.State == Attempted {
		a.result, a.err = provider.Charge(ctx, ChargeRequest{
			Key: leased.OrderID, Amount: leased.Total(), Method: leased.Method, Number: leased.Number,
		})
	} else {
		a.result, a.err = provider.Find(ctx, leased.OrderID)
	}
	if a.err != nil {
		s.log.WarnContext(ctx, "provider", "order", leased.OrderID, "state", leased.State, "tries", leased.Tries, "error", a.err)
	}
	return a, true
}

// decide saves the charges that answers decide, each unless it has changed since it was leased, and tells which it saved.
func (s *service) decide(ctx context.Context, answers []answer) ([]gather.Answer[bool], error) {
	now := s.now()
	var (
		charges []changed
		told    []outbox.Event
	)
	for _, a := range answers {
		c := a.leased
		todo := a.note(&c, s.settings.MissingAfter, now)
		c.UpdatedAt = now
		charges, told = append(charges, changed{&c, a.leased.State}), append(told, todo.tells(&c)...)
	}
	saved, err := decideCharges(ctx, s.store.db, charges, told)
	if err != nil {
		return nil, err
	}
	decided := make([]gather.Answer[bool], len(answers))
	for i := range decided {
		decided[i].Value = saved[i]
	}
	return decided, nil
}

// settleAll notes answers in the charges as they are by now.
func (s *service) settleAll(ctx context.Context, answers []answer) error {
	said, causes := map[uuid.UUID]answer{}, map[uuid.UUID]string{}
	for _, a := range answers {
		said[a.leased.OrderID], causes[a.leased.OrderID] = a, ""
	}
	return pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
		return s.changeAll(ctx, tx, causes, func(c *Charge, now time.Time) Change {
			return said[c.OrderID].note(c, s.settings.MissingAfter, now)
		})
	})
}

// giveBack calls the provider about one claimed refund, outside any transaction, and notes what it said. When that is
// no, or when it is the last try, the provider is also asked what it has given back of the charge.
func (s *service) giveBack(ctx context.Context, claimed ClaimedRefund) {
	ctx = trace.Resume(ctx, claimed.Traceparent)
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
