package main

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/text"
	"github.com/stampede-shop/stampede/pricing"
)

// ErrImportedNotFound is the answer about an order that no file has brought.
var ErrImportedNotFound = problem.New(problem.NotFound, "imported-order-not-found", "There is no such imported order")

// Imported is an order of a shop before this one. It is history: nothing is held, charged, sent or counted for it.
type Imported struct {
	ID       uuid.UUID   `json:"id"`
	Number   string      `json:"number" doc:"As the other shop had it"`
	Email    string      `json:"email"`
	PlacedAt time.Time   `json:"placed_at"`
	Total    money.Money `json:"total"`
	ImportedDetails
}

// ImportedDetails are what is kept of an imported order as one value.
type ImportedDetails struct {
	Payment     string         `json:"payment" doc:"In the other shop's words, such as paid"`
	Fulfilment  string         `json:"fulfilment" doc:"In the other shop's words, such as fulfilled"`
	CancelledAt *time.Time     `json:"cancelled_at"`
	Lines       []ImportedLine `json:"lines" nullable:"false"`
	Subtotal    money.Money    `json:"subtotal" doc:"Less the discount, as the other shop has it"`
	Discount    money.Money    `json:"discount"`
	Shipping    money.Money    `json:"shipping"`
	Tax         money.Money    `json:"tax"`
	Refunded    money.Money    `json:"refunded" doc:"By the other shop"`
	PromoCode   string         `json:"promo_code"`
	Method      string         `json:"shipping_method"`
	Address     *PastAddress   `json:"address" doc:"Where it was sent"`
	Billing     *PastAddress   `json:"billing" doc:"Where the bill went"`
}

// ImportedLine is what was bought.
type ImportedLine struct {
	SKU       string      `json:"sku"`
	Name      string      `json:"name"`
	Quantity  int         `json:"quantity"`
	UnitPrice money.Money `json:"unit_price"`
}

// PastAddress is where something went once: in the words of the file, whatever its country's rules.
type PastAddress struct {
	_          struct{} `nullable:"true"`
	Name       string   `json:"name"`
	Company    string   `json:"company"`
	Line1      string   `json:"line1"`
	Line2      string   `json:"line2"`
	City       string   `json:"city"`
	Region     string   `json:"region"`
	PostalCode string   `json:"postal_code"`
	Country    string   `json:"country"`
	Phone      string   `json:"phone"`
}

// Shopify's columns. Of an order's rows the first has all of them, the others those of a line.
var importedColumns = map[string][]string{
	"name": {"name"}, "email": {"email"}, "payment": {"financial status"}, "fulfilment": {"fulfillment status"},
	"currency": {"currency"}, "subtotal": {"subtotal"}, "shipping": {"shipping"}, "tax": {"taxes"}, "total": {"total"},
	"discount code": {"discount code"}, "discount": {"discount amount"}, "shipping method": {"shipping method"},
	"created at": {"created at"}, "cancelled at": {"cancelled at"}, "refunded": {"refunded amount"},
	"quantity": {"lineitem quantity"}, "line": {"lineitem name"}, "price": {"lineitem price"}, "SKU": {"lineitem sku"},

	"shipping name": {"shipping name"}, "shipping company": {"shipping company"},
	"shipping line 1": {"shipping address1", "shipping street"},
	"shipping line 2": {"shipping address2"}, "shipping city": {"shipping city"}, "shipping region": {"shipping province"},
	"shipping postcode": {"shipping zip"}, "shipping country": {"shipping country"}, "shipping phone": {"shipping phone"},
	"billing name": {"billing name"}, "billing company": {"billing company"}, "billing line 1": {"billing address1", "billing street"},
	"billing line 2": {"billing address2"}, "billing city": {"billing city"}, "billing region": {"billing province"},
	"billing postcode": {"billing zip"}, "billing country": {"billing country"}, "billing phone": {"billing phone"},
}

// isOrders tells whether a header is that of a file of orders.
func isOrders(header []string) bool {
	return csvfile.Find(header, importedColumns).Has("name", "created at", "total", "currency", "line")
}

// maxImportedLines is how many rows an order of a file may have.
const maxImportedLines = 1000

var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

