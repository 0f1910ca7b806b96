package main

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/drop"
)

// The states of claims.
const (
	Drawn    = drop.Drawn
	Asked    = drop.Asked
	Held     = drop.Held
	Standby  = drop.Standby
	Offered  = drop.Offered
	Bought   = drop.Bought
	Lapsed   = drop.Lapsed
	Declined = drop.Declined
	Ending   = drop.Ending
)

// ClaimState is what became of a claim.
type ClaimState = drop.ClaimState

// Claim is what an entry wants of a lot.
type Claim struct {
	EntryID uuid.UUID `json:"entry_id"`
	SKU     string    `json:"sku"`
	drop.Claim
}

// MoreTime is when a hold ends that is given more time. Errors: ErrNotHeld, ErrClaimLapsed, ErrNoMoreTime.
func (c *Claim) MoreTime(now time.Time, by time.Duration) (until time.Time, err error) {
	switch {
	case c.State == Lapsed, c.State == Held && !now.Before(*c.Until):
		return until, ErrClaimLapsed
	case c.State != Held:
		return until, ErrNotHeld
	case c.MoreTimes() == 0:
		return until, ErrNoMoreTime.With("hold_expires_at", c.Until)
	}
	return c.Until.Add(by), nil
}

// refusalOf is a refusal of inventory, empty for none; known is false for an error that is no answer.
func refusalOf(err error) (refusal drop.Refusal, known bool) {
	switch {
	case err == nil:
		return "", true
	case errors.Is(err, ErrOutOfStock):
		return drop.NoneFree, true
	case errors.Is(err, ErrClaimLapsed):
		return drop.TooLate, true
	case errors.Is(err, ErrLimitReached):
		return drop.OverLimit, true
	case errors.Is(err, ErrLotClosed):
		return drop.NoLot, true
	}
	return "", false
}
