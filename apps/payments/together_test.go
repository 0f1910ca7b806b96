package main

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/crew"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/sub"
)

// swept is how the statements begin by which workers look for what is due, whether or not something is.
const swept = "WITH due AS"

// counted is an instance of payments whose statements are counted, with its workers running.
func counted(t *testing.T) (*bundle, *pgtest.Counter) {
	t.Helper()
	rt, plain := servetest.NewTest(t, "payments", migrations)
	db, counter := pgtest.Count(t, plain)
	rt.UseDatabase(db)
	b := start(t, rt, db)
	b.runs(t)
	return b, counter
}

// runs has an instance charge what it is told of, until the test ends.
func (b *bundle) runs(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = b.charging.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	require.Eventually(t, func() bool { // it takes what is handed over
		var n int
		require.NoError(t, pg.InTx(t.Context(), b.db, func(tx pgx.Tx) error { n = b.charging.Promise(tx, 1).N; return nil }))
		return n == 1
	}, 10*time.Second, time.Millisecond)
}

func (b *bundle) captures(t *testing.T, orders ...events.Order) {
	t.Helper()
	for _, o := range orders {
		require.Eventually(t, func() bool { return b.charge(t, o).State == Captured }, 10*time.Second, 10*time.Millisecond)
	}
}

// TestStatements: what an order costs the database. How it is told of by the sandbox is counted apart.
func TestStatements(t *testing.T) {
	t.Parallel()
	b, counter := counted(t)
	o := order(methodVisa)
	reads := []string{swept, "SELECT order_id", "SELECT id, topic, data"} // the test's own, too
	counter.Reset()
	b.place(t, o)
	b.captures(t, o)
	statements := counter.Statements(reads...)
	require.Len(t, statements, 6, "%q", statements) // begin, inbox, charge, commit; the sandbox's books; the answer with its event
	require.Equal(t, 3, counter.Commits(reads...))
	require.Equal(t, []string{captured}, b.told(t))

	b.place(t, o) // told again, under another id
	require.Equal(t, []string{captured, captured}, b.told(t))
	counter.Reset()
	require.Equal(t, 1, b.webhooksDue(t))
	require.Len(t, counter.Statements(), 3) // claimed, received, noted
	require.Equal(t, 3, counter.Commits())

	// A crowd: each costs a fraction.
	crowd := make([]events.Order, 64)
	for i := range crowd {
		crowd[i] = order(methodVisa)
	}
	counter.Reset()
	var all sync.WaitGroup
	for _, o := range crowd {
		all.Go(func() { _ = servetest.DeliverAs(t, b.rt, uuid.NewString(), events.OrderPlaced{Order: o}) })
	}
	all.Wait()
	require.Eventually(t, func() bool { return len(b.told(t)) == 2+len(crowd) }, 10*time.Second, 10*time.Millisecond)
	statements = counter.Statements(reads[1:]...)
	t.Logf("%d statements in %d transactions for %d orders", len(statements), counter.Commits(reads[1:]...), len(crowd))
	require.Less(t, len(statements), 2*len(crowd), "%q", statements)
	require.Less(t, counter.Commits(reads[1:]...), len(crowd))
	counter.Reset()
	webhooks, err := b.sandbox.claimWebhooks(t.Context(), 100)
	require.NoError(t, err)
	require.Len(t, webhooks, len(crowd))
	for _, w := range webhooks {
		all.Go(func() { b.sandbox.send(t.Context(), w) })
	}
	all.Wait()
	t.Logf("%d statements for their webhooks", len(counter.Statements()))
	require.Less(t, len(counter.Statements()), len(crowd))
	b.captures(t, crowd...)
	for _, o := range append(crowd, o) {
		_, _, calls := b.books(t, o)
		require.Equal(t, 1, calls)
	}
}

// TestDiesHandedOver: a process that dies after it has saved a charge, and before it asked the provider.
func TestDiesHandedOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dying := b.another(t)
	dying.charging = crew.New(crew.Settings[Charge]{
		Log: b.log, Most: 1, Late: time.Minute, Do: func(context.Context, Charge) {},
		Claim: func(context.Context, int) ([]Charge, error) { return nil, nil },
	})
	dying.runs(t)
	o, waiting := order(methodVisa), order(methodVisa)
	require.NoError(t, pg.InTx(t.Context(), b.db, func(tx pgx.Tx) error {
		return dying.onOrdersPlaced(t.Context(), tx, batch(o, waiting))
	}))
	require.ElementsMatch(t, []State{Attempted, Requested}, []State{b.charge(t, o).State, b.charge(t, waiting).State}, "it has one hand")
	if b.charge(t, o).State == Requested {
		o, waiting = waiting, o
	}
	require.Equal(t, 1, b.chargeDue(t), "what found no hand is for everybody")
	b.captures(t, waiting)
	require.Equal(t, 0, b.chargeDue(t), "the lease holds")
	require.Equal(t, Unknown, b.voidState(t, o), "somebody may be at it")
	b.advance(b.settings.lease() + time.Second)
	require.Equal(t, 1, b.chargeDue(t), "asked")
	require.Equal(t, Voided, b.charge(t, o).State, "nothing was charged, says the provider, and orders gave up")
	taken, _, calls := b.books(t, o)
	require.Zero(t, taken+int64(calls))
}

func batch(orders ...events.Order) (placed []sub.Delivered[events.OrderPlaced]) {
	for _, o := range orders {
		placed = append(placed, sub.Delivered[events.OrderPlaced]{Event: events.OrderPlaced{Order: o}, ID: uuid.NewString()})
	}
	return placed
}

