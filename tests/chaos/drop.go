package chaos

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/tests/shop"
)

// sale is a drop in whose middle things break: two lots, for which more people come than there are units.
type sale struct {
	*market
	shop.Drop
	lots  []saleLot
	opens time.Duration // after it was made
	fans  []*fan

	claimed atomic.Int64 // fans who had a claim
	mu      sync.Mutex
	seen    []saleStatus // all that anybody was shown
}

// ways are what fans do with their first claim, one after the other: so the sale has some of each, and lasts.
var ways = []string{"goes away", "buys", "is declined", "buys", "gives back", "buys"}

type saleLot struct {
	SKU   string `json:"sku"`
	Units int    `json:"units"`
	Most  int    `json:"limit"` // units for one account
}

// saleStatus is what everybody reads.
type saleStatus struct {
	State string
	Now   time.Time
	N     *uint64
	Root  proof.Hex
	Seed  proof.Hex
	SKUs  []calledTo
}

type calledTo struct {
	SKU    string
	Called uint64
}

func (st saleStatus) over() bool { return st.State == "sold_out" || st.State == "closed" }

const saleFans = 30

// newSale schedules a drop that is entered soon, opens after a sixth of length and ends a while after it, and makes those who
// want its units.
func (m *market) newSale(t *testing.T, seed uint64, length time.Duration) *sale {
	s := &sale{market: m, opens: 5*time.Second + max(10*time.Second, length/6)}
	small, large := m.NewProduct(t, 6_000, 8), m.NewProduct(t, 6_000, 10)
	s.lots = []saleLot{{small.SKU, 6, 1}, {large.SKU, 8, 2}}
	for _, p := range []*shop.Product{small, large} {
		m.initial[p.SKU] = p.Stock(t).OnHand
	}
	for i, c := range m.Crowd(t, saleFans) {
		f := &fan{shopper: m.newShopper(c, seed, uint64(100+i)), sale: s, lot: s.lots[i%2]}
		f.insists, f.quantity, f.kind = true, 1+f.r.IntN(f.lot.Most), f.r.IntN(100)
		s.fans = append(s.fans, f)
	}
	s.Drop = m.NewDrop(t, small, 0, 5*time.Second, s.opens, map[string]any{
		"lots": s.lots, "closes_at": time.Now().UTC().Add(length + 5*time.Second),
		"grace_s": 10, "hold_s": 60, "standby_s": 20, // the least that there can be, but for the last
	})
	return s
}

// watch reads the status all the time, as a page would that does not care what it costs.
func (s *sale) watch(ctx context.Context) {
	nobody := s.newShopper(s.Nobody(), 0, 0)
	for wait(ctx, 200*time.Millisecond, 400*time.Millisecond) {
		_, _ = s.status(ctx, nobody)
	}
}

// status reads it as somebody, and remembers it.
func (s *sale) status(ctx context.Context, who *shopper) (st saleStatus, ok bool) {
	a, err := who.ask(ctx, "GET", s.At+"/status", nil)
	if err != nil {
		return st, false
	}
	if err := json.Unmarshal(a.Body, &st); err != nil || a.Status != 200 {
		s.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
		return st, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, st)
	return st, true
}

// fan is somebody who wants units of the sale.
type fan struct {
	*shopper
	sale     *sale
	lot      saleLot
	quantity int
	kind     int // what this one is like, 0 to 99

	told    sync.Mutex
	known   *fanEntry // as it was told first
	claimed bool
	ordered bool   // what a claim held may be an order's by now, or on its way back
	ended   string // the definite answer
}

// fanEntry is an entry as its owner sees it.
type fanEntry struct {
	Ticket   string
	Idx      uint64
	Position *uint64
	Leaf     proof.Hex
	Claims   []fanClaim
}

type fanClaim struct {
	SKU           string
	State         string
	HoldExpiresAt *time.Time `json:"hold_expires_at"`
}

// goes is a fan's way to a definite answer.
func (f *fan) goes(ctx context.Context) {
	least, most := time.Duration(0), f.sale.opens-7*time.Second // all come before it opens, but some
	if f.kind%7 == 0 {
		least, most = f.sale.opens, f.sale.opens+15*time.Second
	}
	wait(ctx, least, most)
	f.ended = f.wants(ctx)
	if f.ended == "" {
		f.breach("%s wants %d of %s, and had no definite answer", f.Email, f.quantity, f.lot.SKU)
	}
	f.count("drop: " + cmp.Or(f.ended, "no answer"))
}

