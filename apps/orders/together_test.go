package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/sub"
)

// fresh is a claim under a key that nobody has used.
func (b *bundle) fresh(account, checkout uuid.UUID) claim {
	return claim{
		attempt: attempt{Account: account, Key: uuid.NewString(), BodyHMAC: []byte("body"), OrderID: uuid.Must(uuid.NewV7()), Holder: 1},
		basket:  basket{CheckoutID: checkout, Since: checkout, Lines: tee},
		now:     b.now(),
	}
}

func newCheckout() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// TestClaimsTogether: of the claims of a batch each gets what it would have got alone.
func TestClaimsTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := b.fresh(uuid.New(), newCheckout())
	known := b.fresh(uuid.New(), newCheckout())
	b.begin(t, known.Account, known.Key, "body")
	busy := b.fresh(uuid.New(), newCheckout())
	other := b.begin(t, busy.Account, "another key", "body")
	_, _, err := b.store.Claim(t.Context(), other, busy.basket, b.now())
	require.NoError(t, err)
	ordered := b.order(t)
	again := b.fresh(ordered.AccountID, ordered.CheckoutID)
	refused := b.order(t)
	servetest.Deliver(t, b.rt, failedEvent(refused))
	instead := b.fresh(refused.AccountID, refused.CheckoutID)

	answers, err := b.store.claimNew(t.Context(), []claim{known, good, busy, again, instead})
	require.NoError(t, err)
	require.ErrorIs(t, answers[0].Err, errTaken)
	require.NoError(t, answers[1].Err)
	require.Nil(t, answers[1].Value.InsteadOf)
	require.ErrorIs(t, answers[2].Err, errTaken)
	require.Equal(t, bought{order: ordered.ID, whole: true, pending: true}, answers[3].Err)
	require.NoError(t, answers[4].Err)
	require.Equal(t, &refused.ID, answers[4].Value.InsteadOf)
	written := func(c claim) int {
		return b.count(t, `SELECT count(*) FROM order_keys WHERE order_id = $1 AND attempt = 1 AND checkout_id = $2 AND lines IS NOT NULL`,
			c.OrderID, c.CheckoutID)
	}
	require.Equal(t, []int{0, 1, 0, 1, 1}, []int{written(known), written(good), written(busy), written(again), written(instead)})

	// One that holds its key and got nothing gives it up.
	_, err = b.refuse(t.Context(), again.attempt, answers[3].Err)
	require.Error(t, err)
	require.Zero(t, written(again))
}

// TestClaimTwice: a claim that was written and whose answer was lost, so that it is made again, is still its attempt's, until
// another takes that over.
func TestClaimTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.fresh(uuid.New(), newCheckout())
	a := c.attempt
	_, err := b.store.ClaimNew(t.Context(), &a, c.basket, b.now())
	require.NoError(t, err)
	_, err = b.store.ClaimNew(t.Context(), &a, c.basket, b.now())
	require.ErrorIs(t, err, errTaken)
	body := idempotency.Hashes{c.BodyHMAC}
	a, answer, abandoned, err := b.store.Begin(t.Context(), c.Account, c.Key, c.OrderID, body, b.now())
	require.NoError(t, err)
	require.Nil(t, answer)
	require.Empty(t, abandoned)
	require.Equal(t, attempt{Account: c.Account, Key: c.Key, OrderID: c.OrderID, Holder: 1}, a)
	claimed, abandoned, err := b.store.Claim(t.Context(), a, c.basket, b.now())
	require.NoError(t, err)
	require.Empty(t, abandoned)
	require.Equal(t, a, claimed)

	_, err = b.db.Exec(t.Context(), `UPDATE order_keys SET attempt = 2`)
	require.NoError(t, err)
	_, _, _, err = b.store.Begin(t.Context(), c.Account, c.Key, c.OrderID, body, b.now())
	require.ErrorIs(t, err, idempotency.ErrInProgress)
}

