package load

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/stampede-shop/stampede/events"
	kittext "github.com/stampede-shop/stampede/kit/text"
)

// keepKeys is how long orders keeps idempotency keys, less a little.
const keepKeys = 23 * time.Hour

// voids are order ids that came to nothing within the month for which they are kept: one for fifty orders.
func (w *world) voids(yield func(id uuid.UUID, at time.Time) bool) {
	for i := w.latest(w.now.Add(-29 * 24 * time.Hour)); i < w.Orders; i += 50 {
		at := w.order(i).placed.Add(time.Second)
		if !yield(uuid7(at, 3, draw(drawOrder, i, 5)), at) {
			return
		}
	}
}

// all are rows made of each order.
func (w *world) all(row func(o order) []any) iter.Seq[[]any] { return w.since(0, row) }

// since are rows made of each order from the first on.
func (w *world) since(first int, row func(o order) []any) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for i := first; i < w.Orders; i++ {
			if r := row(w.order(i)); r != nil && !yield(r) {
				return
			}
		}
	}
}

// told are the events of orders that are young enough, each made by what of it.
func (w *world) told(keep time.Duration, data bool) iter.Seq[event] {
	return func(yield func(event) bool) {
		for i := w.latest(w.now.Add(-keep - 10*24*time.Hour)); i < w.Orders; i++ {
			o := w.order(i)
			for _, m := range o.moments() {
				e := event{id: o.event(m.at, m.version), topic: "order." + m.status + ".v1", at: m.at}
				if m.status == "pending" {
					e.topic = "order.placed.v1"
				}
				if data && m.at.After(w.now.Add(-keep)) {
					e.data = object(w.snapshot(o, w.quote(o), m))
				}
				if !yield(e) {
					return
				}
			}
		}
	}
}

// only are the events of some topics.
func only(all iter.Seq[event], topics ...string) iter.Seq[event] {
	return func(yield func(event) bool) {
		for e := range all {
			for _, t := range topics {
				if e.topic == t && !yield(e) {
					return
				}
			}
		}
	}
}

func (o order) payment() string {
	switch {
	case o.refund.part == 100:
		return "refunded"
	case o.refund.part > 0:
		return "partially_refunded"
	case o.captured.IsZero():
		return "failed"
	}
	return "captured"
}

func (l *loader) orders() error {
	if _, err := l.tx.Exec(l.ctx, `ALTER TABLE orders DISABLE TRIGGER USER`); err != nil { // words are copied too
		return err
	}
	err := l.copy(
		into{"order_ids", "id fate decided_at", func(yield func([]any) bool) {
			for i := range l.Orders {
				if o := l.order(i); !yield([]any{o.id, "placed", o.placed}) {
					return
				}
			}
			for id, at := range l.voids {
				if !yield([]any{id, "void", at}) {
					return
				}
			}
		}},
		into{"orders",
			"id number account_id email first_name checkout_id status version cancel_reason currency " +
				"subtotal discount tax shipping total address " +
				"payment_method payment_status refunded carrier tracking_number created_at updated_at placed_sent_at placed_put_at",
			l.all(func(o order) []any {
				s, q := l.Shopper(o.shopper), l.quote(o)
				var reason, carrier, tracking *string
				if o.reason != "" {
					reason = &o.reason
				}
				if !o.shipped.IsZero() {
					post, code := "Parcel Post", o.tracking()
					carrier, tracking = &post, &code
				}
				return []any{o.id, o.number, s.ID, s.Email, s.FirstName, o.checkout, o.status, o.version, reason, currency,
					q.Subtotal.Amount, q.Discount.Amount,
					q.Tax.Amount, q.Shipping.Amount, q.Total.Amount, object(s.address()), o.method(), o.payment(),
					o.refunded(q), carrier, tracking,
					o.placed, o.updated(), o.placed.Add(100 * time.Millisecond), o.placed}
			})},
		into{"order_lines", "order_id position sku slug name variant image_url quantity unit_price discount tax line_total",
			func(yield func([]any) bool) {
				for i := range l.Orders {
					o := l.order(i)
					q := l.quote(o)
					for n, b := range o.lines {
						t, p := l.thing(b.sku/2), q.Lines[n]
						if !yield([]any{o.id, n, p.SKU, t.slug, t.name, variantNames[b.sku%2], t.image(), b.quantity,
							p.UnitPrice.Amount, p.Discount.Amount,
							p.Tax.Amount, p.Total.Amount}) {
							return
						}
					}
				}
			}},
		into{"order_history", "order_id version status at noted_at", func(yield func([]any) bool) {
			for i := range l.Orders {
				o := l.order(i)
				for _, m := range o.moments() {
					if !yield([]any{o.id, m.version, m.status, m.at, m.at}) {
						return
					}
				}
			}
		}},
		into{"order_words", "order_id words", l.all(func(o order) []any { return []any{o.id, l.words(o)} })},
		into{"order_keys", "account_id key body_hmac order_id lease_until answer expires_at",
			l.since(l.latest(l.now.Add(-keepKeys)), func(o order) []any {
				first := l.snapshot(o, l.quote(o), o.moments()[0])
				return []any{first.AccountID, fmt.Sprintf("load-%d", o.i), []byte(o.number), o.id, o.placed.Add(30 * time.Second),
					object(first),
					o.placed.Add(24 * time.Hour)}
			})},
		l.outbox(l.told(keepOutbox, true)),
		l.inbox(l.paid(keepInbox, false)))
	if err != nil {
		return err
	}
	_, err = l.tx.Exec(l.ctx, `ALTER TABLE orders ENABLE TRIGGER USER`)
	return err
}

