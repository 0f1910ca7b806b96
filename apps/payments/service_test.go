package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

const (
	webhookSecret = "the secret of webhooks"
	oldSecret     = "the secret of before"
)

// bundle is payments with a database of its own and the sandbox as its provider. Workers run only when a test
// says so; the sandbox's webhooks travel over HTTP.
type bundle struct {
	*service
	rt    *serve.Runtime
	db    *pgxpool.Pool
	ahead atomic.Int64 // how far the service's clock is ahead of the real one
	admin string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	rt, db := servetest.NewTest(t, "payments", migrations)
	return start(t, rt, db)
}

// another is one more instance with the same database.
func (b *bundle) another(t *testing.T) *bundle {
	t.Helper()
	rt, _ := servetest.NewTest(t, "payments", nil)
	rt.UseDatabase(b.db)
	return start(t, rt, b.db)
}

func start(t *testing.T, rt *serve.Runtime, db *pgxpool.Pool) *bundle {
	t.Helper()
	// The edge: it has the sidecar's token, a provider has not.
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body json.RawMessage
		_ = json.NewDecoder(r.Body).Decode(&body)
		answer := servetest.Do(t, rt, r.Method, r.URL.Path, "", []byte(body), signatureHeader, r.Header.Get(signatureHeader))
		w.WriteHeader(answer.Status)
		_, _ = w.Write(answer.Body)
	}))
	t.Cleanup(edge.Close)
	s, err := newService(rt, db, servetest.Settings[settings](t, "PAYMENTS_WEBHOOK_SECRET", webhookSecret+","+oldSecret,
		"SANDBOX_WEBHOOK_URL", edge.URL+"/api/v1/payments/webhooks/sandbox", "PAYMENTS_PULL_BEHIND", "1m"))
	require.NoError(t, err)
	b := &bundle{service: s, rt: rt, db: db, admin: servetest.Token(t, uuid.New(), "ops@example.com", "ADMIN")}
	s.now = func() time.Time { return rt.Now().Add(time.Duration(b.ahead.Load())) }
	return b
}

func (b *bundle) advance(d time.Duration) { b.ahead.Add(int64(d)) }

func order(method string) events.Order {
	id := uuid.Must(uuid.NewV7())
	return events.Order{
		OrderID: id, Number: "S-" + strings.ToUpper(id.String()[26:]), Version: 1, Status: "pending", AccountID: uuid.New(), Email: "ada@example.com",
		Total: events.Money{Amount: 2000, Currency: "GBP"}, PaymentMethod: method, PlacedAt: time.Now(),
	}
}

func (b *bundle) place(t *testing.T, o events.Order) {
	servetest.Deliver(t, b.rt, events.OrderPlaced{Order: o})
}
func (b *bundle) cancel(t *testing.T, o events.Order) {
	servetest.Deliver(t, b.rt, events.OrderCancelled{Order: o})
}

// chargeDue does once what the charging worker does, and reports how many charges it did it for.
func (b *bundle) chargeDue(t *testing.T) int {
	t.Helper()
	claimed, err := claimCharges(t.Context(), b.db, 100, b.settings.lease(), b.now())
	require.NoError(t, err)
	var all sync.WaitGroup
	for _, c := range claimed {
		all.Go(func() { b.settle(t.Context(), c) })
	}
	all.Wait()
	return len(claimed)
}

func (b *bundle) refundDue(t *testing.T) int {
	t.Helper()
	claimed, err := claimRefunds(t.Context(), b.db, 100, b.settings.lease(), b.now())
	require.NoError(t, err)
	for _, r := range claimed {
		b.giveBack(t.Context(), r)
	}
	return len(claimed)
}

func (b *bundle) webhooksDue(t *testing.T) int {
	t.Helper()
	claimed, err := b.sandbox.claimWebhooks(t.Context(), 100)
	require.NoError(t, err)
	for _, w := range claimed {
		b.sandbox.send(t.Context(), w)
	}
	return len(claimed)
}

func (b *bundle) charge(t *testing.T, o events.Order) *Charge {
	t.Helper()
	c, err := getCharge(t.Context(), b.db, o.OrderID)
	require.NoError(t, err)
	return c
}

// told lists the topics that were published, in order.
func (b *bundle) told(t *testing.T) []string {
	t.Helper()
	topics := []string{}
	for _, s := range servetest.Outbox(t, b.db) {
		topics = append(topics, s.Topic)
	}
	return topics
}

// books is how much the sandbox has taken and given back for the order, and how often it was asked to take it.
func (b *bundle) books(t *testing.T, o events.Order) (taken, returned int64, calls int) {
	t.Helper()
	require.NoError(t, b.db.QueryRow(t.Context(), `
		SELECT COALESCE(sum(taken) FILTER (WHERE status = 'succeeded'), 0)::bigint, COALESCE(sum(calls), 0)::int,
			(SELECT COALESCE(sum(amount), 0)::bigint FROM sandbox_refunds WHERE charge_key = $1)
		FROM sandbox_charges WHERE key = $1`, o.OrderID.String()).Scan(&taken, &calls, &returned))
	return taken, returned, calls
}

