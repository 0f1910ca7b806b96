package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/pricing"
)

// facts are what the pages say about the shop: they follow from its settings.
type facts struct {
	Country     string // "the UK"
	Shipping    money.Money
	FreeFrom    string // "£50"
	TaxIncluded bool
	Places      int // countries that it delivers to
	Rates       []rate
	Holds       bool   // what is in a cart is held
	HoldFor     string // "15 minutes"
}

// rate is what a parcel to some countries costs.
type rate struct {
	Shipping  money.Money
	FreeFrom  string // empty: never
	Countries string
}

// factsOf works out what the pages say.
func (s *service) factsOf() facts {
	table := pricing.Builtin(s.settings.Currency, s.settings.Country).Countries
	own := table[s.settings.Country]
	f := facts{
		Country: article(s.settings.Country), Shipping: money.New(own.Shipping, s.settings.Currency), FreeFrom: s.from(own.FreeFrom), TaxIncluded: own.TaxIncluded,
		Places: len(table), Holds: s.settings.HoldAt != "checkout", HoldFor: span(s.settings.HoldTTL),
	}
	type price struct{ shipping, from int64 }
	groups := map[price][]string{}
	for code, c := range table {
		p := price{c.Shipping, c.FreeFrom}
		groups[p] = append(groups[p], page.Country(code))
	}
	prices := make([]price, 0, len(groups))
	for p := range groups {
		prices = append(prices, p)
	}
	slices.SortFunc(prices, func(a, b price) int { return cmp.Compare(a.shipping, b.shipping) })
	for _, p := range prices {
		slices.Sort(groups[p])
		f.Rates = append(f.Rates, rate{money.New(p.shipping, s.settings.Currency), s.from(p.from), strings.Join(groups[p], ", ")})
	}
	return f
}

// from is an amount without empty decimals; "" for none.
func (s *service) from(minor int64) string {
	if minor == 0 {
		return ""
	}
	text := s.text(money.New(minor, s.settings.Currency))
	return strings.TrimSuffix(strings.TrimSuffix(text, ".00"), ",00")
}

// article is a country's name as it stands in a sentence.
func article(code string) string {
	switch code {
	case "GB":
		return "the UK"
	case "US":
		return "the US"
	case "NL":
		return "the Netherlands"
	}
	return page.Country(code)
}

// span says a duration as people do.
func span(d time.Duration) string {
	switch {
	case d >= 2*time.Minute:
		return itoa(int(d.Minutes())) + " minutes"
	case d == time.Minute:
		return "a minute"
	}
	return itoa(int(d.Seconds())) + " seconds"
}
