package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// tellRefunds lists the amounts, and the sums until then, that payment.refunded told of an order.
func (b *bundle) tellRefunds(t *testing.T, o events.Order) (amounts, sums []int64) {
	t.Helper()
	for _, sent := range servetest.Outbox(t, b.db) {
		var e events.PaymentRefunded
		require.NoError(t, json.Unmarshal(sent.Data, &e))
		if sent.Topic == refunded && e.OrderID == o.OrderID {
			amounts, sums = append(amounts, e.Amount.Amount), append(sums, e.Refunded.Amount)
		}
	}
	return amounts, sums
}

func (b *bundle) adminRefund(t *testing.T, o events.Order, key string, body map[string]any) servetest.Response {
	t.Helper()
	return servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/payments/"+o.OrderID.String()+"/refunds", b.admin, body, "Idempotency-Key", key)
}

// Somebody gave some back in the provider's own pages, and payments has not heard of it when the order is cancelled.
func TestRefundOfTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodVisa)
	b.place(t, o)
	b.chargeDue(t)
	ref, err := b.sandbox.refundByHand(t.Context(), o.OrderID, money.New(1500, "GBP"))
	require.NoError(t, err)
	b.cancel(t, o)
	require.Equal(t, 1, b.refundDue(t), "declined: more than captured")
	amounts, _ := b.tellRefunds(t, o)
	require.Equal(t, []int64{1500}, amounts, "what was found is told like any other")
	require.Equal(t, 1, b.refundDue(t), "the rest is due at once, under another key")
	require.Equal(t, 0, b.refundDue(t))

	taken, returned, _ := b.books(t, o)
	require.EqualValues(t, 2000, taken)
	require.EqualValues(t, 2000, returned)
	amounts, sums := b.tellRefunds(t, o)
	require.Equal(t, []int64{1500, 500}, amounts)
	require.Equal(t, []int64{1500, 2000}, sums)
	refunds := b.refundsOf(t, o)
	require.Len(t, refunds, 2, "one automatic refund")
	for _, r := range refunds {
		require.Equal(t, RefundDone, r.State)
		if r.Origin == Automatic {
			require.Equal(t, automaticKey(o.OrderID, 2), r.Key)
		} else {
			require.Equal(t, ref, r.Key)
			require.Equal(t, AtProvider, r.Origin)
		}
	}
	b.webhooksDue(t) // they tell what is known
	b.cancel(t, o)
	b.advance(48 * time.Hour)
	require.Equal(t, 0, b.refundDue(t))
	require.Len(t, b.refundsOf(t, o), 2)
	require.Len(t, b.told(t), 3)
}

func TestRefundedElsewhereAltogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodVisa)
	b.place(t, o)
	b.chargeDue(t)
	for range 2 {
		_, err := b.sandbox.refundByHand(t.Context(), o.OrderID, money.New(1000, "GBP"))
		require.NoError(t, err)
	}
	b.cancel(t, o)
	require.Equal(t, 1, b.refundDue(t))
	b.advance(48 * time.Hour)
	require.Equal(t, 0, b.refundDue(t))
	for _, r := range b.refundsOf(t, o) {
		require.Equal(t, AtProvider, r.Origin, "nothing is left to ask for")
	}
	_, sums := b.tellRefunds(t, o)
	require.Equal(t, []int64{1000, 2000}, sums)
}

