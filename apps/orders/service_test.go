package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/longpoll"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// bundle is the service on a database of its own, at a time that the test sets. It has no neighbours.
type bundle struct {
	*service
	rt *serve.Runtime
	db *pgxpool.Pool
	at *testClock
}

type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *testClock) Add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func setup(t testing.TB) *bundle {
	t.Helper()
	rt, db := servetest.NewTest(t, "orders", migrations)
	s, err := newService(rt, db, servetest.Settings[settings](t))
	require.NoError(t, err)
	b := &bundle{service: s, rt: rt, db: db, at: &testClock{now: rt.Now()}}
	s.now = b.at.Now
	return b
}

func (b *bundle) begin(t *testing.T, account uuid.UUID, key, body string) attempt {
	t.Helper()
	a, answer, abandoned, err := b.store.Begin(t.Context(), account, key, uuid.Must(uuid.NewV7()),
		idempotency.Hashes{[]byte(body)}, b.now())
	require.NoError(t, err)
	require.Nil(t, answer)
	require.Empty(t, abandoned)
	return a
}

var tee = []basketLine{{SKU: "TEE-M", Quantity: 2}}

// order places an order by the steps that need no neighbour.
func (b *bundle) order(t *testing.T, change ...func(*Placement)) *Order {
	t.Helper()
	p := placement()
	for _, fn := range change {
		fn(&p)
	}
	a := b.begin(t, p.AccountID, uuid.NewString(), "body")
	a, _, err := b.store.Claim(t.Context(), a, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
	require.NoError(t, err)
	p.ID = a.OrderID
	o, err := b.place(t.Context(), a, p)
	require.NoError(t, err)
	return o
}

func (b *bundle) topics(t *testing.T, id uuid.UUID) []string {
	t.Helper()
	topics := []string{}
	for _, sent := range servetest.Outbox(t, b.db) {
		if bytes.Contains(sent.Data, []byte(id.String())) {
			topics = append(topics, sent.Topic)
		}
	}
	return topics
}

// sent does what the relay does when the broker has confirmed.
func (b *bundle) sent(t *testing.T) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), `UPDATE outbox SET sent_at = $1 WHERE sent_at IS NULL`, b.now())
	require.NoError(t, err)
}

// void asks what became of an order id, as inventory does.
func (b *bundle) void(t *testing.T, id uuid.UUID) string {
	t.Helper()
	res := servetest.Do(t, b.rt, "POST", "/internal/orders/void", "", map[string]any{"ids": []uuid.UUID{id}}, "dapr-caller-app-id", "inventory")
	require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
	var answer struct{ Items []idDecision }
	res.JSON(t, &answer)
	require.Len(t, answer.Items, 1)
	require.Equal(t, id, answer.Items[0].OrderID)
	return answer.Items[0].Status
}

func (b *bundle) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.db.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

func shopper(t *testing.T, account uuid.UUID) string {
	return servetest.Token(t, account, "ada@stampede.test", "USER")
}

func admin(t *testing.T) string {
	return servetest.Token(t, uuid.New(), "ops@stampede.test", "ADMIN")
}

func capturedEvent(o *Order) events.PaymentCaptured {
	return events.PaymentCaptured{OrderID: o.ID, Amount: events.Money(o.Total), CapturedAt: o.CreatedAt}
}

func failedEvent(o *Order) events.PaymentFailed {
	return events.PaymentFailed{OrderID: o.ID, Amount: events.Money(o.Total), Reason: "card-declined"}
}

func refundedEvent(o *Order, total int64) events.PaymentRefunded {
	return events.PaymentRefunded{
		OrderID: o.ID, RefundID: uuid.New(), Number: o.Number, Email: o.Email, Amount: events.Money(gbp(total)),
		Refunded: events.Money(gbp(total)), Captured: events.Money(o.Total), RefundedAt: o.CreatedAt,
	}
}

// TestEventsInEveryOrder hands over each pair of what can happen to a pending order, in both orders, each event twice.
func TestEventsInEveryOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	happen := map[string]func(t *testing.T, o *Order){
		"captured": func(t *testing.T, o *Order) { deliverTwice(t, b, capturedEvent(o)) },
		"failed":   func(t *testing.T, o *Order) { deliverTwice(t, b, failedEvent(o)) },
		"refunded": func(t *testing.T, o *Order) { deliverTwice(t, b, refundedEvent(o, o.Total.Amount)) },
		"cancelled": func(t *testing.T, o *Order) {
			for range 2 {
				res := servetest.Do(t, b.rt, "POST", location(o.ID)+"/cancellation", shopper(t, o.AccountID), nil)
				require.Equal(t, http.StatusAccepted, res.Status, "%s", res.Body)
			}
		},
	}
	for _, tt := range []struct {
		first, second string
		status        Status
		payment       PaymentStatus
		topics        string
	}{
		{"captured", "captured", Confirmed, PaymentCaptured, "placed confirmed"},
		{"captured", "failed", Confirmed, PaymentCaptured, "placed confirmed"},
		{"failed", "captured", Cancelled, PaymentRefundPending, "placed cancelled cancelled"},
		{"failed", "failed", Cancelled, PaymentFailed, "placed cancelled"},
		{"captured", "cancelled", Cancelled, PaymentRefundPending, "placed confirmed cancelled"},
		{"cancelled", "captured", Cancelled, PaymentRefundPending, "placed cancelled cancelled"},
		{"captured", "refunded", Confirmed, PaymentRefunded, "placed confirmed"},
		{"refunded", "captured", Confirmed, PaymentRefunded, "placed confirmed"},
		{"failed", "cancelled", Cancelled, PaymentFailed, "placed cancelled"},
		{"cancelled", "failed", Cancelled, PaymentFailed, "placed cancelled"},
		{"cancelled", "refunded", Cancelled, PaymentRefunded, "placed cancelled"},
		{"refunded", "cancelled", Cancelled, PaymentRefunded, "placed cancelled"},
		{"failed", "refunded", Cancelled, PaymentRefunded, "placed cancelled"},
		{"refunded", "failed", Pending, PaymentRefunded, "placed"}, // a refund proves a capture, whose event comes yet
		{"cancelled", "cancelled", Cancelled, PaymentPending, "placed cancelled"},
		{"refunded", "refunded", Pending, PaymentRefunded, "placed"},
	} {
		t.Run(tt.first+", "+tt.second, func(t *testing.T) {
			t.Parallel()
			o := b.order(t)
			happen[tt.first](t, o)
			happen[tt.second](t, o)
			got, err := b.store.Get(t.Context(), o.ID)
			require.NoError(t, err)
			require.Equal(t, tt.status, got.Status)
			require.Equal(t, tt.payment, got.Payment.Status)
			var want []string
			for _, topic := range strings.Fields(tt.topics) {
				want = append(want, "order."+topic+".v1")
			}
			require.Equal(t, want, b.topics(t, o.ID))
		})
	}
}

// deliverTwice hands over an event, the same again, and the same fact under another id.
func deliverTwice(t *testing.T, b *bundle, e outbox.Event) {
	t.Helper()
	id := servetest.Deliver(t, b.rt, e)
	require.NoError(t, servetest.DeliverAs(t, b.rt, id, e))
	servetest.Deliver(t, b.rt, e)
}

func TestEventsThatCannotBeHandled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.order(t)
	less := capturedEvent(o)
	less.Amount.Amount--
	dollars := refundedEvent(o, 100)
	dollars.Refunded.Currency = "USD"
	for name, e := range map[string]outbox.Event{
		"captured another amount":   less,
		"refunded another currency": dollars,
		"captured for nobody":       events.PaymentCaptured{OrderID: uuid.New(), Amount: events.Money(o.Total)},
		"failed for nobody":         events.PaymentFailed{OrderID: uuid.New()},
		"refunded for nobody":       events.PaymentRefunded{OrderID: uuid.New()},
	} {
		require.ErrorContains(t, servetest.DeliverAs(t, b.rt, uuid.NewString(), e), "cannot be handled", name)
	}
	got, err := b.store.Get(t.Context(), o.ID)
	require.NoError(t, err)
	require.Equal(t, o.Version, got.Version)
}

func TestPlacedOrderReadsAsAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.order(t)
	answered, err := json.Marshal(o)
	require.NoError(t, err)
	res := servetest.Do(t, b.rt, "GET", location(o.ID), shopper(t, o.AccountID), nil)
	require.Equal(t, http.StatusOK, res.Status)
	require.JSONEq(t, string(answered), string(res.Body))
	var doc map[string]any
	res.JSON(t, &doc)
	for _, key := range []string{"promo_code", "shipment", "cancel_reason", "readdressed_at"} {
		value, there := doc[key]
		require.True(t, there, key)
		require.Nil(t, value, key)
	}
	require.Equal(t, "pending", doc["status"])
	require.Equal(t, float64(1), doc["version"])
	require.Equal(t, map[string]any{"amount_minor": float64(4397), "currency": "GBP"}, doc["total"])

	sent := servetest.Outbox(t, b.db)
	require.Len(t, sent, 1)
	require.Equal(t, "order.placed.v1", sent[0].Topic)
	var e events.OrderPlaced
	require.NoError(t, json.Unmarshal(sent[0].Data, &e))
	require.Equal(t, o.snapshot(), e.Order)
}

