package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var ordinary = patience{
	deadline: 11 * time.Minute, unplaced: 4 * time.Minute, inventory: 3*time.Minute + 30*time.Second,
	payments: 11*time.Minute + 30*time.Second, orders: 11*time.Minute + 30*time.Second, mail: 11*time.Minute + 30*time.Second,
}

// TestPatience: the audit waits as long as the services of this stack do.
func TestPatience(t *testing.T) {
	t.Parallel()
	p, err := (&stack{settings: &settings{}}).patience()
	require.NoError(t, err)
	require.Equal(t, ordinary, p)

	short := &settings{}
	for _, w := range chaosWaits {
		short.lines = append(short.lines, settingLine{key: w[0], value: w[1]})
	}
	p, err = (&stack{settings: short}).patience()
	require.NoError(t, err)
	require.Equal(t, patience{
		deadline: 105 * time.Second, unplaced: 20 * time.Second,
		inventory: 75 * time.Second, payments: 75 * time.Second, orders: 75 * time.Second, mail: 75 * time.Second,
	}, p)

	short.lines = append([]settingLine{{key: "ORDER_DEADLINE", value: "soon"}}, short.lines...)
	_, err = (&stack{settings: short}).patience()
	require.ErrorContains(t, err, "ORDER_DEADLINE")
}

// TestPatienceOfAFinding: what a pull cures is not wrong before the pull was there.
func TestPatienceOfAFinding(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := now.Add(-5 * time.Minute)
	o := &auditedOrder{Status: "cancelled", UpdatedAt: at}
	c := &auditedCharge{OrderID: o.ID, Captured: 100, Booked: 100, HasBooks: true, UpdatedAt: at}
	found := judge(o, c, &auditedHold{State: "sold", ChangedAt: at}, ordinary, now)
	require.Len(t, found, 2)
	require.True(t, found[0].young(now), found[0].what)
	require.False(t, found[1].young(now), found[1].what)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old := now.Add(-time.Hour)
	order := func(status string, refunded int64) *auditedOrder {
		return &auditedOrder{Status: status, Currency: "GBP", Total: 100, Refunded: refunded, UpdatedAt: old}
	}
	charge := func(captured bool, refunded int64) *auditedCharge {
		c := &auditedCharge{Refunded: refunded, UpdatedAt: old, HasBooks: true, Given: refunded}
		if captured {
			c.Captured, c.Currency, c.Booked = 100, "GBP", 100
		}
		return c
	}
	hold := func(state string) *auditedHold { return &auditedHold{State: state, ChangedAt: old} }
	twice := charge(true, 0)
	twice.Booked = 200
	less := charge(true, 0)
	less.Captured, less.Booked = 90, 90
	dollars := charge(true, 0)
	dollars.Currency = "USD"
	pruned := charge(true, 0)
	pruned.HasBooks, pruned.Booked = false, 0
	cannot, elsewhere, owed := charge(true, 30), charge(true, 100), charge(true, 30)
	cannot.Failed, elsewhere.Failed, owed.Asked = 1, 1, 40
	waiting := order("confirmed", 30)
	waiting.Payment = "refund_pending"
	late := order("pending", 0)
	late.SentAt = &old
	for _, c := range []struct {
		name string
		o    *auditedOrder
		c    *auditedCharge
		h    *auditedHold
		want int
	}{
		{"confirmed", order("confirmed", 0), charge(true, 0), hold("sold"), 0},
		{"delivered, partly refunded", order("delivered", 30), charge(true, 30), hold("sold"), 0},
		{"cancelled, never charged", order("cancelled", 0), charge(false, 0), hold("released"), 0},
		{"cancelled, refunded", order("cancelled", 100), charge(true, 100), hold("released"), 0},
		{"pending", order("pending", 0), nil, hold("held"), 0},
		{"a refused attempt", nil, nil, hold("released"), 0},
		{"confirmed, not charged", order("confirmed", 0), charge(false, 0), hold("sold"), 1},
		{"confirmed, not sold", order("confirmed", 0), charge(true, 0), hold("held"), 1},
		{"confirmed, no hold", order("confirmed", 0), charge(true, 0), nil, 1},
		{"cancelled, money kept", order("cancelled", 0), charge(true, 0), hold("released"), 1},
		{"cancelled, still held", order("cancelled", 0), nil, hold("held"), 1},
		{"refund that orders missed", order("confirmed", 0), charge(true, 30), hold("sold"), 1},
		{"refunded too much", order("cancelled", 130), charge(true, 130), hold("released"), 2},
		{"charged twice", order("confirmed", 0), twice, hold("sold"), 1},
		{"another amount was taken", order("confirmed", 0), less, hold("sold"), 1},
		{"another currency was taken", order("confirmed", 0), dollars, hold("sold"), 1},
		{"the books are pruned", order("confirmed", 0), pruned, hold("sold"), 0},
		{"a refund failed", order("confirmed", 30), cannot, hold("sold"), 1},
		{"a refund failed, all is back all the same", order("cancelled", 100), elsewhere, hold("released"), 0},
		{"a refund is not made", order("confirmed", 30), owed, hold("sold"), 1},
		{"a refund is pending", waiting, charge(true, 30), hold("sold"), 1},
		{"sold, and cancelled", order("cancelled", 100), charge(true, 100), hold("sold"), 1},
		{"past its deadline", late, nil, hold("held"), 1},
		{"held for nobody", nil, nil, hold("held"), 1},
		{"sold to nobody", nil, charge(true, 0), hold("sold"), 2},
	} {
		found := judge(c.o, c.c, c.h, ordinary, now)
		require.Len(t, found, c.want, c.name)
		for _, f := range found {
			require.False(t, f.young(now), c.name)
		}
	}
	young := order("confirmed", 0)
	young.UpdatedAt = now.Add(-time.Second)
	found := judge(young, charge(false, 0), hold("sold"), ordinary, now)
	require.Len(t, found, 1)
	require.True(t, found[0].young(now))
	require.Equal(t, young.UpdatedAt, found[0].since, "the youngest of the three counts")
}