// A refund made in the provider's own pages is booked from its webhook, once, whatever state the charge is in.
func TestRefundElsewhereWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settings.Timeout = 50 * time.Millisecond
	o := order(methodTimeout)
	b.place(t, o)
	b.chargeDue(t)
	require.Equal(t, Unknown, b.charge(t, o).State)
	_, err := b.sandbox.refundByHand(t.Context(), o.OrderID, money.New(300, "GBP"))
	require.NoError(t, err)
	require.Equal(t, 1, b.webhooksDue(t))
	require.Empty(t, b.refundsOf(t, o), "of which charge it is, is not known yet")

	b.advance(Backoff(1))
	b.chargeDue(t)
	require.Equal(t, Captured, b.charge(t, o).State)
	require.Eventually(t, func() bool { return b.webhooksDue(t) == 1 }, 10*time.Second, 100*time.Millisecond, "it comes again")
	require.Equal(t, []string{captured, refunded}, b.told(t))
	var detail paymentDetail
	servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments/"+o.OrderID.String(), b.admin, nil).JSON(t, &detail)
	require.Equal(t, money.New(1700, "GBP"), detail.Left)
	require.Equal(t, AtProvider, detail.Refunds[0].Origin)
	require.Len(t, detail.Webhooks, 1)

	b.cancel(t, o)
	require.Equal(t, 1, b.refundDue(t))
	taken, returned, _ := b.books(t, o)
	require.Equal(t, taken, returned)
	require.Equal(t, automaticKey(o.OrderID, 1), b.refundsOf(t, o)[1].Key, "nothing was declined")

	// Of a charge that is not ours, and old: noted, or it would come again for ever.
	e := sandboxEvent{ID: "evt_foreign", Type: "refund.created", Created: time.Now().Add(-2 * webhookPatience).Unix()}
	e.Data.Object = sandboxObject{ID: "re_9", Status: Succeeded, Amount: 5, Currency: "GBP", Charge: "pi_9"}
	body, err := json.Marshal(e)
	require.NoError(t, err)
	answer := servetest.Do(t, b.rt, http.MethodPost, "/api/v1/payments/webhooks/sandbox", "", body, signatureHeader, sign([]byte(webhookSecret), body, time.Now()))
	require.Equal(t, 200, answer.Status)
}

// staff asked for more than is left: that failed, and what was found says why.
func TestRefundRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodVisa)
	b.place(t, o)
	b.chargeDue(t)
	_, err := b.sandbox.refundByHand(t.Context(), o.OrderID, money.New(1500, "GBP"))
	require.NoError(t, err)
	require.Equal(t, 201, b.adminRefund(t, o, "k", map[string]any{"reason": "x"}).Status)
	require.Equal(t, 1, b.refundDue(t))
	require.Equal(t, []string{captured, refunded}, b.told(t), "what was made elsewhere")
	refunds := b.refundsOf(t, o)
	require.Len(t, refunds, 2)
	require.Equal(t, RefundFailed, refunds[0].State)
	require.Equal(t, "more-than-captured", refunds[0].Error)
	b.advance(48 * time.Hour)
	require.Equal(t, 0, b.refundDue(t))

	again := b.adminRefund(t, o, "k2", map[string]any{"reason": "x"})
	require.Equal(t, 201, again.Status)
	var r refund
	again.JSON(t, &r)
	require.Equal(t, money.New(500, "GBP"), r.Amount, "what is left")
	require.Equal(t, 1, b.refundDue(t))
	taken, returned, _ := b.books(t, o)
	require.Equal(t, taken, returned)
}

// A refund that staff asked for fails while the order is cancelled: what it was for goes back by itself.
func TestStaffRefundFailsOfCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodVisa)
	b.place(t, o)
	b.chargeDue(t)
	_, err := b.sandbox.refundByHand(t.Context(), o.OrderID, money.New(100, "GBP"))
	require.NoError(t, err)
	require.Equal(t, 201, b.adminRefund(t, o, "k", map[string]any{"reason": "x"}).Status)
	b.cancel(t, o)
	require.Equal(t, 1, b.refundDue(t), "staff's, of everything")
	require.Equal(t, 1, b.refundDue(t), "the rest")
	taken, returned, _ := b.books(t, o)
	require.EqualValues(t, 2000, taken)
	require.Equal(t, taken, returned)
	amounts, _ := b.tellRefunds(t, o)
	require.Equal(t, []int64{100, 1900}, amounts)
}