// TestKey is what an idempotency key does, before, during and after.
func TestKey(t *testing.T) {
	t.Parallel()

	t.Run("in flight", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		account := uuid.New()
		b.begin(t, account, "k", "body")
		_, _, _, err := b.store.Begin(t.Context(), account, "k", uuid.Must(uuid.NewV7()), idempotency.Hashes{[]byte("body")}, b.now())
		require.ErrorIs(t, err, idempotency.ErrInProgress)
		_, _, _, err = b.store.Begin(t.Context(), account, "k", uuid.Must(uuid.NewV7()), idempotency.Hashes{[]byte("other")}, b.now())
		require.ErrorIs(t, err, idempotency.ErrKeyReused)
		// Another shopper's key of the same name is another key.
		b.begin(t, uuid.New(), "k", "other")
	})

	t.Run("taken over after a crash", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := placement()
		crashed := b.begin(t, p.AccountID, "k", "body")
		require.False(t, crashed.Held)
		b.at.Add(lease + time.Second)
		next := b.begin(t, p.AccountID, "k", "body")
		require.Equal(t, crashed.OrderID, next.OrderID, "the order id stays")
		require.True(t, next.Held, "there may be a hold")
		_, _, _, err := b.store.Begin(t.Context(), p.AccountID, "k", uuid.Must(uuid.NewV7()), idempotency.Hashes{[]byte("body")}, b.now())
		require.ErrorIs(t, err, idempotency.ErrInProgress, "the lease is new")

		// The one who was thought dead can do nothing any more.
		_, _, err = b.store.Claim(t.Context(), crashed, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.ErrorIs(t, err, idempotency.ErrInProgress)
		p.ID = crashed.OrderID
		_, err = b.place(t.Context(), crashed, p)
		require.ErrorIs(t, err, idempotency.ErrInProgress)
		crashed.Held = true
		_, err = b.refuse(t.Context(), crashed, ErrPriceChanged)
		require.ErrorIs(t, err, ErrPriceChanged)
		require.Zero(t, b.count(t, `SELECT count(*) FROM order_ids`), "the id is not void")

		next, _, err = b.store.Claim(t.Context(), next, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.NoError(t, err)
		o, err := b.place(t.Context(), next, p)
		require.NoError(t, err)
		require.Equal(t, crashed.OrderID, o.ID)
		require.Equal(t, []string{"order.placed.v1"}, b.topics(t, o.ID))
	})

	t.Run("taken over with another basket", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := placement()
		crashed := b.begin(t, p.AccountID, "k", "body")
		_, _, err := b.store.Claim(t.Context(), crashed, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.NoError(t, err)
		b.at.Add(lease + time.Second)
		next := b.begin(t, p.AccountID, "k", "body")
		same, abandoned, err := b.store.Claim(t.Context(), next, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.NoError(t, err)
		require.Empty(t, abandoned)
		require.Equal(t, crashed.OrderID, same.OrderID)
		other, abandoned, err := b.store.Claim(t.Context(), next, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: []basketLine{{"TEE-M", 3}}}, b.now())
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{crashed.OrderID}, abandoned)
		require.NotEqual(t, crashed.OrderID, other.OrderID)
		require.False(t, other.Held)
		require.Equal(t, "void", b.void(t, crashed.OrderID))
		p.ID = other.OrderID
		_, err = b.place(t.Context(), other, p)
		require.NoError(t, err, "voiding the old id again does no harm to the new one")
	})

	t.Run("answered", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := placement()
		a := b.begin(t, p.AccountID, "k", "body")
		p.ID = a.OrderID
		o, err := b.place(t.Context(), a, p)
		require.NoError(t, err)
		want, err := json.Marshal(o)
		require.NoError(t, err)
		servetest.Deliver(t, b.rt, failedEvent(o)) // what becomes of the order does not change the answer
		for range 2 {
			_, answer, _, err := b.store.Begin(t.Context(), p.AccountID, "k", uuid.Must(uuid.NewV7()),
				idempotency.Hashes{[]byte("body")}, b.now())
			require.NoError(t, err)
			require.Equal(t, string(want), string(answer))
			b.at.Add(keepKeys/2 - time.Minute)
		}
		_, _, _, err = b.store.Begin(t.Context(), p.AccountID, "k", uuid.Must(uuid.NewV7()), idempotency.Hashes{[]byte("other")}, b.now())
		require.ErrorIs(t, err, idempotency.ErrKeyReused)
		b.at.Add(2 * time.Minute)
		later := b.begin(t, p.AccountID, "k", "other")
		require.NotEqual(t, o.ID, later.OrderID, "a day later the key is free")
		require.False(t, later.Held)
	})

	t.Run("freed by an error", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		account := uuid.New()
		a := b.begin(t, account, "k", "body")
		_, err := b.refuse(t.Context(), a, ErrCartEmpty)
		require.ErrorIs(t, err, ErrCartEmpty)
		require.Zero(t, b.count(t, `SELECT count(*) FROM order_ids`), "nothing was held, nothing is void")
		again := b.begin(t, account, "k", "other")
		require.NotEqual(t, a.OrderID, again.OrderID)
		again.Held = true
		_, err = b.refuse(t.Context(), again, ErrPriceChanged)
		require.ErrorIs(t, err, ErrPriceChanged)
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM order_ids WHERE id = $1 AND fate = 'void'`, again.OrderID))
		b.begin(t, account, "k", "third")
	})

	t.Run("placed, but the commit's answer was lost", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := placement()
		a := b.begin(t, p.AccountID, "k", "body")
		a.Held, p.ID = true, a.OrderID
		o, err := b.place(t.Context(), a, p)
		require.NoError(t, err)
		got, err := b.refuse(t.Context(), a, context.DeadlineExceeded)
		require.NoError(t, err)
		require.Equal(t, o.ID, got.ID)
		require.Equal(t, "pending", b.void(t, o.ID))
	})

	t.Run("many at once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		account := uuid.New()
		errs := race(20, func(int) error {
			_, _, _, err := b.store.Begin(t.Context(), account, "k", uuid.Must(uuid.NewV7()), idempotency.Hashes{[]byte("body")}, b.now())
			return err
		})
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				require.ErrorIs(t, err, idempotency.ErrInProgress)
			}
		}
		require.Equal(t, 1, won)
	})

	t.Run("pruned", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.order(t)
		crashed := b.begin(t, uuid.New(), "k", "body")
		b.at.Add(keepKeys - time.Minute)
		fresh := b.begin(t, uuid.New(), "k", "body")
		b.at.Add(2 * time.Minute)
		var abandoned []uuid.UUID
		for i, want := range []int{1, 1, 0} {
			n, voided, err := b.store.PruneKeys(t.Context(), b.now(), 1)
			require.NoError(t, err)
			require.Equal(t, want, n, i)
			abandoned = append(abandoned, voided...)
		}
		require.Equal(t, []uuid.UUID{crashed.OrderID}, abandoned)
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM order_keys`))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM order_keys WHERE order_id = $1`, fresh.OrderID))
	})
}

func race(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errs
}

// TestCheckout is "one checkout, one order".
func TestCheckout(t *testing.T) {
	t.Parallel()

	t.Run("ordered", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.order(t)
		a := b.begin(t, o.AccountID, "k", "body")
		_, _, err := b.store.Claim(t.Context(), a, basket{CheckoutID: o.CheckoutID, Since: o.CheckoutID, Lines: tee}, b.now())
		require.Equal(t, bought{order: o.ID, whole: true, pending: true}, err)
		_, err = b.refuse(t.Context(), a, err)
		require.Equal(t, bought{order: o.ID, whole: true, pending: true}, err)

		// After a decline the same cart can be ordered again.
		servetest.Deliver(t, b.rt, failedEvent(o))
		b.order(t, func(p *Placement) { p.CheckoutID = o.CheckoutID })
	})

	t.Run("changed since some of it was ordered", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		before := b.order(t)
		servetest.Deliver(t, b.rt, capturedEvent(before))
		first := b.order(t, func(p *Placement) { p.AccountID = before.AccountID })
		changed := basket{CheckoutID: uuid.Must(uuid.NewV7()), Since: first.CheckoutID, Lines: tee}
		a := b.begin(t, first.AccountID, "k", "body")

		require.ErrorIs(t, b.claim(t.Context(), &a, changed), idempotency.ErrInProgress, "its payment may still be declined")
		servetest.Deliver(t, b.rt, capturedEvent(first))
		require.Equal(t, bought{order: first.ID}, b.claim(t.Context(), &a, changed))
		changed.Ended = []uuid.UUID{first.ID}
		require.NoError(t, b.claim(t.Context(), &a, changed), "carts has taken it out")
		changed.Ended, changed.Since = nil, changed.CheckoutID
		require.NoError(t, b.claim(t.Context(), &a, changed), "the cart was empty in between")
		p := placement()
		p.ID, p.AccountID, p.CheckoutID = a.OrderID, a.Account, changed.CheckoutID
		_, err := b.place(t.Context(), a, p)
		require.NoError(t, err)
	})

	t.Run("changed since some of it was declined", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := b.order(t)
		servetest.Deliver(t, b.rt, failedEvent(first))
		a := b.begin(t, first.AccountID, "k", "body")
		require.NoError(t, b.claim(t.Context(), &a, basket{CheckoutID: uuid.Must(uuid.NewV7()), Since: first.CheckoutID, Lines: tee}))
	})

	t.Run("being ordered", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := placement()
		first, second := b.begin(t, p.AccountID, "first", "body"), b.begin(t, p.AccountID, "second", "body")
		first, _, err := b.store.Claim(t.Context(), first, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.NoError(t, err)
		_, _, err = b.store.Claim(t.Context(), second, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.ErrorIs(t, err, errCheckoutBusy)
		// The second waits for the first, and learns of its order.
		waited := make(chan error, 1)
		go func() {
			waited <- b.claim(t.Context(), &second, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee})
		}()
		p.ID = first.OrderID
		_, err = b.place(t.Context(), first, p)
		require.NoError(t, err)
		require.Equal(t, bought{order: first.OrderID, whole: true, pending: true}, <-waited)
	})

	t.Run("being ordered by one who fails", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := placement()
		first, second := b.begin(t, p.AccountID, "first", "body"), b.begin(t, p.AccountID, "second", "body")
		first, _, err := b.store.Claim(t.Context(), first, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.NoError(t, err)
		waited := make(chan error, 1)
		go func() {
			waited <- b.claim(t.Context(), &second, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee})
		}()
		_, err = b.refuse(t.Context(), first, ErrOutOfStock)
		require.ErrorIs(t, err, ErrOutOfStock)
		require.NoError(t, <-waited)
		p.ID = second.OrderID
		_, err = b.place(t.Context(), second, p)
		require.NoError(t, err)
	})

	t.Run("being ordered by one who is stuck", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := placement()
		first, second := b.begin(t, p.AccountID, "first", "body"), b.begin(t, p.AccountID, "second", "body")
		_, _, err := b.store.Claim(t.Context(), first, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.NoError(t, err)
		require.ErrorIs(t, b.claim(t.Context(), &second, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}), idempotency.ErrInProgress)
	})

	t.Run("claimed by one who crashed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := placement()
		crashed := b.begin(t, p.AccountID, "first", "body")
		crashed, _, err := b.store.Claim(t.Context(), crashed, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.NoError(t, err)
		b.at.Add(lease + time.Second)
		second := b.begin(t, p.AccountID, "second", "body")
		second, abandoned, err := b.store.Claim(t.Context(), second, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.NoError(t, err)
		require.Equal(t, []uuid.UUID{crashed.OrderID}, abandoned, "its hold is to be released")
		_, err = b.place(t.Context(), crashed, withID(p, crashed.OrderID))
		require.Error(t, err)
		_, err = b.place(t.Context(), second, withID(p, second.OrderID))
		require.NoError(t, err)
		// The first key, asked again, starts anew and learns of the order.
		again := b.begin(t, p.AccountID, "first", "body")
		_, _, err = b.store.Claim(t.Context(), again, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.Equal(t, bought{order: second.OrderID, whole: true, pending: true}, err)
	})

	t.Run("without the claim the index decides", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := placement()
		first, second := b.begin(t, p.AccountID, "first", "body"), b.begin(t, p.AccountID, "second", "body")
		_, err := b.place(t.Context(), first, withID(p, first.OrderID))
		require.NoError(t, err)
		_, err = b.place(t.Context(), second, withID(p, second.OrderID))
		require.ErrorIs(t, err, ErrAlreadyOrdered)
		var known *problem.Error
		require.ErrorAs(t, err, &known)
		require.Equal(t, location(first.OrderID), known.Location())
	})

	t.Run("many at once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := placement()
		placed := make([]*Order, 20)
		errs := race(len(placed), func(i int) error {
			a, _, _, err := b.store.Begin(t.Context(), p.AccountID, fmt.Sprint("key ", i), uuid.Must(uuid.NewV7()),
				idempotency.Hashes{[]byte("body")}, b.now())
			if err != nil {
				return err
			}
			if err := b.claim(t.Context(), &a, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}); err != nil {
				return err
			}
			placed[i], err = b.place(t.Context(), a, withID(p, a.OrderID))
			return err
		})
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				require.NotNil(t, placed[i])
			} else if earlier, ok := err.(bought); ok {
				require.True(t, earlier.whole)
			} else {
				require.ErrorIs(t, err, ErrAlreadyOrdered)
			}
		}
		require.Equal(t, 1, won)
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM orders`))
	})
}

