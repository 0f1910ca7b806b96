package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
)

const (
	noteLimit       = 5 * time.Second // for a claim, and for writing down one answer
	webhookPatience = time.Hour       // with a refund of a charge that is not known: it may be yet
	keepWebhooks    = 30 * 24 * time.Hour
)

// place records the charge of an order. Nothing is charged here: a worker does that. It also keeps an order that was
// placed too long ago from being charged.
func (s *service) place(ctx context.Context, tx pgx.Tx, placed *Charge) error {
	fresh, err := insertCharge(ctx, tx, placed)
	if err != nil {
		return err
	}
	if fresh {
		if placed.State == Voided {
			s.log.WarnContext(ctx, "an order came too late to be charged", "order", placed.OrderID)
			return nil
		}
		return wake(ctx, tx)
	}
	return s.change(ctx, tx, placed.OrderID, func(c *Charge, now time.Time) Change { return c.Place(placed, now) })
}

// cancel makes sure that nothing is charged for the order, or that it goes back.
func (s *service) cancel(ctx context.Context, tx pgx.Tx, order uuid.UUID) error {
	if _, err := insertCharge(ctx, tx, Tombstone(order, s.now())); err != nil {
		return err
	}
	return s.change(ctx, tx, order, (*Charge).Cancel)
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
	return pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
		fresh, err := insertWebhook(ctx, tx, provider, w, s.now())
		if err != nil || !fresh || w.Subject == AboutOther || w.Result.Outcome == Processing {
			return err
		}
		if w.Subject == AboutCharge {
			err = s.chargeTold(ctx, tx, w)
		} else {
			err = s.refundTold(ctx, tx, provider, w)
		}
		if errors.Is(err, ErrPaymentNotFound) {
			s.log.WarnContext(ctx, "webhook about something that is not ours", "provider", provider, "type", w.Type)
			return nil
		}
		return err
	})
}

func (s *service) chargeTold(ctx context.Context, tx pgx.Tx, w Webhook) error {
	order, err := uuid.Parse(w.Key)
	if err != nil {
		return ErrPaymentNotFound
	}
	return s.change(ctx, tx, order, func(c *Charge, now time.Time) Change { return c.Settle(w.Result, s.settings.MissingAfter, now) })
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

// change locks the order's charge, lets fn alter it, saves it if it did, and does what follows from it, all in tx.
// It returns ErrPaymentNotFound.
func (s *service) change(ctx context.Context, tx pgx.Tx, order uuid.UUID, fn func(*Charge, time.Time) Change) error {
	c, err := lockCharge(ctx, tx, order)
	if err != nil {
		return err
	}
	now, before := s.now(), *c
	todo := fn(c, now)
	if *c != before {
		c.UpdatedAt = now
		if err := updateCharge(ctx, tx, c, before.State); err != nil {
			return err
		}
	}
	if todo.Captured {
		err := outbox.Put(ctx, tx, events.PaymentCaptured{OrderID: order, Amount: events.Money(c.Taken()), CapturedAt: *c.CapturedAt})
		if err != nil {
			return err
		}
	}
	if todo.Failed {
		err := outbox.Put(ctx, tx, events.PaymentFailed{OrderID: order, Amount: events.Money(c.Total()), Reason: c.Reason})
		if err != nil {
			return err
		}
	}
	if !todo.Refund {
		return nil
	}
	refunds, err := refundsOf(ctx, tx, order)
	if err != nil {
		return err
	}
	b := &chargeTx{s, tx, c, refunds, now}
	return b.refundRest(ctx)
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
