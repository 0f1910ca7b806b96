package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode/utf8"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/pricing"
)

//go:embed templates/*.html templates/*.txt
var templateFiles embed.FS

// templates holds the HTML of each kind: its own file within the layout.
var templates = func() map[Kind]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{
		"button": func(url, text string) map[string]string { return map[string]string{"URL": url, "Text": text} },
		// Blank characters behind the preheader keep mail clients from previewing the heading after it.
		"filler": func() template.HTML { return template.HTML(strings.Repeat("&#847;&zwnj;&nbsp;", 60)) },
	}).ParseFS(templateFiles, "templates/layout.html"))
	all := map[Kind]*template.Template{}
	for _, k := range Kinds {
		all[k] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, "templates/"+string(k)+".html"))
	}
	return all
}()

// textTemplates holds the text of each kind, for those who do not read HTML.
var textTemplates = func() map[Kind]*texttemplate.Template {
	layout := texttemplate.Must(texttemplate.New("layout.txt").Funcs(texttemplate.FuncMap{"line": HeaderText}).ParseFS(templateFiles, "templates/layout.txt"))
	all := map[Kind]*texttemplate.Template{}
	for _, k := range Kinds {
		all[k] = texttemplate.Must(texttemplate.Must(layout.Clone()).ParseFS(templateFiles, "templates/"+string(k)+".txt"))
	}
	return all
}()

// parts are the two forms of a mail.
type parts struct{ HTML, Text string }

// view is what the templates show; which fields are set depends on the kind.
type view struct {
	Subject   string
	Home      string // the storefront
	Host      string // its name for people
	FirstName string

	Code    string
	Minutes int

	Number    string
	OrderURL  string
	CartURL   string
	Lines     []line
	Sums      []sum
	Total     string
	Facts     []fact
	Carrier   string
	Tracking  string
	Cancelled cancellation

	TrackingURL string

	Amount       string
	ForCancelled bool

	Product    line   // that somebody waits for
	RequestURL string // where an address confirms, or stops

	Drop drop
}

// drop is one that somebody is told of. Until is when their time is over, as its clocks show it.
type drop struct {
	Title, URL, Until string
	SoldOut           bool
}

type line struct {
	Name, Variant, SKU, URL, Image, Initial, UnitPrice, Total string
	Quantity                                                  int
}

type sum struct {
	Label, Amount string
	First, Strong bool
}

type fact struct {
	Label string
	Lines []string
}

// cancellation is what a customer is told about why an order ended, and about the money.
type cancellation struct {
	Short, Money string
	TryAgain     bool
}

func cancellationFor(reason string) cancellation {
	const back = "What you have paid goes back the way that you paid. We write again when it is sent."
	switch reason {
	case "out-of-stock":
		return cancellation{"Something that you ordered is sold out, and we are sorry.", back, false}
	case "timed-out":
		return cancellation{"Your payment did not arrive in time.", "Should it still arrive, it goes back to you at once. What you wanted is still in your cart, if you would like to try again.", true}
	case "by-customer":
		return cancellation{"You asked us to.", back, false}
	default: // by-shop
		return cancellation{"We could not complete it, and are sorry.", back, false}
	}
}

// renderer turns mails into HTML. PublicURL is the storefront's address, without a slash at the end.
type renderer struct{ PublicURL string }

// HTML renders a mail. It fails for a mail whose data was wiped.
func (r renderer) HTML(m *Mail) ([]byte, error) {
	t, ok := templates[m.Kind]
	if !ok {
		return nil, fmt.Errorf("mail of an unknown kind %q", m.Kind)
	}
	v, err := r.view(m)
	if err != nil {
		return nil, fmt.Errorf("mail %s: %w", m.Kind, err)
	}
	var out bytes.Buffer
	if err := t.ExecuteTemplate(&out, "layout", v); err != nil {
		return nil, fmt.Errorf("mail %s: %w", m.Kind, err)
	}
	return out.Bytes(), nil
}

// Text renders a mail as text. It fails for a mail whose data was wiped.
func (r renderer) Text(m *Mail) (string, error) {
	t, ok := textTemplates[m.Kind]
	if !ok {
		return "", fmt.Errorf("mail of an unknown kind %q", m.Kind)
	}
	v, err := r.view(m)
	if err != nil {
		return "", fmt.Errorf("mail %s: %w", m.Kind, err)
	}
	var out strings.Builder
	if err := t.ExecuteTemplate(&out, "layout", v); err != nil {
		return "", fmt.Errorf("mail %s: %w", m.Kind, err)
	}
	return out.String(), nil
}

// Parts renders both.
func (r renderer) Parts(m *Mail) (parts, error) {
	html, err := r.HTML(m)
	if err != nil {
		return parts{}, err
	}
	text, err := r.Text(m)
	return parts{string(html), text}, err
}