// void has orders give up on some orders, and returns payments' answers by order.
func (b *bundle) void(t *testing.T, ids ...uuid.UUID) map[uuid.UUID]voidAnswer {
	t.Helper()
	answer := servetest.Do(t, b.rt, http.MethodPost, "/internal/charges/void", "", map[string]any{"ids": ids}, "dapr-caller-app-id", "orders")
	require.Equal(t, http.StatusOK, answer.Status, "%s", answer.Body)
	var out struct{ Items []voidAnswer }
	answer.JSON(t, &out)
	require.Len(t, out.Items, len(ids))
	answers := map[uuid.UUID]voidAnswer{}
	for i, item := range out.Items {
		require.Equal(t, ids[i], item.OrderID, "in the order in which they were asked for")
		answers[item.OrderID] = item
	}
	return answers
}

func (b *bundle) voidState(t *testing.T, o events.Order) State {
	t.Helper()
	return b.void(t, o.OrderID)[o.OrderID].Status
}

// refundsOf are the order's, as the database has them.
func (b *bundle) refundsOf(t *testing.T, o events.Order) []Refund {
	t.Helper()
	refunds, err := refundsOf(t.Context(), b.db, o.OrderID)
	require.NoError(t, err)
	return refunds
}

const (
	captured = "payment.captured.v1"
	failed   = "payment.failed.v1"
	refunded = "payment.refunded.v1"
)

func TestCapture(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodVisa)
	b.place(t, o)
	require.Equal(t, Requested, b.charge(t, o).State, "the event only records the charge")
	require.Empty(t, b.told(t))

	require.Equal(t, 1, b.chargeDue(t))
	require.Equal(t, 0, b.chargeDue(t), "nothing is due any more")
	c := b.charge(t, o)
	require.Equal(t, Captured, c.State)
	require.Equal(t, o.Number, c.Number)
	sent := servetest.Outbox(t, b.db)
	require.Len(t, sent, 1)
	var e events.PaymentCaptured
	require.NoError(t, json.Unmarshal(sent[0].Data, &e))
	require.Equal(t, o.OrderID, e.OrderID)
	require.Equal(t, o.Total, e.Amount)

	require.Equal(t, 1, b.webhooksDue(t), "the sandbox tells it too")
	require.Equal(t, []string{captured}, b.told(t), "which changes nothing")
	require.Equal(t, 0, b.webhooksDue(t))
	require.Equal(t, Captured, b.voidState(t, o))
}

func TestDecline(t *testing.T) {
	t.Parallel()
	for method, reason := range map[string]string{
		methodDeclined: "card-declined", methodInsufficient: "insufficient-funds", "pm_nobody_knows": "method-unknown",
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			o := order(method)
			b.place(t, o)
			b.chargeDue(t)
			require.Equal(t, 1, b.webhooksDue(t))
			c := b.charge(t, o)
			require.Equal(t, Failed, c.State)
			require.Equal(t, reason, c.Reason)
			require.Equal(t, []string{failed}, b.told(t))
			require.JSONEq(t, fmt.Sprintf(`{"order_id": %q, "amount": {"amount_minor": 2000, "currency": "GBP"}, "reason": %q}`, o.OrderID, reason),
				string(servetest.Outbox(t, b.db)[0].Data))
			require.Equal(t, Failed, b.voidState(t, o))
			b.cancel(t, o)
			require.Equal(t, 0, b.refundDue(t), "nothing was taken")
		})
	}
}

func TestPlacedTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodVisa)
	id := servetest.Deliver(t, b.rt, events.OrderPlaced{Order: o})
	require.NoError(t, servetest.DeliverAs(t, b.rt, id, events.OrderPlaced{Order: o}))
	b.place(t, o) // orders sends it again under a new id while the order is pending
	require.Equal(t, 1, b.chargeDue(t))
	require.Equal(t, []string{captured}, b.told(t))

	b.place(t, o)
	require.Equal(t, 0, b.chargeDue(t))
	require.Equal(t, []string{captured, captured}, b.told(t), "orders still waits: the first answer was lost, so it is said again")
	require.NoError(t, servetest.DeliverAs(t, b.rt, id, events.OrderPlaced{Order: o}))
	require.Len(t, b.told(t), 2, "the same event again is silence")
	taken, _, calls := b.books(t, o)
	require.EqualValues(t, 2000, taken)
	require.Equal(t, 1, calls)
}

