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
// with the country's separators, {{country .Code}}, {{date .At}} and {{moment .At}} as a <time>
// that a script may turn into the reader's own time zone.
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
	day, minute := "2 January 2006", "2 January 2006, 15:04"
	if strings.HasSuffix(locale, "-US") {
		day, minute = "January 2, 2006", "January 2, 2006, 3:04 PM"
	}
	stamp := func(t time.Time, layout, kind, zone string) template.HTML {
		if t.IsZero() {
			return ""
		}
		t = t.UTC()
		// Nothing but a date gets in here.
		return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `" data-` + kind + `>` + t.Format(layout) + zone + `</time>`)
	}
	return template.FuncMap{
		"money":   text,
		"country": Country,
		"date":    func(t time.Time) template.HTML { return stamp(t, day, "date", "") },
		"moment":  func(t time.Time) template.HTML { return stamp(t, minute, "moment", " UTC") },
	}
}
