package main

import (
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
)

// State is where the decision about a charge stands.
type State string

// A charge is requested, then attempted while the provider is called. It ends as captured, failed or voided,
// for good. It is unknown while the provider owes an answer: then the provider is asked what it did, by the
// order's id, and nothing is charged.
const (
	Requested State = "requested"
	Attempted State = "attempted"
	Unknown   State = "unknown"
	Captured  State = "captured"
	Failed    State = "failed"
	Voided    State = "voided"
)

// Ended reports whether the decision is made.
func (s State) Ended() bool { return s == Captured || s == Failed || s == Voided }

const (
	maxBackoff = time.Minute
	// tooLate is the age of an order that is not charged any more. Orders gives up far sooner; it is less than
	// keepTombstones, so that an order.placed that outlives the tombstone of its order charges nobody.
	tooLate        = 7 * 24 * time.Hour
	keepTombstones = 30 * 24 * time.Hour
)

// amountDiffers is why a charge failed of which the provider took another amount, or another currency, than it was
// asked for; also the reason of the refund.
const amountDiffers = "amount-differs"

// Backoff is the wait after so many tries: 1 s, doubling, at most a minute.
func Backoff(tries int) time.Duration {
	return min(time.Second<<min(max(tries-1, 0), 6), maxBackoff)
}

// Charge is the taking of an order's money: one an order, known by the order's id, which is also the key that
// the provider knows it by.
type Charge struct {
	OrderID          uuid.UUID
	Number           string // the order's, for people
	Email            string
	Amount           int64 // minor units, asked for
	Currency         string
	Method           string
	Provider         string
	State            State
	Reason           string // why it failed
	ProviderRef      string
	Tries            int
	NextTryAt        time.Time
	LeasedUntil      *time.Time
	AttemptedAt      *time.Time
	PlacedAt         *time.Time // nil: a tombstone, the cancel or the void came before order.placed
	CancelledAt      *time.Time // when order.cancelled came
	VoidAskedAt      *time.Time // when orders gave up while the provider was being asked
	CapturedAt       *time.Time // when the provider took the money, whatever the state says
	CapturedAmount   int64      // minor units, what it took then
	CapturedCurrency string
	Traceparent      string // of what placed the order (kit/trace); "" of charges of before it was kept
	CreatedAt        time.Time
	UpdatedAt        time.Time
}

// Total is what the charge is for.
func (c *Charge) Total() money.Money { return money.New(c.Amount, c.Currency) }

// Taken is what the provider has taken: nothing, or what it said, whatever it was asked for.
func (c *Charge) Taken() money.Money {
	if c.CapturedAt == nil {
		return money.Zero(c.Currency)
	}
	return money.New(c.CapturedAmount, c.CapturedCurrency)
}

// Owed reports whether all that was taken must go back: the order was cancelled, or the money was taken after or
// against the decision not to take it.
func (c *Charge) Owed() bool {
	return c.CapturedAt != nil && (c.CancelledAt != nil || c.State != Captured)
}

// Voiding is the answer to orders giving up on a charge. Amount is what the provider took, Reason why it failed.
type Voiding struct {
	Status State
	Reason string
	Amount money.Money
}

// Change is what follows from a change of a charge, besides the row itself, and in the same transaction.
type Change struct {
	Captured bool // tell payment.captured
	Failed   bool // tell payment.failed
	Refund   bool // give back what is left
}

// NewCharge is the charge of an order that was placed at a time, due at once. One that was placed too long ago is
// voided, because what was known of it may be forgotten.
func NewCharge(order uuid.UUID, number, email string, total money.Money, method, provider string, placed, now time.Time) *Charge {
	c := &Charge{
		OrderID: order, Number: number, Email: email, Amount: total.Amount, Currency: total.Currency, Method: method, Provider: provider,
		State: Requested, NextTryAt: now, PlacedAt: &now, CreatedAt: now, UpdatedAt: now,
	}
	if now.Sub(placed) > tooLate {
		c.State = Voided
	}
	return c
}

// Tombstone is the charge of an order that is never to be charged, because its cancel or void came first.
func Tombstone(order uuid.UUID, now time.Time) *Charge {
	return &Charge{OrderID: order, State: Voided, NextTryAt: now, CreatedAt: now, UpdatedAt: now}
}