// What the events of one order do in each order of arrival, with the worker running in between or not.
func TestArrival(t *testing.T) {
	t.Parallel()
	type step func(t *testing.T, b *bundle, o events.Order)
	var (
		place  step = func(t *testing.T, b *bundle, o events.Order) { b.place(t, o) }
		cancel step = func(t *testing.T, b *bundle, o events.Order) { b.cancel(t, o) }
		void   step = func(t *testing.T, b *bundle, o events.Order) { b.voidState(t, o) }
		work   step = func(t *testing.T, b *bundle, o events.Order) { b.chargeDue(t); b.refundDue(t); b.webhooksDue(t) }
	)
	for name, tt := range map[string]struct {
		steps []step
		state State
		taken int64 // and not given back
		told  []string
		calls int
	}{
		"place, cancel":             {[]step{place, cancel, work}, Voided, 0, []string{}, 0},
		"cancel, place":             {[]step{cancel, place, work}, Voided, 0, []string{}, 0},
		"cancel, work, place":       {[]step{cancel, work, place, work}, Voided, 0, []string{}, 0},
		"cancel, cancel, place":     {[]step{cancel, cancel, place, place, work}, Voided, 0, []string{}, 0},
		"place, work, cancel":       {[]step{place, work, cancel, work}, Captured, 0, []string{captured, refunded}, 1},
		"place, work, cancel twice": {[]step{place, work, cancel, cancel, work, cancel, work}, Captured, 0, []string{captured, refunded}, 1},
		"place, void":               {[]step{place, void, work}, Voided, 0, []string{}, 0},
		"void, place":               {[]step{void, place, work}, Voided, 0, []string{}, 0},
		"void, place, cancel":       {[]step{void, place, cancel, work}, Voided, 0, []string{}, 0},
		"void, cancel, place":       {[]step{void, cancel, place, work}, Voided, 0, []string{}, 0},
		"cancel, void, place":       {[]step{cancel, void, place, work}, Voided, 0, []string{}, 0},
		"place, work, void":         {[]step{place, work, void, work}, Captured, 2000, []string{captured}, 1},
		"place, work, void, cancel": {[]step{place, work, void, cancel, work}, Captured, 0, []string{captured, refunded}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			o := order(methodVisa)
			for _, s := range tt.steps {
				s(t, b, o)
			}
			c := b.charge(t, o)
			require.Equal(t, tt.state, c.State)
			taken, returned, calls := b.books(t, o)
			require.Equal(t, tt.taken, taken-returned)
			require.Equal(t, tt.calls, calls)
			require.Equal(t, tt.told, b.told(t))
			require.Equal(t, o.Number, c.Number, "a tombstone learns whose it is")
		})
	}
}

func TestCancelWhileCharging(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodVisa)
	b.place(t, o)
	claimed, err := claimCharges(t.Context(), b.db, 1, b.settings.lease(), b.now())
	require.NoError(t, err)
	require.Len(t, claimed, 1)

	b.cancel(t, o) // while the provider is being called
	require.Equal(t, Attempted, b.charge(t, o).State)
	require.Equal(t, Unknown, b.voidState(t, o))
	b.settle(t.Context(), claimed[0])
	require.Equal(t, []string{captured}, b.told(t))
	require.Equal(t, 1, b.refundDue(t), "a capture that lands after the cancel goes back at once")
	require.Equal(t, []string{captured, refunded}, b.told(t))
	require.Equal(t, 2, b.webhooksDue(t), "captured and refunded, told by the sandbox as well")
	require.Equal(t, []string{captured, refunded}, b.told(t))
	taken, returned, _ := b.books(t, o)
	require.Equal(t, taken, returned)
	require.Equal(t, Captured, b.voidState(t, o))
}

func TestProviderOutOfOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodError)
	b.place(t, o)
	b.chargeDue(t)
	require.Equal(t, Requested, b.charge(t, o).State, "it said that it did nothing")
	require.Equal(t, 0, b.chargeDue(t), "it is given time")
	b.advance(Backoff(1))
	require.Equal(t, 1, b.chargeDue(t))
	require.Equal(t, 0, b.chargeDue(t))
	b.advance(Backoff(2))
	require.Equal(t, 1, b.chargeDue(t))
	require.Equal(t, Captured, b.charge(t, o).State)
	require.Equal(t, []string{captured}, b.told(t))

	again := order(methodError)
	b.place(t, again)
	b.chargeDue(t)
	b.cancel(t, again)
	b.advance(time.Minute)
	b.chargeDue(t)
	require.Equal(t, Voided, b.charge(t, again).State)
	taken, _, _ := b.books(t, again)
	require.Zero(t, taken)
}