// words are what the back office finds an order by, as orders writes them.
func (w *world) words(o order) pgtype.TSVector {
	s := w.Shopper(o.shopper)
	mailbox, _, _ := strings.Cut(s.Email, "@")
	parts := []string{o.number, strings.TrimPrefix(o.number, "S-"), mailbox, s.address().Name}
	for _, b := range o.lines {
		parts = append(parts, w.thing(b.sku/2).name, variantNames[b.sku%2], SKU(b.sku))
	}
	if !o.shipped.IsZero() {
		parts = append(parts, o.tracking())
	}
	found := pgtype.TSVector{Valid: true}
	for _, word := range kittext.Words(strings.Join(parts, " ")) {
		found.Lexemes = append(found.Lexemes, pgtype.TSVectorLexeme{Word: word})
	}
	return found
}

// paid are the events of payments about orders that are young enough.
func (w *world) paid(keep time.Duration, data bool) iter.Seq[event] {
	return func(yield func(event) bool) {
		for i := w.latest(w.now.Add(-keep - 10*24*time.Hour)); i < w.Orders; i++ {
			o := w.order(i)
			q := w.quote(o)
			var all []event
			switch {
			case !o.captured.IsZero():
				all = append(all, event{o.event(o.captured, 10), "payment.captured.v1", o.captured,
					object(events.PaymentCaptured{OrderID: o.id, Amount: events.Money(q.Total), CapturedAt: o.captured})})
			case o.reason == "payment-declined":
				all = append(all, event{o.event(o.cancelled, 11), "payment.failed.v1", o.cancelled,
					object(events.PaymentFailed{OrderID: o.id, Amount: events.Money(q.Total), Reason: "card-declined"})})
			}
			if o.refund.part > 0 {
				all = append(all, event{o.event(o.refund.at, 12), "payment.refunded.v1", o.refund.at, object(w.refundMade(o))})
			}
			for _, e := range all {
				if !data {
					e.data = nil
				}
				if !yield(e) {
					return
				}
			}
		}
	}
}

// refundMade is the event of an order's refund.
func (w *world) refundMade(o order) events.PaymentRefunded {
	q := w.quote(o)
	amount := events.Money{Amount: o.refunded(q), Currency: currency}
	return events.PaymentRefunded{
		OrderID: o.id, RefundID: o.refund.id, Number: o.number, Email: w.Shopper(o.shopper).Email, Amount: amount, Refunded: amount,
		Captured: events.Money(q.Total), Reason: o.refund.reason(), RefundedAt: o.refund.at,
	}
}

func (r refund) reason() string {
	if r.automatic {
		return "order-cancelled"
	}
	return "arrived damaged"
}
