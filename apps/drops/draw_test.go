package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/servetest"
)

func address(n int) string { return fmt.Sprintf("shopper%d@example.test", n) }

// drawn is a draw that so many have entered, each for so many units, and want to be told of, and which has just opened. It
// returns who stands where.
func (b *bundle) drawn(entrants int, quantity int64, changes ...any) (order []int) {
	b.t.Helper()
	w := b.made(append([]any{"preset", "draw", "grace_s", 1800}, changes...)...)
	b.at(*w.PrequeueAt)
	b.tick()
	for n := range entrants {
		in := map[string]any{"skus": []string{"TEE"}, "quantity": quantity, "tell": true}
		r := b.do(b.token(n), "POST", "/drops/spring/entry", in)
		require.Equal(b.t, http.StatusCreated, r.Status, "%s", r.Body)
	}
	b.at(w.OpensAt)
	b.tick()
	order = make([]int, entrants)
	for n := range entrants {
		order[*b.entry(n).Position] = n
	}
	return order
}

// outboxOf lists the events of a type.
func outboxOf[E any](b *bundle, topic string) (all []E) {
	b.t.Helper()
	for _, sent := range servetest.Outbox(b.t, b.db) {
		if sent.Topic == topic {
			var e E
			require.NoError(b.t, json.Unmarshal(sent.Data, &e))
			all = append(all, e)
		}
	}
	return all
}

func (b *bundle) called() (all []string) {
	for _, e := range outboxOf[events.DropCalled](b, "drop.called.v1") {
		require.Equal(b.t, []string{"spring", "Spring", "Europe/London", "TEE"}, []string{e.Slug, e.Title, e.Zone, e.SKU})
		all = append(all, e.Email)
	}
	return all
}

func (b *bundle) missed() (all []string) {
	for _, e := range outboxOf[events.DropMissed](b, "drop.missed.v1") {
		all = append(all, e.Email)
	}
	slices.Sort(all)
	return all
}

func addresses(order ...int) (all []string) {
	for _, n := range order {
		all = append(all, address(n))
	}
	return all
}

