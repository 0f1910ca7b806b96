package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/maypok86/otter/v2"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// keepsSnapshots has an instance look at a drop once: what it does from then on it does by what it knew.
func (b *bundle) keepsSnapshots() { b.s.snapshots = otter.Must(&otter.Options[string, snapshot]{}) }

// TestOldSnapshots: three instances have seen the drop before it began, and none has looked again. Whatever has become of it since,
// they let in whom it lets in by now, and nobody else.
func TestOldSnapshots(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made("lots", []LotWanted{{"TEE", 2, 1}})
	instances := []*bundle{b, b.another(), b.another()}
	for _, one := range instances {
		one.keepsSnapshots()
		require.Equal(t, "drop-not-open", one.enter(1).Slug())
	}
	staff := func(method, act string, in any) {
		t.Helper()
		require.Equal(t, http.StatusOK, b.do(b.staff(), method, "/admin/drops/"+w.ID.String()+act, in).Status)
	}
	b.at(*w.PrequeueAt)
	b.tick()
	for n := range 9 {
		require.Equal(t, http.StatusCreated, instances[n%3].enter(n).Status, "the pre-queue has begun")
	}
	b.at(w.OpensAt)
	for _, one := range instances {
		require.Equal(t, "drop-drawing", one.enter(20).Slug(), "its log is to be frozen")
	}
	b.tick()
	late := instances[1].entered(20)
	require.Equal(t, []int64{9, 9}, []int64{late.Idx, *late.Position}, "it was frozen half a second ago")
	order := make([]int, 9)
	for n := range 9 {
		order[*instances[n%3].entry(n).Position] = n
	}

	require.Equal(t, http.StatusCreated, instances[1].claim(order[0]).Status, "it is open")
	require.Equal(t, "not-called", instances[1].claim(order[2]).Slug())
	b.later(46 * time.Second)
	require.Equal(t, http.StatusCreated, instances[2].claim(order[2]).Status, "called a moment ago")
	asked := b.inv.asked
	refused := func(who int, slug string) {
		t.Helper()
		for _, one := range instances {
			require.Equal(t, slug, one.claim(who).Slug())
		}
	}
	staff("PUT", "/pause", nil)
	refused(order[1], "drop-paused")
	staff("DELETE", "/pause", nil)
	servetest.Deliver(t, b.rt, events.AccountSuspended{AccountID: account(order[1]), At: b.clock()})
	refused(order[1], "not-eligible")
	for _, one := range instances {
		require.Equal(t, "not-eligible", one.enter(order[1]).Slug())
	}
	servetest.Deliver(t, b.rt, events.AccountActivated{AccountID: account(order[1]), At: b.clock().Add(time.Second)})
	require.Equal(t, http.StatusNoContent, instances[2].do(b.token(order[1]), "DELETE", "/drops/spring/entry", nil).Status)
	refused(order[1], "not-entered-for")
	require.Equal(t, http.StatusOK, instances[0].enter(order[1]).Status, "and has come again")
	staff("PUT", "/exclusions/"+strconv.FormatInt(b.entry(order[1]).Idx, 10), map[string]any{"reason": "a script"})
	refused(order[1], "not-eligible")
	staff("POST", "/end", nil)
	refused(order[0], "drop-ended")
	for _, one := range instances {
		require.Equal(t, "drop-ended", one.enter(30).Slug())
	}
	require.Equal(t, asked, b.inv.asked)
}

// TestOldSnapshotOfADraw: nobody enters a draw after its entries have ended, by whatever an instance knew.
func TestOldSnapshotOfADraw(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made("preset", "draw")
	b.at(*w.PrequeueAt)
	b.tick()
	instances := []*bundle{b, b.another(), b.another()}
	for n, one := range instances {
		one.keepsSnapshots()
		require.Equal(t, http.StatusCreated, one.enter(n).Status)
	}
	b.at(w.OpensAt)
	for range 2 {
		for _, one := range instances {
			require.Equal(t, "entry-closed", one.enter(9).Slug())
		}
		b.tick()
	}
}

