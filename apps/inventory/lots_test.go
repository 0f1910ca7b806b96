package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// claimTime is how long claims hold here: less than a cart does, more than a declined order's units are kept for the next try.
const claimTime = 10 * time.Minute

func lotPath(of uuid.UUID) string { return "/internal/lots/" + of.String() }

func (b *bundle) setAside(of uuid.UUID, sku string, units, limit int64) servetest.Response {
	b.t.Helper()
	return b.do("drops", "PUT", lotPath(of), map[string]any{"items": []lotWanted{{sku, units, limit}}})
}

// inLot stocks a SKU and sets units of it aside for a drop.
func (b *bundle) inLot(sku string, stock int, units, limit int64) (of uuid.UUID) {
	b.t.Helper()
	of = uuid.New()
	b.stocked(map[string]int{sku: stock})
	r := b.setAside(of, sku, units, limit)
	require.Equal(b.t, http.StatusOK, r.Status, "%.300s", r.Body)
	return of
}

// lotOf is how a drop's only lot stands: free, held, sold.
func (b *bundle) lot(of uuid.UUID) [3]int64 {
	b.t.Helper()
	r := b.do("drops", "GET", lotPath(of), nil)
	require.Equal(b.t, http.StatusOK, r.Status, "%.300s", r.Body)
	var list struct{ Items []LotView }
	r.JSON(b.t, &list)
	require.Len(b.t, list.Items, 1)
	l := list.Items[0]
	return [3]int64{l.Free, l.Held, l.Sold}
}

func (b *bundle) closeLot(of uuid.UUID) {
	b.t.Helper()
	require.Equal(b.t, http.StatusNoContent, b.do("drops", "DELETE", lotPath(of), nil).Status)
}

// claimant is account(n) without its kind.
func claimant(n int) string { return strings.TrimPrefix(account(n), "account:") }

// wants is a claim of an account, from now on.
func (b *bundle) wants(n int, sku string, quantity, position int64) map[string]any {
	return map[string]any{
		"account": claimant(n), "sku": sku, "quantity": quantity, "position": position, "until": b.store.now().Add(claimTime),
	}
}

// verdict is the answer to a claim: what is held, or the slug of the problem.
type verdict struct {
	Value   *Claimed
	Problem *struct {
		Type             string
		Available, Limit *int64
	}
}

func (v verdict) slug() string {
	if v.Problem == nil {
		return ""
	}
	return strings.TrimPrefix(v.Problem.Type, rest.Prefix)
}

func (b *bundle) claimAll(of uuid.UUID, claims ...map[string]any) []verdict {
	b.t.Helper()
	r := b.do("drops", "PUT", lotPath(of)+"/claims", map[string]any{"items": claims})
	require.Equal(b.t, http.StatusOK, r.Status, "%.300s", r.Body)
	var got struct{ Answers []verdict }
	r.JSON(b.t, &got)
	require.Len(b.t, got.Answers, len(claims))
	return got.Answers
}

// claim claims for one account.
func (b *bundle) claim(of uuid.UUID, n int, sku string, quantity int64) verdict {
	b.t.Helper()
	return b.claimAll(of, b.wants(n, sku, quantity, int64(n)))[0]
}

// has tells what accounts have of a lot: what their carts hold, and what their orders have.
func (b *bundle) has(of uuid.UUID, sku string, accounts ...int) (all [][2]int64) {
	b.t.Helper()
	asked := []any{}
	for _, n := range accounts {
		asked = append(asked, map[string]any{"account": claimant(n), "sku": sku})
	}
	r := b.do("drops", "POST", lotPath(of)+"/claimed", map[string]any{"items": asked})
	require.Equal(b.t, http.StatusOK, r.Status, "%.300s", r.Body)
	var got struct{ Items []Claimed }
	r.JSON(b.t, &got)
	for _, c := range got.Items {
		require.Equal(b.t, c.Held > 0, c.HeldUntil != nil)
		all = append(all, [2]int64{c.Held, c.Ordered})
	}
	return all
}

// wakes lists what lot.changed told of a SKU: how many were free.
func (b *bundle) wakes(sku string) (told []int64) {
	b.t.Helper()
	for _, sent := range servetest.Outbox(b.t, b.db) {
		if sent.Topic != "lot.changed.v1" {
			continue
		}
		var e events.LotChanged
		require.NoError(b.t, json.Unmarshal(sent.Data, &e))
		if e.SKU == sku {
			told = append(told, e.Free)
		}
	}
	return told
}

