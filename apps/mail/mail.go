package main

import (
	"encoding/json"
	"fmt"
	netmail "net/mail"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
)

// Kind says which mail it is; each has a template of that name.
type Kind string

// The kinds.
const (
	VerifyEmail      Kind = "verify-email"
	PasswordReset    Kind = "password-reset"
	Invitation       Kind = "invitation"          // to who came with another shop's file
	EmailChange      Kind = "email-change"        // to the address that an account is to have
	EmailNotice      Kind = "email-change-notice" // to the one that it has
	Welcome          Kind = "welcome"
	OrderConfirmed   Kind = "order-confirmed"
	OrderCancelled   Kind = "order-cancelled"
	OrderShipped     Kind = "order-shipped"
	OrderReshipped   Kind = "order-reshipped"   // what was said of the parcel was wrong
	OrderReaddressed Kind = "order-readdressed" // it goes to another address
	OrderDelivered   Kind = "order-delivered"
	OrderRefunded    Kind = "order-refunded"
	StockConfirm     Kind = "stock-confirm" // whether an address wants to hear that something is back
	BackInStock      Kind = "back-in-stock"
	DropCalled       Kind = "drop-called" // to who asked to be told, as the next one
	DropMissed       Kind = "drop-missed" // and who got nothing
)

// Kinds lists them all, in the order of a customer's life.
var Kinds = []Kind{
	VerifyEmail, Welcome, Invitation, PasswordReset, EmailChange, EmailNotice,
	OrderConfirmed, OrderReaddressed, OrderShipped, OrderReshipped, OrderDelivered, OrderCancelled, OrderRefunded,
	StockConfirm, BackInStock, DropCalled, DropMissed,
}

// Secret reports whether mails of this kind carry a code: what they show is forgotten once they have ended, and they
// are never sent a second time by hand.
func (k Kind) Secret() bool { return k == VerifyEmail || k == PasswordReset || k == EmailChange }

// Status is what became of a mail.
type Status string