func (f *fan) wants(ctx context.Context) (end string) {
	var devices sync.WaitGroup
	ends := make([]string, 2)
	for i := range ends {
		devices.Go(func() { ends[i] = f.enters(ctx) })
	}
	devices.Wait()
	if f.known == nil {
		return ends[0]
	}
	if f.kind < 12 { // thinks better of it, and some think again
		if a, err := f.ask(ctx, "DELETE", f.sale.At+"/entry", nil); err != nil || a.Status != 204 {
			return ""
		}
		if f.kind < 6 {
			return "left"
		}
		if end := f.enters(ctx); end != "" {
			return end
		}
	}
	for {
		st, ok := f.sale.status(ctx, f.shopper)
		switch {
		case !ok:
			return ""
		case st.over():
			return st.State
		case f.called(st):
			if end := f.claims(ctx); end != "" {
				return end
			}
		}
		if !wait(ctx, time.Second, 2*time.Second) {
			return ""
		}
	}
}

// enters asks until it is answered that the account has entered, or cannot.
func (f *fan) enters(ctx context.Context) (end string) {
	for {
		a, err := f.ask(ctx, "POST", f.sale.At+"/entry", map[string]any{"skus": []string{f.lot.SKU}, "quantity": f.quantity})
		if err != nil {
			return ""
		}
		switch slug := a.Problem().Slug(); {
		case a.Status == 200 || a.Status == 201:
			f.tells(a)
			return ""
		case slug == "drop-ended":
			return slug
		case slug == "drop-not-open" || slug == "drop-drawing":
		default:
			f.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
			return slug
		}
		if !wait(ctx, 500*time.Millisecond, time.Second) {
			return ""
		}
	}
}

// tells reads an entry: it is the same for ever, whichever device asks.
func (f *fan) tells(a *shop.Answer) (e fanEntry) {
	if err := json.Unmarshal(a.Body, &e); err != nil {
		f.breach("%s: %s", a.Request, err)
		return e
	}
	f.told.Lock()
	defer f.told.Unlock()
	if f.known == nil {
		f.known = &e
	}
	if e.Idx != f.known.Idx || string(e.Leaf) != string(f.known.Leaf) {
		f.breach("%s: entry %d was %d before: %.500s", a.Request, e.Idx, f.known.Idx, a.Body)
	}
	f.stands(e.Position)
	f.known.Ticket = e.Ticket
	return e
}

// stands notes a position, which never changes. It has told.
func (f *fan) stands(position *uint64) {
	switch known := f.known.Position; {
	case position == nil && known != nil:
		f.breach("entry %d had position %d, and has none", f.known.Idx, *known)
	case position != nil && known == nil:
		f.known.Position = position
	case position != nil && *position != *known:
		f.breach("entry %d had position %d, and has %d", f.known.Idx, *known, *position)
	}
}

// called computes the position from what everybody reads, and tells whether it is called.
func (f *fan) called(st saleStatus) bool {
	if st.N == nil || len(st.Seed) != 32 {
		return false
	}
	position := f.known.Idx
	if position < *st.N {
		position = drop.Position(position, *st.N, [32]byte(st.Seed))
	}
	f.told.Lock()
	f.stands(&position)
	f.told.Unlock()
	for _, lot := range st.SKUs {
		if lot.SKU == f.lot.SKU {
			return position < lot.Called
		}
	}
	return false
}

