package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/serve"
)

const (
	// binding is the component that sends.
	binding = "mail"
	// sharedFields is the type of Dapr's SMTP binding, which keeps a request's fields in the component that all requests
	// share: two at once could exchange their recipients.
	sharedFields = "bindings.smtp"
	// sendTimeout bounds one try. Our binding gives up a little earlier (components/mail.yaml), so that it can say how far
	// it came.
	sendTimeout = time.Minute
	// storeTimeout bounds one statement.
	storeTimeout = 10 * time.Second
	// minKeep is the least time that mails stay in the log, longer than the inbox knows events: with a mail goes the
	// knowledge that it was written.
	minKeep  = 8 * 24 * time.Hour
	maxPause = 30 * time.Second
)

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) {
	every := feed.Every(s.settings.PullBehind)
	rt.Go("send", time.Second, s.send)
	rt.Go("pull orders", every, s.pullOrders(s.orders.ended()).Run)
	rt.Go("pull refunds", every, s.pullRefunds(s.payments.refunds()).Run)
	rt.Alone("prune", time.Hour, s.prune)
	rt.Missed("auth")
}

// unwanted tells why a mail that is about to be sent is not wanted any more; "" when it is. What an administrator
// sends again is wanted.
func (s *service) unwanted(ctx context.Context, m *Mail) (string, error) {
	switch {
	case m.AgainOf != nil:
	case m.Kind.Secret():
		newer, err := newerCode(ctx, s.store.db, m)
		if err != nil || newer {
			return "a newer code was issued", err
		}
	case m.OrderID != nil:
		logged, err := loggedKinds(ctx, s.store.db, *m.OrderID)
		if err != nil {
			return "", err
		}
		return Overtaken(m.Kind, logged), nil
	}
	return "", nil
}

// send sends what is due until ctx ends, by as many senders as the binding bears. A quarter of them take codes alone,
// so that no code waits behind mails that a slow server takes its time for.
func (s *service) send(ctx context.Context) error {
	listening, cancel := context.WithCancel(ctx)
	defer cancel()
	due, codes := make(chan struct{}, s.settings.Parallel), make(chan struct{}, s.settings.Parallel)
	go pg.Listen(listening, s.store.db, workChannel, func(string) {
		for _, wake := range []chan struct{}{due, codes} {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	})
	var senders sync.WaitGroup
	for i := range s.settings.Parallel {
		senders.Go(func() {
			if i > 0 && i <= max(1, s.settings.Parallel/4) {
				s.sender(ctx, i, true, codes)
			} else {
				s.sender(ctx, i, false, due)
			}
		})
	}
	senders.Wait()
	return nil
}

// sender sends one mail after another; the first is the only one where the binding bears no more.
func (s *service) sender(ctx context.Context, i int, codesOnly bool, woken <-chan struct{}) {
	for ctx.Err() == nil {
		if i > 0 && !s.many(ctx) {
			sleep(ctx, nil, time.Second)
			continue
		}
		wait, probe := s.gate.enter(s.now())
		if wait > 0 {
			sleep(ctx, nil, wait)
			continue
		}
		found, away, err := s.sendNext(context.WithoutCancel(ctx), codesOnly) // what has begun is finished
		s.gate.leave(probe, found, away, s.now())
		switch {
		case err != nil:
			s.log.WarnContext(ctx, "mails cannot be claimed or noted", "error", err)
			sleep(ctx, nil, time.Second)
		case !found:
			sleep(ctx, woken, time.Second)
		}
	}
}

// gate pauses all senders while the mail server is away: half a second, doubling, at most maxPause, and then one of them
// looks whether it is back.
type gate struct {
	mu       sync.Mutex
	failures int // looks in a row that found nobody; 0: open
	until    time.Time
	probing  bool
}

// enter tells how long to wait, 0 to go on; and whether the caller is the one who looks.
func (g *gate) enter(now time.Time) (wait time.Duration, probe bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.failures == 0:
		return 0, false
	case now.Before(g.until):
		return min(g.until.Sub(now), time.Second), false
	case g.probing:
		return 100 * time.Millisecond, false
	}
	g.probing = true
	return 0, true
}

