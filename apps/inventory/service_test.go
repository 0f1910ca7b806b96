package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/skus"
	"github.com/stampede-shop/stampede/kit/sub"
)

// bundle is inventory on a database of its own, with a clock that stands still.
type bundle struct {
	*service
	t         *testing.T
	rt        *serve.Runtime
	db        *pgxpool.Pool
	clock     *atomic.Int64
	asked     *[][]uuid.UUID       // what orders was asked to void, question by question
	decisions map[uuid.UUID]string // what it answers, "cancelled payment-declined" with a reason; it fails with others
	told      *[]map[string]any    // its feed of outcomes
	admin     string               // a token
}

func setup(t *testing.T) *bundle {
	t.Helper()
	rt, db := servetest.NewTest(t, "inventory", migrations)
	b := &bundle{
		t: t, rt: rt, db: db, clock: &atomic.Int64{}, asked: &[][]uuid.UUID{}, decisions: map[uuid.UUID]string{}, told: &[]map[string]any{},
	}
	b.clock.Store(noon.UnixMicro())
	b.admin = servetest.Token(t, uuid.New(), "ops@stampede.test", "ADMIN")
	rt.Now = func() time.Time { return time.UnixMicro(b.clock.Load()).UTC() }
	s, err := newService(rt, db, b.configured())
	require.NoError(t, err)
	b.service = s
	servetest.Neighbour(t, rt, "orders", void, b.voids)
	servetest.Neighbour(t, rt, "orders", outcomes, servetest.Feed(b.told))
	t.Cleanup(b.checkBooks)
	return b
}

// What inventory asks of orders.
const (
	void     = "POST /internal/orders/void"
	outcomes = "GET /internal/orders/outcomes"
)

// voids is orders, asked to void ids.
func (b *bundle) voids(w http.ResponseWriter, r *http.Request) {
	var in struct{ IDs []uuid.UUID }
	_ = json.NewDecoder(r.Body).Decode(&in)
	*b.asked = append(*b.asked, in.IDs)
	answers := []outcome{}
	for _, id := range in.IDs {
		decision, ok := b.decisions[id]
		if !ok {
			servetest.Refuses(problem.ErrUnavailable)(w, r)
			return
		}
		status, reason, _ := strings.Cut(decision, " ")
		answers = append(answers, outcome{id, status, reason})
	}
	servetest.Answers(map[string]any{"items": answers})(w, r)
}

// decided is an item of orders' feed of outcomes.
func decided(id uuid.UUID, status, reason string) map[string]any {
	return map[string]any{"order_id": id, "status": status, "reason": reason, "version": 2, "at": noon}
}

// another is another instance on the same database.
func (b *bundle) another() *service {
	st := &store{db: b.db, settings: b.configured(), now: b.rt.Now}
	return &service{
		store: st, holds: gather.New(gather.Settings[wish]{}, st.hold), claims: gather.New(gather.Settings[[]claim]{}, st.holdClaims),
	}
}

// holdCart and holdOrder ask without HTTP.
func (s *service) holdCart(ctx context.Context, shopper, sku string, quantity int64) error {
	_, err := s.holds.Do(ctx, cartWish(shopper, sku, quantity))
	return err
}

func (s *service) holdOrder(ctx context.Context, id uuid.UUID, shopper string, lines []Line, insteadOf uuid.UUID) error {
	_, err := s.holds.Do(ctx, orderWish(id, shopper, lines, insteadOf))
	return err
}

func (b *bundle) configured() settings {
	return servetest.Settings[settings](b.t, "HOLD_TTL", ttl.String(), "HOLD_RETRY", retry.String())
}

func (b *bundle) pass(d time.Duration) { b.clock.Add(d.Microseconds()) }

// checkBooks demands what must hold after every test: counters, ledger and holds tell the same story.
func (b *bundle) checkBooks() {
	if pgtest.Loaded() {
		return // whose books are millions of rows
	}
	for name, sql := range map[string]string{
		"ledger adds up to on_hand": `SELECT sku FROM stock s WHERE on_hand <>
			(SELECT COALESCE(sum(delta), 0) FROM ledger WHERE sku = s.sku)`,
		"free + held + sold = what was supplied": `SELECT sku FROM stock s WHERE (on_hand - cart_held - order_held) + cart_held + order_held + sold <>
			(SELECT COALESCE(sum(delta), 0) FROM ledger WHERE sku = s.sku AND kind NOT IN ('sale', 'return'))`,
		"sold = sold lines": `SELECT sku FROM stock s WHERE sold <>
			(SELECT COALESCE(sum(quantity), 0) FROM order_hold_lines l JOIN order_holds o USING (order_id) WHERE l.sku = s.sku AND o.state = 'sold')`,
		"sold = sales - returns": `SELECT sku FROM stock s WHERE -sold <>
			(SELECT COALESCE(sum(delta), 0) FROM ledger WHERE sku = s.sku AND kind IN ('sale', 'return'))`,
		"order_held = held lines": `SELECT sku FROM stock s WHERE order_held <>
			(SELECT COALESCE(sum(quantity), 0) FROM order_hold_lines l JOIN order_holds o USING (order_id) WHERE l.sku = s.sku AND o.state = 'held')`,
		"cart_held = cart holds":   `SELECT sku FROM stock s WHERE cart_held <> (SELECT COALESCE(sum(quantity), 0) FROM cart_holds WHERE sku = s.sku)`,
		"never more than there is": `SELECT sku FROM stock WHERE cart_held + order_held > on_hand OR on_hand < 0`,
		"ledger has no gaps":       `SELECT sku FROM stock s WHERE number <> (SELECT count(*) FROM ledger WHERE sku = s.sku)`,
		"each entry begins where the last ended": `SELECT a.sku FROM ledger a LEFT JOIN ledger z ON z.sku = a.sku AND z.number = a.number - 1
			WHERE a.before <> COALESCE(z.after, 0)`,
		"in_stock is true": `SELECT sku FROM stock WHERE in_stock <> (lot IS NULL AND on_hand - cart_held - order_held > 0)`,
		"every crossing was told, once": `SELECT sku FROM stock s
			WHERE crossings <> (SELECT count(DISTINCT data ->> 'number') FROM outbox WHERE topic LIKE 'stock.%' AND data ->> 'sku' = s.sku)
			OR crossings <> (SELECT count(*) FROM outbox WHERE topic LIKE 'stock.%' AND data ->> 'sku' = s.sku)`,
		"the last crossing tells the truth": `SELECT s.sku FROM stock s JOIN outbox o ON o.data ->> 'sku' = s.sku AND (o.data ->> 'number')::bigint = s.crossings
			WHERE (o.data ->> 'in_stock')::boolean <> s.in_stock`,
		"an open lot has its units": `SELECT s.sku FROM stock s FULL JOIN (SELECT * FROM lots WHERE closed_at IS NULL) l USING (sku)
			WHERE s.lot IS DISTINCT FROM l.drop OR s.lot_free + s.lot_held + s.lot_sold <> COALESCE(l.units, 0)`,
		"lot_held = claims in carts and orders": `SELECT sku FROM stock s WHERE lot IS NOT NULL AND lot_held <>
			(SELECT COALESCE(sum(quantity), 0) FROM cart_holds h WHERE h.sku = s.sku AND h.lot = s.lot) +
			(SELECT COALESCE(sum(quantity), 0) FROM order_hold_lines l JOIN order_holds o USING (order_id)
			 WHERE l.sku = s.sku AND l.lot = s.lot AND o.state = 'held')`,
		"lot_sold = claims that were sold": `SELECT sku FROM stock s WHERE lot IS NOT NULL AND lot_sold <>
			(SELECT COALESCE(sum(quantity), 0) FROM order_hold_lines l JOIN order_holds o USING (order_id)
			 WHERE l.sku = s.sku AND l.lot = s.lot AND o.state = 'sold')`,
		"nobody has more of a lot than its limit": `SELECT sku FROM lots l JOIN (
			SELECT lot AS drop, sku, shopper, sum(quantity) AS has FROM (
				SELECT lot, sku, shopper, quantity FROM cart_holds UNION ALL
				SELECT lot, sku, shopper, quantity FROM order_hold_lines JOIN order_holds USING (order_id) WHERE state <> 'released') c
			WHERE lot IS NOT NULL GROUP BY lot, sku, shopper) h USING (drop, sku) WHERE h.has > l.most`,
		"no guest has anything of a lot": `SELECT sku FROM cart_holds WHERE lot IS NOT NULL AND shopper NOT LIKE 'account:%'`,
	} {
		rows, err := b.db.Query(context.Background(), sql)
		require.NoError(b.t, err, name)
		bad, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(b.t, err, name)
		require.Empty(b.t, bad, name)
	}
}

// stocked tells inventory about a published product whose SKUs start with so many units.
func (b *bundle) stocked(initial map[string]int) events.Product {
	b.t.Helper()
	p := product(1, initial)
	servetest.Deliver(b.t, b.rt, events.ProductPublished{Product: p})
	return p
}

func product(version int, initial map[string]int) events.Product {
	p := events.Product{ProductID: uuid.New(), Version: version, Slug: "tee", Name: "Tee", Status: "published"}
	for sku, n := range initial {
		p.Variants = append(p.Variants, events.ProductVariant{SKU: sku, InitialStock: n})
	}
	return p
}

func (b *bundle) do(caller, method, path string, in any) servetest.Response {
	b.t.Helper()
	return servetest.Do(b.t, b.rt, method, path, "", in, "dapr-caller-app-id", caller)
}

func (b *bundle) adminDo(method, path string, in any, headers ...string) servetest.Response {
	b.t.Helper()
	return servetest.Do(b.t, b.rt, method, path, b.admin, in, headers...)
}

func account(n int) string { return fmt.Sprintf("account:%08d-0000-4000-8000-000000000000", n) }
func guest(n int) string   { return fmt.Sprintf("guest:%064x", n) }

func (b *bundle) put(shopper, sku string, quantity int) servetest.Response {
	b.t.Helper()
	return b.do("carts", "PUT", "/internal/holds/"+shopper+"/"+sku, map[string]any{"quantity": quantity})
}

