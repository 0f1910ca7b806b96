package events

import (
	"time"

	"github.com/google/uuid"
)

// ProductVariant is one thing that can be bought: a SKU with its price.
type ProductVariant struct {
	SKU           string            `json:"sku"`
	Options       map[string]string `json:"options"` // such as {"Size": "M"}; empty when there is only one variant
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
