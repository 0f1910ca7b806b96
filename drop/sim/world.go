package main

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
)

// rules are those of package drop. Tests put wrong ones in their place, to see the judge refuse them.
type rules struct {
	positions func(n uint64, seed [32]byte) []uint64
	more      func(drop.Call) int
	called    func(before, after int64) int64
	hold      func(l *drop.Lot, quantity int64, until, now time.Time, has drop.Has) (drop.Has, drop.Refusal)
	serve     func(free int64, wanted []int64) (served []int, left int64)
	likely    func(l drop.Line, called int64) int64
	wait      func(ahead, perMin int64) (from, to float64, known bool)
	poll      func(waiting int64) [2]int64
	enough    func(part float64) bool
	own       func(idx, n uint64, seed [32]byte) uint64 // as pages work it out
	tells     bool                                      // n and the seed, in the status
	entries   int                                       // that an account has at most
}

var theRules = rules{
	positions: drop.Positions, more: drop.Call.More, called: func(before, after int64) int64 { return max(before, after) },
	hold: (*drop.Lot).Hold, serve: drop.Serve, likely: drop.Line.LikelyBelow, wait: drop.Wait, poll: drop.Poll,
	enough: drop.PartLikely, own: drop.Position, tells: true, entries: 1,
}

// kind is how somebody behaves.
type kind uint8

const (
	plain    kind = iota // has the page open, or not; comes or not, buys or not
	keen                 // has the page open, comes whenever called, buys
	sleeper              // has entered, and looks again some minutes after the opening
	leaver               // has entered, and never looks again
	comeback             // loses their phone, and comes back 20 minutes after the opening with another device
	late                 // enters after the opening
	bot                  // one of many accounts of one owner, which acts as soon as the status has changed, and buys
	tabs                 // one account with many tabs, each of which enters and claims; else like a bot
	kinds    = iota
)

// page is what somebody's page shows.
type page uint8

const (
	waiting page = iota
	turn         // called: they read it, and act
	standing
	accepting
	holding
	bought
	done // lapsed, refused, or not wanted any more
)

// shopper is one account.
type shopper struct {
	chance        stream
	kind          kind
	page          page
	sku           uint8
	wants         int8
	idx, position int32
	was           int32 // position, in the judge's books of the draw
	here          bool  // a page of theirs looks
	looking       bool  // and will look again
	gone          bool  // they have closed it for good
	left          bool  // and told the shop
	comes, buys   bool  // when called; when held for
	mayAgain      bool  // may ask again when a hold has lapsed
	got           bool  // a unit was held for them, at any time
	toldSold      bool
	enters        ms // before the opening: below 0
	first         ms // look after the opening
	known         ms // when they knew their own number
	bodyAt        ms // when they last asked for what is their own
	calledAt      ms // -1: not yet
	batch         int32
	entries       uint8 // in the log: one
	looks, asksAt uint8 // looks since the opening; at which one they note the time that they are told
	words         uint8 // what they were told of their chance, as bits
	told          waitTold
	claim         *drop.Claim
	has           drop.Has
	counted       bool // by the judge, among those who want a unit at this moment
}

// waitTold is when somebody was told that it may be their turn.
type waitTold struct{ at, from, to, mean ms }

// lot is a SKU's lot and line.
type lot struct {
	drop.Lot
	stood            drop.Lot // as drops last heard
	called, likely   int64
	calls            []call
	settled          int // calls whose time is over
	came, stayed     int64
	entrants, wanted int64
	standby          []int32 // who stands by, the next first
	seen             int64   // how far bots have looked
	judged           judgedLot
}

// call is one second's.
type call struct {
	first, last  int64
	at           ms
	called, came int64
}

// status is what pages read.
type status struct {
	told, open, over bool // the order is drawn; it is open; it is over
	n                int64
	seed             *[32]byte // nil: not told yet
	poll             [2]int64
	skus             []skuStatus
}

