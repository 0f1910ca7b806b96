// Command auth is the service that opens accounts, checks who may log in and keeps the history of it.
// Keycloak alone keeps passwords and signs tokens.
package main

import (
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/trustelem/zxcvbn"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/text"
)

// What a caller may be told about accounts.
var (
	ErrEmailTaken         = problem.New(problem.Conflict, "email-taken", "This e-mail address has an account")
	ErrCredentialsInvalid = problem.New(problem.Unauthenticated, "credentials-invalid", "E-mail address or password is wrong")
	ErrAccountPending     = problem.New(problem.Forbidden, "account-pending", "The e-mail address has still to be verified")
	ErrAccountSuspended   = problem.New(problem.Forbidden, "account-suspended", "The account is suspended")
	ErrAccountNotFound    = problem.New(problem.NotFound, "account-not-found", "There is no such account")
	ErrNotSuspendable     = problem.New(problem.Conflict, "account-not-suspendable", "Only an active account can be suspended")
	ErrNotSuspended       = problem.New(problem.Conflict, "account-not-suspended", "Only a suspended account can be activated again")
	ErrOwnAccount         = problem.New(problem.Conflict, "own-account", "Nobody suspends or activates their own account")
)

// Status is where an account stands.
type Status string

// The statuses of an account, in the order in which it gets them. From suspended it goes back to active; a pending one ends
// by itself, or when its address is registered anew, an active one when its owner deletes it.
const (
	Creating  Status = "creating"  // the row exists, Keycloak's user perhaps
	Pending   Status = "pending"   // the user exists without the role USER, so no service lets it in
	Active    Status = "active"    // the e-mail address is verified and the role given
	Suspended Status = "suspended" // an administrator shut it out: no role again
	Ending    Status = "ending"    // is being removed: Keycloak's user first, then the row
)

// RoleDue is what Keycloak has still to be told about the roles of a suspended account.
type RoleDue string

// What may be due. An account whose role is to be given is suspended until it has it.
const (
	NothingDue RoleDue = ""
	TakeRoles  RoleDue = "take"
	GiveRole   RoleDue = "give"
)

// lease is how long a request may work on a half-made account before the sweep takes it. It is longer than
// any request: see workTime.
const lease = time.Minute

// Account is what auth knows of a person.
type Account struct {
	ID            uuid.UUID  // of the row, not known outside
	AccountID     *uuid.UUID // Keycloak's id of the user, known outside; nil while creating
	Email         string
	FirstName     string
	LastName      string
	Status        Status
	CreatedAt     time.Time
	VerifiedAt    *time.Time
	ActivatedAt   *time.Time
	LeaseUntil    time.Time
	SessionsEndAt *time.Time // set while sessions have still to be ended at Keycloak
	KeepSession   string     // the one that stays then
	FailuresFrom  *time.Time // failed logins before this do not count
	RoleDue       RoleDue
	SuspendedAt   *time.Time // nil unless suspended
	SuspendReason string     // in the words of the administrator
	ImportedAt    *time.Time // when it came with another shop's file, without a password; nil: somebody has registered it
	EmailDue      string     // the proved address that is to take the place of Email, once Keycloak has it; else empty
}

// NewAccount is the first step of a registration; names and address are checked and normal.
func NewAccount(email, first, last string, now time.Time) (Account, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Account{}, err
	}
	return Account{
		ID: id, Email: email, FirstName: first, LastName: last,
		Status: Creating, CreatedAt: now, LeaseUntil: now.Add(lease),
	}, nil
}

// TakeOver lets a new registration go on with an account that an earlier one left half-made. Nobody has
// proved to own the address yet, so the newer request is as good as the older. Otherwise ErrEmailTaken, or errAtWork
// when another request is at work on the address.
// imported is when a file brought it, nil for who registers: whose account a file never takes over.
func (a *Account) TakeOver(first, last string, imported *time.Time, now time.Time) error {
	switch {
	case a.replaceable() || now.Before(a.LeaseUntil) && a.Status == Creating:
		return atWork()
	case a.Status != Creating:
		return ErrEmailTaken
	case imported != nil && a.ImportedAt == nil:
		return atWork()
	}
	a.FirstName, a.LastName, a.LeaseUntil, a.ImportedAt = first, last, now.Add(lease), imported
	return nil
}

// imported reports whether the account came with a file, and nobody has proved its address yet.
func (a *Account) imported() bool {
	return a.Status == Pending && a.VerifiedAt == nil && a.ImportedAt != nil
}

// replaceable reports whether the address may be registered anew: nobody has proved to own it.
func (a *Account) replaceable() bool {
	return a.Status == Ending || a.Status == Pending && a.VerifiedAt == nil
}