// TestKeysLocked: a key that somebody else keeps locked is waited for briefly; who claims or places with it is done meanwhile.
func TestKeysLocked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	locked, fine := b.fresh(uuid.New(), newCheckout()), b.fresh(uuid.New(), newCheckout())
	tx, err := b.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), `
		INSERT INTO order_keys (account_id, key, body_hmac, order_id, lease_until, expires_at) VALUES ($1, $2, '', $3, now(), now())`,
		locked.Account, locked.Key, uuid.New())
	require.NoError(t, err)
	claims := []claim{fine, locked}
	errs := race(2, func(i int) error {
		_, err := b.store.ClaimNew(t.Context(), &claims[i].attempt, claims[i].basket, b.now())
		return err
	})
	require.NoError(t, errs[0])
	require.True(t, pg.Locked(errs[1]), "%v", errs[1])
	require.NoError(t, tx.Rollback(t.Context()))

	var placings []placing
	for range 2 {
		p := placement()
		c := b.fresh(p.AccountID, p.CheckoutID)
		_, err := b.store.ClaimNew(t.Context(), &c.attempt, c.basket, b.now())
		require.NoError(t, err)
		o, event := Place(withID(p, c.OrderID), b.now())
		placings = append(placings, placing{c.attempt, "", o, event, json.RawMessage("{}")})
	}
	tx, err = b.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), `SELECT FROM order_keys WHERE order_id = $1 FOR UPDATE`, placings[1].OrderID)
	require.NoError(t, err)
	errs = race(2, func(i int) error {
		p := placings[i]
		return b.store.Place(t.Context(), p.attempt, p.order, p.event, p.answer, b.now())
	})
	require.NoError(t, errs[0])
	require.True(t, pg.Locked(errs[1]), "%v", errs[1])
}

const (
	trace1 = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	trace2 = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01"
)

// TestTracesOfBatch: of events that are handled together each goes on with its own trace.
func TestTracesOfBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var batch []sub.Delivered[events.PaymentCaptured]
	for _, traceparent := range []string{trace1, trace2} {
		o := b.order(t)
		batch = append(batch, sub.Delivered[events.PaymentCaptured]{
			Event: events.PaymentCaptured{OrderID: o.ID, Amount: events.Money(o.Total)}, Trace: traceparent,
		})
	}
	require.NoError(t, pg.InTx(t.Context(), b.db, func(tx pgx.Tx) error { return b.captured(t.Context(), tx, batch) }))
	for _, d := range batch {
		require.Equal(t, 1, b.count(t, `
			SELECT count(*) FROM outbox WHERE topic = 'order.confirmed.v1' AND data ->> 'order_id' = $1::text AND traceparent = $2`,
			d.Event.OrderID, d.Trace))
	}
}

// TestPlacedTogether: of the orders of a batch each is placed whole or not at all, whatever becomes of the others.
func TestPlacedTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ready := func() placing {
		p := placement()
		c := b.fresh(p.AccountID, p.CheckoutID)
		_, err := b.store.ClaimNew(t.Context(), &c.attempt, c.basket, b.now())
		require.NoError(t, err)
		o, event := Place(withID(p, c.OrderID), b.now())
		answer, err := json.Marshal(o)
		require.NoError(t, err)
		return placing{c.attempt, "", o, event, answer}
	}
	good, taken, void, last := ready(), ready(), ready(), ready()
	good.trace, last.trace = trace1, trace2
	_, err := b.db.Exec(t.Context(), `UPDATE order_keys SET attempt = 2 WHERE order_id = $1`, taken.OrderID)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `INSERT INTO order_ids (id, fate, decided_at) VALUES ($1, 'void', now())`, void.OrderID)
	require.NoError(t, err)

	answers, err := b.store.place(t.Context(), []placing{good, taken, void, last})
	require.NoError(t, err)
	require.NoError(t, answers[0].Err)
	require.ErrorIs(t, answers[1].Err, idempotency.ErrInProgress)
	require.ErrorIs(t, answers[2].Err, errVoid)
	require.NoError(t, answers[3].Err)
	for _, p := range []placing{good, last} {
		o, err := b.store.Get(t.Context(), p.OrderID)
		require.NoError(t, err)
		read, err := json.Marshal(o)
		require.NoError(t, err)
		require.JSONEq(t, string(p.answer), string(read))
		require.Equal(t, []string{"order.placed.v1"}, b.topics(t, p.OrderID))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM outbox WHERE data ->> 'order_id' = $1::text AND traceparent = $2`,
			p.OrderID, p.trace))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM order_keys WHERE order_id = $1 AND answer::text = $2 AND checkout_id IS NULL`,
			p.OrderID, string(p.answer)))
	}
	for _, p := range []placing{taken, void} {
		_, err := b.store.Get(t.Context(), p.OrderID)
		require.ErrorIs(t, err, ErrOrderNotFound)
		require.Empty(t, b.topics(t, p.OrderID))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM order_keys WHERE order_id = $1 AND answer IS NULL AND checkout_id IS NOT NULL`,
			p.OrderID))
	}

	// A cart that was ordered already: nothing of that batch is written, and alone each gets its own answer.
	fine, twice := ready(), ready()
	twice.order.AccountID, twice.order.CheckoutID = good.order.AccountID, good.order.CheckoutID
	_, err = b.store.place(t.Context(), []placing{fine, twice})
	require.True(t, pg.IsUnique(err, "orders_checkout"), "%v", err)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM orders`))
	errs := race(2, func(i int) error {
		p := []placing{fine, twice}[i]
		return b.store.Place(t.Context(), p.attempt, p.order, p.event, p.answer, b.now())
	})
	require.NoError(t, errs[0])
	require.Equal(t, bought{order: good.OrderID, whole: true, pending: true}, errs[1])
}