// moody is the sandbox with its refunds in somebody else's hands.
type moody struct {
	*sandbox
	refund func(ctx context.Context, r RefundRequest) (Result, error)
	given  func(ctx context.Context, key uuid.UUID, ref string) ([]Given, error)
}

func (m *moody) Refund(ctx context.Context, r RefundRequest) (Result, error) { return m.refund(ctx, r) }
func (m *moody) Refunds(ctx context.Context, key uuid.UUID, ref string) ([]Given, error) {
	return m.given(ctx, key, ref)
}

func (b *bundle) moody() *moody {
	m := &moody{b.sandbox, b.sandbox.Refund, b.sandbox.Refunds}
	b.providers["sandbox"] = m
	return m
}

// A provider that gives nothing back is asked under one key, ever less often, and then people are.
func TestRefundGivenUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.moody()
	o := order(methodVisa)
	b.place(t, o)
	b.chargeDue(t)
	keys := map[string]int{}
	m.refund = func(_ context.Context, r RefundRequest) (Result, error) {
		keys[r.Key]++
		return Result{}, errors.New("out of order")
	}
	b.cancel(t, o)
	for range 3 * maxRefundTries {
		b.refundDue(t)
		b.cancel(t, o) // told again; also by the feed
		b.advance(maxRefundBackoff)
	}
	require.Equal(t, map[string]int{automaticKey(o.OrderID, 1): maxRefundTries}, keys)
	refunds := b.refundsOf(t, o)
	require.Len(t, refunds, 1)
	require.Equal(t, RefundFailed, refunds[0].State)
	require.Contains(t, refunds[0].Error, "out of order")
	var figures struct {
		FailedRefunds int `json:"failed_refunds"`
	}
	servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments/figures", b.admin, nil).JSON(t, &figures)
	require.Equal(t, 1, figures.FailedRefunds)

	m.refund = b.sandbox.Refund
	require.Equal(t, 201, b.adminRefund(t, o, "k", map[string]any{"reason": "the provider works again"}).Status)
	require.Equal(t, 1, b.refundDue(t))
	taken, returned, _ := b.books(t, o)
	require.Equal(t, taken, returned)
}

// The last try asks what was given back: an answer that never came may have been yes.
func TestRefundMadeUnheard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.moody()
	o := order(methodVisa)
	b.place(t, o)
	b.chargeDue(t)
	m.refund = func(ctx context.Context, r RefundRequest) (Result, error) {
		_, err := b.sandbox.Refund(ctx, r)
		return Result{}, errors.Join(err, errors.New("the line is dead"))
	}
	b.cancel(t, o)
	for range maxRefundTries {
		require.Equal(t, 1, b.refundDue(t))
		b.advance(maxRefundBackoff)
	}
	require.Equal(t, RefundDone, b.refundsOf(t, o)[0].State)
	amounts, _ := b.tellRefunds(t, o)
	require.Equal(t, []int64{2000}, amounts)
}

// A decline that what was given back does not explain is for people at once; one that cannot be looked into, or that
// waits for a refund made elsewhere, is asked again under the same key.
func TestRefundDeclined(t *testing.T) {
	t.Parallel()
	no := func(context.Context, RefundRequest) (Result, error) {
		return Result{Outcome: Declined, Reason: "more-than-captured"}, nil
	}
	for name, tt := range map[string]struct {
		given []Given
		err   error
		state RefundState
	}{
		"unexplained": {nil, nil, RefundFailed},
		"not told":    {nil, errors.New("out of order"), RefundRequested},
		"under way":   {[]Given{{"re_1", Result{Outcome: Processing, Amount: money.New(1, "GBP")}}}, nil, RefundRequested},
		"nonsense":    {[]Given{{"re_1", Result{Outcome: Succeeded, Amount: money.New(2000, "EUR")}}}, nil, RefundFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			m := b.moody()
			o := order(methodVisa)
			b.place(t, o)
			b.chargeDue(t)
			b.cancel(t, o)
			m.refund, m.given = no, func(context.Context, uuid.UUID, string) ([]Given, error) { return tt.given, tt.err }
			require.Equal(t, 1, b.refundDue(t))
			require.Equal(t, 0, b.refundDue(t))
			refunds := b.refundsOf(t, o)
			require.Len(t, refunds, 1)
			require.Equal(t, tt.state, refunds[0].State)
			require.Equal(t, automaticKey(o.OrderID, 1), refunds[0].Key)
		})
	}
}

