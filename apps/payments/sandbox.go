package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/crew"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/serve"
)

// The payment methods that the sandbox knows. The first three are Stripe's test names.
const (
	methodVisa         = "pm_card_visa"
	methodDeclined     = "pm_card_chargeDeclined"
	methodInsufficient = "pm_card_chargeDeclinedInsufficientFunds"
	methodSlow         = "pm_sandbox_slow"    // answers after 3 s
	methodTimeout      = "pm_sandbox_timeout" // takes the money and never answers, nor sends a webhook; tells when asked
	methodError        = "pm_sandbox_error"   // refuses to work twice, then takes the money
)

const (
	slowness        = 3 * time.Second
	webhookMaxAge   = 5 * time.Minute
	signatureHeader = "Stripe-Signature"
)

// sandbox is a payment provider for development and tests: a party of its own that has its own books, commits
// them before it answers, and tells what happened by signed webhooks over HTTP, as Stripe does. Whatever becomes
// of payments in between, the books stand. docs/decisions/sandbox-provider.md says why it lives in this process.
type sandbox struct {
	db     *pgxpool.Pool
	log    *slog.Logger
	http   *http.Client
	secret serve.Keys // of the webhooks' signatures; payments has it too
	url    string     // where webhooks go
	now    func() time.Time
	books  *gather.Gatherer[ChargeRequest, *sandboxCharge]
	taken  *gather.Gatherer[string, struct{}]
}

func newSandbox(db *pgxpool.Pool, log *slog.Logger, now func() time.Time, set settings) *sandbox {
	url := set.Webhooks
	if url == "" {
		url = string(set.Public) + "/api/v1/payments/webhooks/sandbox"
	}
	s := &sandbox{db: db, log: log, http: &http.Client{}, secret: set.Secret, url: url, now: now}
	s.books = gather.New(gather.Settings[ChargeRequest]{Conflict: func(r ChargeRequest) string { return r.Key.String() }}, s.bookNew)
	s.taken = gather.New(gather.Settings[string]{Limit: noteLimit / 2}, gather.Whole(s.noteTaken))
	return s
}

// sandboxCharge is a charge in the sandbox's books.
type sandboxCharge struct {
	Key           string
	Ref           string
	Amount        int64 // asked for
	Currency      string
	Taken         int64 // what is taken when it succeeds
	TakenCurrency string
	Method        string
	Status        Outcome // Succeeded, Declined, or "none": refused to work, nothing was taken
	Reason        string
	Calls         int // how often it was asked for
	SettlesAt     time.Time
	CreatedAt     time.Time
}

func (c *sandboxCharge) taken() money.Money { return money.New(c.Taken, c.TakenCurrency) }

// decide is what the sandbox does when a charge is asked for the calls-th time and has not been decided.
func (c *sandboxCharge) decide(now time.Time) {
	c.Status, c.SettlesAt = Succeeded, now
	switch c.Method {
	case methodVisa, methodTimeout:
	case methodSlow:
		c.SettlesAt = now.Add(slowness)
	case methodError:
		if c.Calls <= 2 {
			c.Status = "none"
		}
	case methodDeclined:
		c.Status, c.Reason = Declined, "card-declined"
	case methodInsufficient:
		c.Status, c.Reason = Declined, "insufficient-funds"
	default:
		c.Status, c.Reason = Declined, "method-unknown"
	}
}

// webhook is what the sandbox tells of the charge on its own, once it has decided; nothing of one that never answers.
func (c *sandboxCharge) webhook() (kind string, o sandboxObject) {
	if c.Status == "none" || c.Method == methodTimeout {
		return "", o
	}
	kind = "payment_intent.succeeded"
	if c.Status == Declined {
		kind = "payment_intent.payment_failed"
	}
	return kind, sandboxObject{
		ID: c.Ref, Object: "payment_intent", Status: c.Status, Reason: c.Reason, Amount: c.Taken, Currency: c.TakenCurrency,
		Metadata: map[string]string{"order_id": c.Key},
	}
}