// TestConfirmedTogether: events of a batch that cannot be handled hold up no other, and two about one order are both heard.
func TestConfirmedTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all []events.PaymentCaptured
	for range 20 {
		all = append(all, capturedEvent(b.order(t)))
	}
	wrong := all[7].OrderID
	all[7].Amount.Amount++
	all = append(all, all[3])
	errs := race(len(all), func(i int) error {
		return servetest.DeliverAs(t, b.rt, fmt.Sprint("event ", i), all[i])
	})
	for i, err := range errs {
		if i == 7 {
			require.ErrorIs(t, err, sub.Drop)
			continue
		}
		require.NoError(t, err)
	}
	require.Equal(t, 19, b.count(t, `SELECT count(*) FROM orders WHERE status = 'confirmed' AND version = 2`))
	require.Equal(t, "pending", b.void(t, wrong))
	require.Equal(t, []string{"order.placed.v1", "order.confirmed.v1"}, b.topics(t, all[3].OrderID))
}

// TestCancelledWhileConfirmed: who waited for an order sees what became of it meanwhile, its history too.
func TestCancelledWhileConfirmed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.order(t)
	locked, goOn, cancelled := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := b.store.Update(t.Context(), o.ID, b.now(), func(o *Order) (Event, error) {
			close(locked)
			<-goOn
			return o.Cancel(ByCustomer, "", b.now())
		})
		cancelled <- err
	}()
	<-locked
	captured := make(chan error)
	go func() { captured <- servetest.DeliverAs(t, b.rt, uuid.NewString(), capturedEvent(o)) }()
	require.Eventually(t, func() bool {
		return b.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	}, 30*time.Second, time.Millisecond)
	close(goOn)
	require.NoError(t, <-cancelled)
	require.NoError(t, <-captured)
	var last events.OrderCancelled
	for _, sent := range servetest.Outbox(t, b.db) {
		if sent.Topic == last.Topic() {
			require.NoError(t, json.Unmarshal(sent.Data, &last))
		}
	}
	require.Equal(t, "cancelled", last.Status, "as its last moment tells")
	require.Equal(t, 3, last.Version, "said once more: the money has to go back")
	require.False(t, last.At.IsZero())
}

