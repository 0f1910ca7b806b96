package events

import (
	"time"

	"github.com/google/uuid"
)

// DropScheduled tells that a drop will take place: its units are set aside, its rules are published and do not change any
// more.
type DropScheduled struct {
	DropID   uuid.UUID `json:"drop_id"`
	Slug     string    `json:"slug"`
	Title    string    `json:"title"`
	SKUs     []string  `json:"skus"`
	OpensAt  time.Time `json:"opens_at"`
	ClosesAt time.Time `json:"closes_at"`
	At       time.Time `json:"at"`
}

// Topic names the event's topic.
func (DropScheduled) Topic() string { return "drop.scheduled.v1" }

// DropOpened tells that the order of a drop's entries is drawn, and the first of them are called.
type DropOpened struct {
	DropID uuid.UUID `json:"drop_id"`
	Slug   string    `json:"slug"`
	SKUs   []string  `json:"skus"`
	At     time.Time `json:"at"`
}

// Topic names the event's topic.
func (DropOpened) Topic() string { return "drop.opened.v1" }

// DropCalled tells somebody who asked for it that it is their turn, until a time. It is told where a drop's rules say that
// the called get a mail, as in draws.
type DropCalled struct {
	DropID    uuid.UUID `json:"drop_id"`
	Slug      string    `json:"slug"`
	Title     string    `json:"title"`
	Zone      string    `json:"zone"` // IANA, in which times are told
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"`
	SKU       string    `json:"sku"`
	Until     time.Time `json:"until"` // then others are called
	At        time.Time `json:"at"`
}

// Topic names the event's topic.
func (DropCalled) Topic() string { return "drop.called.v1" }

// DropSoldOut tells that all units of a drop are paid. Nothing of it comes back to those who waited.
type DropSoldOut struct {
	DropID uuid.UUID `json:"drop_id"`
	Slug   string    `json:"slug"`
	SKUs   []string  `json:"skus"`
	At     time.Time `json:"at"`
}

// Topic names the event's topic.
func (DropSoldOut) Topic() string { return "drop.sold_out.v1" }

// DropClosed tells that a drop has ended with units left: its time was over, or staff ended it. What nobody has of it is
// anybody's again.
type DropClosed struct {
	DropID uuid.UUID `json:"drop_id"`
	Slug   string    `json:"slug"`
	SKUs   []string  `json:"skus"`
	At     time.Time `json:"at"`
}

// Topic names the event's topic.
func (DropClosed) Topic() string { return "drop.closed.v1" }

// DropMissed tells somebody who asked for it that a drop is over in which they got nothing.
type DropMissed struct {
	DropID    uuid.UUID `json:"drop_id"`
	Slug      string    `json:"slug"`
	Title     string    `json:"title"`
	AccountID uuid.UUID `json:"account_id"`
	Email     string    `json:"email"`
	SoldOut   bool      `json:"sold_out"` // all units are paid
	At        time.Time `json:"at"`
}

// Topic names the event's topic.
func (DropMissed) Topic() string { return "drop.missed.v1" }