func (b *bundle) holdFor(order uuid.UUID, shopper string, lines ...Line) servetest.Response {
	b.t.Helper()
	return b.do("orders", "PUT", "/internal/orders/"+order.String()+"/hold", map[string]any{"shopper": shopper, "lines": asInput(lines)})
}

func asInput(lines []Line) []lineInput {
	var in []lineInput
	for _, l := range lines {
		in = append(in, lineInput(l))
	}
	return in
}

func (b *bundle) available(sku string) int64 {
	b.t.Helper()
	found, err := b.store.availability(b.t.Context(), []string{sku})
	require.NoError(b.t, err)
	require.Len(b.t, found, 1)
	return found[0].Available
}

func (b *bundle) view(sku string) StockView {
	b.t.Helper()
	v, err := b.store.view(b.t.Context(), b.db, sku)
	require.NoError(b.t, err)
	return counted(v)
}

// counted is a SKU's numbers alone, without what it is called and when it runs out.
func counted(v StockView) StockView {
	v.ProductID, v.Name, v.Variant, v.LowAt, v.LowAtOwn = nil, "", "", 0, false
	return v
}

// crossings lists what stock.crossed told of a SKU.
func (b *bundle) crossings(sku string) []bool {
	b.t.Helper()
	var told []bool
	for _, sent := range servetest.Outbox(b.t, b.db) {
		if sent.Topic == "lot.changed.v1" {
			continue
		}
		require.Equal(b.t, "stock.crossed.v1", sent.Topic)
		var e events.StockCrossed
		require.NoError(b.t, json.Unmarshal(sent.Data, &e))
		if e.SKU == sku {
			require.Equal(b.t, int64(len(told)+1), e.Number)
			told = append(told, e.InStock)
		}
	}
	return told
}

func confirmed(id uuid.UUID) events.OrderConfirmed {
	return events.OrderConfirmed{Order: events.Order{OrderID: id, Status: "confirmed"}}
}

func cancelled(id uuid.UUID) events.OrderCancelled {
	return events.OrderCancelled{Order: events.Order{OrderID: id, Status: "cancelled", Reason: "by-customer"}}
}

func TestCartHold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 5, "CAP": 1})

	r := b.put(account(1), "TEE", 2)
	require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
	require.JSONEq(t, `{"sku": "TEE", "quantity": 2, "expires_at": "2026-03-14T12:15:00Z", "free": 3, "held": [
		{"sku": "TEE", "quantity": 2, "expires_at": "2026-03-14T12:15:00Z", "free": 3}]}`, string(r.Body))
	require.Equal(t, int64(3), b.available("TEE"))

	b.pass(5 * time.Minute)
	r = b.put(account(1), "TEE", 3)
	require.JSONEq(t, `{"sku": "TEE", "quantity": 3, "expires_at": "2026-03-14T12:15:00Z", "free": 2, "held": [
		{"sku": "TEE", "quantity": 3, "expires_at": "2026-03-14T12:15:00Z", "free": 2}]}`, string(r.Body), "not prolonged")
	r = b.put(account(1), "CAP", 1)
	require.JSONEq(t, `{"sku": "CAP", "quantity": 1, "expires_at": "2026-03-14T12:20:00Z", "free": 0, "held": [
		{"sku": "CAP", "quantity": 1, "expires_at": "2026-03-14T12:20:00Z", "free": 0},
		{"sku": "TEE", "quantity": 3, "expires_at": "2026-03-14T12:15:00Z", "free": 2}]}`, string(r.Body), "with all that the cart holds")
	require.Equal(t, http.StatusOK, b.put(account(1), "CAP", 0).Status)

	r = b.put(guest(1), "TEE", 3)
	require.Equal(t, http.StatusConflict, r.Status)
	require.Equal(t, "out-of-stock", r.Slug())
	var p struct{ Available int64 }
	r.JSON(t, &p)
	require.Equal(t, int64(2), p.Available)
	r = b.put(account(1), "TEE", 6)
	r.JSON(t, &p)
	require.Equal(t, int64(5), p.Available, "one's own hold counts")

	r = b.put(account(1), "TEE", 0)
	require.JSONEq(t, `{"sku": "TEE", "quantity": 0, "expires_at": null, "free": null, "held": []}`, string(r.Body))
	require.Equal(t, int64(5), b.available("TEE"))
	require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 0).Status, "and again")

	r = b.put(account(1), "UNKNOWN", 1)
	require.Equal(t, "out-of-stock", r.Slug())
	r.JSON(t, &p)
	require.Zero(t, p.Available)
	require.Equal(t, http.StatusOK, b.put(account(1), "UNKNOWN", 0).Status)
}

func TestCartHoldLapses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3, "CAP": 1})
	require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 3).Status)
	require.Equal(t, []bool{true, false}, b.crossings("TEE"))

	b.pass(ttl - time.Microsecond)
	require.Zero(t, b.available("TEE"))
	require.Equal(t, "out-of-stock", b.put(account(2), "TEE", 1).Slug())

	b.pass(time.Microsecond)
	require.Equal(t, int64(3), b.available("TEE"), "by time, before any sweep")
	require.Equal(t, int64(3), b.view("TEE").Available)
	require.Equal(t, int64(0), b.view("TEE").CartHeld)

	t.Run("the next hold sweeps", func(t *testing.T) {
		r := b.put(account(2), "TEE", 3)
		require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
		require.Equal(t, "out-of-stock", b.put(account(1), "TEE", 1).Slug())
		require.Equal(t, []bool{true, false}, b.crossings("TEE"), "it was gone and is gone: nothing to tell")
	})
	t.Run("the sweep tells products", func(t *testing.T) {
		b.pass(ttl)
		require.NoError(t, b.store.sweep(t.Context()))
		require.Equal(t, []bool{true, false, true}, b.crossings("TEE"))
		require.NoError(t, b.store.sweep(t.Context()))
		require.Len(t, b.crossings("TEE"), 3)
	})
	t.Run("a lapsed hold begins anew", func(t *testing.T) {
		r := b.put(account(1), "TEE", 1)
		var line HeldLine
		r.JSON(t, &line)
		require.Equal(t, b.store.now().Add(ttl), *line.ExpiresAt)
	})
}

func TestHoldAtCheckout(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.settings.HoldAt = "checkout"
	b.stocked(map[string]int{"TEE": 2})
	for i := range 5 { // everybody may have it in the cart
		r := b.put(account(i), "TEE", 2)
		require.Equal(t, http.StatusOK, r.Status)
		require.JSONEq(t, `{"sku": "TEE", "quantity": 2, "expires_at": null, "free": null, "held": []}`, string(r.Body))
	}
	r := b.put(account(1), "TEE", 3)
	require.Equal(t, "out-of-stock", r.Slug())
	require.Equal(t, float64(2), member(t, r, "available"))
	require.Equal(t, "out-of-stock", b.put(account(1), "UNKNOWN", 1).Slug())
	require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 0).Status)
	require.Equal(t, int64(2), b.available("TEE"))

	r = b.do("carts", "POST", "/internal/holds/"+guest(1)+"/transfer", map[string]any{"to": account(1), "lines": []Line{}})
	require.JSONEq(t, `{"items": []}`, string(r.Body))
	r = b.do("carts", "POST", "/internal/holds/"+guest(1)+"/transfer", map[string]any{"to": account(1), "lines": []lineInput{{"TEE", 1}}})
	require.JSONEq(t, `{"items": [{"sku": "TEE", "quantity": 1, "expires_at": null, "free": null}]}`, string(r.Body))

	require.Equal(t, http.StatusOK, b.holdFor(uuid.New(), account(1), Line{"TEE", 2}).Status)
	require.Equal(t, "out-of-stock", b.holdFor(uuid.New(), account(2), Line{"TEE", 2}).Slug())
}

func member(t *testing.T, r servetest.Response, name string) any {
	t.Helper()
	var doc map[string]any
	r.JSON(t, &doc)
	return doc[name]
}

func TestShopperCannotHoldEverything(t *testing.T) {
	t.Parallel()
	b := setup(t)
	initial := map[string]int{}
	for i := range maxSKUs + 1 {
		initial[fmt.Sprintf("SKU-%02d", i)] = 3
	}
	b.stocked(initial)
	for i := range maxSKUs {
		require.Equal(t, http.StatusOK, b.put(account(1), fmt.Sprintf("SKU-%02d", i), 1).Status)
	}
	last := fmt.Sprintf("SKU-%02d", maxSKUs)
	r := b.put(account(1), last, 1)
	require.Equal(t, http.StatusConflict, r.Status)
	require.Equal(t, "limit-reached", r.Slug())
	require.Equal(t, http.StatusOK, b.put(account(1), "SKU-00", 2).Status, "what is held can be changed")
	require.Equal(t, http.StatusOK, b.put(account(2), last, 1).Status)
	b.pass(ttl)
	require.Equal(t, http.StatusOK, b.put(account(1), last, 1).Status, "lapsed holds do not count")
}

func TestEndCart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 5, "CAP": 5})
	b.put(account(1), "TEE", 2)
	b.put(account(1), "CAP", 3)
	b.put(account(2), "CAP", 1)
	for range 2 {
		require.Equal(t, http.StatusNoContent, b.do("carts", "DELETE", "/internal/holds/"+account(1), nil).Status)
		require.Equal(t, int64(5), b.available("TEE"))
		require.Equal(t, int64(4), b.available("CAP"))
	}
}