func TestLot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 10, "CAP": 5})
	one, other := uuid.New(), uuid.New()
	require.Equal(t, "lot-not-found", b.do("drops", "GET", lotPath(one), nil).Slug())
	require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 3).Status)

	r := b.setAside(one, "TEE", 8, 2)
	require.Equal(t, "out-of-stock", r.Slug(), "a cart has three")
	require.Equal(t, []any{"TEE", 7.0}, []any{member(t, r, "sku"), member(t, r, "available")})
	for range 2 { // again: nothing more
		r = b.setAside(one, "TEE", 5, 2)
		require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
		require.JSONEq(t, `{"items": [{"sku": "TEE", "units": 5, "limit": 2, "free": 5, "held": 0, "sold": 0,
			"opened_at": "2026-03-14T12:00:00Z", "closed_at": null}]}`, string(r.Body))
	}
	require.Equal(t, StockView{
		SKU: "TEE", OnHand: 10, CartHeld: 3, Available: 2, Listed: true, Number: 1, Lot: &one, LotFree: 5,
	}, b.view("TEE"), "two are left that are promised to nobody")
	require.Zero(t, b.available("TEE"), "but nobody can take them while the lot is open")
	require.Equal(t, []bool{true, false}, b.crossings("TEE"))
	require.Equal(t, "lot-overlaps", b.setAside(other, "TEE", 1, 2).Slug())
	require.Equal(t, "lot-differs", b.setAside(one, "TEE", 4, 2).Slug(), "nothing is taken out of a lot")
	require.Equal(t, "lot-differs", b.setAside(one, "TEE", 5, 3).Slug())
	require.Equal(t, 7.0, member(t, b.setAside(one, "TEE", 8, 2), "available"))
	require.Equal(t, "stock-held", b.adminDo("POST", "/api/v1/admin/inventory/TEE/movements",
		map[string]any{"delta": -3, "reason": "broken"}, "Idempotency-Key", "k").Slug(), "what is set aside is not free")

	all := func(of uuid.UUID, lots ...lotWanted) servetest.Response {
		return b.do("drops", "PUT", lotPath(of), map[string]any{"items": lots})
	}
	require.Equal(t, "lot-overlaps", all(other, lotWanted{"CAP", 1, 1}, lotWanted{"TEE", 1, 1}).Slug())
	require.Equal(t, "sku-not-found", all(other, lotWanted{"CAP", 1, 1}, lotWanted{"NONE", 1, 1}).Slug())
	require.Equal(t, "lot-differs", all(other, lotWanted{"CAP", 2, 1}, lotWanted{"CAP", 1, 1}).Slug())
	require.Equal(t, int64(5), b.available("CAP"), "all or nothing")
	require.Equal(t, http.StatusOK, all(one, lotWanted{"CAP", 1, 1}, lotWanted{"TEE", 7, 2}, lotWanted{"CAP", 1, 1}).Status)
	var list struct{ Items []LotView }
	b.do("drops", "GET", lotPath(one), nil).JSON(t, &list)
	require.Equal(t, []string{"CAP", "TEE"}, []string{list.Items[0].SKU, list.Items[1].SKU})
	require.Equal(t, [2]int64{1, 7}, [2]int64{list.Items[0].Free, list.Items[1].Free}, "units were added")

	for range 2 { // again: the same
		b.closeLot(one)
		require.Equal(t, StockView{SKU: "TEE", OnHand: 10, CartHeld: 3, Available: 7, Listed: true, Number: 1}, b.view("TEE"))
	}
	b.closeLot(uuid.New())
	require.Equal(t, []bool{true, false, true}, b.crossings("TEE"), "products hears of it")
	require.Equal(t, "lot-closed", b.setAside(one, "TEE", 7, 2).Slug(), "for good")
	require.Equal(t, http.StatusOK, b.setAside(other, "TEE", 7, 1).Status)
	b.do("drops", "GET", lotPath(one), nil).JSON(t, &list)
	require.Equal(t, [2]int64{7, 0}, [2]int64{list.Items[1].Units, list.Items[1].Free}, "what there was is kept")
	require.NotNil(t, list.Items[1].ClosedAt)
}

// Without a claim nobody has more of a SKU that is in a lot, in a cart or by an order.
func TestClaimRequired(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 10, "CAP": 9})
	require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 2).Status)
	require.Equal(t, http.StatusOK, b.put(account(2), "TEE", 1).Status)
	of := uuid.New()
	require.Equal(t, http.StatusOK, b.setAside(of, "TEE", 4, 3).Status)
	required := func(r servetest.Response, available int) {
		t.Helper()
		require.Equal(t, http.StatusForbidden, r.Status, "%.300s", r.Body)
		require.Equal(t, "claim-required", r.Slug())
		require.Equal(t, []any{"TEE", float64(available)}, []any{member(t, r, "sku"), member(t, r, "available")})
	}
	required(b.put(account(9), "TEE", 1), 0)
	required(b.put(guest(9), "TEE", 1), 0)
	required(b.holdFor(uuid.New(), account(9), Line{"CAP", 1}, Line{"TEE", 1}), 0)
	require.Equal(t, int64(9), b.available("CAP"), "all or nothing")

	t.Run("what a cart had before stays its own", func(t *testing.T) {
		required(b.put(account(1), "TEE", 3), 2)
		required(b.holdFor(uuid.New(), account(1), Line{"TEE", 3}), 2)
		require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 2).Status)
		require.Equal(t, http.StatusOK, b.put(account(1), "TEE", 1).Status)
		required(b.put(account(1), "TEE", 2), 1)
		order := uuid.New()
		require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"TEE", 1}).Status)
		servetest.Deliver(t, b.rt, confirmed(order))
		require.Equal(t, [3]int64{4, 0, 0}, b.lot(of), "none of it is the lot's")
		b.pass(ttl)
		require.NoError(t, b.store.sweep(t.Context()))
		required(b.put(account(2), "TEE", 1), 0)
		require.Equal(t, [3]int64{4, 0, 0}, b.lot(of))
		require.Equal(t, int64(5), b.view("TEE").Available)
	})
	t.Run("more than was claimed", func(t *testing.T) {
		require.Empty(t, b.claim(of, 3, "TEE", 2).slug())
		require.Equal(t, http.StatusOK, b.put(account(3), "TEE", 2).Status, "the cart's line of a claim")
		required(b.put(account(3), "TEE", 3), 2)
		required(b.holdFor(uuid.New(), account(3), Line{"TEE", 3}), 2)
		require.Equal(t, http.StatusOK, b.put(account(3), "TEE", 1).Status)
		require.Equal(t, [3]int64{3, 1, 0}, b.lot(of), "what a cart gives up is the lot's again")
		require.Equal(t, http.StatusOK, b.put(account(3), "TEE", 0).Status)
		require.Equal(t, [3]int64{4, 0, 0}, b.lot(of))
	})
	t.Run("held at checkout", func(t *testing.T) {
		b.store.settings.HoldAt = "checkout"
		defer func() { b.store.settings.HoldAt = "cart" }()
		required(b.put(account(9), "TEE", 1), 0)
		require.Empty(t, b.claim(of, 4, "TEE", 2).slug(), "a claim is a hold wherever others are")
		require.Equal(t, http.StatusOK, b.put(account(4), "TEE", 2).Status)
		required(b.put(account(4), "TEE", 3), 2)
		require.Equal(t, http.StatusOK, b.holdFor(uuid.New(), account(4), Line{"TEE", 1}).Status)
		require.Equal(t, [3]int64{3, 1, 0}, b.lot(of), "what the order left is the lot's")
	})
	t.Run("several carts", func(t *testing.T) {
		r := b.do("carts", "PUT", "/internal/holds", map[string]any{"items": []cartHold{{account(9), "TEE", 1}, {account(9), "CAP", 1}}})
		var got struct {
			Answers []struct{ Problem *struct{ Type string } }
		}
		r.JSON(t, &got)
		require.Equal(t, rest.Prefix+"claim-required", got.Answers[0].Problem.Type)
		require.Nil(t, got.Answers[1].Problem)
	})
}

func TestClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("TEE", 5, 3, 2)
	for range 2 { // again: the same hold
		v := b.claim(of, 1, "TEE", 2)
		require.Empty(t, v.slug())
		until := noon.Add(claimTime)
		require.Equal(t, &Claimed{SKU: "TEE", Held: 2, HeldUntil: &until}, v.Value)
		require.Equal(t, [3]int64{1, 2, 0}, b.lot(of))
	}
	held := string(b.do("carts", "GET", "/internal/holds/"+account(1), nil).Body)
	require.JSONEq(t, `{"items": [{"sku": "TEE", "quantity": 2, "expires_at": "2026-03-14T12:10:00Z", "free": 0}]}`, held)
	v := b.claim(of, 2, "TEE", 2)
	require.Equal(t, "out-of-stock", v.slug(), "standby's")
	require.Equal(t, int64(1), *v.Problem.Available)
	require.Equal(t, "lot-closed", b.claim(uuid.New(), 2, "TEE", 1).slug())
	require.Equal(t, "lot-closed", b.claim(of, 2, "NONE", 1).slug())
	require.Equal(t, "lot-closed", b.claim(uuid.Nil, 2, "NONE", 1).slug())

	t.Run("its end", func(t *testing.T) {
		again := b.wants(1, "TEE", 2, 1)
		again["until"] = noon.Add(time.Minute)
		require.Equal(t, noon.Add(claimTime), *b.claimAll(of, again)[0].Value.HeldUntil, "nothing is taken away")
		again["until"] = noon.Add(claimTime + time.Minute)
		require.Equal(t, noon.Add(claimTime+time.Minute), *b.claimAll(of, again)[0].Value.HeldUntil, "more time")
		again["until"] = noon.Add(maxClaim + time.Second)
		require.Equal(t, "invalid", b.claimAll(of, again)[0].slug())
	})
	t.Run("fewer lower nothing", func(t *testing.T) {
		require.Equal(t, int64(2), b.claim(of, 1, "TEE", 1).Value.Held)
		require.Equal(t, [3]int64{1, 2, 0}, b.lot(of))
	})
	t.Run("a line that was lost is put back", func(t *testing.T) {
		require.Equal(t, http.StatusNoContent, b.do("carts", "DELETE", "/internal/holds/"+account(1), nil).Status)
		require.Equal(t, [3]int64{3, 0, 0}, b.lot(of))
		require.Equal(t, int64(2), b.claim(of, 1, "TEE", 2).Value.Held)
		require.Equal(t, [3]int64{1, 2, 0}, b.lot(of))
	})
	t.Run("it lapses", func(t *testing.T) {
		late := b.wants(1, "TEE", 2, 1)
		require.Equal(t, int64(1), b.claim(of, 2, "TEE", 1).Value.Held)
		require.Equal(t, []int64{3, 0}, b.wakes("TEE"))
		b.pass(claimTime)
		require.Equal(t, [3]int64{3, 0, 0}, b.lot(of), "by time, before any sweep")
		require.NoError(t, b.store.sweep(t.Context()))
		require.Equal(t, []int64{3, 0, 3}, b.wakes("TEE"))
		require.Equal(t, [3]int64{3, 0, 0}, b.lot(of))
		require.Equal(t, "claim-lapsed", b.claimAll(of, late)[0].slug(), "the same claim again brings nothing back")
		require.Equal(t, int64(2), b.view("TEE").Available, "the shelf has none of it")
	})
	t.Run("an administrator takes it", func(t *testing.T) {
		require.Empty(t, b.claim(of, 3, "TEE", 1).slug())
		var list struct{ Items []HoldView }
		b.adminDo("GET", "/api/v1/admin/inventory/TEE/holds", nil).JSON(t, &list)
		require.Equal(t, &of, list.Items[0].Lot)
		require.Equal(t, http.StatusNoContent, b.adminDo("DELETE", "/api/v1/admin/inventory/TEE/holds/"+account(3), nil).Status)
		require.Equal(t, [3]int64{3, 0, 0}, b.lot(of))
	})
	t.Run("it takes the place of what the cart had before", func(t *testing.T) {
		b.closeLot(of)
		require.Equal(t, http.StatusOK, b.put(account(4), "TEE", 2).Status)
		next := uuid.New()
		require.Equal(t, http.StatusOK, b.setAside(next, "TEE", 3, 2).Status)
		require.Equal(t, int64(1), b.claim(next, 4, "TEE", 1).Value.Held)
		require.Equal(t, [3]int64{2, 1, 0}, b.lot(next))
		require.Equal(t, int64(2), b.view("TEE").Available, "which is free again")
	})
	t.Run("a cart that holds too much already", func(t *testing.T) {
		many := map[string]int{}
		for i := range maxSKUs {
			many[fmt.Sprintf("SKU-%02d", i)] = 3
		}
		b.stocked(many)
		for sku := range many {
			require.Equal(t, http.StatusOK, b.put(account(5), sku, 1).Status)
		}
		of := b.inLot("LAST", 1, 1, 1)
		require.Equal(t, "limit-reached", b.claim(of, 5, "LAST", 1).slug())
	})
}