func TestProviderSlow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodSlow)
	b.place(t, o)
	begin := time.Now()
	require.Equal(t, 1, b.chargeDue(t))
	require.GreaterOrEqual(t, time.Since(begin), slowness)
	require.Equal(t, []string{captured}, b.told(t))

	// With less patience than the provider needs, it is asked until it knows.
	b.settings.Timeout = 50 * time.Millisecond
	o = order(methodSlow)
	b.place(t, o)
	b.chargeDue(t)
	require.Equal(t, Unknown, b.charge(t, o).State)
	require.Equal(t, Unknown, b.voidState(t, o))
	b.advance(Backoff(1))
	b.chargeDue(t)
	require.Equal(t, Unknown, b.charge(t, o).State, "it is still at it")
	require.Eventually(t, func() bool {
		b.advance(time.Minute)
		b.chargeDue(t)
		return b.charge(t, o).State == Captured
	}, 10*time.Second, 100*time.Millisecond)
	require.Equal(t, []string{captured, captured}, b.told(t))
	_, _, calls := b.books(t, o)
	require.Equal(t, 1, calls)
}

func TestProviderSilent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.settings.Timeout = 50 * time.Millisecond
	o := order(methodTimeout)
	b.place(t, o)
	b.chargeDue(t)
	require.Equal(t, Unknown, b.charge(t, o).State)
	require.Equal(t, 0, b.webhooksDue(t), "it says nothing on its own either")
	require.Equal(t, Unknown, b.voidState(t, o))
	b.advance(Backoff(1))
	b.chargeDue(t)
	require.Equal(t, Captured, b.charge(t, o).State)
	require.Equal(t, []string{captured}, b.told(t))
	require.Equal(t, Captured, b.voidState(t, o))
	taken, _, calls := b.books(t, o)
	require.EqualValues(t, 2000, taken)
	require.Equal(t, 1, calls, "it was asked, not charged again")

	o = order(methodTimeout)
	b.place(t, o)
	b.chargeDue(t)
	b.cancel(t, o)
	b.advance(Backoff(1))
	b.chargeDue(t)
	require.Equal(t, 1, b.refundDue(t))
	taken, returned, _ := b.books(t, o)
	require.Equal(t, taken, returned)
}

// A crash leaves the charge attempted with nobody at it.
func TestCrash(t *testing.T) {
	t.Parallel()
	die := func(t *testing.T, b *bundle) Charge {
		claimed, err := claimCharges(t.Context(), b.db, 1, b.settings.lease(), b.now())
		require.NoError(t, err)
		require.Len(t, claimed, 1)
		return claimed[0]
	}
	t.Run("after the provider took the money", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := order(methodVisa)
		b.place(t, o)
		c := die(t, b)
		_, err := b.sandbox.Charge(t.Context(), ChargeRequest{Key: c.OrderID, Amount: c.Total(), Method: c.Method})
		require.NoError(t, err)
		require.Equal(t, 0, b.chargeDue(t), "the lease holds")
		b.advance(b.settings.lease() + time.Second)
		require.Equal(t, 1, b.chargeDue(t))
		require.Equal(t, Captured, b.charge(t, o).State)
		require.Equal(t, []string{captured}, b.told(t))
		_, _, calls := b.books(t, o)
		require.Equal(t, 1, calls)
	})
	t.Run("after the provider took the money, told by its webhook", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := order(methodVisa)
		b.place(t, o)
		c := die(t, b)
		_, err := b.sandbox.Charge(t.Context(), ChargeRequest{Key: c.OrderID, Amount: c.Total(), Method: c.Method})
		require.NoError(t, err)
		require.Equal(t, 1, b.webhooksDue(t))
		require.Equal(t, Captured, b.charge(t, o).State)
		b.advance(time.Hour)
		require.Equal(t, 0, b.chargeDue(t))
		require.Equal(t, []string{captured}, b.told(t))
	})
	t.Run("before the provider was called", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := order(methodVisa)
		b.place(t, o)
		die(t, b)
		b.advance(b.settings.lease() + time.Second)
		require.Equal(t, 1, b.chargeDue(t), "asked")
		require.Equal(t, Requested, b.charge(t, o).State, "nothing was charged, says the provider")
		b.advance(time.Minute)
		require.Equal(t, 1, b.chargeDue(t))
		require.Equal(t, []string{captured}, b.told(t))
	})
	t.Run("before the provider was called, and orders gives up", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := order(methodVisa)
		b.place(t, o)
		late := die(t, b)
		require.Equal(t, Unknown, b.voidState(t, o))
		b.advance(b.settings.lease() + time.Second)
		b.chargeDue(t)
		require.Equal(t, Voided, b.voidState(t, o))
		// The call reaches the provider after all, as if it had hung in the network.
		b.settle(t.Context(), late)
		require.Equal(t, Voided, b.voidState(t, o), "what was said stays")
		require.Equal(t, 1, b.refundDue(t))
		require.Equal(t, []string{refunded}, b.told(t))
		taken, returned, _ := b.books(t, o)
		require.EqualValues(t, 2000, taken)
		require.Equal(t, taken, returned)
	})
	t.Run("while refunding", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := order(methodVisa)
		b.place(t, o)
		b.chargeDue(t)
		b.cancel(t, o)
		claimed, err := claimRefunds(t.Context(), b.db, 1, b.settings.lease(), b.now())
		require.NoError(t, err)
		require.Len(t, claimed, 1)
		_, err = b.sandbox.Refund(t.Context(), RefundRequest{Key: claimed[0].Key, Charge: o.OrderID, Amount: money.New(2000, "GBP")})
		require.NoError(t, err)
		b.advance(b.settings.lease() + time.Second)
		require.Equal(t, 1, b.refundDue(t))
		require.Equal(t, []string{captured, refunded}, b.told(t))
		_, returned, _ := b.books(t, o)
		require.EqualValues(t, 2000, returned, "once")
	})
}

