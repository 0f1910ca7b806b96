package main

import (
	"time"

	"github.com/google/uuid"
)

// ClaimState is what became of a claim.
type ClaimState string

// The states of claims.
const (
	Drawn    ClaimState = "drawn"   // in a draw: who is next; inventory is asked for the units before they are told
	Asked    ClaimState = "asked"   // inventory is asked for the units; after a crash nobody knows its answer
	Held     ClaimState = "held"    // until its end
	Standby  ClaimState = "standby" // nothing was free: served from what comes back
	Offered  ClaimState = "offered" // to who stood by: held until its end, for longer when it is accepted
	Bought   ClaimState = "bought"  // an order has the units
	Lapsed   ClaimState = "lapsed"  // its end came: who claims again stands behind all who have never let one lapse
	Declined ClaimState = "refused" // beyond a limit, or the lot is closed
)

// Claim is what somebody wants of a lot.
type Claim struct {
	EntryID  uuid.UUID
	SKU      string
	Quantity int64
	Position int64
	State    ClaimState
	Until    *time.Time
	Lapses   int64
	MadeAt   time.Time
	Extended int64 // times that its hold was given more time
}

// rank is a place among those who stand by: who has let a hold lapse stands behind all others.
type rank struct{ Lapses, Position int64 }

func (r rank) before(other rank) bool {
	return r.Lapses < other.Lapses || r.Lapses == other.Lapses && r.Position < other.Position
}

// Ask has a claim ask for units. It tells whether inventory is to be asked, with the claim's quantity and end: not by who
// stands by, or has to let those pass who stand by and come first. What is held is asked for again with the same end, which
// changes nothing; of what has ended it is asked what became of it, before it begins anew.
func (c *Claim) Ask(quantity int64, now time.Time, hold time.Duration, first *rank) (ask bool) {
	switch c.State {
	case Asked, Held, Bought:
		c.Quantity = max(c.Quantity, quantity)
		return true
	case Offered, Drawn: // accepts
		if now.Before(*c.Until) {
			until := now.Add(hold)
			if until.Before(*c.Until) { // who is drawn has it as long as it was said
				until = *c.Until
			}
			c.State, c.Until, c.Quantity = Asked, &until, min(c.Quantity, quantity)
		}
		return true
	case Standby:
		if quantity >= c.Quantity {
			return false
		}
	default: // it begins, or begins anew
	}
	c.Quantity, c.MadeAt, c.Extended = quantity, now, 0
	if first != nil && first.before(rank{c.Lapses, c.Position}) {
		c.State, c.Until = Standby, nil
		return false
	}
	until := now.Add(hold)
	c.State, c.Until = Asked, &until
	return true
}

// Answer is what inventory says to a claim: what the cart holds, until when, and what orders have.
func (c *Claim) Answer(held, ordered int64, until *time.Time) {
	switch {
	case ordered >= c.Quantity:
		c.State = Bought
	case held > 0:
		if c.State != Offered {
			c.State = Held
		}
		c.Until = until
	}
}

// moreTimes is how often the hold of a claim is given more time.
const moreTimes = 2

// MoreTimes is how often it may be from now on.
func (c *Claim) MoreTimes() int64 {
	if c.State != Held {
		return 0
	}
	return max(0, moreTimes-c.Extended)
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

// Lapse ends a claim whose time is over.
func (c *Claim) Lapse() {
	c.State = Lapsed
	c.Lapses++
}

// Over ends a claim whose time is over: what an order has of it by then is bought, be it fewer than were held.
func (c *Claim) Over(ordered int64) {
	if ordered == 0 {
		c.Lapse()
		return
	}
	c.State, c.Quantity = Bought, ordered
}

// Wait has a claim stand by for which nothing is free.
func (c *Claim) Wait() { c.State, c.Until = Standby, nil }
