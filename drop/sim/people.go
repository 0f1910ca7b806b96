package main

import (
	"math"

	"github.com/stampede-shop/stampede/drop"
)

// action is what an event does.
type action uint8

const (
	tell action = iota
	open
	tick
	readStatus
	tellStatus
	restock
	claimAll
	join
	look
	act
	ends
	isDue
	pay
	removes
	cancels
	closes
)

func (a action) of(w *world, i int32) {
	switch a {
	case tell:
		w.tell()
	case open:
		w.open()
	case tick:
		w.tick()
	case readStatus:
		w.readStatus()
	case tellStatus:
		w.tellStatus()
	case restock:
		w.restock()
	case claimAll:
		w.claimAll()
	case join:
		w.enter(i)
		w.looksAfter(i, 2*second)
	case look:
		w.looks(i)
	case act:
		w.acts(i)
	case ends:
		w.ends(i)
	case isDue:
		w.due = append(w.due, i)
	case pay:
		w.pays(i)
	case removes:
		w.removes(i)
	case cancels:
		w.cancels(i)
	case closes:
		w.closes(i)
	}
}

// statusAge is how long drops gives the same status again; the gateway asks for it once a second.
const statusAge = 250

func (w *world) readStatus() {
	w.read = w.status()
	w.at(w.now+statusAge, 0, tellStatus)
	if !w.read.over {
		w.at(w.now+second, 0, readStatus)
	}
}

// tellStatus is when the gateway has what was read. Who does not wait for their page's next look knows it at once.
func (w *world) tellStatus() {
	was := w.doc.told
	w.doc = w.read
	if w.doc.told && !was {
		w.firstLooks()
	}
	for sku := range w.lots {
		l := &w.lots[sku]
		for ; l.seen < w.doc.skus[sku].called; l.seen++ {
			i := w.line[l.seen]
			if s := &w.shoppers[i]; int(s.sku) == sku && s.automatic() {
				w.at(w.now+seconds(s.chance.between(.02, .2)), i, act)
			}
		}
	}
}

// firstLooks: pages have looked for the seed since the opening was due; nothing of what they saw is of interest here.
func (w *world) firstLooks() {
	for i := range w.shoppers {
		s := &w.shoppers[i]
		switch {
		case s.automatic() || s.kind == leaver || s.kind == late:
		case s.first >= w.now:
			w.looksAfter(int32(i), s.first-w.now)
		default: // the status had no seed yet: looked again
			w.looksAfter(int32(i), seconds(2.6*s.chance.unit()))
		}
		if s.kind == plain {
			w.at(w.now+seconds(s.chance.exp(2400)), int32(i), closes)
		}
	}
}

// automatic tells whether somebody acts as soon as they can.
func (s *shopper) automatic() bool { return s.kind == bot || s.kind == tabs }

// looksAfter has somebody's page look again.
func (w *world) looksAfter(i int32, after ms) {
	if s := &w.shoppers[i]; !s.looking && !s.gone {
		s.looking = true
		w.at(w.now+after, i, look)
	}
}

// bodyEvery is how long a page waits before it asks again for what is its reader's own.
const bodyEvery = 10 * second

// looks is one look of a page at the status.
func (w *world) looks(i int32) {
	s := &w.shoppers[i]
	s.looking = false
	if s.gone {
		return
	}
	w.found.requests.polls++
	if w.doc.told && !s.here {
		w.arrivesAt(i)
	}
	if !w.doc.open {
		w.looksAfter(i, seconds(drop.Pause(w.doc.poll, 0, s.chance.unit())))
		return
	}
	s.looks = min(s.looks+1, 255-1)
	d := &w.doc
	st := &d.skus[s.sku]
	if s.page != holding && s.page != bought && (st.free+st.held == 0 && st.sold > 0) {
		w.judgeTold(s)
	}
	if d.over {
		return
	}
	wait := 0.
	switch s.page {
	case waiting:
		ahead := int64(s.position) - st.called
		if ahead < 0 {
			s.page = turn
			if s.comes {
				w.at(w.now+seconds(s.chance.around(5, .7)), i, act)
			} else {
				s.page = done
			}
			break
		}
		w.hears(s, st, ahead)
		wait = math.Inf(1)
		if ahead == 0 {
			wait = 0
		} else if st.perMin > 0 {
			wait = float64(ahead) / float64(st.perMin) * 60
		}
	case standing, done:
		if s.claim != nil && w.now-s.bodyAt > bodyEvery {
			w.body(i)
		}
	case holding, bought:
		return
	default:
	}
	w.looksAfter(i, seconds(drop.Pause(d.poll, wait, s.chance.unit())))
}

// arrivesAt is when a page of somebody looks for the first time after the order was drawn. Another device knows nothing: it enters
// again.
func (w *world) arrivesAt(i int32) {
	s := &w.shoppers[i]
	s.here, s.known = true, w.now
	idx := s.idx
	if s.kind == comeback {
		idx = w.enter(i)
	}
	w.judgeKnown(s, w.worksOut(s, idx))
}

// worksOut is a page working out its reader's position from their place in the log and the status. Where the status does not say
// enough it has to ask the shop. Of those whose place is drawn one page in 97, and each second device, really does it, since it takes
// a page as long as thousands of events do here; the others take it from the shop, unasked.
func (w *world) worksOut(s *shopper, idx int32) (position int32) {
	switch d := &w.doc; {
	case d.seed == nil:
		w.found.requests.positions++
		return s.position
	case int64(idx) >= d.n:
		return idx
	case idx%97 == 0 || s.kind == comeback:
		return int32(w.rules.own(uint64(idx), uint64(d.n), *d.seed))
	}
	return s.position
}

