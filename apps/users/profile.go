package main

import (
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

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
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"`
	FirstName string    `json:"first_name"`
	LastName  string    `json:"last_name"`
	Phone     *string   `json:"phone" doc:"International form (E.164), null when not given"`
	Addresses []Address `json:"addresses" nullable:"false"`

	Status string `json:"-"` // for the back office alone
}

// Address is where parcels go.
type Address struct {
	ID uuid.UUID `json:"id"`
	AddressFields
}

// AddressFields are what a shopper writes.
type AddressFields struct {
	Name       string `json:"name" minLength:"1" maxLength:"100" doc:"Who receives"`
	Line1      string `json:"line1" minLength:"1" maxLength:"200"`
	Line2      string `json:"line2,omitempty" required:"false" maxLength:"200"`
	City       string `json:"city" minLength:"1" maxLength:"100"`
	Region     string `json:"region,omitempty" required:"false" maxLength:"100"`
	PostalCode string `json:"postal_code" minLength:"1" maxLength:"20"`
	Country    string `json:"country" pattern:"^[A-Z]{2}$" doc:"ISO 3166-1 alpha-2"`
}

// clean trims every field and checks what tags cannot.
func (a AddressFields) clean() (AddressFields, error) {
	bad := problem.ErrInvalid
	wrong := false
	for _, f := range []struct {
		name     string
		value    *string
		required bool
	}{
		{"name", &a.Name, true}, {"line1", &a.Line1, true}, {"line2", &a.Line2, false}, {"city", &a.City, true},
		{"region", &a.Region, false}, {"postal_code", &a.PostalCode, true}, {"country", &a.Country, true},
	} {
		*f.value = strings.TrimSpace(*f.value)
		if f.required && *f.value == "" {
			bad, wrong = bad.Field("body."+f.name, problem.CodeRequired, "must not be empty"), true
		}
		if strings.ContainsFunc(*f.value, unicode.IsControl) {
			bad, wrong = bad.Field("body."+f.name, problem.CodeWrongFormat, "must not hold control characters"), true
		}
	}
	if wrong {
		return a, bad
	}
	return a, nil
}

// cleanName trims a person's name.
func cleanName(field, s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || strings.ContainsFunc(s, unicode.IsControl) {
		return "", problem.InvalidField("body."+field, problem.CodeWrongFormat, "must be one line of text")
	}
	return s, nil
}

// e164 is the international form of a telephone number (ITU-T E.164: up to 15
// digits, the first not zero).
var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// cleanPhone brings a telephone number to E.164; "" removes it.
func cleanPhone(s string) (*string, error) {
	s = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "").Replace(s)
	if s == "" {
		return nil, nil
	}
	if !e164.MatchString(s) {
		return nil, problem.InvalidField("body.phone", problem.CodeWrongFormat, "must be in international form, for instance +44 20 7946 0000")
	}
	return &s, nil
}

// stamped is when something was last told, so that late events lose.
type stamped struct {
	AccountID uuid.UUID
	Email     string
	FirstName string
	LastName  string
	At        time.Time
}