func (r renderer) view(m *Mail) (view, error) {
	v := view{Subject: m.Subject, Home: r.PublicURL + "/", Host: r.PublicURL, CartURL: r.PublicURL + "/cart"}
	if u, err := url.Parse(r.PublicURL); err == nil && u.Host != "" {
		v.Host = u.Host
	}
	switch m.Kind {
	case VerifyEmail, PasswordReset, EmailChange:
		var c Code
		if err := json.Unmarshal(m.Data, &c); err != nil {
			return v, err
		}
		if c.Code == "" {
			return v, fmt.Errorf("the code was wiped")
		}
		v.FirstName, v.Code, v.Minutes = c.FirstName, c.Code, c.Minutes()
	case Welcome:
		var e events.AccountActivated
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return v, err
		}
		v.FirstName = e.FirstName
	case Invitation:
		var e events.AccountImported
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return v, err
		}
		v.FirstName = e.FirstName
	case EmailNotice:
		var e events.AccountEmailChangeAsked
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return v, err
		}
		v.FirstName = e.FirstName
	case OrderRefunded:
		var e events.PaymentRefunded
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return v, err
		}
		v.Number, v.OrderURL = e.Number, r.PublicURL+"/orders/"+e.OrderID.String()
		v.Amount, v.ForCancelled = text(e.Amount), e.Reason == "order-cancelled"
		v.Sums = []sum{{Label: "You paid", Amount: text(e.Captured), First: true}, {Label: "Refunded until now", Amount: text(e.Refunded), Strong: true}}
	case StockConfirm, BackInStock:
		var e events.StockRequest
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return v, err
		}
		v.Product = r.line(e.Name, e.Slug, e.ImageURL)
		v.Product.Variant, v.Product.SKU = e.Variant, e.SKU
		v.RequestURL = r.PublicURL + "/notify/" + e.RequestID.String()
	case DropCalled:
		var e events.DropCalled
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return v, err
		}
		zone, err := time.LoadLocation(e.Zone)
		if err != nil {
			zone = time.UTC
		}
		v.Drop = drop{Title: e.Title, URL: r.drop(e.Slug), Until: e.Until.In(zone).Format("Monday 2 January, 15:04 MST")}
	case DropMissed:
		var e events.DropMissed
		if err := json.Unmarshal(m.Data, &e); err != nil {
			return v, err
		}
		v.Drop = drop{Title: e.Title, URL: r.drop(e.Slug), SoldOut: e.SoldOut}
	default:
		var o events.Order
		if err := json.Unmarshal(m.Data, &o); err != nil {
			return v, err
		}
		r.order(&v, o)
	}
	v.FirstName = HeaderText(v.FirstName)
	return v, nil
}

func (r renderer) order(v *view, o events.Order) {
	v.FirstName, v.Number, v.OrderURL, v.Total = o.FirstName, o.Number, r.PublicURL+"/orders/"+o.OrderID.String(), text(o.Total)
	for _, l := range o.Lines {
		shown := r.line(l.Name, l.Slug, l.ImageURL)
		shown.Variant, shown.SKU, shown.Quantity = l.Variant, l.SKU, l.Quantity
		shown.UnitPrice, shown.Total = text(l.UnitPrice), text(l.LineTotal)
		v.Lines = append(v.Lines, shown)
	}
	v.Sums = sums(o)
	v.Cancelled = cancellationFor(o.Reason)
	if o.Shipment != nil {
		v.Carrier, v.Tracking, v.TrackingURL = o.Shipment.Carrier, o.Shipment.TrackingNumber, o.Shipment.TrackingURL
		v.Facts = append(v.Facts, fact{"Tracking number", []string{v.Carrier + " " + v.Tracking}})
	}
	a := o.Address
	f := fact{Label: "Delivery to"}
	for _, s := range []string{a.Name, a.Line1, a.Line2, strings.TrimSpace(a.PostalCode + " " + a.City), a.Region, page.Country(a.Country)} {
		if s != "" {
			f.Lines = append(f.Lines, s)
		}
	}
	if f.Lines != nil {
		v.Facts = append(v.Facts, f)
	}
}

func (r renderer) drop(slug string) string { return r.PublicURL + "/drops/" + url.PathEscape(slug) }

// line is a product as it is shown.
func (r renderer) line(name, slug, image string) line {
	initial, _ := utf8.DecodeRuneInString(name)
	return line{
		Name: name, URL: r.PublicURL + "/products/" + url.PathEscape(slug), Image: r.absolute(image),
		Initial: strings.ToUpper(string(initial)),
	}
}

// sums are the lines below an order.
func sums(o events.Order) []sum {
	all := []sum{{Label: "Subtotal", Amount: text(o.Subtotal)}}
	if o.Discount.Amount != 0 {
		all = append(all, sum{Label: "Discount", Amount: text(events.Money{Amount: -o.Discount.Amount, Currency: o.Discount.Currency})})
	}
	shipping := text(o.Shipping)
	if o.Shipping.Amount == 0 {
		shipping = "Free"
	}
	all = append(all, sum{Label: "Delivery", Amount: shipping})
	included := pricing.TaxIncluded(money.Money(o.Subtotal), money.Money(o.Discount), money.Money(o.Shipping), money.Money(o.Total))
	if o.Tax.Amount != 0 && !included {
		all = append(all, sum{Label: "Tax", Amount: text(o.Tax)})
	}
	all = append(all, sum{Label: "Total", Amount: text(o.Total), Strong: true})
	if o.Tax.Amount != 0 && included {
		all = append(all, sum{Label: "Of which tax", Amount: text(o.Tax)})
	}
	all[0].First = true
	return all
}

// absolute makes an address that a mail client can load; "" when it is neither a path of the shop nor a web address.
func (r renderer) absolute(at string) string {
	u, err := url.Parse(at)
	switch {
	case err != nil || at == "":
		return ""
	case u.Scheme == "http" || u.Scheme == "https":
		return at
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(at, "/"):
		return r.PublicURL + at
	}
	return ""
}

func text(m events.Money) string { return money.Money(m).String() }