// ReadImported makes an order of its rows. Without time, currency or total it is refused; what else cannot be taken is noted.
func ReadImported(rows []csvfile.Record, at csvfile.Columns) (Imported, csvfile.Row) {
	out := csvfile.Row{Line: rows[0].Line, Outcome: csvfile.Refused, Reason: rows[0].Refused, Notes: []string{}}
	if rows[0].Refused != "" {
		return Imported{}, out
	}
	first := rows[0]
	cell := func(name string, most int) string { return at.Line(first, name, most, &out) }
	out.Name = cell("name", 100)
	o := Imported{Number: out.Name}
	var ok bool
	currency := strings.ToUpper(cell("currency", 3))
	amount := func(name, text string) money.Money {
		m, err := money.Parse(text, currency)
		if err != nil || m.Amount > pricing.MaxAmount {
			out.Note("%s is not an amount such as 19.99", name)
			return money.Zero(currency)
		}
		return m
	}
	sum := func(name string) money.Money {
		if s := cell(name, 40); s != "" {
			return amount(name, s)
		}
		return money.Zero(currency)
	}
	placed := cell("created at", 40)
	switch total, err := money.Parse(cell("total", 40), currency); {
	case o.Number == "":
		out.Reason = "the row has no Name"
	case len(rows) > maxImportedLines:
		out.Reason = "the order has more than " + strconv.Itoa(maxImportedLines) + " rows"
	case !currencyCode.MatchString(currency):
		out.Reason = "the order has no Currency, a code of three letters"
	case err != nil || total.Amount > pricing.MaxAmount:
		out.Reason = "the Total is not an amount such as 19.99"
	default:
		o.Total = total
	}
	if o.PlacedAt, ok = readTime(placed); !ok && out.Reason == "" {
		out.Reason = "Created at is not a time such as 2024-03-05 14:02:11 +0100"
	}
	if out.Reason != "" {
		return Imported{}, out
	}
	if email := cell("email", 254); email != "" {
		if o.Email, ok = text.Email(email); !ok {
			o.Email = ""
			out.Note("the e-mail address was not taken")
		}
	}
	o.ImportedDetails = ImportedDetails{
		Payment: cell("payment", 40), Fulfilment: cell("fulfilment", 40), Lines: []ImportedLine{},
		Subtotal: sum("subtotal"), Discount: sum("discount"), Shipping: sum("shipping"), Tax: sum("tax"), Refunded: sum("refunded"),
		PromoCode: cell("discount code", 255), Method: cell("shipping method", 255),
		Address: readPastAddress("shipping", cell), Billing: readPastAddress("billing", cell),
	}
	if s := cell("cancelled at", 40); s != "" {
		if when, ok := readTime(s); ok {
			o.CancelledAt = &when
		} else {
			out.Note("cancelled at is not a time")
		}
	}
	for _, rec := range rows {
		if rec.Refused != "" {
			out.Note("line %d: %s", rec.Line, rec.Refused)
			continue
		}
		l := ImportedLine{SKU: at.Line(rec, "SKU", 255, &out), Name: at.Line(rec, "line", 500, &out), UnitPrice: money.Zero(currency)}
		quantity, price := at.Line(rec, "quantity", 12, &out), at.Line(rec, "price", 40, &out)
		if l.Name == "" && l.SKU == "" && quantity == "" {
			continue
		}
		var err error
		if l.Quantity, err = strconv.Atoi(quantity); err != nil || l.Quantity < 0 || l.Quantity > 100_000 {
			out.Note("line %d: the quantity is not a number", rec.Line)
			l.Quantity = 0
		}
		if price != "" {
			l.UnitPrice = amount("price", price)
		}
		o.Lines = append(o.Lines, l)
	}
	out.Outcome = csvfile.Created
	return o, out
}

// readTime reads a time as Shopify writes it, with the shop's offset.
func readTime(s string) (time.Time, bool) {
	for _, layout := range []string{"2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05 UTC", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1990 && t.Year() < 2100 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

func readPastAddress(kind string, cell func(name string, most int) string) *PastAddress {
	a := PastAddress{
		Name: cell(kind+" name", 200), Company: cell(kind+" company", 200), Line1: cell(kind+" line 1", 200),
		Line2: cell(kind+" line 2", 200),
		City:  cell(kind+" city", 120), Region: cell(kind+" region", 120), PostalCode: cell(kind+" postcode", 20),
		Country: cell(kind+" country", 60), Phone: cell(kind+" phone", 40),
	}
	if a == (PastAddress{}) {
		return nil
	}
	return &a
}
