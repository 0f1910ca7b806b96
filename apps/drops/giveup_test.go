package main

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// goes has somebody leave, or be shut out by staff, twice.
func (b *bundle) goes(how string, n int) {
	b.t.Helper()
	idx := b.entry(n).Idx
	for range 2 {
		if how == "leaves" {
			require.Equal(b.t, http.StatusNoContent, b.do(b.token(n), "DELETE", "/drops/spring/entry", nil).Status)
			continue
		}
		at := "/admin/drops/" + b.watchedID().String() + "/exclusions/" + strconv.FormatInt(idx, 10)
		require.Equal(b.t, http.StatusOK, b.do(b.staff(), "PUT", at, map[string]any{"reason": "a script"}).Status)
	}
}

// offered is a drop of one unit that is offered to the first of the order: in a draw at the opening, elsewhere since it came back from
// who came first.
func (b *bundle) offered(preset Preset) (order []int) {
	b.t.Helper()
	one := []LotWanted{{"TEE", 1, 1}}
	if preset == Draw {
		return b.drawn(4, 1, "lots", one)
	}
	if preset == Queue {
		order = b.opened(4, "lots", one)
	} else {
		w := b.made("preset", "first-come", "prequeue_at", nil, "lots", one)
		b.at(w.OpensAt)
		b.tick()
		for n := range 4 {
			b.entered(n)
			order = append(order, n)
		}
	}
	for range 4 { // nobody comes in time
		b.later(46 * time.Second)
	}
	require.Equal(b.t, http.StatusCreated, b.claim(order[3]).Status)
	for _, n := range order[:3] {
		require.Equal(b.t, http.StatusAccepted, b.claim(n).Status)
	}
	b.later(10*time.Minute + 2*time.Second)
	return order
}

// TestGoesWithAnOffer: what was offered to who leaves, or is shut out, is offered to who is next within the next round, whichever way
// the drop gives its units out, whatever inventory does and whoever crashes when; and it is over once, as one that lapsed.
func TestGoesWithAnOffer(t *testing.T) {
	t.Parallel()
	for _, preset := range []Preset{Queue, Draw, FirstCome} {
		for _, how := range []string{"leaves", "is shut out"} {
			t.Run(string(preset)+" "+how, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				order := b.offered(preset)
				require.Equal(t, Offered, b.entry(order[0]).Claims[0].State)
				ticket := b.entry(order[0]).Ticket

				servetest.Neighbour(t, b.rt, "inventory", claimsRoute, servetest.IsAway)
				b.goes(how, order[0])
				require.Equal(t, 1, b.endings(), "whether its owner looks or not")
				require.Equal(t, Lapsed, b.entry(order[0]).Claims[0].State, "at once, for its owner")
				require.GreaterOrEqual(t, b.claimOf(order[0], ticket, "TEE", 1).Status, 400)
				require.Error(t, b.s.moveAll(t.Context()))
				require.Equal(t, int64(1), b.inv.lot("TEE").Held)
				servetest.Neighbour(t, b.rt, "inventory", claimsRoute, servetest.HangsUp(b.inv.claims)) // it has done it, and nobody knows
				require.Error(t, b.s.moveAll(t.Context()))
				servetest.Neighbour(t, b.rt, "inventory", claimsRoute, b.inv.claims)
				b.tick()
				require.Equal(t, Offered, b.entry(order[1]).Claims[0].State, "who is next")
				b.another().tick()
				require.Equal(t, int64(1), b.inv.lot("TEE").Held)
				require.Equal(t, http.StatusCreated, b.claim(order[1]).Status)
				b.later(takenBackFor)
				b.later(time.Second)
				require.Zero(t, b.endings())
				require.Equal(t, int64(1), b.inv.lot("TEE").Held, "the next one's")
				var lapses int64
				require.NoError(t, b.db.QueryRow(t.Context(), `SELECT lapses FROM claims WHERE position = 0`).Scan(&lapses))
				require.Equal(t, int64(1), lapses)
			})
		}
	}
}

