package drop

import "math"

// sure is how many standard deviations a guess keeps from its mean, so that it
// holds 19 times in 20.
const sure = 1.64

// Showing is how many of those whom a drop called came, and how many let their
// time pass.
type Showing struct{ Came, Stayed int }

// Rate is which part of the called will come. At first it is a guess: four in
// five, worth ten people (Beta 8, 2).
func (s Showing) Rate() float64 {
	return float64(8+s.Came) / float64(10+s.Came+s.Stayed)
}

// Call is what calling the next ones for a SKU depends on.
type Call struct {
	Free     int     // units that nobody holds
	Open     int     // called, within their time, and not heard of
	Rate     float64 // Showing.Rate
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

// Chance is what somebody who waits is told about a unit.
type Chance string

// The chances.
const (
	Likely       Chance = "likely"         // offered one in nine cases of ten at least
	Unlikely     Chance = "unlikely"       // there are units, and more people ahead than these will do for
	IfOthersQuit Chance = "if-others-quit" // everything is held
)

// ChanceOf is that of somebody with so many ahead of them who have not been
// heard of. The Free, Rate and Quantity of c count.
func (c Call) ChanceOf(ahead int) Chance {
	if c.Free <= 0 {
		return IfOthersQuit
	}
	m := max(c.Quantity, 1)
	takers := float64(ahead)*c.Rate*m + sure*m*math.Sqrt(float64(ahead)*c.Rate*(1-c.Rate))
	if takers+m <= float64(c.Free) {
		return Likely
	}
	return Unlikely
}