// TestWholeDraw: the first ranks are drawn together and have half an hour to buy; what they do not buy goes on by rank, and in
// the end to who had their time; whoever got nothing is told that it is over, once.
func TestWholeDraw(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.drawn(6, 1, "lots", []LotWanted{{"TEE", 3, 1}})
	opened := b.clock()
	require.Equal(t, addresses(order[:3]...), b.called())
	require.Equal(t, opened.Add(30*time.Minute), outboxOf[events.DropCalled](b, "drop.called.v1")[0].Until.UTC())
	st := b.status()
	require.Equal(t, AllHeld, st.State)
	require.Equal(t, int64(3), st.SKUs[0].Called)
	require.Equal(t, [2]int64{2, 30}, st.PollS, "it goes on for hours")
	require.Equal(t, int64(3), b.inv.lot("TEE").Held, "kept for those who were drawn")
	require.Equal(t, Offered, b.entry(order[0]).Claims[0].State)
	require.Equal(t, "not-called", b.claim(order[3]).Slug())

	// The first buys; the second is late with paying; the third does not come.
	b.later(10 * time.Minute)
	for _, n := range order[:2] {
		r := b.claim(n)
		require.Equal(t, http.StatusCreated, r.Status, "%s", r.Body)
		require.Equal(t, opened.Add(30*time.Minute), *b.entry(n).Claims[0].HoldExpiresAt, "no shorter than it was said")
	}
	b.inv.buys(account(order[0]), "TEE")
	b.later(19 * time.Minute)
	require.Len(t, b.called(), 3, "nobody is called whom there is nothing for")

	b.later(3 * time.Minute)
	require.Equal(t, addresses(order[:5]...), b.called(), "the next in the order")
	require.Equal(t, opened.Add(62*time.Minute), outboxOf[events.DropCalled](b, "drop.called.v1")[4].Until.UTC())
	for _, n := range order[1:3] {
		require.Equal(t, Lapsed, b.entry(n).Claims[0].State)
	}
	require.Equal(t, http.StatusAccepted, b.claim(order[1]).Status, "their time is over, and they stand by")
	require.Equal(t, http.StatusCreated, b.claim(order[3]).Status)
	b.inv.buys(account(order[3]), "TEE")

	b.later(31 * time.Minute)
	require.Equal(t, addresses(order...), b.called())
	require.Equal(t, Standby, b.entry(order[1]).Claims[0].State, "behind all who were not called")
	b.later(31 * time.Minute)
	require.Equal(t, Offered, b.entry(order[1]).Claims[0].State, "nobody is next any more")
	require.Equal(t, opened.Add(2*time.Hour), *b.entry(order[1]).Claims[0].HoldExpiresAt, "not beyond the end")
	require.Equal(t, http.StatusCreated, b.claim(order[1]).Status)
	require.NoError(t, b.s.tellMissed(t.Context()))
	require.Empty(t, b.missed(), "it is not over")
	b.inv.buys(account(order[1]), "TEE")
	b.later(time.Second)
	require.Equal(t, SoldOut, b.status().State)

	for range 2 {
		require.NoError(t, b.s.tellMissed(t.Context()))
	}
	lost := addresses(order[2], order[4], order[5])
	slices.Sort(lost)
	require.Equal(t, lost, b.missed(), "once, and nobody who has bought")
	b.at(opened.Add(2*time.Hour + time.Minute)) // the end of what the last buyer held: only then it is looked at
	require.NoError(t, b.s.tellMissed(t.Context()))
	require.Equal(t, lost, b.missed())
	var kept int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM entries WHERE email IS NOT NULL`).Scan(&kept))
	require.Zero(t, kept, "nothing is left to tell")
	require.Equal(t, int64(3), b.inv.lot("TEE").Sold)
}

// TestDrawInventoryUnwell: whoever is drawn is told once the units are held, once, and however often inventory is asked nobody has
// more than they were drawn for.
func TestDrawInventoryUnwell(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made("preset", "draw", "grace_s", 1800, "lots", []LotWanted{{"TEE", 2, 2}})
	b.at(*w.PrequeueAt)
	b.tick()
	for n := range 4 {
		r := b.do(b.token(n), "POST", "/drops/spring/entry", map[string]any{"skus": []string{"TEE"}, "quantity": 1, "tell": n > 0})
		require.Equal(t, http.StatusCreated, r.Status, "%s", r.Body)
	}
	b.at(w.OpensAt)
	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, servetest.IsAway)
	require.Error(t, b.s.moveAll(t.Context()))
	require.Equal(t, int64(2), b.status().SKUs[0].Called)
	require.Empty(t, b.called(), "nothing is held for them yet")
	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, servetest.HangsUp(b.inv.claims))
	for range 3 {
		require.Error(t, b.s.moveAll(t.Context()))
	}
	require.Equal(t, int64(2), b.inv.lot("TEE").Held, "and nobody knows")
	require.Empty(t, b.called())
	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, b.inv.claims)
	for range 3 {
		b.later(time.Second)
	}
	require.Equal(t, int64(2), b.inv.lot("TEE").Held)
	require.Equal(t, int64(2), b.status().SKUs[0].Called)
	var first []string
	for n := range 4 {
		if e := b.entry(n); *e.Position < 2 {
			require.Equal(t, Offered, e.Claims[0].State)
			if n > 0 {
				first = append(first, address(n))
			}
		}
	}
	got := b.called()
	slices.Sort(got)
	require.Equal(t, first, got, "who did not ask is not told")
}

// TestDrawQuantities: whoever is last is drawn for what is left, and takes no unit of anybody else.
func TestDrawQuantities(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.drawn(3, 2, "lots", []LotWanted{{"TEE", 3, 2}})
	require.Equal(t, []int64{2, 1}, []int64{b.entry(order[0]).Claims[0].Quantity, b.entry(order[1]).Claims[0].Quantity})
	require.Empty(t, b.entry(order[2]).Claims)
	second := b.entry(order[1]).Ticket
	for range 2 {
		r := b.claimOf(order[1], second, "TEE", 2)
		require.Equal(t, http.StatusCreated, r.Status, "%s", r.Body)
		require.Equal(t, int64(1), b.entry(order[1]).Claims[0].Quantity)
	}
	// The first takes one of two: the other goes to the next.
	require.Equal(t, http.StatusCreated, b.claimOf(order[0], b.entry(order[0]).Ticket, "TEE", 1).Status)
	b.inv.buysOf(account(order[0]), "TEE", 1)
	b.later(time.Second)
	require.Equal(t, int64(1), b.entry(order[2]).Claims[0].Quantity)
	r := b.claimOf(order[0], b.entry(order[0]).Ticket, "TEE", 2)
	require.Equal(t, http.StatusCreated, r.Status, "%s", r.Body)
	require.Equal(t, Bought, b.entry(order[0]).Claims[0].State, "nobody takes what the next one was drawn for")
	require.Equal(t, int64(2), b.inv.lot("TEE").Held)
}

// TestDrawPassesOver: who has left, or is suspended at that moment, is not drawn; who is let in again later stands before the
// next ones.
func TestDrawPassesOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.drawn(5, 1, "lots", []LotWanted{{"TEE", 1, 1}})
	require.Equal(t, http.StatusNoContent, b.do(b.token(order[1]), "DELETE", "/drops/spring/entry", nil).Status)
	servetest.Deliver(t, b.rt, events.AccountSuspended{AccountID: account(order[2]), At: b.clock()})
	b.later(31 * time.Minute)
	require.Equal(t, addresses(order[0], order[3]), b.called())
	servetest.Deliver(t, b.rt, events.AccountActivated{AccountID: account(order[2]), At: b.clock()})
	require.Equal(t, http.StatusAccepted, b.claim(order[2]).Status)
	b.later(31 * time.Minute)
	require.Equal(t, Offered, b.entry(order[2]).Claims[0].State)
	require.Len(t, b.called(), 2)
	servetest.Deliver(t, b.rt, events.AccountEmailChanged{AccountID: account(order[4]), Email: "new@example.test"})
	servetest.Deliver(t, b.rt, events.AccountRemoved{AccountID: account(order[0]), At: b.clock()})
	b.at(b.clock().Add(2 * time.Hour))
	b.tick()
	require.Equal(t, Closed, b.status().State)
	require.NoError(t, b.s.tellMissed(t.Context()))
	want := append(addresses(order[2], order[3]), "new@example.test")
	slices.Sort(want)
	require.Equal(t, want, b.missed(), "nobody who has left or is gone")
}

// TestDrawEnds: who holds something when it ends may still buy it, and is told nothing before that is decided; a drop that tells
// nobody forgets the addresses, too.
func TestDrawEnds(t *testing.T) {
	t.Parallel()
	for tell, want := range map[bool]int{true: 2, false: 0} {
		b := setup(t)
		order := b.drawn(3, 1, "lots", []LotWanted{{"TEE", 2, 1}}, "tell_end", tell, "grace_s", 7200)
		require.Equal(t, tell, b.watched(b.watchedID()).TellEnd)
		require.Contains(t, *b.watched(b.watchedID()).Rules, fmt.Sprintf(`"tell_end":%t`, tell))
		b.later(119 * time.Minute)
		require.Equal(t, http.StatusCreated, b.claim(order[0]).Status, "for ten minutes, beyond the end")
		b.later(2 * time.Minute)
		require.Equal(t, Closed, b.status().State)
		require.NoError(t, b.s.tellMissed(t.Context()))
		require.NotContains(t, b.missed(), address(order[0]))
		b.inv.buys(account(order[0]), "TEE")
		b.at(b.clock().Add(time.Hour))
		require.NoError(t, b.s.tellMissed(t.Context()))
		require.Len(t, b.missed(), want)
		require.NotContains(t, b.missed(), address(order[0]))
		var kept int
		require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM entries WHERE email IS NOT NULL`).Scan(&kept))
		require.Zero(t, kept)
	}
}

