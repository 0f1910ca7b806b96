package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

const (
	ticketKey = "tickets-of-the-tests-0123456789abcdef"
	headKey   = "heads-of-the-tests-0123456789abcdefgh"
	oldKey    = "tickets-of-before-0123456789abcdefgh"
)

// lots stand in for inventory: those of one drop, with the rules that inventory has (drop.Lot).
type lots struct {
	sync.Mutex
	now    func() time.Time
	of     uuid.UUID
	all    map[string]*drop.Lot
	has    map[string]*isHeld // by account and SKU
	free   int64              // units that can be set aside of each SKU
	closed bool
	asked  int // claims
	looked int // what became of claims
}

// lot is how one stands: inventory may be answering still when its caller has gone on.
func (l *lots) lot(sku string) drop.Lot {
	l.Lock()
	defer l.Unlock()
	return *l.all[sku]
}

func (l *lots) list() map[string]any {
	l.sweep()
	list := []any{}
	for sku, lot := range l.all {
		list = append(list, map[string]any{
			"sku": sku, "units": lot.Units(), "limit": lot.Limit, "free": lot.Free, "held": lot.Held, "sold": lot.Sold,
			"opened_at": l.now(), "closed_at": nil,
		})
	}
	return map[string]any{"items": list}
}

func (l *lots) sweep() {
	for key, h := range l.has {
		if h.Held > 0 && !h.HeldUntil.After(l.now()) {
			l.all[sku(key)].Lapse(h.Held)
			h.Held, h.HeldUntil = 0, nil
		}
	}
}

func sku(key string) string { return key[37:] }

func (l *lots) claim(c wantsHeld) (isHeld, error) {
	l.sweep()
	l.asked++
	key := c.Account.String() + " " + c.SKU
	h := l.has[key]
	if h == nil {
		h = &isHeld{}
		l.has[key] = h
	}
	lot := l.all[c.SKU]
	if c.Quantity == 0 {
		lot.Lapse(h.Held)
		h.Held, h.HeldUntil = 0, nil
		return *h, nil
	}
	if l.closed || lot == nil {
		return *h, problem.New(problem.Conflict, "lot-closed", "The drop has no open lot of it").With("sku", c.SKU)
	}
	has, refusal := lot.Hold(c.Quantity, c.Until, l.now(), drop.Has{Held: h.Held, Until: h.HeldUntil, Ordered: h.Ordered})
	switch refusal {
	case drop.TooLate:
		return *h, ErrClaimLapsed.With("sku", c.SKU)
	case drop.OverLimit:
		return *h, ErrLimitReached.With("sku", c.SKU).With("limit", lot.Limit).With("available", 0)
	case drop.NoneFree:
		return *h, ErrOutOfStock.With("sku", c.SKU).With("available", 0)
	default:
	}
	h.Held, h.HeldUntil = has.Held, has.Until
	return *h, nil
}

// buys has an account's order take what its cart holds, and pay.
func (l *lots) buys(account uuid.UUID, sku string) {
	l.Lock()
	n := l.has[account.String()+" "+sku].Held
	l.Unlock()
	l.buysOf(account, sku, n)
}

// buysOf has it take so many of them: the cart's line was for no more.
func (l *lots) buysOf(account uuid.UUID, sku string, n int64) {
	l.Lock()
	defer l.Unlock()
	h := l.has[account.String()+" "+sku]
	l.all[sku].Sell(n)
	l.all[sku].Lapse(h.Held - n)
	h.Ordered, h.Held, h.HeldUntil = h.Ordered+n, 0, nil
}

func (l *lots) put(w http.ResponseWriter, r *http.Request) {
	var in struct{ Items []LotWanted }
	_ = json.NewDecoder(r.Body).Decode(&in)
	l.Lock()
	defer l.Unlock()
	for _, wanted := range in.Items {
		if wanted.Units > l.free {
			rest.WriteProblem(w, r, ErrOutOfStock.With("sku", wanted.SKU).With("available", l.free))
			return
		}
	}
	for _, wanted := range in.Items {
		lot := l.all[wanted.SKU]
		if lot == nil {
			lot = &drop.Lot{Limit: wanted.Limit}
			l.all[wanted.SKU] = lot
		}
		lot.Free += wanted.Units - lot.Units()
	}
	servetest.Answers(l.list())(w, r)
}