// Place notes what order.placed tells. A tombstone learns its details and stays voided. A charge that has ended
// says so again, since orders, still waiting, may have lost the first answer.
func (c *Charge) Place(placed *Charge, now time.Time) Change {
	if c.PlacedAt == nil {
		c.Number, c.Email, c.Amount, c.Currency = placed.Number, placed.Email, placed.Amount, placed.Currency
		c.Method, c.Provider, c.PlacedAt, c.Traceparent = placed.Method, placed.Provider, &now, placed.Traceparent
		return Change{}
	}
	return Change{Captured: c.State == Captured, Failed: c.State == Failed}
}

// Attempt notes that a worker is about to send the charge, which has lease for it.
func (c *Charge) Attempt(lease time.Duration, now time.Time) {
	until := now.Add(lease)
	c.State, c.AttemptedAt, c.LeasedUntil = Attempted, &now, &until
	c.Tries++
}

// Settle notes what the provider said about the charge, whoever heard it: the worker that charged, the worker
// that asked, or the webhook. The first answer decides; a later one changes nothing, except that money taken
// after the decision not to take it goes back at once. So does what is not exactly what was asked for: that is no
// payment. missingAfter is how long after a charge was sent the provider may say that it knows nothing of it and
// still be wrong, because the request is on its way.
func (c *Charge) Settle(r Result, missingAfter time.Duration, now time.Time) Change {
	switch r.Outcome {
	case Succeeded:
		if c.CapturedAt != nil {
			return Change{}
		}
		c.CapturedAt, c.ProviderRef, c.CapturedAmount, c.CapturedCurrency = &now, r.Ref, r.Amount.Amount, r.Amount.Currency
		switch {
		case c.State.Ended():
			return Change{Refund: true}
		case r.Amount != c.Total():
			c.Reason = amountDiffers
			c.end(Failed)
			return Change{Failed: true, Refund: true}
		}
		c.end(Captured)
		return Change{Captured: true, Refund: c.CancelledAt != nil}
	case Declined:
		if c.State.Ended() {
			return Change{} // also a webhook that comes behind the answer
		}
		c.ProviderRef, c.Reason = r.Ref, r.Reason
		c.end(Failed)
		return Change{Failed: true}
	case Missing:
		if c.AttemptedAt != nil && now.Before(c.AttemptedAt.Add(missingAfter)) {
			return c.NoAnswer(now)
		}
		return c.NotSent(now)
	default: // Processing
		return c.NoAnswer(now)
	}
}

// NoAnswer notes that the provider was called and what it did is not known: it is asked later.
func (c *Charge) NoAnswer(now time.Time) Change {
	if !c.State.Ended() {
		c.State, c.LeasedUntil, c.NextTryAt = Unknown, nil, now.Add(Backoff(c.Tries))
	}
	return Change{}
}

// NotSent notes that the provider has certainly not charged: it refused to try, or knows nothing of the order.
// So it may be sent again, with the same key; unless nobody wants the money any more.
func (c *Charge) NotSent(now time.Time) Change {
	switch {
	case c.State.Ended():
	case c.CancelledAt != nil || c.VoidAskedAt != nil:
		c.end(Voided)
	default:
		c.State, c.LeasedUntil, c.NextTryAt = Requested, nil, now.Add(Backoff(c.Tries))
	}
	return Change{}
}

// Cancel notes that the order was cancelled: what was captured goes back, what was not sent is never sent, and
// what is under way goes back when it lands.
func (c *Charge) Cancel(now time.Time) Change {
	if c.CancelledAt == nil {
		c.CancelledAt = &now
	}
	if c.State == Requested {
		c.end(Voided)
	}
	return Change{Refund: c.CapturedAt != nil}
}

// Void is orders giving up on the charge, answered with what already happened. Once it says "voided" the order
// is never charged. While the provider is being called it says "unknown": ask again.
func (c *Charge) Void(now time.Time) State {
	switch c.State {
	case Requested:
		c.end(Voided)
	case Attempted, Unknown:
		if c.VoidAskedAt == nil {
			c.VoidAskedAt = &now
		}
		return Unknown
	case Captured, Failed, Voided:
	}
	return c.State
}

func (c *Charge) end(s State) {
	c.State, c.LeasedUntil = s, nil
}

// Problems that clients may see.
var (
	ErrPaymentNotFound = problem.New(problem.NotFound, "payment-not-found", "There is no such payment")
	ErrNotCaptured     = problem.New(problem.Conflict, "payment-not-captured", "Nothing was captured for this order")
	ErrRefundTooLarge  = problem.New(problem.Conflict, "refund-too-large", "More than what is left to refund")
	ErrWebhookRefused  = problem.New(problem.BadRequest, "webhook-refused", "The webhook is not signed as it must be, or is too old")
)