func TestReadCart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 5, "CAP": 5})
	read := func() string { return string(b.do("carts", "GET", "/internal/holds/"+account(1), nil).Body) }
	require.JSONEq(t, `{"items": []}`, read())
	b.put(account(1), "TEE", 2)
	b.pass(time.Minute)
	b.put(account(1), "CAP", 1)
	b.put(account(2), "CAP", 3)
	require.JSONEq(t, `{"items": [{"sku": "CAP", "quantity": 1, "expires_at": "2026-03-14T12:16:00Z", "free": 1},
		{"sku": "TEE", "quantity": 2, "expires_at": "2026-03-14T12:15:00Z", "free": 3}]}`, read())
	b.pass(ttl - time.Minute)
	require.JSONEq(t, `{"items": [{"sku": "CAP", "quantity": 1, "expires_at": "2026-03-14T12:16:00Z", "free": 1}]}`, read())
	b.pass(time.Minute)
	require.JSONEq(t, `{"items": []}`, read(), "lapsed, before any sweep")
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 5, "CAP": 4, "MUG": 2, "PEN": 1})
	b.put(account(1), "TEE", 1) // ends 12:15
	b.put(guest(2), "PEN", 1)
	b.pass(3 * time.Minute)
	b.put(guest(1), "TEE", 3) // ends 12:18
	b.put(guest(1), "CAP", 2)
	b.put(guest(1), "MUG", 2) // has no line in the joined cart
	lines := []lineInput{{"TEE", 3}, {"CAP", 2}, {"PEN", 1}, {"UNKNOWN", 1}}
	for range 2 { // again: the same answer
		r := b.do("carts", "POST", "/internal/holds/"+guest(1)+"/transfer", map[string]any{"to": account(1), "lines": lines})
		require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
		require.JSONEq(t, `{"items": [
			{"sku": "CAP", "quantity": 2, "expires_at": "2026-03-14T12:18:00Z", "free": null},
			{"sku": "PEN", "quantity": 1, "expires_at": null, "free": null},
			{"sku": "TEE", "quantity": 3, "expires_at": "2026-03-14T12:15:00Z", "free": null},
			{"sku": "UNKNOWN", "quantity": 1, "expires_at": null, "free": null}]}`, string(r.Body))
		require.Equal(t, []int64{2, 2, 2, 0}, []int64{b.available("TEE"), b.available("CAP"), b.available("MUG"), b.available("PEN")})
	}
}

func TestOrderHold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 5, "CAP": 3})
	b.put(account(1), "TEE", 2)
	b.put(account(2), "TEE", 2)
	order := uuid.New()

	t.Run("short, with what this shopper may have; nothing changes", func(t *testing.T) {
		r := b.holdFor(order, account(1), Line{"TEE", 4}, Line{"CAP", 3}, Line{"UNKNOWN", 1})
		require.Equal(t, http.StatusConflict, r.Status)
		require.Equal(t, "out-of-stock", r.Slug())
		lines, err := json.Marshal(member(t, r, "lines"))
		require.NoError(t, err)
		require.JSONEq(t, `[{"sku": "TEE", "wanted": 4, "available": 3}, {"sku": "UNKNOWN", "wanted": 1, "available": 0}]`, string(lines))
		require.Equal(t, int64(1), b.available("TEE"))
		require.Equal(t, int64(3), b.available("CAP"))
	})
	t.Run("the cart's hold becomes the order's, the rest comes from free units", func(t *testing.T) {
		for range 2 { // again: the same answer, once held
			r := b.holdFor(order, account(1), Line{"TEE", 3}, Line{"CAP", 1})
			require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
			require.JSONEq(t, `{"held": true}`, string(r.Body))
			require.Equal(t, StockView{SKU: "TEE", OnHand: 5, CartHeld: 2, OrderHeld: 3, Available: 0, Listed: true, Number: 1}, b.view("TEE"))
			require.Equal(t, StockView{SKU: "CAP", OnHand: 3, OrderHeld: 1, Available: 2, Listed: true, Number: 1}, b.view("CAP"))
		}
		require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"CAP", 1}, Line{"TEE", 3}).Status, "in whatever order")
	})
	t.Run("other lines are another order", func(t *testing.T) {
		require.Equal(t, "hold-differs", b.holdFor(order, account(1), Line{"TEE", 3}).Slug())
		require.Equal(t, "hold-differs", b.holdFor(order, account(2), Line{"TEE", 3}, Line{"CAP", 1}).Slug())
	})
	t.Run("it has no clock", func(t *testing.T) {
		b.pass(24 * time.Hour)
		require.NoError(t, b.store.sweep(t.Context()))
		require.Equal(t, int64(3), b.view("TEE").OrderHeld)
		require.Equal(t, int64(2), b.available("TEE"), "carts' holds have")
	})
	t.Run("a lapsed cart hold is not the shopper's any more", func(t *testing.T) {
		b.put(account(3), "TEE", 2)
		require.Equal(t, "out-of-stock", b.holdFor(uuid.New(), account(2), Line{"TEE", 2}).Slug())
	})
	t.Run("sold", func(t *testing.T) {
		servetest.Deliver(t, b.rt, confirmed(order))
		require.Equal(t, StockView{SKU: "CAP", OnHand: 2, Available: 2, Sold: 1, Listed: true, Number: 2}, b.view("CAP"))
		require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"CAP", 1}, Line{"TEE", 3}).Status)
	})
	t.Run("given back", func(t *testing.T) {
		servetest.Deliver(t, b.rt, cancelled(order))
		require.Equal(t, StockView{SKU: "CAP", OnHand: 3, Available: 3, Listed: true, Number: 3}, b.view("CAP"))
		require.Equal(t, "hold-released", b.holdFor(order, account(1), Line{"CAP", 1}, Line{"TEE", 3}).Slug())
	})
}

// What happens to an order may arrive in any order and more than once: every sequence of up to three things, each
// done twice (events also under the same event id), ends as the rules say.
func TestEverySequence(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 1000, "CAP": 1000})
	steps := []string{"hold", "release", "confirmed", "cancelled"}
	var sequences [][]string
	for _, x := range steps {
		sequences = append(sequences, []string{x})
		for _, y := range steps {
			sequences = append(sequences, []string{x, y})
			for _, z := range steps {
				sequences = append(sequences, []string{x, y, z})
			}
		}
	}
	for _, sequence := range sequences {
		t.Run(strings.Join(sequence, ","), func(t *testing.T) {
			id := uuid.New()
			before := b.view("TEE")
			// The rules, once more and in short.
			state, byCancel := "", false
			for _, step := range sequence {
				for range 2 {
					switch step {
					case "hold":
						r := b.holdFor(id, account(1), Line{"TEE", 2}, Line{"CAP", 1})
						if state == "released" {
							require.Equal(t, "hold-released", r.Slug())
							continue
						}
						require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
						if state == "" {
							state = "held"
						}
					case "release":
						require.Equal(t, http.StatusNoContent, b.do("orders", "DELETE", "/internal/orders/"+id.String()+"/hold", nil).Status)
						state = "released"
					case "cancelled":
						event := servetest.Deliver(t, b.rt, cancelled(id))
						require.NoError(t, servetest.DeliverAs(t, b.rt, event, cancelled(id)))
						state, byCancel = "released", true
					case "confirmed":
						event := uuid.NewString()
						for range 2 {
							err := servetest.DeliverAs(t, b.rt, event, confirmed(id))
							if state == "" || (state == "released" && !byCancel) {
								require.ErrorIs(t, err, ErrNotHeld)
								require.ErrorIs(t, err, sub.Drop, "a dead letter at once")
								continue
							}
							require.NoError(t, err)
							if state == "held" {
								state = "sold"
							}
						}
					}
				}
			}
			after := b.view("TEE")
			held, sold := after.OrderHeld-before.OrderHeld, after.Sold-before.Sold
			switch state {
			case "held":
				require.Equal(t, [2]int64{2, 0}, [2]int64{held, sold})
			case "sold":
				require.Equal(t, [2]int64{0, 2}, [2]int64{held, sold})
			default:
				require.Equal(t, [2]int64{0, 0}, [2]int64{held, sold})
			}
			require.Equal(t, before.Available-held-sold, after.Available)
		})
	}
}

func TestConcurrentFatesOfOneOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 100, "CAP": 100})
	for range 20 {
		id := uuid.New()
		var all sync.WaitGroup
		for _, step := range []func(){
			func() { b.holdFor(id, account(1), Line{"TEE", 1}, Line{"CAP", 1}) },
			func() { b.holdFor(id, account(1), Line{"TEE", 1}, Line{"CAP", 1}) },
			func() { _ = servetest.DeliverAs(t, b.rt, uuid.NewString(), confirmed(id)) },
			func() { _ = servetest.DeliverAs(t, b.rt, uuid.NewString(), cancelled(id)) },
			func() { b.do("orders", "DELETE", "/internal/orders/"+id.String()+"/hold", nil) },
		} {
			all.Go(step)
		}
		all.Wait()
		require.Equal(t, int64(100), b.available("TEE"), "it was cancelled, whatever else")
		require.Equal(t, "hold-released", b.holdFor(id, account(1), Line{"TEE", 1}, Line{"CAP", 1}).Slug())
	}
}

func TestRaceForCartHolds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"HOT": 100})
	var held, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			switch r := b.put(account(i), "HOT", 1); {
			case r.Status == http.StatusOK:
				held.Add(1)
			case r.Slug() == "out-of-stock":
				refused.Add(1)
			default:
				t.Errorf("%d %s", r.Status, r.Body)
			}
		})
	}
	all.Wait()
	require.Equal(t, [2]int64{100, 400}, [2]int64{held.Load(), refused.Load()})
	require.Equal(t, StockView{SKU: "HOT", OnHand: 100, CartHeld: 100, Listed: true, Number: 1}, b.view("HOT"))
	require.Equal(t, []bool{true, false}, b.crossings("HOT"))
}

func TestRaceForOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"HOT": 100, "TEE": 1000})
	for i := range 50 { // some come with a hold, and get it
		require.Equal(t, http.StatusOK, b.put(account(i), "HOT", 1).Status)
	}
	var held, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() {
			lines := []Line{{"HOT", 1}, {"TEE", 1}}
			if i%2 == 0 {
				slices.Reverse(lines)
			}
			id := uuid.New()
			switch r := b.holdFor(id, account(i), lines...); {
			case r.Status == http.StatusOK:
				held.Add(1)
				if err := servetest.DeliverAs(t, b.rt, uuid.NewString(), confirmed(id)); err != nil {
					t.Error(err)
				}
			case r.Slug() == "out-of-stock" && i >= 50:
				refused.Add(1)
			default:
				t.Errorf("%d: %d %s", i, r.Status, r.Body)
			}
		})
	}
	all.Wait()
	require.Equal(t, [2]int64{100, 400}, [2]int64{held.Load(), refused.Load()})
	require.Equal(t, StockView{SKU: "HOT", Sold: 100, Listed: true, Number: 101}, b.view("HOT"))
	require.Equal(t, StockView{SKU: "TEE", OnHand: 900, Sold: 100, Available: 900, Listed: true, Number: 101}, b.view("TEE"))
}

