package events

import (
	"time"

	"github.com/google/uuid"
)

// PaymentCaptured tells that an order's money was taken: its total, once. It is sent again, with a new
// event id, when order.placed comes again after the charge ended.
type PaymentCaptured struct {
	OrderID    uuid.UUID `json:"order_id"`
	Amount     Money     `json:"amount"`
	CapturedAt time.Time `json:"captured_at"`
}

// PaymentFailed tells that an order's charge has ended without taking money that stays. It is sent again as
// PaymentCaptured is. With the reason amount-differs another amount than the order's total was taken: all of
// it goes back, and PaymentRefunded tells that.
type PaymentFailed struct {
	OrderID uuid.UUID `json:"order_id"`
	Amount  Money     `json:"amount"`
	Reason  string    `json:"reason"` // card-declined, insufficient-funds, authentication-required, method-unknown, amount-differs, …
}

// PaymentRefunded tells that one refund of an order's payment was made. An order may have several, and
// their events overtake each other: Refunded only grows, the greatest is the latest. Captured is what was
// taken, so Refunded == Captured means that all of it went back; both are in the currency that was taken, which is
// not the order's when that is why the payment failed.
type PaymentRefunded struct {
	OrderID    uuid.UUID `json:"order_id"`
	RefundID   uuid.UUID `json:"refund_id"`
	Number     string    `json:"number"` // the order's number, for people
	Email      string    `json:"email"`
	Amount     Money     `json:"amount"`   // of this refund
	Refunded   Money     `json:"refunded"` // of all refunds made until now, this one included
	Captured   Money     `json:"captured"`
	Reason     string    `json:"reason"` // what staff wrote; order-cancelled, amount-differs; refunded-at-provider: made in the provider's own pages
	RefundedAt time.Time `json:"refunded_at"`
}

// Topic names the event's topic.
func (PaymentCaptured) Topic() string { return "payment.captured.v1" }

// Topic names the event's topic.
func (PaymentFailed) Topic() string { return "payment.failed.v1" }

// Topic names the event's topic.
func (PaymentRefunded) Topic() string { return "payment.refunded.v1" }