type skuStatus struct{ called, free, held, sold, perMin, likely int64 }

// A drop as staff make it, but for what differs from seed to seed.
const (
	grace      = 45 * second
	standbyFor = 60 * time.Second
	closesAt   = 1800 * second
	never      = ms(math.MaxInt64)
)

// scene is what differs.
type scene struct {
	seed     uint64
	shoppers int
	tabs     int
	rules    rules
}

// world is one drop, from its pre-queue to its end.
type world struct {
	scene
	chance    stream
	events    queue
	now       ms
	shoppers  []shopper
	log       []int32 // accounts in the order in which they entered
	line      []int32 // accounts by position
	n         int64   // whose order was drawn
	drawn     [32]byte
	most      int64 // called in a second
	holds     time.Duration
	opened    ms
	told      bool // the seed
	isOpen    bool
	over      bool
	lots      []lot
	parts     []float64 // before the opening, by SKU
	read, doc status
	claims    []int32 // on their way
	gathering bool
	batch     int32
	due       []int32 // whose claim's end has come
	decline   float64 // how often a payment is declined
	found     found
}

var opening = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func (w *world) time() time.Time { return opening.Add(time.Duration(w.now) * time.Millisecond) }

func (w *world) at(at ms, who int32, do action) { w.events.push(event{at, who, do}) }

// run plays a drop from its first entry to its end.
func run(sc scene) found {
	w := newWorld(sc)
	for len(w.events) > 0 {
		e := w.events.pop()
		w.now = e.at
		e.do.of(w, e.who)
	}
	w.judgeEnd()
	return w.found
}

// newWorld makes a drop and those who come to it, and lets them enter.
func newWorld(sc scene) *world {
	w := &world{scene: sc, chance: stream(sc.seed), shoppers: make([]shopper, sc.shoppers)}
	w.chance.next()
	c := &w.chance
	w.most = []int64{2, 5, 20, 100}[c.next()%4]
	w.holds = []time.Duration{3 * time.Minute, 5 * time.Minute, 10 * time.Minute}[c.next()%3]
	if sc.shoppers > 20_000 { // so that it is sold out before it closes
		w.most, w.holds = []int64{50, 100, 200}[c.next()%3], 3*time.Minute
	}
	skus := 1 + int(c.next()%3)
	// Of the demand: seldom there is enough for all.
	part := math.Exp(c.between(math.Log(.01), math.Log(.4)))
	if sc.shoppers > 20_000 {
		part /= 10
	} else if c.is(.12) {
		part = c.between(.5, 1.3)
	}
	limit := 1 + int64(c.next()%3)
	shows, buys := c.between(.5, .97), c.between(.6, .97)
	w.decline = c.between(0, .15)
	for range skus {
		units := max(int64(float64(sc.shoppers)*part/float64(skus)), 3)
		w.lots = append(w.lots, lot{
			Lot: drop.Lot{Free: units, Limit: limit}, judged: judgedLot{units: units, limit: limit, soldAt: never, since: never},
		})
	}
	for i := range w.shoppers {
		s := &w.shoppers[i]
		*s = shopper{chance: stream(sc.seed<<32 ^ uint64(i)<<1), idx: -1, position: -1, calledAt: -1, known: -1, told: waitTold{at: -1}}
		s.chance.next()
		w.born(s, skus, limit, shows, buys)
	}
	order := make([]int32, 0, sc.shoppers)
	for i := range w.shoppers {
		if w.shoppers[i].kind == late {
			w.at(w.shoppers[i].enters, int32(i), join)
		} else {
			order = append(order, int32(i))
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		if d := w.shoppers[a].enters - w.shoppers[b].enters; d != 0 {
			return int(d)
		}
		return int(a - b)
	})
	for _, i := range order {
		w.enter(i)
	}
	w.draw()
	w.doc, w.read = w.status(), w.status()
	w.at(w.drawsAt(), 0, tell)
	w.at(seconds(c.unit()), 0, readStatus)
	if c.is(.5) {
		w.at(seconds(c.between(30, 900)), 0, restock)
	}
	return w
}