// A worker whose lease was over changes nothing that another has moved on.
func TestRefundStale(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.moody()
	o := order(methodVisa)
	b.place(t, o)
	b.chargeDue(t)
	_, err := b.sandbox.refundByHand(t.Context(), o.OrderID, money.New(1500, "GBP"))
	require.NoError(t, err)
	b.cancel(t, o)
	claimed, err := claimRefunds(t.Context(), b.db, 1, b.settings.lease(), b.now())
	require.NoError(t, err)
	b.advance(b.settings.lease() + time.Second)
	require.Equal(t, 1, b.refundDue(t), "another instance, which asks for the rest under another key")
	b.giveBack(t.Context(), claimed[0])
	r := b.refundsOf(t, o)[0]
	require.Equal(t, automaticKey(o.OrderID, 2), r.Key)
	require.Equal(t, RefundRequested, r.State)

	stale, err := claimRefunds(t.Context(), b.db, 1, b.settings.lease(), b.now())
	require.NoError(t, err)
	b.advance(b.settings.lease() + time.Second)
	held, err := claimRefunds(t.Context(), b.db, 1, b.settings.lease(), b.now())
	require.NoError(t, err)
	require.Len(t, held, 1)
	m.refund = func(context.Context, RefundRequest) (Result, error) { return Result{}, errors.New("too late") }
	b.giveBack(t.Context(), stale[0])
	require.NotNil(t, b.refundsOf(t, o)[0].LeasedUntil, "the lease of the other one holds")
}

// Order.cancelled was lost; orders tells it when it is asked, and until it answers nothing is given back.
func TestPullOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lost, kept, never := order(methodVisa), order(methodVisa), order(methodVisa)
	b.place(t, lost)
	b.place(t, kept)
	require.Equal(t, 2, b.chargeDue(t))
	const outcomes = "GET /internal/orders/outcomes"
	items := []map[string]any{}
	decided := func(id uuid.UUID, status string) {
		items = append(items, map[string]any{"order_id": id, "status": status, "reason": "by-shop", "version": 3, "at": b.now()})
	}
	decided(uuid.Nil, "cancelled") // nonsense
	decided(lost.OrderID, "cancelled")
	decided(kept.OrderID, "confirmed")
	decided(never.OrderID, "cancelled")
	servetest.Unwell(t, b.rt, "orders", outcomes, func(ctx context.Context, how string) {
		require.Error(t, b.pullOrders().Run(ctx), how)
		require.Equal(t, 0, b.refundDue(t), how)
	})
	servetest.Neighbour(t, b.rt, "orders", outcomes, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("behind") != "60" {
			t.Errorf("outcomes are asked for by %s", r.URL.RawQuery)
		}
		servetest.Feed(&items)(w, r)
	})
	require.NoError(t, b.pullOrders().Run(t.Context()))
	require.Equal(t, 1, b.refundDue(t))
	require.Equal(t, []string{captured, captured, refunded}, b.told(t))
	amounts, _ := b.tellRefunds(t, lost)
	require.Equal(t, []int64{2000}, amounts)
	b.place(t, never)
	require.Equal(t, 0, b.chargeDue(t), "cancelled before it was placed")

	was := b.charge(t, lost)
	items = append(items, items...)
	require.NoError(t, b.pullOrders().Run(t.Context()))
	require.Equal(t, was, b.charge(t, lost), "what is known changes nothing, not even a date")
	require.Equal(t, 0, b.refundDue(t))
}

func TestVoidMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paid, declined, waiting, busy, given := order(methodVisa), order(methodDeclined), order(methodVisa), order(methodVisa), order(methodVisa)
	b.place(t, paid)
	b.place(t, declined)
	b.chargeDue(t)
	b.place(t, busy)
	_, err := claimCharges(t.Context(), b.db, 1, b.settings.lease(), b.now())
	require.NoError(t, err)
	b.place(t, waiting)
	unseen := uuid.New()
	got := b.void(t, unseen, waiting.OrderID, paid.OrderID, busy.OrderID, declined.OrderID)
	require.Equal(t, map[uuid.UUID]voidAnswer{
		unseen:           {OrderID: unseen, Status: Voided},
		waiting.OrderID:  {OrderID: waiting.OrderID, Status: Voided},
		paid.OrderID:     {OrderID: paid.OrderID, Status: Captured, Amount: &money.Money{Amount: 2000, Currency: "GBP"}},
		busy.OrderID:     {OrderID: busy.OrderID, Status: Unknown},
		declined.OrderID: {OrderID: declined.OrderID, Status: Failed, Reason: "card-declined"},
	}, got)
	require.NotNil(t, b.charge(t, busy).VoidAskedAt)
	require.Equal(t, got, b.void(t, unseen, waiting.OrderID, paid.OrderID, busy.OrderID, declined.OrderID), "asked again: the same")
	require.Equal(t, 0, b.chargeDue(t))

	for name, ids := range map[string]any{"none": []string{}, "too many": make([]uuid.UUID, 201), "no id": []string{"x"}, "null": nil} {
		answer := servetest.Do(t, b.rt, http.MethodPost, "/internal/charges/void", "", map[string]any{"ids": ids}, "dapr-caller-app-id", "orders")
		require.Equal(t, 422, answer.Status, name)
	}

	// Two that give up on the same orders, each from its own end, and events of these between them.
	many := make([]uuid.UUID, 200)
	for i := range many {
		many[i] = uuid.New()
	}
	many[0] = given.OrderID
	back := make([]uuid.UUID, len(many))
	for i, id := range many {
		back[len(many)-1-i] = id
	}
	var all sync.WaitGroup
	all.Go(func() { b.void(t, many...) })
	all.Go(func() { b.void(t, back...) })
	all.Go(func() { b.place(t, given) })
	all.Wait()
	for _, answer := range b.void(t, many...) {
		require.Equal(t, Voided, answer.Status)
	}
	require.Equal(t, 0, b.chargeDue(t))
}

// What the provider took is not what it was asked for.
func TestAmountDiffers(t *testing.T) {
	t.Parallel()
	for name, taken := range map[string]money.Money{"less": money.New(1500, "GBP"), "more": money.New(2500, "GBP"), "another currency": money.New(2000, "EUR")} {
		for _, by := range []string{"answer", "webhook"} {
			t.Run(name+", by "+by, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				o := order(methodVisa)
				b.place(t, o)
				asked := ChargeRequest{Key: o.OrderID, Amount: money.Money(o.Total), Method: o.PaymentMethod}
				require.NoError(t, b.sandbox.misbehave(t.Context(), asked, taken))
				if by == "webhook" {
					_, err := b.sandbox.Charge(t.Context(), asked)
					require.NoError(t, err)
					require.Equal(t, 1, b.webhooksDue(t))
				} else {
					require.Equal(t, 1, b.chargeDue(t))
				}
				c := b.charge(t, o)
				require.Equal(t, Failed, c.State)
				require.Equal(t, amountDiffers, c.Reason)
				require.Equal(t, []string{failed}, b.told(t))
				require.Equal(t, voidAnswer{OrderID: o.OrderID, Status: Failed, Reason: amountDiffers}, b.void(t, o.OrderID)[o.OrderID])
				b.cancel(t, o) // orders, when it hears that

				require.Equal(t, 1, b.refundDue(t))
				require.Equal(t, 0, b.chargeDue(t)+b.refundDue(t))
				got, returned, _ := b.books(t, o)
				require.Equal(t, taken.Amount, got)
				require.Equal(t, got, returned, "everything goes back")
				require.Equal(t, []string{failed, refunded}, b.told(t))
				var e events.PaymentRefunded
				require.NoError(t, json.Unmarshal(servetest.Outbox(t, b.db)[1].Data, &e))
				require.Equal(t, []events.Money{events.Money(taken), events.Money(taken), events.Money(taken)}, []events.Money{e.Amount, e.Refunded, e.Captured})
				require.Equal(t, amountDiffers, e.Reason)
				var detail paymentDetail
				servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments/"+o.OrderID.String(), b.admin, nil).JSON(t, &detail)
				require.Equal(t, []money.Money{money.New(2000, "GBP"), taken, taken, money.Zero(taken.Currency)},
					[]money.Money{detail.Amount, detail.Captured, detail.Refunded, detail.Left})
				var list struct{ Items []Payment }
				servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments", b.admin, nil).JSON(t, &list)
				require.Equal(t, taken, list.Items[0].Refunded)
			})
		}
	}
}

