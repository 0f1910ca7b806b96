package shop

import "time"

// Money is an amount in minor units.
type Money struct {
	Amount   int64  `json:"amount_minor"`
	Currency string `json:"currency"`
}

// Pounds makes an amount from pence.
func Pounds(pence int64) Money { return Money{pence, "GBP"} }

// List is the body of a list.
type List[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// Totals is what a cart or an order costs.
type Totals struct {
	Subtotal Money `json:"subtotal"`
	Discount Money `json:"discount"`
	Tax      Money `json:"tax"`
	Shipping Money `json:"shipping"`
	Total    Money `json:"total"`
}

// Cart is a cart as its owner sees it.
type Cart struct {
	CheckoutID string     `json:"checkout_id"`
	Country    string     `json:"country"`
	Lines      []CartLine `json:"lines"`
	Removed    []struct {
		SKU    string `json:"sku"`
		Name   string `json:"name"`
		Reason string `json:"reason"`
	} `json:"removed"`
	PromoCode *string `json:"promo_code"`
	Totals
	ExpiresAt time.Time `json:"expires_at"`
}

// CartLine is one line of a cart.
type CartLine struct {
	SKU           string     `json:"sku"`
	Slug          string     `json:"slug"`
	Name          string     `json:"name"`
	Variant       string     `json:"variant"`
	ImageURL      string     `json:"image_url"`
	Quantity      int        `json:"quantity"`
	UnitPrice     Money      `json:"unit_price"`
	LineTotal     Money      `json:"line_total"`
	HoldExpiresAt *time.Time `json:"hold_expires_at"`
}

// Line returns the cart's line of a SKU, or nil.
func (c Cart) Line(sku string) *CartLine {
	for i := range c.Lines {
		if c.Lines[i].SKU == sku {
			return &c.Lines[i]
		}
	}
	return nil
}

// Address is where parcels go.
type Address struct {
	ID         string `json:"id,omitempty"`
	Name       string `json:"name"`
	Line1      string `json:"line1"`
	Line2      string `json:"line2,omitempty"`
	City       string `json:"city"`
	Region     string `json:"region,omitempty"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"`
	Phone      string `json:"phone,omitempty"`
}

// Home is an address that the shop delivers to.
var Home = Address{Name: "Ann Lee", Line1: "1 High Street", City: "Leeds", PostalCode: "LS1 1AA", Country: "GB"}

// Addresses abroad.
var (
	Dublin = Address{Name: "Ann Lee", Line1: "2 Low Street", City: "Dublin", PostalCode: "D02 A272", Country: "IE"}
	Ottawa = Address{Name: "Ann Lee", Line1: "80 Wellington Street", City: "Ottawa", Region: "ON", PostalCode: "K1A 0A2", Country: "CA"}
	Paris  = Address{Name: "Ann Lee", Line1: "2 Rue Haute", City: "Paris", PostalCode: "75001", Country: "FR"}
)

// Profile is what a shopper has told about themselves.
type Profile struct {
	AccountID string    `json:"account_id"`
	Email     string    `json:"email"`
	FirstName string    `json:"first_name"`
	LastName  string    `json:"last_name"`
	Phone     *string   `json:"phone"`
	Addresses []Address `json:"addresses"`
}

// Tokens is the answer to a login.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
}

// Order is an order as its owner sees it.
type Order struct {
	ID        string      `json:"id"`
	Number    string      `json:"number"`
	Status    string      `json:"status"`
	Version   int         `json:"version"`
	Email     string      `json:"email"`
	Lines     []OrderLine `json:"lines"`
	PromoCode *string     `json:"promo_code"`
	Totals
	Address Address `json:"address"`
	Payment struct {
		Status string `json:"status"`
		Method string `json:"method"`
	} `json:"payment"`
	Shipment *struct {
		Carrier        string `json:"carrier"`
		TrackingNumber string `json:"tracking_number"`
	} `json:"shipment"`
	CancelReason *string `json:"cancel_reason"`
	History      []struct {
		Status string    `json:"status"`
		At     time.Time `json:"at"`
	} `json:"history"`
	CreatedAt time.Time `json:"created_at"`
}

// Ended reports whether nothing more happens to the order by itself.
func (o Order) Ended() bool { return o.Status != "pending" }

// Statuses lists what the order has gone through.
func (o Order) Statuses() []string {
	var all []string
	for _, h := range o.History {
		all = append(all, h.Status)
	}
	return all
}

// OrderLine is one line of an order.
type OrderLine struct {
	SKU       string `json:"sku"`
	Slug      string `json:"slug"`
	Name      string `json:"name"`
	Variant   string `json:"variant"`
	ImageURL  string `json:"image_url"`
	Quantity  int    `json:"quantity"`
	UnitPrice Money  `json:"unit_price"`
	Discount  Money  `json:"discount"`
	Tax       Money  `json:"tax"`
	LineTotal Money  `json:"line_total"`
}

// Availability is how much of a SKU anybody may have.
type Availability struct {
	SKU       string    `json:"sku"`
	Available int       `json:"available"`
	AsOf      time.Time `json:"as_of"`
}

// Item is a product in a list.
type Item struct {
	ID        string  `json:"id"`
	Slug      string  `json:"slug"`
	SKU       string  `json:"sku"`
	Name      string  `json:"name"`
	Price     Money   `json:"price"`
	ImageURL  *string `json:"image_url"`
	Category  *string `json:"category"`
	Available int     `json:"available"`
	InStock   bool    `json:"in_stock"`
}

// Listing is a list of products with its facets.
type Listing struct {
	List[Item]
	Facets *struct {
		Categories []struct {
			Slug  string `json:"slug"`
			Name  string `json:"name"`
			Count int    `json:"count"`
		} `json:"categories"`
		Price struct {
			Min int64 `json:"min"` // minor units, as in min_price
			Max int64 `json:"max"`
		} `json:"price"`
		Options []struct {
			Name   string `json:"name"`
			Values []struct {
				Value string `json:"value"`
				Count int    `json:"count"`
			} `json:"values"`
		} `json:"options"`
	} `json:"facets"`
}

// Page is a product with everything that is shown of it.
type Page struct {
	Item
	Description string            `json:"description"`
	Images      []any             `json:"images"`
	Attributes  map[string]string `json:"attributes"`
	Version     int               `json:"version"`
	Variants    []struct {
		SKU       string            `json:"sku"`
		Options   map[string]string `json:"options"`
		Price     Money             `json:"price"`
		Available int               `json:"available"`
	} `json:"variants"`
}

// Payment is a charge as administrators see it.
type Payment struct {
	OrderID  string `json:"order_id"`
	State    string `json:"state"`
	Amount   Money  `json:"amount"`
	Refunded Money  `json:"refunded"`
	Left     Money  `json:"left"`
	Tries    int    `json:"tries"`
	Refunds  []struct {
		Amount Money  `json:"amount"`
		State  string `json:"state"`
		Reason string `json:"reason"`
	} `json:"refunds"`
	Webhooks []struct {
		EventID string `json:"event_id"`
		Type    string `json:"type"`
	} `json:"webhooks"`
}
