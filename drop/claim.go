package drop

import (
	"cmp"
	"slices"
	"time"
)

// ClaimState is what became of a claim.
type ClaimState string

// The states of claims.
const (
	Drawn    ClaimState = "drawn"   // in a draw: who is next, or after a pause: inventory is asked for the units before it is an offer
	Asked    ClaimState = "asked"   // inventory is asked for the units; after a crash nobody knows its answer
	Held     ClaimState = "held"    // until its end
	Standby  ClaimState = "standby" // nothing was free: served from what comes back
	Offered  ClaimState = "offered" // to who stood by: held until its end, for longer when it is accepted
	Bought   ClaimState = "bought"  // an order has the units
	Lapsed   ClaimState = "lapsed"  // its end came: who claims again stands behind all who have never let one lapse
	Declined ClaimState = "refused" // beyond a limit, or the lot is closed
	Ending   ClaimState = "ending"  // of who has left, or is shut out: inventory is asked to take back what it holds for it
)

// Claim is what somebody wants of a lot.
type Claim struct {
	Quantity int64      `json:"quantity"`
	Position int64      `json:"position"`
	State    ClaimState `json:"state"`
	Until    *time.Time `json:"until"`
	Lapses   int64      `json:"lapses"`
	MadeAt   time.Time  `json:"made_at"`  // of one that stands by: since when
	Extended int64      `json:"extended"` // times that its hold was given more time

	OfferedAt *time.Time `json:"offered_at"` // when who stood by was served; nil: served at once, or not yet
	Offered   int64      `json:"offered"`    // units, then; accepting may take fewer, and more may be claimed later
}

// Rank is a place among those who stand by: who has let a hold lapse stands behind all others.
type Rank struct{ Lapses, Position int64 }

// Compare is below 0 when r is served before other.
func (r Rank) Compare(other Rank) int {
	return cmp.Or(cmp.Compare(r.Lapses, other.Lapses), cmp.Compare(r.Position, other.Position))
}

// Rank is where a claim stands among those that stand by.
func (c *Claim) Rank() Rank { return Rank{c.Lapses, c.Position} }

// Ask has a claim ask for units. It tells whether inventory is to be asked, and for what: not by who stands by, or has to let those
// pass who stand by and come first. What is held is asked for again with the same end, which changes nothing. More is asked for
// beside it, and is the claim's only once inventory has said yes: refused, what was held or bought is so still. Of what has ended
// it is asked what became of it, before it begins anew.
func (c *Claim) Ask(quantity int64, now time.Time, hold time.Duration, first *Rank) (asked Claim, ask bool) {
	until, passes := now.Add(hold), first != nil && first.Compare(c.Rank()) < 0
	switch c.State {
	case Asked:
		return *c, true
	case Held, Bought:
		asked = *c
		if quantity > c.Quantity && !passes {
			asked.Quantity = quantity
			if c.State == Bought {
				asked.Until = &until
			}
		}
		return asked, true
	case Offered, Drawn: // accepts
		if now.Before(*c.Until) {
			if until.Before(*c.Until) { // who is drawn has it as long as it was said
				until = *c.Until
			}
			c.State, c.Until, c.Quantity = Asked, &until, min(c.Quantity, quantity)
		}
		return *c, true
	case Ending: // nothing begins anew before this is over
		return *c, false
	case Standby:
		if quantity >= c.Quantity {
			return *c, false
		}
	default: // it begins, or begins anew
	}
	c.Quantity, c.MadeAt, c.Extended, c.OfferedAt, c.Offered = quantity, now, 0, nil, 0
	if passes {
		c.Wait(now)
		return *c, false
	}
	c.State, c.Until = Asked, &until
	return *c, true
}

// Answer is what inventory says to a claim: what the account has.
func (c *Claim) Answer(has Has) {
	switch {
	case has.Ordered >= c.Quantity:
		c.State, c.Quantity = Bought, has.Ordered
	case has.Held > 0:
		if c.State != Offered && c.State != Drawn {
			c.State = Held
		}
		c.Until = has.Until
	}
}