func withID(p Placement, id uuid.UUID) Placement { p.ID = id; return p }

// TestVoid is inventory giving up on an order id.
func TestVoid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	void := func(id uuid.UUID) string { t.Helper(); return b.void(t, id) }

	// Never heard of.
	require.Equal(t, "void", void(uuid.New()))

	// Before the order is placed: it never is, and the key and the checkout are free.
	p := placement()
	a := b.begin(t, p.AccountID, "k", "body")
	a, _, err := b.store.Claim(t.Context(), a, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
	require.NoError(t, err)
	require.Equal(t, "void", void(a.OrderID))
	require.Equal(t, "void", void(a.OrderID))
	_, err = b.place(t.Context(), a, withID(p, a.OrderID))
	require.Error(t, err)
	require.Zero(t, b.count(t, `SELECT count(*) FROM orders`))
	next := b.begin(t, p.AccountID, "k", "body")
	require.NotEqual(t, a.OrderID, next.OrderID)
	next, _, err = b.store.Claim(t.Context(), next, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
	require.NoError(t, err)

	// After: the order's status, and nothing happens to it.
	o, err := b.place(t.Context(), next, withID(p, next.OrderID))
	require.NoError(t, err)
	require.Equal(t, "pending", void(o.ID))
	servetest.Deliver(t, b.rt, capturedEvent(o))
	require.Equal(t, "confirmed", void(o.ID))

	// Many at once, some of them twice: each has its answer, and the reason of a cancelled one.
	pending, declined, unheard := b.order(t), b.order(t), uuid.New()
	servetest.Deliver(t, b.rt, failedEvent(declined))
	res := servetest.Do(t, b.rt, "POST", "/internal/orders/void", "",
		map[string]any{"ids": []uuid.UUID{pending.ID, declined.ID, unheard, a.OrderID, unheard}}, "dapr-caller-app-id", "inventory")
	require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
	var answer struct{ Items []idDecision }
	res.JSON(t, &answer)
	require.ElementsMatch(t, []idDecision{
		{pending.ID, "pending", ""}, {declined.ID, "cancelled", "payment-declined"}, {unheard, "void", ""}, {a.OrderID, "void", ""},
	}, answer.Items)
	for _, bad := range []any{map[string]any{"ids": []uuid.UUID{}}, map[string]any{"ids": make([]uuid.UUID, 201)}, map[string]any{"ids": []string{"x"}}} {
		require.Equal(t, "invalid", servetest.Do(t, b.rt, "POST", "/internal/orders/void", "", bad, "dapr-caller-app-id", "inventory").Slug())
	}

	// At the same time as the orders are placed, by two who ask in different order: one of the two, for each.
	for range 10 {
		places := make([]Placement, 4)
		attempts := make([]attempt, len(places))
		var asc, desc []uuid.UUID
		for i := range places {
			places[i] = placement()
			attempts[i] = b.begin(t, places[i].AccountID, "k", "body")
			asc, desc = append(asc, attempts[i].OrderID), append([]uuid.UUID{attempts[i].OrderID}, desc...)
		}
		decisions := make([][]idDecision, 2)
		errs := race(2+len(places), func(i int) (err error) {
			if i < 2 {
				decisions[i], err = b.store.Void(t.Context(), [][]uuid.UUID{asc, desc}[i], b.now())
			} else {
				_, err = b.place(t.Context(), attempts[i-2], withID(places[i-2], attempts[i-2].OrderID))
			}
			return err
		})
		require.NoError(t, errs[0])
		require.NoError(t, errs[1])
		require.ElementsMatch(t, decisions[0], decisions[1])
		require.Len(t, decisions[0], len(places))
		for _, f := range decisions[0] {
			placed := errs[2+slices.Index(asc, f.OrderID)]
			if f.Status == "void" {
				require.Error(t, placed)
			} else {
				require.Equal(t, "pending", f.Status)
				require.NoError(t, placed)
			}
		}
	}
}

// ask reads a feed as a neighbour, page by page, with no time for events to arrive.
func ask[T any](t *testing.T, b *bundle, app, path string, limit int) (items []T) {
	t.Helper()
	for cursor, more := "", true; more; {
		res := servetest.Do(t, b.rt, "GET", fmt.Sprintf("%s&limit=%d&cursor=%s", path, limit, cursor), "", nil, "dapr-caller-app-id", app)
		require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
		var page feed.Page[T]
		res.JSON(t, &page)
		items = append(items, page.Items...)
		cursor, more = page.Cursor, page.More
	}
	return items
}

// TestFeeds is what neighbours read in case an event never came.
func TestFeeds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second, third := b.order(t), b.order(t), b.order(t)
	b.order(t) // stays pending
	deliver := func(e outbox.Event) {
		b.at.Add(-time.Minute) // one instance's clock is behind another's: what was written down later comes later
		servetest.Deliver(t, b.rt, e)
	}
	deliver(capturedEvent(first))
	deliver(failedEvent(second))
	res := servetest.Do(t, b.rt, "POST", "/api/v1/admin/orders/"+first.ID.String()+"/shipment", admin(t), map[string]string{"carrier": "DHL", "tracking_number": "D1"})
	require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
	// Both in one transaction: at one moment.
	require.NoError(t, b.settled(t.Context(), []charge{{OrderID: third.ID, Status: "captured", Amount: third.Total}}))
	_, err := b.db.Exec(t.Context(), `
		UPDATE order_history SET noted_at = (SELECT max(noted_at) FROM order_history) WHERE order_id = $1 AND status = 'shipped'`, first.ID)
	require.NoError(t, err)
	deliver(capturedEvent(second)) // says order.cancelled once more, which is no moment of its own
	// Out of the second that a feed keeps behind.
	_, err = b.db.Exec(t.Context(), `UPDATE order_history SET noted_at = noted_at - interval '1 hour'`)
	require.NoError(t, err)

	var told []events.Order
	for _, sent := range servetest.Outbox(t, b.db) {
		if sent.Topic != "order.placed.v1" {
			var e events.Order
			require.NoError(t, json.Unmarshal(sent.Data, &e))
			told = append(told, e)
		}
	}
	require.Len(t, told, 5)
	want := told[:4]
	for _, limit := range []int{1, 2, 200} {
		got := ask[events.Order](t, b, "mail", "/internal/orders/ended?since=2020-01-01T00:00:00Z", limit)
		require.ElementsMatch(t, want, got, "to the letter what the events said")
		require.Equal(t, want[:2], got[:2])
		confirmed := ask[events.Order](t, b, "carts", "/internal/orders/ended?status=confirmed", limit)
		require.Equal(t, []events.Order{want[0], want[3]}, confirmed)
		require.Len(t, ask[events.Order](t, b, "mail", "/internal/orders/ended?status=confirmed,shipped", limit), 3)
		for _, app := range []string{"inventory", "payments"} {
			require.Equal(t, []outcome{
				{OrderID: first.ID, Status: Confirmed, Version: 2, At: want[0].At},
				{OrderID: second.ID, Status: Cancelled, Reason: "payment-declined", Version: 2, At: want[1].At},
				{OrderID: third.ID, Status: Confirmed, Version: 2, At: want[3].At},
			}, ask[outcome](t, b, app, "/internal/orders/outcomes?since=2020-01-01T00:00:00Z", limit))
		}
	}
	require.Empty(t, ask[outcome](t, b, "payments", "/internal/orders/outcomes?behind=86400", 200), "events get time to arrive")
	require.Empty(t, ask[outcome](t, b, "payments", "/internal/orders/outcomes?since="+time.Now().UTC().Add(time.Minute).Format(time.RFC3339), 200))
	for _, bad := range []string{"status=pending", "status=lost", "cursor=x", "behind=-1", "limit=501"} {
		require.Equal(t, "invalid", servetest.Do(t, b.rt, "GET", "/internal/orders/ended?"+bad, "", nil, "dapr-caller-app-id", "mail").Slug(), bad)
	}
}

// TestRefundsThatWereNotHeardOf: what payments lists has the effect of its event.
func TestRefundsThatWereNotHeardOf(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lost, heard, strange := b.order(t), b.order(t), b.order(t)
	for _, o := range []*Order{lost, heard} {
		servetest.Deliver(t, b.rt, capturedEvent(o))
		_, err := b.store.Update(t.Context(), o.ID, b.now(), func(o *Order) (Event, error) { return o.Cancel(ByShop, "", b.now()) })
		require.NoError(t, err)
	}
	servetest.Deliver(t, b.rt, refundedEvent(heard, 4397))
	// Another amount was taken, which was no payment, and went back.
	servetest.Deliver(t, b.rt, failedEvent(strange))
	mistake := refundedEvent(strange, 5000)
	mistake.Captured = events.Money(gbp(5000))
	servetest.Deliver(t, b.rt, mistake)
	nobodys := refundedEvent(lost, 4397)
	nobodys.OrderID = uuid.New()
	version := b.version(t, heard.ID)
	made := []events.PaymentRefunded{nobodys, refundedEvent(heard, 4397), mistake, refundedEvent(lost, 4397)}
	const refunds = "GET /internal/refunds/made"
	servetest.Unwell(t, b.rt, "payments", refunds, func(ctx context.Context, how string) {
		require.Error(t, b.pullRefunds().Run(ctx), how)
	})
	servetest.Neighbour(t, b.rt, "payments", refunds, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("behind") != "600" {
			t.Errorf("refunds are asked for by %s", r.URL.RawQuery)
		}
		servetest.Feed(&made)(w, r)
	})
	for range 2 {
		require.NoError(t, b.pullRefunds().Run(t.Context()))
	}
	got, err := b.store.Get(t.Context(), lost.ID)
	require.NoError(t, err)
	require.Equal(t, Payment{Status: PaymentRefunded, Method: "pm_card_visa", Refunded: gbp(4397)}, got.Payment)
	require.Equal(t, version, b.version(t, heard.ID))
	got, err = b.store.Get(t.Context(), strange.ID)
	require.NoError(t, err)
	require.Equal(t, Payment{Status: PaymentFailed, Method: "pm_card_visa", Refunded: gbp(0)}, got.Payment)
}

func (b *bundle) version(t *testing.T, id uuid.UUID) int {
	t.Helper()
	return b.count(t, `SELECT version FROM orders WHERE id = $1`, id)
}

