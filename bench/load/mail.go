package load

import (
	"encoding/json"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/money"
)

// letter is a mail about an order.
type letter struct {
	kind, about, subject string
	topic                string
	event                uuid.UUID
	at                   time.Time
	n                    int
}

// letters are the mails that an order has.
func (w *world) letters(o order) []letter {
	var all []letter
	for _, m := range o.moments() {
		what := map[string]string{"confirmed": " is confirmed", "shipped": " is on its way", "delivered": " has arrived",
			"cancelled": " was cancelled"}[m.status]
		if what == "" || m.status == "cancelled" && o.reason == "payment-declined" {
			continue
		}
		all = append(all, letter{
			kind: "order-" + m.status, about: "order:" + o.id.String() + ":order-" + m.status, subject: "Your order " + o.number + what,
			topic: "order." + m.status + ".v1", event: o.event(m.at, m.version), at: m.at, n: m.version,
		})
	}
	if o.refund.part > 0 {
		amount := money.New(o.refunded(w.quote(o)), currency)
		all = append(all, letter{
			kind: "order-refunded", about: "refund:" + o.refund.id.String(),
			subject: "We have refunded " + amount.String() + " for your order " + o.number,
			topic:   "payment.refunded.v1", event: o.event(o.refund.at, 12), at: o.refund.at, n: 12,
		})
	}
	return all
}

// content is what a mail shows.
func (w *world) content(o order, l letter) json.RawMessage {
	if l.kind == "order-refunded" {
		return object(w.refundMade(o))
	}
	for _, m := range o.moments() {
		if m.version == l.n {
			return object(w.snapshot(o, w.quote(o), m))
		}
	}
	return json.RawMessage("{}")
}

func (l *loader) mail() error {
	// The latest orders have theirs still.
	first, n := l.Orders, 0
	for first > 0 && n < l.Mails {
		first--
		n += len(l.letters(l.order(first)))
	}
	return l.copy(
		into{"mails",
			"id kind about topic event_id order_id account_id sender recipient subject data status error tries " +
				"next_try_at created_at sent_at", func(yield func([]any) bool) {
				for i := first; i < l.Orders; i++ {
					o := l.order(i)
					s := l.Shopper(o.shopper)
					for _, m := range l.letters(o) {
						at := m.at.Add(60 * time.Millisecond)
						sent := at.Add(100 * time.Millisecond)
						status, why, ended := "sent", "", &sent
						if d := draw(drawOrder, i, 32+m.n); d%500 == 0 {
							status, why, ended = "failed", "550 no such mailbox", nil
						}
						account := &s.ID
						if m.kind == "order-refunded" {
							account = nil
						}
						if !yield([]any{uuid7(at, uint64(m.n), draw(drawOrder, i, 48+m.n)), m.kind, m.about, m.topic,
							m.event.String(), o.id, account,
							"Stampede <orders@stampede.test>", s.Email, m.subject, l.content(o, m), status, why, 1, at, at, ended}) {
							return
						}
					}
				}
			}},
		l.inbox(l.heard()))
}

// heard are the events that mail handles.
func (w *world) heard() iter.Seq[event] {
	return func(yield func(event) bool) {
		for e := range only(w.told(keepInbox, false), "order.confirmed.v1", "order.cancelled.v1", "order.shipped.v1",
			"order.delivered.v1") {
			if !yield(e) {
				return
			}
		}
		for e := range only(w.paid(keepInbox, false), "payment.refunded.v1") {
			if !yield(e) {
				return
			}
		}
	}
}
