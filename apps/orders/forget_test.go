package main

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// ada is who must be nowhere in the end.
func ada(account uuid.UUID) func(*Placement) {
	return func(p *Placement) {
		p.AccountID, p.Email, p.FirstName = account, "augusta@example.test", "Augusta"
		p.Address = Address{
			Name: "Augusta Byron", Line1: "12 Analytical Square", City: "Marylebone", PostalCode: "EC1A 1BB", Country: "GB",
			Phone: "+442079460000",
		}
	}
}

var adas = []string{"augusta", "Byron", "Analytical", "Marylebone", "EC1A 1BB", "9460000", "doorbell", "RM-4829"}

// orderedBy places an order of ada's and brings it as far as a status.
func (b *bundle) orderedBy(t *testing.T, account uuid.UUID, status Status) *Order {
	t.Helper()
	o := b.order(t, ada(account))
	if status == Pending {
		return o
	}
	servetest.Deliver(t, b.rt, capturedEvent(o))
	if status == Cancelled {
		note := map[string]any{"reason": "my doorbell is broken"}
		require.Equal(t, 202, servetest.Do(t, b.rt, "POST", location(o.ID)+"/cancellation", shopper(t, account), note).Status)
	}
	if status == Shipped || status == Delivered {
		parcel := map[string]any{"carrier": "Royal Mail", "tracking_number": "RM-4829"}
		at := "/api/v1/admin/orders/" + o.ID.String()
		require.Equal(t, 200, servetest.Do(t, b.rt, "POST", at+"/shipment", admin(t), parcel).Status)
		if status == Delivered {
			require.Equal(t, 200, servetest.Do(t, b.rt, "POST", at+"/delivery", admin(t), nil).Status)
		}
	}
	return o
}

func (b *bundle) adminOrder(t *testing.T, id uuid.UUID) (o adminOrder) {
	t.Helper()
	servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders/"+id.String(), admin(t), nil).JSON(t, &o)
	return o
}

func (b *bundle) forgotten(t *testing.T) (ids []uuid.UUID) {
	t.Helper()
	for _, sent := range servetest.Outbox(t, b.db) {
		if sent.Topic == "order.forgotten.v1" {
			var e events.OrderForgotten
			require.NoError(t, json.Unmarshal(sent.Data, &e))
			ids = append(ids, e.OrderID)
		}
	}
	return ids
}