// A claim of none gives back what the cart holds of that drop, again nothing more, also when the lot is closed; never what it holds of
// another one or of none, nor what an order has.
func TestClaimGivenBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("TEE", 5, 3, 2)
	require.Empty(t, b.claim(of, 1, "TEE", 2).slug())
	for _, another := range []uuid.UUID{uuid.Nil, uuid.New()} {
		require.Empty(t, b.claim(another, 1, "TEE", 0).slug())
		require.Equal(t, [3]int64{1, 2, 0}, b.lot(of), "of another drop")
	}
	for range 2 {
		require.Equal(t, &Claimed{SKU: "TEE"}, b.claim(of, 1, "TEE", 0).Value)
		require.Equal(t, [3]int64{3, 0, 0}, b.lot(of))
	}
	require.Empty(t, b.claim(of, 1, "NONE", 0).slug())
	require.Empty(t, b.claim(of, 1, "TEE", 1).slug())
	require.Equal(t, http.StatusOK, b.holdFor(uuid.New(), account(1), Line{"TEE", 1}).Status)
	require.Equal(t, &Claimed{SKU: "TEE", Ordered: 1}, b.claim(of, 1, "TEE", 0).Value)
	require.Equal(t, [3]int64{2, 1, 0}, b.lot(of), "the order has it")
	require.Empty(t, b.claim(of, 2, "TEE", 1).slug())
	b.closeLot(of)
	before := b.view("TEE").Available
	require.Empty(t, b.claim(of, 2, "TEE", 0).slug())
	require.Equal(t, before+1, b.view("TEE").Available, "when the lot is closed, to everybody")
	require.Equal(t, http.StatusOK, b.put(account(3), "TEE", 1).Status)
	require.Empty(t, b.claim(uuid.Nil, 3, "TEE", 0).slug())
	require.Equal(t, before, b.view("TEE").Available, "of no drop")
}

// Claims that come together are served by position, also those that different calls brought.
func TestClaimsByPosition(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("TEE", 3, 3, 1)
	answers := b.claimAll(of, b.wants(1, "TEE", 1, 40), b.wants(2, "TEE", 1, 10), b.wants(3, "TEE", 1, 30), b.wants(4, "TEE", 1, 20))
	require.Equal(t, []string{"out-of-stock", "", "", ""}, []string{
		answers[0].slug(), answers[1].slug(), answers[2].slug(), answers[3].slug(),
	})

	hot := b.inLot("HOT", 2, 2, 1)
	unlock := b.locks("HOT")
	slugs := make([]string, 4)
	var all sync.WaitGroup
	ask := func(i int, position int64) {
		all.Go(func() {
			slugs[i] = b.claimAll(hot, b.wants(i, "HOT", 1, position))[0].slug()
		})
	}
	ask(0, 99)
	b.waitForLock()
	for i := 1; i < 4; i++ {
		ask(i, int64(10-i))
		require.Eventually(t, func() bool { return b.claims.Waits() == i }, 10*time.Second, 100*time.Microsecond)
	}
	unlock()
	all.Wait()
	require.Equal(t, []string{"", "out-of-stock", "out-of-stock", ""}, slugs, "the first came alone, then the lowest position")
}

// The limit counts what an account's cart and its orders have of the lot; a cancellation before shipping gives the right back.
// The SKU's own limit counts all that it ever bought.
func TestLimitOfALot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("TEE", 20, 10, 2)
	refused := func(v verdict, limit, available int64) {
		t.Helper()
		require.Equal(t, "limit-reached", v.slug())
		require.Equal(t, [2]int64{limit, available}, [2]int64{*v.Problem.Limit, *v.Problem.Available})
	}
	refused(b.claim(of, 1, "TEE", 3), 2, 2)
	require.Empty(t, b.claim(of, 1, "TEE", 1).slug())
	order := uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"TEE", 1}).Status)
	for range 2 {
		require.Equal(t, &Claimed{SKU: "TEE", Ordered: 1}, b.claim(of, 1, "TEE", 1).Value, "the order has it")
	}
	servetest.Deliver(t, b.rt, confirmed(order))
	require.Equal(t, &Claimed{SKU: "TEE", Ordered: 1}, b.claim(of, 1, "TEE", 1).Value)
	refused(b.claim(of, 1, "TEE", 3), 2, 1)
	until := noon.Add(claimTime)
	require.Equal(t, &Claimed{SKU: "TEE", Held: 1, HeldUntil: &until, Ordered: 1}, b.claim(of, 1, "TEE", 2).Value)
	require.Equal(t, [3]int64{8, 1, 1}, b.lot(of))

	servetest.Deliver(t, b.rt, cancelled(order))
	require.Equal(t, [3]int64{9, 1, 0}, b.lot(of), "what is cancelled is the lot's again")
	require.Equal(t, &Claimed{SKU: "TEE", Held: 2, HeldUntil: &until}, b.claim(of, 1, "TEE", 2).Value)
	second := uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(second, account(1), Line{"TEE", 2}).Status)
	servetest.Deliver(t, b.rt, confirmed(second))
	require.Equal(t, [3]int64{8, 0, 2}, b.lot(of))

	b.closeLot(of)
	next := uuid.New()
	require.Equal(t, http.StatusOK, b.setAside(next, "TEE", 10, 2).Status)
	require.Empty(t, b.claim(next, 1, "TEE", 2).slug(), "another drop, another limit")

	t.Run("the SKU's own", func(t *testing.T) {
		p := b.limited("FEW", 20, 3)
		bought := uuid.New()
		require.Equal(t, http.StatusOK, b.holdFor(bought, account(2), Line{"FEW", 2}).Status)
		servetest.Deliver(t, b.rt, confirmed(bought))
		of := uuid.New()
		require.Equal(t, http.StatusOK, b.setAside(of, "FEW", 5, 2).Status)
		refused(b.claim(of, 2, "FEW", 2), 3, 1)
		require.Empty(t, b.claim(of, 2, "FEW", 1).slug())
		refused(b.claim(of, 3, "FEW", 3), 2, 2)
		p.Version, p.Variants[0].MaxPerShopper = 2, nil
		servetest.Deliver(t, b.rt, events.ProductChanged{Product: p})
		require.Empty(t, b.claim(of, 2, "FEW", 2).slug())
	})
}