// claims asks for the units, and buys them when they are held; "" is no end yet.
func (f *fan) claims(ctx context.Context) (end string) {
	if f.kind%4 == 0 { // from another device: with a token and a ticket of its own
		f.renew(ctx, f.token())
		if _, ok := f.entry(ctx); !ok {
			return ""
		}
	}
	wants := map[string]any{"sku": f.lot.SKU, "quantity": f.quantity}
	a, err := f.ask(ctx, "POST", f.sale.At+"/claim", wants, "Drop-Ticket", f.known.Ticket)
	if err != nil {
		return ""
	}
	slug := a.Problem().Slug()
	switch {
	case a.Status == 201:
		var c fanClaim
		if err := json.Unmarshal(a.Body, &c); err != nil {
			f.breach("%s: %s", a.Request, err)
		}
		f.count("drop: claims answered 201 " + c.State)
		if c.HoldExpiresAt != nil {
			return f.takes(ctx, *c.HoldExpiresAt)
		}
		if !f.ordered { // else that order has the units, as far as is known
			f.breach("%s: claimed, and nothing is held: %.500s", a.Request, a.Body)
		}
	case a.Status == 202:
		f.count("drop: claims answered 202")
		return f.standsBy(ctx)
	case slug == "sold-out" || slug == "drop-ended":
		return slug
	// What is behind: the gateway's status, a claim whose end has just come, an edge that has opened and is not told so.
	case slug == "not-called" || slug == "claim-lapsed" || slug == "drop-not-open":
		f.count("drop: claims answered " + slug)
	default:
		f.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
	}
	return ""
}

func (f *fan) entry(ctx context.Context) (e fanEntry, ok bool) {
	a, err := f.ask(ctx, "GET", f.sale.At+"/entry", nil)
	if err != nil {
		return e, false
	}
	if a.Status != 200 {
		f.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
		return e, false
	}
	return f.tells(a), true
}

// standsBy waits until something becomes of a claim for which nothing was free.
func (f *fan) standsBy(ctx context.Context) (end string) {
	for wait(ctx, time.Second, 2*time.Second) {
		e, ok := f.entry(ctx)
		if !ok {
			return ""
		}
		for _, c := range e.Claims {
			if c.SKU == f.lot.SKU && c.State != "standby" {
				f.count("drop: who stood by is " + c.State)
				return ""
			}
		}
		st, ok := f.sale.status(ctx, f.shopper)
		if !ok {
			return ""
		}
		if st.over() {
			return st.State
		}
	}
	return ""
}

// takes buys what a claim holds until then, or does something else. "" is no end: the fan comes back.
func (f *fan) takes(ctx context.Context, until time.Time) (end string) {
	way := "buys"
	if !f.claimed {
		f.claimed = true
		way = ways[int(f.sale.claimed.Add(1))%len(ways)]
	}
	if way == "goes away" {
		f.count("drop: goes away with a claim")
		wait(ctx, time.Until(until), time.Until(until)+time.Second)
		return ""
	}
	lost := func(a *shop.Answer) string {
		if !f.ordered && time.Now().Before(until) {
			f.breach("%s: it is held until %s: %d %.500s", a.Request, until.Format(time.TimeOnly), a.Status, a.Body)
		}
		f.count("drop: a claim is over: " + a.Problem().Slug())
		return ""
	}
	a, err := f.ask(ctx, "PUT", "/api/v1/cart/items/"+f.lot.SKU, map[string]int{"quantity": f.quantity})
	if err != nil {
		return ""
	}
	var cart shop.Cart
	if a.Status != 200 {
		return lost(a)
	}
	if err := json.Unmarshal(a.Body, &cart); err != nil {
		f.breach("%s: %s", a.Request, err)
		return ""
	}
	if line := cart.Line(f.lot.SKU); line == nil || line.Quantity != f.quantity {
		return lost(a)
	}
	method := shop.Visa
	if way == "is declined" {
		method = shop.Declined
	}
	o, refusal := f.place(ctx, cart, method)
	switch {
	case o != nil:
		f.ordered = true
	case refusal == nil:
		return ""
	case refusal.Problem().Slug() == "cart-empty": // a cart is Redis's, and Redis was killed: the claim puts its line back
		f.count("drop: a cart is lost")
		return ""
	default:
		return lost(refusal)
	}
	switch ended := f.await(ctx, o); {
	case ended == "confirmed" && way == "gives back":
		f.cancel(ctx, o)
		return "bought, and gave it back"
	case ended == "confirmed":
		return "bought"
	default:
		f.count("drop: an order ended " + ended)
		return ""
	}
}

