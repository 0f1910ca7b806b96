package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/trace"
)

// delivery is what the mail server was handed.
type delivery struct {
	ID, Recipient, Subject, HTML, Text string
}

// bundle is mail with a database of its own. The mail server's side of the binding is in the test: it takes mails,
// or answers what `down` says.
type bundle struct {
	*service
	rt    *serve.Runtime
	db    *pgxpool.Pool
	admin string
	ahead atomic.Int64

	mu    sync.Mutex
	taken []delivery
	down  error // the answer to every mail, which is not taken
	lost  error // what is seen of every mail, which is taken
}

func setup(t *testing.T) *bundle {
	t.Helper()
	rt, db := servetest.NewTest(t, "mail", migrations)
	return start(t, rt, db)
}

// another is one more instance with the same database and mail server.
func (b *bundle) another(t *testing.T) *bundle {
	t.Helper()
	rt, _ := servetest.NewTest(t, "mail", nil)
	rt.UseDatabase(b.db)
	other := start(t, rt, b.db)
	other.post = b.post
	return other
}

func start(t *testing.T, rt *serve.Runtime, db *pgxpool.Pool) *bundle {
	t.Helper()
	b := &bundle{rt: rt, db: db, admin: servetest.Token(t, uuid.New(), "ops@example.com", "ADMIN")}
	s, err := newService(rt, db, servetest.Settings[settings](t, "MAIL_PARALLEL", "8"))
	require.NoError(t, err)
	b.service = s
	s.now = func() time.Time { return rt.Now().Add(time.Duration(b.ahead.Load())) }
	s.many = func(context.Context) bool { return true }
	s.post = func(_ context.Context, m *Mail, shown parts) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.down != nil {
			return b.down
		}
		b.taken = append(b.taken, delivery{m.ID.String(), m.Recipient, m.Subject, shown.HTML, shown.Text})
		return b.lost
	}
	return b
}

func (b *bundle) advance(d time.Duration) { b.ahead.Add(int64(d)) }

// sendDue sends until nothing is due, and returns what the mail server was handed meanwhile.
func (b *bundle) sendDue(t *testing.T) []delivery {
	t.Helper()
	before := len(b.taken)
	for {
		claimed, err := claimMails(t.Context(), b.db, 1, false, b.now())
		require.NoError(t, err)
		if len(claimed) == 0 {
			return b.taken[before:]
		}
		b.sendOne(t.Context(), claimed[0])
	}
}

// row is a mail of the log, as administrators read it.
type row struct {
	ID        uuid.UUID
	Kind      Kind
	Status    Status
	Sender    string
	Recipient string
	Subject   string
	Source    struct{ Event, ID string }
	OrderID   *uuid.UUID `json:"order_id"`
	Tries     int
	CutOff    int `json:"cut_off"`
	Error     string
	AgainOf   *uuid.UUID `json:"again_of"`
	SentAt    *time.Time `json:"sent_at"`
	NextTryAt *time.Time `json:"next_try_at"`
	HTML      *string
	Text      *string
}

func (b *bundle) list(t *testing.T, query string) []row {
	t.Helper()
	answer := servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/mail"+query, b.admin, nil)
	require.Equal(t, 200, answer.Status, "%s", answer.Body)
	var page struct{ Items []row }
	answer.JSON(t, &page)
	return page.Items
}

