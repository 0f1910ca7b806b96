package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/crew"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/pause"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/trace"
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
	// handOver is how old the lease of a mail may be when its try begins; lease covers what follows.
	handOver = 10 * time.Second
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
	rt.Go("pull orders", every, s.pullOrders().Run)
	rt.Go("pull refunds", every, s.pullRefunds().Run)
	rt.Go("pull forgotten orders", every, s.pullForgotten().Run)
	rt.Go("forget again", forget.Every, forget.Again(s.store.db, deleteAbout))
	rt.Alone("prune", time.Hour, s.prune)
	rt.Missed("auth", "products", "drops")
}

// queue logs mails, which carry a code all or none, and tells how many of them are new. Once tx is committed senders of this
// process have them, as far as they have hands free.
func (s *service) queue(ctx context.Context, tx pgx.Tx, mails ...*Mail) (fresh int, err error) {
	if len(mails) == 0 {
		return 0, nil
	}
	ready := len(mails)
	if !s.gate.open() { // nothing but a look is sent now
		ready = 0
	}
	hands := (*crew.Hands[Job])(nil)
	if mails[0].Kind.Secret() {
		hands = s.codes.Promise(tx, ready)
	}
	if hands == nil || hands.N < ready {
		hands = s.mails.Promise(tx, ready)
	}
	now, free := s.now(), hands.N
	for _, m := range mails {
		if m.Status == Queued && free > 0 {
			m.Lease(now)
			free--
		}
	}
	logged, err := insertMails(ctx, tx, mails)
	if err != nil {
		return 0, err
	}
	for _, j := range logged {
		if j.LeasedUntil != nil {
			hands.Give(j)
		}
	}
	return len(logged), nil
}

// alone is how many senders take codes alone, so that no code waits behind mails that a slow server takes its time for.
func (s *service) alone() int { return min(max(1, s.settings.Parallel/4), s.settings.Parallel-1) }

// newSenders makes those who take codes alone, or those who take every mail, codes first. They begin with none.
func (s *service) newSenders(codesOnly bool) *crew.Crew[Job] {
	return crew.New(crew.Settings[Job]{
		Log: s.log, Late: handOver, Do: s.sendOne,
		Claim: func(ctx context.Context, n int) ([]Job, error) { return s.claim(ctx, n, codesOnly) },
	})
}

// send sends what is due until ctx ends, by as many senders as the binding bears.
func (s *service) send(ctx context.Context) error {
	s.fit(ctx)
	var senders sync.WaitGroup
	senders.Go(func() { _ = s.codes.Run(ctx) })
	senders.Go(func() { _ = s.mails.Run(ctx) })
	for ctx.Err() == nil {
		pause.For(ctx, time.Second)
		s.fit(ctx)
	}
	senders.Wait()
	return nil
}

// fit has as many senders as the binding bears.
func (s *service) fit(ctx context.Context) {
	mails, codes := 1, 0
	if s.many(ctx) {
		mails, codes = s.settings.Parallel-s.alone(), s.alone()
	}
	s.mails.Limit(mails)
	s.codes.Limit(codes)
}

// claim leases up to n mails that are due; while the mail server is away one at most, by whoever looks.
func (s *service) claim(ctx context.Context, n int, codesOnly bool) ([]Job, error) {
	wait, probe := s.gate.enter(s.now())
	if wait > 0 {
		return nil, nil
	}
	if probe {
		n = 1
	}
	claimed, err := claimMails(ctx, s.store.db, n, codesOnly, s.now())
	if probe && len(claimed) == 0 {
		s.gate.leave(true, false, false, s.now())
	} else if probe {
		claimed[0].probe = true
	}
	return claimed, err
}

// gate pauses all senders while the mail server is away: half a second, doubling, at most maxPause, and then one of them
// looks whether it is back.
type gate struct {
	mu       sync.Mutex
	failures int // looks in a row that found nobody; 0: open
	until    time.Time
	probing  bool
}

// open reports whether nobody has to wait.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failures == 0
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

// sendOne tries to send a mail that is leased, and notes what became of it.
func (s *service) sendOne(ctx context.Context, j Job) {
	ctx = trace.Resume(ctx, j.Traceparent)
	away := s.try(ctx, &j)
	s.gate.leave(j.probe, true, away, s.now())
	if err := s.note(ctx, &j.Mail); err != nil {
		s.log.ErrorContext(ctx, "what became of a mail was not noted, it is sent again", "mail", j.ID, "status", j.Status, "error", err)
	}
}

// try tries to send a mail, unless it is not wanted any more. It tells whether no mail server is there.
func (s *service) try(ctx context.Context, j *Job) (away bool) {
	if why := j.Unwanted(); why != "" {
		j.Skip(why)
	}
	if !j.Ready(s.now()) {
		return false
	}
	shown, err := s.render.Parts(&j.Mail)
	if err != nil { // our own fault: it stays visible, and does not keep the others waiting
		s.log.ErrorContext(ctx, "mail cannot be rendered", "mail", j.ID, "error", err)
		j.fail(err.Error())
		return false
	}
	call, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := s.post(call, &j.Mail, shown); err != nil {
		j.Refused(err, s.now())
		s.log.WarnContext(ctx, "mail not sent", "mail", j.ID, "status", j.Status, "tries", j.Tries, "cut_off", j.CutOff, "error", err)
		return Means(err) == Away
	}
	j.Delivered(s.now())
	return false
}

// note saves what became of a mail, with others that ended meanwhile, and does not give up at once: what is not noted is
// sent again.
func (s *service) note(ctx context.Context, m *Mail) (err error) {
	for try := range 3 {
		if try > 0 {
			pause.For(ctx, time.Second)
		}
		limited, cancel := context.WithTimeout(ctx, storeTimeout)
		_, err = s.notes.Do(limited, m)
		cancel()
		if err == nil {
			return nil
		}
	}
	return err
}

func (s *service) noteAll(ctx context.Context, mails []*Mail) error {
	return noteTries(ctx, s.store.db, mails)
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
func (s *service) pullOrders() feed.Pull[events.Order] {
	return feed.Pull[events.Order]{
		Name: "orders.ended", DB: s.store.db, Log: s.log, Source: s.orders.ended(), Behind: s.settings.PullBehind, Apply: s.missedOrder,
	}
}

// pullRefunds reads what was given back, in case an event never came.
func (s *service) pullRefunds() feed.Pull[events.PaymentRefunded] {
	return feed.Pull[events.PaymentRefunded]{
		Name: "payments.refunds", DB: s.store.db, Log: s.log, Source: s.payments.refunds(), Behind: s.settings.PullBehind,
		Apply: s.missedRefund,
	}
}

// pullForgotten reads which orders were forgotten, in case an event never came.
func (s *service) pullForgotten() feed.Pull[events.OrderForgotten] {
	return feed.Pull[events.OrderForgotten]{
		Name: "orders.forgotten", DB: s.store.db, Log: s.log, Source: s.orders.forgotten(), Behind: s.settings.PullBehind,
		Apply: s.onOrderForgotten,
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
	fresh, err := s.queue(ctx, tx, m)
	if fresh > 0 {
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
