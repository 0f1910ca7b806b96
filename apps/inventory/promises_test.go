package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/servetest"
)

func declined(id uuid.UUID) events.OrderCancelled {
	return events.OrderCancelled{Order: events.Order{OrderID: id, Status: "cancelled", Reason: "payment-declined"}}
}

func (b *bundle) holdInstead(order, insteadOf uuid.UUID, shopper string, lines ...Line) servetest.Response {
	b.t.Helper()
	return b.do("orders", "PUT", "/internal/orders/"+order.String()+"/hold",
		map[string]any{"shopper": shopper, "lines": asInput(lines), "instead_of": insteadOf})
}

// limited tells inventory about a published SKU of which one account may have so many.
func (b *bundle) limited(sku string, stock, limit int) events.Product {
	b.t.Helper()
	p := product(1, map[string]int{sku: stock})
	p.Variants[0].MaxPerShopper = &limit
	servetest.Deliver(b.t, b.rt, events.ProductPublished{Product: p})
	return p
}

// The last piece, a card that is declined, and somebody else who waits for it: it is not given away until the time for
// another try is over, at most twice for one hold.
func TestDeclineKeepsTheLastPiece(t *testing.T) {
	t.Parallel()
	for name, holdAt := range map[string]string{"held by carts": "cart", "held at checkout": "checkout"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.store.settings.HoldAt = holdAt
			b.stocked(map[string]int{"TEE": 1})
			require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 1).Status)
			b.pass(ttl - time.Second)
			taken := func() string { return b.holdFor(uuid.New(), account(2), Line{"TEE", 1}).Slug() }
			for range maxRetries {
				order := uuid.New()
				require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"TEE", 1}).Status)
				require.Equal(t, "out-of-stock", taken())
				for range 2 {
					servetest.Deliver(t, b.rt, declined(order))
				}
				held, err := b.store.cartHolds(t.Context(), account(1))
				require.NoError(t, err)
				require.Len(t, held, 1)
				require.Equal(t, b.store.now().Add(retry), held[0].ExpiresAt.UTC())
				b.pass(retry - time.Microsecond)
				require.Equal(t, "out-of-stock", taken())
				require.Equal(t, "out-of-stock", b.put(account(2), "TEE", 1).Slug())
			}
			require.Equal(t, []bool{true, false}, b.crossings("TEE"), "it was never free")
			order := uuid.New()
			require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"TEE", 1}).Status)
			var story OrderHoldView
			b.adminDo("GET", "/api/v1/admin/inventory/order-holds/"+order.String(), nil).JSON(t, &story)
			require.Equal(t, []HoldLine{{"TEE", 1, maxRetries}}, story.Lines)
			servetest.Deliver(t, b.rt, declined(order))
			require.Equal(t, int64(1), b.available("TEE"), "declines keep nothing for ever")
			require.Empty(t, taken())
		})
	}
}

func TestDeclineLapses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3})
	order := uuid.New()
	b.put(account(1), "TEE", 1)
	require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"TEE", 3}).Status, "two more than the cart held")
	servetest.Deliver(t, b.rt, declined(order))
	require.Equal(t, int64(3), b.view("TEE").CartHeld, "what the order held beyond the cart is kept as well")
	b.pass(ttl)
	require.NoError(t, b.store.sweep(t.Context()))
	require.Equal(t, []bool{true, false, true}, b.crossings("TEE"))

	t.Run("the cart's newer wish stays", func(t *testing.T) {
		order := uuid.New()
		require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"TEE", 2}).Status)
		require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 1).Status)
		servetest.Deliver(t, b.rt, declined(order))
		require.Equal(t, StockView{SKU: "TEE", OnHand: 3, CartHeld: 1, Available: 2, Listed: true, Number: 1}, b.view("TEE"))
	})
}

