package load

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
)

// How long payments and its sandbox keep things, less a little.
const (
	keepWebhooks        = 29 * 24 * time.Hour
	keepBooks           = 89 * 24 * time.Hour
	keepSandboxWebhooks = 3*24*time.Hour - time.Hour
)

// ref is what the provider calls something.
func ref(prefix string, id uuid.UUID) string {
	return prefix + "_" + strings.ReplaceAll(id.String(), "-", "")
}

func (o order) charge() string { return ref("pi", uuid7(o.placed, 4, draw(drawOrder, o.i, 6))) }

func (o order) refundKey() string {
	if o.refund.automatic {
		return fmt.Sprintf("refund:%s:1", o.id)
	}
	return o.refund.id.String()
}

func (o order) refundRef() string { return ref("re", uuid7(o.refund.at, 5, draw(drawOrder, o.i, 7))) }

// decided is when the charge of an order ended.
func (o order) decided() time.Time {
	if o.captured.IsZero() {
		return o.cancelled
	}
	return o.captured
}

// webhook is what the provider told of an order.
type webhook struct {
	id, kind, key string
	at            time.Time
	object        map[string]any
}

func (w *world) webhooks(keep time.Duration) iter.Seq[webhook] {
	return func(yield func(webhook) bool) {
		for i := w.latest(w.now.Add(-keep)); i < w.Orders; i++ {
			o := w.order(i)
			if o.reason == "timed-out" {
				continue
			}
			total := w.quote(o).Total.Amount
			intent := webhook{ref("evt", o.event(o.decided(), 13)), "payment_intent.succeeded", o.id.String(), o.decided(), map[string]any{
				"id": o.charge(), "object": "payment_intent", "status": "succeeded", "amount": total, "currency": currency,
				"metadata": map[string]string{"order_id": o.id.String()},
			}}
			if o.captured.IsZero() {
				intent.kind = "payment_intent.payment_failed"
				intent.object["status"], intent.object["reason"], intent.object["amount"] = "declined", "card-declined", 0
			}
			if !yield(intent) {
				return
			}
			if o.refund.part > 0 && !yield(webhook{ref("evt", o.event(o.refund.at, 14)), "refund.updated", o.refundKey(),
				o.refund.at, map[string]any{
					"id": o.refundRef(), "object": "refund", "status": "succeeded", "currency": currency,
					"amount":         total * o.refund.part / 100,
					"payment_intent": o.charge(), "metadata": map[string]string{"refund_id": o.refundKey()},
				}}) {
				return
			}
		}
	}
}

func (l *loader) payments() error {
	// A refund of an order that was placed before is in books that are pruned with the charge's.
	books := l.latest(l.now.Add(-keepBooks))
	return l.copy(
		into{"charges",
			"order_id number email amount currency method provider state reason provider_ref tries next_try_at attempted_at " +
				"placed_at cancelled_at " +
				"captured_at captured_amount captured_currency refund_keys created_at updated_at", l.all(func(o order) []any {
				total, email := l.quote(o).Total.Amount, l.Shopper(o.shopper).Email
				state, reason, charge, tries, keys := "captured", "", o.charge(), 1, 0
				var attempted, captured, cancelled *time.Time
				taken, in := int64(0), ""
				if at := o.placed.Add(50 * time.Millisecond); o.reason != "timed-out" {
					attempted = &at
				}
				switch {
				case o.reason == "timed-out":
					state, charge, tries = "voided", "", 0
				case o.captured.IsZero():
					state, reason = "failed", "card-declined"
				default:
					captured, taken, in = &o.captured, total, currency
				}
				if !o.cancelled.IsZero() {
					cancelled = &o.cancelled
				}
				if o.refund.automatic {
					keys = 1
				}
				last := o.decided()
				if o.cancelled.After(last) {
					last = o.cancelled
				}
				return []any{o.id, o.number, email, total, currency, o.method(), "sandbox", state, reason, charge, tries, o.placed,
					attempted, &o.placed, cancelled,
					captured, taken, in, keys, o.placed, last}
			})},
		into{"refunds",
			"id order_id key amount reason origin requested_by state provider_ref tries next_try_at created_at ended_at noted_at",
			l.all(func(o order) []any {
				if o.refund.part == 0 {
					return nil
				}
				origin, by := "automatic", (*uuid.UUID)(nil)
				if !o.refund.automatic {
					origin, by = "staff", &Administrator
				}
				asked := o.refund.at.Add(-time.Second)
				return []any{o.refund.id, o.id, o.refundKey(), o.refunded(l.quote(o)), o.refund.reason(), origin, by, "done",
					o.refundRef(), 1, asked, asked,
					o.refund.at, o.refund.at}
			})},
		into{"webhooks", "provider event_id type key received_at", func(yield func([]any) bool) {
			for w := range l.webhooks(keepWebhooks) {
				if !yield([]any{"sandbox", w.id, w.kind, w.key, w.at.Add(100 * time.Millisecond)}) {
					return
				}
			}
		}},
		into{"sandbox_charges", "key ref amount currency taken taken_currency method status reason settles_at created_at",
			l.since(books, func(o order) []any {
				if o.reason == "timed-out" {
					return nil
				}
				total, status, reason := l.quote(o).Total.Amount, "succeeded", ""
				if o.captured.IsZero() {
					status, reason = "declined", "card-declined"
				}
				return []any{o.id.String(), o.charge(), total, currency, total, currency, o.method(), status, reason, o.placed, o.placed}
			})},
		into{"sandbox_refunds", "key ref charge_key amount created_at", l.since(books, func(o order) []any {
			if o.refund.part == 0 {
				return nil
			}
			return []any{o.refundKey(), o.refundRef(), o.id.String(), o.refunded(l.quote(o)), o.refund.at}
		})},
		into{"sandbox_webhooks", "id payload next_try_at tries sent_at created_at", func(yield func([]any) bool) {
			for w := range l.webhooks(keepSandboxWebhooks) {
				payload, err := json.Marshal(map[string]any{"id": w.id, "type": w.kind, "created": w.at.Unix(),
					"data": map[string]any{"object": w.object}})
				if err != nil || !yield([]any{w.id, payload, w.at, 1, w.at.Add(90 * time.Millisecond), w.at}) {
					return
				}
			}
		}},
		l.outbox(l.paid(keepOutbox, true)),
		l.inbox(only(l.told(keepInbox, false), "order.placed.v1", "order.cancelled.v1")))
}
