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

// TestForgetAccount: what was written to an account goes with it, but for what is about orders on their way; and what is told
// late of it is not written.
func TestForgetAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order()
	o.FirstName = "Augusta"
	activated := events.AccountActivated{AccountID: o.AccountID, Email: o.Email, FirstName: o.FirstName, First: true, At: time.Now()}
	asked := events.AccountEmailChangeAsked{AccountID: o.AccountID, Email: o.Email, FirstName: o.FirstName, At: time.Now()}
	issued := code("493817", 15*time.Minute)
	issued.AccountID, issued.FirstName = o.AccountID, o.FirstName
	servetest.Deliver(t, b.rt, activated)
	servetest.Deliver(t, b.rt, issued)
	servetest.Deliver(t, b.rt, confirmed(o))
	other := code("493818", 15*time.Minute)
	other.Email, other.FirstName = "bob@example.com", "Bob"
	servetest.Deliver(t, b.rt, other)
	require.Len(t, b.list(t, ""), 4)

	gone := events.AccountRemoved{AccountID: o.AccountID, At: time.Now()}
	id := servetest.Deliver(t, b.rt, gone)
	require.NoError(t, servetest.DeliverAs(t, b.rt, id, gone))
	servetest.Deliver(t, b.rt, activated)
	servetest.Deliver(t, b.rt, asked)
	servetest.Deliver(t, b.rt, issued)
	kinds := map[string]int{}
	for _, m := range b.list(t, "") {
		kinds[string(m.Kind)]++
	}
	require.Equal(t, map[string]int{"order-confirmed": 1, "verify-email": 1}, kinds)

	// The order goes on, and its owner hears of it, until it has ended.
	servetest.Deliver(t, b.rt, shipped(o))
	require.Len(t, b.list(t, "?order_id="+o.OrderID.String()), 2)
	again := b.list(t, "?kind=order-shipped")[0].ID
	b.sendDue(t)
	path := "/api/v1/admin/mail/" + again.String() + "/resend"
	require.Equal(t, 201, servetest.Do(t, b.rt, "POST", path, b.admin, nil, "Idempotency-Key", uuid.NewString()).Status)
	forgotten := events.OrderForgotten{OrderID: o.OrderID, AccountID: o.AccountID, At: time.Now()}
	servetest.Deliver(t, b.rt, forgotten)
	servetest.Deliver(t, b.rt, delivered(o)) // overtaken
	servetest.Deliver(t, b.rt, events.PaymentRefunded{
		OrderID: o.OrderID, RefundID: uuid.New(), Number: o.Number, Email: o.Email, Amount: o.Total, Refunded: o.Total, Captured: o.Total,
	})
	servetest.Nowhere(t, b.db, o.Email, o.FirstName)
	require.Len(t, b.list(t, ""), 1, "somebody else's stays")

	// Told once more by a feed, it has no address.
	o.Email = ""
	for _, e := range []events.Order{delivered(o).Order, cancelled(o).Order} {
		m, err := OrderMail(e, "", Source{}, time.Now())
		require.NoError(t, err)
		require.Nil(t, m)
	}
	m, err := RefundMail(events.PaymentRefunded{OrderID: o.OrderID}, "", Source{}, time.Now())
	require.NoError(t, err)
	require.Nil(t, m)
}

// TestForgetAgain: what a handler wrote that was at work when its order was forgotten goes a little later.
func TestForgetAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order()
	o.FirstName = "Augusta"
	told := []events.OrderForgotten{{OrderID: o.OrderID, AccountID: o.AccountID, At: time.Now()}}
	servetest.Neighbour(t, b.rt, "orders", "GET /internal/orders/forgotten", servetest.Feed(&told))
	servetest.Deliver(t, b.rt, confirmed(o))
	b.sendDue(t)
	require.NoError(t, b.pullForgotten().Run(t.Context()), "its event was lost")
	require.Empty(t, b.list(t, ""))

	_, err := b.db.Exec(t.Context(), `DELETE FROM forgotten`)
	require.NoError(t, err)
	servetest.Deliver(t, b.rt, shipped(o))
	_, err = b.db.Exec(t.Context(), `INSERT INTO forgotten (id, again_at) VALUES ($1, now())`, o.OrderID)
	require.NoError(t, err)
	again := forget.Again(b.db, deleteAbout)
	require.NoError(t, again(t.Context()))
	servetest.Nowhere(t, b.db, o.Email, o.FirstName)
	var next time.Time
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT again_at FROM forgotten`).Scan(&next), "once more, for what comes later")
	_, err = b.db.Exec(t.Context(), `UPDATE forgotten SET noted_at = now() - interval '9 days', again_at = now()`)
	require.NoError(t, err)
	require.NoError(t, again(t.Context()))
	var over bool
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT again_at IS NULL FROM forgotten`).Scan(&over))
	require.True(t, over)
	_, err = b.db.Exec(t.Context(), `UPDATE forgotten SET noted_at = now() - interval '91 days'`)
	require.NoError(t, err)
	require.NoError(t, again(t.Context()))
	var left int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM forgotten`).Scan(&left))
	require.Zero(t, left)
}