func TestMadeFeed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	read := func(query url.Values) feed.Page[events.PaymentRefunded] {
		t.Helper()
		// Each refund once, by as much, out of the second that a feed keeps behind.
		_, err := b.db.Exec(t.Context(), `UPDATE refunds SET noted_at = noted_at - interval '1 hour' WHERE noted_at > now() - interval '30 minutes'`)
		require.NoError(t, err)
		answer := servetest.Do(t, b.rt, http.MethodGet, "/internal/refunds/made?"+query.Encode(), "", nil, "dapr-caller-app-id", "mail")
		require.Equal(t, 200, answer.Status, "%s", answer.Body)
		var page feed.Page[events.PaymentRefunded]
		answer.JSON(t, &page)
		return page
	}
	require.Empty(t, read(nil).Items)
	var told []events.PaymentRefunded
	for i := range 3 {
		o := order(methodVisa)
		b.place(t, o)
		b.chargeDue(t)
		require.Equal(t, 201, b.adminRefund(t, o, fmt.Sprint("k", i), map[string]any{"amount": map[string]any{"amount_minor": 500, "currency": "GBP"}, "reason": "one was broken"}).Status)
		require.Len(t, read(nil).Items, i, "requested is not made")
		b.refundDue(t)
	}
	for _, sent := range servetest.Outbox(t, b.db) {
		if sent.Topic != refunded {
			continue
		}
		var e events.PaymentRefunded
		require.NoError(t, json.Unmarshal(sent.Data, &e))
		told = append(told, e)
	}
	same := func(want, got []events.PaymentRefunded) {
		t.Helper()
		require.Len(t, got, len(want))
		for i := range want {
			require.WithinDuration(t, want[i].RefundedAt, got[i].RefundedAt, time.Millisecond)
			got[i].RefundedAt = want[i].RefundedAt
			require.Equal(t, want[i], got[i])
		}
	}
	same(told, read(nil).Items)
	first := read(url.Values{"limit": {"2"}})
	same(told[:2], first.Items)
	require.True(t, first.More)
	second := read(url.Values{"limit": {"2"}, "cursor": {first.Cursor}})
	same(told[2:], second.Items)
	require.False(t, second.More)
	require.Empty(t, read(url.Values{"cursor": {second.Cursor}}).Items)
	require.Empty(t, read(url.Values{"behind": {"86400"}}).Items, "they get time to arrive on their own")

	// One that is noted in a transaction that began before stands before (kit/feed waits for it to end).
	late := order(methodVisa)
	b.place(t, late)
	b.chargeDue(t)
	require.NoError(t, pg.InTx(t.Context(), b.db, func(slow pgx.Tx) error {
		books, err := b.lockChargeTx(t.Context(), slow, late.OrderID)
		require.NoError(t, err)
		made := Result{Outcome: Succeeded, Ref: "re_slow", Amount: money.New(1, "GBP")}
		require.NoError(t, books.note(t.Context(), Given{"re_slow", made}))
		quick := order(methodVisa)
		b.place(t, quick)
		b.chargeDue(t)
		b.cancel(t, quick)
		require.Equal(t, 1, b.refundDue(t))
		return nil
	}))
	rest := read(url.Values{"cursor": {second.Cursor}}).Items
	require.Len(t, rest, 2)
	require.Equal(t, late.OrderID, rest[0].OrderID)
}

