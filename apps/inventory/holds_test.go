package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/sub"
)

// answers does a batch and returns the slug of each refusal, empty where it was not refused.
func (b *bundle) answers(batch ...wish) (slugs []string) {
	b.t.Helper()
	answers, err := b.store.hold(b.t.Context(), batch)
	require.NoError(b.t, err)
	for _, a := range answers {
		var p *problem.Error
		if errors.As(a.Err, &p) {
			slugs = append(slugs, p.Slug())
			continue
		}
		require.NoError(b.t, a.Err)
		slugs = append(slugs, "")
	}
	return slugs
}

// locks keeps a SKU locked until the test ends or what it returns is called.
func (b *bundle) locks(sku string) (unlock func()) {
	b.t.Helper()
	tx, err := b.db.Begin(context.Background())
	require.NoError(b.t, err)
	unlock = func() { _ = tx.Rollback(context.Background()) }
	b.t.Cleanup(unlock)
	_, err = tx.Exec(b.t.Context(), `SELECT sku FROM stock WHERE sku = $1 FOR UPDATE`, sku)
	require.NoError(b.t, err)
	return unlock
}

// waitForLock waits until somebody waits for a lock.
func (b *bundle) waitForLock() {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		var n int
		err := b.db.QueryRow(b.t.Context(), `
			SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
		return err == nil && n > 0
	}, 10*time.Second, time.Millisecond)
}

// Who comes while a batch is at work is in the next one, whatever the SKU, and the first come are served first.
func TestHoldsTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"HOT": 31, "TEE": 40})
	unlock := b.locks("HOT")
	var all sync.WaitGroup
	answers := make([]error, 41)
	all.Go(func() { answers[0] = b.holdCart(t.Context(), account(0), "HOT", 1) })
	b.waitForLock()
	for i := 1; i <= 40; i++ {
		all.Go(func() {
			if i%2 == 0 {
				answers[i] = b.holdOrder(t.Context(), uuid.New(), account(i), []Line{{"TEE", 1}, {"HOT", 1}}, uuid.Nil)
				return
			}
			answers[i] = b.holdCart(t.Context(), account(i), "HOT", 1)
		})
		require.Eventually(t, func() bool { return b.holds.Waits() == i }, 10*time.Second, 100*time.Microsecond)
	}
	unlock()
	all.Wait()
	for i, err := range answers {
		require.Equal(t, i > 30, err != nil, "%d: %v", i, err)
	}
	var transactions int
	require.NoError(t, b.db.QueryRow(t.Context(), `
		SELECT count(DISTINCT made)
		FROM (SELECT xmin::text AS made FROM cart_holds UNION ALL SELECT xmin::text FROM order_hold_lines) m`).Scan(&transactions))
	require.Equal(t, 2, transactions, "the first, then all the others")
}

// Each member of a batch has an answer of its own, and one that is refused changes nothing.
func TestBatchOfHolds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 5, "B": 3, "C": 2})
	b.limited("FEW", 100, 3)
	require.Equal(t, http.StatusOK, b.put(account(1), "B", 2).Status)
	declined, again := uuid.New(), uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(declined, account(2), Line{"C", 2}).Status)

	require.Equal(t, []string{
		"", "out-of-stock", "", "out-of-stock", "", "hold-differs", "", "out-of-stock", "hold-differs", "", "", "limit-reached", "",
		"limit-reached", "out-of-stock", "",
	}, b.answers(
		cartWish(account(3), "A", 4),
		cartWish(account(4), "A", 2),                                            // one is left
		orderWish(again, account(1), []Line{{"B", 3}}, uuid.Nil),                // its cart's two and the last
		orderWish(uuid.New(), account(5), []Line{{"A", 1}, {"B", 1}}, uuid.Nil), // A could be had, B not
		orderWish(again, account(1), []Line{{"B", 3}}, uuid.Nil),                // once more
		orderWish(again, account(1), []Line{{"B", 2}}, uuid.Nil),
		cartWish(account(4), "A", 1),                                            // which the order that was refused has not kept
		orderWish(uuid.New(), account(2), []Line{{"C", 1}, {"A", 1}}, declined), // refused: declined is not ended
		orderWish(uuid.New(), account(6), []Line{{"C", 1}}, declined),
		orderWish(uuid.New(), account(2), []Line{{"C", 1}}, declined),
		cartWish(account(7), "FEW", 2),
		orderWish(uuid.New(), account(7), []Line{{"FEW", 4}}, uuid.Nil),
		orderWish(uuid.New(), account(7), []Line{{"FEW", 2}}, uuid.Nil),
		cartWish(account(7), "FEW", 2),
		cartWish(account(8), "UNKNOWN", 1),
		cartWish(account(8), "UNKNOWN", 0),
	))
	require.Equal(t, StockView{SKU: "A", OnHand: 5, CartHeld: 5, Listed: true, Number: 1}, b.view("A"))
	require.Equal(t, StockView{SKU: "B", OnHand: 3, OrderHeld: 3, Listed: true, Number: 1}, b.view("B"))
	require.Equal(t, StockView{SKU: "C", OnHand: 2, OrderHeld: 1, Available: 1, Listed: true, Number: 1}, b.view("C"))
	require.Equal(t, StockView{SKU: "FEW", OnHand: 100, OrderHeld: 2, Available: 98, Listed: true, Number: 1}, b.view("FEW"))
	var orders int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM order_holds`).Scan(&orders))
	require.Equal(t, 4, orders, "nothing is left of those that were refused")
}

