package drop

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
)

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
