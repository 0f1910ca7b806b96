package events

import (
	"time"

	"github.com/google/uuid"
)

// Order is what every event of orders carries: the order as it was right after the change that the
// event tells. Status says which one it was: pending, confirmed, shipped, delivered or cancelled.
type Order struct {
	OrderID       uuid.UUID   `json:"order_id"`
	Number        string      `json:"number"` // for people, such as S-7K3M9QX2TB
	Version       int         `json:"version"`
	Status        string      `json:"status"`
	AccountID     uuid.UUID   `json:"account_id"`
	Email         string      `json:"email"`
	FirstName     string      `json:"first_name,omitempty"` // when the token named it
	CheckoutID    uuid.UUID   `json:"checkout_id"`          // the cart's, so that carts clears what was bought and no more
	Lines         []OrderLine `json:"lines"`
	Subtotal      Money       `json:"subtotal"`
	Discount      Money       `json:"discount"`
	Tax           Money       `json:"tax"`
	Shipping      Money       `json:"shipping"`
	Total         Money       `json:"total"`
	Address       Address     `json:"address"`
	PaymentMethod string      `json:"payment_method"`
	Reason        string      `json:"reason,omitempty"`   // of a cancelled order: payment-declined, out-of-stock, timed-out, by-customer, by-shop
	Shipment      *Shipment   `json:"shipment,omitempty"` // of a shipped order
	PlacedAt      time.Time   `json:"placed_at"`
	At            time.Time   `json:"at"` // when the order got this status
}

// OrderPlaced tells that an order waits for its payment. It is sent again, with a new event id, while the
// order stays pending: know the order by its id.
type OrderPlaced struct{ Order }

// OrderConfirmed tells that an order is paid.
type OrderConfirmed struct{ Order }

// OrderCancelled tells that an order has ended, and why. It is final and beats every other event of the
// order. It is sent again, with a new event id, when a payment is captured after it.
type OrderCancelled struct{ Order }

// OrderShipped tells that an order was handed to a carrier; Shipment is set. When carrier or number were wrong it is told
// once more, with Corrected.
type OrderShipped struct{ Order }

// OrderReaddressed tells that an order that is paid and not yet on its way goes to another address.
type OrderReaddressed struct{ Order }

// OrderDelivered tells that an order reached its customer; Shipment is set.
type OrderDelivered struct{ Order }

// OrderForgotten tells that whoever placed an order has deleted the account, and the order has ended: who that was is not to
// be kept anywhere. It is told once, and overtakes the other events of the order.
type OrderForgotten struct {
	OrderID   uuid.UUID `json:"order_id"`
	AccountID uuid.UUID `json:"account_id"`
	At        time.Time `json:"at"`
}

// Topic names the event's topic.
func (OrderForgotten) Topic() string { return "order.forgotten.v1" }

// Topic names the event's topic.
func (OrderPlaced) Topic() string { return "order.placed.v1" }

// Topic names the event's topic.
func (OrderConfirmed) Topic() string { return "order.confirmed.v1" }

// Topic names the event's topic.
func (OrderCancelled) Topic() string { return "order.cancelled.v1" }

// Topic names the event's topic.
func (OrderShipped) Topic() string { return "order.shipped.v1" }

// Topic names the event's topic.
func (OrderReaddressed) Topic() string { return "order.readdressed.v1" }

// Topic names the event's topic.
func (OrderDelivered) Topic() string { return "order.delivered.v1" }