// Everything at once, from two instances, on few SKUs: nothing deadlocks and the books are right in the end.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 20, "B": 20, "C": 20})
	skus := []string{"A", "B", "C"}
	other := b.another()
	ctx := t.Context()
	refusal := func(err error) {
		var p *problem.Error
		if err != nil && !errors.As(err, &p) && !errors.Is(err, ErrNotHeld) {
			t.Error(err)
		}
	}
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			var mine []uuid.UUID
			for range 40 {
				shopper, sku := account(random.IntN(6)), skus[random.IntN(3)]
				quantity := int64(random.IntN(4))
				switch random.IntN(8) {
				case 0, 1:
					refusal(b.holdCart(ctx, shopper, sku, quantity))
				case 2:
					refusal(other.holdCart(ctx, shopper, sku, quantity))
				case 3:
					id := uuid.New()
					mine = append(mine, id)
					var instead uuid.UUID
					if len(mine) > 1 && random.IntN(2) == 0 {
						instead = mine[random.IntN(len(mine)-1)]
					}
					refusal([]*service{b.service, other}[random.IntN(2)].holdOrder(ctx, id, shopper, []Line{{"C", 1}, {sku, quantity + 1}, {"A", 1}}, instead))
				case 4:
					refusal(b.store.endCart(ctx, shopper))
				case 5:
					_, err := b.store.merge(ctx, guest(random.IntN(3)), shopper, []Line{{"B", 1}, {sku, quantity + 1}})
					refusal(err)
				case 6:
					refusal(pg.InTx(ctx, b.db, func(tx pgx.Tx) error {
						_, err := b.store.move(ctx, tx, sku, int64(random.IntN(2))*4-2, "counted", "test")
						return err
					}))
				case 7:
					b.pass(time.Minute)
					refusal(b.store.sweep(ctx))
				}
				if len(mine) > 0 && random.IntN(2) == 0 {
					id := mine[random.IntN(len(mine))]
					refusal(pg.InTx(ctx, b.db, func(tx pgx.Tx) error {
						if random.IntN(2) == 0 {
							return b.store.sell(ctx, tx, id)
						}
						return b.store.release(ctx, tx, ending{id, []Reason{ByCancel, ByDecline}[random.IntN(2)]})
					}))
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, b.store.sweep(ctx))
}

func TestAskOrders(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status string
		want   StockView
		again  bool // asked again
	}{
		"pending":   {"pending", StockView{OnHand: 5, OrderHeld: 2, Available: 3}, true},
		"no answer": {"", StockView{OnHand: 5, OrderHeld: 2, Available: 3}, true},
		"odd":       {"strange", StockView{OnHand: 5, OrderHeld: 2, Available: 3}, true},
		"confirmed": {"confirmed", StockView{OnHand: 3, Sold: 2, Available: 3}, false},
		"shipped":   {"shipped", StockView{OnHand: 3, Sold: 2, Available: 3}, false},
		"delivered": {"delivered", StockView{OnHand: 3, Sold: 2, Available: 3}, false},
		"cancelled": {"cancelled by-shop", StockView{OnHand: 5, Available: 5}, false},
		"declined":  {"cancelled payment-declined", StockView{OnHand: 5, CartHeld: 2, Available: 3}, false},
		"void":      {"void", StockView{OnHand: 5, Available: 5}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.stocked(map[string]int{"TEE": 5})
			id := uuid.New()
			if tt.status != "" {
				b.decisions[id] = tt.status
			}
			require.Equal(t, http.StatusOK, b.holdFor(id, account(1), Line{"TEE", 2}).Status)
			b.pass(b.settings.AskAfter - time.Microsecond)
			require.NoError(t, b.askOrders().Run(t.Context()))
			require.Empty(t, *b.asked, "too young")

			b.pass(time.Microsecond)
			err := b.askOrders().Run(t.Context())
			require.Equal(t, tt.status == "", err != nil)
			require.Equal(t, [][]uuid.UUID{{id}}, *b.asked)
			got := b.view("TEE")
			tt.want.SKU, tt.want.Listed, tt.want.Number = "TEE", true, got.Number
			require.Equal(t, tt.want, got)

			_ = b.askOrders().Run(t.Context())
			require.Equal(t, tt.again, len(*b.asked) == 2)
		})
	}
}

// Many old holds are asked about in pages, from the oldest on, and nothing is written about those that stay as they
// are. One that orders fails with, and one whose answer cannot be applied, hold nobody up.
func TestAskOrdersAboutMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 1000})
	const orders = 403
	ids := make([]uuid.UUID, orders)
	for i := range ids {
		ids[i] = uuid.New()
		b.decisions[ids[i]] = "pending"
		require.NoError(t, b.holdOrder(t.Context(), ids[i], account(i), []Line{{"TEE", 1}}, uuid.Nil))
		b.pass(time.Microsecond)
	}
	b.pass(b.settings.AskAfter)
	versions := func() (n int) {
		require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(DISTINCT xmin::text) FROM order_holds`).Scan(&n))
		return n
	}
	before := versions()
	require.NoError(t, b.askOrders().Run(t.Context()))
	require.Equal(t, [][]uuid.UUID{ids[:200], ids[200:400], ids[400:]}, *b.asked)
	require.Equal(t, before, versions(), "a question writes nothing")

	*b.asked = nil
	b.decisions = map[uuid.UUID]string{}
	require.Error(t, b.askOrders().Run(t.Context()))
	require.Less(t, len(*b.asked), 20, "orders is away: it is not asked about each")

	for _, id := range ids {
		b.decisions[id] = "void"
	}
	delete(b.decisions, ids[123])
	b.decisions[ids[300]] = "strange"
	require.NoError(t, b.askOrders().Run(t.Context()))
	require.Equal(t, int64(998), b.available("TEE"))

	b.decisions[ids[123]], b.decisions[ids[300]] = "void", "void"
	require.NoError(t, b.askOrders().Run(t.Context()))
	require.Equal(t, int64(1000), b.available("TEE"))
}

// However orders fails, a hold stays as it is, and orders is asked again.
func TestAskOrdersUnwell(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 5})
	id := uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(id, account(1), Line{"TEE", 2}).Status)
	b.pass(b.settings.AskAfter)
	untouched := b.view("TEE")
	servetest.Unwell(t, b.rt, "orders", void, func(ctx context.Context, how string) {
		require.Error(t, b.askOrders().Run(ctx), how)
		require.Equal(t, untouched, b.view("TEE"), how)
	})
	b.decisions[id] = "void"
	servetest.Neighbour(t, b.rt, "orders", void, b.voids)
	require.NoError(t, b.askOrders().Run(t.Context()))
	require.Equal(t, int64(5), b.available("TEE"))
}

// What products published, and no event told, is stocked; until products answers nothing is.
func TestMissedProducts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const published = "GET /internal/events"
	data, err := json.Marshal(events.ProductPublished{Product: product(1, map[string]int{"TEE": 3})})
	require.NoError(t, err)
	told := []outbox.Published{{ID: uuid.New(), Topic: events.ProductPublished{}.Topic(), Data: data}}
	missed := b.rt.Subs.Missed("products", time.Minute)
	servetest.Unwell(t, b.rt, "products", published, func(ctx context.Context, how string) {
		require.Error(t, missed(ctx), how)
		require.Equal(t, http.StatusNotFound, servetest.Do(t, b.rt, "GET", "/api/v1/availability/TEE", "", nil).Status, how)
	})
	servetest.Neighbour(t, b.rt, "products", published, servetest.Feed(&told))
	require.NoError(t, missed(t.Context()))
	require.Equal(t, int64(3), b.available("TEE"))
}

// While one instance asks, another does not.
func TestOneInstanceAsks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 5})
	id := uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(id, account(1), Line{"TEE", 2}).Status)
	b.pass(b.settings.AskAfter)
	b.decisions[id] = "pending"
	meanwhile := 0
	servetest.Neighbour(t, b.rt, "orders", void, func(w http.ResponseWriter, r *http.Request) {
		meanwhile++
		if err := b.askOrders().Run(r.Context()); err != nil {
			t.Error(err)
		}
		b.voids(w, r)
	})
	require.NoError(t, b.askOrders().Run(t.Context()))
	require.Equal(t, 1, meanwhile)
}

// An event that was lost, or is dead, is made up for by what orders lists: sold units of a cancelled order come back.
func TestPullOutcomes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 9})
	sold, held, declined, lost := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	for i, id := range []uuid.UUID{sold, held, declined} {
		require.Equal(t, http.StatusOK, b.holdFor(id, account(i), Line{"TEE", 2}).Status)
	}
	servetest.Deliver(t, b.rt, confirmed(sold))
	*b.told = []map[string]any{
		decided(lost, "confirmed", ""), decided(sold, "confirmed", ""), decided(held, "confirmed", ""),
		decided(declined, "cancelled", "payment-declined"),
	}
	untouched := b.view("TEE")
	servetest.Unwell(t, b.rt, "orders", outcomes, func(ctx context.Context, how string) {
		require.Error(t, b.pullOutcomes().Run(ctx), how)
		require.Equal(t, untouched, b.view("TEE"), how)
	})
	servetest.Neighbour(t, b.rt, "orders", outcomes, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("behind") != "120" {
			t.Errorf("outcomes are asked for by %s", r.URL.RawQuery)
		}
		servetest.Feed(b.told)(w, r)
	})
	require.NoError(t, b.pullOutcomes().Run(t.Context()))
	require.Equal(t, StockView{SKU: "TEE", OnHand: 5, CartHeld: 2, Sold: 4, Available: 3, Listed: true, Number: 3}, b.view("TEE"))

	*b.told = append(*b.told, decided(sold, "cancelled", "by-customer"), decided(held, "cancelled", "by-shop"),
		decided(declined, "cancelled", "payment-declined"))
	require.NoError(t, b.pullOutcomes().Run(t.Context()))
	require.Equal(t, StockView{SKU: "TEE", OnHand: 9, CartHeld: 2, Available: 7, Listed: true, Number: 5}, b.view("TEE"))
	servetest.Deliver(t, b.rt, cancelled(sold)) // late
	require.Equal(t, int64(7), b.available("TEE"))
	var failed int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM feed_failures WHERE item ->> 'order_id' = $1`, lost.String()).Scan(&failed))
	require.Equal(t, 1, failed, "an order that was paid and holds nothing is kept for people, and tried again")
}

