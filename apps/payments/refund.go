package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
)

// RefundState is where a refund stands.
type RefundState string

// A refund is requested until the provider has made it or refused it.
const (
	RefundRequested RefundState = "requested"
	RefundDone      RefundState = "done"
	RefundFailed    RefundState = "failed"
)

// Origin is who wanted a refund.
type Origin string

// The origins. Automatic: nobody asked, the money must not stay. Provider: somebody made it in the provider's own
// pages, and it is noted here.
const (
	Automatic  Origin = "automatic"
	Staff      Origin = "staff"
	AtProvider Origin = "provider"
)

// The reasons of refunds that nobody gave one for; besides amountDiffers.
const (
	orderCancelled = "order-cancelled"
	madeElsewhere  = "refunded-at-provider"
)

const (
	maxRefundBackoff = time.Hour
	maxRefundTries   = 32 // about a day, with RefundBackoff between them
)

// RefundBackoff is the wait after so many tries of a refund: 2 s, doubling, at most an hour.
func RefundBackoff(tries int) time.Duration {
	return min(2*time.Second<<min(max(tries-1, 0), 11), maxRefundBackoff)
}

// Refund gives back some of what was captured. The provider knows it by its key, so that asking again makes no
// second one.
type Refund struct {
	ID          uuid.UUID
	OrderID     uuid.UUID
	Key         string
	Amount      int64 // minor units of what was captured
	Reason      string
	Origin      Origin
	RequestedBy *uuid.UUID // the administrator; nil: none
	State       RefundState
	Error       string
	ProviderRef string
	Tries       int
	NextTryAt   time.Time
	LeasedUntil *time.Time
	Traceparent string // of what asked for it (kit/trace)
	CreatedAt   time.Time
	EndedAt     *time.Time
}

// Left is what of the charge is neither given back nor about to be. It is less than nothing when somebody has given
// back elsewhere what was about to be given back here.
func Left(c *Charge, refunds []Refund) money.Money {
	return without(c, refunds, RefundDone, RefundRequested)
}

// Returned is what of the charge has been given back.
func Returned(c *Charge, refunds []Refund) money.Money {
	return c.Taken().Sub(without(c, refunds, RefundDone))
}

func without(c *Charge, refunds []Refund, states ...RefundState) money.Money {
	left := c.Taken()
	for _, r := range refunds {
		if slices.Contains(states, r.State) {
			left.Amount -= r.Amount
		}
	}
	return left
}

// NewRefund is a refund of amount, or of all that is left when amount is nil, that an administrator asks for; due at
// once. It returns ErrNotCaptured, ErrRefundTooLarge (also when nothing is left), or an invalid amount.
func NewRefund(c *Charge, refunds []Refund, amount *money.Money, reason string, by uuid.UUID, now time.Time) (*Refund, error) {
	if c.CapturedAt == nil {
		return nil, ErrNotCaptured
	}
	left := Left(c, refunds)
	if amount == nil {
		amount = &left
	} else if amount.Currency != left.Currency {
		return nil, problem.InvalidField("body.amount.currency", problem.CodeNotAllowed, "is not the payment's currency")
	} else if amount.Amount <= 0 {
		return nil, problem.InvalidField("body.amount.amount_minor", problem.CodeTooSmall, "must be more than nothing")
	}
	if left.Amount <= 0 || amount.Amount > left.Amount {
		left.Amount = max(left.Amount, 0)
		return nil, ErrRefundTooLarge.Detail("%s is left to refund.", left).With("left", left)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return &Refund{
		ID: id, OrderID: c.OrderID, Key: id.String(), Amount: amount.Amount, Reason: reason, Origin: Staff, RequestedBy: &by,
		State: RefundRequested, NextTryAt: now, CreatedAt: now,
	}, nil
}

// AutomaticRefund is the refund of all that is left of a charge whose money must go back. There is one of an order at
// a time, which is asked for under the same key however long that takes. So it is nil when nothing is owed or left,
// while there is one, and when one has failed: that is for people. key is called for a key that no refund has had.
func AutomaticRefund(c *Charge, refunds []Refund, key func() (string, error), now time.Time) (*Refund, error) {
	one := func(r Refund) bool { return r.Origin == Automatic && r.State != RefundDone }
	left := Left(c, refunds)
	if !c.Owed() || left.Amount <= 0 || slices.ContainsFunc(refunds, one) {
		return nil, nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	k, err := key()
	if err != nil {
		return nil, err
	}
	reason := orderCancelled
	if c.Reason == amountDiffers {
		reason = amountDiffers
	}
	return &Refund{
		ID: id, OrderID: c.OrderID, Key: k, Amount: left.Amount, Reason: reason, Origin: Automatic,
		State: RefundRequested, NextTryAt: now, CreatedAt: now,
	}, nil
}

// automaticKey is the n-th key under which an order's money is given back by itself.
func automaticKey(order uuid.UUID, n int) string { return fmt.Sprintf("refund:%s:%d", order, n) }

// Elsewhere is a refund that was made in the provider's own pages.
func Elsewhere(order uuid.UUID, g Given, now time.Time) (*Refund, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return &Refund{
		ID: id, OrderID: order, Key: g.Key, Amount: g.Amount.Amount, Reason: madeElsewhere, Origin: AtProvider,
		State: RefundDone, ProviderRef: g.Ref, NextTryAt: now, CreatedAt: now, EndedAt: &now,
	}, nil
}

// Settle notes what the provider said about the refund and reports whether it was made just now. Once it is made
// nothing takes that back.
func (r *Refund) Settle(res Result, now time.Time) (made bool) {
	switch {
	case r.State == RefundDone:
	case res.Outcome == Succeeded:
		r.State, r.ProviderRef, r.Error, r.LeasedUntil, r.EndedAt = RefundDone, res.Ref, "", nil, &now
		if res.Amount.Amount > 0 {
			r.Amount = res.Amount.Amount
		}
		return true
	case r.State == RefundFailed:
	case res.Outcome == Declined:
		r.fail(res.Reason, now)
		r.ProviderRef = res.Ref
	default:
		r.Again("the provider is still at it", now)
	}
	return false
}

// Again notes a try without an answer. The next one carries the same key.
func (r *Refund) Again(why string, now time.Time) {
	if r.State == RefundRequested {
		r.Error, r.LeasedUntil, r.NextTryAt = why, nil, now.Add(RefundBackoff(r.Tries))
	}
}

// NoAnswer is Again until the last try; after that people must see to it.
func (r *Refund) NoAnswer(why string, now time.Time) {
	if r.Again(why, now); r.State == RefundRequested && r.Tries >= maxRefundTries {
		r.fail(why, now)
	}
}

// Shrink makes a refund that was refused one of what there is left to give back, under another key, due at once: a
// key stands for one amount.
func (r *Refund) Shrink(amount int64, key string, now time.Time) {
	r.Amount, r.Key, r.Error, r.LeasedUntil, r.NextTryAt = amount, key, "", nil, now
}

func (r *Refund) fail(why string, now time.Time) {
	r.State, r.Error, r.LeasedUntil, r.EndedAt = RefundFailed, why, nil, &now
}