func (l *lots) claims(w http.ResponseWriter, r *http.Request) {
	var in struct{ Items []wantsHeld }
	_ = json.NewDecoder(r.Body).Decode(&in)
	l.Lock()
	defer l.Unlock()
	order := make([]int, len(in.Items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(in.Items[a].Position - in.Items[b].Position) })
	answers := make([]any, len(in.Items))
	for _, i := range order {
		c := in.Items[i]
		h, err := l.claim(c)
		answers[i] = rest.DoEach(r.Context(), r.URL.Path, []int{0}, func(_ context.Context, _ int) (map[string]any, error) {
			return map[string]any{"sku": c.SKU, "held": h.Held, "held_until": h.HeldUntil, "ordered": h.Ordered}, err
		}).Answers[0]
	}
	servetest.Answers(map[string]any{"answers": answers})(w, r)
}

func (l *lots) claimed(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Items []struct {
			Account uuid.UUID
			SKU     string
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	l.Lock()
	defer l.Unlock()
	l.sweep()
	l.looked++
	has := []any{}
	for _, c := range in.Items {
		h := l.has[c.Account.String()+" "+c.SKU]
		if h == nil {
			h = &isHeld{}
		}
		has = append(has, map[string]any{"sku": c.SKU, "held": h.Held, "held_until": h.HeldUntil, "ordered": h.Ordered})
	}
	servetest.Answers(map[string]any{"items": has})(w, r)
}

// bundle is an instance, and what is around it.
type bundle struct {
	*watch
	t   *testing.T
	rt  *serve.Runtime
	db  *pgxpool.Pool
	s   *service
	inv *lots
}

// watch shows the time to all instances.
type watch struct {
	mu  sync.Mutex
	now time.Time
}

func (w *watch) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *watch) at(now time.Time) {
	w.mu.Lock()
	w.now = now
	w.mu.Unlock()
}

const claimsRoute = "PUT /internal/lots/{drop}/claims"

func setup(t *testing.T) *bundle {
	t.Helper()
	rt, db := servetest.NewTest(t, "drops", migrations)
	w := &watch{now: time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)}
	inv := &lots{now: w.clock, all: map[string]*drop.Lot{}, has: map[string]*isHeld{}, free: 1000}
	return start(t, rt, db, w, inv)
}

// another is one more instance, with the same database, time and inventory.
func (b *bundle) another() *bundle {
	b.t.Helper()
	rt, _ := servetest.NewTest(b.t, "drops", nil)
	rt.UseDatabase(b.db)
	return start(b.t, rt, b.db, b.watch, b.inv)
}

func start(t *testing.T, rt *serve.Runtime, db *pgxpool.Pool, w *watch, inv *lots) *bundle {
	t.Helper()
	rt.Now = w.clock
	s, err := newService(rt, db, servetest.Settings[settings](t, "DROPS_KEY", ticketKey+","+oldKey, "DROPS_HEAD_KEY", headKey))
	require.NoError(t, err)
	b := &bundle{w, t, rt, db, s, inv}
	servetest.Neighbour(t, rt, "inventory", "PUT /internal/lots/{drop}", b.inv.put)
	servetest.Neighbour(t, rt, "inventory", "GET /internal/lots/{drop}", func(w http.ResponseWriter, r *http.Request) {
		b.inv.Lock()
		defer b.inv.Unlock()
		servetest.Answers(b.inv.list())(w, r)
	})
	servetest.Neighbour(t, rt, "inventory", "DELETE /internal/lots/{drop}", func(w http.ResponseWriter, r *http.Request) {
		b.inv.Lock()
		defer b.inv.Unlock()
		b.inv.closed = true
		servetest.AnswersStatus(http.StatusNoContent, nil)(w, r)
	})
	servetest.Neighbour(t, rt, "inventory", claimsRoute, b.inv.claims)
	servetest.Neighbour(t, rt, "inventory", "POST /internal/lots/{drop}/claimed", b.inv.claimed)
	return b
}