// Workers of several instances, the webhooks and a cancel for every third order, all at once.
func TestRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 30
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	instances := []*bundle{b, b.another(t), b.another(t)}
	for _, one := range instances {
		running.Go(func() { _ = one.charging.Run(ctx) })
		running.Go(func() { _ = one.refunds(ctx) })
	}
	running.Go(func() {
		for ctx.Err() == nil {
			claimed, err := b.sandbox.claimWebhooks(context.WithoutCancel(ctx), 10)
			if err != nil {
				t.Error(err)
				return
			}
			var all sync.WaitGroup
			for _, w := range claimed {
				all.Go(func() { b.sandbox.send(context.WithoutCancel(ctx), w) })
				all.Go(func() { b.sandbox.send(context.WithoutCancel(ctx), w) }) // and each twice
			}
			all.Wait()
		}
	})
	orders := make([]events.Order, n)
	var all sync.WaitGroup
	for i := range orders {
		orders[i] = order(methodVisa)
		all.Go(func() {
			one, other := instances[i%3].rt, instances[i/3%3].rt
			place := func() { _ = servetest.DeliverAs(t, one, uuid.NewString(), events.OrderPlaced{Order: orders[i]}) }
			cancel := func() { _ = servetest.DeliverAs(t, other, uuid.NewString(), events.OrderCancelled{Order: orders[i]}) }
			if i%3 == 0 {
				all.Go(cancel)
			}
			place()
		})
	}
	all.Wait()
	require.Eventually(t, func() bool {
		var open int
		if err := b.db.QueryRow(t.Context(), `
			SELECT (SELECT count(*) FROM charges WHERE state IN ('requested', 'attempted', 'unknown'))
				+ (SELECT count(*) FROM refunds WHERE state = 'requested')
				+ (SELECT count(*) FROM sandbox_webhooks WHERE sent_at IS NULL)`).Scan(&open); err != nil {
			return false
		}
		return open == 0
	}, 30*time.Second, 50*time.Millisecond)
	stop()
	running.Wait()

	told := map[string]map[uuid.UUID]int{captured: {}, refunded: {}, failed: {}}
	for _, s := range servetest.Outbox(t, b.db) {
		var e struct {
			OrderID uuid.UUID `json:"order_id"`
		}
		require.NoError(t, json.Unmarshal(s.Data, &e))
		told[s.Topic][e.OrderID]++
	}
	require.Empty(t, told[failed])
	for i, o := range orders {
		c := b.charge(t, o)
		taken, returned, calls := b.books(t, o)
		if i%3 != 0 {
			require.Equal(t, Captured, c.State)
			require.Equal(t, 1, told[captured][o.OrderID])
			require.EqualValues(t, 2000, taken-returned)
		} else {
			require.Equal(t, taken, returned, "a cancelled order costs nothing, in whatever order it came")
			require.Equal(t, told[captured][o.OrderID], told[refunded][o.OrderID])
			require.LessOrEqual(t, told[captured][o.OrderID], 1)
		}
		require.LessOrEqual(t, calls, 1)
	}
}

