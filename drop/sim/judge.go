package main

import (
	"math"

	"github.com/stampede-shop/stampede/drop"
)

// found is what a judge, who has books of their own, saw of a drop.
type found struct {
	shoppers int
	requests requests
	refused  int64 // claims of who was not called, or came when it was over

	table [10][10]int64 // of those who were there at the opening: by the tenth in which they entered, and that of their position
	rho   float64       // the correlation of the two

	places    int64   // that accounts have beyond one each
	tabPlaces []int32 // positions of who has many tabs
	wrongOwn  int64   // pages that work out another position than the shop
	known     ms      // when the last who was there at the opening knew their own number

	tooMany   int64 // units taken beyond the lot
	overLimit int64 // times that an account had more than the limit
	fell      int64 // times that called was lower than before
	idle      ms    // the longest that a unit was free while somebody who stood by wanted it

	told      ms // the longest that it took to tell somebody who waited that all is sold
	toldCount int64
	neverTold int64

	back, backSame int64
	words          [3]said // by chance: what became of those who were told so
	before         said    // of those who were told before the opening that units would do for nearly all
	waits          int64   // times that were told
	waitsHeld      int64
	ratios         []float32 // of the time that it took to the one that the pace said; infinite when it never came

	botsCalled, botsExpected, botsVariance float64
	units, people                          [kinds]float64 // units bought, by kind
}

// requests are what pages have asked for.
type requests struct{ entries, polls, claims, bodies, positions int64 }

// said is how many were told something, and to how many of them a unit was offered.
type said struct{ told, offered int64 }

// judgedLot is what the judge knows of a lot from what accounts have.
type judgedLot struct {
	units, limit int64
	taken        int64
	called       int64
	soldAt       ms
	since        ms // when a unit became free that somebody wants who stands by
	wants        [16]int32
}

var chances = [...]drop.Chance{drop.Likely, drop.Unlikely, drop.IfOthersQuit}

func wordOf(chance drop.Chance) uint8 {
	for i, c := range chances {
		if c == chance {
			return 1 << i
		}
	}
	return 0
}

// judgeDraw looks at the order.
func (w *world) judgeDraw(positions []uint64) {
	f, n := &w.found, len(positions)
	f.shoppers = len(w.shoppers)
	mean := float64(n-1) / 2
	var together, squares float64
	for idx, p := range positions {
		f.table[idx*10/n][int(p)*10/n]++
		together += (float64(idx) - mean) * (float64(p) - mean)
		squares += (float64(idx) - mean) * (float64(idx) - mean)
	}
	f.rho = together / squares
	accounts := int64(0)
	for i := range w.shoppers {
		s := &w.shoppers[i]
		if s.idx >= 0 {
			accounts++
		}
		if s.was = s.position; s.kind == tabs {
			f.tabPlaces = append(f.tabPlaces, s.position)
		}
	}
	f.places = int64(n) - accounts
}

// judgeKnown looks at a page that has just worked out its own number.
func (w *world) judgeKnown(s *shopper, own int32) {
	switch s.kind {
	case plain, keen:
		w.found.known = max(w.found.known, w.now)
		if own != s.was {
			w.found.wrongOwn++
		}
	case comeback:
		w.found.back++
		if own == s.was {
			w.found.backSame++
		}
	default:
	}
}

// judgeCalled looks at a line that has come forward.
func (w *world) judgeCalled(sku int, before int64) {
	l := &w.lots[sku]
	if l.called < l.judged.called {
		w.found.fell++
	}
	for p := before; p < l.called; p++ {
		if s := &w.shoppers[w.line[p]]; int(s.sku) == sku && s.calledAt < 0 {
			s.calledAt = w.now
		}
	}
	l.judged.called = max(l.judged.called, l.called)
}

// judgeMoved keeps the books of what accounts have.
func (w *world) judgeMoved(s *shopper, before drop.Has) {
	j := &w.lots[s.sku].judged
	has := s.has.Held + s.has.Ordered
	j.taken += has - before.Held - before.Ordered
	if !w.over {
		w.found.tooMany = max(w.found.tooMany, j.taken-j.units)
	}
	if has > j.limit {
		w.found.overLimit++
	}
}