func TestPrune(t *testing.T) {
	t.Parallel()
	b := setup(t)
	age := func(sql string, args ...any) {
		t.Helper()
		_, err := b.db.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	count := func(sql string, args ...any) (n int) {
		t.Helper()
		require.NoError(t, b.db.QueryRow(t.Context(), sql, args...).Scan(&n))
		return n
	}
	paid, late, fresh := order(methodVisa), order(methodVisa), order(methodVisa)
	b.place(t, paid)
	b.chargeDue(t)
	b.cancel(t, paid)
	b.refundDue(t)
	require.Equal(t, 2, b.webhooksDue(t))
	b.cancel(t, late) // a tombstone
	b.void(t, fresh.OrderID)

	require.NoError(t, b.prune(t.Context()))
	require.NoError(t, b.sandbox.prune(t.Context()))
	require.Equal(t, 3, count(`SELECT count(*) FROM charges`))
	require.Equal(t, 2, count(`SELECT count(*) FROM webhooks`))
	require.Equal(t, 2, count(`SELECT count(*) FROM sandbox_webhooks`))

	age(`INSERT INTO webhooks SELECT 'sandbox', 'old' || n, 'x', 'x', now() - interval '31 days' FROM generate_series(1, 2500) n`)
	age(`UPDATE charges SET created_at = created_at - interval '31 days' WHERE order_id <> $1`, fresh.OrderID)
	age(`UPDATE sandbox_webhooks SET created_at = created_at - interval '4 days'`)
	require.NoError(t, b.prune(t.Context()))
	require.NoError(t, b.sandbox.prune(t.Context()))
	require.Equal(t, 2, count(`SELECT count(*) FROM webhooks`), "in more than one batch")
	require.Equal(t, 0, count(`SELECT count(*) FROM sandbox_webhooks`))
	require.Equal(t, 2, count(`SELECT count(*) FROM charges`), "the payment stays, and the tombstone of today")
	require.Equal(t, 1, count(`SELECT count(*) FROM sandbox_charges`))
	require.Equal(t, 0, count(`SELECT count(*) FROM charges WHERE order_id = $1`, late.OrderID))

	// order.placed of the order whose tombstone is gone, out of a dead letter.
	late.PlacedAt = time.Now().Add(-31 * 24 * time.Hour)
	b.place(t, late)
	require.Equal(t, 0, b.chargeDue(t))
	require.Equal(t, Voided, b.charge(t, late).State)
	require.Equal(t, Voided, b.voidState(t, late))

	age(`UPDATE sandbox_charges SET created_at = created_at - interval '91 days'`)
	require.NoError(t, b.sandbox.prune(t.Context()))
	require.Equal(t, 0, count(`SELECT count(*) FROM sandbox_charges`)+count(`SELECT count(*) FROM sandbox_refunds`))
	for _, where := range []string{"webhooks WHERE received_at", "charges WHERE placed_at IS NULL AND created_at", "sandbox_webhooks WHERE created_at", "sandbox_charges WHERE created_at"} {
		require.NoError(t, pgx.BeginFunc(t.Context(), b.db, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `SET LOCAL enable_seqscan = off`)
			require.NoError(t, err)
			rows, err := tx.Query(t.Context(), `EXPLAIN SELECT FROM `+where+` < now()`)
			require.NoError(t, err)
			plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			require.Contains(t, fmt.Sprint(plan), "Index Cond", where)
			return nil
		}))
	}
}