// tick moves the drops on, as the loop does each second.
func (b *bundle) tick() {
	b.t.Helper()
	require.NoError(b.t, b.s.moveAll(b.t.Context()))
}

// later lets time pass and moves the drops on.
func (b *bundle) later(d time.Duration) {
	b.t.Helper()
	b.at(b.clock().Add(d))
	b.tick()
}

func account(n int) uuid.UUID { return uuid.MustParse(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)) }

func (b *bundle) token(n int) string {
	return servetest.Token(b.t, account(n), fmt.Sprintf("shopper%d@example.test", n), auth.RoleUser)
}

func (b *bundle) staff() string {
	return servetest.Token(b.t, account(999_999), "staff@example.test", auth.RoleAdmin)
}

func (b *bundle) do(token, method, path string, in any, headers ...string) servetest.Response {
	b.t.Helper()
	return servetest.Do(b.t, b.rt, method, "/api/v1"+path, token, in, headers...)
}

// draft is a drop of two tees an account, entered from an hour before its opening, in a day.
func (b *bundle) draft() map[string]any {
	opens := b.clock().Truncate(time.Second).Add(24 * time.Hour)
	return map[string]any{
		"slug": "spring", "title": "Spring", "preset": "queue", "zone": "Europe/London", "prequeue_at": opens.Add(-time.Hour),
		"opens_at": opens, "closes_at": opens.Add(2 * time.Hour), "lots": []LotWanted{{"TEE", 2, 2}}, "grace_s": 45,
	}
}

// made makes a drop of a draft and schedules it; changes are pairs.
func (b *bundle) made(changes ...any) Watched {
	b.t.Helper()
	in := b.draft()
	for i := 0; i+1 < len(changes); i += 2 {
		if in[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
			delete(in, changes[i].(string))
		}
	}
	var w Watched
	r := b.do(b.staff(), "POST", "/admin/drops", in)
	require.Equal(b.t, http.StatusCreated, r.Status, "%s", r.Body)
	r.JSON(b.t, &w)
	r = b.do(b.staff(), "POST", "/admin/drops/"+w.ID.String()+"/schedule", nil)
	require.Equal(b.t, http.StatusOK, r.Status, "%s", r.Body)
	r.JSON(b.t, &w)
	require.Equal(b.t, Scheduled, w.State)
	return w
}

func (b *bundle) enter(n int) servetest.Response {
	b.t.Helper()
	return b.enterFor(n, 1)
}

func (b *bundle) enterFor(n int, quantity int64) servetest.Response {
	b.t.Helper()
	return b.do(b.token(n), "POST", "/drops/spring/entry", map[string]any{"skus": []string{"TEE"}, "quantity": quantity})
}

func (b *bundle) entered(n int) (v EntryView) {
	b.t.Helper()
	r := b.enter(n)
	require.Less(b.t, r.Status, 300, "%s", r.Body)
	r.JSON(b.t, &v)
	return v
}

func (b *bundle) entry(n int) (v EntryView) {
	b.t.Helper()
	r := b.do(b.token(n), "GET", "/drops/spring/entry", nil)
	require.Equal(b.t, http.StatusOK, r.Status, "%s", r.Body)
	r.JSON(b.t, &v)
	return v
}

func (b *bundle) claim(n int) servetest.Response {
	b.t.Helper()
	return b.claimOf(n, b.entry(n).Ticket, "TEE", 1)
}

func (b *bundle) claimOf(n int, ticket, sku string, quantity int64) servetest.Response {
	b.t.Helper()
	return b.do(b.token(n), "POST", "/drops/spring/claim", map[string]any{"sku": sku, "quantity": quantity}, "Drop-Ticket", ticket)
}

