package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/problem"
)

// workTime bounds what is done in several steps here and in Keycloak. Once begun it is ended, even when the
// client goes away in between.
const workTime = 25 * time.Second

func working(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), workTime)
}

// How long a registration waits for another of the same address, such as that of a first click, and how often it looks.
const (
	beginPatience = 3 * time.Second
	beginEvery    = 100 * time.Millisecond
)

// register opens an account: begin, create, open. Whatever happens between two of them, the sweep or the
// next registration of the address goes on from there. A pending account of the address ends before that: nobody has
// proved to own the address, so the newer registration is as good as the older, and nothing of that one may live on.
// ErrEmailTaken, problem.ErrTooMany.
func (s *service) register(ctx context.Context, email, first, last, secret, client string) (Account, error) {
	ctx, cancel := working(ctx)
	defer cancel()
	var a Account
	var fresh bool
	err := whileAtWork(ctx, func() (err error) {
		if err = s.replace(ctx, email, client); err == nil {
			a, fresh, err = s.begin(ctx, email, first, last, nil)
		}
		return err
	})
	if err != nil {
		return Account{}, err
	}
	id, err := s.create(ctx, a, secret)
	if err != nil {
		return Account{}, s.abandon(ctx, a, fresh, err)
	}
	return s.open(ctx, a, id, func(tx pgx.Tx, a *Account) error { return s.issueCode(ctx, tx, *a, VerifyEmail) })
}

// whileAtWork repeats fn for a while as long as it fails with errAtWork.
func whileAtWork(ctx context.Context, fn func() error) error {
	for patience := time.After(beginPatience); ; {
		err := fn()
		if !errors.Is(err, errAtWork) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-patience:
			return err
		case <-time.After(beginEvery):
		}
	}
}

// replace removes the pending account that an address has, if it has one. client is the network address that asks.
func (s *service) replace(ctx context.Context, email, client string) error {
	a, wait, err := s.store.end(ctx, email, client, s.settings.Limits, s.now())
	if wait > 0 {
		return problem.ErrTooMany.RetryAfter(wait)
	}
	return s.removeBegun(ctx, a, err)
}

// removeBegun is remove for the account, if it is one, whose end a statement has begun that ended with err.
func (s *service) removeBegun(ctx context.Context, a Account, err error) error {
	if err != nil || a.AccountID == nil {
		return err
	}
	if err := s.remove(ctx, a); err != nil {
		return errors.Join(err, s.store.release(ctx, a, s.now()))
	}
	return nil
}

// remove ends what Account.End has begun: the user goes, then the row, and the others are told. Each step may be
// repeated.
func (s *service) remove(ctx context.Context, a Account) error {
	if err := s.keycloak.deleteUser(ctx, *a.AccountID); err != nil {
		return err
	}
	return s.store.remove(ctx, a, s.now(), func(tx pgx.Tx) error {
		return outbox.Put(ctx, tx, events.AccountRemoved{AccountID: *a.AccountID, At: s.now()})
	})
}

// begin writes the account's row. fresh is false when it takes over a row that another registration left. imported is when it
// came with a file, nil for who registers.
func (s *service) begin(ctx context.Context, email, first, last string, imported *time.Time) (a Account, fresh bool, err error) {
	now := s.now()
	wanted, err := NewAccount(email, first, last, now)
	if err != nil {
		return Account{}, false, err
	}
	wanted.ImportedAt = imported
	a, err = s.store.begin(ctx, wanted, now)
	return a, a.ID == wanted.ID, err
}

// create makes the user in Keycloak, without a role, or goes on with the one that an earlier try has made.
func (s *service) create(ctx context.Context, a Account, secret string) (uuid.UUID, error) {
	id, err := s.keycloak.createUser(ctx, a, secret)
	if !errors.Is(err, errUserExists) {
		return id, err
	}
	if id, err = s.leftover(ctx, a); err != nil {
		return uuid.Nil, err
	}
	if err := s.keycloak.changeUser(ctx, id, a, false); err != nil {
		return uuid.Nil, err
	}
	if secret == "" {
		return id, nil
	}
	return id, s.keycloak.setPassword(ctx, id, secret)
}

// leftover finds the user that a registration of this account has made, if it did: errNoUser, or
// ErrEmailTaken when the user is somebody else's.
func (s *service) leftover(ctx context.Context, a Account) (uuid.UUID, error) {
	id, created, err := s.keycloak.findUser(ctx, a.Email)
	if err != nil {
		return uuid.Nil, err
	}
	trusted, err := s.keycloak.hasRole(ctx, id, roleUser, roleAdmin)
	if err != nil {
		return uuid.Nil, err
	}
	if trusted || !a.Made(created) {
		s.log.WarnContext(ctx, "Keycloak has a user without an account here; it is left alone", "user", id)
		return uuid.Nil, ErrEmailTaken
	}
	return id, nil
}