func TestRefunds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodVisa)
	ask := func(key string, body any) servetest.Response {
		return servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/payments/"+o.OrderID.String()+"/refunds", b.admin, body, "Idempotency-Key", key)
	}
	some := func(minor int64) map[string]any {
		return map[string]any{"amount": map[string]any{"amount_minor": minor, "currency": "GBP"}, "reason": "one was broken"}
	}
	refuse := func(answer servetest.Response, status int, slug string) {
		t.Helper()
		require.Equal(t, status, answer.Status, "%s", answer.Body)
		require.Equal(t, slug, answer.Slug())
	}
	refuse(ask("k0", some(100)), 404, "payment-not-found")
	b.place(t, o)
	refuse(ask("k0", some(100)), 409, "payment-not-captured")
	b.chargeDue(t)
	b.webhooksDue(t)

	refuse(ask("", some(100)), 400, "idempotency-key-required")
	refuse(ask("k1", some(2001)), 409, "refund-too-large")
	refuse(ask("k1", some(0)), 422, "invalid")
	refuse(ask("k1", some(-1)), 422, "invalid")
	refuse(ask("k1", map[string]any{"amount": map[string]any{"amount_minor": 1, "currency": "EUR"}, "reason": "x"}), 422, "invalid")
	refuse(ask("k1", map[string]any{"reason": ""}), 422, "invalid")
	refuse(ask("k1", map[string]any{"reason": "  "}), 422, "invalid")
	refuse(ask("k1", map[string]any{"reason": "two\nlines"}), 422, "invalid")
	refuse(ask("k1", map[string]any{"reason": "x", "everything": true}), 422, "invalid")
	refuse(ask("k1", map[string]any{"amount": 5, "reason": "x"}), 422, "invalid")
	refuse(ask("k1", "{"), 400, "malformed")

	first := ask("k1", some(500))
	require.Equal(t, 201, first.Status, "%s", first.Body)
	again := ask("k1", some(500))
	require.Equal(t, 201, again.Status)
	require.JSONEq(t, string(first.Body), string(again.Body))
	refuse(ask("k1", some(600)), 422, "idempotency-key-reused")
	require.Equal(t, 201, ask("k2", some(700)).Status)
	left := ask("k3", some(801))
	refuse(left, 409, "refund-too-large")
	require.Contains(t, string(left.Body), `"left":{"amount_minor":800,"currency":"GBP"}`)

	require.Equal(t, 2, b.refundDue(t))
	require.Equal(t, []string{captured, refunded, refunded}, b.told(t))
	b.webhooksDue(t)
	require.Len(t, b.told(t), 3)

	// An order that is cancelled now gets the rest back, and no more.
	b.cancel(t, o)
	refuse(ask("k4", map[string]any{"reason": "x"}), 409, "refund-too-large")
	require.Equal(t, 1, b.refundDue(t))
	sent := servetest.Outbox(t, b.db)
	var amounts, totals []int64
	for _, s := range sent[1:] {
		var e events.PaymentRefunded
		require.NoError(t, json.Unmarshal(s.Data, &e))
		require.Equal(t, o.Number, e.Number)
		require.Equal(t, o.Email, e.Email)
		require.Equal(t, o.Total, e.Captured)
		amounts, totals = append(amounts, e.Amount.Amount), append(totals, e.Refunded.Amount)
	}
	require.ElementsMatch(t, []int64{500, 700, 800}, amounts)
	require.EqualValues(t, 2000, totals[2])

	var detail paymentDetail
	answer := servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments/"+o.OrderID.String(), b.admin, nil)
	answer.JSON(t, &detail)
	require.Equal(t, money.New(2000, "GBP"), detail.Refunded)
	require.Equal(t, money.Zero("GBP"), detail.Left)
	require.Len(t, detail.Refunds, 3)
	require.Len(t, detail.Webhooks, 3)
	require.NotNil(t, detail.CancelledAt)
}

func TestRefundsRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order(methodVisa)
	b.place(t, o)
	b.chargeDue(t)
	var made atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			answer := servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/payments/"+o.OrderID.String()+"/refunds", b.admin,
				map[string]any{"amount": map[string]any{"amount_minor": 600, "currency": "GBP"}, "reason": "x"}, "Idempotency-Key", fmt.Sprint("k", i))
			if answer.Status == http.StatusCreated {
				made.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 3, made.Load(), "three times 600 fit into 2000")
}