// leave notes what the caller met. Many who meet at once that nobody is there count as one.
func (g *gate) leave(probe, found, away bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if probe {
		g.probing = false
	}
	switch {
	case away && (probe || g.failures == 0):
		g.until = now.Add(min(500*time.Millisecond<<min(g.failures, 10), maxPause))
		g.failures++
	case found && !away:
		g.failures = 0
	}
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

// sendNext tries to send the next mail that is due, or the next code, and notes what became of it. found is false when
// none is due; away tells that no mail server is there; an error is the database's.
func (s *service) sendNext(ctx context.Context, codesOnly bool) (found, away bool, err error) {
	prepare, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	m, err := claimMail(prepare, s.store.db, codesOnly, s.now())
	if err != nil || m == nil {
		return false, false, err
	}
	why, err := s.unwanted(prepare, m)
	if err != nil {
		return false, false, err
	}
	if why != "" {
		m.Skip(why)
	}
	if !m.Ready(s.now()) {
		return true, false, s.note(ctx, m)
	}
	shown, err := s.render.Parts(m)
	if err != nil { // our own fault: it stays visible, and does not keep the others waiting
		s.log.ErrorContext(ctx, "mail cannot be rendered", "mail", m.ID, "error", err)
		m.fail(err.Error())
		return true, false, s.note(ctx, m)
	}
	call, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := s.post(call, m, shown); err != nil {
		m.Refused(err, s.now())
		away = Means(err) == Away
		s.log.WarnContext(ctx, "mail not sent", "mail", m.ID, "status", m.Status, "tries", m.Tries, "cut_off", m.CutOff, "error", err)
	} else {
		m.Delivered(s.now())
	}
	return true, away, s.note(ctx, m)
}

// note saves what became of a mail, and does not give up at once: what is not noted is sent again.
func (s *service) note(ctx context.Context, m *Mail) (err error) {
	for try := range 3 {
		if try > 0 {
			sleep(ctx, nil, time.Second)
		}
		limited, cancel := context.WithTimeout(ctx, storeTimeout)
		err = noteTry(limited, s.store.db, m)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

// through hands a mail to Dapr's binding. Every field is given every time, since Dapr's own SMTP component repeats the
// last one that it was given; CC and BCC are never given. Priority, messageId and text are for SMTP and for our binding;
// others ignore them.
func through(sidecar *dapr.Client) func(ctx context.Context, m *Mail, shown parts) error {
	return func(ctx context.Context, m *Mail, shown parts) error {
		_, err := sidecar.Binding(ctx, binding, "create", quoted(shown.HTML), map[string]string{
			"emailFrom": m.Sender, "emailTo": m.Recipient, "subject": m.Subject, "priority": "3",
			"messageId": m.MessageID(), "text": shown.Text,
		})
		return err
	}
}

// bearsMany asks the sidecar which binding it has, at most once a second: a swap restarts the sidecar, which takes
// longer. While it does not answer the binding counts as one that bears no more than one.
func bearsMany(sidecar *dapr.Client, now func() time.Time) func(ctx context.Context) bool {
	var mu sync.Mutex
	var asked time.Time
	var many bool
	return func(ctx context.Context) bool {
		mu.Lock()
		defer mu.Unlock()
		if now().Sub(asked) < time.Second {
			return many
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		kind, err := sidecar.ComponentType(ctx, binding)
		asked, many = now(), err == nil && kind != "" && kind != sharedFields
		return many
	}
}

// quoted is HTML as every mail binding of Dapr's understands it: a Go string literal. They were written for data that
// comes over HTTP, as a JSON string: all of them unquote (strconv.Unquote), and give back these very bytes. What is not
// quoted SMTP and SendGrid send as it is, SES refuses, and Postmark sends as an empty mail.
func quoted(html string) []byte { return strconv.AppendQuote(nil, html) }

// pullOrders reads what became of orders, in case an event never came.
func (s *service) pullOrders(source feed.Source) feed.Pull[events.Order] {
	return feed.Pull[events.Order]{
		Name: "orders.ended", DB: s.store.db, Log: s.log, Source: source, Behind: s.settings.PullBehind, Apply: s.missedOrder,
	}
}

// pullRefunds reads what was given back, in case an event never came.
func (s *service) pullRefunds(source feed.Source) feed.Pull[events.PaymentRefunded] {
	return feed.Pull[events.PaymentRefunded]{
		Name: "payments.refunds", DB: s.store.db, Log: s.log, Source: source, Behind: s.settings.PullBehind, Apply: s.missedRefund,
	}
}

// missedOrder writes the mail about what became of an order, unless it is logged: its event was lost.
func (s *service) missedOrder(ctx context.Context, tx pgx.Tx, o events.Order) error {
	m, err := OrderMail(o, s.settings.Sender, Source{}, s.now())
	return s.missed(ctx, tx, m, err)
}

// missedRefund writes the mail about a refund, unless it is logged.
func (s *service) missedRefund(ctx context.Context, tx pgx.Tx, e events.PaymentRefunded) error {
	m, err := RefundMail(e, s.settings.Sender, Source{}, s.now())
	return s.missed(ctx, tx, m, err)
}

func (s *service) missed(ctx context.Context, tx pgx.Tx, m *Mail, err error) error {
	if err != nil || m == nil {
		return err
	}
	fresh, err := insertMail(ctx, tx, m)
	if fresh {
		s.log.WarnContext(ctx, "an event was lost, its mail is sent now", "order", m.OrderID, "kind", m.Kind)
	}
	return err
}

// prune deletes mails whose life is over, with all that they held about people.
func (s *service) prune(ctx context.Context) error {
	const batch = 500
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, storeTimeout)
		n, err := deleteMails(limited, s.store.db, s.now().Add(-s.settings.Keep), batch)
		cancel()
		if err != nil || n < batch {
			return err
		}
	}
	return nil
}