// abandon cleans up after a create that failed, and returns what the client hears. Only a row of our own is
// deleted: an older one may have a user on its way.
func (s *service) abandon(ctx context.Context, a Account, fresh bool, cause error) error {
	var refused errRefused
	var unsent notSent
	never := errors.As(cause, &refused) || errors.As(cause, &unsent)
	var err error
	if errors.Is(cause, ErrEmailTaken) || (fresh && never) {
		err = s.store.forget(ctx, a)
	} else {
		err = s.store.release(ctx, a, s.now())
	}
	if err != nil {
		s.log.ErrorContext(ctx, "half-made account is left to the sweep", "account", a.ID, "error", err)
	}
	return refusal(cause, "body.password")
}

// open makes the account pending and tells the others; also adds what has to happen with it.
func (s *service) open(ctx context.Context, a Account, id uuid.UUID, also func(tx pgx.Tx, a *Account) error) (Account, error) {
	opened := false
	held := a.LeaseUntil
	a, err := s.store.update(ctx, a.ID, func(tx pgx.Tx, a *Account) (bool, error) {
		now := s.now()
		if opened = a.Open(id, held, now); !opened {
			return false, nil
		}
		if err := outbox.Put(ctx, tx, events.AccountRegistered{
			AccountID: id, Email: a.Email, FirstName: a.FirstName, LastName: a.LastName, At: now,
		}); err != nil {
			return false, err
		}
		return true, also(tx, a)
	})
	if err != nil {
		return Account{}, err
	}
	if !opened {
		return Account{}, problem.ErrUnavailable.Detail("The registration took too long")
	}
	return a, nil
}

// issueCode makes a new code, keeps its hash and sends it.
func (s *service) issueCode(ctx context.Context, tx pgx.Tx, a Account, p Purpose) error {
	return s.issueCodeFor(ctx, tx, a, p, "")
}

// issueCodeFor is issueCode for a code that is about a new address, and is sent there.
func (s *service) issueCodeFor(ctx context.Context, tx pgx.Tx, a Account, p Purpose, email string) error {
	code, err := newCode()
	if err != nil {
		return err
	}
	expires := s.now().Add(p.lifetime())
	if err := putCode(ctx, tx, a.ID, p, email, hashCode(s.keys.Signs(), a.ID, p, email, code), expires); err != nil {
		return err
	}
	return outbox.Put(ctx, tx, events.AccountCodeIssued{
		AccountID: *a.AccountID, Email: cmp.Or(email, a.Email), FirstName: a.FirstName, Purpose: string(p), Code: code, ExpiresAt: expires,
	})
}

// requestCode takes note that somebody wants a code. Whether the address has an account is looked up later,
// by answerRequests, so that this takes as long for one that has none. ErrTooMany.
func (s *service) requestCode(ctx context.Context, p Purpose, email, address string) error {
	wait, err := s.store.requestCode(ctx, p, email, address, s.settings.Limits, s.now())
	if err != nil {
		return err
	}
	if wait > 0 {
		return problem.ErrTooMany.RetryAfter(wait)
	}
	return nil
}

// forgot is requestCode for a new password. Too many requests are ignored, not refused.
func (s *service) forgot(ctx context.Context, email, address string) error {
	err := s.requestCode(ctx, PasswordReset, email, address)
	if errors.Is(err, problem.ErrTooMany) {
		return nil
	}
	return err
}

// answerRequests sends the codes that were asked for, to those who have an account.
func (s *service) answerRequests(ctx context.Context) error {
	for {
		found, err := s.store.answerRequest(ctx, s.now(), func(tx pgx.Tx, a Account, p Purpose) error {
			if p == VerifyEmail && a.VerifiedAt != nil {
				return nil // on its way to active
			}
			return s.issueCode(ctx, tx, a, p)
		})
		if err != nil || !found {
			return err
		}
	}
}

// verify makes an account active for who knows its code. With a secret that becomes the password first: whoever
// registered the address since cannot know it. ErrCodeInvalid. When Keycloak does not answer, the code stays good, and
// the sweep ends what is begun.
func (s *service) verify(ctx context.Context, email, code, secret string) error {
	ctx, cancel := working(ctx)
	defer cancel()
	if secret != "" {
		return s.choosePassword(ctx, VerifyEmail, email, code, secret, "body.password")
	}
	a, err := s.useCode(ctx, email, VerifyEmail, code, func(a *Account, now time.Time) { a.Verify(now) })
	if err != nil {
		return err
	}
	if err := s.activate(ctx, a); err != nil {
		err = errors.Join(err, s.store.giveBack(ctx, a.ID, VerifyEmail, s.hashCodes(a.ID, VerifyEmail, "", code)))
		return errors.Join(err, s.store.release(ctx, a, s.now()))
	}
	return nil
}