// End begins the end of a pending account, whose address is to be registered anew: with it go the password, the names
// and the codes that a stranger may have caused. The caller holds the lease. Errors: ErrEmailTaken once somebody has
// proved to own the address, and errAtWork while a request is at work on the account.
func (a *Account) End(now time.Time) error {
	switch {
	case !a.replaceable():
		return ErrEmailTaken
	case now.Before(a.LeaseUntil):
		return atWork()
	}
	a.Status, a.LeaseUntil = Ending, now.Add(lease)
	return nil
}

// Delete begins the end of an account whose owner wants it gone; the caller holds the lease. Once begun it goes on. Errors:
// ErrAccountSuspended, and errAtWork while a request is at work on the account.
func (a *Account) Delete(now time.Time) error {
	atWork := a.Status == Ending || a.EmailDue != "" || a.SessionsEndAt != nil
	switch {
	case a.Status == Suspended:
		return ErrAccountSuspended
	case atWork && now.Before(a.LeaseUntil):
		return problem.ErrUnavailable.Detail("The account is being changed just now").Because(errAtWork)
	}
	a.Status, a.LeaseUntil = Ending, now.Add(lease)
	return nil
}

// errAtWork is the cause of a problem.ErrUnavailable: another request is at work on the address at this moment.
var errAtWork = errors.New("another request is at work on this address")

func atWork() error {
	return problem.ErrUnavailable.Detail("The address is being registered just now").Because(errAtWork)
}

// pendingLife is how long an account may stay pending: after that it ends. One that came with a file has arrivalLife.
const pendingLife = 24 * time.Hour

// Open makes the account pending once Keycloak's user exists. held is the lease under which the user was
// made: when another request or the sweep has the account since, it is theirs and false is returned.
func (a *Account) Open(accountID uuid.UUID, held, now time.Time) bool {
	if a.Status != Creating || !a.LeaseUntil.Equal(held) {
		return false
	}
	a.AccountID, a.Status, a.LeaseUntil = &accountID, Pending, now
	return true
}

// Verify notes that the owner proved the address. The account becomes active when Keycloak has given the
// role; until then a request holds the lease.
func (a *Account) Verify(now time.Time) bool {
	if a.Status != Pending {
		return false
	}
	if a.VerifiedAt == nil {
		a.VerifiedAt = &now
	}
	a.LeaseUntil = now.Add(lease)
	return true
}

// Activate ends the way of an account. False when it is not verified, or was active before.
func (a *Account) Activate(now time.Time) bool {
	if a.Status != Pending || a.VerifiedAt == nil {
		return false
	}
	a.Status, a.ActivatedAt, a.LeaseUntil, a.FailuresFrom = Active, &now, now, &now
	return true
}

// ChangePassword notes that Keycloak gets a new password and that all sessions but keep (which may be empty)
// have to end. Who may do that has proved to be the owner, so the failed logins so far do not count.
func (a *Account) ChangePassword(keep string, now time.Time) {
	a.SessionsEndAt, a.KeepSession, a.LeaseUntil, a.FailuresFrom = &now, keep, now.Add(lease), &now
}

// ProveEmail notes that the owner of an active account has proved to own another address. It takes the place of the one
// before when Keycloak has it, and then all sessions but keep (which may be empty) end; until then the caller holds the
// lease. ErrUnavailable while another request is at work on an address of the account.
func (a *Account) ProveEmail(email, keep string, now time.Time) error {
	if a.EmailDue != "" && now.Before(a.LeaseUntil) {
		return problem.ErrUnavailable.Detail("The e-mail address is being changed").RetryAfter(min(a.LeaseUntil.Sub(now), 5*time.Second))
	}
	a.EmailDue, a.SessionsEndAt, a.KeepSession, a.LeaseUntil = email, &now, keep, now.Add(lease)
	return nil
}

// Move gives the account the address that was due, which Keycloak has by now; false when another has become due since, or
// none is. The failed logins so far were those of another address.
func (a *Account) Move(due string, now time.Time) bool {
	if due == "" || a.EmailDue != due {
		return false
	}
	a.Email, a.EmailDue, a.FailuresFrom = due, "", &now
	return true
}

// Suspend shuts an active account out. Its roles have to be taken and its sessions ended at Keycloak; until then
// the caller holds the lease. False: it is suspended already, as before. Errors: ErrNotSuspendable, and
// ErrUnavailable while somebody is at work giving the role back.
func (a *Account) Suspend(reason string, now time.Time) (bool, error) {
	switch a.Status {
	case Active:
	case Suspended:
		if a.RoleDue != GiveRole {
			return false, nil
		}
		if now.Before(a.LeaseUntil) {
			return false, errBusy(a.LeaseUntil.Sub(now))
		}
	case Creating, Pending, Ending:
		return false, ErrNotSuspendable.With("account_status", a.Status)
	}
	if a.Status == Active {
		a.SuspendedAt = &now
	}
	a.Status, a.SuspendReason = Suspended, reason
	a.RoleDue, a.SessionsEndAt, a.KeepSession, a.LeaseUntil = TakeRoles, &now, "", now.Add(lease)
	return true, nil
}