func TestProducts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := product(2, map[string]int{"TEE-S": 3, "TEE-M": 0})
	event := servetest.Deliver(t, b.rt, events.ProductPublished{Product: p})
	require.NoError(t, servetest.DeliverAs(t, b.rt, event, events.ProductPublished{Product: p}))
	require.Equal(t, int64(3), b.available("TEE-S"))
	require.Equal(t, []bool{true}, b.crossings("TEE-S"))
	require.Empty(t, b.crossings("TEE-M"), "nothing came, nothing went")
	status := func(sku string) int {
		return servetest.Do(t, b.rt, "GET", "/api/v1/availability/"+sku, "", nil).Status
	}
	require.Equal(t, http.StatusOK, status("TEE-S"))

	p.Version, p.Variants = 3, []events.ProductVariant{{SKU: "TEE-S", InitialStock: 50}, {SKU: "TEE-L", InitialStock: 7}}
	servetest.Deliver(t, b.rt, events.ProductChanged{Product: p})
	require.Equal(t, int64(3), b.available("TEE-S"), "initial stock counts once")
	require.Equal(t, int64(7), b.available("TEE-L"))
	require.Equal(t, http.StatusNotFound, status("TEE-M"), "no variant any more")

	late := p
	late.Version, late.Status = 5, "unlisted"
	servetest.Deliver(t, b.rt, events.ProductWithdrawn{Product: late})
	late.Version, late.Status = 4, "published"
	late.Variants = []events.ProductVariant{{SKU: "TEE-XL", InitialStock: 1}}
	servetest.Deliver(t, b.rt, events.ProductChanged{Product: late})
	require.Equal(t, http.StatusNotFound, status("TEE-S"), "withdrawn came last, though it arrived first")
	require.Equal(t, http.StatusNotFound, status("TEE-XL"))
	require.Equal(t, int64(3), b.available("TEE-S"), "neighbours still see it")

	p.Version = 6
	servetest.Deliver(t, b.rt, events.ProductPublished{Product: p})
	require.Equal(t, http.StatusOK, status("TEE-S"))
}

// TestSKUOfAnySign goes with one through all paths that name a SKU.
func TestSKUOfAnySign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const sku = "Any / +ü% 41"
	servetest.Deliver(t, b.rt, events.ProductPublished{Product: product(1, map[string]int{sku: 3, "..": 1})})
	at := skus.Segment(sku)
	require.Equal(t, http.StatusOK, servetest.Do(t, b.rt, "GET", "/api/v1/availability/"+at, "", nil).Status)
	require.Equal(t, http.StatusOK, servetest.Do(t, b.rt, "GET", "/api/v1/availability/"+skus.Segment(".."), "", nil).Status)
	require.Equal(t, http.StatusUnprocessableEntity, servetest.Do(t, b.rt, "GET", "/api/v1/availability/~_w", "", nil).Status)
	require.Equal(t, http.StatusOK, b.put(account(1), at, 2).Status)
	require.Equal(t, int64(1), b.available(sku))
	stock := map[string]any{"quantity": 9, "reason": "import", "key": "k"}
	require.Equal(t, http.StatusOK, b.do("products", "PUT", "/internal/stock/"+at, stock).Status)
	for _, what := range []string{"", "/ledger"} {
		require.Contains(t, string(b.adminDo("GET", "/api/v1/admin/inventory/"+at+what, nil).Body), `"sku":"Any / +ü% 41"`, what)
	}
	require.Contains(t, string(b.adminDo("GET", "/api/v1/admin/inventory/"+at+"/holds", nil).Body), `"quantity":2`)
}

func TestProductsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := product(1, map[string]int{"A": 1, "B": 2, "C": 3})
	var all sync.WaitGroup
	for version := range 8 {
		all.Go(func() {
			p := p
			p.Version = version + 1
			if err := servetest.DeliverAs(t, b.rt, uuid.NewString(), events.ProductChanged{Product: p}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, []int64{1, 2, 3}, []int64{b.available("A"), b.available("B"), b.available("C")})
}

func TestAvailability(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3, "CAP": 1})
	b.put(account(1), "CAP", 1)
	r := servetest.Do(t, b.rt, "GET", "/api/v1/availability/TEE", "", nil)
	require.Equal(t, http.StatusOK, r.Status)
	require.JSONEq(t, `{"sku": "TEE", "available": 3, "as_of": "2026-03-14T12:00:00Z"}`, string(r.Body))
	require.Equal(t, "public, max-age=1", r.Header.Get("Cache-Control"))
	r = servetest.Do(t, b.rt, "GET", "/api/v1/availability/NONE", "", nil)
	require.Equal(t, http.StatusNotFound, r.Status)
	require.Equal(t, "sku-not-found", r.Slug())
	r = servetest.Do(t, b.rt, "GET", "/api/v1/availability/TEE", "forged", nil)
	require.Equal(t, http.StatusUnauthorized, r.Status, "a bad token is never a guest")

	r = b.do("products", "POST", "/internal/availability", map[string]any{"skus": []string{"TEE", "NONE", "CAP"}})
	require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
	require.JSONEq(t, `{"items": [{"sku": "CAP", "available": 0, "as_of": "2026-03-14T12:00:00Z"}, {"sku": "TEE", "available": 3, "as_of": "2026-03-14T12:00:00Z"}]}`, string(r.Body))
	r = b.do("products", "POST", "/internal/availability", map[string]any{"skus": []string{}})
	require.JSONEq(t, `{"items": []}`, string(r.Body))
}

func TestMovements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3, "CAP": 0})
	b.put(account(1), "TEE", 2)
	path := "/api/v1/admin/inventory/TEE/movements"

	r := b.adminDo("POST", path, map[string]any{"delta": 4, "reason": " delivery 17 "}, "Idempotency-Key", "k1")
	require.Equal(t, http.StatusCreated, r.Status, "%.300s", r.Body)
	var e Entry
	r.JSON(t, &e)
	require.Equal(t, Entry{SKU: "TEE", Number: 2, Kind: "movement", Delta: 4, Before: 3, After: 7, Reason: "delivery 17", Ref: e.Ref, At: noon}, e)

	again := b.adminDo("POST", path, map[string]any{"delta": 4, "reason": " delivery 17 "}, "Idempotency-Key", "k1")
	require.Equal(t, http.StatusCreated, again.Status)
	require.Equal(t, string(r.Body), string(again.Body))
	require.Equal(t, int64(7), b.view("TEE").OnHand)
	require.Equal(t, "idempotency-key-reused", b.adminDo("POST", path, map[string]any{"delta": 5, "reason": "x"}, "Idempotency-Key", "k1").Slug())
	require.Equal(t, "idempotency-key-reused", b.adminDo("POST", "/api/v1/admin/inventory/CAP/movements",
		map[string]any{"delta": 4, "reason": " delivery 17 "}, "Idempotency-Key", "k1").Slug())
	require.Equal(t, "idempotency-key-required", b.adminDo("POST", path, map[string]any{"delta": 5, "reason": "x"}).Slug())

	r = b.adminDo("POST", path, map[string]any{"delta": -6, "reason": "broken"}, "Idempotency-Key", "k2")
	require.Equal(t, http.StatusConflict, r.Status)
	require.Equal(t, "stock-held", r.Slug())
	require.Equal(t, float64(5), member(t, r, "available"))
	r = b.adminDo("POST", path, map[string]any{"delta": -5, "reason": "broken"}, "Idempotency-Key", "k2")
	require.Equal(t, http.StatusCreated, r.Status, "an error frees the key")
	require.Equal(t, []bool{true, false}, b.crossings("TEE"))
	require.Equal(t, "sku-not-found", b.adminDo("POST", "/api/v1/admin/inventory/NONE/movements", map[string]any{"delta": 5, "reason": "x"}, "Idempotency-Key", "k3").Slug())

	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			r := b.adminDo("POST", path, map[string]any{"delta": 10, "reason": "one delivery"}, "Idempotency-Key", "k4")
			if r.Status != http.StatusCreated && r.Slug() != "request-in-progress" {
				t.Errorf("%d %s", r.Status, r.Body)
			}
		})
	}
	all.Wait()
	require.Equal(t, int64(12), b.view("TEE").OnHand)
}

func TestSetStock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3})
	b.put(account(1), "TEE", 2)
	set := func(sku string, quantity int, key string) servetest.Response {
		return b.do("products", "PUT", "/internal/stock/"+sku, map[string]any{"quantity": quantity, "reason": "import", "key": key})
	}
	r := set("TEE", 10, "import-1/TEE")
	require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
	var v StockView
	r.JSON(t, &v)
	require.Equal(t, StockView{SKU: "TEE", OnHand: 10, CartHeld: 2, Available: 8, Listed: true, Number: 2}, counted(v))
	require.Equal(t, http.StatusOK, set("TEE", 4, "import-2/TEE").Status)
	require.Equal(t, string(r.Body), string(set("TEE", 10, "import-1/TEE").Body), "a key works once")
	require.Equal(t, int64(4), b.view("TEE").OnHand)
	require.Equal(t, http.StatusOK, set("TEE", 4, "import-3/TEE").Status)
	require.Equal(t, int64(3), b.view("TEE").Number, "nothing moved, nothing is entered")

	r = set("TEE", 1, "import-4/TEE")
	require.Equal(t, "stock-held", r.Slug())
	require.Equal(t, float64(2), member(t, r, "available"))

	require.Equal(t, "sku-not-found", set("NEW", 6, "import-1/NEW").Slug(), "its event has not come yet")
	b.stocked(map[string]int{"NEW": 99})
	require.Equal(t, http.StatusOK, set("NEW", 6, "import-1/NEW").Status, "an error frees the key")
	require.Equal(t, int64(6), b.available("NEW"))
}