// TestEndedSnapshot: of a drop that an instance knows to be over, a claim costs no statement.
func TestEndedSnapshot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened(1)
	ticket := b.entry(0).Ticket
	require.Equal(t, http.StatusOK, b.do(b.staff(), "POST", "/admin/drops/"+b.watchedID().String()+"/end", nil).Status)
	b.keepsSnapshots()
	require.Equal(t, Closed, b.status().State)
	db, count := pgtest.Count(t, b.db)
	b.s.store.db = db
	require.Equal(t, "drop-ended", b.claimOf(0, ticket, "TEE", 1).Slug())
	require.Empty(t, count.Statements())
}

// TestStatementsOfOne: what an entry and a claim read for themselves is nothing, and what their batches do is this.
func TestStatementsOfOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made()
	b.at(*w.PrequeueAt)
	b.tick()
	b.keepsSnapshots()
	db, count := pgtest.Count(t, b.db)
	b.s.store.db = db
	b.entered(0)
	count.Reset()
	b.entered(1)
	require.Len(t, count.Statements(), 8, "begin, drop, entries, standings, entry, lot, drop, commit")
	count.Reset()
	require.Equal(t, http.StatusOK, b.enter(1).Status)
	require.Len(t, count.Statements(), 6, "who comes again writes nothing: begin, drop, entries, standings, commit; claims")
	b.at(w.OpensAt)
	b.tick()
	ticket := b.entry(0).Ticket
	count.Reset()
	require.Equal(t, http.StatusCreated, b.claimOf(0, ticket, "TEE", 1).Status)
	require.Len(t, count.Statements(), 12, "begin, entries, standings, turns, claims, claim, commit; begin, entries, claims, claim, commit")
}

// TestStatementsOfEntries: many that come together cost what one does, and each is what it was.
func TestStatementsOfEntries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made("lots", []LotWanted{{"TEE", 2, 2}, {"CAP", 2, 2}})
	b.at(*w.PrequeueAt)
	b.tick()
	db, count := pgtest.Count(t, b.db)
	b.s.store.db = db
	cost := func(from, to int) int {
		t.Helper()
		var batch []entering
		for n := from; n < to; n++ {
			email := address(n)
			batch = append(batch, entering{w.ID, account(n), []string{"TEE", "CAP"}, 2, &email})
		}
		count.Reset()
		answers, err := b.s.enterAll(t.Context(), batch)
		require.NoError(t, err)
		statements := len(count.Statements())
		for i, a := range answers {
			require.NoError(t, a.Err)
			kept, err := b.s.store.entry(t.Context(), w.ID, account(from+i))
			require.NoError(t, err)
			kept.EnteredAt = kept.EnteredAt.UTC()
			require.Equal(t, a.Value.Entry, kept)
			require.Equal(t, int64(from+i), kept.Idx)
		}
		return statements
	}
	require.Equal(t, cost(0, 1), cost(1, 30))
}

// during does something when a statement is about to be sent.
type during func(sql string)

func (d during) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	d(data.SQL)
	return ctx
}

func (during) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TestStatusIsOfOneMoment: a status has what was so when its clock was read, and nothing of later. Else an instance that is slow
// tells what was as if it were what is, and shoppers see the drop go back.
func TestStatusIsOfOneMoment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened(3)
	called := func(st store, clock func() time.Time) int64 {
		t.Helper()
		sn, err := st.snapshot(t.Context(), "spring", clock)
		require.NoError(t, err)
		require.Equal(t, sn.Lots[0].Called, sn.Status.SKUs[0].Called)
		return sn.Status.SKUs[0].Called
	}
	callOne := func() {
		_, err := b.db.Exec(t.Context(), `UPDATE drop_lots SET called = called + 1`)
		require.NoError(t, err)
	}
	before := called(b.s.store, b.clock)
	require.Equal(t, before+1, called(b.s.store, func() time.Time { callOne(); return b.clock() }), "called before the clock was read")

	cfg := b.db.Config()
	cfg.ConnConfig.Tracer = during(func(sql string) {
		if strings.Contains(sql, "FROM drop_lots") {
			callOne()
		}
	})
	db, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	require.Equal(t, before+1, called(store{db, b.clock}, b.clock), "called after it")
	require.Equal(t, before+2, called(b.s.store, b.clock))
}
