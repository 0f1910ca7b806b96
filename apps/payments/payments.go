package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/trace"
)

const (
	noteLimit       = 5 * time.Second // for a claim, and for writing down one answer
	webhookPatience = time.Hour       // with a refund of a charge that is not known: it may be yet
	keepWebhooks    = 30 * 24 * time.Hour
)

// place records the charges of orders. Nothing is charged in tx: workers do that once it is committed, of this process
// where they have hands free. It also keeps an order that was placed too long ago from being charged.
func (s *service) place(ctx context.Context, tx pgx.Tx, placed []*Charge) error {
	placed = byOrder(placed)
	hands := s.charging.Promise(tx, len(placed))
	now, begun := s.now(), []Charge{}
	for _, c := range placed {
		if c.State == Requested && len(begun) < hands.N {
			c.Attempt(s.settings.lease(), now)
			begun = append(begun, *c)
		}
	}
	fresh, err := insertCharges(ctx, tx, placed)
	if err != nil {
		return err
	}
	hands.Give(slices.DeleteFunc(begun, func(c Charge) bool { return !fresh[c.OrderID] })...)
	again, causes := map[uuid.UUID]*Charge{}, map[uuid.UUID]string{}
	for _, c := range placed {
		if !fresh[c.OrderID] {
			again[c.OrderID], causes[c.OrderID] = c, c.Traceparent
		} else if c.State == Voided {
			s.log.WarnContext(ctx, "an order came too late to be charged", "order", c.OrderID)
		}
	}
	return s.changeAll(ctx, tx, causes, func(c *Charge, now time.Time) Change {
		return c.Place(again[c.OrderID], now)
	})
}

// byOrder sorts charges by their order, the order in which they are locked, and leaves one of each.
func byOrder(charges []*Charge) []*Charge {
	sorted := slices.SortedFunc(slices.Values(charges), func(a, b *Charge) int { return bytes.Compare(a.OrderID[:], b.OrderID[:]) })
	return slices.CompactFunc(sorted, func(a, b *Charge) bool { return a.OrderID == b.OrderID })
}

// cancel makes sure that nothing is charged for the orders, or that it goes back. Each comes with what has cancelled it
// (kit/trace).
func (s *service) cancel(ctx context.Context, tx pgx.Tx, causes map[uuid.UUID]string) error {
	tombstones := make([]*Charge, 0, len(causes))
	for order := range causes {
		tombstones = append(tombstones, Tombstone(order, s.now()))
	}
	if _, err := insertCharges(ctx, tx, byOrder(tombstones)); err != nil {
		return err
	}
	return s.changeAll(ctx, tx, causes, (*Charge).Cancel)
}

// void makes sure that nothing is charged from now on for the orders, or tells what already happened: captured,
// failed, voided, or unknown while the provider is being asked.
func (s *service) void(ctx context.Context, orders []uuid.UUID) (answers map[uuid.UUID]Voiding, err error) {
	err = pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
		answers, err = voidCharges(ctx, tx, orders, s.now())
		return err
	})
	return answers, err
}

// webhook does what a provider's webhook tells, once.
func (s *service) webhook(ctx context.Context, provider string, w Webhook) error {
	if w.Subject == AboutCharge {
		_, err := s.told.Do(ctx, seen{provider, w})
		return err
	}
	return pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
		fresh, err := insertWebhooks(ctx, tx, []seen{{provider, w}}, s.now())
		if err != nil || !fresh[0] || w.Subject == AboutOther || w.Result.Outcome == Processing {
			return err
		}
		err = s.refundTold(ctx, tx, provider, w)
		if errors.Is(err, ErrPaymentNotFound) {
			s.notOurs(ctx, provider, w)
			return nil
		}
		return err
	})
}

func (s *service) notOurs(ctx context.Context, provider string, w Webhook) {
	s.log.WarnContext(ctx, "webhook about something that is not ours", "provider", provider, "type", w.Type)
}

// chargesTold does what webhooks about charges tell, no two about one. Nearly all tell what the answer to the charge told
// before.
func (s *service) chargesTold(ctx context.Context, webhooks []seen) error {
	webhooks = slices.SortedFunc(slices.Values(webhooks), seen.compare)
	known, err := insertKnown(ctx, s.store.db, webhooks, s.now())
	if err != nil {
		return err
	}
	news := []seen{}
	for i, w := range webhooks {
		if !known[i] {
			news = append(news, w)
		}
	}
	if len(news) == 0 {
		return nil
	}
	return pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error { return s.chargesChanged(ctx, tx, news) })
}

