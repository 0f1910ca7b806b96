package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var ordinary = deadlines{
	pending: 11 * time.Minute, unplaced: 4 * time.Minute, inventory: 3*time.Minute + 30*time.Second,
	payments: 11*time.Minute + 30*time.Second, orders: 11*time.Minute + 30*time.Second, mail: 11*time.Minute + 30*time.Second,
}

// TestYoungFindings: what a pull cures is not wrong before the pull was there.
func TestYoungFindings(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := now.Add(-5 * time.Minute)
	o := &order{Status: "cancelled", UpdatedAt: at}
	c := &charge{OrderID: o.ID, Captured: 100, Booked: 100, HasBooks: true, UpdatedAt: at}
	found := judgeOrder(o, c, &hold{State: "sold", ChangedAt: at}, ordinary, now)
	require.Len(t, found, 2)
	require.True(t, found[0].young(now), found[0].what)
	require.False(t, found[1].young(now), found[1].what)
}

func TestJudgeOrder(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old := now.Add(-time.Hour)
	placed := func(status string, refunded int64) *order {
		return &order{Status: status, Currency: "GBP", Total: 100, Refunded: refunded, UpdatedAt: old}
	}
	paid := func(captured bool, refunded int64) *charge {
		c := &charge{Refunded: refunded, UpdatedAt: old, HasBooks: true, Given: refunded}
		if captured {
			c.Captured, c.Currency, c.Booked = 100, "GBP", 100
		}
		return c
	}
	held := func(state string) *hold { return &hold{State: state, ChangedAt: old} }
	twice := paid(true, 0)
	twice.Booked = 200
	less := paid(true, 0)
	less.Captured, less.Booked = 90, 90
	dollars := paid(true, 0)
	dollars.Currency = "USD"
	pruned := paid(true, 0)
	pruned.HasBooks, pruned.Booked = false, 0
	cannot, elsewhere, owed := paid(true, 30), paid(true, 100), paid(true, 30)
	cannot.Failed, elsewhere.Failed, owed.Asked = 1, 1, 40
	waiting := placed("confirmed", 30)
	waiting.Payment = "refund_pending"
	late := placed("pending", 0)
	late.SentAt = &old
	for _, c := range []struct {
		name string
		o    *order
		c    *charge
		h    *hold
		want int
	}{
		{"confirmed", placed("confirmed", 0), paid(true, 0), held("sold"), 0},
		{"delivered, partly refunded", placed("delivered", 30), paid(true, 30), held("sold"), 0},
		{"cancelled, never charged", placed("cancelled", 0), paid(false, 0), held("released"), 0},
		{"cancelled, refunded", placed("cancelled", 100), paid(true, 100), held("released"), 0},
		{"pending", placed("pending", 0), nil, held("held"), 0},
		{"a refused attempt", nil, nil, held("released"), 0},
		{"confirmed, not charged", placed("confirmed", 0), paid(false, 0), held("sold"), 1},
		{"confirmed, not sold", placed("confirmed", 0), paid(true, 0), held("held"), 1},
		{"confirmed, no hold", placed("confirmed", 0), paid(true, 0), nil, 1},
		{"cancelled, money kept", placed("cancelled", 0), paid(true, 0), held("released"), 1},
		{"cancelled, still held", placed("cancelled", 0), nil, held("held"), 1},
		{"refund that orders missed", placed("confirmed", 0), paid(true, 30), held("sold"), 1},
		{"refunded too much", placed("cancelled", 130), paid(true, 130), held("released"), 2},
		{"charged twice", placed("confirmed", 0), twice, held("sold"), 1},
		{"another amount was taken", placed("confirmed", 0), less, held("sold"), 1},
		{"another currency was taken", placed("confirmed", 0), dollars, held("sold"), 1},
		{"the books are pruned", placed("confirmed", 0), pruned, held("sold"), 0},
		{"a refund failed", placed("confirmed", 30), cannot, held("sold"), 1},
		{"a refund failed, all is back all the same", placed("cancelled", 100), elsewhere, held("released"), 0},
		{"a refund is not made", placed("confirmed", 30), owed, held("sold"), 1},
		{"a refund is pending", waiting, paid(true, 30), held("sold"), 1},
		{"sold, and cancelled", placed("cancelled", 100), paid(true, 100), held("sold"), 1},
		{"past its deadline", late, nil, held("held"), 1},
		{"held for nobody", nil, nil, held("held"), 1},
		{"sold to nobody", nil, paid(true, 0), held("sold"), 2},
	} {
		found := judgeOrder(c.o, c.c, c.h, ordinary, now)
		require.Len(t, found, c.want, c.name)
		for _, f := range found {
			require.False(t, f.young(now), c.name)
		}
	}
	young := placed("confirmed", 0)
	young.UpdatedAt = now.Add(-time.Second)
	found := judgeOrder(young, paid(false, 0), held("sold"), ordinary, now)
	require.Len(t, found, 1)
	require.True(t, found[0].young(now))
	require.Equal(t, young.UpdatedAt, found[0].since, "the youngest of the three counts")
}