// A declined order's claim is its buyer's until the claim's own time is over, however often it is declined; then the lot's.
func TestDeclineInALot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("TEE", 1, 1, 1)
	late := b.wants(1, "TEE", 1, 1)
	require.Empty(t, b.claimAll(of, late)[0].slug())
	taken := func() string { return b.claim(of, 2, "TEE", 1).slug() }
	for try := range maxRetries + 2 { // at 0, 3, 6 and 9 minutes: the last leaves less time than HOLD_RETRY
		if try > 0 {
			b.pass(retry)
		}
		order := uuid.New()
		require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"TEE", 1}).Status)
		require.Equal(t, "out-of-stock", taken())
		for range 2 {
			servetest.Deliver(t, b.rt, declined(order))
		}
		held, err := b.store.cartHolds(t.Context(), account(1))
		require.NoError(t, err)
		require.Len(t, held, 1)
		require.Equal(t, noon.Add(claimTime), held[0].ExpiresAt.UTC(), "no longer")
		require.Equal(t, "out-of-stock", taken())
	}
	order, next := uuid.New(), uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"TEE", 1}).Status)
	require.Equal(t, http.StatusOK, b.holdInstead(next, order, account(1), Line{"TEE", 1}).Status, "before its decline has arrived")
	require.Equal(t, []int64{1, 0}, b.wakes("TEE"), "it was never free")

	b.pass(claimTime)
	require.NoError(t, b.store.sweep(t.Context()))
	require.Equal(t, [3]int64{0, 1, 0}, b.lot(of), "an order's hold has no clock")
	another := b.holdInstead(uuid.New(), next, account(1), Line{"TEE", 1})
	require.Equal(t, "claim-required", another.Slug(), "the time for another card is over")
	require.Equal(t, [3]int64{0, 1, 0}, b.lot(of), "refused: nothing has changed")
	servetest.Deliver(t, b.rt, declined(next))
	require.Equal(t, [3]int64{1, 0, 0}, b.lot(of))
	require.Equal(t, []int64{1, 0, 1}, b.wakes("TEE"))
	require.Equal(t, "claim-lapsed", b.claimAll(of, late)[0].slug())
	require.Empty(t, taken(), "the next one's")

	t.Run("an order that is never placed", func(t *testing.T) {
		for range maxRetries + 1 {
			order, void := uuid.New(), uuid.New()
			require.Equal(t, http.StatusOK, b.holdFor(order, account(2), Line{"TEE", 1}).Status)
			require.Equal(t, http.StatusNoContent, b.do("orders", "DELETE", "/internal/orders/"+order.String()+"/hold", nil).Status)
			require.Equal(t, "out-of-stock", b.claim(of, 4, "TEE", 1).slug(), "its buyer has done nothing wrong")
			require.Equal(t, http.StatusOK, b.holdFor(void, account(2), Line{"TEE", 1}).Status)
			require.NoError(t, pg.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
				return b.store.release(t.Context(), tx, ending{void, ByVoid})
			}))
			require.Equal(t, [3]int64{0, 1, 0}, b.lot(of))
		}
		order := uuid.New()
		require.Equal(t, http.StatusOK, b.holdFor(order, account(2), Line{"TEE", 1}).Status)
		b.pass(claimTime)
		require.Equal(t, http.StatusNoContent, b.do("orders", "DELETE", "/internal/orders/"+order.String()+"/hold", nil).Status)
		require.Equal(t, [3]int64{1, 0, 0}, b.lot(of), "after its time")
		require.Empty(t, b.claim(of, 2, "TEE", 1).slug())
		cancel := uuid.New()
		require.Equal(t, http.StatusOK, b.holdFor(cancel, account(2), Line{"TEE", 1}).Status)
		servetest.Deliver(t, b.rt, cancelled(cancel))
		require.Equal(t, [3]int64{1, 0, 0}, b.lot(of), "who cancels gives it up")
	})
	t.Run("the cart's newer wish stays", func(t *testing.T) {
		of := b.inLot("TWO", 2, 2, 2)
		require.Empty(t, b.claim(of, 3, "TWO", 1).slug())
		order := uuid.New()
		require.Equal(t, http.StatusOK, b.holdFor(order, account(3), Line{"TWO", 1}).Status)
		require.Equal(t, int64(1), b.claim(of, 3, "TWO", 2).Value.Held)
		servetest.Deliver(t, b.rt, declined(order))
		require.Equal(t, [3]int64{1, 1, 0}, b.lot(of))
	})
}

