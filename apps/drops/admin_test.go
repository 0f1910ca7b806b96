package main

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// whileLocked does something while the drop is another transaction's, has that one do what it does once something waits for it, and
// then lets it go on.
func (b *bundle) whileLocked(do func(), statements ...string) {
	b.t.Helper()
	tx, err := b.db.Begin(b.t.Context())
	require.NoError(b.t, err)
	_, err = tx.Exec(b.t.Context(), `SELECT FROM drops FOR UPDATE`)
	require.NoError(b.t, err)
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	require.Eventually(b.t, func() bool {
		var waits bool
		err := b.db.QueryRow(b.t.Context(), `SELECT EXISTS (
			SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits)
		return err == nil && waits
	}, 10*time.Second, time.Millisecond)
	for _, sql := range statements {
		_, err = tx.Exec(b.t.Context(), sql)
		require.NoError(b.t, err)
	}
	require.NoError(b.t, tx.Commit(b.t.Context()))
	<-done
}

// TestRulesAreTheLots: what is published is what is set aside, also when the draft changes at that very moment.
func TestRulesAreTheLots(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.drafted()
	b.whileLocked(func() { b.schedule(w.ID) }, `UPDATE drop_lots SET sku = 'CAP', units = 7`)
	w = b.watched(w.ID)
	require.Equal(t, Scheduled, w.State)
	require.Contains(t, *w.Rules, `"lots":[{"sku":"CAP","units":7,"limit":2}]`)
	require.Equal(t, int64(7), b.inv.lot("CAP").Units())
	require.Len(t, b.inv.all, 1)
}

// TestAnswerAboutOtherLots: an answer of inventory that comes when the draft was refused by another one, changed and scheduled again
// says nothing of what it has by then: neither that it is set aside, nor that it cannot be.
func TestAnswerAboutOtherLots(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"had", "refused"} {
		b := setup(t)
		w := b.drafted()
		servetest.Neighbour(t, b.rt, "inventory", "PUT /internal/lots/{drop}", func(rw http.ResponseWriter, r *http.Request) {
			servetest.Neighbour(t, b.rt, "inventory", "PUT /internal/lots/{drop}", servetest.IsAway)
			_, err := b.db.Exec(t.Context(), `UPDATE drops SET lots = 'refused'`)
			require.NoError(t, err)
			change := b.draft()
			delete(change, "slug")
			change["lots"] = []LotWanted{{"TEE", 5, 2}}
			require.Equal(t, http.StatusOK, b.do(b.staff(), "PUT", "/admin/drops/"+w.ID.String(), change).Status)
			require.Equal(t, http.StatusOK, b.schedule(w.ID).Status)
			if answer == "had" {
				b.inv.put(rw, r)
			} else {
				servetest.Refuses(problem.New(problem.Conflict, "lot-overlaps", "It is in the open lot of another drop"))(rw, r)
			}
		})
		require.Equal(t, http.StatusOK, b.schedule(w.ID).Status)
		require.Equal(t, "asked", b.watched(w.ID).SetAside, answer)
		require.Equal(t, int64(5), b.watched(w.ID).Lots[0].Units, answer)
		servetest.Neighbour(t, b.rt, "inventory", "PUT /internal/lots/{drop}", b.inv.put)
		b.tick()
		w = b.watched(w.ID)
		require.Equal(t, Scheduled, w.State)
		require.Contains(t, *w.Rules, `"units":5`)
		require.Equal(t, int64(5), b.inv.lot("TEE").Units())
	}
}

func (b *bundle) acts() (acts []string) {
	var v DropView
	b.do("", "GET", "/drops/spring", nil).JSON(b.t, &v)
	for _, a := range v.Acts {
		acts = append(acts, a.Act+" "+a.Detail)
	}
	return acts
}

// TestUnits: more units are in the public log before inventory is asked for them, and so is what became of it, once, whatever inventory
// does and whoever crashes when.
func TestUnits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.made().ID
	add := func(in map[string]any) servetest.Response {
		return b.do(b.staff(), "PUT", "/admin/drops/"+id.String()+"/units/TEE", in)
	}
	const putLots = "PUT /internal/lots/{drop}"
	servetest.Neighbour(t, b.rt, "inventory", putLots, servetest.HangsUp(b.inv.put))
	r := add(map[string]any{"units": 5, "expected": 2})
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	require.Equal(t, int64(5), b.watched(id).Watch[0].Asked)
	require.Equal(t, int64(5), b.inv.lot("TEE").Units(), "and nobody knows")
	require.Equal(t, []string{"created ", "scheduled ", "units-asked TEE: 5 in all"}, b.acts())
	r = add(map[string]any{"units": 5, "expected": 2})
	require.Equal(t, "units-changed", r.Slug(), "somebody else's five")
	require.Contains(t, string(r.Body), `"units":5`)
	require.Error(t, b.s.moveAll(t.Context()))
	servetest.Neighbour(t, b.rt, "inventory", putLots, b.inv.put)
	b.tick()
	b.another().tick()
	require.Equal(t, http.StatusOK, add(map[string]any{"units": 5}).Status, "again")
	require.Equal(t, "units TEE: 5 in all", b.acts()[3])
	require.Len(t, b.acts(), 4, "once")
	require.Equal(t, []int64{5, 0}, []int64{b.watched(id).Lots[0].Units, b.watched(id).Watch[0].Asked})

	r = add(map[string]any{"units": 6, "expected": 2})
	require.Equal(t, "units-changed", r.Slug())
	require.Equal(t, "lots-refused", add(map[string]any{"units": 4}).Slug(), "none are taken away")
	r = add(map[string]any{"units": 1001, "expected": 5})
	require.Equal(t, "lots-refused", r.Slug())
	require.Contains(t, string(r.Body), `"out-of-stock"`)
	require.Equal(t, []string{"units-asked TEE: 1001 in all", "units-refused TEE: 1001 in all, out-of-stock"}, b.acts()[4:])
	require.Equal(t, http.StatusOK, add(map[string]any{"units": 6, "expected": 5}).Status)
	require.Equal(t, "units TEE: 6 in all", b.acts()[7])
	var by int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(DISTINCT by_id) FROM acts`).Scan(&by))
	require.Equal(t, 1, by)
	require.Equal(t, "invalid", b.do(b.staff(), "PUT", "/admin/drops/"+id.String()+"/units/CAP", map[string]any{"units": 6}).Slug())
	require.Equal(t, http.StatusOK, b.do(b.staff(), "POST", "/admin/drops/"+id.String()+"/end", nil).Status)
	require.Equal(t, "drop-state", add(map[string]any{"units": 9}).Slug())
}

// TestUnitsTogether: of two who add as many to the same number at once, one is told that there are more by now.
func TestUnitsTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.made().ID
	slugs := make(chan string, 64)
	together(func(int) {
		slugs <- b.do(b.staff(), "PUT", "/admin/drops/"+id.String()+"/units/TEE", map[string]any{"units": 12, "expected": 2}).Slug()
	})
	counted := map[string]int{}
	for range 64 {
		counted[<-slugs]++
	}
	require.Equal(t, map[string]int{"": 1, "units-changed": 63}, counted)
}