func TestLists(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 20, "B": 1, "C": 1})
	order := uuid.New()
	b.holdFor(order, account(9), Line{"A", 3})
	for i := range 3 {
		b.put(account(i), "A", 1)
		r := b.adminDo("POST", "/api/v1/admin/inventory/A/movements", map[string]any{"delta": 1, "reason": fmt.Sprint("box ", i)}, "Idempotency-Key", fmt.Sprint(i))
		require.Equal(t, http.StatusCreated, r.Status)
	}
	all := func(path string) []map[string]any { return servetest.Pages(t, b.rt, b.admin, path+"?", 2) }
	column := func(items []map[string]any, name string) (values []any) {
		for _, item := range items {
			values = append(values, item[name])
		}
		return values
	}
	require.Equal(t, []any{"A", "B", "C"}, column(all("/api/v1/admin/inventory"), "sku"))
	ledger := all("/api/v1/admin/inventory/A/ledger")
	require.Equal(t, []any{4.0, 3.0, 2.0, 1.0}, column(ledger, "number"))
	require.Equal(t, []any{"box 2", "box 1", "box 0", "initial stock"}, column(ledger, "reason"))
	require.Equal(t, []any{22.0, 21.0, 20.0, 0.0}, column(ledger, "before"))
	holds := all("/api/v1/admin/inventory/A/holds")
	require.Equal(t, []any{account(0), account(1), account(2), order.String()}, column(holds, "holder"))
	require.Equal(t, []any{"2026-03-14T12:15:00Z", "2026-03-14T12:15:00Z", "2026-03-14T12:15:00Z", nil}, column(holds, "expires_at"))
	var v StockView
	b.adminDo("GET", "/api/v1/admin/inventory/A", nil).JSON(t, &v)
	require.Equal(t, StockView{SKU: "A", OnHand: 23, CartHeld: 3, OrderHeld: 3, Available: 17, Listed: true, Number: 4}, counted(v))
	for query, want := range map[string]int{"ledger?kind=movement": 3, "ledger?kind=sale": 0, "holds?kind=cart": 3, "holds?kind=order": 1} {
		var list struct{ Items []any }
		b.adminDo("GET", "/api/v1/admin/inventory/A/"+query, nil).JSON(t, &list)
		require.Len(t, list.Items, want, query)
	}
	servetest.Sorts(t, b.rt, b.admin, "/api/v1/admin/inventory/A/ledger", map[string]string{"newest": "-number", "oldest": "number"})
	servetest.Sorts(t, b.rt, b.admin, "/api/v1/admin/inventory/A/holds", map[string]string{
		"holder": "kind", "-holder": "-kind", "quantity": "quantity", "-quantity": "-quantity", "until": "expires_at", "-until": "-expires_at",
	})
	for _, bad := range []string{"ledger?kind=theft", "ledger?sort=reason", "holds?kind=thief", "holds?sort=newest"} {
		require.Equal(t, "invalid", b.adminDo("GET", "/api/v1/admin/inventory/A/"+bad, nil).Slug(), bad)
	}
	for _, path := range []string{"/api/v1/admin/inventory/NONE", "/api/v1/admin/inventory/NONE/ledger", "/api/v1/admin/inventory/NONE/holds"} {
		require.Equal(t, "sku-not-found", b.adminDo("GET", path, nil).Slug())
	}
}

func TestStockFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	goods := product(1, map[string]int{"TEE-M": 5, "TEE-L": 0, "CAP_1": 2, "CAP-2": 2, "MUG": 9})
	goods.Name = "Goods"
	servetest.Deliver(t, b.rt, events.ProductPublished{Product: goods})
	b.put(account(1), "MUG", 8)
	order := uuid.New()
	b.holdFor(order, account(2), Line{"TEE-M", 2})
	list := func(query string) (skus []string, next *string) {
		t.Helper()
		r := b.adminDo("GET", "/api/v1/admin/inventory?"+query, nil)
		require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
		var list struct {
			Items      []StockView
			NextCursor *string `json:"next_cursor"`
		}
		r.JSON(t, &list)
		for _, v := range list.Items {
			skus = append(skus, v.SKU)
		}
		return skus, list.NextCursor
	}
	for query, want := range map[string][]string{
		"q=tee":                                  {"TEE-L", "TEE-M"},
		"q=-m":                                   {"TEE-M"},
		"q=_":                                    {"CAP_1"},
		"q=%25":                                  nil,
		"q=%27+OR+1=1+--":                        nil,
		"available_below=1":                      {"TEE-L"},
		"available_below=2":                      {"MUG", "TEE-L"},
		"available_below=2&sort=available":       {"TEE-L", "MUG"},
		"available_below=4&q=TEE&sort=available": {"TEE-L", "TEE-M"},
	} {
		got, _ := list(query)
		require.Equal(t, want, got, query)
	}
	all, _ := list("sort=available")
	require.Equal(t, []string{"TEE-L", "MUG"}, all[:2])
	require.ElementsMatch(t, []string{"CAP_1", "CAP-2"}, all[2:4], "as many of both")
	require.Equal(t, "TEE-M", all[4])
	var f Figures
	b.adminDo("GET", "/api/v1/admin/inventory/figures?low=1", nil).JSON(t, &f)
	require.Equal(t, Figures{SKUs: 5, OnHand: 18, CartHeld: 8, OrderHeld: 2, Available: 8, None: 1, Low: 2}, f)
	b.pass(ttl)
	b.adminDo("GET", "/api/v1/admin/inventory/figures", nil).JSON(t, &f)
	require.Equal(t, Figures{SKUs: 5, OnHand: 18, OrderHeld: 2, Available: 16, None: 1, Low: 4}, f)
	got, _ := list("available_below=2")
	require.Equal(t, []string{"TEE-L"}, got, "a hold that has lapsed counts for nothing")
	servetest.Deliver(t, b.rt, confirmed(order))
	b.put(account(3), "MUG", 3)
	b.put(account(3), "CAP-2", 1)
	b.holdFor(uuid.New(), account(4), Line{"CAP_1", 1}, Line{"TEE-M", 2})
	servetest.Sorts(t, b.rt, b.admin, "/api/v1/admin/inventory", map[string]string{
		"sku": "sku", "-sku": "-sku", "available": "available", "-available": "-available", "sold": "sold", "-sold": "-sold",
		"cart_held": "cart_held", "-cart_held": "-cart_held", "order_held": "order_held", "-order_held": "-order_held",
	})
	for _, bad := range []string{"available_below=0", "available_below=-1", "available_below=x", "sort=weight", "cursor=forged", "q=" + strings.Repeat("a", 256)} {
		require.Equal(t, "invalid", b.adminDo("GET", "/api/v1/admin/inventory?"+bad, nil).Slug(), bad)
	}
}

// TestLabels: a SKU is found by what it is called, however that came to be known.
func TestLabels(t *testing.T) {
	t.Parallel()
	b := setup(t)
	list := func(query string) (found []StockView) {
		t.Helper()
		r := b.adminDo("GET", "/api/v1/admin/inventory?"+query, nil)
		require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
		var list struct{ Items []StockView }
		r.JSON(t, &list)
		return list.Items
	}
	names := func(query string) (names []string) {
		t.Helper()
		for _, v := range list("q=" + url.QueryEscape(query)) {
			names = append(names, strings.TrimSpace(v.SKU+" "+v.Name+" "+v.Variant))
		}
		return names
	}
	lamp := product(1, nil)
	lamp.Name = "Lampe Été"
	for i := range 200 {
		lamp.Variants = append(lamp.Variants, events.ProductVariant{
			SKU: fmt.Sprintf("L-%03d", i), Variant: fmt.Sprintf("M / Größe %d", i), InitialStock: 10,
		})
	}
	servetest.Deliver(t, b.rt, events.ProductPublished{Product: lamp})
	require.Len(t, list("limit=100&q=lampe"), 100)
	require.Equal(t, []string{"L-150 Lampe Été M / Größe 150"}, names("ETE grosse 150"))
	require.Equal(t, []string{"L-150 Lampe Été M / Größe 150"}, names("l-150"))
	require.Equal(t, &lamp.ProductID, list("q=l-150")[0].ProductID)
	require.Empty(t, names("lampe%"))
	require.Len(t, list("limit=100&product_id="+lamp.ProductID.String()), 100)
	require.Empty(t, list("product_id="+uuid.NewString()))
	require.Equal(t, "invalid", b.adminDo("GET", "/api/v1/admin/inventory?product_id=x", nil).Slug())

	// A new name, and an event of before that knows options alone.
	lamp.Version, lamp.Name = 2, "Lamp"
	lamp.Variants = []events.ProductVariant{{SKU: "L-000", Options: map[string]string{"Size": "M", "Colour": "Red"}}}
	servetest.Deliver(t, b.rt, events.ProductChanged{Product: lamp})
	require.Equal(t, []string{"L-000 Lamp Red / M"}, names("lamp red"))
	require.Empty(t, names("lampe grosse 0 l-000"))
	late := lamp
	late.Version, late.Name = 1, "Late"
	servetest.Deliver(t, b.rt, events.ProductChanged{Product: late})
	require.Empty(t, names("late"))

	// SKUs of before there were labels: products is asked, once, and knows all but one.
	old := product(1, map[string]int{"OLD-1": 1, "OLD-2": 2})
	servetest.Deliver(t, b.rt, events.ProductPublished{Product: old})
	_, err := b.db.Exec(t.Context(), `DELETE FROM labels WHERE sku LIKE 'OLD%'`)
	require.NoError(t, err)
	require.Equal(t, []string{"OLD-1"}, names("old-1"))
	asked := 0
	servetest.Neighbour(t, b.rt, "products", "POST /internal/variants", func(w http.ResponseWriter, r *http.Request) {
		asked++
		servetest.Answers(servetest.Like(t, "products", "POST /internal/variants", map[string]any{
			"items": []any{map[string]any{"sku": "OLD-1", "name": "Old Lamp", "variant": "S"}},
		}))(w, r)
	})
	for range 2 {
		require.NoError(t, b.labelOld(t.Context()))
	}
	require.Equal(t, 1, asked)
	require.Equal(t, []string{"OLD-1 Old Lamp S"}, names("old lamp"))
	require.Equal(t, []string{"OLD-2"}, names("old-2"))

}

