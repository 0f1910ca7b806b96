// Package events is the shop's published vocabulary: what services tell each other after it happened.
//
// One file per producing service. Every event is a struct that names its topic, which is also its
// CloudEvent type; the last part of the name is the version. A field is only ever added: a change that
// would break a reader is a new version beside the old one.
package events

// Money is an amount in minor units (pence, cents) of one currency (ISO 4217). It has the fields of
// kit/money.Money in the same order, so that the two convert: events.Money(m).
type Money struct {
	Amount   int64  `json:"amount_minor"`
	Currency string `json:"currency"`
}

// Address is a delivery address as it was when the order was placed.
type Address struct {
	Name       string `json:"name"`
	Line1      string `json:"line1"`
	Line2      string `json:"line2,omitempty"`
	City       string `json:"city"`
	Region     string `json:"region,omitempty"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"`         // ISO 3166-1 alpha-2
	Phone      string `json:"phone,omitempty"` // for the carrier, in international form (E.164)
}

// OrderLine is one line of an order: a snapshot, which later changes of the product do not touch.
type OrderLine struct {
	SKU       string `json:"sku"`
	Slug      string `json:"slug"`
	Name      string `json:"name"`
	Variant   string `json:"variant,omitempty"` // which of the product's variants, such as "M / Blue"
	ImageURL  string `json:"image_url"`
	Quantity  int    `json:"quantity"`
	UnitPrice Money  `json:"unit_price"`
	Discount  Money  `json:"discount"`   // of the whole line
	Tax       Money  `json:"tax"`        // of the whole line
	LineTotal Money  `json:"line_total"` // what the customer pays for the line
}

// Shipment says who carries a parcel and under which number.
type Shipment struct {
	Carrier        string `json:"carrier"`
	TrackingNumber string `json:"tracking_number"`
	TrackingURL    string `json:"tracking_url,omitempty"` // the carrier's page about the parcel
	Corrected      bool   `json:"corrected,omitempty"`    // it was told otherwise before
}
