package main

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// One mail a request, whatever is told twice; each leads to where it can be ended, and what shops call things stays text.
func TestStockMails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := events.StockRequest{
		RequestID: uuid.New(), Email: "ada@example.test", SKU: "S", Slug: "trail jacket", Name: "<b>Trail</b>\njacket", Variant: "M & L",
		ImageURL: "/media/a.jpg", At: b.now(),
	}
	servetest.Deliver(t, b.rt, events.StockRequested{StockRequest: e})
	for range 2 {
		servetest.Deliver(t, b.rt, events.StockReturned{StockRequest: e})
	}
	b.sendDue(t)
	require.Len(t, b.taken, 2)
	at := "/notify/" + e.RequestID.String()
	for i, d := range b.taken {
		stop := at
		if i == 1 {
			stop += "?stop=1"
		}
		require.Equal(t, "ada@example.test", d.Recipient)
		require.NotContains(t, d.Subject, "\n")
		require.Contains(t, d.HTML, at)
		require.Contains(t, d.Text, stop)
		require.Contains(t, d.HTML, "&lt;b&gt;Trail&lt;/b&gt;")
		require.Contains(t, d.HTML, "/products/trail%20jacket")
		require.Contains(t, d.Text, "<b>Trail</b> jacket, M & L")
	}
	again := e
	again.RequestID = uuid.New() // asked once more
	servetest.Deliver(t, b.rt, events.StockReturned{StockRequest: again})
	b.sendDue(t)
	require.Len(t, b.taken, 3)
}