// Readmit notes that a suspended account is to be active again. It becomes so when Keycloak has given the role
// back; until then the caller holds the lease. False: it is active already. Errors: ErrNotSuspended, and
// ErrUnavailable while somebody else is at work on its roles.
func (a *Account) Readmit(now time.Time) (bool, error) {
	switch {
	case a.Status == Active:
		return false, nil
	case a.Status != Suspended:
		return false, ErrNotSuspended.With("account_status", a.Status)
	case a.RoleDue != NothingDue && now.Before(a.LeaseUntil):
		return false, errBusy(a.LeaseUntil.Sub(now))
	}
	a.RoleDue, a.LeaseUntil = GiveRole, now.Add(lease)
	return true, nil
}

// errBusy asks to come again: only one at a time may change the roles of an account, or the last word at Keycloak
// would be that of the slower one.
func errBusy(wait time.Duration) error {
	return problem.ErrUnavailable.Detail("The account is being suspended or activated").RetryAfter(min(wait, 5*time.Second))
}

// RolesTaken ends a suspension that was begun under the lease held; false when it is somebody else's by now.
func (a *Account) RolesTaken(held time.Time) bool {
	if a.RoleDue != TakeRoles || !a.LeaseUntil.Equal(held) {
		return false
	}
	a.RoleDue = NothingDue
	return true
}

// RoleGiven makes a suspended account active again, whose role was given under the lease held; false when it is
// somebody else's by now. The failed logins so far do not count.
func (a *Account) RoleGiven(held, now time.Time) bool {
	if a.RoleDue != GiveRole || !a.LeaseUntil.Equal(held) {
		return false
	}
	a.Status, a.RoleDue, a.SuspendedAt, a.SuspendReason = Active, NothingDue, nil, ""
	a.LeaseUntil, a.FailuresFrom = now, &now
	return true
}

// How far the clocks of auth and Keycloak may be apart.
const clockSkew = time.Minute

// Made reports whether a user whom Keycloak already has for the address comes from this registration, which
// then may go on with it. A user from before was made by somebody else, perhaps by hand for the staff: a
// registration must never get at its password.
func (a Account) Made(userCreated time.Time) bool {
	return !userCreated.Before(a.CreatedAt.Add(-clockSkew))
}

// forgetAfter is when a registration whose user never appeared in Keycloak is given up: no request to
// Keycloak is under way that long.
const forgetAfter = 10 * time.Minute

// Forgettable reports whether the sweep may delete the account, given that Keycloak has no user for it.
func (a Account) Forgettable(now time.Time) bool {
	return a.Status == Creating && !now.Before(a.CreatedAt.Add(forgetAfter))
}

// ParseEmail returns the address in the one form in which it is kept and compared.
func ParseEmail(s string) (string, error) {
	address, ok := text.Email(s)
	if !ok {
		return "", problem.InvalidField("body.email", problem.CodeWrongFormat, "is not an e-mail address")
	}
	return address, nil
}

// What Keycloak refuses in a person's name, besides what no line of text has
// (its PersonNameProhibitedCharactersValidator).
const nameProhibited = "<>&\"$%!#?§;*~/\\|^=[]{}()"

// CheckName tells what is wrong with a name.
func CheckName(location, s string) error {
	if strings.ContainsAny(s, nameProhibited) {
		return problem.InvalidField(location, problem.CodeWrongFormat, "must not contain any of "+nameProhibited)
	}
	return nil
}

// userAgent is what the history keeps of a User-Agent header.
func userAgent(s string) string {
	clean := []rune(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "")))
	return string(clean[:min(len(clean), 255)])
}

// CheckPassword holds the rules that are not in the length: not the e-mail address itself, and nothing that everybody tries
// first: one of the thirty thousand passwords that most people have, a row of keys, or what about tells of the owner
// (zxcvbn; NIST SP 800-63B, 3.1.1.2, asks for such a list and for no other rule).
func CheckPassword(location, secret, email string, about ...string) error {
	if strings.EqualFold(secret, email) {
		return problem.InvalidField(location, problem.CodeNotAllowed, "must not be the e-mail address")
	}
	found := zxcvbn.PasswordStrength(secret, append(about, email))
	if found.Score == 0 || len(found.Sequence) == 1 && found.Sequence[0].Pattern == "dictionary" {
		return problem.InvalidField(location, problem.CodeNotAllowed, "is one of the first that somebody would try")
	}
	return nil
}
