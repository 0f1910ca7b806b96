package events

import (
	"time"

	"github.com/google/uuid"
)

// ProductVariant is one thing that can be bought: a SKU with its price.
type ProductVariant struct {
	SKU           string            `json:"sku"`
	Options       map[string]string `json:"options"` // such as {"Size": "M"}; empty when there is only one variant
	Variant       string            `json:"variant"` // their values in the product's order, such as "M / Blue"
	Price         Money             `json:"price"`
	InitialStock  int               `json:"initial_stock"`   // for a consumer that does not know the SKU; never a correction
	MaxPerShopper *int              `json:"max_per_shopper"` // how many one account may have, in its cart and its orders; null: no limit of its own
}

// Product is what the events of products carry: the product as it was right after the change. Version
// grows with every change, so the event with the greatest version is the latest.
type Product struct {
	ProductID uuid.UUID        `json:"product_id"`
	Version   int              `json:"version"`
	Slug      string           `json:"slug"`
	Name      string           `json:"name"`
	Status    string           `json:"status"` // published or unlisted
	Variants  []ProductVariant `json:"variants"`
	At        time.Time        `json:"at"`
}

// ProductPublished tells that shoppers can see and buy a product, for the first time or again.
type ProductPublished struct{ Product }

// ProductChanged tells that a published product is not as it was; it may have new variants.
type ProductChanged struct{ Product }

// ProductWithdrawn tells that shoppers can no longer see or buy a product. It is not deleted, and may be
// published again.
type ProductWithdrawn struct{ Product }

// Topic names the event's topic.
func (ProductPublished) Topic() string { return "product.published.v1" }

// Topic names the event's topic.
func (ProductChanged) Topic() string { return "product.changed.v1" }

// Topic names the event's topic.
func (ProductWithdrawn) Topic() string { return "product.withdrawn.v1" }

// StockRequest is somebody's wish to hear by mail that a SKU is back.
type StockRequest struct {
	RequestID uuid.UUID `json:"request_id"` // the secret of the links in the mail
	Email     string    `json:"email"`
	SKU       string    `json:"sku"`
	Slug      string    `json:"slug"`
	Name      string    `json:"name"`
	Variant   string    `json:"variant"` // which of the product's variants, such as "M / Blue"
	ImageURL  string    `json:"image_url"`
	At        time.Time `json:"at"`
}

// StockRequested tells that somebody without an account wants to hear when a SKU is back, and has still to confirm the
// address. It is told at most once a day for one address.
type StockRequested struct{ StockRequest }

// StockReturned tells somebody who waited for a SKU that it is back, once a request.
type StockReturned struct{ StockRequest }

// Topic names the event's topic.
func (StockRequested) Topic() string { return "stock.requested.v1" }

// Topic names the event's topic.
func (StockReturned) Topic() string { return "stock.returned.v1" }
