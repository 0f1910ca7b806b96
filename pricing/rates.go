package pricing

// What a parcel costs, in minor units of the shop's currency, and the subtotal from which it is free.
var (
	toHome   = Country{Shipping: 399, FreeFrom: 5_000}
	toEurope = Country{Shipping: 899, FreeFrom: 15_000}
	toWorld  = Country{Shipping: 1_499, FreeFrom: 0}
)

// standard rates of value added or sales tax, in thousandths of a percent. One rate a country: the shop's goods
// (clothes, home, sports) are taxed at the standard rate; reduced rates, American states and Canadian provinces
// are not told apart.
//
// Sources, as of January 2026:
//   - United Kingdom: gov.uk/vat-rates (20 %)
//   - European Union: Your Europe, "VAT rules and rates", table of standard rates (europa.eu); with the latest
//     changes SK 23 % (January 2025), EE 24 % (July 2025), RO 21 % (August 2025), FI 25.5 % (September 2024)
//   - Switzerland: Federal Tax Administration, 8.1 % since January 2024; Norway: Skatteetaten, 25 %;
//     Iceland: Skatturinn, 24 %
//   - Australia: ATO, GST 10 %; New Zealand: Inland Revenue, GST 15 %; Japan: National Tax Agency, 10 %
//   - Canada: Canada Revenue Agency, federal GST 5 %; prices are shown without it
//   - United States: no federal sales tax; states tax where a seller has nexus, which this shop does not
var (
	includedInEurope = map[string]int64{
		"AT": 20 * percent, "BE": 21 * percent, "BG": 20 * percent, "CH": 8_100, "CY": 19 * percent,
		"CZ": 21 * percent, "DE": 19 * percent, "DK": 25 * percent, "EE": 24 * percent, "ES": 21 * percent,
		"FI": 25_500, "FR": 20 * percent, "GB": 20 * percent, "GR": 24 * percent, "HR": 25 * percent,
		"HU": 27 * percent, "IE": 23 * percent, "IS": 24 * percent, "IT": 22 * percent, "LT": 21 * percent,
		"LU": 17 * percent, "LV": 21 * percent, "MT": 18 * percent, "NL": 21 * percent, "NO": 25 * percent,
		"PL": 23 * percent, "PT": 23 * percent, "RO": 21 * percent, "SE": 25 * percent, "SI": 22 * percent,
		"SK": 23 * percent,
	}
	includedElsewhere = map[string]int64{"AU": 10 * percent, "JP": 10 * percent, "NZ": 15 * percent}
	onTop             = map[string]int64{"CA": 5 * percent, "US": 0}
)

// Builtin returns the built-in table for a shop with one currency (ISO 4217) that sits in the country home
// (ISO 3166-1 alpha-2): parcels within home cost least.
func Builtin(currency, home string) Rates {
	rates := Rates{Currency: currency, Countries: map[string]Country{}}
	add := func(table map[string]int64, included bool, parcel Country) {
		for code, tax := range table {
			country := parcel
			if code == home {
				country = toHome
			}
			country.Tax, country.TaxIncluded = tax, included
			rates.Countries[code] = country
		}
	}
	add(includedInEurope, true, toEurope)
	add(includedElsewhere, true, toWorld)
	add(onTop, false, toWorld)
	return rates
}
