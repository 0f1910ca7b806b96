package main

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

const (
	maxImportBytes = 16 << 20
	importBatch    = 500       // rows saved by one statement
	arrivalsBatch  = 5         // arrivals that an instance has in hand
	untilFree      = time.Hour // until an arrival looks again at an address that somebody is registering
)

type importInput struct {
	rest.Upload
	Invite bool `query:"invite" doc:"Write to each of them that there is an account, which waits for a password"`
}

type importOutput struct{ Body csvfile.Report }

// errNotCustomers: the file has not the columns of a file of customers.
var errNotCustomers = problem.InvalidField("body", problem.CodeWrongFormat,
	"must be a CSV file with the columns that Shopify exports of customers; Email or First Name is missing")

// importCustomers notes the customers of another shop's file, who get their accounts in the background. Whoever has one, or is
// noted already, is left alone, so the same file again changes nothing.
func (s *service) importCustomers(ctx context.Context, in *importInput) (*importOutput, error) {
	body, err := in.Open(maxImportBytes)
	if err != nil {
		return nil, err
	}
	table, err := csvfile.Open(body, isCustomers, errNotCustomers)
	if err != nil {
		return nil, err
	}
	at := csvfile.Find(table.Header, customerColumns)
	out := &importOutput{csvfile.Report{Rows: []csvfile.Row{}}}
	var batch []Arrival
	var rows []csvfile.Row
	inBatch := map[string]bool{}
	save := func() error {
		fresh, err := s.store.noteArrivals(ctx, batch, s.now())
		if err != nil {
			return err
		}
		for _, row := range rows {
			switch {
			case row.Outcome == csvfile.Created && fresh[row.Name]:
				delete(fresh, row.Name) // a second row of the file changes nothing
			case row.Outcome == csvfile.Created:
				row.Outcome, row.Reason = csvfile.Unchanged, "the address has an account, or gets one"
			}
			out.Body.Add(row)
		}
		batch, rows = nil, nil
		clear(inBatch)
		return nil
	}
	out.Body.Stopped, err = table.Each(func(rec csvfile.Record) error {
		a, row := ReadArrival(rec, at)
		rows = append(rows, row)
		if row.Outcome == csvfile.Created && !inBatch[a.Email] {
			if a.ID, err = uuid.NewV7(); err != nil {
				return err
			}
			a.Invite, inBatch[a.Email] = in.Invite, true
			batch = append(batch, a)
		}
		if len(rows) < importBatch {
			return nil
		}
		return save()
	})
	if err != nil {
		return nil, err
	}
	out.Body.Complete = out.Body.Stopped == ""
	return out, save()
}

type arrivalsOutput struct{ Body waiting }

func (s *service) getArrivals(ctx context.Context, _ *struct{}) (*arrivalsOutput, error) {
	found, err := s.store.arrivals(ctx)
	return &arrivalsOutput{found}, err
}

// arrive makes accounts for those who came with a file, one after the other: Keycloak has others to serve.
func (s *service) arrive(ctx context.Context) error {
	for {
		batch, err := s.store.claimArrivals(ctx, s.now(), arrivalsBatch)
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, v := range batch {
			if err := s.makeArrival(ctx, v); err != nil {
				if err := s.putOff(ctx, v, err); err != nil {
					return err
				}
			}
		}
	}
}

// putOff has an arrival tried again later, unless that is in vain.
func (s *service) putOff(ctx context.Context, v Arrival, cause error) error {
	var refused errRefused
	if errors.As(cause, &refused) || errors.Is(cause, ErrEmailTaken) {
		s.log.ErrorContext(ctx, "an account of a file cannot be made", "arrival", v.ID, "error", cause)
		return s.store.putOff(ctx, v, nil, cause.Error())
	}
	next := s.now().Add(retryIn(v.Tries))
	s.log.WarnContext(ctx, "an account of a file was not made, it is tried again", "arrival", v.ID, "error", cause)
	return s.store.putOff(ctx, v, &next, cause.Error())
}

// makeArrival makes one account: the row, the user without a password, then the events. Each step may be repeated; the sweep
// may have taken one of them. While somebody is registering the address it waits: if that ends in nothing, the account is made
// after all; if the address is proved, the file's part is told by activate. ErrEmailTaken when Keycloak has a user of the
// address whom nobody here has made.
func (s *service) makeArrival(ctx context.Context, v Arrival) error {
	ctx, cancel := working(ctx)
	defer cancel()
	a, err := s.store.byEmail(ctx, v.Email)
	if errors.Is(err, ErrAccountNotFound) || err == nil && a.Status == Creating && a.ImportedAt != nil {
		a, err = s.makeImported(ctx, v)
	}
	switch {
	case err != nil:
		return err
	case a.Status == Active || a.Status == Suspended:
		return s.store.dropArrival(ctx, v)
	case !a.imported():
		later := s.now().Add(untilFree)
		return s.store.putOff(ctx, v, &later, "")
	}
	_, err = s.store.update(ctx, a.ID, func(tx pgx.Tx, a *Account) (bool, error) {
		if !a.imported() {
			return false, atWork() // it is being replaced just now
		}
		return false, s.tellArrival(ctx, tx, v, *a)
	})
	return err
}

// makeImported makes the account of an arrival, without a password.
func (s *service) makeImported(ctx context.Context, v Arrival) (Account, error) {
	a, fresh, err := s.begin(ctx, v.Email, v.FirstName, v.LastName, &v.NotedAt)
	if err != nil {
		return Account{}, err
	}
	id, err := s.create(ctx, a, "")
	if err != nil {
		return Account{}, s.abandon(ctx, a, fresh, err)
	}
	return s.open(ctx, a, id, func(pgx.Tx, *Account) error { return nil })
}

// tellArrival tells the others, once, what a file had of an account's owner.
func (s *service) tellArrival(ctx context.Context, tx pgx.Tx, v Arrival, a Account) error {
	fresh, err := arrived(ctx, tx, v, *a.AccountID)
	if err != nil || !fresh {
		return err
	}
	return outbox.Put(ctx, tx, imported(v, a, s.now()))
}

// settleArrival ends an arrival whose address was proved to be the account's. One that another account was told of, or none,
// since the owner has registered, is told now.
func (s *service) settleArrival(ctx context.Context, tx pgx.Tx, a Account) error {
	v, err := takeArrival(ctx, tx, a.Email)
	if err != nil || v == nil || v.AccountID != nil && *v.AccountID == *a.AccountID {
		return err
	}
	v.Invite = false
	return outbox.Put(ctx, tx, imported(*v, a, s.now()))
}

func imported(v Arrival, a Account, now time.Time) events.AccountImported {
	e := events.AccountImported{
		AccountID: *a.AccountID, Email: a.Email, FirstName: a.FirstName, LastName: a.LastName, Phone: v.Phone, Invite: v.Invite, At: now,
	}
	if v.Address != nil {
		address := events.Address(*v.Address)
		e.Address = &address
	}
	return e
}
