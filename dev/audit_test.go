package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	old := now.Add(-time.Hour)
	order := func(status string, refunded int64) *auditedOrder {
		return &auditedOrder{Status: status, Total: 100, Refunded: refunded, UpdatedAt: old}
	}
	charge := func(captured bool, refunded int64) *auditedCharge {
		c := &auditedCharge{Amount: 100, Captured: captured, Refunded: refunded, UpdatedAt: old, HasBooks: true, Given: refunded}
		if captured {
			c.Booked = 100
		}
		return c
	}
	hold := func(state string) *auditedHold { return &auditedHold{State: state, ChangedAt: old} }
	twice := charge(true, 0)
	twice.Booked = 200
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
		{"past its deadline", late, nil, hold("held"), 1},
		{"held for nobody", nil, nil, hold("held"), 1},
		{"sold to nobody", nil, charge(true, 0), hold("sold"), 2},
	} {
		require.Len(t, judge(c.o, c.c, c.h, now), c.want, c.name)
	}
	young := order("confirmed", 0)
	young.UpdatedAt = now.Add(-time.Second)
	found := judge(young, charge(false, 0), hold("sold"), now)
	require.Len(t, found, 1)
	require.Equal(t, young.UpdatedAt, found[0].since, "the youngest of the three counts")
}