func (b *bundle) stored(t *testing.T, id uuid.UUID) string {
	t.Helper()
	var data string
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT data::text FROM mails WHERE id = $1`, id).Scan(&data))
	return data
}

func order() events.Order {
	id := uuid.Must(uuid.NewV7())
	gbp := func(minor int64) events.Money { return events.Money{Amount: minor, Currency: "GBP"} }
	return events.Order{
		OrderID: id, Number: "S-" + strings.ToUpper(id.String()[26:]), Version: 2, Status: "confirmed", AccountID: uuid.New(), Email: "ada@example.com",
		FirstName: "Ada", Lines: []events.OrderLine{{SKU: "MUG", Slug: "mug", Name: "Mug", Quantity: 2, UnitPrice: gbp(1000), LineTotal: gbp(2000)}},
		Subtotal: gbp(2000), Discount: gbp(0), Tax: gbp(333), Shipping: gbp(0), Total: gbp(2000), At: time.Now(),
	}
}

func confirmed(o events.Order) events.OrderConfirmed {
	o.Status = "confirmed"
	return events.OrderConfirmed{Order: o}
}

func cancelled(o events.Order) events.OrderCancelled {
	o.Status, o.Reason = "cancelled", "by-shop"
	return events.OrderCancelled{Order: o}
}

func shipped(o events.Order) events.OrderShipped {
	o.Status, o.Shipment = "shipped", &events.Shipment{Carrier: "Royal Mail", TrackingNumber: "RM1"}
	return events.OrderShipped{Order: o}
}

func delivered(o events.Order) events.OrderDelivered {
	o.Status = "delivered"
	return events.OrderDelivered{Order: o}
}

func code(code string, valid time.Duration) events.AccountCodeIssued {
	return events.AccountCodeIssued{
		AccountID: uuid.New(), Email: "ada@example.com", FirstName: "Ada", Purpose: events.PurposeVerifyEmail, Code: code, ExpiresAt: time.Now().Add(valid),
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := code("493817", 15*time.Minute)
	id := servetest.Deliver(t, b.rt, e)
	require.NoError(t, servetest.DeliverAs(t, b.rt, id, e))
	queued := b.list(t, "")
	require.Len(t, queued, 1)
	require.Equal(t, Queued, queued[0].Status)
	require.Equal(t, VerifyEmail, queued[0].Kind)
	require.Equal(t, "account.code_issued.v1", queued[0].Source.Event)
	require.Equal(t, id, queued[0].Source.ID)
	require.Contains(t, b.stored(t, queued[0].ID), "493817")

	sent := b.sendDue(t)
	require.Len(t, sent, 1)
	require.Equal(t, "ada@example.com", sent[0].Recipient)
	require.Contains(t, sent[0].HTML, "493817")
	require.Contains(t, sent[0].HTML, "15 minutes")
	done := b.list(t, "")
	require.Equal(t, Sent, done[0].Status)
	require.NotNil(t, done[0].SentAt)
	require.Equal(t, "{}", b.stored(t, done[0].ID), "the code is forgotten")
	require.Empty(t, b.sendDue(t))

	answer := servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/mail/"+done[0].ID.String()+"/resend", b.admin, nil)
	require.Equal(t, 409, answer.Status)
	require.Equal(t, "mail-not-resendable", answer.Slug())
	detail := servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/mail/"+done[0].ID.String(), b.admin, nil)
	require.Equal(t, 200, detail.Status)
	require.NotContains(t, string(detail.Body), "493817")

	// Administrators cannot read a code that waits, either.
	servetest.Deliver(t, b.rt, code("271828", 15*time.Minute))
	detail = servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/mail/"+b.list(t, "?status=queued")[0].ID.String(), b.admin, nil)
	require.Equal(t, 200, detail.Status)
	require.NotContains(t, string(detail.Body), "271828")
}

func TestCodeNotWorthSending(t *testing.T) {
	t.Parallel()
	b := setup(t)
	servetest.Deliver(t, b.rt, code("111222", time.Minute))
	b.advance(2 * time.Minute)
	require.Empty(t, b.sendDue(t))
	expired := b.list(t, "")
	require.Equal(t, Skipped, expired[0].Status)
	require.Contains(t, expired[0].Error, "expired")
	require.Equal(t, "{}", b.stored(t, expired[0].ID))

	// Two codes of one account, which arrive in the wrong order: only the newer is worth anything.
	b = setup(t)
	older, newer := code("333444", 10*time.Minute), code("555666", 11*time.Minute)
	newer.AccountID = older.AccountID
	other := code("777888", 5*time.Minute)
	other.AccountID, other.Purpose = older.AccountID, events.PurposePasswordReset
	servetest.Deliver(t, b.rt, newer)
	servetest.Deliver(t, b.rt, older)
	servetest.Deliver(t, b.rt, other)
	sent := b.sendDue(t)
	require.Len(t, sent, 2)
	require.NotContains(t, sent[0].HTML+sent[1].HTML, "333444")
	skipped := b.list(t, "?status=skipped")
	require.Len(t, skipped, 1)
	require.Equal(t, "a newer code was issued", skipped[0].Error)
	require.Equal(t, "{}", b.stored(t, skipped[0].ID))
}

func TestWelcome(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := events.AccountActivated{AccountID: uuid.New(), Email: "ada@example.com", FirstName: "Ada", First: true}
	servetest.Deliver(t, b.rt, e)
	servetest.Deliver(t, b.rt, e)
	e.First = false
	servetest.Deliver(t, b.rt, e)
	sent := b.sendDue(t)
	require.Len(t, sent, 1)
	require.Equal(t, "Welcome to Stampede", sent[0].Subject)
}

func TestOrderMails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order()
	for range 2 { // each under a new event id
		servetest.Deliver(t, b.rt, confirmed(o))
		servetest.Deliver(t, b.rt, shipped(o))
	}
	b.sendDue(t)
	servetest.Deliver(t, b.rt, delivered(o))
	servetest.Deliver(t, b.rt, confirmed(o))
	refund := events.PaymentRefunded{
		OrderID: o.OrderID, RefundID: uuid.New(), Number: o.Number, Email: o.Email, Amount: events.Money{Amount: 500, Currency: "GBP"},
		Refunded: events.Money{Amount: 500, Currency: "GBP"}, Captured: o.Total, Reason: "one was broken",
	}
	servetest.Deliver(t, b.rt, refund)
	servetest.Deliver(t, b.rt, refund)
	refund.RefundID = uuid.New()
	servetest.Deliver(t, b.rt, refund)
	b.sendDue(t)
	var kinds []Kind
	for _, r := range b.list(t, "?order_id="+o.OrderID.String()) {
		require.Equal(t, Sent, r.Status)
		require.Equal(t, "Stampede <shop@stampede.test>", r.Sender)
		require.Contains(t, r.Subject, o.Number)
		kinds = append(kinds, r.Kind)
	}
	require.ElementsMatch(t, []Kind{OrderConfirmed, OrderShipped, OrderDelivered, OrderRefunded, OrderRefunded}, kinds)
	require.Len(t, b.taken, 5, "once each")
}

func TestOrderMailsOvertaking(t *testing.T) {
	t.Parallel()
	type event interface{ Topic() string }
	for name, tt := range map[string]struct {
		first, then func(events.Order) event
		skipped     Kind
	}{
		"cancelled, confirmed": {func(o events.Order) event { return cancelled(o) }, func(o events.Order) event { return confirmed(o) }, OrderConfirmed},
		"confirmed, cancelled": {func(o events.Order) event { return confirmed(o) }, func(o events.Order) event { return cancelled(o) }, OrderConfirmed},
		"delivered, shipped":   {func(o events.Order) event { return delivered(o) }, func(o events.Order) event { return shipped(o) }, OrderShipped},
		"shipped, confirmed":   {func(o events.Order) event { return shipped(o) }, func(o events.Order) event { return confirmed(o) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			o := order()
			servetest.Deliver(t, b.rt, tt.first(o))
			servetest.Deliver(t, b.rt, tt.then(o))
			b.sendDue(t)
			skipped := b.list(t, "?status=skipped")
			if tt.skipped == "" {
				require.Empty(t, skipped)
				return
			}
			require.Len(t, skipped, 1)
			require.Equal(t, tt.skipped, skipped[0].Kind)
			require.NotEmpty(t, skipped[0].Error)
			require.Len(t, b.taken, 1)
			again := servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/mail/"+skipped[0].ID.String()+"/resend", b.admin, nil)
			require.Equal(t, 409, again.Status)
		})
	}
	t.Run("confirmed was sent before the cancel", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		o := order()
		servetest.Deliver(t, b.rt, confirmed(o))
		require.Len(t, b.sendDue(t), 1)
		servetest.Deliver(t, b.rt, cancelled(o))
		require.Len(t, b.sendDue(t), 1)
	})
}

func TestServerDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.down = errors.New("dial tcp 127.0.0.1:1025: connect: connection refused")
	for range 3 {
		servetest.Deliver(t, b.rt, confirmed(order()))
	}
	servetest.Deliver(t, b.rt, code("493817", time.Hour))
	for range 8 {
		b.sendDue(t)
		b.advance(time.Minute)
	}
	for _, r := range b.list(t, "") {
		require.Equal(t, Queued, r.Status)
		require.Equal(t, 8, r.Tries, "once a minute in the end")
		require.Contains(t, r.Error, "connection refused")
		require.NotNil(t, r.NextTryAt)
	}
	b.down = nil
	sent := b.sendDue(t)
	require.Len(t, sent, 4, "none lost")
	require.Contains(t, sent[0].Subject, "code", "codes first")
	for _, r := range b.list(t, "") {
		require.Equal(t, Sent, r.Status)
		require.Empty(t, r.Error)
	}

	b.down = errors.New("gomail: could not send email 1: 550 5.1.1 no such mailbox")
	servetest.Deliver(t, b.rt, confirmed(order()))
	b.sendDue(t)
	require.Len(t, b.list(t, "?status=failed"), 1, "that one will never be taken")
}

// A sender that is killed leaves a mail with a lease: it may have arrived.
func TestKilled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	servetest.Deliver(t, b.rt, confirmed(order()))
	servetest.Deliver(t, b.rt, confirmed(order()))
	claimed, err := claimMails(t.Context(), b.db, 1, false, b.now())
	require.NoError(t, err)
	m := claimed[0]
	require.NoError(t, b.post(t.Context(), &m.Mail, parts{})) // the server has taken it, and then we die

	require.Len(t, b.sendDue(t), 1, "the other one")
	b.advance(lease + time.Second)
	repeated := b.sendDue(t)
	require.Len(t, repeated, 1)
	require.Equal(t, m.ID.String(), repeated[0].ID)
	require.Empty(t, b.sendDue(t), "one repeat")
	for _, r := range b.list(t, "") {
		require.Equal(t, Sent, r.Status)
		if r.ID == m.ID {
			require.Equal(t, 1, r.CutOff)
			require.Contains(t, r.Error, "may have arrived", "and it is logged")
		} else {
			require.Zero(t, r.CutOff)
		}
	}

	// The one who was believed dead comes back late: what it says changes nothing.
	servetest.Deliver(t, b.rt, confirmed(order()))
	claimed, err = claimMails(t.Context(), b.db, 1, false, b.now())
	require.NoError(t, err)
	late := &claimed[0].Mail
	b.advance(lease + time.Second)
	require.Len(t, b.sendDue(t), 1)
	late.Refused(errors.New("too late"), b.now())
	require.NoError(t, noteTries(t.Context(), b.db, []*Mail{late}))
	require.Empty(t, b.list(t, "?status=queued"))
}

func TestSendersShare(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 60
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	instances := []*bundle{b, b.another(t), b.another(t)}
	for _, one := range instances {
		running.Go(func() { _ = one.send(ctx) })
	}
	var delivering sync.WaitGroup
	for i := range n {
		delivering.Go(func() { _ = servetest.DeliverAs(t, instances[i%3].rt, uuid.NewString(), confirmed(order())) })
	}
	delivering.Wait()
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.taken) >= n
	}, 20*time.Second, 20*time.Millisecond)
	stop()
	running.Wait()
	seen := map[string]bool{}
	for _, d := range b.taken {
		require.False(t, seen[d.ID], "sent twice")
		seen[d.ID] = true
	}
	require.Len(t, seen, n)
}

func TestBadRecipients(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, address := range []string{"", "ada", "ada@example.com;eve@example.com", "ada@example.com\r\nBcc: eve@example.com", "Ada <ada@example.com>"} {
		o := order()
		o.Email, o.FirstName = address, "Ada\r\nBcc: eve@example.com"
		servetest.Deliver(t, b.rt, confirmed(o))
		e := code("493817", time.Hour)
		e.Email = address
		servetest.Deliver(t, b.rt, e)
	}
	require.Empty(t, b.sendDue(t))
	failed := b.list(t, "?status=failed")
	require.Len(t, failed, 9, "an order without an address was forgotten")
	for _, r := range failed {
		require.Equal(t, "the recipient is not one mail address", r.Error)
		if r.Kind.Secret() {
			require.Equal(t, "{}", b.stored(t, r.ID))
		}
	}
}

func TestUnknownPurpose(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := code("493817", time.Hour)
	e.Purpose = "lottery"
	require.Error(t, servetest.DeliverAs(t, b.rt, uuid.NewString(), e))
	require.Empty(t, b.list(t, ""))
}

// What orders and payments tell, and no event did, gets its mail; until they answer nothing does.
func TestPull(t *testing.T) {
	t.Parallel()
	b := setup(t)
	heard, lost, both, declined := order(), order(), order(), order()
	refund := events.PaymentRefunded{
		OrderID: heard.OrderID, RefundID: uuid.New(), Number: heard.Number, Email: heard.Email, Amount: heard.Total, Refunded: heard.Total, Captured: heard.Total,
	}
	lostRefund := refund
	lostRefund.RefundID = uuid.New()
	servetest.Deliver(t, b.rt, confirmed(heard))
	servetest.Deliver(t, b.rt, cancelled(both))
	servetest.Deliver(t, b.rt, refund)
	became := func(o events.Order, status, reason string) events.Order {
		o.Status, o.Reason = status, reason
		return o
	}
	ended := []events.Order{
		became(heard, "confirmed", ""), became(lost, "confirmed", ""), became(both, "confirmed", ""), became(both, "cancelled", "by-shop"),
		became(lost, "shipped", ""), became(declined, "cancelled", "payment-declined"),
	}
	made := []events.PaymentRefunded{refund, lostRefund}
	before := len(b.list(t, ""))
	servetest.Unwell(t, b.rt, "orders", "GET /internal/orders/ended", func(ctx context.Context, how string) {
		require.Error(t, b.pullOrders().Run(ctx), how)
	})
	servetest.Unwell(t, b.rt, "payments", "GET /internal/refunds/made", func(ctx context.Context, how string) {
		require.Error(t, b.pullRefunds().Run(ctx), how)
	})
	require.Len(t, b.list(t, ""), before)
	servetest.Neighbour(t, b.rt, "orders", "GET /internal/orders/ended", servetest.Feed(&ended))
	servetest.Neighbour(t, b.rt, "payments", "GET /internal/refunds/made", servetest.Feed(&made))
	for range 2 {
		require.NoError(t, b.pullOrders().Run(t.Context()))
		require.NoError(t, b.pullRefunds().Run(t.Context()))
		ended, made = append(ended, ended...), append(made, made...)
	}
	b.sendDue(t)
	require.Len(t, b.list(t, "?status=sent"), 6, "heard confirmed, lost confirmed and shipped, both cancelled, two refunds")
	require.Len(t, b.list(t, "?status=skipped"), 1, "both confirmed")
	require.Len(t, b.list(t, ""), 7, "once")
	require.Empty(t, b.list(t, "?order_id="+declined.OrderID.String()))
}

// What auth published, and no event told, gets its mail.
func TestMissedAccounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const published = "GET /internal/events"
	e := events.AccountActivated{AccountID: uuid.New(), Email: "ada@example.test", FirstName: "Ada", First: true, At: b.now()}
	data, err := json.Marshal(e)
	require.NoError(t, err)
	told := []outbox.Published{{ID: uuid.New(), Topic: e.Topic(), Data: data}}
	missed := b.rt.Subs.Missed("auth", time.Minute)
	servetest.Unwell(t, b.rt, "auth", published, func(ctx context.Context, how string) {
		require.Error(t, missed(ctx), how)
		require.Empty(t, b.list(t, ""), how)
	})
	servetest.Neighbour(t, b.rt, "auth", published, servetest.Feed(&told))
	require.NoError(t, missed(t.Context()))
	require.Len(t, b.list(t, ""), 1)
}

// A shopper whose card was declined is told on the page, not by mail.
func TestDeclined(t *testing.T) {
	t.Parallel()
	b := setup(t)
	e := cancelled(order())
	e.Reason = "payment-declined"
	servetest.Deliver(t, b.rt, e)
	require.Empty(t, b.list(t, ""))
}

// Each way in which a try ends without an answer brings a mail twice at most, and the log says so.
func TestUnseen(t *testing.T) {
	t.Parallel()
	const wrapped = "binding mail: rpc error: code = "
	for name, text := range map[string]string{
		"our time is over": wrapped + "DeadlineExceeded desc = context deadline exceeded",
		"sidecar killed":   wrapped + "Unavailable desc = error reading from server: EOF",
		"hung up":          wrapped + "Canceled desc = grpc: the client connection is closing",
		"server is slow":   wrapped + "Internal desc = error invoking output binding mail: mailer: unanswered: the mail may have been taken: DATA: context deadline exceeded",
		"stock binding":    wrapped + "Internal desc = error invoking output binding mail: error from smtp binding, sending email failed: gomail: could not send email 1: EOF",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.lost = errors.New(text)
			servetest.Deliver(t, b.rt, confirmed(order()))
			servetest.Deliver(t, b.rt, code("493817", 24*time.Hour))
			for range 20 {
				b.sendDue(t)
				b.advance(lease)
			}
			require.Len(t, b.taken, 4, "two each")
			for _, r := range b.list(t, "") {
				require.Equal(t, Failed, r.Status)
				require.Equal(t, 2, r.CutOff)
				require.Contains(t, r.Error, "may have arrived")
			}
		})
	}
	t.Run("answered the second time", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.lost = errors.New(wrapped + "DeadlineExceeded desc = context deadline exceeded")
		servetest.Deliver(t, b.rt, confirmed(order()))
		b.sendDue(t)
		b.lost = nil
		b.advance(lease)
		b.sendDue(t)
		require.Len(t, b.taken, 2)
		done := b.list(t, "?status=sent")
		require.Len(t, done, 1)
		require.Contains(t, done[0].Error, "may have arrived")
	})
	t.Run("a sender killed, then no answer", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		servetest.Deliver(t, b.rt, confirmed(order()))
		_, err := claimMails(t.Context(), b.db, 1, false, b.now())
		require.NoError(t, err)
		b.advance(lease + time.Second)
		b.lost = errors.New(wrapped + "DeadlineExceeded desc = context deadline exceeded")
		b.sendDue(t)
		require.Len(t, b.list(t, "?status=failed"), 1)
	})
}

// Codes do not wait for senders that a slow server keeps, and a refusal keeps nobody.
func TestCodesDoNotWait(t *testing.T) {
	t.Parallel()
	b := setup(t)
	release := make(chan struct{})
	const mails, senders = 12, 6 // of eight, two take codes alone
	begun, coded := make(chan struct{}, mails), make(chan struct{}, 1)
	b.post = func(_ context.Context, m *Mail, _ parts) error {
		if m.Kind.Secret() {
			coded <- struct{}{}
			return nil
		}
		begun <- struct{}{}
		<-release
		return errors.New("mailer: RCPT: 550 5.1.1 unknown")
	}
	for range mails {
		servetest.Deliver(t, b.rt, confirmed(order()))
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = b.send(ctx) })
	for range senders {
		<-begun
	}
	servetest.Deliver(t, b.rt, code("493817", time.Hour))
	select {
	case <-coded:
	case <-time.After(20 * time.Second):
		t.Error("the code waits behind mails")
	}
	close(release)
	require.Eventually(t, func() bool { return len(b.list(t, "?status=failed")) == mails }, 20*time.Second, 20*time.Millisecond)
	require.Zero(t, b.gate.failures)
	stop()
	running.Wait()
}

// With a binding whose requests share their fields, no two mails are under way at once.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.many = func(context.Context) bool { return false }
	var underWay, most, done atomic.Int64
	second := make(chan struct{}, 30)
	b.post = func(context.Context, *Mail, parts) error {
		now := underWay.Add(1)
		most.Store(max(most.Load(), now))
		if now > 1 {
			second <- struct{}{}
		}
		if done.Add(1) == 1 { // time for another to come beside the first
			select {
			case <-second:
			case <-time.After(300 * time.Millisecond):
			}
		}
		underWay.Add(-1)
		return nil
	}
	for range 30 {
		servetest.Deliver(t, b.rt, confirmed(order()))
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = b.send(ctx) })
	require.Eventually(t, func() bool { return done.Load() == 30 }, 20*time.Second, 20*time.Millisecond)
	stop()
	running.Wait()
	require.EqualValues(t, 1, most.Load())
}

// Mails go after their stated life, with what they held about people; those that wait stay.
func TestPrune(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := order()
	servetest.Deliver(t, b.rt, confirmed(o))
	b.sendDue(t)
	old := b.list(t, "")[0]
	again := servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/mail/"+old.ID.String()+"/resend", b.admin, nil)
	require.Equal(t, 201, again.Status)
	require.NoError(t, b.prune(t.Context()))
	require.Len(t, b.list(t, ""), 2, "not yet")
	b.advance(b.settings.Keep + time.Minute)
	require.NoError(t, b.prune(t.Context()))
	left := b.list(t, "")
	require.Len(t, left, 1)
	require.Equal(t, Queued, left[0].Status)
	require.Nil(t, left[0].AgainOf)
	b.sendDue(t)
	require.NoError(t, b.prune(t.Context()))
	require.Empty(t, b.list(t, ""))
	require.Equal(t, 404, servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/mail/"+old.ID.String(), b.admin, nil).Status)
}

// An administrator's resend under a key needs one connection, so that a full pool is no deadlock.
func TestResendHoldsOneConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	servetest.Deliver(t, b.rt, confirmed(order()))
	b.sendDue(t)
	id := b.list(t, "")[0].ID
	var held []*pgxpool.Conn
	for range int(b.db.Config().MaxConns) - 1 {
		c, err := b.db.Acquire(t.Context())
		require.NoError(t, err)
		held = append(held, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := b.postResend(ctx, &struct {
		ID  uuid.UUID `path:"id"`
		Key string    `header:"Idempotency-Key" doc:"Optional: the same key gives the same answer for a day, and no further mail"`
	}{id, "k"})
	for _, c := range held {
		c.Release()
	}
	require.NoError(t, err)
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shopper := servetest.Token(t, uuid.New(), "ada@example.com", "USER")
	for _, r := range []struct{ method, path string }{
		{http.MethodGet, ""}, {http.MethodGet, "/" + uuid.NewString()}, {http.MethodPost, "/" + uuid.NewString() + "/resend"},
		{http.MethodGet, "/templates"}, {http.MethodGet, "/templates/welcome/preview"},
	} {
		require.Equal(t, 401, servetest.Do(t, b.rt, r.method, "/api/v1/admin/mail"+r.path, "", nil).Status)
		require.Equal(t, 403, servetest.Do(t, b.rt, r.method, "/api/v1/admin/mail"+r.path, shopper, nil).Status)
	}

	var orders []events.Order
	for i := range 5 {
		o := order()
		o.Email = fmt.Sprintf("shopper%d@example.com", i)
		orders = append(orders, o)
		servetest.Deliver(t, b.rt, confirmed(o))
	}
	b.sendDue(t)
	require.Len(t, b.list(t, "?recipient=shopper3@example.com"), 1)
	require.Len(t, b.list(t, "?recipient=SHOPPER3"), 1)
	require.Len(t, b.list(t, "?recipient=shopper&status=sent"), 5)
	for _, not := range []string{"hopper3", "%25", "shopper_", `shopper3%5C`} {
		require.Empty(t, b.list(t, "?recipient="+not), not)
	}
	require.Len(t, b.list(t, "?kind=order-confirmed&status=sent"), 5)
	require.Empty(t, b.list(t, "?kind=welcome"))

	get := func(path string) servetest.Response {
		return servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/mail"+path, b.admin, nil)
	}
	var first, second struct {
		Items      []row
		NextCursor *string `json:"next_cursor"`
	}
	get("?limit=3").JSON(t, &first)
	require.Len(t, first.Items, 3)
	require.Equal(t, "shopper4@example.com", first.Items[0].Recipient, "newest first")
	get("?limit=3&cursor="+*first.NextCursor).JSON(t, &second)
	require.Len(t, second.Items, 2)
	require.Nil(t, second.NextCursor)
	servetest.Sorts(t, b.rt, b.admin, "/api/v1/admin/mail", map[string]string{
		"newest": "-created_at", "oldest": "created_at", "recipient": "recipient", "-recipient": "-recipient",
	})

	one := b.list(t, "?order_id="+orders[0].OrderID.String())[0]
	var detail row
	get("/"+one.ID.String()).JSON(t, &detail)
	require.Contains(t, *detail.HTML, orders[0].Number)
	require.Contains(t, *detail.Text, orders[0].Number)
	require.Equal(t, orders[0].OrderID, *detail.OrderID)

	var figures struct{ Statuses map[string]int }
	servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/mail/figures", b.admin, nil).JSON(t, &figures)
	listed := map[string]int{}
	for _, m := range b.list(t, "?limit=100") {
		listed[string(m.Status)]++
	}
	require.Equal(t, listed, figures.Statuses, "as the list has them")
	again := servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/mail/"+one.ID.String()+"/resend", b.admin, nil, "Idempotency-Key", "k")
	twice := servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/mail/"+one.ID.String()+"/resend", b.admin, nil, "Idempotency-Key", "k")
	require.Equal(t, 201, twice.Status)
	require.JSONEq(t, string(again.Body), string(twice.Body))
	require.Equal(t, 201, again.Status, "%s", again.Body)
	var copied row
	again.JSON(t, &copied)
	require.Equal(t, one.ID, *copied.AgainOf)
	require.Equal(t, 409, servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/mail/"+copied.ID.String()+"/resend", b.admin, nil).Status, "it still waits")
	servetest.Deliver(t, b.rt, cancelled(orders[0]))
	require.Len(t, b.sendDue(t), 2, "what an administrator sends again is sent, whatever happened since")

	for path, status := range map[string]int{
		"?status=lost": 422, "?kind=spam": 422, "?order_id=x": 422, "?limit=0": 422, "?sort=x": 422, "?cursor=forged": 422, "?recipient=" + strings.Repeat("a", 300): 422,
		"/nonsense": 422, "/" + uuid.NewString(): 404, "/templates/spam/preview": 404, "/templates/..%2fwelcome/preview": 404,
	} {
		answer := get(path)
		require.Equal(t, status, answer.Status, "%s: %s", path, answer.Body)
		require.Equal(t, "application/problem+json", answer.Header.Get("Content-Type"))
	}
	require.Equal(t, 404, servetest.Do(t, b.rt, http.MethodPost, "/api/v1/admin/mail/"+uuid.NewString()+"/resend", b.admin, nil).Status)
}

func TestPreviews(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var templates struct{ Items []templateItem }
	servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/mail/templates", b.admin, nil).JSON(t, &templates)
	require.Len(t, templates.Items, len(Kinds))
	for _, item := range templates.Items {
		answer := servetest.Do(t, b.rt, http.MethodGet, "/api/v1/admin/mail/templates/"+string(item.Kind)+"/preview", b.admin, nil)
		require.Equal(t, 200, answer.Status)
		require.Equal(t, "text/html; charset=utf-8", answer.Header.Get("Content-Type"))
		require.Contains(t, answer.Header.Get("Content-Security-Policy"), "default-src 'none'")
		require.Contains(t, textOf(t, string(answer.Body)), item.Subject)
	}
}

// TestTrace: a mail is handed over in the trace of the event that it is about, also when that is tried again later.
func TestTrace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var seen []string
	b.post = func(ctx context.Context, _ *Mail, _ parts) error {
		seen = append(seen, trace.Of(ctx))
		return fmt.Errorf("421 try again later")
	}
	alone := servetest.DeliverTraced(t, b.rt, code("493817", time.Hour))
	b.sendDue(t)
	b.advance(time.Minute)
	b.sendDue(t)
	require.Equal(t, []string{alone, alone}, seen)

	seen = nil
	together := servetest.DeliverTraced(t, b.rt, confirmed(order()))
	servetest.Deliver(t, b.rt, confirmed(order())) // as one of before
	b.sendDue(t)
	require.Equal(t, []string{together, ""}, seen)
}