// shown holds what people were shown, in whatever order they were, against each other.
func shown(seen []saleStatus) (wrong []string) {
	bad := func(format string, a ...any) { wrong = append(wrong, "drop: "+fmt.Sprintf(format, a...)) }
	slices.SortStableFunc(seen, func(a, b saleStatus) int { return a.Now.Compare(b.Now) })
	called := map[string]uint64{}
	var last saleStatus
	for _, st := range seen {
		for _, lot := range st.SKUs {
			if lot.Called < called[lot.SKU] {
				bad("%s was called up to %d, and at %s up to %d", lot.SKU, called[lot.SKU], st.Now.Format(time.StampMilli), lot.Called)
			}
			called[lot.SKU] = lot.Called
		}
		if last.N != nil && (st.N == nil || *st.N != *last.N || string(st.Root) != string(last.Root)) ||
			len(last.Seed) > 0 && string(st.Seed) != string(last.Seed) {
			bad("at %s another order was published than before", st.Now.Format(time.StampMilli))
		}
		last = st
	}
	return wrong
}

// proves holds what people were told against what was published and sold, and that against the rules.
func (s *sale) proves(ctx context.Context, ops *shopper) (wrong []string) {
	bad := func(format string, a ...any) { wrong = append(wrong, "drop: "+fmt.Sprintf(format, a...)) }
	wrong = shown(s.seen)
	get := func(path string, into any) {
		a, err := ops.ask(ctx, "GET", s.At+path, nil)
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("%d %.500s", a.Status, a.Body)
		}
		if err == nil {
			err = json.Unmarshal(a.Body, into)
		}
		if err != nil {
			bad("%s: %s", path, err)
		}
	}
	var d proof.Document
	get("/proof", &d)
	var page struct{ Leaves []proof.Hex }
	get("/leaves", &page)
	r, err := proof.Check(d, page.Leaves)
	if err != nil {
		bad("its proof is wrong: %s", err)
		return wrong
	}
	whose := map[uint64]string{}
	for _, f := range s.fans {
		if f.known == nil {
			continue
		}
		idx := f.known.Idx
		switch {
		case whose[idx] != "":
			bad("%s and %s both have entry %d", whose[idx], f.Email, idx)
		case idx >= uint64(len(page.Leaves)) || string(page.Leaves[idx]) != string(f.known.Leaf):
			bad("the leaf of entry %d, of %s, is not in the log", idx, f.Email)
		case f.known.Position != nil && idx < uint64(len(r.Positions)) && *f.known.Position != r.Positions[idx]:
			bad("entry %d of %s was told position %d, and has %d", idx, f.Email, *f.known.Position, r.Positions[idx])
		}
		whose[idx] = f.Email
	}
	if len(page.Leaves) != len(whose) {
		bad("%d people have entered, and the log has %d entries", len(whose), len(page.Leaves))
	}
	return append(wrong, s.sold(ctx)...)
}

// sold holds orders against lots and limits. Those whose answer nobody got count too.
func (s *sale) sold(ctx context.Context) (wrong []string) {
	bad := func(format string, a ...any) { wrong = append(wrong, "drop: "+fmt.Sprintf(format, a...)) }
	total := 0
	for _, lot := range s.lots {
		rows, err := s.sql(ctx, "orders", `
			SELECT o.email, sum(l.quantity) FROM orders o JOIN order_lines l ON l.order_id = o.id
			WHERE l.sku = '`+lot.SKU+`' AND o.status <> 'cancelled' GROUP BY 1`)
		if err != nil {
			bad("%s", err)
			continue
		}
		had := map[string]int{}
		sum := 0
		for _, row := range rows {
			n := int(number(row[1]))
			had[row[0]] = n
			sum += n
			if n > lot.Most {
				bad("%s has %d of %s, of which %d is the most", row[0], n, lot.SKU, lot.Most)
			}
		}
		if sum > lot.Units {
			bad("%d of %s are sold, of %d", sum, lot.SKU, lot.Units)
		}
		for _, f := range s.fans {
			if f.lot.SKU == lot.SKU && f.ended == "bought" && had[f.Email] != f.quantity {
				bad("%s has bought %d of %s, and has %d", f.Email, f.quantity, lot.SKU, had[f.Email])
			}
			delete(had, f.Email)
		}
		if len(had) > 0 {
			bad("%v have %s without an entry", slices.Sorted(maps.Keys(had)), lot.SKU)
		}
		total += sum
	}
	if total == 0 {
		bad("nobody has bought anything")
	}
	return wrong
}