// TestLowAt: a SKU runs out at five, unless the shop says otherwise.
func TestLowAt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"L-007": 10, "OLD-1": 1, "OLD-2": 2})
	low := func() (skus []string) {
		var list struct{ Items []StockView }
		b.adminDo("GET", "/api/v1/admin/inventory?low=true", nil).JSON(t, &list)
		for _, v := range list.Items {
			skus = append(skus, v.SKU)
		}
		f, err := b.store.figures(t.Context(), -1)
		require.NoError(t, err)
		require.Len(t, skus, int(f.Low), "counted as listed")
		return skus
	}
	set := func(sku string, n any) servetest.Response {
		return b.adminDo("PUT", "/api/v1/admin/inventory/"+sku+"/low-at", map[string]any{"low_at": n})
	}
	var v StockView
	set("L-007", 10).JSON(t, &v)
	require.Equal(t, []any{int64(10), true}, []any{v.LowAt, v.LowAtOwn})
	set("OLD-1", 0).JSON(t, &v)
	require.Equal(t, []any{int64(0), true}, []any{v.LowAt, v.LowAtOwn})
	require.Equal(t, []string{"L-007", "OLD-2"}, low())
	set("OLD-1", nil).JSON(t, &v)
	require.Equal(t, []any{int64(5), false}, []any{v.LowAt, v.LowAtOwn})
	require.Equal(t, []string{"L-007", "OLD-1", "OLD-2"}, low())
	set("L-007", nil)
	require.Equal(t, []string{"OLD-1", "OLD-2"}, low(), "five, unless the shop says otherwise")
	require.Equal(t, "sku-not-found", set("NONE", 1).Slug())
	require.Equal(t, "invalid", set("L-007", -1).Slug())
	require.Equal(t, "invalid", set("L-007", "x").Slug())
}

func TestGiveHoldBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3, "CAP": 3})
	b.put(account(1), "TEE", 3)
	b.put(account(1), "CAP", 1)
	b.put(account(2), "CAP", 1)
	require.Equal(t, []bool{true, false}, b.crossings("TEE"))
	holder := func(sku, who string) servetest.Response {
		return b.adminDo("DELETE", "/api/v1/admin/inventory/"+sku+"/holds/"+who, nil)
	}
	require.Equal(t, http.StatusNoContent, holder("TEE", account(1)).Status)
	require.Equal(t, int64(3), b.view("TEE").Available)
	require.Equal(t, []bool{true, false, true}, b.crossings("TEE"), "products hears of it")
	require.Equal(t, int64(2), b.view("CAP").CartHeld, "the others stay")
	require.Equal(t, "hold-not-found", holder("TEE", account(1)).Slug())
	for _, not := range [][2]string{{"TEE", account(2)}, {"NONE", account(1)}, {"CAP", "x"}, {"CAP", "%27%20OR%201=1"}} {
		require.Equal(t, "hold-not-found", holder(not[0], not[1]).Slug(), not)
	}
	b.pass(ttl)
	require.Equal(t, "hold-not-found", holder("CAP", account(1)).Slug(), "it has lapsed")

	order := uuid.New()
	b.holdFor(order, account(3), Line{"CAP", 2})
	require.Equal(t, "hold-of-an-order", holder("CAP", order.String()).Slug())
	require.Equal(t, int64(2), b.view("CAP").OrderHeld)
	require.Equal(t, "invalid", holder("CAP", strings.Repeat("a", 141)).Slug())
	require.Equal(t, http.StatusForbidden, servetest.Do(t, b.rt, "DELETE", "/api/v1/admin/inventory/CAP/holds/"+account(1),
		servetest.Token(t, uuid.New(), "shopper@stampede.test", "USER"), nil).Status)
}

func TestStoryOfAnOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3, "CAP": 3})
	order := uuid.New()
	read := func(id uuid.UUID) (v OrderHoldView) {
		t.Helper()
		r := b.adminDo("GET", "/api/v1/admin/inventory/order-holds/"+id.String(), nil)
		require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
		r.JSON(t, &v)
		return v
	}
	path := "/api/v1/admin/inventory/order-holds/"
	require.Equal(t, "hold-not-found", b.adminDo("GET", path+order.String(), nil).Slug())
	b.holdFor(order, account(1), Line{"TEE", 2}, Line{"CAP", 1})
	v := read(order)
	require.Equal(t, OrderHoldView{OrderID: order, Shopper: account(1), State: "held", HeldAt: noon, ChangedAt: noon,
		Lines: []HoldLine{{SKU: "CAP", Quantity: 1}, {SKU: "TEE", Quantity: 2}}, Ledger: []Entry{}}, v)
	servetest.Deliver(t, b.rt, events.OrderConfirmed{Order: events.Order{OrderID: order}})
	b.pass(time.Minute)
	servetest.Deliver(t, b.rt, events.OrderCancelled{Order: events.Order{OrderID: order, Reason: "by-shop"}})
	v = read(order)
	require.Equal(t, State("released"), v.State)
	require.Equal(t, Reason("cancelled"), *v.ReleaseReason)
	var story []string
	for _, e := range v.Ledger {
		story = append(story, fmt.Sprint(e.SKU, " ", e.Kind, " ", e.Delta))
	}
	require.Equal(t, []string{"CAP sale -1", "TEE sale -2", "CAP return 1", "TEE return 2"}, story)

	tombstone := uuid.New()
	servetest.Deliver(t, b.rt, events.OrderCancelled{Order: events.Order{OrderID: tombstone}})
	require.Empty(t, read(tombstone).Lines)
	require.Equal(t, "invalid", b.adminDo("GET", path+"x", nil).Slug())
	require.Equal(t, http.StatusUnauthorized, servetest.Do(t, b.rt, "GET", path+order.String(), "", nil).Status)
}

func TestAccess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3})
	user := servetest.Token(t, uuid.New(), "shopper@stampede.test", "USER")
	expired := servetest.TokenUntil(t, uuid.New(), "ops@stampede.test", time.Now().Add(-time.Minute), "ADMIN")
	for _, route := range []string{
		"GET /api/v1/admin/inventory", "GET /api/v1/admin/inventory/TEE", "POST /api/v1/admin/inventory/TEE/movements",
		"GET /api/v1/admin/inventory/TEE/ledger", "GET /api/v1/admin/inventory/TEE/holds",
	} {
		method, path, _ := strings.Cut(route, " ")
		require.Equal(t, http.StatusUnauthorized, servetest.Do(t, b.rt, method, path, "", nil).Status, route)
		require.Equal(t, http.StatusUnauthorized, servetest.Do(t, b.rt, method, path, expired, nil).Status, route)
		require.Equal(t, http.StatusForbidden, servetest.Do(t, b.rt, method, path, user, nil).Status, route)
	}
	order, lots := "/internal/orders/"+uuid.NewString()+"/hold", "/internal/lots/"+uuid.NewString()
	for route, callers := range map[string][]string{
		"POST /internal/availability":                    {"orders", "carts", "products"},
		"PUT /internal/holds":                            {"carts"},
		"PUT /internal/holds/" + account(1) + "/TEE":     {"carts"},
		"GET /internal/holds/" + account(1):              {"carts"},
		"DELETE /internal/holds/" + account(1):           {"carts"},
		"POST /internal/holds/" + guest(1) + "/transfer": {"carts"},
		"PUT " + order:                                   {"orders"},
		"DELETE " + order:                                {"orders"},
		"PUT /internal/stock/TEE":                        {"products"},
		"GET " + lots:                                    {"drops"},
		"PUT " + lots:                                    {"drops"},
		"DELETE " + lots:                                 {"drops"},
		"PUT " + lots + "/claims":                        {"drops"},
	} {
		method, path, _ := strings.Cut(route, " ")
		for _, caller := range []string{
			"", "edge", "edge-auth", "store", "admin", "payments", "mail", "users", "carts", "orders", "products", "drops",
		} {
			allowed := b.do(caller, method, path, nil).Status != http.StatusForbidden
			require.Equal(t, slices.Contains(callers, caller), allowed, "%s by %q", route, caller)
		}
		require.Equal(t, http.StatusForbidden, servetest.Do(t, b.rt, method, path, b.admin, nil).Status, "%s with an administrator's token", route)
	}
}

// TestHoldsOfSeveralOrders: each order has its lines whole or not at all, and its own answer.
func TestHoldsOfSeveralOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 2, "MUG": 9})
	ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	wants := func(id uuid.UUID, n int, lines ...Line) map[string]any {
		return map[string]any{"order_id": id, "shopper": account(n), "lines": lines}
	}
	itself := wants(ids[2], 3, Line{"MUG", 1})
	itself["instead_of"] = ids[2]
	body := map[string]any{"items": []any{wants(ids[0], 1, Line{"TEE", 2}), wants(ids[1], 2, Line{"MUG", 1}, Line{"TEE", 3}), itself, wants(ids[0], 1, Line{"TEE", 2})}}
	for range 2 { // again: the same answers, once held
		r := b.do("orders", "PUT", "/internal/order-holds", body)
		require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
		var got struct {
			Answers []struct {
				Value   *orderHeld
				Problem *struct{ Type string }
			}
		}
		r.JSON(t, &got)
		require.Len(t, got.Answers, 4)
		require.Equal(t, &orderHeld{true}, got.Answers[0].Value)
		require.Equal(t, rest.Prefix+"out-of-stock", got.Answers[1].Problem.Type)
		require.Equal(t, rest.Prefix+"invalid", got.Answers[2].Problem.Type)
		require.Equal(t, &orderHeld{true}, got.Answers[3].Value, "who asks twice is answered twice")
		require.Equal(t, int64(0), b.available("TEE"))
		require.Equal(t, int64(9), b.available("MUG"))
	}
	require.Equal(t, http.StatusForbidden, b.do("carts", "PUT", "/internal/order-holds", body).Status)
	b.checkBooks()
}