// TestDrawRules: those who are drawn first have their whole time before it ends.
func TestDrawRules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.draft()
	in["preset"], in["grace_s"] = "draw", 7201
	r := b.do(b.staff(), "POST", "/admin/drops", in)
	require.Equal(t, "invalid", r.Slug())
	require.True(t, strings.Contains(string(r.Body), "closes_at"), "%s", r.Body)
	in["grace_s"] = 7200
	r = b.do(b.staff(), "POST", "/admin/drops", in)
	require.Equal(t, http.StatusCreated, r.Status, "%s", r.Body)
	var w Watched
	r.JSON(t, &w)
	require.True(t, w.Notify && w.TellEnd)
}

// TestPausedDraw: a pause takes no time from those who were drawn, as far as the draw goes on, and nobody is drawn instead of them.
func TestPausedDraw(t *testing.T) {
	t.Parallel()
	for length, want := range map[time.Duration]time.Duration{6 * time.Hour: 90 * time.Minute, 80 * time.Minute: 80 * time.Minute} {
		b := setup(t)
		opens := b.clock().Truncate(time.Second).Add(24 * time.Hour)
		order := b.drawn(5, 1, "lots", []LotWanted{{"TEE", 3, 1}}, "closes_at", opens.Add(length))
		b.later(10 * time.Minute)
		require.Equal(t, http.StatusCreated, b.claim(order[0]).Status)
		b.inv.buys(account(order[0]), "TEE")
		at := "/admin/drops/" + b.watchedID().String() + "/pause"
		require.Equal(t, http.StatusOK, b.do(b.staff(), "PUT", at, nil).Status)
		for range 4 {
			b.later(15 * time.Minute)
			require.Equal(t, Offered, b.entry(order[1]).Claims[0].State)
		}
		require.Zero(t, b.inv.lot("TEE").Held, "their end has come")
		require.Equal(t, http.StatusOK, b.do(b.staff(), "DELETE", at, nil).Status)
		b.tick()
		require.Equal(t, int64(2), b.inv.lot("TEE").Held)
		require.Equal(t, int64(3), b.status().SKUs[0].Called)
		for _, n := range order[1:3] {
			v := b.entry(n).Claims[0]
			require.Equal(t, Offered, v.State)
			require.Equal(t, opens.Add(want), *v.HoldExpiresAt)
		}
		require.Equal(t, http.StatusCreated, b.claim(order[1]).Status)
	}
}
