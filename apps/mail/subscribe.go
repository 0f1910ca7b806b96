package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/sub"
)

// subscribe says which events are handled, and by what.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.On(subs, s.onCodeIssued)
	sub.On(subs, s.onAccountActivated)
	sub.On(subs, func(ctx context.Context, tx pgx.Tx, e events.OrderConfirmed) error {
		return s.onOrder(ctx, tx, e, e.Order, "confirmed")
	})
	sub.On(subs, func(ctx context.Context, tx pgx.Tx, e events.OrderCancelled) error {
		return s.onOrder(ctx, tx, e, e.Order, "cancelled")
	})
	sub.On(subs, func(ctx context.Context, tx pgx.Tx, e events.OrderShipped) error {
		return s.onOrder(ctx, tx, e, e.Order, "shipped")
	})
	sub.On(subs, func(ctx context.Context, tx pgx.Tx, e events.OrderDelivered) error {
		return s.onOrder(ctx, tx, e, e.Order, "delivered")
	})
	sub.On(subs, s.onRefunded)
}

func source(ctx context.Context, e outbox.Event) Source {
	return Source{Topic: e.Topic(), EventID: sub.EventID(ctx)}
}

func (s *service) onCodeIssued(ctx context.Context, tx pgx.Tx, e events.AccountCodeIssued) error {
	now, issued := s.now(), sub.EventTime(ctx)
	if issued.IsZero() {
		issued = now
	}
	m, err := CodeMail(e, s.settings.Sender, source(ctx, e), issued, now)
	if err != nil {
		return fmt.Errorf("%w: %w", err, sub.Drop)
	}
	_, err = insertMail(ctx, tx, m)
	return err
}

func (s *service) onAccountActivated(ctx context.Context, tx pgx.Tx, e events.AccountActivated) error {
	m, err := WelcomeMail(e, s.settings.Sender, source(ctx, e), s.now())
	if err != nil || m == nil {
		return err
	}
	_, err = insertMail(ctx, tx, m)
	return err
}

// onOrder trusts the topic, not the status inside.
func (s *service) onOrder(ctx context.Context, tx pgx.Tx, e outbox.Event, o events.Order, status string) error {
	o.Status = status
	m, err := OrderMail(o, s.settings.Sender, source(ctx, e), s.now())
	if err != nil || m == nil {
		return err
	}
	_, err = insertMail(ctx, tx, m)
	return err
}

func (s *service) onRefunded(ctx context.Context, tx pgx.Tx, e events.PaymentRefunded) error {
	m, err := RefundMail(e, s.settings.Sender, source(ctx, e), s.now())
	if err != nil {
		return err
	}
	_, err = insertMail(ctx, tx, m)
	return err
}
