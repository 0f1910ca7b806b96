package events

import (
	"time"

	"github.com/google/uuid"
)

// StockCrossed tells that a SKU is in stock again (something is available, neither sold nor held), or no longer.
// Number grows with every such event of the SKU, so the event with the greatest number is the latest. A SKU that was
// never told about is not in stock.
type StockCrossed struct {
	SKU     string    `json:"sku"`
	InStock bool      `json:"in_stock"`
	Number  int64     `json:"number"`
	At      time.Time `json:"at"`
}

// Topic names the event's topic.
func (StockCrossed) Topic() string { return "stock.crossed.v1" }

// LotChanged tells that nothing of a drop's lot of a SKU is free any more, or something again. It only wakes who waits for
// units: how many there are is inventory's to tell when it is asked.
type LotChanged struct {
	DropID uuid.UUID `json:"drop_id"`
	SKU    string    `json:"sku"`
	Free   int64     `json:"free"`
	At     time.Time `json:"at"`
}

// Topic names the event's topic.
func (LotChanged) Topic() string { return "lot.changed.v1" }
