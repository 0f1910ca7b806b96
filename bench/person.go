package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/kit/pause"
)

// standing is how a drop stands: the document that all who wait ask for again and again.
type standing struct {
	State   string    `json:"state"`
	OpensAt time.Time `json:"opens_at"`
	N       *uint64   `json:"n"`
	Seed    string    `json:"seed"`
	SKUs    []struct {
		Called     uint64 `json:"called"`
		Free       int64  `json:"free"`
		Held       int64  `json:"held"`
		Sold       int64  `json:"sold"`
		RatePerMin int    `json:"rate_per_min"`
	} `json:"skus"`
	PollS [2]int64 `json:"poll_s"`
}

// over tells that nobody gets a unit any more.
func (s *standing) over() bool {
	lot := s.SKUs[0]
	return s.State == "sold_out" || s.State == "closed" || lot.Free+lot.Held == 0 && lot.Sold > 0
}

// place is the position of the entry that came as number idx, and whether it is known yet.
func (s *standing) place(idx uint64) (position uint64, known bool) {
	if s.N == nil {
		return 0, false
	}
	if idx >= *s.N {
		return idx, true
	}
	seed, err := hex.DecodeString(s.Seed)
	if err != nil || len(seed) != 32 {
		return 0, false
	}
	return drop.Position(idx, *s.N, [32]byte(seed)), true
}

// pause is how long a page waits before it looks again, as apps/store/assets/drop.js has it (tests/browser holds that to the same
// table). ahead is how many stand before, 0 for who does not wait; random is from 0 to 1.
func (s *standing) pause(ahead uint64, now time.Time, random float64) time.Duration {
	jitter, least, most := 1+.3*random, float64(s.PollS[0]), float64(s.PollS[1])
	if s.State == "prequeue" && now.Before(s.OpensAt) {
		again := inSeconds(most * jitter)
		if now.Add(again).Before(s.OpensAt) {
			return again
		}
		return s.OpensAt.Sub(now) + inSeconds(8*random)
	}
	eta := 0.0
	switch rate := s.SKUs[0].RatePerMin; {
	case ahead > 0 && rate > 0:
		eta = float64(ahead) / float64(rate) * 60
	case ahead > 0:
		eta = math.Inf(1)
	}
	return inSeconds(min(max(eta/20, least), most) * jitter)
}

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// until waits until then, and tells whether it was not ended before.
func until(ctx context.Context, then time.Time) bool { return pause.For(ctx, time.Until(then)) }

// habit is what somebody does who comes to a drop.
type habit int

const (
	stays     habit = iota
	leaves          // closes the page after entering, for good
	comesBack       // closes it, too, and opens it on another device some time after the opening
	lapses          // claims, and does not pay
)

// habitOf is that of the one who came as number i: one in ten leaves, one in twenty comes back, one in twenty does not pay.
func habitOf(i int) habit {
	switch i % 20 {
	case 0, 1:
		return leaves
	case 2:
		return comesBack
	case 3:
		return lapses
	}
	return stays
}

// The answers with which people go.
const (
	bought  = "bought"
	soldOut = "told that it is sold out"
	unpaid  = "claimed and did not pay"
	gone    = "left of their own accord"
)

// person is somebody who has come to a drop.
type person struct {
	shopper
	habit  habit
	ticket string
	idx    uint64

	since    time.Time // the page is open
	position *uint64
	standby  bool
	looked   time.Time  // at what is theirs alone
	hangs    bool       // waits for news of it
	news     chan heard // what came of that
	mine     *ownEntry  // what was heard and not acted upon
	full     time.Time  // until then nobody is waited for: many wait
}

// ownEntry is what somebody reads of their entry. They have entered for one SKU.
type ownEntry struct {
	Version string `json:"version"`
	Claims  []struct {
		State   string `json:"state"`
		Standby uint64 `json:"standby"` // place of who stands by, from 1
	} `json:"claims"`
}

// stands tells whether they stand by.
func (e *ownEntry) stands() bool { return len(e.Claims) > 0 && e.Claims[0].State == "standby" }

// near tells whether news are waited for: the first twenty do, as the page has it.
func (e *ownEntry) near() bool {
	return e.stands() && e.Claims[0].Standby > 0 && e.Claims[0].Standby <= 20
}

// heard is what came of waiting for news: nothing, or an entry; crowded says to leave it for a while.
type heard struct {
	entry   *ownEntry
	crowded bool
}

// visit is all that one of a crowd does at a drop, with the answer that they go with.
func (s *sale) visit(ctx context.Context, i int, who shopper) (answer string, err error) {
	p := &person{shopper: who, habit: habitOf(i)}
	if i < s.logins {
		if !until(ctx, s.opens.Add(inSeconds(60*(rand.Float64()-.5)))) {
			return "", ctx.Err()
		}
		begun := time.Now()
		if p.shopper, err = s.shop.login(ctx, who); err != nil {
			return "", err
		}
		s.note(func() { s.loggedIn = append(s.loggedIn, time.Since(begun)) })
	} else if !until(ctx, s.begins.Add(inSeconds(s.spread.Seconds()*rand.Float64()))) {
		return "", ctx.Err()
	}
	if err := s.enter(ctx, p); err != nil {
		return "", err
	}
	switch p.habit {
	case leaves:
		return gone, nil
	case comesBack:
		before := p.idx
		if !until(ctx, s.opens.Add(inSeconds(20+20*rand.Float64()))) {
			return "", ctx.Err()
		}
		if err := s.enter(ctx, p); err != nil {
			return "", err
		}
		if p.idx != before {
			return "", fmt.Errorf("number %d of the entries is %d on another device", before, p.idx)
		}
	default:
	}
	return s.wait(ctx, p)
}

