package main

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/crew"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/sub"
)

// runs has an instance send what it logs, until stop, or the end of the test.
func (b *bundle) runs(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = b.send(ctx) }()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	for _, senders := range []*crew.Crew[Job]{b.mails, b.codes} {
		require.Eventually(t, func() bool { return b.free(t, senders) }, 10*time.Second, time.Millisecond)
	}
	return stop
}

// free reports whether one of senders has nothing to do.
func (b *bundle) free(t *testing.T, senders *crew.Crew[Job]) bool {
	var n int
	require.NoError(t, pg.InTx(t.Context(), b.db, func(tx pgx.Tx) error { n = senders.Promise(tx, 1).N; return nil }))
	return n == 1
}

func (b *bundle) sent(t *testing.T) int { return len(b.list(t, "?status=sent&limit=100")) }

// TestStatements: what a mail costs the database.
func TestStatements(t *testing.T) {
	t.Parallel()
	rt, plain := servetest.NewTest(t, "mail", migrations)
	db, counter := pgtest.Count(t, plain)
	rt.UseDatabase(db)
	b := start(t, rt, db)
	b.runs(t)
	own := []string{"WITH codes AS", "SELECT "} // looked for what is due, and the test's
	counter.Reset()
	servetest.Deliver(t, b.rt, confirmed(order()))
	require.Eventually(t, func() bool { return b.sent(t) == 1 }, 10*time.Second, 10*time.Millisecond)
	require.Len(t, counter.Statements(own...), 5, "%q", counter.Statements(own...)) // begin, inbox, mail, commit; sent
	require.Equal(t, 2, counter.Commits(own...))

	counter.Reset()
	servetest.Deliver(t, b.rt, code("493817", time.Hour))
	require.Eventually(t, func() bool { return b.sent(t) == 2 }, 10*time.Second, 10*time.Millisecond)
	require.Len(t, counter.Statements(own...), 5, "%q", counter.Statements(own...))

	const crowd = 64
	counter.Reset()
	var all sync.WaitGroup
	for range crowd {
		all.Go(func() { _ = servetest.DeliverAs(t, b.rt, uuid.NewString(), confirmed(order())) })
	}
	all.Wait()
	require.Eventually(t, func() bool { return b.sent(t) == 2+crowd }, 10*time.Second, 10*time.Millisecond)
	statements := counter.Statements("SELECT ")
	t.Logf("%d statements in %d transactions for %d mails", len(statements), counter.Commits("SELECT "), crowd)
	require.Less(t, len(statements), 2*crowd, "%q", statements)
}

// TestDiesHandedOver: a process that dies after it has logged a mail, and before it has noted that it sent it.
func TestDiesHandedOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dying := b.another(t)
	stop := dying.runs(t)
	dead := make(chan struct{})
	dying.post = func(context.Context, *Mail, parts) error { <-dead; return errors.New("too late") }
	servetest.Deliver(t, dying.rt, confirmed(order()))
	require.Empty(t, b.sendDue(t), "the lease holds")
	require.Equal(t, 1, b.list(t, "")[0].Tries)
	b.advance(lease + time.Second)
	require.Len(t, b.sendDue(t), 1)
	require.Equal(t, 1, b.list(t, "?status=sent")[0].CutOff, "it may have arrived before")
	close(dead)
	stop()
	require.Len(t, b.list(t, "?status=sent"), 1, "who comes back late changes nothing")
}

// TestNotHandedOver: while the mail server is away, and for what is not wanted, nobody is sent.
func TestNotHandedOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.runs(t)
	o := order()
	servetest.Deliver(t, b.rt, cancelled(o))
	servetest.Deliver(t, b.rt, confirmed(o))
	require.Eventually(t, func() bool { return len(b.list(t, "?status=skipped")) == 1 }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, OrderConfirmed, b.list(t, "?status=skipped")[0].Kind)
	require.Eventually(t, func() bool { return b.sent(t) == 1 }, 10*time.Second, 10*time.Millisecond)

	b.gate.leave(false, true, true, b.now().Add(time.Hour))
	servetest.Deliver(t, b.rt, confirmed(order()))
	require.Zero(t, b.list(t, "?status=queued")[0].Tries, "not even leased")
}

// TestTogether: of a batch each mail is what it would be alone.
func TestTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	known, fresh, bad, declined := order(), order(), order(), order()
	bad.Email = "nobody"
	servetest.Deliver(t, b.rt, confirmed(known))
	servetest.Deliver(t, b.rt, cancelled(fresh))
	var batch []sub.Delivered[events.OrderConfirmed]
	for _, o := range []events.Order{known, fresh, bad, fresh} {
		batch = append(batch, sub.Delivered[events.OrderConfirmed]{Event: confirmed(o), ID: uuid.NewString()})
	}
	no := cancelled(declined)
	no.Reason = "payment-declined"
	require.NoError(t, pg.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
		order := func(e events.OrderConfirmed) events.Order { return e.Order }
		if err := onOrders(t.Context(), tx, b.service, batch, order, "confirmed"); err != nil {
			return err
		}
		return onOrders(t.Context(), tx, b.service, []sub.Delivered[events.OrderCancelled]{{Event: no, ID: uuid.NewString()}},
			func(e events.OrderCancelled) events.Order { return e.Order }, "cancelled")
	}))
	require.Len(t, b.list(t, ""), 4, "each once, and none of a declined card")
	b.sendDue(t)
	for id, want := range map[uuid.UUID]map[Kind]Status{
		known.OrderID: {OrderConfirmed: Sent}, bad.OrderID: {OrderConfirmed: Failed},
		fresh.OrderID: {OrderConfirmed: Skipped, OrderCancelled: Sent},
	} {
		got := map[Kind]Status{}
		for _, r := range b.list(t, "?order_id="+id.String()) {
			got[r.Kind] = r.Status
			require.NotEmpty(t, r.Source.ID)
		}
		require.Equal(t, want, got)
	}
}

// TestNotedTogether: a try that cannot be noted keeps no other from being noted.
func TestNotedTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 8 {
		servetest.Deliver(t, b.rt, confirmed(order()))
	}
	claimed, err := claimMails(t.Context(), b.db, 8, false, b.now())
	require.NoError(t, err)
	require.Len(t, claimed, 8)
	mails := []*Mail{}
	for i := range claimed {
		claimed[i].Delivered(b.now())
		mails = append(mails, &claimed[i].Mail)
	}
	mails[3].Error = "a server's \x00"
	require.Error(t, noteTries(t.Context(), b.db, mails))
	require.Zero(t, b.sent(t))
	var all sync.WaitGroup
	for _, m := range mails {
		all.Go(func() { _ = b.note(t.Context(), m) })
	}
	all.Wait()
	require.Equal(t, 7, b.sent(t))
}