// useCode uses a code up and changes its account in the same transaction. ErrCodeInvalid.
func (s *service) useCode(ctx context.Context, email string, p Purpose, code string, then func(a *Account, now time.Time)) (Account, error) {
	if !codePattern.MatchString(code) {
		return Account{}, ErrCodeInvalid
	}
	now := s.now()
	a, right, err := s.store.useCode(ctx, email, p, now,
		func(a Account) [][]byte { return s.hashCodes(a.ID, p, "", code) },
		func(a *Account) { then(a, now) })
	if err == nil && !right {
		err = ErrCodeInvalid
	}
	return a, err
}

// activate lets a verified account in: the role in Keycloak, then the status. Each step may be repeated.
func (s *service) activate(ctx context.Context, a Account) error {
	if err := s.keycloak.changeUser(ctx, *a.AccountID, a, true); err != nil {
		return err
	}
	if err := s.keycloak.giveRole(ctx, *a.AccountID, roleUser); err != nil {
		return err
	}
	_, err := s.store.update(ctx, a.ID, func(tx pgx.Tx, a *Account) (bool, error) {
		now := s.now()
		if !a.Activate(now) {
			return false, nil
		}
		activated := events.AccountActivated{AccountID: *a.AccountID, Email: a.Email, FirstName: a.FirstName, First: true, At: now}
		if err := outbox.Put(ctx, tx, activated); err != nil {
			return false, err
		}
		return true, s.settleArrival(ctx, tx, *a)
	})
	return err
}

// sweep ends what requests have begun and left, because they crashed or Keycloak did not answer, and accounts that
// nobody has verified for long.
func (s *service) sweep(ctx context.Context) error {
	const batch = 20
	if err := s.store.endOverdue(ctx, s.now().Add(-pendingLife), s.now().Add(-arrivalLife), s.now(), 10*batch); err != nil {
		return err
	}
	for {
		accounts, err := s.store.halfMade(ctx, s.now(), batch)
		if err != nil {
			return err
		}
		var failed error
		for _, a := range accounts {
			failed = errors.Join(failed, s.finish(ctx, a))
		}
		if failed != nil || len(accounts) < batch {
			return failed
		}
	}
}

// finish ends one half-made account, which the caller has leased.
func (s *service) finish(ctx context.Context, a Account) error {
	switch {
	case a.Status == Ending:
		return s.remove(ctx, a)
	case a.Status == Creating:
		id, err := s.leftover(ctx, a)
		if errors.Is(err, ErrEmailTaken) || (errors.Is(err, errNoUser) && a.Forgettable(s.now())) {
			return s.store.forget(ctx, a)
		}
		if errors.Is(err, errNoUser) {
			return nil // a request to Keycloak may still be on its way
		}
		if err != nil {
			return err
		}
		_, err = s.open(ctx, a, id, func(tx pgx.Tx, a *Account) error {
			if a.ImportedAt != nil {
				return nil // its arrival tells the rest
			}
			return s.issueCode(ctx, tx, *a, VerifyEmail)
		})
		return err
	case a.Status == Pending && a.VerifiedAt != nil:
		if err := s.activate(ctx, a); err != nil {
			return err
		}
	case a.RoleDue == GiveRole:
		_, err := s.letIn(ctx, a)
		return err
	case a.RoleDue == TakeRoles:
		return s.shutOut(ctx, a)
	case a.EmailDue != "":
		if _, err := s.moveEmail(ctx, a); err != nil && !errors.Is(err, ErrEmailTaken) {
			return err
		}
	}
	if a.SessionsEndAt != nil {
		return s.endSessions(ctx, a)
	}
	return nil
}

// prune deletes rows that are only a memory.
func (s *service) prune(ctx context.Context) error { return s.store.prune(ctx, s.now()) }

// refusal turns Keycloak's no to a value into a problem; secret is where the password was. Other errors
// stay as they are.
func refusal(err error, secret string) error {
	var refused errRefused
	if !errors.As(err, &refused) {
		return err
	}
	location := map[string]string{
		"email": "body.email", "username": "body.email", "firstName": "body.first_name", "lastName": "body.last_name", "password": secret,
	}[refused.Field]
	if location == "" {
		location = "body"
	}
	return problem.InvalidField(location, problem.CodeNotAllowed, "is not accepted").Because(err)
}