// TestHoldsOfSeveral: each cart gets what it would have got alone.
func TestHoldsOfSeveral(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 2, "MUG": 9, "CUP": 2})
	put := func(holds ...cartHold) servetest.Response {
		return b.do("carts", "PUT", "/internal/holds", map[string]any{"items": holds})
	}
	r := put(cartHold{account(1), "MUG", 4}, cartHold{account(2), "TEE", 3}, cartHold{guest(3), "CUP", 2}, cartHold{guest(3), "MUG", 1})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	var got struct {
		Answers []struct {
			Value   *cartHeld
			Problem *struct {
				Type      string
				Available int
			}
		}
	}
	r.JSON(t, &got)
	require.Len(t, got.Answers, 4)
	require.Equal(t, int64(4), got.Answers[0].Value.Quantity)
	require.NotNil(t, got.Answers[0].Value.ExpiresAt)
	require.Equal(t, rest.Prefix+"out-of-stock", got.Answers[1].Problem.Type)
	require.Equal(t, 2, got.Answers[1].Problem.Available)
	require.Nil(t, got.Answers[1].Value)
	require.NotNil(t, got.Answers[2].Value)
	require.NotNil(t, got.Answers[3].Value)
	b.checkBooks()

	r = put(cartHold{account(1), "MUG", 5}, cartHold{"robot:12345678", "MUG", 1})
	require.Equal(t, http.StatusUnprocessableEntity, r.Status)
	b.checkBooks()
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3})
	long := strings.Repeat("x", 10_000)
	hold, order, stock := "/internal/holds/"+account(1)+"/TEE", "/internal/orders/"+uuid.NewString()+"/hold", "/internal/stock/TEE"
	transfer, movement := "/internal/holds/"+guest(1)+"/transfer", "/api/v1/admin/inventory/TEE/movements"
	tests := []struct {
		name, caller, method, path string
		body                       any
		want                       int
	}{
		{"malformed", "carts", "PUT", hold, `{"quantity": `, 400},
		{"not UTF-8", "carts", "PUT", hold, "{\"quantity\": \"\xff\"}", 400},
		{"no body", "carts", "PUT", hold, nil, 400},
		{"wrong type", "carts", "PUT", hold, `{"quantity": "2"}`, 422},
		{"fraction", "carts", "PUT", hold, `{"quantity": 1.5}`, 422},
		{"negative", "carts", "PUT", hold, `{"quantity": -1}`, 422},
		{"huge", "carts", "PUT", hold, `{"quantity": 1001}`, 422},
		{"beyond int64", "carts", "PUT", hold, `{"quantity": 99999999999999999999999}`, 422},
		{"null", "carts", "PUT", hold, `{"quantity": null}`, 422},
		{"missing", "carts", "PUT", hold, `{}`, 422},
		{"unknown field", "carts", "PUT", hold, `{"quantity": 1, "price": 0}`, 422},
		{"shopper of no kind", "carts", "PUT", "/internal/holds/robot:12345678/TEE", `{"quantity": 1}`, 422},
		{"long SKU", "carts", "PUT", "/internal/holds/" + account(1) + "/" + long, `{"quantity": 1}`, 422},
		{"SQL as a SKU", "carts", "PUT", "/internal/holds/" + account(1) + "/';DROP%20TABLE%20stock;--", `{"quantity": 1}`, 409},
		{"NUL as a SKU", "carts", "PUT", "/internal/holds/" + account(1) + "/%00", `{"quantity": 1}`, 400},
		{"too large", "carts", "PUT", hold, `{"quantity": 1, "x": "` + strings.Repeat("x", 2<<20) + `"}`, 413},
		{"transfer to a guest", "carts", "POST", transfer, map[string]any{"to": guest(2), "lines": []any{}}, 422},
		{"transfer from an account", "carts", "POST", "/internal/holds/" + account(2) + "/transfer", map[string]any{"to": account(1), "lines": []any{}}, 422},
		{"transfer of null", "carts", "POST", transfer, map[string]any{"to": account(1), "lines": nil}, 422},
		{"order that is no id", "orders", "PUT", "/internal/orders/1/hold", map[string]any{"shopper": account(1), "lines": []lineInput{{"TEE", 1}}}, 422},
		{"order of nothing", "orders", "PUT", order, map[string]any{"shopper": account(1), "lines": []lineInput{}}, 422},
		{"order of no units", "orders", "PUT", order, map[string]any{"shopper": account(1), "lines": []lineInput{{"TEE", 0}}}, 422},
		{"order by a guest", "orders", "PUT", order, map[string]any{"shopper": guest(1), "lines": []lineInput{{"TEE", 1}}}, 422},
		{"order of too much in two lines", "orders", "PUT", order, map[string]any{"shopper": account(1), "lines": []lineInput{{"TEE", 2}, {"TEE", 2}}}, 409},
		{"release of no id", "orders", "DELETE", "/internal/orders/1/hold", nil, 422},
		{"stock below zero", "products", "PUT", stock, map[string]any{"quantity": -1, "reason": "x", "key": "k"}, 422},
		{"stock beyond all", "products", "PUT", stock, map[string]any{"quantity": maxOnHand + 1, "reason": "x", "key": "k"}, 422},
		{"stock without a key", "products", "PUT", stock, map[string]any{"quantity": 1, "reason": "x", "key": ""}, 422},
		{"stock of an unknown SKU", "products", "PUT", "/internal/stock/a%20b", map[string]any{"quantity": 1, "reason": "x", "key": "k"}, 404},
		{"holds of a shopper of no kind", "carts", "GET", "/internal/holds/robot:12345678", nil, 422},
		{"availability of null", "products", "POST", "/internal/availability", map[string]any{"skus": nil}, 422},
		{"availability with NUL", "products", "POST", "/internal/availability", `{"skus": ["\u0000"]}`, 400},
		{"movement of nothing", "", "POST", movement, map[string]any{"delta": 0, "reason": "x"}, 422},
		{"movement too large", "", "POST", movement, map[string]any{"delta": 1_000_001, "reason": "x"}, 422},
		{"movement without a reason", "", "POST", movement, map[string]any{"delta": 1, "reason": ""}, 422},
		{"movement with blanks for a reason", "", "POST", movement, map[string]any{"delta": 1, "reason": "  "}, 422},
		{"movement with a control character", "", "POST", movement, map[string]any{"delta": 1, "reason": "a\nb"}, 422},
		{"movement with a long reason", "", "POST", movement, map[string]any{"delta": 1, "reason": long}, 422},
		{"forged cursor", "", "GET", "/api/v1/admin/inventory/TEE/ledger?cursor=eyJ1IjoxfQ.AAAA", nil, 422},
		{"limit 0", "", "GET", "/api/v1/admin/inventory/TEE/ledger?limit=0", nil, 422},
		{"limit 101", "", "GET", "/api/v1/admin/inventory?limit=101", nil, 422},
		{"long SKU of an administrator", "", "GET", "/api/v1/admin/inventory/" + long, nil, 422},
		{"availability of a long SKU", "", "GET", "/api/v1/availability/" + long, nil, 422},
		{"availability of HTML", "", "GET", "/api/v1/availability/%3Cscript%3E", nil, 404},
	}
	before := b.view("TEE")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r servetest.Response
			if tt.caller == "" {
				r = b.adminDo(tt.method, tt.path, tt.body, "Idempotency-Key", tt.name)
			} else {
				r = b.do(tt.caller, tt.method, tt.path, tt.body)
			}
			require.Equal(t, tt.want, r.Status, "%.300s", r.Body)
			require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"))
			require.NotEmpty(t, r.Slug())
			require.Equal(t, before, b.view("TEE"), "nothing changed")
		})
	}
	long255 := strings.Repeat("k", 256)
	require.Equal(t, http.StatusUnprocessableEntity, b.adminDo("POST", movement, map[string]any{"delta": 1, "reason": "x"}, "Idempotency-Key", long255).Status)
}

// SQL and HTML in the one text that people write are text.
func TestTextStaysText(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3})
	reason := `'); DROP TABLE ledger; -- <script>alert(1)</script> "né"`
	r := b.adminDo("POST", "/api/v1/admin/inventory/TEE/movements", map[string]any{"delta": 1, "reason": reason}, "Idempotency-Key", "'; --")
	require.Equal(t, http.StatusCreated, r.Status, "%.300s", r.Body)
	var list struct{ Items []Entry }
	b.adminDo("GET", "/api/v1/admin/inventory/TEE/ledger", nil).JSON(t, &list)
	require.Equal(t, reason, list.Items[0].Reason)
}

// The database refuses what the code must never do.
func TestDatabaseForbidsOverselling(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 3})
	_, err := b.db.Exec(t.Context(), `UPDATE stock SET order_held = 2, cart_held = 2`)
	require.ErrorContains(t, err, "stock_check")
	_, err = b.db.Exec(t.Context(), `UPDATE stock SET order_held = -1`)
	require.Error(t, err)
	require.Equal(t, http.StatusOK, b.setAside(uuid.New(), "TEE", 2, 1).Status)
	for _, wrong := range []string{
		"order_held = 2", "lot_free = 4", "lot_free = -1", "lot_held = 1", "lot_held = -1", "lot_sold = 1", "lot_sold = -1",
	} {
		_, err = b.db.Exec(t.Context(), `UPDATE stock SET `+wrong)
		require.ErrorContains(t, err, "violates check constraint", wrong)
	}
	_, err = b.db.Exec(t.Context(), `INSERT INTO lots (drop, sku, units, most, opened_at) VALUES (gen_random_uuid(), 'TEE', 1, 1, now())`)
	require.ErrorContains(t, err, "lots_open", "it is in one open lot at most")
}