// result is what the sandbox says of the charge at a time.
func (c *sandboxCharge) result(now time.Time) Result {
	switch {
	case c.Status == "none":
		return Result{Outcome: Missing}
	case now.Before(c.SettlesAt):
		return Result{Outcome: Processing, Ref: c.Ref}
	case c.Status == Succeeded:
		return Result{Outcome: Succeeded, Ref: c.Ref, Amount: c.taken()}
	}
	return Result{Outcome: c.Status, Ref: c.Ref, Reason: c.Reason}
}

// Charge implements Provider.
func (s *sandbox) Charge(ctx context.Context, r ChargeRequest) (Result, error) {
	c, err := s.books.Do(ctx, r)
	if err == nil && c == nil { // the key is known
		c, err = s.book(ctx, r, s.now())
	}
	if err != nil {
		return Result{}, fmt.Errorf("sandbox: %w", err)
	}
	if c.Status == "none" {
		return Result{}, fmt.Errorf("sandbox: out of order: %w", ErrNotExecuted)
	}
	if c.Method == methodTimeout {
		<-ctx.Done()
		return Result{}, fmt.Errorf("sandbox: %w", ctx.Err())
	}
	wait := time.NewTimer(time.Until(c.SettlesAt))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return Result{}, fmt.Errorf("sandbox: %w", ctx.Err())
	case <-wait.C:
		return c.result(c.SettlesAt), nil
	}
}

// Find implements Provider.
func (s *sandbox) Find(ctx context.Context, key uuid.UUID) (Result, error) {
	c, err := s.find(ctx, key)
	if err != nil || c == nil {
		return Result{Outcome: Missing}, err
	}
	return c.result(s.now()), nil
}

// Refund implements Provider.
func (s *sandbox) Refund(ctx context.Context, r RefundRequest) (Result, error) {
	c, err := s.find(ctx, r.Charge)
	if err != nil {
		return Result{}, err
	}
	if c == nil || c.result(s.now()).Outcome != Succeeded {
		return Result{Outcome: Declined, Reason: "charge-not-captured"}, nil
	}
	given, err := s.bookRefund(ctx, r, s.now())
	if errors.Is(err, errOverdrawn) {
		return Result{Outcome: Declined, Reason: "more-than-captured"}, nil
	}
	if err != nil {
		return Result{}, fmt.Errorf("sandbox: %w", err)
	}
	return given.Result, nil
}

// refundByHand is what somebody does in the sandbox's own pages, of which payments knows nothing: give back some of
// a charge. It returns the refund's id.
func (s *sandbox) refundByHand(ctx context.Context, charge uuid.UUID, amount money.Money) (string, error) {
	given, err := s.bookRefund(ctx, RefundRequest{Charge: charge, Amount: amount}, s.now())
	return given.Ref, err
}

var errOverdrawn = errors.New("more than what is left of the charge")

// sandboxEvent is the body of a webhook: the members of a Stripe event that are read.
type sandboxEvent struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Created int64  `json:"created"`
	Data    struct {
		Object sandboxObject `json:"object"`
	} `json:"data"`
}

type sandboxObject struct {
	ID       string            `json:"id"`
	Object   string            `json:"object"` // payment_intent, refund
	Status   Outcome           `json:"status"`
	Reason   string            `json:"reason,omitempty"`
	Amount   int64             `json:"amount"` // what was taken or given back
	Currency string            `json:"currency"`
	Charge   string            `json:"payment_intent,omitempty"` // of a refund
	Metadata map[string]string `json:"metadata"`
}

func newSandboxEvent(kind string, o sandboxObject, now time.Time) (id string, payload []byte, err error) {
	e := sandboxEvent{ID: newRef("evt"), Type: kind, Created: now.Unix()}
	e.Data.Object = o
	payload, err = json.Marshal(e)
	return e.ID, payload, err
}

func newRef(prefix string) string {
	return prefix + "_" + strings.ReplaceAll(uuid.Must(uuid.NewV7()).String(), "-", "")
}