// Of a beacon's round: how long after its time a relay has it at the latest, which is a guess; and microseconds in which drops
// writes a position: 100,000 of them on a database of the tests, with other work on both processors.
const (
	relayLate = 1500
	writing   = 120
)

// drawsAt is when the order is drawn, where a beacon is waited for, or not: drops looks once a second.
func (w *world) drawsAt() ms {
	froze := seconds(w.chance.unit())
	if w.chance.is(.5) {
		return froze
	}
	round := proof.Quicknet.TimeOf(proof.Quicknet.Decides(opening))
	told := round.Sub(opening).Milliseconds() + int64(w.chance.between(300, relayLate))
	return froze + (told-froze+second-1)/second*second
}

// born makes somebody up.
func (w *world) born(s *shopper, skus int, limit int64, shows, buys float64) {
	c := &s.chance
	switch u := c.unit(); {
	case u < .05:
		s.kind = bot
	case u < .06:
		s.kind = tabs
	case u < .11:
		s.kind = keen
	case u < .16:
		s.kind = comeback
	case u < .19:
		s.kind = late
	case u < .19+.81*(1-shows)*.5:
		s.kind = leaver
	case u < .19+.81*(1-shows)*.7:
		s.kind = sleeper
	}
	s.sku = uint8(c.next() % uint64(skus))
	s.wants = int8(1 + c.next()%uint64(limit))
	s.enters = -seconds(c.between(1, 600))
	s.first = seconds(8 * c.unit())
	s.comes, s.buys = c.is(1-(1-shows)*.3), c.is(buys)
	s.mayAgain = c.is(.3)
	s.asksAt = uint8(1 + 20*c.unit()*c.unit())
	switch s.kind {
	case bot, tabs:
		s.enters = -seconds(600 - c.between(0, 1))
		s.comes, s.buys, s.first = true, true, never
	case keen:
		s.comes, s.buys = true, true
	case sleeper:
		s.first = seconds(30 + c.exp(300))
	case leaver:
		s.first = never
	case comeback:
		s.first = seconds(1200 + c.between(0, 60))
	case late:
		s.enters = seconds(c.exp(120))
		s.first = never // until they are in
	default:
	}
}

// enter gives an account its place in the log, whichever of its devices asks, and however often.
func (w *world) enter(i int32) (idx int32) {
	s, l := &w.shoppers[i], &w.lots[w.shoppers[i].sku]
	times := 1
	if s.kind == tabs {
		times = w.tabs
	}
	for range times {
		w.found.requests.entries++
		if int(s.entries) >= w.rules.entries {
			continue
		}
		s.entries++
		s.idx = int32(len(w.log))
		w.log = append(w.log, i)
		if w.n > 0 {
			s.position = s.idx
			w.line = append(w.line, i)
		}
		l.entrants++
		l.wanted += int64(s.wants)
	}
	return s.idx
}

// draw shuffles who is there.
func (w *world) draw() {
	secret := sha256.Sum256(binary.BigEndian.AppendUint64(nil, w.seed))
	root := sha256.Sum256(secret[:])
	for sku := range w.lots {
		w.parts = append(w.parts, w.lineOf(sku).Part(w.lots[sku].Units()))
	}
	w.n = int64(len(w.log))
	w.drawn = drop.Seed(secret, nil, root, uint64(w.n))
	w.line = make([]int32, w.n)
	positions := w.rules.positions(uint64(w.n), w.drawn)
	for idx, p := range positions {
		i := w.log[idx]
		w.line[p] = i
		if s := &w.shoppers[i]; s.position < 0 || int64(p) < int64(s.position) { // of several places one uses the best
			s.position = int32(p)
		}
	}
	w.judgeDraw(positions)
}