// TestPlacedTogether: each of a batch is what it would be alone: new, told again, too late, or after its cancel.
func TestPlacedTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	fresh, paid, declined, waiting := order(methodVisa), order(methodVisa), order(methodDeclined), order(methodVisa)
	late, gone := order(methodVisa), order(methodVisa)
	b.place(t, paid)
	b.place(t, declined)
	require.Equal(t, 2, b.chargeDue(t))
	b.place(t, waiting)
	b.cancel(t, gone)
	late.PlacedAt = time.Now().Add(-tooLate - time.Hour)
	told := len(b.told(t))
	place := func(orders ...events.Order) error {
		return pg.InTx(t.Context(), b.db, func(tx pgx.Tx) error { return b.onOrdersPlaced(t.Context(), tx, batch(orders...)) })
	}
	bad := order(methodVisa)
	bad.Total.Currency = ""
	require.ErrorIs(t, place(fresh, bad), sub.Drop)
	require.NoError(t, place(fresh, paid, declined, waiting, late, gone, fresh, paid))
	require.ElementsMatch(t, []string{captured, failed}, b.told(t)[told:], "what has ended is told again")
	for o, state := range map[*events.Order]State{
		&fresh: Requested, &paid: Captured, &declined: Failed, &waiting: Requested, &late: Voided, &gone: Voided,
	} {
		require.Equal(t, state, b.charge(t, *o).State)
		require.Equal(t, o.Number, b.charge(t, *o).Number)
	}
	require.Equal(t, 2, b.chargeDue(t))
	for _, o := range []events.Order{fresh, paid, waiting} {
		_, _, calls := b.books(t, o)
		require.Equal(t, 1, calls)
	}
}

// TestSettledTogether: of answers that are noted together, each has its own effect, and one that cannot be noted has none
// on the others.
func TestSettledTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	orders := map[string]events.Order{}
	for _, name := range []string{"good", "declined", "cancelled", "taken over", "told by its webhook", "bad"} {
		orders[name] = order(methodVisa)
		b.place(t, orders[name])
	}
	leased, err := claimCharges(t.Context(), b.db, 100, b.settings.lease(), b.now())
	require.NoError(t, err)
	var answers []answer
	for _, c := range leased {
		a := answer{leased: c, result: Result{Outcome: Succeeded, Ref: newRef("pi"), Amount: c.Total()}}
		switch c.OrderID {
		case orders["declined"].OrderID:
			a.result = Result{Outcome: Declined, Ref: newRef("pi"), Reason: "card-declined"}
		case orders["bad"].OrderID:
			a.result = Result{Outcome: Declined, Reason: "a provider's \x00"}
		}
		answers = append(answers, a)
	}
	b.cancel(t, orders["cancelled"])
	_, err = b.db.Exec(t.Context(), `UPDATE charges SET leased_until = now() WHERE order_id = $1`, orders["taken over"].OrderID)
	require.NoError(t, err)
	over, err := claimCharges(t.Context(), b.db, 1, b.settings.lease(), b.now())
	require.NoError(t, err)
	require.Equal(t, orders["taken over"].OrderID, over[0].OrderID)
	require.NoError(t, b.webhook(t.Context(), "sandbox", Webhook{
		ID: "evt_1", Subject: AboutCharge, Key: orders["told by its webhook"].OrderID.String(),
		Result: Result{Outcome: Succeeded, Ref: "pi_1", Amount: leased[0].Total()},
	}))

	_, err = b.decide(t.Context(), answers)
	require.Error(t, err)
	require.Len(t, b.told(t), 1, "a batch that fails leaves nothing behind")
	var all sync.WaitGroup
	for _, a := range answers {
		b.providers[a.order()] = &answering{b.sandbox, a}
	}
	for _, a := range answers {
		a.leased.Provider = a.order()
		all.Go(func() { b.settle(t.Context(), a.leased) })
	}
	all.Wait()
	for name, state := range map[string]State{
		"good": Captured, "declined": Failed, "cancelled": Captured, "taken over": Captured, "told by its webhook": Captured,
		"bad": Attempted,
	} {
		require.Equal(t, state, b.charge(t, orders[name]).State, name)
	}
	require.Len(t, b.told(t), 5, "each once")
	require.Equal(t, 1, b.refundDue(t), "of the one that was cancelled meanwhile")
}

// answering is a provider that gives one answer.
type answering struct {
	*sandbox
	answer answer
}

func (a *answering) Charge(context.Context, ChargeRequest) (Result, error) {
	return a.answer.result, a.answer.err
}

// TestBookedTogether: the sandbox takes the money of each of a batch once, and none that is asked for differently.
func TestBookedTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var all sync.WaitGroup
	requests := make([]ChargeRequest, 20)
	for i := range requests {
		o := order(methodVisa)
		requests[i] = ChargeRequest{Key: o.OrderID, Amount: money.Money(o.Total), Method: methodVisa}
	}
	for _, r := range requests {
		for range 3 {
			all.Go(func() {
				result, err := b.sandbox.Charge(t.Context(), r)
				if err != nil || result.Outcome != Succeeded || result.Amount != r.Amount {
					t.Errorf("%v %v", result, err)
				}
			})
		}
	}
	all.Wait()
	other := requests[0]
	other.Amount.Amount++
	_, err := b.sandbox.Charge(t.Context(), other)
	require.ErrorContains(t, err, "another charge")
	require.Equal(t, len(requests), b.webhooksDue(t)+b.webhooksDue(t), "each is told once")
	for _, r := range requests {
		taken, _, calls := b.books(t, events.Order{OrderID: r.Key})
		require.Equal(t, []int64{r.Amount.Amount, 3}, []int64{taken, int64(calls)})
	}
}
