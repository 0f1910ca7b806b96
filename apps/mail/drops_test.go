package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// One mail a drop, somebody and SKU, whatever is told twice; times are those of the drop's clocks, and titles stay text.
func TestDropMails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	who := uuid.New()
	called := events.DropCalled{
		DropID: uuid.New(), Slug: "lamp", Title: "<b>Lamps</b>\n& more", Zone: "Europe/Paris", AccountID: who, Email: "ada@example.test",
		SKU: "LAMP", Until: time.Date(2026, time.July, 4, 18, 0, 0, 0, time.UTC), At: b.now(),
	}
	for range 2 {
		servetest.Deliver(t, b.rt, called)
	}
	b.sendDue(t)
	require.Len(t, b.taken, 1)
	m := b.taken[0]
	require.Equal(t, "ada@example.test", m.Recipient)
	require.Equal(t, "It is your turn: <b>Lamps</b> & more", m.Subject)
	for _, shown := range []string{m.HTML, m.Text} {
		require.Contains(t, shown, "Saturday 4 July, 20:00 CEST")
		require.Contains(t, shown, "/drops/lamp")
	}
	require.Contains(t, m.HTML, "&lt;b&gt;Lamps")
	require.Contains(t, m.Text, `"<b>Lamps</b> & more"`)
	called.SKU = "CHAIR"
	servetest.Deliver(t, b.rt, called)
	b.sendDue(t)
	require.Len(t, b.taken, 2, "of another one of it")

	missed := events.DropMissed{DropID: called.DropID, Slug: "lamp", Title: "Lamps", AccountID: who, Email: "ada@example.test", At: b.now()}
	for _, over := range []bool{false, true} {
		missed.SoldOut, missed.AccountID = over, uuid.New()
		for range 2 {
			servetest.Deliver(t, b.rt, missed)
		}
		b.sendDue(t)
		m := b.taken[len(b.taken)-1]
		require.Equal(t, "Lamps is over", m.Subject)
		for _, shown := range []string{m.HTML, m.Text} {
			require.Contains(t, shown, "charged nothing")
			require.Contains(t, shown, "/drops/lamp/verify")
			if over {
				require.Contains(t, shown, "all are sold")
			} else {
				require.NotContains(t, shown, "all are sold")
			}
		}
	}
	require.Len(t, b.taken, 4)

	// Who has deleted the account hears nothing more.
	servetest.Deliver(t, b.rt, events.AccountRemoved{AccountID: who, At: b.now()})
	called.SKU = "TABLE"
	servetest.Deliver(t, b.rt, called)
	b.sendDue(t)
	require.Len(t, b.taken, 4)
}