// judgeWants notes whether somebody wants a unit at this moment, and has the page open.
func (w *world) judgeWants(s *shopper) {
	wants := s.claim != nil && s.claim.State == drop.Standby && !s.gone && !s.left
	if wants == s.counted {
		return
	}
	s.counted = wants
	j := &w.lots[s.sku].judged
	if wants {
		j.wants[s.wants]++
	} else {
		j.wants[s.wants]--
	}
}

// judgeFree notes since when a unit is free that somebody wants.
func (w *world) judgeFree(sku int) {
	j := &w.lots[sku].judged
	wanted := false
	for quantity := int64(1); quantity <= j.units-j.taken && quantity < int64(len(j.wants)); quantity++ {
		wanted = wanted || j.wants[quantity] > 0
	}
	switch wanted = wanted && !w.over; {
	case wanted && j.since == never:
		j.since = w.now
	case !wanted && j.since != never:
		w.found.idle = max(w.found.idle, w.now-j.since)
		j.since = never
	}
}

// judgeSold notes when the last unit was sold.
func (w *world) judgeSold(sku int) {
	l := &w.lots[sku]
	switch sold := l.Sold >= l.judged.units; {
	case sold && l.judged.soldAt == never:
		l.judged.soldAt = w.now
	case !sold:
		l.judged.soldAt = never
	}
}

// judgeTold notes when somebody who waited reads that all is sold.
func (w *world) judgeTold(s *shopper) {
	at := w.lots[s.sku].judged.soldAt
	if s.toldSold || at == never {
		return
	}
	s.toldSold = true
	if s.known <= at {
		w.found.toldCount++
		w.found.told = max(w.found.told, w.now-at)
	}
}

// judgeEnd looks back at all who were there.
func (w *world) judgeEnd() {
	f := &w.found
	for sku := range w.lots {
		if j := &w.lots[sku].judged; j.since != never {
			f.idle = max(f.idle, w.now-j.since)
		}
	}
	type share struct{ all, called, bots, botsCalled float64 }
	shares := make([]share, len(w.lots))
	for i := range w.shoppers {
		s := &w.shoppers[i]
		at := w.lots[s.sku].judged.soldAt
		if s.here && !s.gone && !s.toldSold && at != never && s.known <= at && s.page != holding && s.page != bought {
			f.neverTold++
		}
		w.judgeWords(s)
		if s.idx < 0 || int64(s.idx) >= w.n {
			continue
		}
		f.people[s.kind]++
		f.units[s.kind] += float64(s.has.Ordered)
		sh := &shares[s.sku]
		sh.all++
		if s.calledAt >= 0 {
			sh.called++
		}
		if s.kind == bot {
			sh.bots++
			if s.calledAt >= 0 {
				sh.botsCalled++
			}
		}
	}
	for _, sh := range shares {
		if sh.all < 2 {
			continue
		}
		part := sh.bots / sh.all
		f.botsCalled += sh.botsCalled
		f.botsExpected += sh.called * part
		f.botsVariance += sh.called * part * (1 - part) * (sh.all - sh.called) / (sh.all - 1)
	}
}

// judgeWords compares what somebody was told with what came. Who was called and did not ask, or went away, does not count: they
// could not be offered anything.
func (w *world) judgeWords(s *shopper) {
	if s.told.at >= 0 {
		f := &w.found
		f.waits++
		took := s.calledAt - s.told.at
		if s.calledAt < 0 {
			f.ratios = append(f.ratios, float32(math.Inf(1)))
		} else {
			f.ratios = append(f.ratios, float32(float64(took)/float64(max(s.told.mean, 1))))
			if took >= s.told.from && took <= s.told.to {
				f.waitsHeld++
			}
		}
	}
	if s.idx < 0 || s.claim == nil && (s.calledAt >= 0 || s.gone) {
		return
	}
	note := func(to *said) {
		to.told++
		if s.got {
			to.offered++
		}
	}
	for k := range chances {
		if s.words>>k&1 == 1 {
			note(&w.found.words[k])
		}
	}
	if int64(s.idx) < w.n && w.rules.enough(w.parts[s.sku]) && s.kind != leaver {
		note(&w.found.before)
	}
}