// A lot that is closed while claims are open gives back what nobody has; what is held stays its holders', and is free for
// everybody when they give it up.
func TestCloseWithOpenClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("TEE", 6, 6, 2)
	orders := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	for i, order := range orders {
		require.Empty(t, b.claim(of, i, "TEE", 1).slug())
		require.Equal(t, http.StatusOK, b.holdFor(order, account(i), Line{"TEE", 1}).Status)
	}
	servetest.Deliver(t, b.rt, confirmed(orders[0]))
	require.Empty(t, b.claim(of, 3, "TEE", 1).slug())
	require.Empty(t, b.claim(of, 4, "TEE", 1).slug())
	require.Equal(t, [3]int64{1, 4, 1}, b.lot(of))
	has := [][2]int64{{1, 0}, {0, 0}, {0, 1}, {0, 1}}
	require.Equal(t, has, b.has(of, "TEE", 4, 5, 0, 1))
	b.closeLot(of)
	require.Equal(t, has, b.has(of, "TEE", 4, 5, 0, 1), "also of a lot that is closed")
	require.Equal(t, [][2]int64{{0, 0}}, b.has(uuid.New(), "TEE", 4), "of another drop nothing")
	require.Equal(t, StockView{
		SKU: "TEE", OnHand: 5, CartHeld: 2, OrderHeld: 2, Available: 1, Sold: 1, Listed: true, Number: 2,
	}, b.view("TEE"))
	require.Equal(t, [3]int64{0, 4, 1}, b.lot(of))
	require.Equal(t, "lot-closed", b.claim(of, 5, "TEE", 1).slug())
	require.Equal(t, "lot-closed", b.claim(of, 3, "TEE", 1).slug())

	servetest.Deliver(t, b.rt, confirmed(orders[1]))
	require.Equal(t, [3]int64{0, 3, 2}, b.lot(of), "it was bought in the drop")
	servetest.Deliver(t, b.rt, cancelled(orders[0]))
	require.Equal(t, int64(2), b.view("TEE").Available, "for everybody")
	servetest.Deliver(t, b.rt, declined(orders[2]))
	require.Equal(t, [3]int64{0, 3, 1}, b.lot(of), "its buyer's for another try, as ever")
	last := uuid.New()
	require.Equal(t, http.StatusOK, b.holdFor(last, account(3), Line{"TEE", 1}).Status)
	require.Equal(t, http.StatusOK, b.put(account(4), "TEE", 2).Status, "like any other unit")
	require.Equal(t, [3]int64{0, 2, 1}, b.lot(of), "a line of which not all was claimed is none of the lot's")
	b.pass(ttl)
	require.Equal(t, [][2]int64{{0, 0}, {0, 1}}, b.has(of, "TEE", 4, 3), "what lapsed is nobody's before it is swept")
	require.NoError(t, b.store.sweep(t.Context()))
	require.Equal(t, [3]int64{0, 1, 1}, b.lot(of))
	require.Equal(t, int64(4), b.available("TEE"), "what lapsed is free")
	require.Equal(t, []int64{6}, b.wakes("TEE"), "nobody waits for a lot that is closed")

	t.Run("an order of more than was claimed", func(t *testing.T) {
		of := b.inLot("CUT", 4, 2, 1)
		require.Empty(t, b.claim(of, 6, "CUT", 1).slug())
		b.closeLot(of)
		require.Equal(t, http.StatusOK, b.holdFor(uuid.New(), account(6), Line{"CUT", 2}).Status)
		require.Equal(t, [3]int64{}, b.lot(of))
	})
	t.Run("another drop of it", func(t *testing.T) {
		next := uuid.New()
		require.Equal(t, http.StatusOK, b.setAside(next, "TEE", 4, 1).Status)
		servetest.Deliver(t, b.rt, confirmed(last))
		servetest.Deliver(t, b.rt, cancelled(orders[1]))
		require.Equal(t, [3]int64{4, 0, 0}, b.lot(next), "what was claimed of one lot never goes into another")
		require.Equal(t, [3]int64{0, 0, 1}, b.lot(of))
		require.Equal(t, int64(1), b.view("TEE").Available)
	})
}

// A login brings no more of a lot, and takes nothing from a claim.
func TestMergeAndLots(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 9})
	require.Equal(t, http.StatusOK, b.put(guest(1), "TEE", 1).Status)
	require.Equal(t, http.StatusOK, b.put(guest(2), "TEE", 2).Status)
	of := uuid.New()
	require.Equal(t, http.StatusOK, b.setAside(of, "TEE", 4, 3).Status)
	merge := func(guest string, n int, quantity int64) string {
		r := b.do("carts", "POST", "/internal/holds/"+guest+"/transfer",
			map[string]any{"to": account(n), "lines": []lineInput{{"TEE", quantity}}})
		require.Equal(t, http.StatusOK, r.Status, "%.300s", r.Body)
		return string(r.Body)
	}
	merge(guest(1), 1, 3)
	held, err := b.store.cartHolds(t.Context(), account(1))
	require.NoError(t, err)
	require.Equal(t, int64(1), held[0].Quantity, "what the guest had, and nothing more")
	require.Equal(t, [3]int64{4, 0, 0}, b.lot(of))

	require.Empty(t, b.claim(of, 2, "TEE", 3).slug())
	merged := merge(guest(2), 2, 2)
	require.JSONEq(t, `{"items": [{"sku": "TEE", "quantity": 2, "expires_at": "2026-03-14T12:10:00Z", "free": null}]}`, merged)
	require.Equal(t, [3]int64{1, 3, 0}, b.lot(of))
	require.Equal(t, int64(4), b.view("TEE").CartHeld, "the guest's hold is over")
	require.JSONEq(t, `{"items": [{"sku": "TEE", "quantity": 9, "expires_at": null, "free": null}]}`, merge(guest(3), 3, 9))
	require.Equal(t, [3]int64{1, 3, 0}, b.lot(of))
}

// A crowd at two instances: not one too many, and not one too few.
func TestRaceForALot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("HOT", 100, 50, 2)
	instances := []*service{b.service, b.another()}
	var held, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			c := claim{of, account(i), "HOT", 1, int64(i), noon.Add(claimTime)}
			answers, err := instances[i%2].claims.Do(t.Context(), []claim{c})
			switch {
			case err != nil:
				t.Error(err)
			case answers[0].Err == nil:
				held.Add(1)
			default:
				refused.Add(1)
			}
		})
		if i%7 == 0 { // somebody without a claim
			all.Go(func() {
				if instances[i%2].holdCart(t.Context(), account(1000+i), "HOT", 1) == nil {
					t.Error("without a claim")
				}
			})
		}
	}
	all.Wait()
	require.Equal(t, [2]int64{50, 250}, [2]int64{held.Load(), refused.Load()})
	require.Equal(t, [3]int64{0, 50, 0}, b.lot(of))
}

