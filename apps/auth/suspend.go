package main

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/outbox"
)

// suspend shuts an account out, by hand of the administrator `by`. It is told at once, and has succeeded once the
// row says so: what Keycloak does not do now, the sweep sees to. Keycloak's user stays enabled, because of a disabled
// one Keycloak says so before it looks at the password, and nobody but the owner is to learn of it.
// ErrAccountNotFound, ErrNotSuspendable, ErrOwnAccount.
func (s *service) suspend(ctx context.Context, by, accountID uuid.UUID, reason string) (Account, error) {
	if by == accountID {
		return Account{}, ErrOwnAccount
	}
	ctx, cancel := working(ctx)
	defer cancel()
	a, err := s.store.byAccountID(ctx, accountID)
	if err != nil {
		return Account{}, err
	}
	begun := false
	a, err = s.store.update(ctx, a.ID, func(tx pgx.Tx, a *Account) (bool, error) {
		was, now := a.Status, s.now()
		var err error
		if begun, err = a.Suspend(reason, now); err != nil || !begun || was == Suspended {
			return begun, err
		}
		return true, outbox.Put(ctx, tx, events.AccountSuspended{AccountID: accountID, Email: a.Email, At: now})
	})
	if err != nil || !begun {
		return a, err
	}
	if err := s.shutOut(ctx, a); err != nil {
		s.log.WarnContext(ctx, "roles and sessions are left to the sweep", "account", accountID, "error", err)
		if err := s.store.release(ctx, a, s.now()); err != nil {
			s.log.ErrorContext(ctx, "roles and sessions wait for the lease", "account", accountID, "error", err)
		}
	}
	return a, nil
}

// shutOut takes the roles of a suspended account, then ends its sessions: one that is opened in between has no role.
// Each step may be repeated. Staff get ADMIN back by hand.
func (s *service) shutOut(ctx context.Context, a Account) error {
	if a.RoleDue == TakeRoles {
		if err := s.keycloak.takeRoles(ctx, *a.AccountID, roleUser, roleAdmin); err != nil {
			return err
		}
		held := a.LeaseUntil
		if _, err := s.store.update(ctx, a.ID, func(_ pgx.Tx, a *Account) (bool, error) { return a.RolesTaken(held), nil }); err != nil {
			return err
		}
	}
	if a.SessionsEndAt == nil {
		return nil
	}
	return s.endSessions(ctx, a)
}

// readmit makes a suspended account active again, by hand of the administrator `by`. When Keycloak does not answer,
// the sweep ends what is begun. ErrAccountNotFound, ErrNotSuspended, ErrOwnAccount.
func (s *service) readmit(ctx context.Context, by, accountID uuid.UUID) (Account, error) {
	if by == accountID {
		return Account{}, ErrOwnAccount
	}
	ctx, cancel := working(ctx)
	defer cancel()
	a, err := s.store.byAccountID(ctx, accountID)
	if err != nil {
		return Account{}, err
	}
	begun := false
	a, err = s.store.update(ctx, a.ID, func(_ pgx.Tx, a *Account) (bool, error) {
		var err error
		begun, err = a.Readmit(s.now())
		return begun, err
	})
	if err != nil || !begun {
		return a, err
	}
	active, err := s.letIn(ctx, a)
	if err != nil {
		return Account{}, errors.Join(err, s.store.release(ctx, a, s.now()))
	}
	return active, nil
}

// letIn gives a suspended account its role back, then the status, and tells. Each step may be repeated. Sessions that
// have still to end do so first: those of afterwards are welcome.
func (s *service) letIn(ctx context.Context, a Account) (Account, error) {
	if a.SessionsEndAt != nil {
		if err := s.endSessions(ctx, a); err != nil {
			return Account{}, err
		}
	}
	if err := s.keycloak.giveRole(ctx, *a.AccountID, roleUser); err != nil {
		return Account{}, err
	}
	held := a.LeaseUntil
	return s.store.update(ctx, a.ID, func(tx pgx.Tx, a *Account) (bool, error) {
		now := s.now()
		if !a.RoleGiven(held, now) {
			return false, nil
		}
		return true, outbox.Put(ctx, tx, events.AccountActivated{AccountID: *a.AccountID, Email: a.Email, FirstName: a.FirstName, At: now})
	})
}
