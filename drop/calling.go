package drop

import "math"

// sure is how many standard deviations a guess keeps from its mean, so that it
// holds 19 times in 20.
const sure = 1.64

// Showing is how many of those whom a drop called came, and how many let their
// time pass.
type Showing struct{ Came, Stayed int }

// Before anybody was called, four in five are thought to come, with the weight
// of ten people (Beta 8, 2).
const (
	guessedCame = 8
	guessed     = 10
)

// Rate is which part of the called will come.
func (s Showing) Rate() float64 {
	return float64(guessedCame+s.Came) / float64(s.known())
}

// known is of how many people the rate was learnt, with those of the guess.
func (s Showing) known() int { return guessed + s.Came + s.Stayed }

// Line is what a drop knows of those who want a SKU, and of its lot.
type Line struct {
	Free, Open       int64 // units that nobody holds; people called, within their time, and not heard of
	Came, Stayed     int64 // people called whose time is over
	Entrants, Wanted int64 // people who entered for it, and the units that they want
	Entered          int64 // people who entered the drop: as many positions there are
	Most             int64 // people called in a second, at most
}

// Call is what calling the next ones depends on.
func (l Line) Call() Call {
	shown := Showing{Came: int(l.Came), Stayed: int(l.Stayed)}
	return Call{
		Free: int(l.Free), Open: int(l.Open), Rate: shown.Rate(), Known: shown.known(), Quantity: l.quantity(), Most: int(l.Most),
	}
}

// quantity is how many units somebody wants, on average.
func (l Line) quantity() float64 {
	if l.Entrants <= 0 {
		return 1
	}
	return max(float64(l.Wanted)/float64(l.Entrants), 1)
}

// Call is what calling the next ones for a SKU depends on.
type Call struct {
	Free     int     // units that nobody holds
	Open     int     // called, within their time, and not heard of
	Rate     float64 // Showing.Rate
	Known    int     // of how many people the rate was learnt
	Quantity float64 // units that one who comes takes, on average; at least 1
	Most     int     // that the shop can serve at a time
}

// More is how many to call now: the most of whom it is nearly sure that all who
// come find a unit. It is never fewer than there are units for, so that no unit
// waits for a guess. To call too many admits nobody too many: a call is an
// invitation, the claim is the hold.
func (c Call) More() int {
	if c.Free <= 0 {
		return 0
	}
	// (open+n)·p·m + sure·m·√((open+n)·p·(1−p)) ≤ free, solved for √(open+n).
	p, free := c.Rate, float64(c.Free)/max(c.Quantity, 1)
	spread := sure * math.Sqrt(p*(1-p))
	root := (math.Sqrt(spread*spread+4*p*free) - spread) / (2 * p)
	together := max(math.Floor(root*root), math.Ceil(free))
	return min(max(int(together)-c.Open, 0), c.Most)
}