// TestAskedTogether: what orders wants of carts and of inventory while they are at work for another order is asked for
// by one call, and each shopper is told their own; a neighbour that does not know of several is asked for each.
func TestAskedTogether(t *testing.T) {
	t.Parallel()
	for _, several := range []bool{true, false} {
		t.Run(fmt.Sprintf("several %t", several), func(t *testing.T) {
			t.Parallel()
			s := openShop(t)
			empty, short := newID(), newID()
			cart := func(_ context.Context, account uuid.UUID) (map[string]any, error) {
				lines := []basketLine{{SKU: "TEE-M", Quantity: 2}}
				if account == empty {
					lines = []basketLine{}
				}
				checkout := newID()
				return map[string]any{"checkout_id": checkout, "since": checkout, "ended": []string{}, "lines": lines, "version": 1, "country": "GB"}, nil
			}
			hold := func(_ context.Context, o orderHold) (map[string]bool, error) {
				if o.Shopper == "account:"+short.String() {
					return nil, ErrOutOfStock.With("lines", []any{map[string]any{"sku": "TEE-M", "wanted": 2, "available": 1}})
				}
				return map[string]bool{"held": true}, nil
			}
			began, goOn := make(chan struct{}), make(chan struct{})
			var first, held sync.Once
			var came atomic.Int32 // in batches
			counted := func(next http.HandlerFunc) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					require.NoError(t, err)
					var in struct{ Items []json.RawMessage }
					require.NoError(t, json.Unmarshal(body, &in))
					came.Add(int32(len(in.Items)))
					r.Body = io.NopCloser(bytes.NewReader(body))
					next(w, r)
				}
			}
			servetest.Neighbour(t, s.rt, "carts", "GET /internal/carts/{account_id}", func(w http.ResponseWriter, r *http.Request) {
				first.Do(func() { close(began); <-goOn })
				answer(w, r, uuid.MustParse(r.PathValue("account_id")), cart)
			})
			servetest.Neighbour(t, s.rt, "inventory", holdOperation, func(w http.ResponseWriter, r *http.Request) {
				held.Do(func() { // until the others wait or came with it: the one whose cart is empty never comes here
					require.Eventually(t, func() bool { return s.service.inventory.holds.Waits()+int(came.Load()) >= 2 },
						10*time.Second, time.Millisecond)
				})
				in := orderHold{OrderID: uuid.MustParse(r.PathValue("id"))}
				_ = json.NewDecoder(r.Body).Decode(&in.holdRequest)
				answer(w, r, in, hold)
			})
			servetest.Neighbour(t, s.rt, "carts", "PUT /internal/carts", servetest.Refuses(problem.ErrInvalid))
			servetest.Neighbour(t, s.rt, "inventory", "PUT /internal/order-holds", counted(servetest.Refuses(problem.ErrInvalid)))
			var calls atomic.Int32
			if several {
				servetest.Neighbour(t, s.rt, "carts", "PUT /internal/carts", answerEach(&calls, cart))
				servetest.Neighbour(t, s.rt, "inventory", "PUT /internal/order-holds", counted(answerEach(&calls, hold)))
			}

			told := make([]servetest.Response, 4)
			var all sync.WaitGroup
			post := func(i int, account uuid.UUID) {
				all.Go(func() {
					body := map[string]any{"address": home(), "payment_method": "pm_card_visa", "expected_total": teas}
					told[i] = servetest.Do(t, s.rt, "POST", "/api/v1/orders", shopper(t, account), body, "Idempotency-Key", "k")
				})
			}
			post(0, newID())
			<-began
			post(1, newID())
			post(2, short)
			post(3, empty)
			require.Eventually(t, func() bool { return s.service.carts.baskets.Waits() == 3 }, 10*time.Second, time.Millisecond)
			close(goOn)
			all.Wait()
			require.NotEqual(t, s.placed(told[0]).ID, s.placed(told[1]).ID)
			require.Equal(t, "out-of-stock", told[2].Slug(), "%s", told[2].Body)
			require.Contains(t, string(told[2].Body), `"available":1`)
			require.Equal(t, "cart-empty", told[3].Slug(), "%s", told[3].Body)
			if several {
				require.EqualValues(t, 2, calls.Load())
			}
		})
	}
}

// answer is a neighbour's answer to one.
func answer[In, Out any](w http.ResponseWriter, r *http.Request, in In, do func(context.Context, In) (Out, error)) {
	out, err := do(r.Context(), in)
	if err != nil {
		rest.WriteProblem(w, r, err)
		return
	}
	servetest.Answers(out)(w, r)
}

// answerEach is a neighbour's answer to several, of which it counts the calls.
func answerEach[In, Out any](calls *atomic.Int32, do func(context.Context, In) (Out, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		var in struct{ Items []In }
		_ = json.NewDecoder(r.Body).Decode(&in)
		servetest.Answers(rest.DoEach(r.Context(), r.URL.Path, in.Items, do))(w, r)
	}
}
