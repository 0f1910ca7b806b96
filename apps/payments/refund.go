package main

import (
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

// orderCancelled is the reason of refunds that nobody asked for by hand.
const orderCancelled = "order-cancelled"

// Refund gives back some of a captured charge. Its id is the key that the provider knows it by, so that asking
// again makes no second one.
type Refund struct {
	ID          uuid.UUID
	OrderID     uuid.UUID
	Amount      int64 // minor units of the charge's currency
	Reason      string
	RequestedBy *uuid.UUID // the administrator; nil: the order was cancelled
	State       RefundState
	Error       string
	ProviderRef string
	Tries       int
	NextTryAt   time.Time
	LeasedUntil *time.Time
	CreatedAt   time.Time
	EndedAt     *time.Time
}

// Left is what of the charge is neither given back nor about to be.
func Left(c *Charge, refunds []Refund) money.Money {
	return without(c, refunds, RefundDone, RefundRequested)
}

// Kept is what of the charge has not been given back yet.
func Kept(c *Charge, refunds []Refund) money.Money { return without(c, refunds, RefundDone) }

// Returned is what of the charge has been given back.
func Returned(c *Charge, refunds []Refund) money.Money {
	return c.Taken().Sub(Kept(c, refunds))
}

func without(c *Charge, refunds []Refund, states ...RefundState) money.Money {
	left := c.Taken()
	for _, r := range refunds {
		for _, s := range states {
			if r.State == s {
				left.Amount -= r.Amount
			}
		}
	}
	return left
}

// NewRefund is a refund of amount, or of all that is left when amount is nil; due at once. It returns
// ErrNotCaptured, ErrRefundTooLarge (also when nothing is left), or an invalid amount.
func NewRefund(c *Charge, refunds []Refund, amount *money.Money, reason string, by *uuid.UUID, now time.Time) (*Refund, error) {
	if c.CapturedAt == nil {
		return nil, ErrNotCaptured
	}
	left := Left(c, refunds)
	if amount == nil {
		amount = &left
	} else if amount.Currency != c.Currency {
		return nil, problem.Invalid422("body.amount.currency", "is not the payment's currency")
	} else if amount.Amount <= 0 {
		return nil, problem.Invalid422("body.amount.amount_minor", "must be more than nothing")
	}
	if left.Amount <= 0 || amount.Amount > left.Amount {
		return nil, ErrRefundTooLarge.Detail("%s is left to refund.", left).With("left", left)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return &Refund{
		ID: id, OrderID: c.OrderID, Amount: amount.Amount, Reason: reason, RequestedBy: by,
		State: RefundRequested, NextTryAt: now, CreatedAt: now,
	}, nil
}

// Settle notes what the provider said about the refund and reports whether it was made just now. Once it is made
// nothing takes that back.
func (r *Refund) Settle(res Result, now time.Time) (made bool) {
	switch {
	case r.State == RefundDone:
	case res.Outcome == Succeeded:
		r.State, r.ProviderRef, r.Error, r.LeasedUntil, r.EndedAt = RefundDone, res.Ref, "", nil, &now
		return true
	case r.State == RefundFailed:
	case res.Outcome == Declined:
		r.State, r.ProviderRef, r.Error, r.LeasedUntil, r.EndedAt = RefundFailed, res.Ref, res.Reason, nil, &now
	default:
		r.Again("the provider is still at it", now)
	}
	return false
}

// Again notes a try without an answer. The next one carries the same key.
func (r *Refund) Again(why string, now time.Time) {
	if r.State == RefundRequested {
		r.Error, r.LeasedUntil, r.NextTryAt = why, nil, now.Add(Backoff(r.Tries))
	}
}