// Another card before the cancellation has arrived: the declined order's units are the new order's, at once and once.
func TestHoldInsteadOfADeclinedOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 1, "CAP": 4})
	first, second := uuid.New(), uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(first, account(1), Line{"TEE", 1}, Line{"CAP", 2}).Status)
	require.Equal(t, "out-of-stock", b.holdFor(second, account(1), Line{"TEE", 1}).Slug(), "without saying so")
	require.Equal(t, "hold-differs", b.holdInstead(second, first, account(2), Line{"TEE", 1}).Slug(), "somebody else's")
	require.Equal(t, "invalid", b.holdInstead(second, second, account(1), Line{"TEE", 1}).Slug())
	require.Equal(t, "out-of-stock", b.holdInstead(second, first, account(1), Line{"TEE", 2}).Slug())
	require.Equal(t, int64(1), b.view("TEE").OrderHeld, "refused: nothing has changed")
	for range 2 {
		r := b.holdInstead(second, first, account(1), Line{"TEE", 1})
		require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
		servetest.Deliver(t, b.rt, declined(first)) // late
		require.Equal(t, StockView{SKU: "TEE", OnHand: 1, OrderHeld: 1, Listed: true, Number: 1}, b.view("TEE"))
		require.Equal(t, StockView{SKU: "CAP", OnHand: 4, CartHeld: 2, Available: 2, Listed: true, Number: 1}, b.view("CAP"), "the cart's again")
	}
	var story OrderHoldView
	b.adminDo("GET", "/api/v1/admin/inventory/order-holds/"+first.String(), nil).JSON(t, &story)
	require.Equal(t, ByDecline, *story.ReleaseReason)
	b.adminDo("GET", "/api/v1/admin/inventory/order-holds/"+second.String(), nil).JSON(t, &story)
	require.Equal(t, []HoldLine{{"TEE", 1, 1}}, story.Lines)
	require.Equal(t, "hold-released", b.holdFor(first, account(1), Line{"TEE", 1}, Line{"CAP", 2}).Slug())
	require.NoError(t, servetest.DeliverAs(t, b.rt, uuid.NewString(), confirmed(first)), "it was cancelled")
}

// One shopper's card is declined again and again while others try to take the one unit, over two instances.
func TestRaceForADeclinedUnit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 1})
	instances := []*service{b.service, b.another()}
	order := uuid.New()
	require.NoError(t, b.holdOrder(t.Context(), order, account(0), []Line{{"TEE", 1}}, uuid.Nil))
	var stolen atomic.Int64
	var all sync.WaitGroup
	done := make(chan struct{})
	for i := range 6 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if instances[i%2].holdOrder(t.Context(), uuid.New(), account(i+1), []Line{{"TEE", 1}}, uuid.Nil) == nil {
					stolen.Add(1)
				}
			}
		})
	}
	for try := range maxRetries {
		next := uuid.New()
		var both sync.WaitGroup
		both.Go(func() { servetest.Deliver(t, b.rt, declined(order)) })
		both.Go(func() {
			if err := instances[try%2].holdOrder(t.Context(), next, account(0), []Line{{"TEE", 1}}, order); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		order = next
	}
	close(done)
	all.Wait()
	require.Zero(t, stolen.Load())
	require.Equal(t, int64(1), b.view("TEE").OrderHeld)
}

// Orders in place of each other, in both directions, while their cancellations and confirmations arrive: rows are
// locked in one order, so nothing deadlocks. InTx would hide a deadlock by trying again; the server counts them.
func TestInsteadNeverDeadlocks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 1000, "B": 1000})
	for range 30 {
		x, y := uuid.New(), uuid.New()
		lines := []Line{{"B", 1}, {"A", 1}}
		var all sync.WaitGroup
		for i, step := range []func(tx pgx.Tx) error{
			func(tx pgx.Tx) error { return b.store.release(t.Context(), tx, ending{x, ByDecline}) },
			func(tx pgx.Tx) error { return b.store.release(t.Context(), tx, ending{y, ByDecline}) },
			func(tx pgx.Tx) error { return b.store.release(t.Context(), tx, ending{x, ByCancel}) },
		} {
			all.Go(func() {
				if err := pg.InTx(t.Context(), b.db, step); err != nil {
					t.Error(i, err)
				}
			})
		}
		for range 2 {
			all.Go(func() { _ = b.holdOrder(t.Context(), x, account(1), lines, y) })
			all.Go(func() { _ = b.another().holdOrder(t.Context(), y, account(1), lines, x) })
		}
		all.Wait()
	}
	_, err := b.db.Exec(t.Context(), `SELECT pg_stat_clear_snapshot()`)
	require.NoError(t, err)
	var deadlocks int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks))
	require.Zero(t, deadlocks)
}