// One account in 64 tabs, at two instances, that claims, orders, cancels: never more than the limit (checkBooks).
func TestRaceForTheLimitOfALot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("HOT", 1000, 1000, 3)
	instances := []*service{b.service, b.another()}
	for round := range 10 {
		shopper := account(round)
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				at := instances[i%2]
				switch i % 4 {
				case 0, 1:
					_, _ = at.claims.Do(t.Context(), []claim{{of, shopper, "HOT", int64(1 + i%5), int64(i), noon.Add(claimTime)}})
				case 2:
					id := uuid.New()
					if at.holdOrder(t.Context(), id, shopper, []Line{{"HOT", 1}}, uuid.Nil) == nil && i%8 == 2 {
						if err := servetest.DeliverAs(t, b.rt, uuid.NewString(), cancelled(id)); err != nil {
							t.Error(err)
						}
					}
				default:
					_ = at.holdCart(t.Context(), shopper, "HOT", int64(i%3))
				}
			})
		}
		all.Wait()
	}
	require.Positive(t, b.lot(of)[1])
	b.checkBooks()
}

// Everything at once on SKUs that go in and out of lots, at two instances: the books are right in the end.
func TestLotsAndEverythingElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"A": 30, "B": 30, "C": 30})
	skus, bought := []string{"A", "B", "C"}, []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	instances := []*service{b.service, b.another()}
	ctx := t.Context()
	var drops atomic.Pointer[uuid.UUID]
	first := uuid.New()
	drops.Store(&first)
	for i, sku := range skus { // so that there is something to cancel and to sell, however it goes on
		require.Equal(t, http.StatusOK, b.setAside(first, sku, 10, 3).Status)
		require.Empty(t, b.claim(first, i, sku, 2).slug())
		require.Equal(t, http.StatusOK, b.holdFor(bought[i], account(i), Line{sku, 1}).Status)
	}
	var all sync.WaitGroup
	for worker := range 12 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(7, uint64(worker)))
			at := instances[worker%2]
			mine := []uuid.UUID{bought[worker%3]}
			for range 40 {
				shopper, sku, of := account(random.IntN(6)), skus[random.IntN(3)], *drops.Load()
				quantity := 1 + random.Int64N(3)
				switch random.IntN(10) {
				case 0:
					_, _ = at.store.openLots(ctx, of, []lotWanted{{sku, 5 + random.Int64N(10), 3}})
				case 1:
					if worker == 0 {
						if err := at.store.closeLots(ctx, of); err != nil {
							t.Error(err)
						}
						next := uuid.New()
						drops.Store(&next)
					}
				case 2, 3, 4:
					until := b.store.now().Add(time.Duration(random.IntN(20)) * time.Minute)
					if _, err := at.claims.Do(ctx, []claim{{of, shopper, sku, quantity, random.Int64N(100), until}}); err != nil {
						t.Error(err)
					}
					if random.IntN(2) == 0 {
						id := uuid.New()
						mine = append(mine, id)
						_ = at.holdOrder(ctx, id, shopper, []Line{{sku, quantity}}, uuid.Nil)
					}
				case 5, 6:
					id := uuid.New()
					mine = append(mine, id)
					_ = at.holdOrder(ctx, id, shopper, []Line{{sku, quantity}}, mine[random.IntN(len(mine))])
				case 7:
					_ = at.holdCart(ctx, shopper, sku, random.Int64N(3))
				case 8:
					_, _ = b.store.merge(ctx, guest(random.IntN(3)), shopper, []Line{{sku, quantity}})
				default:
					b.pass(time.Minute)
					if err := b.store.sweep(ctx); err != nil {
						t.Error(err)
					}
				}
				if len(mine) > 0 && random.IntN(2) == 0 {
					id := mine[random.IntN(len(mine))]
					_ = pg.InTx(ctx, b.db, func(tx pgx.Tx) error {
						if random.IntN(3) == 0 {
							return b.store.sell(ctx, tx, id)
						}
						return b.store.release(ctx, tx, ending{id, []Reason{ByCancel, ByDecline}[random.IntN(2)]})
					})
				}
			}
		})
	}
	all.Wait()
}

// A SKU that somebody else keeps locked is refused for now; the other claims are served.
func TestLockedLot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("HOT", 5, 5, 1)
	b.stocked(map[string]int{"TEE": 5})
	require.Equal(t, http.StatusOK, b.setAside(of, "TEE", 5, 1).Status)
	unlock := b.locks("HOT")
	ask := func() []string {
		answers := b.claimAll(of, b.wants(1, "HOT", 1, 1), b.wants(2, "TEE", 1, 2), b.wants(3, "NONE", 1, 3))
		return []string{answers[0].slug(), answers[1].slug(), answers[2].slug()}
	}
	require.Equal(t, []string{"unavailable", "", "lot-closed"}, ask())
	unlock()
	require.Equal(t, []string{"", "", "lot-closed"}, ask())
}

// TestStatementsOfClaims: a batch of claims costs what one does, and a SKU in a lot costs carts and orders nothing more.
func TestStatementsOfClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("HOT", 1000, 1000, 2)
	db, count := pgtest.Count(t, b.db)
	st := &store{db: db, settings: b.configured(), now: b.rt.Now}
	takes := func(most int, what string, fn func() error) {
		t.Helper()
		count.Reset()
		require.NoError(t, fn(), what)
		require.LessOrEqual(t, len(count.Statements()), most, "%s:\n%s", what, strings.Join(count.Statements(), "\n"))
	}
	claims := func(n int, quantity int64) func() error {
		var batch [][]claim
		for i := range n {
			batch = append(batch, []claim{{of, account(i), "HOT", quantity, int64(i), noon.Add(claimTime)}})
		}
		return func() error {
			answers, err := st.holdClaims(t.Context(), batch)
			for _, a := range answers {
				if err == nil {
					err = firstError(a.Value)
				}
			}
			return err
		}
	}
	takes(5, "a claim", claims(1, 1))
	takes(5, "64 claims", claims(64, 1))
	takes(4, "the same again", claims(64, 1))
	takes(1, "how a lot stands", func() error {
		_, err := st.lots(t.Context(), db, of)
		return err
	})
	order := uuid.New()
	takes(5, "a cart's line of a claim", func() error {
		answers, err := st.hold(t.Context(), []wish{cartWish(account(1), "HOT", 1)})
		return joined(answers, err)
	})
	takes(6, "an order of a claim", func() error {
		answers, err := st.hold(t.Context(), []wish{orderWish(order, account(1), []Line{{"HOT", 1}}, uuid.Nil)})
		return joined(answers, err)
	})
	takes(4, "its sale", func() error {
		return pg.InTx(t.Context(), db, func(tx pgx.Tx) error { return st.sell(t.Context(), tx, order) })
	})
}