func (b *bundle) status() (st Status) {
	b.t.Helper()
	b.s.snapshots.InvalidateAll()
	r := b.do("", "GET", "/drops/spring/status", nil)
	require.Equal(b.t, http.StatusOK, r.Status, "%s", r.Body)
	r.JSON(b.t, &st)
	return st
}

// opened is a drop that so many have entered and that has just opened, with changes to its draft. It returns who stands
// where.
func (b *bundle) opened(entrants int, changes ...any) (order []int) {
	b.t.Helper()
	return b.openedFor(entrants, 1, changes...)
}

// openedFor is one whose entrants want so many each.
func (b *bundle) openedFor(entrants int, quantity int64, changes ...any) (order []int) {
	b.t.Helper()
	w := b.made(changes...)
	b.at(*w.PrequeueAt)
	b.tick()
	for n := range entrants {
		r := b.enterFor(n, quantity)
		require.Equal(b.t, http.StatusCreated, r.Status, "%s", r.Body)
	}
	b.at(w.OpensAt)
	b.tick()
	require.Equal(b.t, Open, b.status().State)
	order = make([]int, entrants)
	for n := range entrants {
		order[*b.entry(n).Position] = n
	}
	return order
}

func (b *bundle) topics() (topics []string) {
	for _, sent := range servetest.Outbox(b.t, b.db) {
		topics = append(topics, sent.Topic)
	}
	return topics
}

func (b *bundle) proof() (proof.Document, []proof.Hex) {
	b.t.Helper()
	var d proof.Document
	b.do("", "GET", "/drops/spring/proof", nil).JSON(b.t, &d)
	var page struct{ Leaves []proof.Hex }
	b.do("", "GET", "/drops/spring/leaves", nil).JSON(b.t, &page)
	return d, page.Leaves
}

func TestDrop(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made("lots", []LotWanted{{"TEE", 2, 2}})
	require.Equal(t, "drop-not-open", b.enter(1).Slug())
	require.Equal(t, []string{"drop.scheduled.v1"}, b.topics())
	b.tick()
	require.Equal(t, Scheduled, b.status().State)

	b.at(*w.PrequeueAt)
	b.tick()
	require.Equal(t, Prequeue, b.status().State)
	one := b.entered(1)
	require.Equal(t, http.StatusOK, b.enter(1).Status, "again")
	require.Equal(t, one.Ticket, b.entry(1).Ticket, "on another device")
	two := b.entered(2)
	require.Equal(t, []int64{0, 1}, []int64{one.Idx, two.Idx})
	require.Nil(t, one.Position)
	require.Equal(t, "drop-not-open", b.claim(1).Slug())
	b.tick()
	d, leaves := b.proof()
	require.Len(t, d.Heads, 1)
	r, err := proof.Check(d, leaves)
	require.NoError(t, err)
	require.Nil(t, r.Positions)

	b.at(w.OpensAt)
	b.tick()
	st := b.status()
	require.Equal(t, Open, st.State)
	require.Equal(t, int64(2), *st.N)
	require.Equal(t, LotsStatus{SKU: "TEE", Called: 2, Free: 2, RatePerMin: 120, LikelyBelow: 2}, st.SKUs[0])
	d, leaves = b.proof()
	r, err = proof.Check(d, leaves)
	require.NoError(t, err)
	for n := 1; n <= 2; n++ {
		e := b.entry(n)
		require.Equal(t, int64(r.Positions[e.Idx]), *e.Position)
		var p EntryProof
		b.do(b.token(n), "GET", "/drops/spring/entry/proof", nil).JSON(t, &p)
		leaf := proof.Leaf(p.EntryID, p.AccountID, p.Salt)
		require.NoError(t, proof.Includes(leaf[:], uint64(p.Idx), p.Size, p.Path, d.Root))
	}

	res := b.claim(1)
	require.Equal(t, http.StatusCreated, res.Status, "%s", res.Body)
	var c ClaimView
	res.JSON(t, &c)
	require.Equal(t, b.clock().Add(10*time.Minute), *c.HoldExpiresAt)
	b.later(time.Second)
	require.Equal(t, Open, b.status().State)
	require.Equal(t, http.StatusCreated, b.claim(2).Status)
	b.later(time.Second)
	require.Equal(t, AllHeld, b.status().State)
	require.Equal(t, Held, b.entry(1).Claims[0].State)
	b.inv.buys(account(1), "TEE")
	require.Equal(t, Bought, b.entry(1).Claims[0].State, "told at once to whom it is")
	b.later(time.Second)
	require.Equal(t, AllHeld, b.status().State)
	b.inv.buys(account(2), "TEE")
	b.later(time.Second)
	require.Equal(t, SoldOut, b.status().State)
	require.Equal(t, Bought, b.entry(2).Claims[0].State, "also when the drop is over by then")
	require.True(t, b.inv.closed)
	require.Equal(t, "sold-out", b.claim(1).Slug())
	require.Equal(t, "drop-ended", b.enter(3).Slug())
	require.Equal(t, []string{"drop.scheduled.v1", "drop.opened.v1", "drop.sold_out.v1"}, b.topics())
	b.later(time.Second) // nothing more
	require.Len(t, b.topics(), 3)
}