// TestWaiting: the metric is the age of the oldest order that is pending, not of any other.
func TestWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	waiting := func() float64 {
		seconds, err := b.store.Waiting(t.Context())
		require.NoError(t, err)
		return seconds
	}
	require.Zero(t, waiting())
	done, o := b.order(t), b.order(t)
	servetest.Deliver(t, b.rt, capturedEvent(done))
	for id, age := range map[uuid.UUID]string{done.ID: "9 hours", o.ID: "90 seconds"} {
		_, err := b.db.Exec(t.Context(), `UPDATE orders SET created_at = now() - $2::interval WHERE id = $1`, id, age)
		require.NoError(t, err)
	}
	require.InDelta(t, 90, waiting(), 60)
}

// TestReminder is order.placed again for an order that stays pending.
func TestReminder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o, done := b.order(t), b.order(t)
	servetest.Deliver(t, b.rt, capturedEvent(done))
	placed := func() int { return b.count(t, `SELECT count(*) FROM outbox WHERE topic = 'order.placed.v1'`) }
	require.Equal(t, 2, placed())

	b.at.Add(10 * time.Minute)
	require.NoError(t, b.remind(t.Context()))
	require.Equal(t, 2, placed(), "what has not left needs no repetition")

	b.sent(t)
	require.NoError(t, b.remind(t.Context()))
	require.NoError(t, b.remind(t.Context()))
	require.Equal(t, 3, placed(), "once a minute, pending orders only")
	require.Equal(t, []string{"order.placed.v1", "order.placed.v1"}, b.topics(t, o.ID))
	require.Equal(t, 2, b.count(t, `SELECT placed_count FROM orders WHERE id = $1`, o.ID))

	b.at.Add(time.Minute)
	require.NoError(t, b.remind(t.Context()))
	require.Equal(t, 3, placed(), "the repetition waits in the outbox")
	b.sent(t)
	b.at.Add(time.Minute)
	require.NoError(t, b.remind(t.Context()))
	require.Equal(t, 4, placed())

	// More than a batch.
	for range batch {
		b.order(t)
	}
	b.sent(t)
	b.at.Add(time.Minute)
	require.NoError(t, b.remind(t.Context()))
	require.Equal(t, 4+batch+batch, placed(), "the first one waits for twice as long")
	b.sent(t)
	b.at.Add(time.Minute)
	require.NoError(t, b.remind(t.Context()))
	require.Equal(t, 4+batch+batch+batch+1, placed())
	require.Zero(t, b.count(t, `SELECT count(*) FROM orders WHERE status = 'pending' AND placed_sent_at IS NULL`))
}

// TestDeadline is the end of an order that payments says nothing about.
func TestDeadline(t *testing.T) {
	t.Parallel()
	due := func(t *testing.T, b *bundle) []uuid.UUID {
		_, err := b.store.NoteSent(t.Context(), 100)
		require.NoError(t, err)
		now := b.now()
		ids, err := b.store.Unsettled(t.Context(), now.Add(-b.settings.Deadline), now.Add(-b.settings.RemindAfter), now, now.Add(b.settings.VoidEvery), 100)
		require.NoError(t, err)
		return ids
	}

	t.Run("counts from when order.placed was first sent", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.order(t)
		b.at.Add(time.Hour)
		require.Empty(t, due(t, b), "the broker is down: payments cannot know")
		b.sent(t)
		require.Empty(t, due(t, b))
		b.at.Add(5 * time.Minute)
		require.NoError(t, b.remind(t.Context()))
		b.sent(t)
		b.at.Add(5*time.Minute - time.Second)
		require.Empty(t, due(t, b))
		b.at.Add(time.Second)
		require.Equal(t, []uuid.UUID{o.ID}, due(t, b), "a reminder does not prolong it")
		require.Empty(t, due(t, b), "leased")
		b.at.Add(15 * time.Second)
		require.Equal(t, []uuid.UUID{o.ID}, due(t, b))
	})

	for name, want := range map[string]struct {
		answer  string
		amount  money.Money
		status  Status
		payment PaymentStatus
		reason  string
		again   bool
		refused bool
	}{
		"captured":                  {"captured", gbp(4397), Confirmed, PaymentCaptured, "", false, false},
		"captured less":             {"captured", gbp(4396), Pending, PaymentPending, "", true, true},
		"captured another currency": {"captured", money.New(4397, "USD"), Pending, PaymentPending, "", true, true},
		"captured nothing":          {"captured", money.Money{}, Pending, PaymentPending, "", true, true},
		"failed":                    {"failed", money.Money{}, Cancelled, PaymentFailed, "payment-declined", false, false},
		"voided":                    {"voided", money.Money{}, Cancelled, PaymentFailed, "timed-out", false, false},
		"unknown":                   {"unknown", money.Money{}, Pending, PaymentPending, "", true, false},
		"nonsense":                  {"nonsense", money.Money{}, Pending, PaymentPending, "", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			o := b.order(t)
			b.sent(t)
			b.at.Add(10 * time.Minute)
			require.Equal(t, []uuid.UUID{o.ID}, due(t, b))
			for range 2 {
				err := b.settled(t.Context(), []charge{{OrderID: o.ID, Status: want.answer, Amount: want.amount}})
				require.Equal(t, want.refused, err != nil, err)
			}
			got, err := b.store.Get(t.Context(), o.ID)
			require.NoError(t, err)
			require.Equal(t, want.status, got.Status)
			require.Equal(t, want.payment, got.Payment.Status)
			if want.reason != "" {
				require.Equal(t, want.reason, *got.CancelReason)
			}
			b.at.Add(time.Hour)
			require.Equal(t, want.again, len(due(t, b)) == 1)
			if !want.again {
				require.Len(t, b.topics(t, o.ID), 2)
			}
		})
	}

	t.Run("nobody answers", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.order(t)
		b.sent(t)
		b.at.Add(10 * time.Minute)
		require.Error(t, b.settle(t.Context()), "there is no sidecar")
		got, err := b.store.Get(t.Context(), o.ID)
		require.NoError(t, err)
		require.Equal(t, Pending, got.Status)
	})

	t.Run("cancelled, and the payment unheard of", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := b.order(t)
		_, err := b.store.Update(t.Context(), o.ID, b.now(), func(o *Order) (Event, error) { return o.Cancel(ByCustomer, "", b.now()) })
		require.NoError(t, err)
		require.Empty(t, due(t, b))
		b.at.Add(time.Minute)
		require.Equal(t, []uuid.UUID{o.ID}, due(t, b))
		require.NoError(t, b.settled(t.Context(), []charge{{OrderID: o.ID, Status: "voided"}}))
		got, err := b.store.Get(t.Context(), o.ID)
		require.NoError(t, err)
		require.Equal(t, PaymentFailed, got.Payment.Status)
		require.Equal(t, "by-customer", *got.CancelReason)
		b.at.Add(time.Hour)
		require.Empty(t, due(t, b))
	})
}

// TestBacklog is what waits after an outage: all that is due is settled in one run, past what cannot be.
func TestBacklog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all []*Order
	for range 2*batch + 10 {
		all = append(all, b.order(t))
	}
	b.sent(t)
	b.at.Add(10 * time.Minute)
	odd, stuck, poison := all[3], all[batch], all[batch+1]
	_, err := b.db.Exec(t.Context(), fmt.Sprintf(`
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
		CREATE TRIGGER refuse BEFORE UPDATE OF status ON orders FOR EACH ROW WHEN (new.id = '%s') EXECUTE FUNCTION refuse()`, poison.ID))
	require.NoError(t, err)
	var mu sync.Mutex
	asked := map[uuid.UUID]int{}
	b.voids(t, func(id uuid.UUID) charge {
		mu.Lock()
		defer mu.Unlock()
		asked[id]++
		switch id {
		case odd.ID:
			return charge{Status: "captured", Amount: gbp(1)}
		case stuck.ID:
			return charge{Status: "unknown"}
		}
		return charge{Status: "voided"}
	})
	// Two instances share the work. One may find but what the other has taken, and ends early.
	for _, err := range race(2, func(int) error { return b.settle(t.Context()) }) {
		require.NoError(t, err)
	}
	require.NoError(t, b.settle(t.Context()))
	require.Len(t, asked, len(all))
	for id, n := range asked {
		require.Equal(t, 1, n, id)
	}
	require.Equal(t, len(all)-3, b.count(t, `SELECT count(*) FROM orders WHERE status = 'cancelled' AND cancel_reason = 'timed-out'`))
	require.Equal(t, len(all)-3, b.count(t, `SELECT count(*) FROM outbox WHERE topic = 'order.cancelled.v1'`))
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM orders WHERE status = 'pending' AND version = 1 AND id = ANY ($1)`, []uuid.UUID{odd.ID, stuck.ID, poison.ID}))

	b.at.Add(b.settings.VoidEvery)
	require.NoError(t, b.settle(t.Context()))
	require.Equal(t, 2, asked[stuck.ID], "again")
	require.Len(t, asked, len(all))
	require.ErrorContains(t, b.settled(t.Context(), []charge{{OrderID: poison.ID, Status: "voided"}, {OrderID: odd.ID, Status: "captured"}}), "no")
}

// voids has payments answer about each charge that it is asked to void.
func (b *bundle) voids(t testing.TB, answer func(order uuid.UUID) charge) {
	servetest.Neighbour(t, b.rt, "payments", "POST /internal/charges/void", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ IDs []uuid.UUID }
		_ = json.NewDecoder(r.Body).Decode(&in)
		items := []map[string]any{}
		for _, id := range in.IDs {
			c := answer(id)
			item := map[string]any{"order_id": id, "status": c.Status, "reason": c.Reason}
			if c.Status == "captured" {
				item["amount"] = c.Amount
			}
			items = append(items, item)
		}
		servetest.Answers(map[string]any{"items": items})(w, r)
	})
}

// TestBacklogGoesOn: one call settles all that is due, not only a batch of it,
// as soon as payments answers.
func TestBacklogGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range batch + 5 {
		b.order(t)
	}
	b.sent(t)
	b.at.Add(10 * time.Minute)
	const void = "POST /internal/charges/void"
	servetest.Unwell(t, b.rt, "payments", void, func(ctx context.Context, how string) {
		require.Error(t, b.settle(ctx), how)
		b.at.Add(b.settings.VoidEvery)
	})
	require.Zero(t, b.count(t, `SELECT count(*) FROM orders WHERE status <> 'pending'`), "nobody knows what became of the money")
	b.voids(t, func(uuid.UUID) charge { return charge{Status: "voided"} })
	require.NoError(t, b.settle(t.Context()))
	require.Equal(t, batch+5, b.count(t, `SELECT count(*) FROM orders WHERE status = 'cancelled'`))
}

// TestAfterADecline: the goods that were held for the declined order are asked for, and the checkout is free.
func TestAfterADecline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.order(t)
	claim := func(account, checkout uuid.UUID) *uuid.UUID {
		t.Helper()
		a := b.begin(t, account, uuid.NewString(), "body")
		a, _, err := b.store.Claim(t.Context(), a, basket{CheckoutID: checkout, Since: checkout, Lines: tee}, b.now())
		require.NoError(t, err)
		a.Held = true
		_, err = b.refuse(t.Context(), a, ErrPriceChanged)
		require.ErrorIs(t, err, ErrPriceChanged)
		return a.InsteadOf
	}
	servetest.Deliver(t, b.rt, failedEvent(o))
	require.Equal(t, &o.ID, claim(o.AccountID, o.CheckoutID))
	require.Equal(t, &o.ID, claim(o.AccountID, uuid.New()), "the cart may have changed since")
	require.Nil(t, claim(uuid.New(), uuid.New()), "nobody else")
	b.at.Add(time.Minute)
	later := b.order(t, func(p *Placement) { p.AccountID, p.CheckoutID = o.AccountID, o.CheckoutID })
	servetest.Deliver(t, b.rt, failedEvent(later))
	require.Equal(t, &later.ID, claim(o.AccountID, o.CheckoutID), "the last one")
	byHand := b.order(t, func(p *Placement) { p.AccountID, p.CheckoutID = o.AccountID, o.CheckoutID })
	_, err := b.store.Update(t.Context(), byHand.ID, b.now(), func(o *Order) (Event, error) { return o.Cancel(ByCustomer, "", b.now()) })
	require.NoError(t, err)
	require.Equal(t, &later.ID, claim(o.AccountID, o.CheckoutID), "what was cancelled otherwise gives back on its own")
	b.at.Add(instead)
	require.Nil(t, claim(o.AccountID, o.CheckoutID), "long ago")

	request, err := json.Marshal(holdOf(attempt{Account: o.AccountID, InsteadOf: &o.ID}, tee).holdRequest)
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{"shopper": "account:%s", "lines": [{"sku": "TEE-M", "quantity": 2}], "instead_of": "%s"}`, o.AccountID, o.ID), string(request))
	request, err = json.Marshal(holdOf(attempt{Account: o.AccountID}, tee).holdRequest)
	require.NoError(t, err)
	require.NotContains(t, string(request), "instead_of")
}

