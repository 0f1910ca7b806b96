package main

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/money"
)

// Provider takes money for us. It is another party: it answers late, twice or never, and what it did it did,
// whether or not we heard of it. So every call carries a key, and a call with the same key does nothing a second
// time. It is called outside any transaction.
type Provider interface {
	// Charge takes the money. ErrNotExecuted means that it certainly was not taken; after any other error it
	// is not known, and Find tells.
	Charge(ctx context.Context, r ChargeRequest) (Result, error)
	// Find tells what became of the charge with that key: Missing when the provider knows none.
	Find(ctx context.Context, key uuid.UUID) (Result, error)
	// Refund gives some of a charge back. After an error call it again with the same key.
	Refund(ctx context.Context, r RefundRequest) (Result, error)
	// Refunds lists what was given back of a charge, also by people in the provider's own pages. key and ref are
	// the charge's.
	Refunds(ctx context.Context, key uuid.UUID, ref string) ([]Given, error)
	// Verify reads a webhook: ErrWebhookRefused unless signature, the header Stripe-Signature, is the provider's and
	// at most five minutes old.
	Verify(signature string, body []byte, now time.Time) (Webhook, error)
}

// ErrNotExecuted is wrapped by a provider that answered and did not do what it was asked.
var ErrNotExecuted = errors.New("the provider did not carry it out")

// ChargeRequest asks for an order's money.
type ChargeRequest struct {
	Key    uuid.UUID // the order's id
	Amount money.Money
	Method string
	Number string // the order's, for the customer's statement
}

// RefundRequest asks to give money back.
type RefundRequest struct {
	Key       string    // the refund's
	Charge    uuid.UUID // the charge's key
	ChargeRef string    // the provider's own id of the charge
	Amount    money.Money
}

// Outcome is what a provider says about a charge or a refund.
type Outcome string

// The outcomes. Missing is only said by Find.
const (
	Succeeded  Outcome = "succeeded"
	Declined   Outcome = "declined"
	Processing Outcome = "processing"
	Missing    Outcome = "missing"
)

// Result is a provider's answer.
type Result struct {
	Outcome Outcome
	Ref     string      // the provider's own id
	Reason  string      // of a decline: card-declined, insufficient-funds, authentication-required, method-unknown
	Amount  money.Money // what was taken or given back, when it succeeded; the provider's word, not what was asked for
}

// Given is a refund as the provider has it.
type Given struct {
	Key string // ours, or the provider's own id when it was not made by us
	Result
}

// Subject is what a webhook is about.
type Subject string

// The subjects that matter here. Others are noted and have no effect.
const (
	AboutCharge Subject = "charge"
	AboutRefund Subject = "refund"
	AboutOther  Subject = "other"
)

// Webhook is what a provider told on its own.
type Webhook struct {
	ID      string // unique with this provider
	Type    string // in the provider's words
	Subject Subject
	Key     string // of the charge; of the refund as in Given
	Charge  string // of a refund: the provider's own id of the charge
	At      time.Time
	Result  Result
}