func TestMostAShopper(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.limited("TEE", 10, 3)
	refused := func(r servetest.Response, available int) {
		t.Helper()
		require.Equal(t, http.StatusConflict, r.Status, "%.300s", r.Body)
		require.Equal(t, "limit-reached", r.Slug())
		require.Equal(t, []any{float64(3), float64(available)}, []any{member(t, r, "limit"), member(t, r, "available")})
	}
	refused(b.put(account(1), "TEE", 4), 3)
	require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 2).Status)
	first, second := uuid.New(), uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(first, account(1), Line{"TEE", 2}).Status)
	refused(b.put(account(1), "TEE", 2), 1)
	r := b.holdFor(second, account(1), Line{"TEE", 2})
	refused(r, 1)
	require.Equal(t, "TEE", member(t, r, "sku"))
	servetest.Deliver(t, b.rt, confirmed(first))
	refused(b.put(account(1), "TEE", 2), 1)
	b.store.settings.HoldAt = "checkout"
	refused(b.put(account(1), "TEE", 2), 1)
	require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 1).Status)
	b.store.settings.HoldAt = "cart"
	require.Equal(t, http.StatusOK, b.put(account(2), "TEE", 3).Status, "others have a limit of their own")
	refused(b.put(guest(1), "TEE", 4), 3)

	t.Run("a login brings no more than the limit", func(t *testing.T) {
		require.Equal(t, http.StatusOK, b.put(guest(1), "TEE", 2).Status)
		r := b.do("carts", "POST", "/internal/holds/"+guest(1)+"/transfer", map[string]any{"to": account(1), "lines": []lineInput{{"TEE", 2}}})
		require.JSONEq(t, `{"items": [{"sku": "TEE", "quantity": 2, "expires_at": null, "free": null}]}`, string(r.Body))
		held, err := b.store.cartHolds(t.Context(), account(1))
		require.NoError(t, err)
		require.Equal(t, int64(1), held[0].Quantity)
	})
	t.Run("a cancellation gives it back", func(t *testing.T) {
		servetest.Deliver(t, b.rt, cancelled(first))
		require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 3).Status)
	})
	t.Run("in place of a declined order", func(t *testing.T) {
		require.Equal(t, http.StatusOK, b.holdFor(second, account(1), Line{"TEE", 3}).Status)
		refused(b.holdFor(uuid.New(), account(1), Line{"TEE", 1}), 0)
		require.Equal(t, http.StatusOK, b.holdInstead(uuid.New(), second, account(1), Line{"TEE", 3}).Status)
	})
	t.Run("a product without a limit any more", func(t *testing.T) {
		p.Version, p.Variants[0].MaxPerShopper = 2, nil
		servetest.Deliver(t, b.rt, events.ProductChanged{Product: p})
		require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 1).Status)
	})
}

// One account at once in many tabs, at two instances: carts and orders together never have more than the limit.
func TestRaceForTheLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.limited("TEE", 1000, 3)
	instances := []*service{b.service, b.another()}
	for round := range 15 {
		shopper := account(round)
		var all sync.WaitGroup
		var orders atomic.Int64
		for i := range 12 {
			all.Go(func() {
				if i%3 == 0 {
					_ = instances[i%2].holdCart(t.Context(), shopper, "TEE", int64(1+i%4))
					return
				}
				if instances[i%2].holdOrder(t.Context(), uuid.New(), shopper, []Line{{"TEE", 1}}, uuid.Nil) == nil {
					orders.Add(1)
				}
			})
		}
		all.Wait()
		var cart int64
		require.NoError(t, b.db.QueryRow(t.Context(), `SELECT COALESCE(sum(quantity), 0)::bigint FROM cart_holds WHERE shopper = $1`, shopper).Scan(&cart))
		require.LessOrEqual(t, orders.Load()+cart, int64(3))
		require.Positive(t, orders.Load())
	}
}

// A released order that never held anything is forgotten after a month; one that held something belongs to the ledger.
func TestTombstonesAreForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 1})
	held, tombstone := uuid.New(), uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(held, account(1), Line{"TEE", 1}).Status)
	servetest.Deliver(t, b.rt, cancelled(held))
	servetest.Deliver(t, b.rt, cancelled(tombstone))
	_, err := b.db.Exec(t.Context(), `INSERT INTO order_holds (order_id, state, release_reason, held_at, changed_at)
		SELECT gen_random_uuid(), 'released', 'void', $1, $1 FROM generate_series(1, $2)`, noon, 2*pruneBatch)
	require.NoError(t, err)
	count := func() (n int) {
		require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM order_holds`).Scan(&n))
		return n
	}
	b.pass(keepTombstones - time.Microsecond)
	require.NoError(t, b.store.prune(t.Context()))
	require.Equal(t, 2*pruneBatch+2, count())
	require.Equal(t, "hold-released", b.holdFor(tombstone, account(1), Line{"TEE", 1}).Slug())
	b.pass(time.Microsecond)
	require.NoError(t, b.store.prune(t.Context()))
	require.Equal(t, 1, count())
}

// A SKU that cannot be swept leaves the others alone.
func TestSweepGoesPastErrors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 1, "B": 1, "C": 1})
	for i, sku := range []string{"A", "B", "C"} {
		require.Equal(t, http.StatusOK, b.put(account(i), sku, 1).Status)
	}
	b.pass(ttl)
	_, err := b.db.Exec(t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
		CREATE TRIGGER refuse BEFORE UPDATE ON stock FOR EACH ROW WHEN (NEW.sku = 'A') EXECUTE FUNCTION refuse()`)
	require.NoError(t, err)
	require.ErrorContains(t, b.store.sweep(t.Context()), "sweep A")
	for sku, told := range map[string]int{"A": 2, "B": 3, "C": 3} {
		require.Len(t, b.crossings(sku), told, fmt.Sprintf("SKU %s", sku))
	}
	_, err = b.db.Exec(context.Background(), `DROP TRIGGER refuse ON stock`)
	require.NoError(t, err)
}