// TestRefusedHold: what inventory refuses reaches the shopper as it was said, nothing is held, and the key is free.
func TestRefusedHold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for slug, refusal := range map[string]*problem.Error{
		"out-of-stock":  ErrOutOfStock.With("lines", []string{"TEE-M"}),
		"limit-reached": ErrLimitReached.With("sku", "TEE-M").With("limit", 2).With("available", 1),

		"claim-required": ErrClaimRequired.With("sku", "TEE-M").With("available", 0),
	} {
		p := placement()
		a := b.begin(t, p.AccountID, "k", "body")
		a, _, err := b.store.Claim(t.Context(), a, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.NoError(t, err)
		a.Held = true
		_, err = b.refuse(t.Context(), a, a.held(expectHold(refusal)))
		require.Equal(t, refusal, err)
		require.ErrorContains(t, err, slug)
		require.False(t, a.Held)
		require.Zero(t, b.count(t, `SELECT count(*) FROM order_ids WHERE id = $1`, a.OrderID), "there is nothing to release")
		next := b.begin(t, p.AccountID, "k", "another body")
		_, _, err = b.store.Claim(t.Context(), next, basket{CheckoutID: p.CheckoutID, Since: p.CheckoutID, Lines: tee}, b.now())
		require.NoError(t, err)
	}
	require.Empty(t, servetest.Outbox(t, b.db))
	a := attempt{Held: true}
	require.ErrorIs(t, a.held(expectHold(ErrCartEmpty)), problem.ErrUnavailable, "any other refusal is not the shopper's doing")
	require.True(t, a.Held)
}

// TestPrune: what is over goes, orders stay.
func TestPrune(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.order(t)
	crashed := b.begin(t, uuid.New(), "k", "body")
	require.Equal(t, "void", b.void(t, uuid.New()))
	ids := func() int { return b.count(t, `SELECT count(*) FROM order_ids`) }
	b.at.Add(keepKeys + time.Minute)
	require.NoError(t, b.prune(t.Context()))
	require.Zero(t, b.count(t, `SELECT count(*) FROM order_keys`))
	require.Equal(t, 3, ids(), "the abandoned one is void")
	b.at.Add(keepVoid - 25*time.Hour)
	for range pruned + 1 {
		_, err := b.db.Exec(t.Context(), `INSERT INTO order_ids VALUES ($1, 'void', $2)`, uuid.New(), b.now().Add(-keepVoid))
		require.NoError(t, err)
	}
	require.NoError(t, b.prune(t.Context()))
	require.Equal(t, 3, ids())
	b.at.Add(26 * time.Hour)
	require.NoError(t, b.prune(t.Context()))
	require.Equal(t, 1, ids())
	require.Equal(t, "pending", b.void(t, o.ID))
	require.Equal(t, "void", b.void(t, crashed.OrderID), "who asks even later is told the same")
}

// TestToldWhenStopping: what an instance has changed last is told to the others, too.
func TestToldWhenStopping(t *testing.T) {
	t.Parallel()
	b := setup(t)
	told := make(chan string, 10)
	go pg.Listen(t.Context(), b.db, changed, func(payload string) { told <- payload })
	require.Empty(t, <-told, "it listens")
	stopping, stop := context.WithCancel(t.Context())
	stop()
	n := newNews(b.db)
	require.NoError(t, n.tell(stopping), "nothing")
	id := uuid.New()
	n.add(id)
	require.NoError(t, n.tell(stopping))
	require.Equal(t, id.String(), <-told)
}

func TestLongPoll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	listening, heard := make(chan struct{}), sync.Once{}
	// What others tell is not needed here, only told: this instance knows at once.
	told := make(chan string, 100)
	go pg.Listen(t.Context(), b.db, changed, func(payload string) {
		heard.Do(func() { close(listening) })
		if payload != "" {
			told <- payload
		}
	})
	<-listening
	ctx, stop := context.WithCancel(t.Context())
	telling := make(chan error)
	go func() { telling <- b.news.tell(ctx) }()
	defer func() { stop(); require.NoError(t, <-telling) }()
	get := func(o *Order, query string) Order {
		res := servetest.Do(t, b.rt, "GET", location(o.ID)+query, shopper(t, o.AccountID), nil)
		require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
		var got Order
		res.JSON(t, &got)
		return got
	}
	waiting := func(n int) func() bool {
		return func() bool { return b.polls.Waiting() == n }
	}
	patient := func(t *testing.T, o *Order, query string) <-chan Order {
		answer := make(chan Order, 1)
		go func() { answer <- get(o, query) }()
		require.Eventually(t, waiting(1), 5*time.Second, time.Millisecond)
		return answer
	}

	o := b.order(t)
	start := time.Now()
	require.Equal(t, 1, get(o, "?wait=25&since=0").Version, "newer than what the caller has")
	require.Equal(t, 1, get(o, "?since=1").Version, "no wait")

	for _, query := range []string{"?wait=25&since=1", "?wait=25"} {
		o := b.order(t)
		answer := patient(t, o, query)
		b.order(t) // another order changes nothing
		servetest.Deliver(t, b.rt, capturedEvent(o))
		require.Equal(t, Confirmed, (<-answer).Status)
		require.Eventually(t, waiting(0), 5*time.Second, time.Millisecond)
		require.Equal(t, o.ID.String(), <-told)
	}

	// Another instance told of two.
	other := b.order(t)
	answer := patient(t, other, "?wait=25&since=1")
	_, err := b.db.Exec(t.Context(), `UPDATE orders SET version = 2 WHERE id = $1`, other.ID)
	require.NoError(t, err)
	b.heard(o.ID.String() + "," + other.ID.String())
	require.Equal(t, 2, (<-answer).Version)

	// Notifications may have been missed: everybody looks again, and waits on.
	answer = patient(t, o, "?wait=25&since=1")
	b.heard("")
	servetest.Deliver(t, b.rt, failedEvent(o))
	require.Equal(t, Cancelled, (<-answer).Status)
	require.Less(t, time.Since(start), 20*time.Second, "nobody waited for the time to pass")

	start = time.Now()
	require.Equal(t, 2, get(o, "?wait=1&since=2").Version)
	require.GreaterOrEqual(t, time.Since(start), time.Second)
	require.Equal(t, 2, get(o, "?wait=1&since=99").Version)

	// Too many wait: answered at once.
	all := b.polls
	b.polls = longpoll.New(0)
	start = time.Now()
	require.Equal(t, 2, get(o, "?wait=25&since=2").Version)
	require.Less(t, time.Since(start), 5*time.Second)
	b.polls = all

	// The service stops.
	stopping := make(chan struct{})
	b.stopping = stopping
	answer = patient(t, o, "?wait=25&since=2")
	close(stopping)
	require.Equal(t, 2, (<-answer).Version)
}

// TestShopActs is shipping, delivering and cancelling over HTTP, and what it refuses.
func TestShopActs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.order(t)
	post := func(action string, body any) servetest.Response {
		return servetest.Do(t, b.rt, "POST", "/api/v1/admin/orders/"+o.ID.String()+"/"+action, admin(t), body)
	}
	shipment := map[string]any{"carrier": " Royal Mail ", "tracking_number": "RM 1"}

	require.Equal(t, "order-not-shippable", post("shipment", shipment).Slug())
	require.Equal(t, "order-not-deliverable", post("delivery", nil).Slug())
	servetest.Deliver(t, b.rt, capturedEvent(o))
	require.Equal(t, "order-not-deliverable", post("delivery", nil).Slug())
	for range 2 {
		res := post("shipment", shipment)
		require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
		var got Order
		res.JSON(t, &got)
		require.Equal(t, Shipped, got.Status)
		page := "https://www.royalmail.com/track-your-item#/tracking-results/RM+1"
		require.Equal(t, &Shipment{Carrier: "Royal Mail", TrackingNumber: "RM 1", TrackingURL: &page}, got.Shipment)
	}
	require.Equal(t, "order-not-shippable", post("shipment", map[string]any{"carrier": "DHL", "tracking_number": "2"}).Slug())
	correct := func() servetest.Response {
		return servetest.Do(t, b.rt, "PUT", "/api/v1/admin/orders/"+o.ID.String()+"/shipment", admin(t),
			map[string]any{"carrier": "A bicycle", "tracking_number": "2"})
	}
	for range 2 {
		res := correct()
		require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
		var got Order
		res.JSON(t, &got)
		require.Equal(t, &Shipment{Carrier: "A bicycle", TrackingNumber: "2"}, got.Shipment)
		require.Equal(t, 4, got.Version)
	}
	require.Equal(t, "order-not-cancellable", post("cancellation", nil).Slug())
	res := servetest.Do(t, b.rt, "POST", location(o.ID)+"/cancellation", shopper(t, o.AccountID), nil)
	require.Equal(t, http.StatusConflict, res.Status)
	require.Equal(t, "order-not-cancellable", res.Slug())
	for range 2 {
		require.Equal(t, http.StatusOK, post("delivery", nil).Status)
	}
	require.Equal(t, "order-not-cancellable", post("cancellation", nil).Slug())
	require.Equal(t, 200, correct().Status, "it is so already")
	res = servetest.Do(t, b.rt, "PUT", "/api/v1/admin/orders/"+o.ID.String()+"/shipment", admin(t),
		map[string]any{"carrier": "DHL", "tracking_number": "3"})
	require.Equal(t, "order-not-shipped", res.Slug())
	told := []string{"order.placed.v1", "order.confirmed.v1", "order.shipped.v1", "order.shipped.v1", "order.delivered.v1"}
	require.Equal(t, told, b.topics(t, o.ID))

	var got Order
	servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders/"+o.ID.String(), admin(t), nil).JSON(t, &got)
	statuses := []Status{}
	for _, m := range got.History {
		statuses = append(statuses, m.Status)
	}
	require.Equal(t, []Status{Pending, Confirmed, Shipped, Shipped, Delivered}, statuses)
}

