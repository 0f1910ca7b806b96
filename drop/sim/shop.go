package main

import (
	"slices"
	"time"

	"github.com/stampede-shop/stampede/drop"
)

// What drops and inventory do, in memory. What they decide is package drop's; here is what their tables do otherwise.

// tell tells the seed, and opens the drop once all positions are written.
func (w *world) tell() {
	w.told = true
	w.at(w.now+w.n*writing/1000, 0, open)
}

// open opens the drop, and has it moved on each second from now on.
func (w *world) open() {
	w.isOpen, w.opened = true, w.now
	w.tick()
}

// tick moves the drop on, as drops does once a second: what ended, what came back to those who stand by, who is called next.
func (w *world) tick() {
	if w.over {
		return
	}
	for sku := range w.lots {
		w.lots[sku].stood = w.lots[sku].Lot
	}
	w.settle()
	for sku := range w.lots {
		w.offer(sku)
	}
	for sku := range w.lots {
		w.callNext(sku)
	}
	// As inventory said when it was asked.
	w.over = w.now >= closesAt || !slices.ContainsFunc(w.lots, func(l lot) bool { return l.stood.Sold < l.stood.Units() })
	for sku := range w.lots {
		w.judgeFree(sku)
	}
	w.at(w.now+second, 0, tick)
}

// settle asks inventory what became of claims whose end has come.
func (w *world) settle() {
	for _, i := range w.due {
		s := &w.shoppers[i]
		state := s.claim.State
		if (state == drop.Asked || state == drop.Held || state == drop.Offered) && !s.claim.Until.Add(time.Second).After(w.time()) {
			s.claim.Learn(s.has, w.time())
			w.became(i)
		}
	}
	w.due = w.due[:0]
}

// mostOffered is to how many who stand by for a SKU drops offers something in a second.
const mostOffered = 5000

// offer holds what is free for those who stand by, the next first.
func (w *world) offer(sku int) {
	l := &w.lots[sku]
	var who []int32
	var wanted []int64
	for _, i := range l.standby {
		if s := &w.shoppers[i]; !s.left && s.claim.Quantity <= l.Free && len(who) < mostOffered {
			who, wanted = append(who, i), append(wanted, s.claim.Quantity)
		}
	}
	served, _ := w.rules.serve(l.Free, wanted)
	var asked []asking
	for _, k := range served {
		c := w.shoppers[who[k]].claim
		if c.Offer(w.time(), w.time().Add(standbyFor)) {
			asked = append(asked, asking{who[k], *c})
		}
	}
	w.hold(asked)
}

// callNext calls as many for a SKU as there is hope for.
func (w *world) callNext(sku int) {
	l := &w.lots[sku]
	for ; l.settled < len(l.calls) && l.calls[l.settled].at <= w.now-grace; l.settled++ {
		c := l.calls[l.settled]
		l.came += c.came
		l.stayed += max(c.called-c.came, 0)
	}
	defer func() { l.likely = w.rules.likely(w.lineOf(sku), l.called) }()
	n := w.rules.more(w.lineOf(sku).Call())
	last, called := l.called, 0
	for p := l.called; p < int64(len(w.line)) && called < n; p++ {
		if s := &w.shoppers[w.line[p]]; int(s.sku) == sku && !s.left {
			last, called = p+1, called+1
		}
	}
	if called == 0 {
		return
	}
	l.calls = append(l.calls, call{first: l.called, last: last, at: w.now, called: int64(called)})
	before := l.called
	l.called = w.rules.called(before, last)
	w.judgeCalled(sku, before)
}

// lineOf is what drops knows of a SKU's line.
func (w *world) lineOf(sku int) drop.Line {
	l := &w.lots[sku]
	var open int64
	for _, c := range l.calls[l.settled:] {
		open += max(c.called-c.came, 0)
	}
	return drop.Line{
		Free: l.Free, Open: open, Came: l.came, Stayed: l.stayed, Entrants: l.entrants, Wanted: l.wanted,
		Entered: int64(len(w.log)), Most: w.most,
	}
}

// status is what drops says of itself.
func (w *world) status() status {
	st := status{told: w.told, open: w.isOpen, over: w.over, skus: make([]skuStatus, len(w.lots))}
	if w.told && w.rules.tells {
		st.n, st.seed = w.n, &w.drawn
	}
	waiting := int64(len(w.log))
	for sku := range w.lots {
		l := &w.lots[sku]
		var forward int64
		for k := len(l.calls) - 1; k >= 0 && l.calls[k].at > w.now-60*second; k-- {
			forward += l.calls[k].last - l.calls[k].first
		}
		st.skus[sku] = skuStatus{
			called: l.called, free: l.stood.Free, held: l.stood.Held, sold: l.stood.Sold,
			perMin: drop.PerMin(forward, float64(w.now-w.opened)/1000), likely: l.likely,
		}
		waiting = min(waiting, int64(len(w.log))-l.called)
	}
	st.poll = w.rules.poll(waiting)
	return st
}