func joined[T any](answers []gather.Answer[T], err error) error {
	if err != nil {
		return err
	}
	return firstError(answers)
}

func TestBadLots(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("TEE", 9, 5, 2)
	lots := func(items ...any) map[string]any { return map[string]any{"items": items} }
	lot := func(sku string, units, limit any) map[string]any {
		return map[string]any{"sku": sku, "units": units, "limit": limit}
	}
	with := func(name string, value any) map[string]any {
		c := b.wants(1, "TEE", 1, 1)
		c[name] = value
		return lots(c)
	}
	without := b.wants(1, "TEE", 1, 1)
	delete(without, "until")
	for name, tt := range map[string]struct {
		path string
		body any
		want int
	}{
		"a drop that is no id":        {"/internal/lots/1", lots(lot("CAP", 1, 1)), 422},
		"the drop of all zeros":       {lotPath(uuid.Nil), lots(lot("TEE", 1, 1)), 422},
		"no units":                    {lotPath(of), lots(lot("TEE", 0, 1)), 422},
		"no limit":                    {lotPath(of), lots(lot("TEE", 1, 0)), 422},
		"more than anybody has":       {lotPath(of), lots(lot("TEE", maxOnHand+1, 2)), 422},
		"half a unit":                 {lotPath(of), lots(lot("TEE", 1.5, 1)), 422},
		"nothing":                     {lotPath(of), lots(), 422},
		"null":                        {lotPath(of), `{"items": null}`, 422},
		"malformed":                   {lotPath(of), `{"items": `, 400},
		"claims of nothing":           {lotPath(of) + "/claims", lots(), 422},
		"a guest":                     {lotPath(of) + "/claims", with("account", guest(1)), 422},
		"an account with its kind":    {lotPath(of) + "/claims", with("account", account(1)), 422},
		"a claim of less":             {lotPath(of) + "/claims", with("quantity", -1), 422},
		"a claim of too much":         {lotPath(of) + "/claims", with("quantity", 1001), 422},
		"a position before the first": {lotPath(of) + "/claims", with("position", -1), 422},
		"until some day":              {lotPath(of) + "/claims", with("until", "some day"), 422},
		"until null":                  {lotPath(of) + "/claims", with("until", nil), 422},
		"without an end":              {lotPath(of) + "/claims", lots(without), 422},
		"an unknown field":            {lotPath(of) + "/claims", with("price", 1), 422},
	} {
		r := b.do("drops", "PUT", tt.path, tt.body)
		require.Equal(t, tt.want, r.Status, "%s: %.300s", name, r.Body)
		require.NotEmpty(t, r.Slug(), name)
		require.Equal(t, [3]int64{5, 0, 0}, b.lot(of), name)
	}
	past := b.wants(1, "TEE", 1, 1)
	past["until"] = noon
	require.Equal(t, "claim-lapsed", b.claimAll(of, past)[0].slug())
	require.Equal(t, "lot-closed", b.claim(of, 1, "'; DROP TABLE lots; --", 1).slug())
}

// What was told twice, or late, about a claim's order changes nothing.
func TestEventsOfAClaimAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	of := b.inLot("TEE", 2, 2, 1)
	require.Empty(t, b.claim(of, 1, "TEE", 1).slug())
	order := uuid.New()
	for range 2 {
		require.Equal(t, http.StatusOK, b.holdFor(order, account(1), Line{"TEE", 1}).Status)
	}
	for _, step := range []struct {
		do   func()
		want [3]int64
	}{
		{func() { servetest.Deliver(t, b.rt, confirmed(order)) }, [3]int64{1, 0, 1}},
		{func() { servetest.Deliver(t, b.rt, confirmed(order)) }, [3]int64{1, 0, 1}},
		{func() { servetest.Deliver(t, b.rt, declined(order)) }, [3]int64{2, 0, 0}}, // after it was paid: given back
		{func() { servetest.Deliver(t, b.rt, cancelled(order)) }, [3]int64{2, 0, 0}},
		{func() { servetest.Deliver(t, b.rt, confirmed(order)) }, [3]int64{2, 0, 0}},
	} {
		step.do()
		require.Equal(t, step.want, b.lot(of))
	}
}

// A statement that fails leaves nothing behind: a lot is opened and closed, and a claim is held, in one transaction.
func TestLotsAreWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.stocked(map[string]int{"TEE": 5})
	_, err := b.db.Exec(t.Context(), `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON lots FOR EACH ROW EXECUTE FUNCTION refuse()`)
	require.NoError(t, err)
	of := uuid.New()
	require.Equal(t, http.StatusInternalServerError, b.setAside(of, "TEE", 3, 1).Status)
	require.Nil(t, b.view("TEE").Lot)
	off := func() {
		_, err := b.db.Exec(context.Background(), `DROP TRIGGER IF EXISTS refuse ON lots`)
		require.NoError(t, err)
	}
	off()
	require.Equal(t, http.StatusOK, b.setAside(of, "TEE", 3, 1).Status)
	_, err = b.db.Exec(t.Context(), `
		CREATE TRIGGER refuse BEFORE UPDATE ON lots FOR EACH ROW EXECUTE FUNCTION refuse();
		CREATE TRIGGER refuse BEFORE INSERT ON cart_holds FOR EACH ROW EXECUTE FUNCTION refuse()`)
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, b.do("drops", "DELETE", lotPath(of), nil).Status)
	claims := map[string]any{"items": []any{b.wants(1, "TEE", 1, 1)}}
	require.Equal(t, http.StatusInternalServerError, b.do("drops", "PUT", lotPath(of)+"/claims", claims).Status)
	require.Equal(t, [3]int64{3, 0, 0}, b.lot(of))
	off()
}