// TestShipRefunded: what was refunded, in part or whole, is shipped only by who says so.
func TestShipRefunded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, part := range []int64{1, 4397} {
		o := b.order(t)
		servetest.Deliver(t, b.rt, capturedEvent(o))
		servetest.Deliver(t, b.rt, refundedEvent(o, part))
		ship := func(although any) servetest.Response {
			parcel := map[string]any{"carrier": "DHL", "tracking_number": "1"}
			if although != nil {
				parcel["although_refunded"] = although
			}
			return servetest.Do(t, b.rt, "POST", "/api/v1/admin/orders/"+o.ID.String()+"/shipment", admin(t), parcel)
		}
		for _, although := range []any{nil, false} {
			res := ship(although)
			require.Equal(t, http.StatusConflict, res.Status, "%s", res.Body)
			require.Equal(t, "order-refunded", res.Slug())
			var told struct{ Refunded, Total money.Money }
			res.JSON(t, &told)
			require.Equal(t, []money.Money{gbp(part), o.Total}, []money.Money{told.Refunded, told.Total})
		}
		require.Equal(t, "invalid", ship("yes").Slug())
		require.NotContains(t, b.topics(t, o.ID), "order.shipped.v1")
		for range 2 {
			require.Equal(t, http.StatusOK, ship(true).Status)
		}
		require.Equal(t, http.StatusOK, ship(nil).Status, "it is on its way already")
	}
}

func TestCarriers(t *testing.T) {
	t.Parallel()
	known, err := parseCarriers([]string{"Royal Mail=https://a.example/#/{number}", " DHL=https://b.example/?n={number}"})
	require.NoError(t, err)
	require.Equal(t, "https://b.example/?n=A%26b%2F1", *known.shipment("dhl", "A&b/1").TrackingURL)
	require.Equal(t, Shipment{Carrier: "A bicycle", TrackingNumber: "1"}, known.shipment("A bicycle", "1"))
	for _, wrong := range []string{
		"DHL", "=https://a.example/{number}", "DHL=https://a.example/", "DHL=http://a.example/{number}", "DHL=javascript:{number}",
	} {
		_, err := parseCarriers([]string{wrong})
		require.ErrorContains(t, err, "CARRIERS", wrong)
	}
}

func TestCancellation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, tt := range map[string]struct {
		byShop bool
		body   any
		reason string
		note   string
	}{
		"customer":                   {false, nil, "by-customer", ""},
		"customer, empty":            {false, map[string]any{}, "by-customer", ""},
		"customer, who says why":     {false, map[string]any{"reason": "<b>wrong size</b> '); DROP TABLE orders; --"}, "by-customer", "<b>wrong size</b> '); DROP TABLE orders; --"},
		"shop":                       {true, nil, "by-shop", ""},
		"shop, a piece is not there": {true, map[string]any{"out_of_stock": true, "reason": "shelf was empty"}, "out-of-stock", "shelf was empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := b.order(t)
			servetest.Deliver(t, b.rt, capturedEvent(o))
			path, token := location(o.ID)+"/cancellation", shopper(t, o.AccountID)
			if tt.byShop {
				path, token = "/api/v1/admin/orders/"+o.ID.String()+"/cancellation", admin(t)
			}
			first := servetest.Do(t, b.rt, "POST", path, token, tt.body)
			require.Equal(t, http.StatusAccepted, first.Status, "%s", first.Body)
			var got Order
			first.JSON(t, &got)
			require.Equal(t, Cancelled, got.Status)
			require.Equal(t, tt.reason, *got.CancelReason)
			require.Equal(t, tt.note, got.CancelNote)
			require.Equal(t, PaymentRefundPending, got.Payment.Status)
			again := servetest.Do(t, b.rt, "POST", path, token, map[string]any{"reason": "again"})
			require.Equal(t, http.StatusAccepted, again.Status)
			require.JSONEq(t, string(first.Body), string(again.Body))
			require.Equal(t, []string{"order.placed.v1", "order.confirmed.v1", "order.cancelled.v1"}, b.topics(t, o.ID))

			servetest.Deliver(t, b.rt, refundedEvent(o, 1000))
			servetest.Deliver(t, b.rt, refundedEvent(o, o.Total.Amount))
			servetest.Do(t, b.rt, "GET", location(o.ID), shopper(t, o.AccountID), nil).JSON(t, &got)
			require.Equal(t, PaymentRefunded, got.Payment.Status)
			require.Equal(t, o.Total, got.Payment.Refunded)
		})
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account := uuid.New()
	mine := func(p *Placement) { p.AccountID = account }
	var ids []uuid.UUID // newest first
	for i := range 5 {
		if i != 2 { // two at the very same moment
			b.at.Add(time.Second)
		}
		ids = append([]uuid.UUID{b.order(t, mine).ID}, ids...)
		b.order(t) // somebody else's
	}
	type page struct {
		Items      []Order
		NextCursor *string `json:"next_cursor"`
	}
	list := func(path, token string) page {
		res := servetest.Do(t, b.rt, "GET", path, token, nil)
		require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
		var p page
		res.JSON(t, &p)
		return p
	}
	all := list("/api/v1/orders", shopper(t, account))
	require.Nil(t, all.NextCursor)
	require.Equal(t, ids, idsOf(all.Items))

	var walked []uuid.UUID
	cursor := ""
	for range 10 {
		p := list("/api/v1/orders?limit=2&cursor="+cursor, shopper(t, account))
		walked = append(walked, idsOf(p.Items)...)
		if p.NextCursor == nil {
			break
		}
		cursor = *p.NextCursor
		b.order(t, mine) // a new one at the top does not move the rest
	}
	require.Equal(t, ids, walked)

	servetest.Deliver(t, b.rt, failedEvent(&Order{ID: ids[3], Totals: all.Items[3].Totals}))
	require.Equal(t, []uuid.UUID{ids[3]}, idsOf(list("/api/v1/admin/orders?status=cancelled", admin(t)).Items))
	require.Len(t, list("/api/v1/admin/orders", admin(t)).Items, 12)
	require.Len(t, list("/api/v1/admin/orders?declined=true", admin(t)).Items, 12)
	require.Len(t, list("/api/v1/admin/orders?declined=false", admin(t)).Items, 11)
	require.Empty(t, list("/api/v1/admin/orders?declined=false&status=cancelled", admin(t)).Items)
	undeclined := idsOf(list("/api/v1/orders?declined=false", shopper(t, account)).Items)
	require.NotContains(t, undeclined, ids[3])
	require.Equal(t, idsOf(list("/api/v1/orders", shopper(t, account)).Items), slices.Insert(undeclined, len(undeclined)-1, ids[3]))
	res := servetest.Do(t, b.rt, "POST", location(ids[2])+"/cancellation", shopper(t, account), nil)
	require.Equal(t, http.StatusAccepted, res.Status)
	require.Contains(t, idsOf(list("/api/v1/orders?declined=false", shopper(t, account)).Items), ids[2], "cancelled, but not declined")
	require.Equal(t, 422, servetest.Do(t, b.rt, "GET", "/api/v1/orders?declined=perhaps", shopper(t, account), nil).Status)
	require.Len(t, list("/api/v1/admin/orders?status=pending&limit=100", admin(t)).Items, 10)
	require.JSONEq(t, `{"items": [], "next_cursor": null}`, string(servetest.Do(t, b.rt, "GET", "/api/v1/orders", shopper(t, uuid.New()), nil).Body))
}

func idsOf(list []Order) []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(list))
	for _, o := range list {
		ids = append(ids, o.ID)
	}
	return ids
}

func TestAdminFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.at.now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var made []*Order // oldest first, a day apart
	for i := range 4 {
		made = append(made, b.order(t, func(p *Placement) {
			p.Email = fmt.Sprintf("s%d_x@example.test", i)
			p.Totals.Total.Amount += int64(i % 3)
		}))
		b.at.Add(24 * time.Hour)
	}
	servetest.Deliver(t, b.rt, capturedEvent(made[1]))
	require.NoError(t, b.words(t.Context()))
	staff := admin(t)
	type page struct {
		Items []struct {
			ID        uuid.UUID
			AccountID uuid.UUID `json:"account_id"`
		}
		NextCursor *string `json:"next_cursor"`
	}
	list := func(query string) (p page, found []int) {
		t.Helper()
		res := servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders?"+query, staff, nil)
		require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
		res.JSON(t, &p)
		found = []int{}
		for _, item := range p.Items {
			for i, o := range made {
				if o.ID == item.ID {
					require.Equal(t, o.AccountID, item.AccountID)
					found = append(found, i)
				}
			}
		}
		return p, found
	}
	for query, want := range map[string][]int{
		"":                      {3, 2, 1, 0},
		"sort=newest":           {3, 2, 1, 0},
		"sort=oldest":           {0, 1, 2, 3},
		"q=S2":                  {2},
		"q=s":                   {3, 2, 1, 0}, // numbers begin with S-
		"q=+s1_X@example.test+": {1},
		"q=_":                   {},
		"q=%25":                 {},
		"q=" + made[3].Number:   {3},
		"q=" + strings.ToLower(made[0].Number[:9]):                                {0},
		"q=%27+OR+1=1+--":                                                         {},
		"account_id=" + made[2].AccountID.String():                                {2},
		"account_id=" + uuid.NewString():                                          {},
		"from=2026-03-02T12:00:00Z":                                               {3, 2, 1},
		"until=2026-03-02T12:00:00Z":                                              {0},
		"from=2026-03-02T00:00:00Z&until=2026-03-04T00:00:00%2B01:00&sort=oldest": {1, 2},
		"status=confirmed&q=s1":                                                   {1},
		"status=pending&q=s1":                                                     {},
	} {
		_, found := list(query)
		require.Equal(t, want, found, query)
	}
	servetest.Sorts(t, b.rt, staff, "/api/v1/admin/orders", map[string]string{
		"newest": "-created_at", "oldest": "created_at", "total": "total.amount_minor", "-total": "-total.amount_minor", "email": "email", "-email": "-email",
	})
	for _, bad := range []string{
		"q=" + strings.Repeat("a", 255), "account_id=x", "from=yesterday", "until=2026-13-01T00:00:00Z", "sort=weight", "status=lost",
		"from=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", "from=2026-03-02T00:00:00Z&until=2026-03-02T00:00:00Z",
	} {
		require.Equal(t, "invalid", servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders?"+bad, staff, nil).Slug(), bad)
	}
	var one struct {
		AccountID uuid.UUID `json:"account_id"`
		Number    string
		Lines     []Line
	}
	servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders/"+made[0].ID.String(), staff, nil).JSON(t, &one)
	require.Equal(t, made[0].AccountID, one.AccountID)
	require.Equal(t, made[0].Number, one.Number)
	require.Equal(t, made[0].Lines, one.Lines)
	require.NotContains(t, string(servetest.Do(t, b.rt, "GET", location(made[0].ID), shopper(t, made[0].AccountID), nil).Body), "account_id")
}

