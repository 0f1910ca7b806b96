package money

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestString(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]Money{
		"£19.99":                 New(1999, "GBP"),
		"£0.05":                  New(5, "GBP"),
		"£0.00":                  Zero("GBP"),
		"-€0.50":                 New(-50, "EUR"),
		"$1234.00":               New(123400, "USD"),
		"¥500":                   New(500, "JPY"),
		"CHF 12.00":              New(1200, "CHF"),
		"KWD 1.234":              New(1234, "KWD"),
		"??? 1.00":               New(100, "???"),
		"-£92233720368547758.08": New(math.MinInt64, "GBP"),
	} {
		require.Equal(t, want, m.String())
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Money{
		"19.99": New(1999, "GBP"), "0": Zero("GBP"), "5.": New(500, "GBP"), "1.500": New(150, "GBP"),
		"999999999999.99": New(99999999999999, "GBP"),
	} {
		got, err := Parse(text, "GBP")
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	got, err := Parse("1.234", "KWD")
	require.NoError(t, err)
	require.Equal(t, New(1234, "KWD"), got)
	for _, bad := range []string{"", ".5", "-1", "+1", "1,000.00", "1.999", "1e3", "1000000000000", "£1"} {
		_, err := Parse(bad, "GBP")
		require.ErrorIs(t, err, ErrAmount, bad)
	}
	_, err = Parse("1.50", "JPY")
	require.ErrorIs(t, err, ErrAmount)
}

func TestArithmetic(t *testing.T) {
	t.Parallel()
	require.Equal(t, New(30, "GBP"), New(10, "GBP").Add(New(20, "GBP")))
	require.Equal(t, New(10, "GBP"), New(10, "GBP").Add(Zero("GBP")))
	require.Equal(t, New(-10, "GBP"), New(10, "GBP").Sub(New(20, "GBP")))
	require.Equal(t, New(10, "GBP"), New(10, "GBP").Sub(Zero("GBP")))
	require.Equal(t, New(5997, "GBP"), New(1999, "GBP").Mul(3))
	require.Equal(t, New(-5997, "GBP"), New(1999, "GBP").Mul(-3))
	require.Equal(t, New(math.MaxInt64, "GBP"), New(math.MaxInt64, "GBP").Mul(1))
	require.True(t, Zero("GBP").IsZero())
}

func TestOverflowAndMixedCurrenciesPanic(t *testing.T) {
	t.Parallel()
	for name, fn := range map[string]func(){
		"add":       func() { New(math.MaxInt64, "GBP").Add(New(1, "GBP")) },
		"add below": func() { New(math.MinInt64, "GBP").Add(New(-1, "GBP")) },
		"sub":       func() { New(math.MinInt64, "GBP").Sub(New(1, "GBP")) },
		"sub above": func() { New(1, "GBP").Sub(New(math.MinInt64, "GBP")) },
		"mul":       func() { New(math.MaxInt64/2, "GBP").Mul(3) },
		"mul below": func() { New(math.MinInt64, "GBP").Mul(-1) },
		"currency":  func() { New(1, "GBP").Add(New(1, "EUR")) },
		"currency-": func() { New(1, "GBP").Sub(New(1, "EUR")) },
	} {
		t.Run(name, func(t *testing.T) { require.Panics(t, fn) })
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal(New(1999, "GBP"))
	require.NoError(t, err)
	require.JSONEq(t, `{"amount_minor": 1999, "currency": "GBP"}`, string(body))
}