// enter enters, or asks for the entry that there is.
func (s *sale) enter(ctx context.Context, p *person) error {
	for {
		var entry struct {
			Ticket string `json:"ticket"`
			Idx    uint64 `json:"idx"`
		}
		wants := map[string]any{"skus": []string{s.sku}, "quantity": 1}
		err := s.shop.send(ctx, "POST", s.path+"/entry", p.token, wants, &entry)
		p.ticket, p.idx = entry.Ticket, entry.Idx
		var no *refusal
		if !errors.As(err, &no) || no.slug != "drop-not-open" { // a second early
			return err
		}
		if !pause.For(ctx, time.Second) {
			return err
		}
	}
}

// wait looks at the drop until there is an answer, as its page does.
func (s *sale) wait(ctx context.Context, p *person) (answer string, err error) {
	p.since, p.news = time.Now(), make(chan heard, 1)
	ctx, cancel := context.WithCancel(ctx) // who goes does not wait for news
	defer cancel()
	st := standing{PollS: [2]int64{2, 10}}
	for {
		var next standing
		again := inSeconds(float64(st.PollS[1]) * (1 + rand.Float64()))
		if s.shop.once(ctx, "GET", s.path+"/status", "", nil, &next) == nil { // what went wrong is in s.statuses
			st = next
			if answer, err := s.follow(ctx, p, &st); answer != "" || err != nil {
				return answer, err
			}
			again = st.pause(p.ahead(&st), time.Now(), rand.Float64())
		}
		if !p.rest(ctx, again) {
			return "", ctx.Err()
		}
	}
}

// rest waits until the next look, or until there are news.
func (p *person) rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case h := <-p.news:
		p.hangs, p.looked, p.mine = false, time.Now(), h.entry
		if h.crowded {
			p.full = time.Now().Add(30 * time.Second)
		}
	}
	return true
}

// look reads what is somebody's own.
func (s *sale) look(ctx context.Context, p *person, query string) (*ownEntry, error) {
	s.looks.Add(1)
	var mine ownEntry
	return &mine, s.shop.once(ctx, "GET", s.path+"/entry"+query, p.token, nil, &mine)
}

// hang waits for news of an entry beside the looks at the status, as the page does.
func (s *sale) hang(ctx context.Context, p *person, last *ownEntry) {
	if p.hangs || !last.near() || time.Now().Before(p.full) {
		return
	}
	p.hangs = true
	go func() {
		begun := time.Now()
		next, err := s.look(ctx, p, "?wait=25&since="+last.Version)
		if err != nil {
			p.news <- heard{crowded: true}
			return
		}
		p.news <- heard{next, next.Version == last.Version && time.Since(begun) < 5*time.Second}
	}()
}

// ahead is how many stand before somebody who is not called; 0 for others.
func (p *person) ahead(st *standing) uint64 {
	if called := st.SKUs[0].Called; p.position != nil && *p.position > called {
		return *p.position - called
	}
	return 0
}

// follow does what a drop's status is a reason for.
func (s *sale) follow(ctx context.Context, p *person, st *standing) (answer string, err error) {
	if p.position == nil {
		if at, known := st.place(p.idx); known {
			p.position = &at
			s.note(func() {
				s.positions[p.idx] = at
				if p.since.Before(s.opens) {
					s.knew = append(s.knew, time.Since(s.opens))
				}
			})
		}
	}
	switch {
	case st.over():
		s.note(func() { s.told = append(s.told, hearing{p.since, time.Now()}) })
		return soldOut, nil
	case st.State != "open" && st.State != "all_held", p.position == nil, *p.position >= st.SKUs[0].Called:
		return "", nil
	case p.standby:
		mine := p.mine
		p.mine = nil
		if mine == nil {
			if p.hangs || time.Since(p.looked) < 10*time.Second {
				return "", nil
			}
			p.looked = time.Now()
			var no *refusal
			if mine, err = s.look(ctx, p, ""); errors.As(err, &no) { // who was refused looks again
				return "", nil
			} else if err != nil {
				return "", err
			}
		}
		if mine.stands() {
			s.hang(ctx, p, mine)
			return "", nil
		}
	}
	return s.turn(ctx, p)
}

// turn claims, and buys what is held.
func (s *sale) turn(ctx context.Context, p *person) (answer string, err error) {
	state, err := s.claim(ctx, p)
	var no *refusal
	switch {
	case err == nil && state == "standby":
		p.standby, p.looked = true, time.Now()
		return "", nil
	case err == nil:
	case errors.As(err, &no) && (no.slug == "sold-out" || no.slug == "drop-ended"):
		return soldOut, nil
	case errors.As(err, &no) && (no.later() || no.slug == "claim-lapsed"):
		return "", nil // after the next look
	default:
		return "", err
	}
	if p.habit == lapses {
		return unpaid, nil
	}
	return bought, s.shop.order(ctx, p.shopper, s.sku)
}

// claim claims one unit, and returns the claim's state.
func (s *sale) claim(ctx context.Context, p *person) (state string, err error) {
	var claim struct {
		State string `json:"state"`
	}
	begun := time.Now()
	err = s.shop.once(ctx, "POST", s.path+"/claim", p.token, s.wanted(), &claim, "Drop-Ticket", p.ticket)
	s.note(func() { s.claims = append(s.claims, time.Since(begun)) })
	return claim.State, err
}

func (s *sale) wanted() map[string]any { return map[string]any{"sku": s.sku, "quantity": 1} }