func TestListByRefund(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ask := func(o events.Order, key string, minor int64) {
		t.Helper()
		answer := servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/payments/"+o.OrderID.String()+"/refunds", b.admin,
			map[string]any{"amount": map[string]any{"amount_minor": minor, "currency": "GBP"}, "reason": "x"}, "Idempotency-Key", key)
		require.Equal(t, 201, answer.Status, "%s", answer.Body)
	}
	done, refused, both, none := order(methodVisa), order(methodVisa), order(methodVisa), order(methodVisa)
	for _, o := range []events.Order{done, refused, both, none} {
		b.place(t, o)
	}
	b.chargeDue(t)
	_, err := b.sandbox.refundByHand(t.Context(), refused.OrderID, money.New(1500, "GBP"))
	require.NoError(t, err)
	ask(done, "k1", 300)
	ask(done, "k2", 400)
	ask(refused, "k3", 2000)
	ask(both, "k4", 500)
	require.Equal(t, 4, b.refundDue(t))
	ask(both, "k5", 500)

	list := func(query string) rest.List[Payment] {
		t.Helper()
		answer := servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments?"+query, b.admin, nil)
		require.Equal(t, 200, answer.Status, "%s", answer.Body)
		var p rest.List[Payment]
		answer.JSON(t, &p)
		return p
	}
	for query, want := range map[string][]events.Order{
		"refund=done":                       {both, refused, done}, // a payment with two such refunds is there once
		"refund=failed":                     {refused},
		"refund=requested":                  {both},
		"refund=done&state=captured":        {both, refused, done},
		"refund=done&state=failed":          nil,
		"refund=done&q=" + done.Number:      {done},
		"refund=requested&q=" + done.Number: nil,
		"refund=done&sort=oldest":           {done, refused, both},
		"refund=":                           {none, both, refused, done},
	} {
		var ids, wanted []uuid.UUID
		for _, p := range list(query).Items {
			ids = append(ids, p.OrderID)
		}
		for _, o := range want {
			wanted = append(wanted, o.OrderID)
		}
		require.Equal(t, wanted, ids, query)
	}
	first := list("refund=done&limit=1")
	require.NotNil(t, first.NextCursor)
	second := list("refund=done&limit=2&cursor=" + *first.NextCursor)
	require.Equal(t, done.OrderID, second.Items[1].OrderID)
	require.Nil(t, second.NextCursor)
	require.Equal(t, 422, servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments?refund=captured", b.admin, nil).Status)
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	post := func(provider, signature, body string) servetest.Response {
		return servetest.Do(t, b.rt, http.MethodPost, "/api/v1/payments/webhooks/"+provider, "", body, signatureHeader, signature)
	}
	event := func(id, kind string, order uuid.UUID, status Outcome) string {
		e := sandboxEvent{ID: id, Type: kind}
		e.Data.Object = sandboxObject{ID: "pi_9", Status: status, Amount: 2000, Currency: "GBP", Reason: "card-declined", Metadata: map[string]string{"order_id": order.String()}}
		data, err := json.Marshal(e)
		require.NoError(t, err)
		return string(data)
	}
	signed := func(body string) string { return sign([]byte(webhookSecret), []byte(body), time.Now()) }
	o := order(methodVisa)
	b.place(t, o)
	body := event("evt_1", "payment_intent.succeeded", o.OrderID, Succeeded)

	for name, tt := range map[string]struct {
		provider, signature, body string
		status                    int
	}{
		"unsigned":              {"sandbox", "", body, 400},
		"forged":                {"sandbox", sign([]byte("guess"), []byte(body), time.Now()), body, 400},
		"of another body":       {"sandbox", signed(event("evt_2", "payment_intent.succeeded", o.OrderID, Succeeded)), body, 400},
		"old":                   {"sandbox", sign([]byte(webhookSecret), []byte(body), time.Now().Add(-6*time.Minute)), body, 400},
		"of the future":         {"sandbox", sign([]byte(webhookSecret), []byte(body), time.Now().Add(6*time.Minute)), body, 400},
		"signed, no event":      {"sandbox", signed("hello"), "hello", 400},
		"signed, no id":         {"sandbox", signed("{}"), "{}", 400},
		"empty":                 {"sandbox", signed(""), "", 400},
		"of an unknown party":   {"paypal", signed(body), body, 404},
		"of a party not in use": {"stripe", signed(body), body, 404},
	} {
		answer := post(tt.provider, tt.signature, tt.body)
		require.Equal(t, tt.status, answer.Status, "%s: %s", name, answer.Body)
		require.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"), name)
	}
	require.Equal(t, Requested, b.charge(t, o).State, "nothing changed")
	huge := make([]byte, 2<<20)
	require.Equal(t, 413, post("sandbox", signed(string(huge)), string(huge)).Status)

	require.Equal(t, 200, post("sandbox", signed(body), body).Status)
	require.Equal(t, Captured, b.charge(t, o).State, "it came before the worker")
	require.Equal(t, []string{captured}, b.told(t))
	require.Equal(t, 0, b.chargeDue(t))
	require.Equal(t, 200, post("sandbox", signed(body), body).Status)
	before := sign([]byte(oldSecret), []byte(body), time.Now())
	require.Equal(t, 200, post("sandbox", before, body).Status, "another took its place just now")
	require.Equal(t, []string{captured}, b.told(t))

	// Other events: noted, without effect.
	for _, body := range []string{
		event("evt_3", "customer.created", o.OrderID, ""),
		event("evt_4", "payment_intent.succeeded", uuid.New(), Succeeded),
		event("evt_5", "payment_intent.payment_failed", o.OrderID, Declined),
		`{"id": "evt_6", "type": "payment_intent.succeeded", "data": {"object": {"status": "succeeded", "metadata": {"order_id": "'; drop table charges"}}}}`,
		`{"id": "evt_7", "type": "refund.updated", "data": {"object": {"status": "succeeded", "metadata": {"refund_id": "` + uuid.NewString() + `"}}}}`,
	} {
		answer := post("sandbox", signed(body), body)
		require.Equal(t, 200, answer.Status, "%s", answer.Body)
	}
	require.Equal(t, []string{captured}, b.told(t))
	require.Equal(t, Captured, b.charge(t, o).State)
}