// Answered notes what inventory has said to what was asked: a refusal, or what the account has. It tells whether the claim's
// owner is refused. A refusal is none when somebody has asked for something else meanwhile, whose answer counts. Who holds some, or
// has bought them, and asks for more of which nothing is free, has what they have.
func (c *Claim) Answered(asked Claim, has Has, refusal Refusal, now time.Time) (refused bool) {
	if c.State == Ending { // whatever it is, it is taken back
		return false
	}
	mine := c.Until != nil && asked.Until != nil && c.Until.Equal(*asked.Until) && c.Quantity == asked.Quantity
	kept := c.State == Held || c.State == Bought
	switch {
	case refusal == "":
		if kept && asked.Quantity > c.Quantity && has.Held+has.Ordered >= asked.Quantity {
			c.Quantity = asked.Quantity
		}
		c.Answer(has)
		if has.Held == 0 && c.State == Held && mine {
			c.Over(has.Ordered)
		}
	case refusal == TooLate && mine:
		c.Lapse()
		return true
	case kept:
		return asked.State == c.State && refusal != NoneFree
	case !mine:
	case refusal == NoneFree:
		c.Wait(now)
	default:
		c.Decline()
		return true
	}
	return false
}

// Learn notes what became of a claim that holds something, or ends.
func (c *Claim) Learn(has Has, now time.Time) {
	if c.State != Ending {
		c.Answer(has)
	}
	if c.State != Bought && has.Held == 0 && !now.Before(*c.Until) {
		c.Over(has.Ordered)
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

// Over ends a claim whose time is over: what an order has of it by then is bought, be it fewer than were held.
func (c *Claim) Over(ordered int64) {
	if ordered == 0 {
		c.Lapse()
		return
	}
	c.State, c.Quantity = Bought, ordered
}

// Lapse ends a claim whose time is over.
func (c *Claim) Lapse() {
	c.State = Lapsed
	c.Lapses++
}

// Wait has a claim stand by for which nothing is free. It does so from now on, however long ago inventory was asked first: who was
// served in between has passed nobody over.
func (c *Claim) Wait(now time.Time) {
	c.State, c.Until, c.MadeAt, c.OfferedAt, c.Offered = Standby, nil, now, nil, 0
}

// GiveUp has a claim end whose owner has left, or is shut out: what they have not accepted, and of who is shut out also what is held.
// What an order has is its buyer's, and what is held for who has left on their own is theirs to buy until its end. Until some time
// inventory is asked to take back what it holds. It tells whether there is anything to take back.
func (c *Claim) GiveUp(shutOut bool, until time.Time) bool {
	switch c.State {
	case Drawn, Asked, Offered:
	case Held:
		if !shutOut {
			return false
		}
	default:
		return false
	}
	c.State, c.Until = Ending, &until
	return true
}

// Decline ends a claim that can have nothing.
func (c *Claim) Decline() { c.State, c.Until = Declined, nil }

// Offer holds for who stands by, until they accept: it tells whether there is anything to ask inventory for. Now is when it was
// found out who is next: whoever stands by since then was not passed over.
func (c *Claim) Offer(now, until time.Time) bool {
	if c.State != Standby {
		return false
	}
	c.State, c.Until, c.OfferedAt, c.Offered = Offered, &until, &now, c.Quantity
	return true
}

// Serve says whose turn it is of those who stand by, in the order of their ranks, when so many units are free: their places
// among them, and what is left. Who wants more than is left is passed over, so that no unit waits for another one.
func Serve(free int64, wanted []int64) (served []int, left int64) {
	for i, quantity := range wanted {
		if quantity <= free {
			served = append(served, i)
			free -= quantity
		}
	}
	return served, free
}

// InTurn puts claims that arrive together into the order in which they are served.
func InTurn[T any](claims []T, position func(T) int64) {
	slices.SortStableFunc(claims, func(a, b T) int { return cmp.Compare(position(a), position(b)) })
}