// arrives brings a claim to the shop, which does those together that come within 20 ms.
func (w *world) arrives(i int32) {
	w.found.requests.claims++
	w.claims = append(w.claims, i)
	if !w.gathering {
		w.gathering = true
		w.at(w.now+20, 0, claimAll)
	}
}

// claimAll claims for all who came together: of one entry one claim at a time, and a hundred at most.
func (w *world) claimAll() {
	w.gathering = false
	w.batch++
	var members, rest []int32
	for _, i := range w.claims {
		if s := &w.shoppers[i]; s.batch == w.batch || len(members) == 100 {
			rest = append(rest, i)
		} else {
			s.batch = w.batch
			members = append(members, i)
		}
	}
	w.claims = rest
	if len(rest) > 0 {
		w.gathering = true
		w.at(w.now+20, 0, claimAll)
	}
	first := make([]*drop.Rank, len(w.lots))
	for sku, l := range w.lots {
		if len(l.standby) > 0 {
			r := w.shoppers[l.standby[0]].claim.Rank()
			first[sku] = &r
		}
	}
	drop.InTurn(members, func(i int32) int64 { return int64(w.shoppers[i].position) })
	var asked []asking
	for _, i := range members {
		s := &w.shoppers[i]
		l := &w.lots[s.sku]
		if w.over || !w.isOpen || s.left || int64(s.position) >= l.called {
			w.found.refused++
			continue
		}
		if s.claim == nil {
			s.claim = &drop.Claim{Position: int64(s.position)}
			l.comes(int64(s.position))
		}
		if claim, ask := s.claim.Ask(int64(s.wants), w.time(), w.holds, first[s.sku]); ask {
			asked = append(asked, asking{i, claim})
		}
		w.became(i)
	}
	w.hold(asked)
	for sku := range w.lots {
		w.judgeFree(sku)
	}
}

// comes counts somebody who was called and came in time.
func (l *lot) comes(position int64) {
	open := l.calls[l.settled:]
	k, found := slices.BinarySearchFunc(open, position, func(c call, p int64) int {
		switch {
		case p < c.first:
			return 1
		case p >= c.last:
			return -1
		}
		return 0
	})
	if found {
		open[k].came++
	}
}

// asking is what inventory is asked to hold.
type asking struct {
	who   int32
	claim drop.Claim
}

// hold asks inventory for what is claimed, and notes its answers.
func (w *world) hold(asked []asking) {
	drop.InTurn(asked, func(a asking) int64 { return a.claim.Position })
	for _, a := range asked {
		s := &w.shoppers[a.who]
		has, refusal := s.has, drop.NoLot
		if !w.over {
			has, refusal = w.rules.hold(&w.lots[s.sku].Lot, a.claim.Quantity, *a.claim.Until, w.time(), s.has)
		}
		w.moved(a.who, has)
		s.claim.Answered(a.claim, has, refusal, w.time())
		w.became(a.who)
	}
}

// moved notes what an account has of its lot by now.
func (w *world) moved(i int32, has drop.Has) {
	s := &w.shoppers[i]
	before := s.has
	s.has = has
	w.judgeMoved(s, before)
	if has.Held > 0 && (before.Until == nil || !before.Until.Equal(*has.Until)) {
		w.at(ms(has.Until.Sub(opening)/time.Millisecond), i, ends)
	}
}

// ends is the end of a hold: inventory has its units again, and drops asks about it a second later.
func (w *world) ends(i int32) {
	s := &w.shoppers[i]
	if s.has.Held > 0 && !s.has.Until.After(w.time()) {
		w.giveBack(i)
	}
	w.at(w.now+second, i, isDue)
}

// giveBack ends a hold.
func (w *world) giveBack(i int32) {
	s := &w.shoppers[i]
	if !w.over {
		w.lots[s.sku].Lapse(s.has.Held)
	}
	w.moved(i, drop.Has{Ordered: s.has.Ordered})
	w.judgeFree(int(s.sku))
}

// standsBy puts somebody among those who stand by, or takes them out.
func (w *world) standsBy(i int32, is bool) {
	l := &w.lots[w.shoppers[i].sku]
	rank := w.shoppers[i].claim.Rank()
	k, found := slices.BinarySearchFunc(l.standby, rank, func(j int32, r drop.Rank) int { return w.shoppers[j].claim.Rank().Compare(r) })
	switch {
	case is && !found:
		l.standby = slices.Insert(l.standby, k, i)
	case !is && found:
		l.standby = slices.Delete(l.standby, k, k+1)
	}
}
