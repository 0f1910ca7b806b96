package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/sub"
	"github.com/stampede-shop/stampede/kit/trace"
)

// subscribe says which events are handled, and by what. An order's come in crowds.
func (s *service) subscribe(subs *sub.Subscriber) {
	sub.On(subs, s.onCodeIssued)
	sub.On(subs, s.onAccountActivated)
	sub.On(subs, s.onEmailChangeAsked)
	sub.On(subs, s.onAccountImported)
	sub.OnBatch(subs, func(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.OrderConfirmed]) error {
		return onOrders(ctx, tx, s, batch, func(e events.OrderConfirmed) events.Order { return e.Order }, "confirmed")
	})
	sub.OnBatch(subs, func(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.OrderCancelled]) error {
		return onOrders(ctx, tx, s, batch, func(e events.OrderCancelled) events.Order { return e.Order }, "cancelled")
	})
	sub.OnBatch(subs, func(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.OrderShipped]) error {
		return onOrders(ctx, tx, s, batch, func(e events.OrderShipped) events.Order { return e.Order }, "shipped")
	})
	sub.OnBatch(subs, func(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.OrderReaddressed]) error {
		return onOrders(ctx, tx, s, batch, func(e events.OrderReaddressed) events.Order { return e.Order }, "readdressed")
	})
	sub.OnBatch(subs, func(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.OrderDelivered]) error {
		return onOrders(ctx, tx, s, batch, func(e events.OrderDelivered) events.Order { return e.Order }, "delivered")
	})
	sub.OnBatch(subs, s.onRefunded)
	sub.On(subs, s.onStockRequested)
	sub.OnBatch(subs, s.onStockReturned)
	sub.OnBatch(subs, s.onDropCalled)
	sub.OnBatch(subs, s.onDropMissed)
	sub.On(subs, s.onAccountRemoved)
	sub.On(subs, s.onOrderForgotten)
}

// onAccountRemoved forgets what was written to an account, but for what is about orders: those may be on their way.
func (s *service) onAccountRemoved(ctx context.Context, tx pgx.Tx, e events.AccountRemoved) error {
	return forgetAbout(ctx, tx, e.AccountID)
}

// onOrderForgotten forgets what was written about an order.
func (s *service) onOrderForgotten(ctx context.Context, tx pgx.Tx, e events.OrderForgotten) error {
	return forgetAbout(ctx, tx, e.OrderID)
}

func forgetAbout(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	if err := forget.Note(ctx, tx, id); err != nil {
		return err
	}
	return deleteAbout(ctx, tx, []uuid.UUID{id})
}

func source(ctx context.Context, e outbox.Event) Source {
	return Source{e.Topic(), sub.EventID(ctx), trace.Of(ctx)}
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
	_, err = s.queue(ctx, tx, m)
	return err
}

func (s *service) onAccountActivated(ctx context.Context, tx pgx.Tx, e events.AccountActivated) error {
	m, err := WelcomeMail(e, s.settings.Sender, source(ctx, e), s.now())
	if err != nil || m == nil {
		return err
	}
	_, err = s.queue(ctx, tx, m)
	return err
}

func (s *service) onEmailChangeAsked(ctx context.Context, tx pgx.Tx, e events.AccountEmailChangeAsked) error {
	m, err := EmailNoticeMail(e, s.settings.Sender, source(ctx, e), s.now())
	if err != nil {
		return err
	}
	_, err = s.queue(ctx, tx, m)
	return err
}

func (s *service) onAccountImported(ctx context.Context, tx pgx.Tx, e events.AccountImported) error {
	m, err := InvitationMail(e, s.settings.Sender, source(ctx, e), s.now())
	if err != nil || m == nil {
		return err
	}
	_, err = s.queue(ctx, tx, m)
	return err
}

// onOrders trusts the topic, not the status inside.
func onOrders[E outbox.Event](
	ctx context.Context, tx pgx.Tx, s *service, batch []sub.Delivered[E], order func(E) events.Order, status string,
) error {
	var mails []*Mail
	for _, d := range batch {
		o := order(d.Event)
		o.Status = status
		m, err := OrderMail(o, s.settings.Sender, Source{d.Event.Topic(), d.ID, d.Trace}, s.now())
		if err != nil {
			return err
		}
		if m != nil {
			mails = append(mails, m)
		}
	}
	_, err := s.queue(ctx, tx, mails...)
	return err
}

func (s *service) onRefunded(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.PaymentRefunded]) error {
	mails := make([]*Mail, 0, len(batch))
	for _, d := range batch {
		m, err := RefundMail(d.Event, s.settings.Sender, Source{d.Event.Topic(), d.ID, d.Trace}, s.now())
		if err != nil {
			return err
		}
		if m != nil {
			mails = append(mails, m)
		}
	}
	_, err := s.queue(ctx, tx, mails...)
	return err
}

func (s *service) onStockRequested(ctx context.Context, tx pgx.Tx, e events.StockRequested) error {
	m, err := ConfirmMail(e, s.settings.Sender, source(ctx, e), s.now())
	if err != nil {
		return err
	}
	_, err = s.queue(ctx, tx, m)
	return err
}

func (s *service) onStockReturned(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.StockReturned]) error {
	mails := make([]*Mail, 0, len(batch))
	for _, d := range batch {
		m, err := ReturnMail(d.Event, s.settings.Sender, Source{d.Event.Topic(), d.ID, d.Trace}, s.now())
		if err != nil {
			return err
		}
		mails = append(mails, m)
	}
	_, err := s.queue(ctx, tx, mails...)
	return err
}

func (s *service) onDropCalled(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.DropCalled]) error {
	return onDrops(ctx, tx, s, batch, CalledMail)
}

func (s *service) onDropMissed(ctx context.Context, tx pgx.Tx, batch []sub.Delivered[events.DropMissed]) error {
	return onDrops(ctx, tx, s, batch, MissedMail)
}

func onDrops[E outbox.Event](
	ctx context.Context, tx pgx.Tx, s *service, batch []sub.Delivered[E], write func(E, string, Source, time.Time) (*Mail, error),
) error {
	mails := make([]*Mail, 0, len(batch))
	for _, d := range batch {
		m, err := write(d.Event, s.settings.Sender, Source{d.Event.Topic(), d.ID, d.Trace}, s.now())
		if err != nil {
			return err
		}
		mails = append(mails, m)
	}
	_, err := s.queue(ctx, tx, mails...)
	return err
}