// TestFound: an order is found by whatever of it somebody has before them, and no longer by what was taken off it.
func TestFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := map[string]*Order{} // whose numbers have no I, L, O or U
	for name, change := range map[string]func(*Placement){
		"ann": func(p *Placement) { p.Email, p.Address.Name = "ann.lee@example.test", "Ann Lee" },
		"jose": func(p *Placement) {
			p.Email, p.Address.Name = "gifts@example.test", "José Müller-Łódzki"
			p.Lines[0].Name, p.Lines[0].Variant, p.Lines[0].SKU = "Crème Lamp 100% Wool", "M / Rouge", "LD 07/M+x"
		},
	} {
		made[name] = b.order(t, change)
	}
	staff := admin(t)
	found := func(q string) (names []string) {
		t.Helper()
		res := servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders?sort=oldest&q="+url.QueryEscape(q), staff, nil)
		require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
		var page struct{ Items []Order }
		res.JSON(t, &page)
		for name, o := range made {
			if slices.Contains(idsOf(page.Items), o.ID) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	require.Equal(t, []string{"ann"}, found(made["ann"].Number), "a number at once")
	require.Equal(t, []string{"ann"}, found("Ann.Lee@"), "an address at once")
	require.Empty(t, found("lee"))
	require.NoError(t, b.words(t.Context()))
	for q, want := range map[string][]string{
		"lee": {"ann"}, "ANN": {"ann"}, "ann.l": {"ann"}, "lee ann": {"ann"}, "ann muller": nil,
		"jose": {"jose"}, "JOSÉ": {"jose"}, "muller": {"jose"}, "müller-łod": {"jose"}, "lodzki": {"jose"}, "gifts": {"jose"},
		"creme": {"jose"}, "lamp wool": {"jose"}, "amp": nil, "rouge": {"jose"}, "100%": {"jose"},
		"LD 07/M+x": {"jose"}, "07/m": {"jose"}, made["jose"].Number[2:7]: {"jose"}, made["jose"].Number[:8]: {"jose"},
		"'": nil, `\`: nil, "' | 'ann": {"ann"}, "ann:*": {"ann"}, "& !": nil, "UP": nil, "example.test": nil,
	} {
		require.Equal(t, want, found(q), q)
	}

	// A parcel, and then the right one.
	servetest.Deliver(t, b.rt, capturedEvent(made["ann"]))
	for _, parcel := range []struct{ method, number, wrong string }{{"POST", "UP 12 34 GB", "DH-99"}, {"PUT", "DH-99", "UP 12 34 GB"}} {
		res := servetest.Do(t, b.rt, parcel.method, "/api/v1/admin/orders/"+made["ann"].ID.String()+"/shipment", staff,
			map[string]any{"carrier": "Post", "tracking_number": parcel.number})
		require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
		require.NoError(t, b.words(t.Context()))
		require.Equal(t, []string{"ann"}, found(parcel.number))
		require.Equal(t, []string{"ann"}, found(strings.ReplaceAll(strings.ToLower(parcel.number), " ", "")))
		require.Empty(t, found(parcel.wrong))
	}

	// What is forgotten of a person is forgotten here in the same moment.
	_, err := b.db.Exec(t.Context(), `
		UPDATE orders SET email = 'nobody', first_name = '', address = address || '{"name": "Nobody"}' WHERE id = $1`, made["jose"].ID)
	require.NoError(t, err)
	require.Zero(t, b.count(t, `SELECT count(*) FROM order_words WHERE words::text LIKE '%jose%'`))
	require.NoError(t, b.words(t.Context()))
	require.Empty(t, found("jose"))
	require.Equal(t, []string{"jose"}, found("creme lamp"), "the shop's books stay")

	_, err = b.db.Exec(t.Context(), `
		INSERT INTO order_words (order_id, words)
		SELECT gen_random_uuid(), array_to_tsvector('{lee}') FROM generate_series(0, $1::int)`, fewWords)
	require.NoError(t, err)
	require.Equal(t, []string{"ann"}, found("lee"), "among more than are found first")
	require.Empty(t, found("lee muller"))
}

// TestWordsOfManyInstances: of several that write words each takes other orders, and an order that changes while its words are
// written is due again.
func TestWordsOfManyInstances(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 25 {
		b.order(t)
	}
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			for {
				n, err := b.store.WriteWords(context.WithoutCancel(t.Context()), 4)
				if err != nil || n == 0 {
					return
				}
			}
		})
	}
	wait.Wait()
	require.NoError(t, b.words(t.Context()))
	require.Equal(t, 25, b.count(t, `SELECT count(*) FROM order_words WHERE words IS NOT NULL`))
	o := b.order(t)
	writing, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	defer writing.Rollback(context.WithoutCancel(t.Context()))
	_, err = writing.Exec(t.Context(), `SELECT FROM order_words WHERE order_id = $1 FOR UPDATE`, o.ID) // as WriteWords does
	require.NoError(t, err)
	changed := make(chan error, 1)
	go func() {
		_, err := b.db.Exec(context.WithoutCancel(t.Context()), `UPDATE orders SET email = 'new@example.test' WHERE id = $1`, o.ID)
		changed <- err
	}()
	for deadline := time.Now().Add(10 * time.Second); len(changed) == 0 && time.Now().Before(deadline); {
		if b.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0 {
			break
		}
	}
	_, err = writing.Exec(t.Context(), `UPDATE order_words SET words = 'old'::tsvector WHERE order_id = $1`, o.ID)
	require.NoError(t, err)
	require.NoError(t, writing.Commit(t.Context()))
	require.NoError(t, <-changed)
	require.NoError(t, b.words(t.Context()))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM order_words WHERE words @@ 'new'::tsquery AND NOT words @@ 'old'::tsquery`))
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.order(t)
	id := o.ID.String()
	expired := servetest.TokenUntil(t, o.AccountID, o.Email, time.Now().Add(-time.Second), "USER")
	for _, route := range []struct{ method, path string }{
		{"POST", "/api/v1/orders"}, {"GET", "/api/v1/orders"}, {"GET", "/api/v1/orders/" + id}, {"POST", "/api/v1/orders/" + id + "/cancellation"},
		{"PUT", "/api/v1/admin/orders/" + id + "/address"},
		{"GET", "/api/v1/admin/orders"}, {"GET", "/api/v1/admin/orders/" + id}, {"POST", "/api/v1/admin/orders/" + id + "/shipment"},
		{"POST", "/api/v1/admin/orders/" + id + "/delivery"}, {"POST", "/api/v1/admin/orders/" + id + "/cancellation"},
	} {
		name := route.method + " " + route.path
		for _, token := range []string{"", "nonsense", expired} {
			res := servetest.Do(t, b.rt, route.method, route.path, token, nil)
			require.Equal(t, http.StatusUnauthorized, res.Status, name)
			require.Equal(t, "unauthenticated", res.Slug(), name)
		}
		require.Equal(t, http.StatusForbidden, servetest.Do(t, b.rt, route.method, route.path, servetest.Token(t, o.AccountID, o.Email), nil).Status, name)
		if strings.Contains(route.path, "/admin/") {
			require.Equal(t, http.StatusForbidden, servetest.Do(t, b.rt, route.method, route.path, shopper(t, o.AccountID), nil).Status, name)
		} else if strings.Contains(route.path, id) {
			for _, stranger := range []string{shopper(t, uuid.New()), admin(t)} {
				res := servetest.Do(t, b.rt, route.method, route.path, stranger, nil)
				require.Equal(t, http.StatusNotFound, res.Status, name)
				require.Equal(t, "order-not-found", res.Slug(), name)
			}
		}
	}
	for _, route := range []struct{ method, path, app string }{
		{"POST", "/internal/orders/void", "inventory"}, {"GET", "/internal/orders/outcomes", "inventory"}, {"GET", "/internal/orders/outcomes", "payments"},
		{"GET", "/internal/orders/ended", "mail"}, {"GET", "/internal/orders/ended", "carts"},
	} {
		require.Equal(t, http.StatusForbidden, servetest.Do(t, b.rt, route.method, route.path, admin(t), nil).Status, route.path)
		require.Equal(t, http.StatusForbidden, servetest.Do(t, b.rt, route.method, route.path, "", nil, "dapr-caller-app-id", "edge").Status, route.path)
		require.NotEqual(t, http.StatusForbidden, servetest.Do(t, b.rt, route.method, route.path, "", nil, "dapr-caller-app-id", route.app).Status, route.path)
	}
	got, err := b.store.Get(t.Context(), o.ID)
	require.NoError(t, err)
	require.Equal(t, o.Version, got.Version)
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token, staff := shopper(t, uuid.New()), admin(t)
	const good = `{"address": {"name": "Ada", "line1": "1 High Street", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB"},
		"payment_method": "pm_card_visa", "expected_total": {"amount_minor": 4397, "currency": "GBP"}}`
	with := func(old, new string) string {
		require.Contains(t, good, old)
		return strings.Replace(good, old, new, 1)
	}
	long := strings.Repeat("x", 10_000)
	for name, tt := range map[string]struct {
		key, body, slug string
		status          int
	}{
		"no key":              {"", good, "idempotency-key-required", 400},
		"a long key":          {long[:256], good, "invalid", 422},
		"a key of no text":    {"\xff\xfe", good, "invalid", 422},
		"no body":             {"k", "", "", 0},
		"not JSON":            {"k", "{", "malformed", 400},
		"not UTF-8":           {"k", with("Ada", "\xff"), "malformed", 400},
		"NUL":                 {"k", with("Ada", `\u0000`), "malformed", 400},
		"too large":           {"k", with("Ada", strings.Repeat("x", 2<<20)), "too-large", 413},
		"unknown field":       {"k", with(`"payment_method"`, `"total": 1, "payment_method"`), "invalid", 422},
		"user id":             {"k", with(`"payment_method"`, `"account_id": "x", "payment_method"`), "invalid", 422},
		"no address":          {"k", `{"payment_method": "pm_card_visa", "expected_total": {"amount_minor": 1, "currency": "GBP"}}`, "invalid", 422},
		"two addresses":       {"k", with(`"payment_method"`, `"address_id": "01890000-0000-7000-8000-000000000000", "payment_method"`), "invalid", 422},
		"address_id":          {"k", `{"address_id": "../../x", "payment_method": "pm_card_visa", "expected_total": {"amount_minor": 1, "currency": "GBP"}}`, "invalid", 422},
		"null address":        {"k", `{"address": null, "payment_method": "pm_card_visa", "expected_total": {"amount_minor": 1, "currency": "GBP"}}`, "invalid", 422},
		"long name":           {"k", with("Ada", long), "invalid", 422},
		"blank name":          {"k", with("Ada", "   "), "invalid", 422},
		"invisible street":    {"k", with("1 High Street", `\u00a0\u00a0\u200b`), "invalid", 422},
		"no postcode":         {"k", with("SW1Y 4JH", "x"), "invalid", 422},
		"UK":                  {"k", with(`"GB"}`, `"UK"}`), "invalid", 422},
		"a state is missing":  {"k", with(`"SW1Y 4JH", "country": "GB"`, `"94043", "country": "US"`), "invalid", 422},
		"no phone":            {"k", with(`"GB"}`, `"GB", "phone": "call me"}`), "invalid", 422},
		"line break":          {"k", with("Ada", `Ada\nBcc: x`), "invalid", 422},
		"number for a name":   {"k", with(`"Ada"`, `7`), "invalid", 422},
		"missing city":        {"k", with(`"city": "London", `, ``), "invalid", 422},
		"unknown country":     {"k", with(`"GB"}`, `"KP"}`), "invalid", 422},
		"country in words":    {"k", with(`"GB"}`, `"United Kingdom"}`), "invalid", 422},
		"small country":       {"k", with(`"GB"}`, `"gb"}`), "invalid", 422},
		"payment method":      {"k", with("pm_card_visa", "pm_card_amex'; --"), "invalid", 422},
		"no payment method":   {"k", with(`"payment_method": "pm_card_visa",`, ``), "invalid", 422},
		"another currency":    {"k", with(`"currency": "GBP"`, `"currency": "EUR"`), "invalid", 422},
		"unknown currency":    {"k", with(`"currency": "GBP"`, `"currency": "ZZZ"`), "invalid", 422},
		"negative total":      {"k", with("4397", "-1"), "invalid", 422},
		"total with decimals": {"k", with("4397", "43.97"), "invalid", 422},
		"huge total":          {"k", with("4397", "1e400"), "", 0},
		"total as text":       {"k", with("4397", `"4397"`), "invalid", 422},
		"no total":            {"k", with(`, "expected_total": {"amount_minor": 4397, "currency": "GBP"}`, ``), "invalid", 422},
	} {
		t.Run(name, func(t *testing.T) {
			headers := []string{"Content-Type", "application/json"}
			if tt.key != "" {
				headers = append(headers, "Idempotency-Key", tt.key)
			}
			res := servetest.Do(t, b.rt, "POST", "/api/v1/orders", token, tt.body, headers...)
			if tt.status == 0 {
				require.True(t, res.Status >= 400 && res.Status < 500, "%d %s", res.Status, res.Body)
				return
			}
			require.Equal(t, tt.status, res.Status, "%s", res.Body)
			require.Equal(t, tt.slug, res.Slug())
			require.NotContains(t, string(res.Body), "x5x5")
		})
	}
	o := b.order(t)
	for path, status := range map[string]int{
		"/api/v1/orders/1": 404, "/api/v1/orders/" + uuid.NewString(): 404, "/api/v1/orders/'%20OR%201=1": 404,
		"/api/v1/orders?limit=0": 422, "/api/v1/orders?limit=101": 422, "/api/v1/orders?limit=x": 422,
		"/api/v1/orders?cursor=forged": 422, "/api/v1/orders?cursor=e30.e30": 422,
		location(o.ID) + "?wait=26": 422, location(o.ID) + "?wait=-1": 422, location(o.ID) + "?wait=x": 422, location(o.ID) + "?since=-1": 422,
		location(o.ID) + "?since=99999999999999999999": 422,
	} {
		require.Equal(t, status, servetest.Do(t, b.rt, "GET", path, shopper(t, o.AccountID), nil).Status, path)
	}
	require.Equal(t, 422, servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders?status=lost", staff, nil).Status)
	for _, body := range []string{
		`{}`, `{"carrier": "DHL"}`, `{"carrier": "", "tracking_number": "1"}`, `{"carrier": " ", "tracking_number": "1"}`,
		`{"carrier": "DHL", "tracking_number": "` + long + `"}`, `{"carrier": "D\nHL", "tracking_number": "1"}`, `null`, `[]`,
	} {
		res := servetest.Do(t, b.rt, "POST", "/api/v1/admin/orders/"+o.ID.String()+"/shipment", staff, body)
		require.Equal(t, 422, res.Status, "%s: %s", body, res.Body)
	}
	for _, body := range []string{`{"reason": "` + long + `"}`, `{"reason": 7}`, `{"status": "cancelled"}`, `[]`} {
		require.Equal(t, 422, servetest.Do(t, b.rt, "POST", location(o.ID)+"/cancellation", shopper(t, o.AccountID), body).Status, body)
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM order_keys WHERE answer IS NULL`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM orders WHERE version = 1`))
}

