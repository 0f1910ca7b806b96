package money

import (
	"errors"
	"strconv"
	"strings"
)

// ErrAmount is the answer to what is no amount.
var ErrAmount = errors.New("money: not an amount such as 19.99")

// Parse reads an amount as files have it, "19.99" of a currency; neither sign nor separators, at most 12 digits before the
// point, and no part of a minor unit. Errors: ErrAmount.
func Parse(s, currency string) (Money, error) {
	whole, part, _ := strings.Cut(s, ".")
	part = strings.TrimRight(part, "0")
	digits := fraction(currency)
	if whole == "" || len(whole) > 12 || len(part) > digits || strings.Trim(whole+part, "0123456789") != "" {
		return Money{}, ErrAmount
	}
	minor, err := strconv.ParseInt(whole+part+strings.Repeat("0", digits-len(part)), 10, 64)
	if err != nil {
		return Money{}, ErrAmount
	}
	return Money{minor, currency}, nil
}
