package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/pg"
)

const (
	// binding is the component that sends.
	binding = "mail"
	// sendTimeout bounds one try.
	sendTimeout = 20 * time.Second
	// pullBehind is how long events get to arrive on their own before orders is asked, unless a setting says otherwise.
	pullBehind = 10 * time.Minute
	maxPause   = 30 * time.Second
)

// service is mail: the log, which is also the queue, and the one who empties it.
type service struct {
	db     *pgxpool.Pool
	log    *slog.Logger
	now    func() time.Time
	sender string        // the From of every mail
	behind time.Duration // how long events get to arrive on their own
	html   renderer
	orders orders
	post   func(ctx context.Context, m *Mail, html []byte) error // hands a mail to the mail server
}

// unwanted tells why a mail that is about to be sent is not wanted any more; "" when it is. What an administrator
// sends again is wanted.
func (s *service) unwanted(ctx context.Context, m *Mail) (string, error) {
	switch {
	case m.AgainOf != nil:
	case m.Kind.Secret():
		newer, err := newerCode(ctx, s.db, m)
		if err != nil || newer {
			return "a newer code was issued", err
		}
	case m.OrderID != nil:
		logged, err := loggedKinds(ctx, s.db, *m.OrderID)
		if err != nil {
			return "", err
		}
		return Overtaken(m.Kind, logged), nil
	}
	return "", nil
}

// send sends what is due, one mail after the other, until ctx ends. One at a time, because Dapr's SMTP binding keeps
// a request's fields in the component that all requests share: two at once could exchange their recipients. More
// instances, each with its own sidecar, send more.
func (s *service) send(ctx context.Context) error {
	listening, cancel := context.WithCancel(ctx)
	defer cancel()
	woken := make(chan struct{}, 1)
	go pg.Listen(listening, s.db, workChannel, func(string) {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	failures := 0 // in a row
	for ctx.Err() == nil {
		found, err := s.sendNext(context.WithoutCancel(ctx)) // what has begun is finished
		switch {
		case err != nil: // the server is down, most likely: nobody else's mail would go through
			s.log.WarnContext(ctx, "mail not sent", "failures", failures+1, "error", err)
			wait := min(500*time.Millisecond<<min(failures, 10), maxPause)
			if errors.Is(err, context.DeadlineExceeded) {
				wait = maxPause // the binding may still be busy with that one
			}
			failures++
			sleep(ctx, nil, wait)
		case found:
			failures = 0
		default:
			sleep(ctx, woken, time.Second)
		}
	}
	return nil
}

func sleep(ctx context.Context, woken <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-woken:
	case <-t.C:
	}
}

// sendNext tries to send the next mail that is due and notes what became of it. found is false when none is due; an
// error is the mail server's or the database's.
func (s *service) sendNext(ctx context.Context) (found bool, err error) {
	m, err := claimMail(ctx, s.db, s.now())
	if err != nil || m == nil {
		return false, err
	}
	why, err := s.unwanted(ctx, m)
	if err != nil {
		return false, err
	}
	if why != "" {
		m.Skip(why)
	}
	if !m.Ready(s.now()) {
		return true, noteTry(ctx, s.db, m)
	}
	html, err := s.html.HTML(m)
	if err != nil { // our own fault: it stays visible, and does not keep the others waiting
		s.log.ErrorContext(ctx, "mail cannot be rendered", "mail", m.ID, "error", err)
		m.fail(err.Error())
		return true, noteTry(ctx, s.db, m)
	}
	call, cancel := context.WithTimeout(ctx, sendTimeout)
	postErr := s.post(call, m, html)
	cancel()
	if postErr != nil {
		m.Refused(postErr, s.now())
	} else {
		m.Delivered(s.now())
	}
	return true, errors.Join(postErr, noteTry(ctx, s.db, m))
}

// through hands a mail to Dapr's binding. Every field is given every time, since the SMTP component repeats the last
// one that it was given; CC and BCC are never given. Priority is SMTP's; others ignore it.
func through(sidecar *dapr.Client) func(ctx context.Context, m *Mail, html []byte) error {
	return func(ctx context.Context, m *Mail, html []byte) error {
		_, err := sidecar.Binding(ctx, binding, "create", quoted(html), map[string]string{
			"emailFrom": m.Sender, "emailTo": m.Recipient, "subject": m.Subject, "priority": "3",
		})
		return err
	}
}

// quoted is HTML as every mail binding of Dapr's understands it: a Go string literal. They were written for data that
// comes over HTTP, as a JSON string: all of them unquote (strconv.Unquote), and give back these very bytes. What is not
// quoted SMTP and SendGrid send as it is, SES refuses, and Postmark sends as an empty mail.
func quoted(html []byte) []byte { return strconv.AppendQuote(nil, string(html)) }

// pull asks orders what became of orders until a while ago, and writes the mails whose events were lost.
func (s *service) pull(ctx context.Context) error {
	until := s.now().Add(-s.behind)
	since, err := pulledUntil(ctx, s.db)
	if err != nil {
		return err
	}
	for cursor := ""; ; {
		items, next, err := s.orders.ended(ctx, since, cursor)
		if err != nil {
			return err
		}
		for _, o := range items {
			if o.At.After(until) {
				return nil
			}
			if err := s.missed(ctx, o); err != nil {
				return err
			}
			if err := notePulled(ctx, s.db, o.At); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

// missed writes the mail about an order, unless it is logged.
func (s *service) missed(ctx context.Context, o events.Order) error {
	m, err := OrderMail(o, s.sender, Source{}, s.now())
	if err != nil || m == nil {
		return err
	}
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		fresh, err := insertMail(ctx, tx, m)
		if err != nil {
			return fmt.Errorf("order %s: %w", o.OrderID, err)
		}
		if fresh {
			s.log.WarnContext(ctx, "an event was lost, its mail is sent now", "order", o.OrderID, "kind", m.Kind)
		}
		return nil
	})
}
