package pricing

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/money"
)

func gbp(minor int64) money.Money { return money.New(minor, "GBP") }

func line(quantity int, minor int64) Line {
	return Line{SKU: "SKU", Quantity: quantity, UnitPrice: gbp(minor)}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	rates := Builtin("GBP", "GB")
	type want struct {
		lineTax                                     []int64
		subtotal, shipping, shippingTax, tax, total int64
	}
	tests := map[string]struct {
		country string
		lines   []Line
		want    want
	}{
		// An empty cart has no parcel.
		"empty": {"GB", nil, want{}},
		// line 2 x 19.99 = 39.98, tax inside 39.98 x 20/120 = 6.6633 -> 6.66
		// under 50.00: shipping 3.99, tax inside 3.99 x 20/120 = 0.665 -> 0.67 (half up)
		// tax 6.66 + 0.67 = 7.33; total 39.98 + 3.99 = 43.97
		"GB, tax included, flat shipping": {"GB", []Line{line(2, 1999)},
			want{[]int64{666}, 3998, 399, 67, 733, 4397}},
		// line 50.00, tax inside 50.00 x 20/120 = 8.3333 -> 8.33; from 50.00 on the parcel is free
		"GB, exactly the free limit": {"GB", []Line{line(1, 5000)},
			want{[]int64{833}, 5000, 0, 0, 833, 5000}},
		// line 49.99, tax 49.99 x 20/120 = 8.3317 -> 8.33; shipping 3.99 with 0.67; tax 9.00; total 53.98
		"GB, a penny under the free limit": {"GB", []Line{line(1, 4999)},
			want{[]int64{833}, 4999, 399, 67, 900, 5398}},
		// three lines of 0.01: each 0.01 x 20/120 = 0.0017 -> 0.00; one line of 0.03 would be 0.005 -> 0.01.
		// Rounded per line the goods carry no tax; shipping 0.67; total 0.03 + 3.99 = 4.02
		"GB, rounding per line": {"GB", []Line{line(1, 1), line(1, 1), line(1, 1)},
			want{[]int64{0, 0, 0}, 3, 399, 67, 67, 402}},
		"GB, the same in one line": {"GB", []Line{line(3, 1)},
			want{[]int64{1}, 3, 399, 67, 68, 402}},
		// The same price in another country holds another tax: 39.98 x 23/123 = 7.4759 -> 7.48
		// shipping 8.99 x 23/123 = 1.6811 -> 1.68; tax 9.16; total 39.98 + 8.99 = 48.97
		"IE": {"IE", []Line{line(2, 1999)}, want{[]int64{748}, 3998, 899, 168, 916, 4897}},
		// 39.98 x 19/119 = 6.3834 -> 6.38; 8.99 x 19/119 = 1.4354 -> 1.44; tax 7.82; total 48.97
		"DE": {"DE", []Line{line(2, 1999)}, want{[]int64{638}, 3998, 899, 144, 782, 4897}},
		// 39.98 x 20/120 = 6.66; 8.99 x 20/120 = 1.4983 -> 1.50; tax 8.16; total 48.97
		"FR": {"FR", []Line{line(2, 1999)}, want{[]int64{666}, 3998, 899, 150, 816, 4897}},
		// 25.5 %: 100.00 x 25.5/125.5 = 20.3187 -> 20.32; 8.99 x 25.5/125.5 = 1.8267 -> 1.83; tax 22.15; total 108.99
		"FI, half a percent": {"FI", []Line{line(1, 10000)}, want{[]int64{2032}, 10000, 899, 183, 2215, 10899}},
		// Two lines: 10.01 x 20/120 = 1.6683 -> 1.67; 3 x 48.00 = 144.00 x 20/120 = 24.00; 154.01 is over 150.00: free
		// tax 25.67; total 154.01
		"FR, over the free limit": {"FR", []Line{line(1, 1001), line(3, 4800)},
			want{[]int64{167, 2400}, 15401, 0, 0, 2567, 15401}},
		// Tax on top: line 2 x 19.99 = 39.98 x 5 % = 1.999 -> 2.00; shipping 14.99 x 5 % = 0.7495 -> 0.75
		// tax 2.75; total 39.98 + 14.99 + 2.75 = 57.72
		"CA, tax on top": {"CA", []Line{line(2, 1999)}, want{[]int64{200}, 3998, 1499, 75, 275, 5772}},
		// On top, rounded per line: 0.10 x 5 % = 0.005 -> 0.01, twice = 0.02 (0.20 x 5 % would be 0.01)
		// tax 0.02 + 0.75 = 0.77; total 0.20 + 14.99 + 0.77 = 15.96
		"CA, rounding per line": {"CA", []Line{line(1, 10), line(1, 10)},
			want{[]int64{1, 1}, 20, 1499, 75, 77, 1596}},
		// No sales tax; the world never ships free: 1,000.00 + 14.99
		"US": {"US", []Line{line(1, 100000)}, want{[]int64{0}, 100000, 1499, 0, 0, 101499}},
		// A free gift ships at the flat price: 0 + 3.99
		"price zero": {"GB", []Line{line(1, 0)}, want{[]int64{0}, 0, 399, 67, 67, 399}},
		// The largest line: 10^13 x 20/120 = 1,666,666,666,666.67 -> ...667
		"largest": {"GB", []Line{line(1, MaxAmount)},
			want{[]int64{1_666_666_666_667}, MaxAmount, 0, 0, 1_666_666_666_667, MaxAmount}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q, err := Quote(tt.lines, tt.country, rates)
			require.NoError(t, err)
			var lineTax []int64
			sum := gbp(0)
			for i, l := range q.Lines {
				require.Equal(t, tt.lines[i], l.Line)
				require.Equal(t, l.UnitPrice.Mul(l.Quantity), l.Total)
				require.Zero(t, l.Discount.Amount)
				lineTax = append(lineTax, l.Tax.Amount)
				sum = sum.Add(l.Tax)
			}
			require.Equal(t, tt.want, want{lineTax, q.Subtotal.Amount, q.Shipping.Amount, q.ShippingTax.Amount, q.Tax.Amount, q.Total.Amount})
			require.Equal(t, gbp(0), q.Discount)
			require.Equal(t, q.Tax, sum.Add(q.ShippingTax))
		})
	}
}