// TestWaiting: who waits for a lot is who wants it.
func TestWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made("lots", []LotWanted{{"CAP", 1, 1}, {"TEE", 1, 1}})
	b.at(*w.PrequeueAt)
	b.tick()
	for n := range 5 {
		b.entered(n)
	}
	waiting := func() []int64 { w := b.watched(w.ID).Watch; return []int64{w[0].Waiting, w[1].Waiting} }
	require.Equal(t, []int64{0, 5}, waiting())
	b.at(w.OpensAt)
	b.tick()
	require.Equal(t, []int64{0, 4}, waiting())
}

// TestList: staff see every drop, page by page: those that are not over first, the newest first; others see no draft.
func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var ids []string
	for i, slug := range []string{"a", "b", "c", "d", "e"} {
		in := b.draft()
		in["slug"], in["lots"] = slug, []LotWanted{{"TEE-" + slug, 2, 2}}
		for _, name := range []string{"prequeue_at", "opens_at", "closes_at"} {
			in[name] = in[name].(time.Time).Add(time.Duration(i) * time.Hour)
		}
		var w Watched
		b.do(b.staff(), "POST", "/admin/drops", in).JSON(t, &w)
		ids = append(ids, w.ID.String())
	}
	for _, id := range ids[1:4] {
		require.Equal(t, http.StatusOK, b.do(b.staff(), "POST", "/admin/drops/"+id+"/schedule", nil).Status)
	}
	require.Equal(t, http.StatusOK, b.do(b.staff(), "POST", "/admin/drops/"+ids[2]+"/end", nil).Status)
	read := func(token, path string) (slugs []string) {
		for next, more := "", true; more; {
			var page struct {
				Items      []DropView
				NextCursor *string `json:"next_cursor"`
			}
			r := b.do(token, "GET", path+next, nil)
			require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
			r.JSON(t, &page)
			for _, d := range page.Items {
				require.Equal(t, []LotWanted{{"TEE-" + d.Slug, 2, 2}}, d.Lots)
				slugs = append(slugs, d.Slug)
			}
			if more = page.NextCursor != nil; more {
				next = "&cursor=" + url.QueryEscape(*page.NextCursor)
			}
		}
		return slugs
	}
	require.Equal(t, []string{"e", "d", "b", "a", "c"}, read(b.staff(), "/admin/drops?limit=2"))
	require.Equal(t, []string{"d", "b", "c"}, read("", "/drops"))
}

// TestWatchedCrowd: staff see how many stand by, have let one go, and were refused.
func TestWatchedCrowd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(4, "lots", []LotWanted{{"TEE", 1, 1}})
	b.later(92 * time.Second)
	require.Equal(t, http.StatusCreated, b.claim(order[0]).Status)
	require.Equal(t, http.StatusAccepted, b.claim(order[1]).Status)
	w := b.watched(b.watchedID()).Watch[0]
	require.Equal(t, []int64{1, 0, 0}, []int64{w.Standby, w.Lapsed, w.Refused})
	b.later(11 * time.Minute)
	b.tick()
	w = b.watched(b.watchedID()).Watch[0]
	require.Equal(t, int64(1), w.Lapsed)
	require.Equal(t, int64(0), w.Standby, "it was offered")
}

// TestBeaconSilent: staff are told before they schedule a drop that nobody could open it, and how that is changes within half a minute.
func TestBeaconSilent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	heard := rounds{}
	b.s.beacon = heard
	in := b.draft()
	in["beacon"] = proof.BeaconDrand
	var w Watched
	b.do(b.staff(), "POST", "/admin/drops", in).JSON(t, &w)
	require.True(t, w.BeaconSilent)
	tells := func() { heard[proof.Quicknet.RoundAt(b.clock().Add(-time.Minute))] = []byte("a signature") }
	tells()
	require.True(t, b.watched(w.ID).BeaconSilent, "asked twice a minute")
	b.at(b.clock().Add(31 * time.Second))
	tells()
	require.False(t, b.watched(w.ID).BeaconSilent)
	in["slug"], in["beacon"] = "own", proof.BeaconCommit
	b.s.beacon = rounds{}
	b.at(b.clock().Add(time.Minute))
	b.do(b.staff(), "POST", "/admin/drops", in).JSON(t, &w)
	require.False(t, w.BeaconSilent, "it waits for none")
}
