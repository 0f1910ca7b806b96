package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestForget: who paid for an order is forgotten, in whatever order that is told, and the books stay.
func TestForget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, other := order("pm_card_visa"), order("pm_card_visa")
	other.Email = "bob@example.com"
	b.place(t, o)
	b.place(t, other)
	b.chargeDue(t)
	refund := func(amount int64, reason string) {
		t.Helper()
		res := b.adminRefund(t, o, uuid.NewString(), map[string]any{
			"amount": events.Money{Amount: amount, Currency: "GBP"}, "reason": reason,
		})
		require.Equal(t, 201, res.Status, "%s", res.Body)
		b.refundDue(t)
	}
	refund(500, "Augusta rang: the cup was broken")
	forgotten := events.OrderForgotten{OrderID: o.OrderID, AccountID: o.AccountID, At: time.Now()}
	id := servetest.Deliver(t, b.rt, forgotten)
	require.NoError(t, servetest.DeliverAs(t, b.rt, id, forgotten))
	servetest.Nowhere(t, b.db, "ada@example.com", "Augusta")
	c := b.charge(t, o)
	require.Equal(t, []any{Captured, int64(2000), ""}, []any{c.State, c.CapturedAmount, c.Email})
	require.Equal(t, "bob@example.com", b.charge(t, other).Email)
	require.Equal(t, int64(500), b.refundsOf(t, o)[0].Amount)

	// Money goes back later all the same, to nobody's address.
	b.place(t, o) // told once more
	refund(700, "another one")
	amounts, sums := b.tellRefunds(t, o)
	require.Equal(t, [][]int64{{700}, {1200}}, [][]int64{amounts, sums})
	servetest.Nowhere(t, b.db, "ada@example.com")

	// It overtakes what places the order: the address goes a little later.
	late := order("pm_card_visa")
	b.cancel(t, late)
	told := []events.OrderForgotten{{OrderID: late.OrderID, AccountID: late.AccountID, At: time.Now()}}
	servetest.Neighbour(t, b.rt, "orders", "GET /internal/orders/forgotten", servetest.Feed(&told))
	require.NoError(t, b.pullForgotten().Run(t.Context()))
	b.place(t, late)
	_, err := b.db.Exec(t.Context(), `UPDATE forgotten SET again_at = now()`)
	require.NoError(t, err)
	require.NoError(t, forget.Again(b.db, forgetCharges)(t.Context()))
	servetest.Nowhere(t, b.db, "ada@example.com")
}