// TestForget: of an account that is gone, orders are forgotten as they end, once, and nothing brings the person back.
func TestForget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account := uuid.New()
	delivered, confirmed := b.orderedBy(t, account, Delivered), b.orderedBy(t, account, Confirmed)
	shipped, cancelled := b.orderedBy(t, account, Shipped), b.orderedBy(t, account, Cancelled)
	others := b.order(t)
	letter := refundedEvent(delivered, 100)
	letter.Refunded.Currency = "USD"
	bury(t, b, letter)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM dead_letters WHERE order_id = $1`, delivered.ID))

	require.NoError(t, b.forget(t.Context()))
	require.Empty(t, b.forgotten(t), "nobody is gone")
	gone := events.AccountRemoved{AccountID: account, At: b.now()}
	id := servetest.Deliver(t, b.rt, gone)
	require.NoError(t, servetest.DeliverAs(t, b.rt, id, gone))
	require.NoError(t, b.forget(t.Context()))
	require.Empty(t, b.forgotten(t), "its mails have not left the outbox")
	b.sent(t)
	b.at.Add(time.Minute)
	require.NoError(t, b.forget(t.Context()))
	require.Equal(t, []uuid.UUID{delivered.ID}, b.forgotten(t))

	got := b.adminOrder(t, delivered.ID)
	require.True(t, got.Forgotten)
	require.Equal(t, Address{Name: "deleted account", Line1: "–", Country: "GB"}, got.Address)
	require.Equal(t, []any{"", "", Delivered, delivered.Total, len(delivered.Lines)},
		[]any{got.Email, got.Shipment.TrackingNumber, got.Status, got.Total, len(got.Lines)}, "the books stay")
	for _, o := range []*Order{confirmed, shipped, cancelled} {
		got := b.adminOrder(t, o.ID)
		require.Equal(t, []any{false, "augusta@example.test", "12 Analytical Square"}, []any{got.Forgotten, got.Email, got.Address.Line1})
	}
	require.NotEmpty(t, b.adminOrder(t, others.ID).Email)
	require.Zero(t, b.count(t, `SELECT count(*) FROM dead_letters`))

	// It orders nothing any more, whatever is told of it late.
	servetest.Deliver(t, b.rt, events.AccountActivated{AccountID: account, At: b.now().Add(time.Hour)})
	request := map[string]any{
		"address": placement().Address, "payment_method": "pm_card_visa", "expected_total": gbp(1),
	}
	res := servetest.Do(t, b.rt, "POST", "/api/v1/orders", shopper(t, account), request, "Idempotency-Key", uuid.NewString())
	require.Equal(t, "account-suspended", res.Slug(), "%s", res.Body)

	// The others end: one arrives, one's money goes back, one was sent a month ago.
	at := "/api/v1/admin/orders/" + confirmed.ID.String()
	parcel := map[string]any{"carrier": "DHL", "tracking_number": "RM-4829"}
	require.Equal(t, 200, servetest.Do(t, b.rt, "POST", at+"/shipment", admin(t), parcel).Status)
	require.Equal(t, 200, servetest.Do(t, b.rt, "POST", at+"/delivery", admin(t), nil).Status)
	servetest.Deliver(t, b.rt, refundedEvent(cancelled, cancelled.Total.Amount))
	b.sent(t)
	b.at.Add(time.Minute)
	require.NoError(t, b.forget(t.Context()))
	require.ElementsMatch(t, []uuid.UUID{delivered.ID, confirmed.ID, cancelled.ID}, b.forgotten(t))
	b.at.Add(arrived)
	require.NoError(t, b.forget(t.Context()))
	require.Len(t, b.forgotten(t), 4)

	// What comes later finds nobody. The events' own ids are known, as a broker's second copies have them.
	servetest.Deliver(t, b.rt, capturedEvent(delivered))
	servetest.Deliver(t, b.rt, refundedEvent(delivered, 100))
	bury(t, b, letter)
	for _, o := range []*Order{delivered, confirmed, shipped, cancelled} {
		require.True(t, b.adminOrder(t, o.ID).Forgotten)
	}
	b.sent(t)
	servetest.Nowhere(t, b.db, adas...)
	require.Len(t, b.forgotten(t), 4, "told once")
	b.at.Add(24 * time.Hour)
	require.NoError(t, b.forget(t.Context()))
	require.Zero(t, b.count(t, `SELECT count(*) FROM standings WHERE look_at IS NOT NULL`), "nobody looks any more")
	b.at.Add(keepGone)
	require.NoError(t, b.prune(t.Context()))
	require.Zero(t, b.count(t, `SELECT count(*) FROM standings`))
}

// bury makes a dead letter of an event, as when its handler has failed for long.
func bury(t *testing.T, b *bundle, e outbox.Event) {
	t.Helper()
	data, err := json.Marshal(e)
	require.NoError(t, err)
	told := []outbox.Published{{ID: uuid.New(), Topic: e.Topic(), Data: data}}
	servetest.Neighbour(t, b.rt, "auth", "GET /internal/events", servetest.Feed(&told))
	require.NoError(t, b.rt.Subs.Missed("auth", time.Minute)(t.Context()))
	_, err = b.db.Exec(t.Context(), `DELETE FROM feed_positions`)
	require.NoError(t, err)
}

// TestForgetLate: an order that was on its way into the table when its account went is forgotten as well.
func TestForgetLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account := uuid.New()
	servetest.Deliver(t, b.rt, events.AccountRemoved{AccountID: account, At: b.now()})
	require.NoError(t, b.forget(t.Context()))
	late := b.orderedBy(t, account, Delivered)
	b.sent(t)
	b.at.Add(time.Hour)
	require.NoError(t, b.forget(t.Context()))
	require.Equal(t, []uuid.UUID{late.ID}, b.forgotten(t))
	servetest.Nowhere(t, b.db, adas...)
}

// TestForgetTogether: three instances that forget at once tell each order once.
func TestForgetTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := map[uuid.UUID]bool{}
	for range 4 {
		account := uuid.New()
		for range 3 {
			want[b.orderedBy(t, account, Delivered).ID] = true
		}
		servetest.Deliver(t, b.rt, events.AccountRemoved{AccountID: account, At: b.now()})
	}
	b.sent(t)
	for _, err := range race(3, func(int) error { return b.forget(t.Context()) }) {
		require.NoError(t, err)
	}
	require.NoError(t, b.forget(t.Context()))
	got := map[uuid.UUID]bool{}
	for _, id := range b.forgotten(t) {
		require.False(t, got[id], "twice")
		got[id] = true
	}
	require.Equal(t, want, got)

	// Neighbours whose event was lost read it, a little later.
	for _, later := range []string{
		`UPDATE orders SET forgotten_at = forgotten_at - interval '1 minute'`,
		`UPDATE order_history SET noted_at = noted_at - interval '1 minute'`,
	} {
		_, err := b.db.Exec(t.Context(), later)
		require.NoError(t, err)
	}
	told := ask[events.OrderForgotten](t, b, "payments", "/internal/orders/forgotten?since=2020-01-01T00:00:00Z", 5)
	require.Len(t, told, len(want))
	for _, e := range told {
		require.True(t, want[e.OrderID])
	}
	stranger := servetest.Do(t, b.rt, "GET", "/internal/orders/forgotten", "", nil, "dapr-caller-app-id", "carts")
	require.Equal(t, http.StatusForbidden, stranger.Status)
	for _, e := range ask[events.Order](t, b, "mail", "/internal/orders/ended?since=2020-01-01T00:00:00Z", 50) {
		require.Empty(t, e.Email)
	}
	require.NoError(t, forget.Again(b.db, nil)(t.Context()))
}