// body is somebody asking what became of their own claim.
func (w *world) body(i int32) {
	s := &w.shoppers[i]
	s.bodyAt = w.now
	w.found.requests.bodies++
	switch {
	case s.claim.State == drop.Offered:
		s.page = accepting
		w.at(w.now+seconds(s.chance.around(5, .7)), i, act)
	case s.claim.State == drop.Lapsed && s.mayAgain:
		s.mayAgain = false
		w.at(w.now+seconds(s.chance.around(5, .7)), i, act)
	}
}

// hears is what a page says to its reader.
func (w *world) hears(s *shopper, st *skuStatus, ahead int64) {
	chance := drop.ChanceAt(int64(s.position), st.likely, st.free)
	s.words |= wordOf(chance)
	if chance != drop.Likely || s.told.at >= 0 || s.looks < s.asksAt {
		return
	}
	if from, to, known := w.rules.wait(ahead, st.perMin); known {
		s.told = waitTold{w.now, seconds(from * 60), seconds(to * 60), seconds(float64(ahead+1) / float64(st.perMin) * 60)}
	}
}

// acts is somebody claiming, in each of their tabs.
func (w *world) acts(i int32) {
	s := &w.shoppers[i]
	if s.gone {
		return
	}
	times := 1
	if s.kind == tabs {
		times = w.tabs
	}
	for range times {
		w.arrives(i)
	}
	if !s.automatic() {
		w.looksAfter(i, 2*second)
	}
}

// became has somebody go on after something became of their claim.
func (w *world) became(i int32) {
	s := &w.shoppers[i]
	before := s.page
	state := s.claim.State
	w.standsBy(i, state == drop.Standby)
	switch state {
	case drop.Held:
		s.page, s.got = holding, true
		if before != holding {
			w.plans(i)
		}
	case drop.Standby:
		s.page = standing
	case drop.Offered:
		s.got = true
		if s.automatic() && before == standing {
			s.page = accepting
			w.at(w.now+seconds(s.chance.between(.2, 1.2)), i, act)
		}
	case drop.Bought:
		s.page = bought
	case drop.Lapsed, drop.Declined:
		s.page = done
		if s.here {
			w.looksAfter(i, seconds(2*s.chance.unit()))
		}
	default:
	}
	w.judgeWants(s)
}

// plans is what somebody will do with what is held for them: nothing, too.
func (w *world) plans(i int32) {
	s := &w.shoppers[i]
	after := min(s.chance.around(90, .8), w.holds.Seconds()-10)
	switch {
	case s.automatic():
		after = s.chance.between(5, 20)
		w.at(w.now+seconds(after), i, pay)
	case s.buys:
		w.at(w.now+seconds(after), i, pay)
	case s.chance.is(.3):
		w.at(w.now+seconds(after), i, removes)
	}
}

// removes is somebody taking out of their cart what is held, and going away.
func (w *world) removes(i int32) {
	if s := &w.shoppers[i]; s.has.Held > 0 {
		s.gone = true
		w.giveBack(i)
	}
}

// pays is somebody paying for what is held, and sometimes being declined.
func (w *world) pays(i int32) {
	s := &w.shoppers[i]
	l := &w.lots[s.sku]
	if s.has.Held == 0 || w.over || !s.has.Until.After(w.time()) {
		return
	}
	if s.kind == plain && s.chance.is(w.decline) { // they reach for another card, and nobody can take it meanwhile
		w.at(w.now+seconds(s.chance.around(60, .5)), i, pay)
		return
	}
	l.Sell(s.has.Held)
	w.moved(i, drop.Has{Ordered: s.has.Ordered + s.has.Held})
	s.page = bought
	w.judgeSold(int(s.sku))
	switch {
	case s.kind == plain && s.chance.is(.05):
		w.at(w.now+seconds(s.chance.between(20, 900)), i, cancels)
	case s.kind == tabs: // and wants more than one may have
		s.wants = int8(l.Limit + 1)
		w.at(w.now+second, i, act)
	}
}

// cancels is somebody cancelling their order before it is shipped, and going away.
func (w *world) cancels(i int32) {
	s := &w.shoppers[i]
	if s.has.Ordered == 0 || w.over {
		return
	}
	s.gone = true
	w.lots[s.sku].Return(s.has.Ordered)
	w.moved(i, drop.Has{Held: s.has.Held, Until: s.has.Until})
	w.judgeSold(int(s.sku))
	w.judgeFree(int(s.sku))
}

// closes is somebody who waits giving up; a third of them tell the shop.
func (w *world) closes(i int32) {
	s := &w.shoppers[i]
	if s.page == holding || s.page == bought || s.page == accepting {
		return
	}
	s.gone = true
	if s.left = s.chance.is(.33); s.left && s.claim != nil {
		w.standsBy(i, false)
	}
	w.judgeWants(s)
	w.judgeFree(int(s.sku))
}

// restock is staff adding units.
func (w *world) restock() {
	if w.over {
		return
	}
	for sku := range w.lots {
		l := &w.lots[sku]
		more := 1 + l.Units()/8
		l.Free += more
		l.judged.units += more
		w.judgeSold(sku)
		w.judgeFree(sku)
	}
}
