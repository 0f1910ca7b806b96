package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	require.Equal(t, int64(7), b.inv.all["CAP"].Units())
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
		require.Equal(t, int64(5), b.inv.all["TEE"].Units())
	}
}