// A mail is queued until it is sent, given up (failed), or not wanted any more (skipped).
const (
	Queued  Status = "queued"
	Sent    Status = "sent"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

const (
	// lease is how long one try may take at most; longer than sendTimeout and the statements around it.
	lease = 2 * time.Minute
	// giveUpAfter is how long a server that does not take a mail is asked again.
	giveUpAfter = 3 * 24 * time.Hour
	// maxCutOff is how many tries may end unseen: each may have brought the mail, and nobody gets it a third time.
	maxCutOff = 2
	// cutOffWait is the wait after a try that ended unseen, except for a code: a server that was busy may be well then.
	cutOffWait = 30 * time.Second
	// maxBackoff is the longest wait between tries while the server is away, maxBackoffRefused for a mail that it
	// does not want yet.
	maxBackoff        = time.Minute
	maxBackoffRefused = 15 * time.Minute
)

// Mail is one mail to one recipient: a row of the log.
type Mail struct {
	ID          uuid.UUID
	Kind        Kind
	About       *string // what this mail is the only one about; nil: sent again by hand
	Topic       string
	EventID     string
	OrderID     *uuid.UUID
	AccountID   *uuid.UUID
	Sender      string
	Recipient   string
	Subject     string
	Data        json.RawMessage // what the template shows
	Status      Status
	Error       string
	Tries       int
	CutOff      int
	NextTryAt   time.Time
	LeasedUntil *time.Time
	ExpiresAt   *time.Time
	AgainOf     *uuid.UUID
	Traceparent string // of what it is about (kit/trace); "" of mails of before it was kept
	CreatedAt   time.Time
	SentAt      *time.Time
}

// Source is why a mail is written: the event and its trace, or, without an id, the answer of orders when it was asked.
type Source struct{ Topic, EventID, Trace string }

// newMail is a mail that is due at once; one to something that is not an address has failed already.
func newMail(kind Kind, about, sender, recipient, subject string, data any, from Source, now time.Time) (*Mail, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("mail %s: %w", kind, err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("mail %s: %w", kind, err)
	}
	m := &Mail{
		ID: id, Kind: kind, About: &about, Topic: from.Topic, EventID: from.EventID, Traceparent: from.Trace, Sender: sender,
		Recipient: recipient, Subject: HeaderText(subject), Data: raw, Status: Queued, NextTryAt: now, CreatedAt: now,
	}
	if !IsAddress(recipient) {
		m.fail("the recipient is not one mail address")
	}
	return m, nil
}

// Code is what the mail with a code shows.
type Code struct {
	FirstName string    `json:"first_name"`
	Code      string    `json:"code"`
	ExpiresAt time.Time `json:"expires_at"`
	IssuedAt  time.Time `json:"issued_at"`
}

// Minutes is how long the code was good for when it was issued.
func (c Code) Minutes() int {
	return max(1, int(c.ExpiresAt.Sub(c.IssuedAt).Round(time.Minute)/time.Minute))
}

// CodeMail is the mail for a code that was issued. issued is when.
func CodeMail(e events.AccountCodeIssued, sender string, from Source, issued, now time.Time) (*Mail, error) {
	kind, subject := VerifyEmail, "Your confirmation code for Stampede"
	switch e.Purpose {
	case events.PurposeVerifyEmail:
	case events.PurposePasswordReset:
		kind, subject = PasswordReset, "Your code for a new Stampede password"
	case events.PurposeChangeEmail:
		kind, subject = EmailChange, "Your code for another e-mail address at Stampede"
	default:
		return nil, fmt.Errorf("a code for %q", e.Purpose)
	}
	m, err := newMail(kind, "code:"+from.EventID, sender, e.Email, subject,
		Code{FirstName: e.FirstName, Code: e.Code, ExpiresAt: e.ExpiresAt, IssuedAt: issued}, from, now)
	if err != nil {
		return nil, err
	}
	m.AccountID, m.ExpiresAt = &e.AccountID, &e.ExpiresAt
	return m, nil
}

// EmailNoticeMail is the mail for an account that is to get another address, to the one that it has.
func EmailNoticeMail(e events.AccountEmailChangeAsked, sender string, from Source, now time.Time) (*Mail, error) {
	const subject = "Your e-mail address at Stampede is about to change"
	m, err := newMail(EmailNotice, "email-change:"+from.EventID, sender, e.Email, subject, e, from, now)
	if err != nil {
		return nil, err
	}
	m.AccountID = &e.AccountID
	return m, nil
}

// InvitationMail is the mail for an account that came with another shop's file; nil when none is asked for.
func InvitationMail(e events.AccountImported, sender string, from Source, now time.Time) (*Mail, error) {
	if !e.Invite {
		return nil, nil
	}
	e.Phone, e.Address = "", nil // nothing that it shows
	m, err := newMail(Invitation, "invitation:"+e.AccountID.String(), sender, e.Email, "Your account at Stampede", e, from, now)
	if err != nil {
		return nil, err
	}
	m.AccountID = &e.AccountID
	return m, nil
}

// WelcomeMail is the mail for an account's first activation; nil for a later one.
func WelcomeMail(e events.AccountActivated, sender string, from Source, now time.Time) (*Mail, error) {
	if !e.First {
		return nil, nil
	}
	m, err := newMail(Welcome, "welcome:"+e.AccountID.String(), sender, e.Email, "Welcome to Stampede", e, from, now)
	if err != nil {
		return nil, err
	}
	m.AccountID = &e.AccountID
	return m, nil
}

// OrderMail is the mail for what became of an order; nil when customers are not told: an order that is pending, or one
// that ended because the card was declined. That shopper was told on the page and has the goods in the cart. An order that
// was forgotten has no address.
func OrderMail(o events.Order, sender string, from Source, now time.Time) (*Mail, error) {
	if o.Email == "" {
		return nil, nil
	}
	var kind Kind
	var subject, again string
	switch o.Status {
	case "confirmed":
		kind, subject = OrderConfirmed, "Your order "+o.Number+" is confirmed"
	case "cancelled":
		if o.Reason == "payment-declined" {
			return nil, nil
		}
		kind, subject = OrderCancelled, "Your order "+o.Number+" was cancelled"
	case "shipped":
		kind, subject = OrderShipped, "Your order "+o.Number+" is on its way"
		if o.Shipment != nil && o.Shipment.Corrected {
			kind, subject, again = OrderReshipped, "Another tracking number for your order "+o.Number, fmt.Sprintf(":%d", o.Version)
		}
	case "readdressed":
		kind, subject, again = OrderReaddressed, "Your order "+o.Number+" goes to another address", fmt.Sprintf(":%d", o.Version)
	case "delivered":
		kind, subject = OrderDelivered, "Your order "+o.Number+" has arrived"
	default:
		return nil, nil
	}
	m, err := newMail(kind, "order:"+o.OrderID.String()+":"+string(kind)+again, sender, o.Email, subject, o, from, now)
	if err != nil {
		return nil, err
	}
	m.OrderID, m.AccountID = &o.OrderID, &o.AccountID
	return m, nil
}

// RefundMail is the mail for one refund; nil when the order was forgotten.
func RefundMail(e events.PaymentRefunded, sender string, from Source, now time.Time) (*Mail, error) {
	if e.Email == "" {
		return nil, nil
	}
	subject := "We have refunded " + money.Money(e.Amount).String() + " for your order " + e.Number
	m, err := newMail(OrderRefunded, "refund:"+e.RefundID.String(), sender, e.Email, subject, e, from, now)
	if err != nil {
		return nil, err
	}
	m.OrderID = &e.OrderID
	return m, nil
}

// ConfirmMail asks an address that somebody has typed whether it wants to hear that something is back.
func ConfirmMail(e events.StockRequested, sender string, from Source, now time.Time) (*Mail, error) {
	return newMail(StockConfirm, "stock-confirm:"+from.EventID, sender, e.Email,
		"Shall we tell you when "+e.Name+" is back?", e.StockRequest, from, now)
}

// ReturnMail is the mail for something that is back, once a request.
func ReturnMail(e events.StockReturned, sender string, from Source, now time.Time) (*Mail, error) {
	return newMail(BackInStock, "back:"+e.RequestID.String(), sender, e.Email, e.Name+" is back", e.StockRequest, from, now)
}

// CalledMail is the mail for somebody whose turn it is in a drop, once for each SKU.
func CalledMail(e events.DropCalled, sender string, from Source, now time.Time) (*Mail, error) {
	about := "drop:" + e.DropID.String() + ":" + e.AccountID.String() + ":" + e.SKU
	m, err := newMail(DropCalled, about, sender, e.Email, "It is your turn: "+e.Title, e, from, now)
	if err != nil {
		return nil, err
	}
	m.AccountID = &e.AccountID
	return m, nil
}

// MissedMail is the mail for somebody who got nothing in a drop that is over.
func MissedMail(e events.DropMissed, sender string, from Source, now time.Time) (*Mail, error) {
	m, err := newMail(DropMissed, "drop:"+e.DropID.String()+":"+e.AccountID.String(), sender, e.Email, e.Title+" is over", e, from, now)
	if err != nil {
		return nil, err
	}
	m.AccountID = &e.AccountID
	return m, nil
}

// Overtaken tells why a mail of an order is not wanted, given the kinds that its log holds already; "" when it is.
// Events overtake each other, and a customer who has read that an order was cancelled must not read that it is
// confirmed.
func Overtaken(kind Kind, logged []Kind) string {
	switch {
	case kind == OrderConfirmed && slices.Contains(logged, OrderCancelled):
		return "the order has been cancelled"
	case kind == OrderReaddressed && slices.Contains(logged, OrderCancelled):
		return "the order has been cancelled"
	case (kind == OrderShipped || kind == OrderReshipped) && slices.Contains(logged, OrderDelivered):
		return "the order has been delivered"
	case kind == OrderShipped && slices.Contains(logged, OrderReshipped):
		return "the tracking number has been corrected"
	}
	return ""
}

// Job is a mail that is leased to a sender, and what the log tells of it.
type Job struct {
	Mail
	Logged []Kind // kinds of mails about its order that are there
	Newer  bool   // a code of its kind is there that ends later

	probe bool // it is the one by which a sender looks whether the mail server is back
}

// Unwanted tells why a mail that is about to be sent is not wanted any more; "" when it is. What an administrator sends
// again is wanted.
func (j *Job) Unwanted() string {
	switch {
	case j.AgainOf != nil:
	case j.Kind.Secret() && j.Newer:
		return "a newer code was issued"
	case j.OrderID != nil:
		return Overtaken(j.Kind, j.Logged)
	}
	return ""
}

// Lease notes that a sender has the mail.
func (m *Mail) Lease(now time.Time) {
	until := now.Add(lease)
	m.LeasedUntil = &until
	m.Tries++
}

// Skip ends a mail that is not wanted any more.
func (m *Mail) Skip(why string) { m.end(Skipped, why) }

func (m *Mail) fail(why string) { m.end(Failed, why) }

func (m *Mail) end(s Status, why string) {
	m.Status, m.Error, m.LeasedUntil = s, why, nil
	if m.Kind.Secret() {
		m.Data = json.RawMessage("{}")
	}
}

// Ready decides about a mail that was just claimed, unless it has ended: whether to send it now. A code that nobody can use any more is
// skipped, and a mail whose tries ended unseen again and again has failed.
func (m *Mail) Ready(now time.Time) bool {
	switch {
	case m.Status != Queued:
	case m.ExpiresAt != nil && !now.Before(*m.ExpiresAt):
		m.Skip("the code expired before it could be sent")
	case m.CutOff >= maxCutOff:
		m.fail("two tries ended without an answer: it may have arrived")
	default:
		return true
	}
	return false
}

// Delivered notes that the mail server took the mail.
func (m *Mail) Delivered(now time.Time) {
	why := ""
	if m.CutOff > 0 {
		why = "sent again: an earlier try was cut off and may have arrived"
	}
	m.SentAt = &now
	m.end(Sent, why)
}

// Outcome is what an error of the mail server's, or of the way there, means for a mail.
type Outcome int

// NotTaken: refused for now, or failed before the mail was handed over. ForGood: the server will never take it. Away: no
// server is there, for nobody's mail. Unseen: it was handed over and no answer came.
const (
	NotTaken Outcome = iota
	ForGood
	Away
	Unseen
)

// Errors reach us as texts: daprd passes on no more. Codes are RFC 5321's; 53z are about our password, not about a
// mail, and "connect: " is our binding before it could name one. Our binding says when it saw no answer.
var (
	away    = regexp.MustCompile(`mailer: connect: |\bdial(ing)? |: 421 |: 53[0458] `)
	forGood = regexp.MustCompile(`: 5\d\d |invalid address`)
	forNow  = regexp.MustCompile(`: 4\d\d |mailer: `)
	unseen  = regexp.MustCompile(`unanswered: |code = (DeadlineExceeded|Unavailable|Canceled) |\bEOF\b|connection reset|broken pipe|i/o timeout|deadline exceeded`)
)

// Means tells what the error of a try means.
func Means(err error) Outcome {
	switch text := err.Error(); {
	case strings.Contains(text, "unanswered: "):
		return Unseen
	case away.MatchString(text):
		return Away
	case forGood.MatchString(text):
		return ForGood
	case forNow.MatchString(text):
		return NotTaken
	case unseen.MatchString(text):
		return Unseen
	}
	return NotTaken
}

// Refused notes a try that failed. It is tried again, after a second, doubling, at most a quarter of an hour (a minute
// while the server is away), for three days; unless the server said that it will never take this mail. A try that
// ended unseen is repeated once.
func (m *Mail) Refused(err error, now time.Time) {
	means, wait := Means(err), Backoff(m.Tries, maxBackoffRefused)
	switch means {
	case Away:
		wait = Backoff(m.Tries, maxBackoff)
	case Unseen:
		m.CutOff++
		if !m.Kind.Secret() {
			wait = cutOffWait
		}
	case NotTaken, ForGood:
	}
	switch {
	case means == Unseen && m.CutOff >= maxCutOff:
		m.fail("two tries ended without an answer, it may have arrived: " + err.Error())
	case means == ForGood, now.Sub(m.CreatedAt) > giveUpAfter:
		m.fail(err.Error())
	default:
		m.Error, m.LeasedUntil, m.NextTryAt = err.Error(), nil, now.Add(wait)
	}
}

// Backoff is the wait after so many tries: 1 s, doubling, at most longest.
func Backoff(tries int, longest time.Duration) time.Duration {
	return min(time.Second<<min(max(tries-1, 0), 20), longest)
}

// MessageID tells this mail from all others, and a repeat from a second mail: its id at the sender's host.
func (m *Mail) MessageID() string {
	host := "localhost"
	if a, err := netmail.ParseAddress(m.Sender); err == nil {
		host = a.Address[strings.LastIndexByte(a.Address, '@')+1:]
	}
	return m.ID.String() + "@" + host
}

// Again is a new mail like m, for an administrator. It returns ErrNotResendable for one with a code, one that still
// waits, and one that was not wanted.
func (m *Mail) Again(now time.Time) (*Mail, error) {
	switch {
	case m.Kind.Secret():
		return nil, ErrNotResendable.Detail("A code is never sent again: its owner asks for a new one.")
	case m.Status == Queued:
		return nil, ErrNotResendable.Detail("It has not been sent yet.")
	case m.Status == Skipped:
		return nil, ErrNotResendable.Detail("It is not wanted: %s.", m.Error)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	again := &Mail{
		ID: id, Kind: m.Kind, OrderID: m.OrderID, AccountID: m.AccountID, Sender: m.Sender, Recipient: m.Recipient,
		Subject: m.Subject, Data: m.Data, Status: Queued, NextTryAt: now, AgainOf: &m.ID, CreatedAt: now,
	}
	if !IsAddress(again.Recipient) {
		return nil, ErrNotResendable.Detail("The recipient is not one mail address.")
	}
	return again, nil
}

// IsAddress reports whether s is one bare mail address: no name, no list, nothing that ends a header or that Dapr's
// SMTP binding takes for a second recipient (";").
func IsAddress(s string) bool {
	if len(s) > 254 || strings.ContainsAny(s, ";, \t\r\n<>\"") {
		return false
	}
	a, err := netmail.ParseAddress(s)
	return err == nil && a.Address == s && a.Name == ""
}

// HeaderText makes one line of text: no control characters, line or paragraph separators, or characters that change
// the direction of what follows; at most 200 characters.
func HeaderText(s string) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > 200 {
		s = string(runes[:199]) + "…"
	}
	return s
}

// Problems that clients may see.
var (
	ErrMailNotFound     = problem.New(problem.NotFound, "mail-not-found", "There is no such mail")
	ErrTemplateNotFound = problem.New(problem.NotFound, "template-not-found", "There is no such template")
	ErrNotResendable    = problem.New(problem.Conflict, "mail-not-resendable", "This mail cannot be sent again")
)