func (s *service) chargesChanged(ctx context.Context, tx pgx.Tx, webhooks []seen) error {
	fresh, err := insertWebhooks(ctx, tx, webhooks, s.now())
	if err != nil {
		return err
	}
	told, causes := map[uuid.UUID]seen{}, map[uuid.UUID]string{}
	for i, w := range webhooks {
		switch order := w.order(); {
		case !fresh[i] || w.Result.Outcome == Processing:
		case order == nil:
			s.notOurs(ctx, w.provider, w.Webhook)
		default:
			told[*order], causes[*order] = w, ""
		}
	}
	err = s.changeAll(ctx, tx, causes, func(c *Charge, now time.Time) Change {
		result := told[c.OrderID].Result
		delete(told, c.OrderID)
		return c.Settle(result, s.settings.MissingAfter, now)
	})
	if err != nil {
		return err
	}
	for _, w := range told {
		s.notOurs(ctx, w.provider, w.Webhook)
	}
	return nil
}

// refundTold notes what a provider told of a refund, also of one that it made for somebody else. It is not taken
// while the charge of that is not known yet, and comes again.
func (s *service) refundTold(ctx context.Context, tx pgx.Tx, provider string, w Webhook) error {
	order, err := orderOfRefund(ctx, tx, w.Key)
	if errors.Is(err, ErrPaymentNotFound) && w.Charge != "" {
		order, err = chargeByRef(ctx, tx, provider, w.Charge)
		if errors.Is(err, ErrPaymentNotFound) && s.now().Sub(w.At) < webhookPatience {
			return problem.ErrUnavailable.Detail("the charge is not known yet")
		}
	}
	if err != nil {
		return err
	}
	b, err := s.lockChargeTx(ctx, tx, order)
	if err != nil {
		return err
	}
	return b.note(ctx, Given{Key: w.Key, Result: w.Result})
}

