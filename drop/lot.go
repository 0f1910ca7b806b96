package drop

import "time"

// Lot is how the units of one SKU stand in a drop. Each is one of these: free, held by a claim (in a cart, or in an order
// that is not paid yet), or sold.
type Lot struct {
	Free, Held, Sold int64
	Limit            int64 // units that one account may have of it, held and sold together
}

// Units are all of the lot's.
func (l Lot) Units() int64 { return l.Free + l.Held + l.Sold }

// Refusal says why a claim is not held; empty: it is.
type Refusal string

// The refusals.
const (
	OverLimit Refusal = "over-limit" // the account would have more than the limit
	NoneFree  Refusal = "none-free"  // fewer units are free: standby's turn
	TooLate   Refusal = "too-late"   // units would have to be taken for a claim whose time is over
	NoLot     Refusal = "no-lot"     // the lot is closed
)

// Has is what an account has of a lot.
type Has struct {
	Held    int64
	Until   *time.Time // the end of what is held
	Ordered int64      // in orders, pending and paid
}

// Hold has an account hold so much that it has a quantity in all, with what it has ordered, until a time. So the same again
// changes nothing, wherever its units are by then; it lowers nothing, and takes no time away. Refused, it changes nothing.
func (l *Lot) Hold(quantity int64, until, now time.Time, has Has) (Has, Refusal) {
	want := quantity - has.Ordered
	if want <= 0 {
		return has, ""
	}
	if more := want - has.Held; more > 0 {
		if !until.After(now) {
			return has, TooLate
		}
		if refusal := l.Claim(has.Ordered+has.Held, more); refusal != "" {
			return has, refusal
		}
		has.Held = want
	}
	if has.Until == nil || until.After(*has.Until) {
		has.Until = &until
	}
	return has, ""
}

// Claim holds more units for an account that has some of the lot already. Refused, it changes nothing.
func (l *Lot) Claim(has, more int64) Refusal {
	switch {
	case more > l.Limit-has:
		return OverLimit
	case more > l.Free:
		return NoneFree
	}
	l.Free -= more
	l.Held += more
	return ""
}

// Lapse makes held units free again: a claim's time was over, or its order was cancelled before it was paid.
func (l *Lot) Lapse(n int64) {
	l.Held -= n
	l.Free += n
}

// Sell makes held units sold ones.
func (l *Lot) Sell(n int64) {
	l.Held -= n
	l.Sold += n
}

// Return makes sold units free again: their order was cancelled before it was shipped.
func (l *Lot) Return(n int64) {
	l.Sold -= n
	l.Free += n
}