func (b *bundle) endings() (n int) {
	b.t.Helper()
	require.NoError(b.t, b.db.QueryRow(b.t.Context(), `SELECT count(*) FROM claims WHERE state = 'ending'`).Scan(&n))
	return n
}

// TestGoesWhileAsked: inventory is asked for a unit of who leaves at that very moment, by an instance that knew nothing of it and
// crashes then. It is taken back nevertheless.
func TestGoesWhileAsked(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"leaves", "is shut out"} {
		b := setup(t)
		order := b.opened(2, "lots", []LotWanted{{"TEE", 1, 1}})
		ticket := b.entry(order[0]).Ticket
		late := make(chan func(), 1)
		servetest.Neighbour(t, b.rt, "inventory", claimsRoute, func(w http.ResponseWriter, r *http.Request) {
			late <- func() { _, _ = b.inv.claim(wantsHeld{account(order[0]), "TEE", 1, 0, b.clock().Add(10 * time.Minute)}) }
			servetest.IsAway(w, r)
		})
		require.Equal(t, "unavailable", b.claimOf(order[0], ticket, "TEE", 1).Slug())
		servetest.Neighbour(t, b.rt, "inventory", claimsRoute, b.inv.claims)
		b.goes(how, order[0])
		b.tick()
		require.Zero(t, b.inv.lot("TEE").Held)
		(<-late)()
		require.Equal(t, int64(1), b.inv.lot("TEE").Held)
		b.tick()
		require.Zero(t, b.inv.lot("TEE").Held)
		b.later(takenBackFor)
		require.Zero(t, b.endings())
	}
}

// TestGoesWhileDrawn: the round draws, or offers something to, who has just left, since it did not know it. It goes to who is next.
func TestGoesWhileDrawn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.offered(Draw)
	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, servetest.IsAway)
	b.goes("leaves", order[0])
	_, err := b.db.Exec(t.Context(), `UPDATE claims SET state = 'drawn', until = $1`, b.clock().Add(time.Hour)) // as drawNext would have
	require.NoError(t, err)
	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, b.inv.claims)
	b.tick()
	b.tick()
	require.Equal(t, Offered, b.entry(order[1]).Claims[0].State)
}

// TestGoesWithAHold: what is held for who leaves is theirs to buy until its end, and theirs what an order has; who is shut out loses
// what no order has.
func TestGoesWithAHold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(4, "lots", []LotWanted{{"TEE", 3, 1}})
	for _, n := range order[:3] {
		require.Equal(t, http.StatusCreated, b.claim(n).Status)
	}
	b.inv.buys(account(order[2]), "TEE")
	b.goes("leaves", order[0])
	b.goes("is shut out", order[1])
	b.goes("is shut out", order[2])
	b.tick()
	require.Equal(t, []int64{1, 1, 1}, []int64{b.inv.lot("TEE").Free, b.inv.lot("TEE").Held, b.inv.lot("TEE").Sold})
	require.Equal(t, Held, b.entry(order[0]).Claims[0].State)
	more := b.do(b.token(order[0]), "POST", "/drops/spring/entry/more-time", map[string]any{"sku": "TEE"})
	require.Equal(t, http.StatusOK, more.Status, "%s", more.Body)
	b.later(takenBackFor)
	states := map[int]ClaimState{order[0]: Held, order[1]: Lapsed, order[2]: Bought}
	for n, state := range states {
		require.Equal(t, state, b.entry(n).Claims[0].State)
	}
	require.Zero(t, b.endings())
}

// TestGoesAndEnds: a drop that ends keeps nothing of who has gone from the shop.
func TestGoesAndEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.offered(Draw)
	b.goes("leaves", order[0])
	require.Equal(t, http.StatusOK, b.do(b.staff(), "POST", "/admin/drops/"+b.watchedID().String()+"/end", nil).Status)
	b.tick()
	require.Zero(t, b.inv.lot("TEE").Held)
	b.later(takenBackFor)
	require.Zero(t, b.endings())
}