// changeAll locks the charges of orders, lets fn alter each, saves those that it altered, and does what follows from it,
// all in tx. An order without a charge is passed over. The orders are those of causes, each with what has the charge changed
// (kit/trace); where that is "", it is what has it charged.
func (s *service) changeAll(ctx context.Context, tx pgx.Tx, causes map[uuid.UUID]string, fn func(*Charge, time.Time) Change) error {
	if len(causes) == 0 {
		return nil
	}
	charges, err := lockCharges(ctx, tx, slices.Collect(maps.Keys(causes)))
	if err != nil {
		return err
	}
	now := s.now()
	var (
		save   []changed
		told   []outbox.Event
		refund []*Charge
	)
	for i := range charges {
		c, before := &charges[i], charges[i]
		todo := fn(c, now)
		if *c != before {
			c.UpdatedAt = now
			save = append(save, changed{c, before.State})
		}
		told = append(told, todo.tells(c)...)
		if todo.Refund {
			refund = append(refund, c)
		}
	}
	if len(save) > 0 {
		if err := updateCharges(ctx, tx, save); err != nil {
			return err
		}
	}
	if err := outbox.Put(ctx, tx, told...); err != nil {
		return err
	}
	for _, c := range refund {
		ctx := trace.Resume(ctx, cmp.Or(causes[c.OrderID], c.Traceparent))
		refunds, err := refundsOf(ctx, tx, c.OrderID)
		if err != nil {
			return err
		}
		b := &chargeTx{s, tx, c, refunds, now}
		if err := b.refundRest(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tells lists the events by which a change of c is told, in the trace of its order.
func (t Change) tells(c *Charge) (told []outbox.Event) {
	if t.Captured {
		e := events.PaymentCaptured{OrderID: c.OrderID, Amount: events.Money(c.Taken()), CapturedAt: *c.CapturedAt}
		told = append(told, outbox.From(c.Traceparent, e))
	}
	if t.Failed {
		e := events.PaymentFailed{OrderID: c.OrderID, Amount: events.Money(c.Total()), Reason: c.Reason}
		told = append(told, outbox.From(c.Traceparent, e))
	}
	return told
}

// refund requests a refund of amount, or of all that is left when amount is nil. It returns the charge and the
// refund, or ErrPaymentNotFound, ErrNotCaptured, ErrRefundTooLarge or an invalid amount.
func (s *service) refund(ctx context.Context, tx pgx.Tx, order uuid.UUID, amount *money.Money, reason string, by uuid.UUID) (*Charge, *Refund, error) {
	b, err := s.lockChargeTx(ctx, tx, order)
	if err != nil {
		return nil, nil, err
	}
	r, err := NewRefund(b.charge, b.refunds, amount, reason, by, b.now)
	if err != nil {
		return nil, nil, err
	}
	return b.charge, r, insertRefund(ctx, tx, r)
}

// chargeTx are an order's charge and refunds, locked until tx ends.
type chargeTx struct {
	*service
	tx      pgx.Tx
	charge  *Charge
	refunds []Refund
	now     time.Time
}

// lockChargeTx returns ErrPaymentNotFound when the order has no charge.
func (s *service) lockChargeTx(ctx context.Context, tx pgx.Tx, order uuid.UUID) (*chargeTx, error) {
	c, err := lockCharge(ctx, tx, order)
	if err != nil {
		return nil, err
	}
	refunds, err := refundsOf(ctx, tx, order)
	if err != nil {
		return nil, err
	}
	return &chargeTx{s, tx, c, refunds, s.now()}, nil
}

// find returns the refund that the provider knows by key, or nil.
func (b *chargeTx) find(key string) *Refund {
	i := slices.IndexFunc(b.refunds, func(r Refund) bool { return r.Key == key })
	if i < 0 {
		return nil
	}
	return &b.refunds[i]
}

// note writes down a refund as the provider has it: one of ours, or one that was made in the provider's own pages.
func (b *chargeTx) note(ctx context.Context, g Given) error {
	if r := b.find(g.Key); r != nil {
		return b.settle(ctx, r, g.Result)
	}
	if g.Outcome != Succeeded {
		return nil
	}
	if g.Amount.Currency != b.charge.Taken().Currency || g.Amount.Amount <= 0 {
		b.log.ErrorContext(ctx, "a refund of something else than was taken", "order", b.charge.OrderID, "refund", g.Key, "amount", g.Amount)
		return nil
	}
	r, err := Elsewhere(b.charge.OrderID, g, b.now)
	if err != nil {
		return err
	}
	if err := insertRefund(ctx, b.tx, r); err != nil {
		return err
	}
	b.refunds = append(b.refunds, *r)
	return b.tell(ctx, r)
}

// settle notes the provider's answer about one of our refunds.
func (b *chargeTx) settle(ctx context.Context, r *Refund, res Result) error {
	made := r.Settle(res, b.now)
	if err := b.save(ctx, r); err != nil || !made {
		return err
	}
	return b.tell(ctx, r)
}

// save saves a refund. When it has ended and money that must go back is left, that is asked for next.
func (b *chargeTx) save(ctx context.Context, r *Refund) error {
	if err := updateRefund(ctx, b.tx, r); err != nil {
		return err
	}
	if r.State == RefundFailed {
		b.log.ErrorContext(ctx, "a refund failed, people must see to it", "order", r.OrderID, "refund", r.ID, "origin", r.Origin, "error", r.Error)
	}
	if r.State == RefundRequested {
		return nil
	}
	return b.refundRest(ctx)
}

// refundRest requests what must go back by itself, if anything must.
func (b *chargeTx) refundRest(ctx context.Context) error {
	key := func() (string, error) { return nextRefundKey(ctx, b.tx, b.charge.OrderID) }
	r, err := AutomaticRefund(b.charge, b.refunds, key, b.now)
	if err != nil || r == nil {
		return err
	}
	b.refunds = append(b.refunds, *r)
	return insertRefund(ctx, b.tx, r)
}

// tell publishes that a refund was made.
func (b *chargeTx) tell(ctx context.Context, r *Refund) error {
	taken := b.charge.Taken()
	return outbox.Put(ctx, b.tx, events.PaymentRefunded{
		OrderID: r.OrderID, RefundID: r.ID, Number: b.charge.Number, Email: b.charge.Email,
		Amount: events.Money{Amount: r.Amount, Currency: taken.Currency}, Refunded: events.Money(Returned(b.charge, b.refunds)),
		Captured: events.Money(taken), Reason: r.Reason, RefundedAt: b.now,
	})
}

// refused is what becomes of a refund that the provider declined, once what it gave back of the charge has been
// noted. When that leaves less than the refund is for, an automatic one asks for what there is, under another key;
// any other refund failed.
func (b *chargeTx) refused(ctx context.Context, r *Refund, res Result) error {
	missing := -Left(b.charge, b.refunds).Amount
	if r.Origin != Automatic || missing <= 0 {
		return b.settle(ctx, r, res)
	}
	if missing >= r.Amount {
		b.log.InfoContext(ctx, "everything was given back elsewhere", "order", r.OrderID, "refund", r.ID)
		return deleteRefund(ctx, b.tx, r.ID)
	}
	key, err := nextRefundKey(ctx, b.tx, r.OrderID)
	if err != nil {
		return err
	}
	r.Shrink(r.Amount-missing, key, b.now)
	return b.save(ctx, r)
}