// Verify implements Provider.
func (s *sandbox) Verify(signature string, body []byte, now time.Time) (Webhook, error) {
	var err error
	for _, secret := range s.secret {
		if err = verifySignature([]byte(secret), signature, body, now); err == nil {
			break
		}
	}
	if err != nil {
		return Webhook{}, ErrWebhookRefused.Detail("%s", err)
	}
	var e sandboxEvent
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" || len(e.ID) > 255 || len(e.Type) > 255 {
		return Webhook{}, ErrWebhookRefused.Detail("the body is not an event")
	}
	o := e.Data.Object
	w := Webhook{
		ID: e.ID, Type: e.Type, Subject: AboutOther, At: time.Unix(e.Created, 0),
		Result: Result{Outcome: o.Status, Ref: o.ID, Reason: o.Reason, Amount: money.New(o.Amount, o.Currency)},
	}
	switch e.Type {
	case "payment_intent.succeeded", "payment_intent.payment_failed":
		w.Subject, w.Key = AboutCharge, o.Metadata["order_id"]
	case "refund.created", "refund.updated":
		w.Subject, w.Key, w.Charge = AboutRefund, o.Metadata["refund_id"], o.Charge
		if w.Key == "" { // made in the sandbox's own pages
			w.Key = o.ID
		}
	}
	return w, nil
}

// sign is the signature header of a webhook sent at t: Stripe's scheme, version 1
// (docs.stripe.com/webhooks#verify-manually).
func sign(secret []byte, body []byte, t time.Time) string {
	stamp := strconv.FormatInt(t.Unix(), 10)
	return "t=" + stamp + ",v1=" + hex.EncodeToString(mac(secret, stamp, body))
}

func mac(secret []byte, stamp string, body []byte) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(stamp + "."))
	m.Write(body)
	return m.Sum(nil)
}

// verifySignature demands that the header holds a signature of body, made within five minutes of now. Several
// signatures may be given while a secret is being changed.
func verifySignature(secret []byte, header string, body []byte, now time.Time) error {
	var stamp string
	var signatures []string
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			stamp = value
		case "v1":
			signatures = append(signatures, value)
		}
	}
	unix, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || len(signatures) == 0 {
		return errors.New("the signature is missing")
	}
	want := mac(secret, stamp, body)
	valid := false
	for _, s := range signatures {
		got, err := hex.DecodeString(s)
		valid = valid || err == nil && hmac.Equal(got, want)
	}
	if !valid {
		return errors.New("the signature does not fit")
	}
	if age := now.Sub(time.Unix(unix, 0)); age > webhookMaxAge || age < -webhookMaxAge {
		return errors.New("the webhook is too old")
	}
	return nil
}

// sandboxWebhook is a webhook that the sandbox owes.
type sandboxWebhook struct {
	ID      string
	Payload []byte
	Tries   int
}

// webhooks sends what is owed until ctx ends.
func (s *sandbox) webhooks(ctx context.Context) error {
	return crew.New(crew.Settings[sandboxWebhook]{Log: s.log, Most: parallel, Claim: s.claimWebhooks, Do: s.send}).Run(ctx)
}

// send posts one webhook; an answer other than 2xx is followed by another try, for three days.
func (s *sandbox) send(ctx context.Context, w sandboxWebhook) {
	err := s.post(ctx, w.Payload)
	if err != nil {
		s.log.WarnContext(ctx, "sandbox: webhook not taken", "webhook", w.ID, "tries", w.Tries, "error", err)
	}
	note, cancel := context.WithTimeout(ctx, noteLimit)
	defer cancel()
	if err == nil {
		_, err = s.taken.Do(note, w.ID)
	} else {
		err = s.noteRefused(note, w)
	}
	if err != nil {
		s.log.ErrorContext(ctx, "sandbox: webhook not noted, it is sent again", "webhook", w.ID, "error", err)
	}
}

func (s *sandbox) post(ctx context.Context, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(payload))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(signatureHeader, sign(s.secret.Signs(), payload, s.now()))
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}