func TestJudgeStock(t *testing.T) {
	t.Parallel()
	good := stock{SKU: "A", Free: 5, Held: 3, Sold: 2, Entered: 10, OnHand: 8, Booked: 8, CartHeld: 1, CartSum: 1, OrderHeld: 2, OrderSum: 2, SoldSum: 2}
	require.Empty(t, judgeStock(good))
	for name, tc := range map[string]struct {
		change func(*stock)
		want   string
	}{
		"a unit came from nowhere": {func(s *stock) { s.Entered = 9 }, "free 5 + held 3 + sold 2 is not 9, what came in"},
		"the ledger differs":       {func(s *stock) { s.Booked = 9 }, "counters do not fit: on hand 8/9, carts 1/1, orders 2/2, sold 2/2, free 5"},
		"a cart's hold is lost":    {func(s *stock) { s.CartSum = 0 }, "carts 1/0"},
		"an order's hold is lost":  {func(s *stock) { s.OrderSum = 3 }, "orders 2/3"},
		"a sale is lost":           {func(s *stock) { s.SoldSum = 1 }, "sold 2/1"},
		"more promised than there": {func(s *stock) { s.Free, s.Held = -1, 9 }, "free -1"},
	} {
		s := good
		tc.change(&s)
		found := judgeStock(s)
		require.Len(t, found, 1, name)
		require.Contains(t, found[0].what, tc.want, name)
		require.False(t, found[0].young(time.Time{}), "%s: nothing of it is on its way", name)
	}
}

func TestJudgeLot(t *testing.T) {
	t.Parallel()
	good := lot{Open: true, Standing: true, Units: 10, Free: 5, Held: 3, Sold: 2, HeldSum: 3, SoldSum: 2}
	require.Empty(t, judgeLot(good))
	require.Empty(t, judgeLot(lot{Units: 10, HeldSum: 3, SoldSum: 7}), "one that is closed")
	for name, tc := range map[string]struct {
		change func(*lot)
		want   string
	}{
		"a unit too many":         {func(l *lot) { l.Free = 6 }, "free 6 + held 3 + sold 2 is not 10, what was set aside"},
		"a claim is lost":         {func(l *lot) { l.HeldSum = 2 }, "counters do not fit: held 3/2, sold 2/2, free 5"},
		"a sale is lost":          {func(l *lot) { l.SoldSum = 1 }, "sold 2/1"},
		"its stock knows nothing": {func(l *lot) { *l = lot{Open: true, Units: 10, HeldSum: 1} }, "whether it is open"},
		"only its stock knows":    {func(l *lot) { l.Open = false }, "whether it is open"},
		"more than there were":    {func(l *lot) { *l = lot{Units: 10, HeldSum: 4, SoldSum: 7} }, "held 4 + sold 7 are more than 10"},
		"less than nothing free":  {func(l *lot) { l.Free, l.Held, l.HeldSum = -1, 9, 9 }, "free -1"},
	} {
		l := good
		tc.change(&l)
		found := judgeLot(l)
		require.NotEmpty(t, found, name)
		require.Contains(t, found[0].what, tc.want, name)
		require.False(t, found[0].young(time.Time{}), name)
	}
}

func TestJudgeMail(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old, soon, long := now.Add(-time.Hour), now.Add(10*time.Second), now.Add(-30*time.Minute)
	for name, tc := range map[string]struct {
		found       []finding
		young, late int
	}{
		"sent":                 {judgeMail(mail{Status: "sent", CutOff: 1}, ordinary), 0, 0},
		"queued a moment ago":  {judgeMail(mail{Status: "queued", CreatedAt: now.Add(-11 * time.Minute)}, ordinary), 1, 0},
		"queued for long":      {judgeMail(mail{Status: "queued", CreatedAt: now.Add(-12 * time.Minute)}, ordinary), 0, 1},
		"its sender died":      {judgeMail(mail{Status: "queued", CreatedAt: old, LeasedUntil: &soon}, ordinary), 1, 0},
		"and long ago":         {judgeMail(mail{Status: "queued", CreatedAt: old, LeasedUntil: &long}, ordinary), 0, 1},
		"cut off twice":        {judgeMail(mail{Status: "sent", CutOff: 2, CreatedAt: now.Add(-time.Hour)}, ordinary), 0, 1},
		"written":              {judgeDueMail(dueMail{Since: now.Add(-time.Hour)}, true, ordinary), 0, 0},
		"not written yet":      {judgeDueMail(dueMail{Since: now.Add(-time.Minute)}, false, ordinary), 1, 0},
		"never written":        {judgeDueMail(dueMail{Since: now.Add(-time.Hour)}, false, ordinary), 0, 1},
		"pulled, fails for 2m": {[]finding{failedItem{FirstAt: now.Add(-2 * time.Minute)}.judge()}, 0, 1},
		"pulled, just failed":  {[]finding{failedItem{FirstAt: now}.judge()}, 1, 0},
		"over the limit":       {[]finding{overLimit{Shopper: "account:a", SKU: "A", Has: 3, Most: 2}.judge()}, 0, 1},
	} {
		r := newReport(now)
		r.add(name, tc.found...)
		require.Len(t, r.young, tc.young, name)
		require.Len(t, r.late, tc.late, name)
	}
}