func TestWebhookRetry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := b.sandbox.url
	b.sandbox.url += "/nowhere"
	o := order(methodVisa)
	b.place(t, o)
	b.chargeDue(t)
	require.Equal(t, 1, b.webhooksDue(t))
	require.Equal(t, 0, b.webhooksDue(t), "it waits before the next try")
	b.sandbox.url = good
	require.Eventually(t, func() bool { return b.webhooksDue(t) == 1 }, 10*time.Second, 100*time.Millisecond)
	var sent int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM sandbox_webhooks WHERE sent_at IS NOT NULL AND tries = 2`).Scan(&sent))
	require.Equal(t, 1, sent)
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shopper := servetest.Token(t, uuid.New(), "ada@example.com", "USER")
	for _, r := range []struct{ method, path string }{
		{http.MethodGet, "/api/v1/admin/payments"},
		{http.MethodGet, "/api/v1/admin/payments/" + uuid.NewString()},
		{http.MethodPost, "/api/v1/admin/payments/" + uuid.NewString() + "/refunds"},
	} {
		require.Equal(t, 401, servetest.Do(t, b.rt, r.method, r.path, "", nil).Status)
		require.Equal(t, 403, servetest.Do(t, b.rt, r.method, r.path, shopper, nil).Status)
	}
	for path, method := range map[string]string{"/internal/charges/void": http.MethodPost, "/internal/refunds/made": http.MethodGet} {
		require.Equal(t, 403, servetest.Do(t, b.rt, method, path, b.admin, nil).Status)
		require.Equal(t, 403, servetest.Do(t, b.rt, method, path, "", nil, "dapr-caller-app-id", "store").Status)
	}

	var orders []events.Order
	for i := range 5 {
		o := order(methodVisa)
		o.Email = fmt.Sprintf("ada@%d.example.com", i%2)
		o.Total.Amount += int64(i * 7 % 5)
		b.place(t, o)
		orders = append(orders, o)
	}
	b.chargeDue(t)
	declined := order(methodDeclined)
	b.place(t, declined)
	b.chargeDue(t)

	type page struct {
		Items      []Payment `json:"items"`
		NextCursor *string   `json:"next_cursor"`
	}
	list := func(query string) page {
		answer := servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments"+query, b.admin, nil)
		require.Equal(t, 200, answer.Status, "%s", answer.Body)
		var p page
		answer.JSON(t, &p)
		return p
	}
	all := list("")
	require.Len(t, all.Items, 6)
	require.Nil(t, all.NextCursor)
	require.Equal(t, declined.OrderID, all.Items[0].OrderID, "newest first")
	require.Len(t, list("?state=failed").Items, 1)
	first := list("?state=captured&limit=3")
	require.Len(t, first.Items, 3)
	second := list("?state=captured&limit=3&cursor=" + *first.NextCursor)
	require.Len(t, second.Items, 2)
	require.Equal(t, orders[0].OrderID, second.Items[1].OrderID)
	require.Nil(t, second.NextCursor)

	servetest.Sorts(t, b.rt, b.admin, "/api/v1/admin/payments", map[string]string{
		"newest": "-created_at", "oldest": "created_at", "amount": "amount.amount_minor", "-amount": "-amount.amount_minor", "email": "email", "-email": "-email",
	})

	ref := all.Items[1].ProviderRef
	require.NotEmpty(t, ref)
	for query, want := range map[string]int{
		"q=" + orders[0].Number: 1, "q=+" + strings.ToLower(orders[1].Number) + "+": 1, "q=" + ref: 1, "q=" + ref[:len(ref)-1]: 0,
		"q=ADA@": 6, "q=ada@&state=failed": 1, "q=_": 0, "q=%25": 0, "q=%27+OR+1=1+--": 0,
	} {
		require.Len(t, list("?"+query).Items, want, query)
	}
	require.Equal(t, 422, servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments?q="+strings.Repeat("a", 255), b.admin, nil).Status)
	var figures struct {
		States        map[string]int
		FailedRefunds int `json:"failed_refunds"`
	}
	servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments/figures", b.admin, nil).JSON(t, &figures)
	listed := map[string]int{}
	var whole struct{ Items []struct{ State string } }
	servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments?limit=100", b.admin, nil).JSON(t, &whole)
	for _, p := range whole.Items {
		listed[p.State]++
	}
	require.Equal(t, listed, figures.States, "as the list has them")
	require.Zero(t, figures.FailedRefunds)

	for query, status := range map[string]int{"?state=lost": 422, "?limit=0": 422, "?limit=101": 422, "?sort=x": 422, "?cursor=forged": 422, "?cursor=" + *first.NextCursor + "x": 422, "?state=%00": 400} {
		require.Equal(t, status, servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments"+query, b.admin, nil).Status, query)
	}
	require.Equal(t, 422, servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments/nonsense", b.admin, nil).Status)
	require.Equal(t, 404, servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/payments/"+uuid.NewString(), b.admin, nil).Status)
}