// A member for which the database has no answer fails alone.
func TestBadMemberOfABatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 5, "BAD": 5})
	_, err := b.db.Exec(t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
		CREATE TRIGGER refuse BEFORE UPDATE ON stock FOR EACH ROW WHEN (NEW.sku = 'BAD') EXECUTE FUNCTION refuse()`)
	require.NoError(t, err)
	unlock := b.locks("A")
	skus := []string{"A", "A", "BAD", "A"}
	answers := make([]error, len(skus))
	var all sync.WaitGroup
	for i, sku := range skus {
		all.Go(func() { answers[i] = b.holdCart(t.Context(), account(i), sku, 1) })
		if i == 0 {
			b.waitForLock()
			continue
		}
		require.Eventually(t, func() bool { return b.holds.Waits() == i }, 10*time.Second, 100*time.Microsecond)
	}
	unlock()
	all.Wait()
	for i, sku := range skus {
		require.Equal(t, sku == "BAD", answers[i] != nil, "%d: %v", i, answers[i])
	}
	require.Equal(t, int64(2), b.available("A"))
}

// A SKU that somebody else keeps locked is refused for now; the others of the batch are served.
func TestLockedSKU(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 5, "HOT": 5})
	declined := uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(declined, account(9), Line{"HOT", 1}).Status)
	unlock := b.locks("HOT")
	batch := []wish{
		cartWish(account(1), "A", 1),
		cartWish(account(2), "HOT", 1),
		orderWish(uuid.New(), account(3), []Line{{"A", 1}, {"HOT", 1}}, uuid.Nil),
		orderWish(uuid.New(), account(4), []Line{{"A", 1}}, uuid.Nil),
		orderWish(uuid.New(), account(9), []Line{{"A", 1}}, declined),
		cartWish(account(5), "UNKNOWN", 1),
	}
	require.Equal(t, []string{"", "unavailable", "unavailable", "", "unavailable", "out-of-stock"}, b.answers(batch...))
	require.Equal(t, StockView{SKU: "A", OnHand: 5, CartHeld: 1, OrderHeld: 1, Available: 3, Listed: true, Number: 1}, b.view("A"))
	unlock()
	require.Equal(t, []string{"", "", "", "", "", "out-of-stock"}, b.answers(batch...))
	require.Equal(t, StockView{SKU: "HOT", OnHand: 5, CartHeld: 2, OrderHeld: 1, Available: 2, Listed: true, Number: 1}, b.view("HOT"))
}

// What somebody else keeps locked is waited for by one batch, not by each, until it could be had again.
func TestLockedSKUIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 5, "HOT": 5})
	db, count := pgtest.Count(t, b.db)
	st := &store{db: db, settings: b.configured(), now: b.rt.Now}
	hold := func(skus ...string) (transactions int, refused []bool) {
		t.Helper()
		var batch []wish
		for i, sku := range skus {
			batch = append(batch, cartWish(account(i), sku, 1))
		}
		count.Reset()
		answers, err := st.hold(t.Context(), batch)
		require.NoError(t, err)
		for _, a := range answers {
			refused = append(refused, a.Err != nil)
		}
		return len(count.Statements()) - len(count.Statements("begin")), refused
	}
	is := func(transactions int, refused ...bool) func(int, []bool) {
		return func(n int, got []bool) {
			t.Helper()
			require.Equal(t, refused, got)
			require.Equal(t, transactions, n)
		}
	}
	unlock := b.locks("HOT")
	is(2, true, false)(hold("HOT", "A"))
	is(1, true, false)(hold("HOT", "A"))
	is(1, true)(hold("HOT"))
	is(1, false)(hold("A"))
	unlock()
	is(1, false, false)(hold("HOT", "A"))

	unlock = b.locks("HOT")
	done := make(chan []bool)
	go func() { _, refused := hold("HOT"); done <- refused }()
	b.waitForLock()
	unlock()
	require.Equal(t, []bool{false}, <-done)
}

// What a statement finds that had to wait for a lock is what was committed meanwhile.
func TestNothingStaleAfterALock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 9})
	sold, held := uuid.New(), uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(sold, account(1), Line{"TEE", 2}).Status)
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"sell", func() error { return servetest.DeliverAs(t, b.rt, uuid.NewString(), confirmed(sold)) }},
		{"cart", func() error { return b.holdCart(t.Context(), account(2), "TEE", 3) }},
		{"order", func() error { return b.holdOrder(t.Context(), held, account(3), []Line{{"TEE", 1}}, uuid.Nil) }},
		{"end", func() error { return servetest.DeliverAs(t, b.rt, uuid.NewString(), cancelled(held)) }}, // of what "order" held
	} {
		tx, err := b.db.Begin(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // a pool that closes waits for its connection
		// Another cart's hold, and a movement, as one transaction that is not over.
		_, err = tx.Exec(t.Context(), `
			UPDATE stock SET on_hand = on_hand + 1, cart_held = cart_held + 1, number = number + 1 WHERE sku = 'TEE';
			INSERT INTO ledger SELECT sku, number, 'movement', 1, on_hand - 1, on_hand, 'found', '', now() FROM stock;
			INSERT INTO cart_holds (shopper, sku, quantity, expires_at) VALUES ('account:2', 'TEE', 1, '2026-03-14T13:00:00Z')
			ON CONFLICT (shopper, sku) DO UPDATE SET quantity = cart_holds.quantity + 1`)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- step.do() }()
		b.waitForLock()
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, <-done, step.name)
		b.checkBooks()
	}
}

// Events of many orders, some twice, some of the same order, are one transaction.
func TestEventsTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 100, "B": 100})
	var ids []uuid.UUID
	for i := range 10 {
		ids = append(ids, uuid.New())
		require.Equal(t, http.StatusOK, b.holdFor(ids[i], account(i), Line{"A", 2}, Line{"B", 1}).Status)
	}
	do := func(fn func(tx pgx.Tx) error) error { return pg.InTx(t.Context(), b.db, fn) }
	require.NoError(t, do(func(tx pgx.Tx) error {
		var batch []sub.Delivered[events.OrderConfirmed]
		for _, id := range slices.Concat(ids[:6], ids[4:5]) {
			batch = append(batch, sub.Delivered[events.OrderConfirmed]{Event: confirmed(id)})
		}
		return b.orderConfirmed(t.Context(), tx, batch)
	}))
	require.Equal(t, StockView{SKU: "A", OnHand: 88, OrderHeld: 8, Sold: 12, Available: 80, Listed: true, Number: 7}, b.view("A"))
	unknown := uuid.New()
	require.ErrorIs(t, do(func(tx pgx.Tx) error { return b.store.sell(t.Context(), tx, ids[7], unknown) }), ErrNotHeld)
	require.NoError(t, do(func(tx pgx.Tx) error {
		var batch []sub.Delivered[events.OrderCancelled]
		for _, e := range []events.OrderCancelled{
			cancelled(ids[0]), declined(ids[7]), cancelled(unknown), cancelled(ids[0]), declined(ids[7]),
		} {
			batch = append(batch, sub.Delivered[events.OrderCancelled]{Event: e})
		}
		return b.orderCancelled(t.Context(), tx, batch)
	}))
	require.Equal(t, StockView{
		SKU: "A", OnHand: 90, CartHeld: 2, OrderHeld: 6, Sold: 10, Available: 82, Listed: true, Number: 8,
	}, b.view("A"))
	require.Equal(t, "hold-released", b.holdFor(unknown, account(1), Line{"A", 1}).Slug())
}

// TestStatements: what a batch costs, however many are in it. What crosses costs one more.
func TestStatements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 1000, "B": 1000})
	b.limited("FEW", 1000, 10)
	db, count := pgtest.Count(t, b.db)
	st := &store{db: db, settings: b.configured(), now: b.rt.Now}
	takes := func(most int, what string, fn func() error) {
		t.Helper()
		count.Reset()
		require.NoError(t, fn(), what)
		require.LessOrEqual(t, len(count.Statements()), most, "%s:\n%s", what, strings.Join(count.Statements(), "\n"))
		require.Equal(t, 1, count.Commits(), what)
	}
	hold := func(batch ...wish) func() error {
		return func() error {
			answers, err := st.hold(t.Context(), batch)
			return errors.Join(err, firstError(answers))
		}
	}
	many := func(n int, one func(i int) wish) (batch []wish) {
		for i := range n {
			batch = append(batch, one(i))
		}
		return batch
	}
	skus := []string{"A", "B", "FEW"}
	ids := make([]uuid.UUID, 64)
	for i := range ids {
		ids[i] = uuid.New()
	}
	orders := many(64, func(i int) wish { return orderWish(ids[i], account(i), []Line{{"A", 1}, {"FEW", 1}}, uuid.Nil) })
	tx := func(fn func(tx pgx.Tx) error) func() error {
		return func() error { return pg.InTx(t.Context(), db, fn) }
	}
	takes(5, "a cart's hold", hold(cartWish(account(1), "A", 1)))
	takes(5, "the same, with a limit", hold(cartWish(account(1), "FEW", 1)))
	takes(4, "the same once more", hold(cartWish(account(1), "FEW", 1)))
	takes(6, "an order's hold", hold(orderWish(uuid.New(), account(1), []Line{{"A", 1}, {"B", 1}, {"FEW", 1}}, uuid.Nil)))
	takes(5, "64 of carts", hold(many(64, func(i int) wish { return cartWish(account(i%60), skus[i%3], int64(1+i%2)) })...))
	takes(6, "64 of orders", hold(orders...))
	takes(4, "a sale", tx(func(tx pgx.Tx) error { return st.sell(t.Context(), tx, ids[0]) }))
	takes(4, "63 sales", tx(func(tx pgx.Tx) error { return st.sell(t.Context(), tx, ids[1:]...) }))
	takes(7, "a return", tx(func(tx pgx.Tx) error { return st.release(t.Context(), tx, ending{ids[0], ByCancel}) }))
	takes(3, "a tombstone", tx(func(tx pgx.Tx) error { return st.release(t.Context(), tx, ending{uuid.New(), ByCancel}) }))
	takes(7, "64 declined", func() error { return st.refuse(t.Context(), ids) })
}

func firstError[T any](answers []gather.Answer[T]) error {
	for i, a := range answers {
		if a.Err != nil {
			return fmt.Errorf("%d: %w", i, a.Err)
		}
	}
	return nil
}