// TestNeighboursAway: nothing can be placed, the answer says so, and the key is free.
func TestNeighboursAway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := map[string]any{
		"address": map[string]string{
			"name": "Ada", "line1": "1 High Street", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB",
		},
		"payment_method": "pm_card_visa", "expected_total": gbp(4397),
	}
	token := shopper(t, uuid.New())
	for range 2 {
		res := servetest.Do(t, b.rt, "POST", "/api/v1/orders", token, body, "Idempotency-Key", "k")
		require.Equal(t, http.StatusServiceUnavailable, res.Status, "%s", res.Body)
		require.Equal(t, "unavailable", res.Slug())
		require.NotEmpty(t, res.Header.Get("Retry-After"))
		require.Zero(t, b.count(t, `SELECT count(*) FROM order_keys`))
	}
}

func TestSuspendedAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now().UTC()
	place := func(account uuid.UUID) string {
		t.Helper()
		res := servetest.Do(t, b.rt, "POST", "/api/v1/orders", shopper(t, account), map[string]any{
			"address":        map[string]any{"name": "Ada", "line1": "1 High St", "city": "London", "postal_code": "N1 9GU", "country": "GB"},
			"payment_method": "pm_card_visa", "expected_total": gbp(100),
		}, "Idempotency-Key", "k")
		if res.Status == http.StatusForbidden {
			require.Zero(t, b.count(t, `SELECT count(*) FROM order_keys WHERE account_id = $1`, account), "nothing is begun")
		}
		return res.Slug()
	}
	suspended := func(account uuid.UUID, at time.Time) outbox.Event {
		return events.AccountSuspended{AccountID: account, Email: "ada@stampede.test", At: at}
	}
	activated := func(account uuid.UUID, at time.Time, first bool) outbox.Event {
		return events.AccountActivated{AccountID: account, Email: "ada@stampede.test", First: first, At: at}
	}
	const goesOn = "unavailable" // carts does not answer here
	later := at.Add(time.Second)
	for name, c := range map[string]struct {
		happens func(account uuid.UUID) []outbox.Event
		want    string
	}{
		"nothing":                    {func(uuid.UUID) []outbox.Event { return nil }, goesOn},
		"activated for the first":    {func(a uuid.UUID) []outbox.Event { return []outbox.Event{activated(a, at, true)} }, goesOn},
		"suspended":                  {func(a uuid.UUID) []outbox.Event { return []outbox.Event{suspended(a, at)} }, "account-suspended"},
		"suspended, activated":       {func(a uuid.UUID) []outbox.Event { return []outbox.Event{suspended(a, at), activated(a, later, false)} }, goesOn},
		"activated before suspended": {func(a uuid.UUID) []outbox.Event { return []outbox.Event{activated(a, later, false), suspended(a, at)} }, goesOn},
		"suspended before activated": {func(a uuid.UUID) []outbox.Event { return []outbox.Event{suspended(a, later), activated(a, at, false)} }, "account-suspended"},
		"suspended before the first": {func(a uuid.UUID) []outbox.Event { return []outbox.Event{suspended(a, later), activated(a, at, true)} }, "account-suspended"},
		"suspended again": {func(a uuid.UUID) []outbox.Event {
			return []outbox.Event{suspended(a, at), activated(a, later, false), suspended(a, later.Add(time.Second))}
		}, "account-suspended"},
	} {
		account := uuid.New()
		for _, e := range c.happens(account) {
			deliverTwice(t, b, e)
		}
		require.Equal(t, c.want, place(account), name)
	}
	// What was ordered before goes on.
	o := b.order(t)
	servetest.Deliver(t, b.rt, suspended(o.AccountID, at))
	require.Equal(t, 200, servetest.Do(t, b.rt, "GET", location(o.ID), shopper(t, o.AccountID), nil).Status)
	servetest.Deliver(t, b.rt, capturedEvent(o))
	got, err := b.store.Get(t.Context(), o.ID)
	require.NoError(t, err)
	require.Equal(t, Confirmed, got.Status)
}

func TestFigures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.at.now = time.Date(2026, 3, 1, 12, 0, 30, 0, time.UTC)
	paid, _ := b.order(t), b.order(t)
	servetest.Deliver(t, b.rt, capturedEvent(paid))
	b.at.Add(time.Minute)
	b.order(t)
	type figures struct {
		By    string
		Spans []struct {
			From    time.Time
			Orders  int
			Revenue money.Money
		}
		Statuses map[string]int
	}
	get := func(query string, status int) (f figures) {
		res := servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders/figures"+query, admin(t), nil)
		require.Equal(t, status, res.Status, "%s", res.Body)
		if status == 200 {
			res.JSON(t, &f)
		}
		return f
	}
	f := get("?by=minute&last=3", 200)
	require.Equal(t, map[string]int{"pending": 2, "confirmed": 1}, f.Statuses)
	require.Len(t, f.Spans, 3)
	require.Equal(t, b.at.now.Truncate(time.Minute), f.Spans[2].From)
	require.Equal(t, []int{0, 2, 1}, []int{f.Spans[0].Orders, f.Spans[1].Orders, f.Spans[2].Orders})
	require.Equal(t, paid.Total, f.Spans[1].Revenue, "what is not paid brings nothing")
	require.True(t, f.Spans[2].Revenue.IsZero())
	f = get("", 200)
	require.Equal(t, "hour", f.By)
	require.Len(t, f.Spans, 24)
	require.Equal(t, 3, f.Spans[23].Orders)
	get("?by=day", 422)
	get("?last=169", 422)
	require.Equal(t, 403, servetest.Do(t, b.rt, "GET", "/api/v1/admin/orders/figures", shopper(t, uuid.New()), nil).Status)
}
