package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
)

// service is payments: charges in the database, and the providers that carry them out.
type service struct {
	db        *pgxpool.Pool
	log       *slog.Logger
	now       func() time.Time
	orders    orders
	providers map[string]Provider // by the name in the webhook's path
	provider  string              // the one that new charges go to
	timeout   time.Duration       // of one call to a provider
}

// place records the charge of an order. Nothing is charged here: a worker does that.
func (s *service) place(ctx context.Context, tx pgx.Tx, placed *Charge) error {
	fresh, err := insertCharge(ctx, tx, placed)
	if err != nil {
		return err
	}
	if fresh {
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

// void makes sure that nothing is charged from now on, or tells what already happened: captured, failed, voided,
// or unknown while the provider is being asked.
func (s *service) void(ctx context.Context, order uuid.UUID) (answer State, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := insertCharge(ctx, tx, Tombstone(order, s.now())); err != nil {
			return err
		}
		return s.change(ctx, tx, order, func(c *Charge, now time.Time) Change {
			answer = c.Void(now)
			return Change{}
		})
	})
	return answer, err
}

// webhook does what a provider's webhook tells, once.
func (s *service) webhook(ctx context.Context, provider string, w Webhook) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		fresh, err := insertWebhook(ctx, tx, provider, w, s.now())
		if err != nil || !fresh {
			return err
		}
		key, err := uuid.Parse(w.Key)
		if w.Subject == AboutOther || err != nil || w.Result.Outcome == Processing {
			return nil
		}
		if w.Subject == AboutCharge {
			err = s.change(ctx, tx, key, func(c *Charge, now time.Time) Change { return c.Settle(w.Result, now) })
		} else {
			err = s.changeRefund(ctx, tx, key, func(r *Refund, now time.Time) bool { return r.Settle(w.Result, now) })
		}
		if errors.Is(err, ErrPaymentNotFound) {
			s.log.WarnContext(ctx, "webhook about something that is not ours", "provider", provider, "type", w.Type)
			return nil
		}
		return err
	})
}

// change locks the order's charge, lets fn alter it, saves it and does what follows from it, all in tx. It
// returns ErrPaymentNotFound.
func (s *service) change(ctx context.Context, tx pgx.Tx, order uuid.UUID, fn func(*Charge, time.Time) Change) error {
	c, err := lockCharge(ctx, tx, order)
	if err != nil {
		return err
	}
	now, was := s.now(), c.State
	todo := fn(c, now)
	c.UpdatedAt = now
	if err := updateCharge(ctx, tx, c, was); err != nil {
		return err
	}
	if todo.Captured {
		err := outbox.Put(ctx, tx, events.PaymentCaptured{OrderID: order, Amount: events.Money(c.Total()), CapturedAt: *c.CapturedAt})
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
	if todo.Refund {
		return s.refundRest(ctx, tx, c)
	}
	return nil
}

// refundRest requests a refund of what is left of a locked charge, if anything is.
func (s *service) refundRest(ctx context.Context, tx pgx.Tx, c *Charge) error {
	refunds, err := refundsOf(ctx, tx, c.OrderID)
	if err != nil {
		return err
	}
	if Left(c, refunds).Amount <= 0 {
		return nil
	}
	_, err = s.addRefund(ctx, tx, c, refunds, nil, orderCancelled, nil)
	return err
}

// refund requests a refund of amount, or of all that is left when amount is nil. It returns the charge and the
// refund, or ErrPaymentNotFound, ErrNotCaptured, ErrRefundTooLarge or an invalid amount.
func (s *service) refund(ctx context.Context, tx pgx.Tx, order uuid.UUID, amount *money.Money, reason string, by uuid.UUID) (*Charge, *Refund, error) {
	c, err := lockCharge(ctx, tx, order)
	if err != nil {
		return nil, nil, err
	}
	refunds, err := refundsOf(ctx, tx, order)
	if err != nil {
		return nil, nil, err
	}
	r, err := s.addRefund(ctx, tx, c, refunds, amount, reason, &by)
	return c, r, err
}

func (s *service) addRefund(ctx context.Context, tx pgx.Tx, c *Charge, refunds []Refund, amount *money.Money, reason string, by *uuid.UUID) (*Refund, error) {
	r, err := NewRefund(c, refunds, amount, reason, by, s.now())
	if err != nil {
		return nil, err
	}
	return r, insertRefund(ctx, tx, r)
}

// changeRefund locks a refund, by its charge, lets fn alter it, saves it, and tells payment.refunded when fn
// reports that it was made. It returns ErrPaymentNotFound.
func (s *service) changeRefund(ctx context.Context, tx pgx.Tx, refund uuid.UUID, fn func(*Refund, time.Time) bool) error {
	order, err := orderOfRefund(ctx, tx, refund)
	if err != nil {
		return err
	}
	c, err := lockCharge(ctx, tx, order)
	if err != nil {
		return err
	}
	refunds, err := refundsOf(ctx, tx, order)
	if err != nil {
		return err
	}
	now := s.now()
	for i := range refunds {
		r := &refunds[i]
		if r.ID != refund {
			continue
		}
		made := fn(r, now)
		if err := updateRefund(ctx, tx, r); err != nil || !made {
			return err
		}
		amount := c.Total()
		amount.Amount = r.Amount
		return outbox.Put(ctx, tx, events.PaymentRefunded{
			OrderID: order, RefundID: refund, Number: c.Number, Email: c.Email,
			Amount: events.Money(amount), Refunded: events.Money(Returned(c, refunds)), Captured: events.Money(c.Taken()),
			Reason: r.Reason, RefundedAt: now,
		})
	}
	return fmt.Errorf("refund %s is not of order %s", refund, order)
}
