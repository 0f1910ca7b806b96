// Package postal is what an address is: where a parcel goes, in any country. How a country writes its addresses is
// Google's Address Data Service's to know, of which countries.json has the part that is needed here: see countries.
package postal

import (
	"errors"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/stampede-shop/stampede/kit/problem"
)

// Address is where a parcel goes. Its texts are lines: clean once kit/rest has read them. Which of them a country has,
// and wants, says Check.
type Address struct {
	Name       string `json:"name" text:"line" minLength:"1" maxLength:"120" doc:"Who receives"`
	Line1      string `json:"line1" text:"line" minLength:"1" maxLength:"200"`
	Line2      string `json:"line2,omitempty" text:"line" maxLength:"200"`
	City       string `json:"city" required:"false" text:"line" maxLength:"120" doc:"Wanted where addresses have one"`
	Region     string `json:"region,omitempty" text:"line" maxLength:"120" doc:"State, province: code or name; where parcels need it"`
	PostalCode string `json:"postal_code" required:"false" text:"line" maxLength:"20" doc:"Wanted where the country has them"`
	Country    string `json:"country" pattern:"^[A-Z]{2}$" doc:"ISO 3166-1 alpha-2"`
	Phone      string `json:"phone,omitempty" text:"line" maxLength:"40" doc:"For the carrier; also as dialled within the country"`
}

// Check holds an address to the rules of its country, and brings postcode, region and phone to the form in which they are
// kept. at is where the address was in the request, such as "body.address". Errors: `invalid` with each field that is
// wrong.
func (a Address) Check(at string) (Address, error) {
	wrong := problem.ErrInvalid
	refuse := func(field string, code problem.Code, message string) {
		wrong = wrong.Field(at+"."+field, code, message)
	}
	c, ok := Of(a.Country)
	if !ok {
		refuse("country", problem.CodeNotOneOf, "is not a country (ISO 3166-1 alpha-2)")
		return a, wrong
	}
	if c.City.Wanted && a.City == "" {
		refuse("city", problem.CodeRequired, "must not be empty")
	}
	region := c.region(a.Region)
	switch {
	case a.Region == "" && c.Region.Wanted:
		refuse("region", problem.CodeRequired, "must not be empty")
	case a.Region != "" && region == nil && len(c.Regions) > 0:
		refuse("region", problem.CodeNotOneOf, "is not one of the country's")
	case region != nil && strings.EqualFold(a.Region, region.Code):
		a.Region = region.Code
	case region != nil:
		a.Region = region.Name
	}
	a.PostalCode = strings.ToUpper(a.PostalCode)
	switch {
	case a.PostalCode == "" && c.PostalCode.Wanted:
		refuse("postal_code", problem.CodeRequired, "must not be empty")
	case a.PostalCode != "" && !c.postcode(a.PostalCode):
		refuse("postal_code", problem.CodeWrongFormat, "is not a postcode of the country")
	case a.PostalCode != "" && region != nil && !region.postcode(a.PostalCode):
		refuse("postal_code", problem.CodeNotAllowed, "is not a postcode of the region")
	}
	if a.Phone != "" {
		phone, err := Phone(a.Phone, a.Country)
		if err != nil {
			refuse("phone", problem.CodeWrongFormat, "is not a telephone number")
		}
		a.Phone = phone
	}
	if len(wrong.Fields()) > 0 {
		return a, wrong
	}
	return a, nil
}

// ErrPhone is the answer to what is not a telephone number.
var ErrPhone = errors.New("postal: not a telephone number")

// Phone brings a telephone number to its international form (E.164), however people write it. country (ISO 3166-1
// alpha-2) is where one without a country code belongs; "" when that is not known: then it needs one. Errors: ErrPhone,
// also for a number with an extension, which that form cannot hold.
func Phone(s, country string) (string, error) {
	number, err := phonenumbers.Parse(s, country)
	if err != nil || number.GetExtension() != "" || !phonenumbers.IsPossibleNumber(number) {
		return "", ErrPhone
	}
	return phonenumbers.Format(number, phonenumbers.E164), nil
}
