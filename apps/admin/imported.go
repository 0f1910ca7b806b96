package main

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
)

// imported is an order of a shop before this one, as orders answers it.
type imported struct {
	ID          uuid.UUID      `json:"id"`
	AccountID   *uuid.UUID     `json:"account_id"`
	Number      string         `json:"number"`
	Email       string         `json:"email"`
	Forgotten   bool           `json:"forgotten"`
	PlacedAt    time.Time      `json:"placed_at"`
	CancelledAt *time.Time     `json:"cancelled_at"`
	Payment     string         `json:"payment"`
	Fulfilment  string         `json:"fulfilment"`
	Lines       []importedLine `json:"lines"`
	Subtotal    money.Money    `json:"subtotal"`
	Discount    money.Money    `json:"discount"`
	PromoCode   string         `json:"promo_code"`
	Shipping    money.Money    `json:"shipping"`
	Method      string         `json:"shipping_method"`
	Tax         money.Money    `json:"tax"`
	Total       money.Money    `json:"total"`
	Refunded    money.Money    `json:"refunded"`
	Address     *pastAddress   `json:"address"`
	Billing     *pastAddress   `json:"billing"`
}

type importedLine struct {
	SKU       string      `json:"sku"`
	Name      string      `json:"name"`
	Quantity  int         `json:"quantity"`
	UnitPrice money.Money `json:"unit_price"`
}

// Sum is what the line came to, before discounts.
func (l importedLine) Sum() money.Money { return l.UnitPrice.Mul(l.Quantity) }

type pastAddress struct {
	Name       string `json:"name"`
	Company    string `json:"company"`
	Line1      string `json:"line1"`
	Line2      string `json:"line2"`
	City       string `json:"city"`
	Region     string `json:"region"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"`
	Phone      string `json:"phone"`
}

// customer is who placed it, as far as that is kept.
func (o imported) customer() cell {
	c := text(o.Email)
	switch {
	case o.Forgotten:
		return text("deleted account")
	case o.AccountID != nil:
		c.Href = "/admin/customers/" + o.AccountID.String()
	}
	return c
}

// state is what became of it, in the other shop's words.
func (o imported) state() string {
	if o.CancelledAt != nil {
		return "cancelled"
	}
	return o.Fulfilment
}

func importedAt(id uuid.UUID) string { return "/admin/orders/imported/" + id.String() }

var importedList = list[imported]{
	App: "orders", API: "/api/v1/admin/orders/imported", At: "/admin/orders/imported", Title: "Imported orders",
	Lead:    "Orders of the shop before this one. They are history: no figure counts them, and nothing is sent or refunded for them here.",
	Filters: []filter{{Name: "q", Type: "search", Label: "Number or e-mail", Hint: "#1001 or ann@…"}},
	Sorts:   []option{{Value: "newest", Label: "Newest first"}, {Value: "oldest", Label: "Oldest first"}},
	Columns: []column[imported]{
		{Name: "Order", Class: "breaks", Cell: func(o imported) cell { return cell{Kind: "code", Text: o.Number, Href: importedAt(o.ID)} }},
		{Name: "Placed", Up: "oldest", Down: "newest", Cell: func(o imported) cell { return moment(o.PlacedAt) }},
		{Name: "Customer", Class: "wide", Cell: imported.customer},
		{Name: "Status", Class: "breaks", Cell: func(o imported) cell { return text(o.state()) }},
		{Name: "Payment", Class: "breaks", Cell: func(o imported) cell { return text(o.Payment) }},
		{Name: "Total", Class: "number", Cell: func(o imported) cell { return amount(o.Total) }},
		{Name: "Currency", Hidden: true, Cell: func(o imported) cell { return text(o.Total.Currency) }},
		{Name: "Refunded", Hidden: true, Cell: func(o imported) cell { return text(decimal(o.Refunded)) }},
	},
	Acts:   []link{{Name: "Import", Href: orderImport.At}},
	Crumbs: []crumb{{"Orders", "/admin/orders"}},
	Empty:  empty{Title: "No imported orders here", Text: "The orders of the shop before this one can be brought in from a file."},
}

var orderImport = importKind{
	App: "orders", API: "/api/v1/admin/orders/import", At: "/admin/orders/import", Title: "Import orders",
	Back: crumb{"Imported orders", "/admin/orders/imported"}, Label: "Order file",
	Hint:  "The CSV of orders that Shopify exports. Up to 64 MB.",
	Group: "name", Names: []string{"Order"},
	Wrong: "It must be a CSV file with the columns that Shopify exports of orders: " +
		"Name, Created at, Currency, Total or Lineitem name is missing.",
	How: []string{
		"Imported orders are history: they are in a list of their own, no stock is taken, no figure counts them, and no mail is sent.",
		"Who has an account with the e-mail address of an order, and has verified it, sees it in the shop below the own orders.",
		"The same file again changes nothing. A newer file changes what has changed.",
	},
}

func (s *service) importedRoutes(r chi.Router) {
	importedList.routes(s, r)
	s.importRoutes(r, orderImport)
	r.Get("/admin/orders/imported/{id}", s.page(s.showImported))
}

func (s *service) showImported(r *http.Request) (page.Answer, error) {
	id, err := id(r)
	if err != nil {
		return nil, err
	}
	o, err := get[imported](r.Context(), s, "orders", "/api/v1/admin/orders/imported/"+id.String(), nil)
	if err != nil {
		return nil, err
	}
	return page.Show("imported", page.View{Title: "Imported order " + o.Number, Data: o}), nil
}
