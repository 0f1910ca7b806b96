// Package pricing works out what a cart or an order costs. It is pure: carts and orders call it with the same
// lines and get the same totals, which is why an order can refuse with "price-changed" and never by accident.
package pricing

import (
	"errors"
	"fmt"

	"github.com/stampede-shop/stampede/kit/money"
)

// MaxAmount is the largest line and the largest total, in minor units. It keeps every product and sum inside
// int64 (10^13 x 200,000 x 2 = 4 x 10^18), and every amount exact in JavaScript (below 2^53).
const MaxAmount = 10_000_000_000_000

// percent is one percent in the unit of Country.Tax, thousandths of a percent: 8.1 % is 8_100.
const (
	percent = 1_000
	whole   = 100 * percent
)

var (
	// ErrUnknownCountry means that the table has no rates for the country: the shop does not deliver there.
	ErrUnknownCountry = errors.New("pricing: the shop does not deliver to this country")
	// ErrCurrency means that a price is not in the shop's currency.
	ErrCurrency = errors.New("pricing: price in another currency than the shop's")
	// ErrInvalidLine means a quantity below 1 or a price below 0.
	ErrInvalidLine = errors.New("pricing: line without a quantity or with a negative price")
	// ErrTooLarge means that a line or the total is over MaxAmount.
	ErrTooLarge = errors.New("pricing: amount too large")
)

// TaxIncluded tells whether prices hold the tax, of sums that were worked out once and are shown now: the total is reached
// without adding it.
func TaxIncluded(subtotal, discount, shipping, total money.Money) bool {
	return subtotal.Amount-discount.Amount+shipping.Amount == total.Amount
}

// Line is what is bought: so many of a SKU at a price each.
type Line struct {
	SKU       string
	Quantity  int
	UnitPrice money.Money
}

// PricedLine is a Line with its money. Total is UnitPrice x Quantity − Discount; Tax is contained in it where
// the country's prices include tax, and comes on top where they do not.
type PricedLine struct {
	Line
	Discount money.Money
	Tax      money.Money
	Total    money.Money
}

// Totals is what a quote says. Lines keep the order in which they came.
//
// Tax = the lines' taxes + ShippingTax. Where prices include tax, Total = Subtotal − Discount + Shipping;
// elsewhere Total = Subtotal − Discount + Shipping + Tax. Discounts are zero: the shop has no promotions.
type Totals struct {
	Lines       []PricedLine
	Subtotal    money.Money // the sum of UnitPrice x Quantity
	Discount    money.Money
	Tax         money.Money
	ShippingTax money.Money // the part of Tax that is due on Shipping
	Shipping    money.Money
	Total       money.Money
	TaxIncluded bool
}

// Country says how the shop sells to one country.
type Country struct {
	Tax         int64 // the standard rate in thousandths of a percent, at most 100 %: 20 % is 20_000
	TaxIncluded bool  // prices and shipping contain the tax
	Shipping    int64 // flat, in minor units of the shop's currency
	FreeFrom    int64 // a subtotal from here on ships free; 0 = never
}

// Rates is the table that a shop quotes from: its one currency, and the countries it delivers to by ISO 3166-1 alpha-2 code.
type Rates struct {
	Currency  string
	Countries map[string]Country
}

// Quote prices lines for a country. A quote without lines is all zeros, without shipping.
//
// Tax is worked out and rounded line by line, halves up, and the rounded taxes are added, so that the total is
// the sum of what an invoice prints. Shipping is taxed at the country's rate like a line of its own, because
// delivery follows the goods (in the United Kingdom: HMRC's VAT Notice 700/24, "delivered goods").
// Errors: ErrUnknownCountry, ErrCurrency, ErrInvalidLine, ErrTooLarge.
func Quote(lines []Line, country string, rates Rates) (Totals, error) {
	rate, ok := rates.Countries[country]
	if !ok {
		return Totals{}, fmt.Errorf("%w: %q", ErrUnknownCountry, country)
	}
	zero := money.Zero(rates.Currency)
	q := Totals{
		Lines:    make([]PricedLine, 0, len(lines)),
		Subtotal: zero, Discount: zero, Tax: zero, ShippingTax: zero, Shipping: zero, Total: zero,
		TaxIncluded: rate.TaxIncluded,
	}
	for _, line := range lines {
		switch {
		case line.UnitPrice.Currency != rates.Currency:
			return Totals{}, fmt.Errorf("%w: %s in %q", ErrCurrency, line.SKU, line.UnitPrice.Currency)
		case line.Quantity < 1 || line.UnitPrice.Amount < 0:
			return Totals{}, fmt.Errorf("%w: %s", ErrInvalidLine, line.SKU)
		case line.UnitPrice.Amount > MaxAmount/int64(line.Quantity):
			return Totals{}, fmt.Errorf("%w: %s", ErrTooLarge, line.SKU)
		}
		total := line.UnitPrice.Mul(line.Quantity)
		tax := rate.taxOn(total)
		q.Lines = append(q.Lines, PricedLine{Line: line, Discount: zero, Tax: tax, Total: total})
		q.Subtotal, q.Tax = q.Subtotal.Add(total), q.Tax.Add(tax)
		if q.Subtotal.Amount > MaxAmount {
			return Totals{}, ErrTooLarge
		}
	}
	if len(lines) > 0 && (rate.FreeFrom == 0 || q.Subtotal.Amount < rate.FreeFrom) {
		q.Shipping = money.New(rate.Shipping, rates.Currency)
		q.ShippingTax = rate.taxOn(q.Shipping)
		q.Tax = q.Tax.Add(q.ShippingTax)
	}
	q.Total = q.Subtotal.Add(q.Shipping)
	if !rate.TaxIncluded {
		q.Total = q.Total.Add(q.Tax)
	}
	if q.Total.Amount > MaxAmount {
		return Totals{}, ErrTooLarge
	}
	return q, nil
}

// taxOn is the tax in an amount (included: amount x rate / (100 % + rate)) or due on top of it (amount x rate / 100 %),
// rounded halves up. The amount is between 0 and MaxAmount.
func (c Country) taxOn(amount money.Money) money.Money {
	of := int64(whole)
	if c.TaxIncluded {
		of += c.Tax
	}
	return money.New((2*amount.Amount*c.Tax+of)/(2*of), amount.Currency)
}
