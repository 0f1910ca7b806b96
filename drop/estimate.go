package drop

import (
	"math"
	"sort"
)

// Chance is what somebody who waits is told about a unit.
type Chance string

// The chances.
const (
	Likely       Chance = "likely"         // offered one in nine cases of ten at least
	Unlikely     Chance = "unlikely"       // there are units, and more people ahead than these will surely do for
	IfOthersQuit Chance = "if-others-quit" // everything is held
)

// ChanceAt is the chance of somebody who waits: likely is up to which position units will do (Line.LikelyBelow), free are
// the units that nobody holds.
func ChanceAt(position, likely, free int64) Chance {
	switch {
	case position < likely:
		return Likely
	case free <= 0:
		return IfOthersQuit
	}
	return Unlikely
}

// LikelyBelow is up to which position units will do as they are free now, when whoever has a position below called was
// called: it is likely that somebody with a position below it is offered one. It is called itself where nothing is free.
// As pages compare it with their own position, nothing of what it depends on is told to them.
func (l Line) LikelyBelow(called int64) int64 {
	people := int64(l.Call().doesFor())
	if people == 0 || l.Entrants <= 0 {
		return called + people
	}
	// Of the positions, those who want something else are passed over.
	return called + int64(float64(people)*max(float64(l.Entered)/float64(l.Entrants), 1))
}

// doesFor is for how many more than the called the free units will do: the most of whom it is nearly sure that one more
// finds a unit when all who come have theirs. The rate itself is a guess, the better the more people it was learnt of: the
// spread is that of a beta-binomial distribution.
func (c Call) doesFor() int {
	p, m, known := c.Rate, max(c.Quantity, 1), float64(c.Known)
	full := func(n int) bool {
		x := float64(c.Open + n)
		spread := math.Sqrt(x * p * (1 - p) * (known + x) / (known + 1))
		return (x*p+sure*spread)*m+m > float64(c.Free)
	}
	return sort.Search(int(float64(c.Free)/(p*m))+1, full)
}

// Part is, before the opening, the part of those who have entered so far whom so many units will do for: 0 to 1. It is
// everybody's, since the order is drawn by chance.
func (l Line) Part(units int64) float64 {
	if l.Entrants <= 0 {
		return 1
	}
	c := l.Call()
	return min(1, float64(units)/(float64(l.Entrants)*c.Rate*c.Quantity))
}

// nearlyAll is the part from which on everybody is likely offered a unit.
const nearlyAll = .95

// PartLikely tells whether a part is nearly everybody.
func PartLikely(part float64) bool { return part >= nearlyAll }

// Of those who were told a time in the simulation (docs/dropsim.md), one in ten was called before soonest times what the
// rate of calls says, and one in ten after latest times that.
const (
	soonest = .59
	latest  = 1.09
)

// Wait is when somebody with so many positions ahead will be called, as a range of minutes that holds in eight cases of
// ten, from the positions by which the line came forward within a minute. known is false while it stands still.
func Wait(ahead, perMin int64) (from, to float64, known bool) {
	if ahead < 0 || perMin <= 0 {
		return 0, 0, false
	}
	mean := float64(ahead+1) / float64(perMin)
	return mean * soonest, mean * latest, true
}

// PerMin is the pace of a line, in positions a minute: it came forward by so many within the last minute, or since it was
// opened, which was so many seconds ago. It moves once a second, first when it is opened.
func PerMin(forward int64, seconds float64) int64 {
	moves := min(math.Floor(max(seconds, 0))+1, 60)
	return int64(math.Round(float64(forward) * 60 / moves))
}
