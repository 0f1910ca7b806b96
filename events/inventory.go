package events

import "time"

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