func TestQuoteRefuses(t *testing.T) {
	t.Parallel()
	rates := Builtin("GBP", "GB")
	tests := map[string]struct {
		country string
		lines   []Line
		want    error
	}{
		"unknown country":       {"XX", []Line{line(1, 100)}, ErrUnknownCountry},
		"no country":            {"", nil, ErrUnknownCountry},
		"small letters":         {"gb", nil, ErrUnknownCountry},
		"another currency":      {"GB", []Line{{SKU: "A", Quantity: 1, UnitPrice: money.New(1, "EUR")}}, ErrCurrency},
		"no currency":           {"GB", []Line{{SKU: "A", Quantity: 1}}, ErrCurrency},
		"quantity zero":         {"GB", []Line{line(0, 100)}, ErrInvalidLine},
		"quantity negative":     {"GB", []Line{line(-1, 100)}, ErrInvalidLine},
		"price negative":        {"GB", []Line{line(1, -1)}, ErrInvalidLine},
		"huge quantity":         {"GB", []Line{line(math.MaxInt, 1999)}, ErrTooLarge},
		"huge price":            {"GB", []Line{line(1, math.MaxInt64)}, ErrTooLarge},
		"huge both":             {"GB", []Line{line(math.MaxInt, math.MaxInt64)}, ErrTooLarge},
		"huge sum":              {"GB", []Line{line(1, MaxAmount), line(1, 1)}, ErrTooLarge},
		"too large by tax":      {"CA", []Line{line(1, MaxAmount)}, ErrTooLarge},
		"too large by shipping": {"US", []Line{line(1, MaxAmount)}, ErrTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Quote(tt.lines, tt.country, rates)
			require.ErrorIs(t, err, tt.want)
		})
	}
}

func TestBuiltin(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"GB", "IE", "DE", "FR", "US"} {
		require.Contains(t, Builtin("GBP", "GB").Countries, code)
	}
	for code, c := range Builtin("EUR", "DE").Countries {
		require.Len(t, code, 2)
		require.GreaterOrEqual(t, c.Tax, int64(0), code)
		require.LessOrEqual(t, c.Tax, int64(whole), code)
		require.Positive(t, c.Shipping, code)
	}
	require.Equal(t, int64(399), Builtin("EUR", "DE").Countries["DE"].Shipping)
	require.Equal(t, int64(899), Builtin("EUR", "DE").Countries["GB"].Shipping)
	require.False(t, Builtin("USD", "US").Countries["US"].TaxIncluded)
	require.Equal(t, int64(5_000), Builtin("USD", "US").Countries["US"].FreeFrom)
}

func FuzzQuoteNeverOverflows(f *testing.F) {
	f.Add(3, int64(1999), 1, int64(5), "GB")
	f.Add(math.MaxInt, int64(math.MaxInt64), 1, int64(MaxAmount), "CA")
	rates := Builtin("GBP", "GB")
	f.Fuzz(func(t *testing.T, q1 int, p1 int64, q2 int, p2 int64, country string) {
		q, err := Quote([]Line{line(q1, p1), line(q2, p2)}, country, rates)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, q.Tax.Amount, int64(0))
		require.LessOrEqual(t, q.Subtotal.Amount, q.Total.Amount)
		require.LessOrEqual(t, q.Total.Amount, int64(MaxAmount))
	})
}
