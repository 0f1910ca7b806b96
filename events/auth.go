package events

import (
	"time"

	"github.com/google/uuid"
)

// AccountRegistered tells that somebody has opened an account, which has still to be activated. AccountID
// is the sub of every token of that account.
type AccountRegistered struct {
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"` // in lower case
	FirstName string    `json:"first_name"`
	LastName  string    `json:"last_name"`
	At        time.Time `json:"at"`
}

// AccountActivated tells that an account may be used. First is true once in its life: after the
// verification of its e-mail address; later ones end a suspension.
type AccountActivated struct {
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"`
	FirstName string    `json:"first_name"`
	First     bool      `json:"first"`
	At        time.Time `json:"at"`
}

// AccountSuspended tells that an account must not be used any more, until AccountActivated is told again. Topics
// overtake each other: the later At is what counts.
type AccountSuspended struct {
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"`
	At        time.Time `json:"at"`
}

// AccountRemoved tells that an account is gone for good: its owner has deleted it, or nobody has proved its address. Nothing
// of it is to be kept, but that orders keeps what an order on its way needs (OrderForgotten). Its id never comes back,
// whatever is told of it later.
type AccountRemoved struct {
	AccountID uuid.UUID `json:"account_id"`
	At        time.Time `json:"at"`
}

// AccountImported tells what another shop's file had of somebody whose account is registered and has no password yet. Invite
// asks for a mail.
type AccountImported struct {
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"`
	FirstName string    `json:"first_name"`
	LastName  string    `json:"last_name"`
	Phone     string    `json:"phone,omitempty"` // E.164
	Address   *Address  `json:"address,omitempty"`
	Invite    bool      `json:"invite"`
	At        time.Time `json:"at"`
}

// Topic names the event's topic.
func (AccountImported) Topic() string { return "account.imported.v1" }

// AccountEmailChangeAsked tells that an account is to get another e-mail address, once its code has come back. Email is the
// one that it has until then, whose owner is told.
type AccountEmailChangeAsked struct {
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"`
	FirstName string    `json:"first_name"`
	At        time.Time `json:"at"`
}

// AccountEmailChanged tells that an account has another e-mail address, whose owner has proved it.
type AccountEmailChanged struct {
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"` // the new one, in lower case
	At        time.Time `json:"at"`
}

// What a code is good for.
const (
	PurposeVerifyEmail   = "verify-email"
	PurposePasswordReset = "password-reset"
	PurposeChangeEmail   = "change-email"
)

// AccountCodeIssued carries a code to the owner of an e-mail address. It replaces the code that the account
// had for the same purpose. It is never sent again: who lost a code asks for a new one.
type AccountCodeIssued struct {
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"`
	FirstName string    `json:"first_name"`
	Purpose   string    `json:"purpose"` // verify-email, password-reset or change-email: then Email is the new address
	Code      string    `json:"code"`    // six digits
	ExpiresAt time.Time `json:"expires_at"`
}

// Topic names the event's topic.
func (AccountRegistered) Topic() string { return "account.registered.v1" }

// Topic names the event's topic.
func (AccountActivated) Topic() string { return "account.activated.v1" }

// Topic names the event's topic.
func (AccountSuspended) Topic() string { return "account.suspended.v1" }

// Topic names the event's topic.
func (AccountRemoved) Topic() string { return "account.removed.v1" }

// Topic names the event's topic.
func (AccountEmailChangeAsked) Topic() string { return "account.email_change_asked.v1" }

// Topic names the event's topic.
func (AccountEmailChanged) Topic() string { return "account.email_changed.v1" }

// Topic names the event's topic.
func (AccountCodeIssued) Topic() string { return "account.code_issued.v1" }

// Secret makes kit/outbox wipe the data once it is sent: the code is kept nowhere but in its hash.
func (AccountCodeIssued) Secret() bool { return true }
