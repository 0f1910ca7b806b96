package main

import (
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/postal"
	"github.com/stampede-shop/stampede/kit/problem"
)

// Problems of this service.
var (
	ErrAddressNotFound = problem.New(problem.NotFound, "address-not-found", "No such address")
	ErrAddressBookFull = problem.New(problem.Conflict, "limit-reached", "The address book is full")
)

// maxAddresses bounds one shopper's address book.
const maxAddresses = 20

// Profile is what a shopper has told about themselves.
type Profile struct {
	AccountID uuid.UUID     `json:"account_id"`
	Email     string        `json:"email"`
	FirstName string        `json:"first_name"`
	LastName  string        `json:"last_name"`
	Phone     *string       `json:"phone" doc:"International form (E.164), null when not given"`
	Addresses []BookAddress `json:"addresses" nullable:"false"`

	Status string `json:"-"` // for the back office alone
}

// BookAddress is an address of the address book.
type BookAddress struct {
	ID uuid.UUID `json:"id"`
	postal.Address
}

// stamped is when something was last told, so that late events lose.
type stamped struct {
	AccountID uuid.UUID
	Email     string
	FirstName string
	LastName  string
	At        time.Time
}