// TestClaimAttacks: whatever is wrong with a claim, inventory is not asked.
func TestClaimAttacks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(4, "lots", []LotWanted{{"TEE", 1, 2}, {"CAP", 5, 2}})
	me, other, last := order[0], order[1], order[3]
	mine, theirs := b.entry(me).Ticket, b.entry(other).Ticket
	require.Greater(t, b.status().SKUs[1].Called, int64(0))
	forge := func(change func(*drop.Ticket), key []byte) string {
		t.Helper()
		ticket, err := drop.ReadTicket(mine, drop.TicketKey([]byte(ticketKey), "spring"), "spring", b.clock())
		require.NoError(t, err)
		change(&ticket)
		return ticket.Sign(key)
	}
	right := drop.TicketKey([]byte(ticketKey), "spring")
	for name, try := range map[string]struct {
		who      int
		ticket   string
		sku      string
		quantity int64
		want     string
	}{
		"without a ticket":    {me, "", "TEE", 1, "ticket-invalid"},
		"with another's":      {me, theirs, "TEE", 1, "ticket-invalid"},
		"mine, by another":    {other, mine, "TEE", 1, "ticket-invalid"},
		"forged":              {me, forge(func(*drop.Ticket) {}, []byte(ticketKey)), "TEE", 1, "ticket-invalid"},
		"another drop's":      {me, forge(func(t *drop.Ticket) { t.Drop = "summer" }, right), "TEE", 1, "ticket-invalid"},
		"another entry's":     {me, forge(func(t *drop.Ticket) { t.Entry = account(7).String() }, right), "TEE", 1, "ticket-invalid"},
		"expired":             {me, forge(func(t *drop.Ticket) { t.ExpiresAt = b.clock().Unix() }, right), "TEE", 1, "ticket-invalid"},
		"for another SKU":     {me, mine, "CAP", 1, "not-entered-for"},
		"for no SKU of it":    {me, mine, "HAT", 1, "not-entered-for"},
		"more than entered":   {me, mine, "TEE", 2, "limit-reached"},
		"not called":          {last, b.entry(last).Ticket, "TEE", 1, "not-called"},
		"nobody who entered":  {9, mine, "TEE", 1, "ticket-invalid"},
		"a quantity of a ton": {me, mine, "TEE", 1001, "invalid"},
	} {
		require.Equal(t, try.want, b.claimOf(try.who, try.ticket, try.sku, try.quantity).Slug(), name)
	}
	require.Equal(t, 401, b.do("", "POST", "/drops/spring/claim", map[string]any{"sku": "TEE", "quantity": 1}, "Drop-Ticket", mine).Status)
	require.Zero(t, b.inv.asked)
	require.Equal(t, http.StatusCreated, b.claim(me).Status)
	require.Equal(t, http.StatusCreated, b.claim(me).Status, "replayed: the same claim")
	before := forge(func(t *drop.Ticket) { t.Subject = drop.Subject([]byte(oldKey), "spring", account(me).String()) },
		drop.TicketKey([]byte(oldKey), "spring"))
	require.Equal(t, http.StatusCreated, b.claimOf(me, before, "TEE", 1).Status, "a ticket of before another key took its key's place")
	require.Equal(t, int64(1), b.inv.lot("TEE").Held)
	require.Equal(t, http.StatusNoContent, b.do(b.token(me), "DELETE", "/drops/spring/entry", nil).Status)
	require.Equal(t, "not-entered-for", b.claimOf(me, mine, "TEE", 1).Slug(), "who has left")
}

