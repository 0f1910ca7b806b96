package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/trace"
)

// traced is a provider that notes in which trace it was asked.
type traced struct {
	Provider
	charge, refund string
}

func (p *traced) Charge(ctx context.Context, r ChargeRequest) (Result, error) {
	p.charge = trace.Of(ctx)
	return p.Provider.Charge(ctx, r)
}

func (p *traced) Refund(ctx context.Context, r RefundRequest) (Result, error) {
	p.refund = trace.Of(ctx)
	return p.Provider.Refund(ctx, r)
}

// traceOf is the trace in which the one event of a topic was saved.
func (b *bundle) traceOf(t *testing.T, topic string) (traceparent string) {
	t.Helper()
	for _, e := range servetest.Outbox(t, b.db) {
		if e.Topic == topic {
			require.Empty(t, traceparent)
			traceparent = e.Traceparent
		}
	}
	return traceparent
}

// TestTraces: what is done later goes on in the trace of its cause. A charge has that of its order, also one that a tombstone
// was there for, and a refund that of the cancel.
func TestTraces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	provider := &traced{Provider: b.providers["sandbox"]}
	b.providers["sandbox"] = provider

	o := order(methodVisa)
	placed := servetest.DeliverTraced(t, b.rt, events.OrderPlaced{Order: o})
	require.Equal(t, 1, b.chargeDue(t))
	require.Equal(t, placed, provider.charge)
	require.Equal(t, placed, b.traceOf(t, captured))

	cancelled := servetest.DeliverTraced(t, b.rt, events.OrderCancelled{Order: o})
	require.Equal(t, 1, b.refundDue(t))
	require.Equal(t, cancelled, provider.refund)
	require.Equal(t, cancelled, b.traceOf(t, refunded))

	late := order(methodVisa)
	b.void(t, late.OrderID)
	require.Empty(t, b.charge(t, late).Traceparent)
	placed = servetest.DeliverTraced(t, b.rt, events.OrderPlaced{Order: late})
	require.Equal(t, placed, b.charge(t, late).Traceparent)
}

// TestTracesOfBatch: of charges that are decided together each is told in its own trace, and one of before in none.
func TestTracesOfBatch(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]func(*bundle, []answer) error{
		"decided": func(b *bundle, answers []answer) error { _, err := b.decide(t.Context(), answers); return err },
		"settled": func(b *bundle, answers []answer) error { return b.settleAll(t.Context(), answers) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			good, bad, old := order(methodVisa), order(methodDeclined), order(methodVisa)
			traces := []string{
				servetest.DeliverTraced(t, b.rt, events.OrderPlaced{Order: good}),
				servetest.DeliverTraced(t, b.rt, events.OrderPlaced{Order: bad}),
			}
			b.place(t, old)
			leased, err := claimCharges(t.Context(), b.db, 100, b.settings.lease(), b.now())
			require.NoError(t, err)
			var answers []answer
			for _, c := range leased {
				a := answer{leased: c, result: Result{Outcome: Succeeded, Ref: newRef("pi"), Amount: c.Total()}}
				if c.OrderID == bad.OrderID {
					a.result = Result{Outcome: Declined, Ref: newRef("pi"), Reason: "card-declined"}
				}
				answers = append(answers, a)
			}
			require.NoError(t, decide(b, answers))
			require.Equal(t, traces[1], b.traceOf(t, failed))
			told := []string{}
			for _, e := range servetest.Outbox(t, b.db) {
				if e.Topic == captured {
					told = append(told, e.Traceparent)
				}
			}
			require.ElementsMatch(t, []string{traces[0], ""}, told)
		})
	}
}
