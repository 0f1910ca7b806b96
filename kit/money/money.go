// Package money holds amounts in minor units of one currency, the way they are stored, sent and added up.
package money

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"

	"golang.org/x/text/currency"
)

// Money is an amount in minor units (pence, cents) of an ISO 4217 currency: {"amount_minor": 1999, "currency": "GBP"} is £19.99.
type Money struct {
	Amount   int64  `json:"amount_minor" doc:"Amount in minor units: 1999 is £19.99"`
	Currency string `json:"currency" doc:"ISO 4217 code" minLength:"3" maxLength:"3"`
}

// New returns an amount of minor units.
func New(minor int64, currency string) Money { return Money{Amount: minor, Currency: currency} }

// Zero returns nothing of a currency.
func Zero(currency string) Money { return Money{Currency: currency} }

// IsZero reports whether the amount is zero, in whatever currency.
func (m Money) IsZero() bool { return m.Amount == 0 }

// Add returns m + o. Two currencies or a sum beyond int64 are bugs of the caller, and panic:
// what comes from outside is bounded before it is added (see pricing.MaxAmount).
func (m Money) Add(o Money) Money {
	m.same(o)
	sum := m.Amount + o.Amount
	if (o.Amount > 0) != (sum > m.Amount) && o.Amount != 0 {
		panic(fmt.Sprintf("money: %d + %d overflows", m.Amount, o.Amount))
	}
	return Money{sum, m.Currency}
}

// Sub returns m − o, and panics like Add.
func (m Money) Sub(o Money) Money {
	m.same(o)
	difference := m.Amount - o.Amount
	if (o.Amount < 0) != (difference > m.Amount) && o.Amount != 0 {
		panic(fmt.Sprintf("money: %d - %d overflows", m.Amount, o.Amount))
	}
	return Money{difference, m.Currency}
}

// Mul returns m taken n times, and panics like Add.
func (m Money) Mul(n int) Money {
	high, low := bits.Mul64(magnitude(m.Amount), magnitude(int64(n)))
	if high != 0 || low > math.MaxInt64 {
		panic(fmt.Sprintf("money: %d x %d overflows", m.Amount, n))
	}
	product := int64(low)
	if (m.Amount < 0) != (n < 0) {
		product = -product
	}
	return Money{product, m.Currency}
}

func (m Money) same(o Money) {
	if m.Currency != o.Currency {
		panic(fmt.Sprintf("money: %s and %s do not add up", m.Currency, o.Currency))
	}
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

var symbols = map[string]string{"GBP": "£", "EUR": "€", "USD": "$", "JPY": "¥"}

// String writes the amount for people: "£19.99", "-€0.50", "¥500", "CHF 12.00".
func (m Money) String() string {
	digits := fraction(m.Currency)
	text := strconv.FormatUint(magnitude(m.Amount), 10)
	for len(text) <= digits {
		text = "0" + text
	}
	if digits > 0 {
		text = text[:len(text)-digits] + "." + text[len(text)-digits:]
	}
	symbol, ok := symbols[m.Currency]
	if !ok {
		symbol = m.Currency + " "
	}
	if m.Amount < 0 {
		return "-" + symbol + text
	}
	return symbol + text
}

// fraction is the number of digits after the point by ISO 4217: 2 for GBP, 0 for JPY, 3 for KWD; 2 for what is unknown.
func fraction(code string) int {
	unit, err := currency.ParseISO(code)
	if err != nil {
		return 2
	}
	digits, _ := currency.Standard.Rounding(unit)
	return digits
}