// together does something 64 times at once.
func together(do func(i int)) {
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

// TestTogether: 64 entries of one account are one, of many leave no gap; 64 claims of one account hold one unit.
func TestTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made("lots", []LotWanted{{"TEE", 50, 2}})
	b.at(*w.PrequeueAt)
	b.tick()
	created := make([]bool, 64)
	together(func(i int) { created[i] = b.enter(7).Status == http.StatusCreated })
	made := 0
	for _, is := range created {
		if is {
			made++
		}
	}
	require.Equal(t, 1, made)
	idx := make([]int64, 64)
	together(func(i int) { idx[i] = b.entered(100 + i).Idx })
	slices.Sort(idx)
	for i, place := range idx {
		require.Equal(t, int64(i+1), place, "no gap, none twice")
	}
	together(func(i int) { // as several instances would: no batch waits for another
		answers, err := b.s.enterAll(t.Context(), []entering{{w.ID, account(200 + i), []string{"TEE"}, 1, nil}})
		require.NoError(t, err)
		require.NoError(t, answers[0].Err)
		idx[i] = answers[0].Value.Idx
	})
	slices.Sort(idx)
	for i, place := range idx {
		require.Equal(t, int64(i+65), place, "no gap, none twice")
	}
	b.at(w.OpensAt)
	b.tick()
	called := b.status().SKUs[0].Called
	for i := range 64 {
		if e := b.entry(100 + i); *e.Position < called {
			together(func(int) { require.Equal(t, http.StatusCreated, b.claimOf(100+i, e.Ticket, "TEE", 1).Status) })
			break
		}
	}
	require.Equal(t, int64(1), b.inv.lot("TEE").Held)
}

// TestAfterTheFreeze: who comes after the opening stands behind all who were there, or is refused in a draw.
func TestAfterTheFreeze(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened(3)
	e := b.entered(8)
	require.Equal(t, []int64{3, 3}, []int64{e.Idx, *e.Position})
	d, leaves := b.proof()
	r, err := proof.Check(d, leaves)
	require.NoError(t, err)
	require.Equal(t, []int{4, 3}, []int{r.Entries, len(r.Positions)})

	b = setup(t)
	w := b.made("preset", "draw")
	b.at(*w.PrequeueAt)
	b.tick()
	b.entered(1)
	b.at(w.OpensAt)
	require.Equal(t, "entry-closed", b.enter(2).Slug(), "at the opening, before anything is frozen")
	b.tick()
	require.Equal(t, "entry-closed", b.enter(2).Slug())
	require.Equal(t, http.StatusOK, b.enter(1).Status, "who is in is in")
	require.Equal(t, Offered, b.entry(1).Claims[0].State)
	require.NotContains(t, b.topics(), "drop.called.v1", "who did not ask is not told")
}

// TestNobodyEntersAtTheOpening: from the opening's time until the entries are frozen nobody is added whom a beacon that is
// known could favour.
func TestNobodyEntersAtTheOpening(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made()
	b.at(*w.PrequeueAt)
	b.tick()
	b.at(w.OpensAt.Add(-time.Millisecond))
	b.entered(1)
	b.at(w.OpensAt)
	require.Equal(t, "drop-drawing", b.enter(2).Slug())
	b.tick()
	require.Equal(t, int64(1), b.entered(2).Idx)
	require.Equal(t, int64(1), *b.status().N)
}
