package page

import (
	"html/template"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"golang.org/x/text/message"
	"golang.org/x/text/number"

	"github.com/stampede-shop/stampede/kit/money"
)

// Locale is the language of the pages as a country writes it: "en-GB".
func Locale(country string) string { return "en-" + country }

var regions = display.Regions(language.BritishEnglish)

// Country is the name of a country by its code (ISO 3166-1 alpha-2), or the
// code when there is no such country.
func Country(code string) string {
	region, err := language.ParseRegion(code)
	if err != nil {
		return code
	}
	return regions.Name(region)
}

// Formats are template functions that write for a locale: {{money .Total}}
// with the country's separators, and {{country .Code}}.
func Formats(locale string) template.FuncMap {
	printer := message.NewPrinter(language.Make(locale))
	text := func(m money.Money) string {
		plain := m.String() // "£1999.50", "-CHF 12.00"
		start := strings.IndexAny(plain, "0123456789")
		if start < 0 {
			return plain
		}
		digits := 0
		if _, fraction, ok := strings.Cut(plain[start:], "."); ok {
			digits = len(fraction)
		}
		whole := float64(m.Amount)
		if whole < 0 {
			whole = -whole
		}
		for range digits {
			whole /= 10
		}
		return plain[:start] + printer.Sprint(number.Decimal(whole, number.Scale(digits)))
	}
	return template.FuncMap{"money": text, "country": Country}
}

// Times are template functions that write times for a locale, as the shop's clocks show them: {{date .At}} and, with the
// zone's name, {{moment .At}}, {{instant .At}} with its seconds, and {{clock .At}} without its date. Each is a <time>; the
// zero time is nothing. No script changes them: what a filter by day finds is what the rows say.
func Times(locale string, zone *time.Location) template.FuncMap {
	layouts := map[string]string{
		"date": "2 January 2006", "moment": "2 Jan 2006, 15:04 MST", "instant": "2 Jan 2006, 15:04:05 MST", "clock": "15:04 MST",
	}
	if strings.HasSuffix(locale, "-US") {
		layouts = map[string]string{
			"date": "January 2, 2006", "moment": "Jan 2, 2006, 3:04 PM MST", "instant": "Jan 2, 2006, 3:04:05 PM MST",
			"clock": "3:04 PM MST",
		}
	}
	all := template.FuncMap{}
	for name, layout := range layouts {
		all[name] = func(t time.Time) template.HTML {
			if t.IsZero() {
				return ""
			}
			t = t.In(zone)
			// Nothing but a date gets in here.
			return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `">` + t.Format(layout) + `</time>`)
		}
	}
	return all
}

// DayBegins is when a day, "2006-01-02", begins in a zone, also where the clocks change at midnight. The next day may begin
// 23 or 25 hours later.
func DayBegins(day string, zone *time.Location) (time.Time, error) {
	at, err := time.ParseInLocation(time.DateOnly, day, zone)
	if err != nil {
		return at, err
	}
	if at.Format(time.DateOnly) < day { // there is no midnight: the day begins when the clocks go on
		_, at = at.ZoneBounds()
	} else if first := at.Add(-time.Hour); first.Format(time.DateOnly) == day { // there are two
		at = first
	}
	return at, nil
}
