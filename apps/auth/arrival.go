package main

import (
	"cmp"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/postal"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/text"
)

// Arrival is a customer of another shop's file whose address nobody has proved yet.
type Arrival struct {
	ID        uuid.UUID
	Email     string
	FirstName string
	LastName  string
	Phone     string          // E.164, or empty
	Address   *postal.Address // checked; nil: none that can be taken
	Invite    bool            // by mail, once
	AccountID *uuid.UUID      // whom phone and address were told of; nil: nobody yet
	Tries     int
	NotedAt   time.Time
}

// Shopify's columns, of exports of now and of before.
var customerColumns = map[string][]string{
	"email": {"email"}, "first name": {"first name"}, "last name": {"last name"}, "phone": {"phone"},
	"company":       {"default address company", "company"},
	"line 1":        {"default address address1", "address1"},
	"line 2":        {"default address address2", "address2"},
	"city":          {"default address city", "city"},
	"region":        {"default address province code", "province code", "province"},
	"country":       {"default address country code", "country code"},
	"postcode":      {"default address zip", "zip"},
	"address phone": {"default address phone"},
}

// isCustomers tells whether a header is that of a file of customers.
func isCustomers(header []string) bool {
	return csvfile.Find(header, customerColumns).Has("email", "first name")
}

const (
	noName   = "–" // Keycloak lets in nobody without both names
	mostName = 120 // characters, in an address
)

// ReadArrival makes an arrival of a row, whose cells at finds. What cannot be taken of it is noted; without an e-mail address
// it is refused.
func ReadArrival(rec csvfile.Record, at csvfile.Columns) (Arrival, csvfile.Row) {
	out := csvfile.Row{Line: rec.Line, Outcome: csvfile.Refused, Reason: rec.Refused, Notes: []string{}}
	if rec.Refused != "" {
		return Arrival{}, out
	}
	cell := func(name string, most int) string { return at.Line(rec, name, most, &out) }
	email, err := ParseEmail(cell("email", 254))
	if err != nil {
		out.Reason = "the row has no e-mail address, or one that is not taken"
		return Arrival{}, out
	}
	out.Name, out.Outcome = email, csvfile.Created
	a := Arrival{Email: email, FirstName: nameOf(cell("first name", 100)), LastName: nameOf(cell("last name", 100))}
	if a.FirstName == "" && a.LastName == "" {
		a.FirstName = nameOf(email[:strings.IndexByte(email, '@')])
		out.Note("has no name: the e-mail address stands for it")
	}
	a.readAddress(cell, &out)
	if phone := cell("phone", 40); phone != "" {
		country := ""
		if a.Address != nil {
			country = a.Address.Country
		}
		if a.Phone, err = postal.Phone(phone, country); err != nil {
			out.Note("the telephone number was not taken")
		}
	}
	a.FirstName, a.LastName = cmp.Or(a.FirstName, noName), cmp.Or(a.LastName, noName)
	return a, out
}

// readAddress takes the row's address if it is one of its country, else notes why not.
func (a *Arrival) readAddress(cell func(name string, most int) string, out *csvfile.Row) {
	address := postal.Address{
		Line1: cell("line 1", 200), Line2: cell("line 2", 200), City: cell("city", 120), Region: cell("region", 120),
		PostalCode: cell("postcode", 20), Country: strings.ToUpper(cell("country", 2)),
	}
	if address.Line1 == "" && address.City == "" && address.PostalCode == "" {
		return
	}
	name := []rune(cmp.Or(strings.TrimSpace(a.FirstName+" "+a.LastName), a.Email))
	address.Name = string(name[:min(len(name), mostName)])
	if company := cell("company", 100); company != "" && utf8.RuneCountInString(address.Name+", "+company) <= mostName {
		address.Name += ", " + company
	}
	if phone := cell("address phone", 40); phone != "" {
		var err error
		if address.Phone, err = postal.Phone(phone, address.Country); err != nil {
			out.Note("the telephone number of the address was not taken")
		}
	}
	if address.Line1 == "" {
		out.Note("the address was not taken: it has no street")
		return
	}
	checked, err := address.Check("address")
	var p *problem.Error
	if errors.As(err, &p) {
		var why []string
		for _, f := range p.Fields() {
			why = append(why, strings.TrimPrefix(f.Location, "address.")+" "+f.Message)
		}
		out.Note("the address was not taken: %s", strings.Join(why, "; "))
		return
	}
	a.Address = &checked
}

// nameOf is a name without what Keycloak refuses in one.
func nameOf(s string) string {
	s, _ = text.Line(strings.Map(func(r rune) rune {
		if strings.ContainsRune(nameProhibited, r) {
			return ' '
		}
		return r
	}, s))
	return s
}

// arrivalLife is how long a customer of a file is kept who does not come: the account, and what the file had.
const arrivalLife = 365 * 24 * time.Hour

// retryIn is how long after so many tries an arrival is tried again: 1 s, doubling, at most 5 minutes.
func retryIn(tries int) time.Duration { return min(time.Second<<min(tries, 20), 5*time.Minute) }
