// Command orders is the service that turns a cart into an order and keeps the order's life:
// pending → confirmed → shipped → delivered, or cancelled.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/postal"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/text"
)

// What a caller may be told about orders.
var (
	ErrOrderNotFound  = problem.New(problem.NotFound, "order-not-found", "There is no such order")
	ErrNotCancellable = problem.New(problem.Conflict, "order-not-cancellable", "The order is on its way and can no longer be cancelled")
	ErrNotShippable   = problem.New(problem.Conflict, "order-not-shippable", "Only a confirmed order can be shipped")
	ErrOrderRefunded  = problem.New(problem.Conflict, "order-refunded", "Money of the order was given back")
	ErrNotShipped     = problem.New(problem.Conflict, "order-not-shipped", "The order is not on its way")
	ErrNotDeliverable = problem.New(problem.Conflict, "order-not-deliverable", "Only a shipped order can be delivered")
	ErrAddressFixed   = problem.New(problem.Conflict, "order-address-fixed", "The order's address can no longer be changed")
	ErrOtherCountry   = problem.New(problem.Conflict, "order-other-country", "In another country the order would cost something else")
)

// errAnotherAmount means that payments reports a capture that is not the order's total.
var errAnotherAmount = errors.New("not the total")

// Status is where an order stands. cancelled and delivered are final.
type Status string

// The statuses of an order.
const (
	Pending   Status = "pending"
	Confirmed Status = "confirmed"
	Shipped   Status = "shipped"
	Delivered Status = "delivered"
	Cancelled Status = "cancelled"
)

// CancelReason says why an order was cancelled.
type CancelReason string

// The reasons of a cancellation.
const (
	PaymentDeclined CancelReason = "payment-declined"
	OutOfStock      CancelReason = "out-of-stock" // said by the shop, when a piece is missing on the shelf
	TimedOut        CancelReason = "timed-out"
	ByCustomer      CancelReason = "by-customer"
	ByShop          CancelReason = "by-shop"
)

// PaymentStatus is where the money stands. It only moves forward, in the order of paymentRank.
type PaymentStatus string

// The statuses of a payment.
const (
	PaymentPending           PaymentStatus = "pending"
	PaymentFailed            PaymentStatus = "failed"
	PaymentCaptured          PaymentStatus = "captured"
	PaymentRefundPending     PaymentStatus = "refund_pending"
	PaymentPartiallyRefunded PaymentStatus = "partially_refunded"
	PaymentRefunded          PaymentStatus = "refunded"
)

// paymentRank orders the payment statuses. captured is above failed, because money that was taken after all
// must be seen (and given back).
var paymentRank = map[PaymentStatus]int{
	PaymentPending: 0, PaymentFailed: 1, PaymentCaptured: 2, PaymentRefundPending: 3, PaymentPartiallyRefunded: 4, PaymentRefunded: 5,
}

// Address is where an order is delivered to.
type Address = postal.Address

// Line is one line of an order: a snapshot of what was bought.
type Line struct {
	SKU       string      `json:"sku"`
	Slug      string      `json:"slug"`
	Name      string      `json:"name"`
	Variant   string      `json:"variant" doc:"Which of the product's variants, such as 'M / Blue'; empty when there is but one"`
	ImageURL  string      `json:"image_url"`
	Quantity  int         `json:"quantity"`
	Weight    int         `json:"weight_grams" doc:"Of one unit; 0: not known"`
	UnitPrice money.Money `json:"unit_price"`
	Discount  money.Money `json:"discount"`
	Tax       money.Money `json:"tax"`
	LineTotal money.Money `json:"line_total"`
}

// Totals is what an order costs.
type Totals struct {
	Subtotal money.Money `json:"subtotal"`
	Discount money.Money `json:"discount"`
	Tax      money.Money `json:"tax"`
	Shipping money.Money `json:"shipping"`
	Total    money.Money `json:"total"`
}

// Payment is where the money of an order stands, as far as payments has told.
type Payment struct {
	Status   PaymentStatus `json:"status" enum:"pending,captured,failed,refund_pending,partially_refunded,refunded"`
	Method   string        `json:"method"`
	Refunded money.Money   `json:"refunded" doc:"What was given back so far"`
}

// Shipment says who carries the parcel.
type Shipment struct {
	_              struct{} `nullable:"true"` // null until it is shipped
	Carrier        string   `json:"carrier"`
	TrackingNumber string   `json:"tracking_number"`
	TrackingURL    *string  `json:"tracking_url" format:"uri" doc:"The carrier's page about the parcel, when the shop knows it"`
}

// same reports whether it is the same parcel.
func (s Shipment) same(other Shipment) bool {
	return s.Carrier == other.Carrier && s.TrackingNumber == other.TrackingNumber
}

// Moment is when an order got a status.
type Moment struct {
	Status  Status    `json:"status" enum:"pending,confirmed,shipped,delivered,cancelled"`
	At      time.Time `json:"at"`
	Version int       `json:"-"`
}

// Order is an order, as it is kept and as clients see it. Version grows with every change.
type Order struct {
	ID        uuid.UUID `json:"id"`
	Number    string    `json:"number" doc:"For people"`
	Status    Status    `json:"status" enum:"pending,confirmed,shipped,delivered,cancelled"`
	Version   int       `json:"version"`
	Email     string    `json:"email"`
	Lines     []Line    `json:"lines" nullable:"false"`
	PromoCode *string   `json:"promo_code" doc:"Null: the shop has no promotions yet"`
	Totals              // flat
	Address   Address   `json:"address"`

	ReaddressedAt *time.Time `json:"readdressed_at" doc:"When the address was last changed after the order was placed; null: never"`

	Payment      Payment   `json:"payment"`
	Shipment     *Shipment `json:"shipment"`
	CancelReason *string   `json:"cancel_reason" enum:"payment-declined,out-of-stock,timed-out,by-customer,by-shop"`
	CancelNote   string    `json:"cancel_note,omitempty" doc:"The reason in the words of whoever cancelled"`
	History      []Moment  `json:"history" nullable:"false"`
	CreatedAt    time.Time `json:"created_at"`

	AccountID  uuid.UUID `json:"-"`
	FirstName  string    `json:"-"`
	CheckoutID uuid.UUID `json:"-"`
	Forgotten  bool      `json:"-"` // who placed it has deleted the account, and is not kept any more
}

// Event is what a transition tells the other services; nil when there is nothing to tell.
type Event interface{ Topic() string }

// Placement is what an order is made from.
type Placement struct {
	ID, AccountID, CheckoutID uuid.UUID
	Email, FirstName          string
	Lines                     []Line
	Totals                    Totals
	Address                   Address
	PaymentMethod             string
}

// Place makes a pending order.
func Place(p Placement, now time.Time) (*Order, Event) {
	o := &Order{
		ID: p.ID, Number: Number(p.ID), Email: p.Email, FirstName: p.FirstName, AccountID: p.AccountID, CheckoutID: p.CheckoutID,
		Lines: p.Lines, Totals: p.Totals, Address: p.Address,
		Payment:   Payment{Status: PaymentPending, Method: p.PaymentMethod, Refunded: money.Zero(p.Totals.Total.Currency)},
		CreatedAt: now,
	}
	o.become(Pending, now)
	return o, events.OrderPlaced{Order: o.snapshot()}
}

// Remind tells once more that a pending order waits for its payment. It changes nothing.
func (o *Order) Remind() Event {
	if o.Status != Pending {
		return nil
	}
	return events.OrderPlaced{Order: o.snapshot()}
}

// Captured notes that the money was taken: a pending order is confirmed. A cancelled one stays cancelled, and
// says so once more, so that payments gives the money back even if it never saw the first cancellation.
// Another amount than the total pays for nothing, whoever says so. Errors: errAnotherAmount.
func (o *Order) Captured(amount money.Money, now time.Time) (Event, error) {
	if amount != o.Total {
		return nil, fmt.Errorf("order %s: captured %v: %w (%v)", o.ID, amount, errAnotherAmount, o.Total)
	}
	seen := !o.pay(PaymentCaptured)
	switch {
	case o.Status == Pending:
		o.become(Confirmed, now)
		return events.OrderConfirmed{Order: o.snapshot()}, nil
	case o.Status == Cancelled && !seen:
		o.pay(PaymentRefundPending)
		o.Version++
		return events.OrderCancelled{Order: o.snapshot()}, nil
	case !seen:
		o.Version++
	}
	return nil, nil
}

// Declined notes that the money could not be had: a pending order is cancelled.
func (o *Order) Declined(now time.Time) Event {
	if paymentRank[o.Payment.Status] > paymentRank[PaymentFailed] {
		return nil // it was captured: failure cannot follow
	}
	return o.end(PaymentDeclined, now)
}

// TimedOut notes that payments gave the charge up at our request: a pending order is cancelled.
func (o *Order) TimedOut(now time.Time) Event {
	if paymentRank[o.Payment.Status] > paymentRank[PaymentFailed] {
		return nil
	}
	return o.end(TimedOut, now)
}

func (o *Order) end(reason CancelReason, now time.Time) Event {
	changed := o.pay(PaymentFailed)
	if o.Status != Pending {
		if changed {
			o.Version++
		}
		return nil
	}
	return o.cancel(reason, "", now)
}

// Refunded notes how much was given back in all. Smaller sums, told late, change nothing. The status stays.
func (o *Order) Refunded(total money.Money) {
	if total.Amount <= o.Payment.Refunded.Amount {
		return
	}
	o.Payment.Refunded = total
	if total.Amount >= o.Total.Amount {
		o.pay(PaymentRefunded)
	} else {
		o.pay(PaymentPartiallyRefunded)
	}
	o.Version++
}

// Cancel ends an order that is not on its way yet. A cancelled order stays as it is. Errors: ErrNotCancellable.
func (o *Order) Cancel(reason CancelReason, note string, now time.Time) (Event, error) {
	switch o.Status {
	case Cancelled:
		return nil, nil
	case Shipped, Delivered:
		return nil, ErrNotCancellable.With("order_status", o.Status)
	case Pending, Confirmed:
	}
	if o.Payment.Status == PaymentCaptured {
		o.pay(PaymentRefundPending)
	}
	return o.cancel(reason, note, now), nil
}

func (o *Order) cancel(reason CancelReason, note string, now time.Time) Event {
	why := string(reason)
	o.CancelReason, o.CancelNote = &why, note
	o.become(Cancelled, now)
	return events.OrderCancelled{Order: o.snapshot()}
}

// Ship hands a confirmed order to a carrier, one of which money was given back only if that is said. The same shipment again
// changes nothing. Errors: ErrNotShippable, ErrOrderRefunded.
func (o *Order) Ship(s Shipment, althoughRefunded bool, now time.Time) (Event, error) {
	if o.Shipment != nil && o.Shipment.same(s) {
		return nil, nil
	}
	if o.Status != Confirmed {
		return nil, ErrNotShippable.With("order_status", o.Status)
	}
	if !althoughRefunded && o.Payment.Refunded.Amount > 0 {
		return nil, ErrOrderRefunded.With("refunded", o.Payment.Refunded).With("total", o.Total).
			Detail("%v of %v went back to the customer", o.Payment.Refunded, o.Total)
	}
	o.Shipment = &s
	o.become(Shipped, now)
	return events.OrderShipped{Order: o.snapshot()}, nil
}

// Reship corrects what was said of a shipped order's parcel, and tells it. The same shipment changes nothing. Errors:
// ErrNotShipped.
func (o *Order) Reship(s Shipment, now time.Time) (Event, error) {
	if o.Shipment != nil && o.Shipment.same(s) {
		return nil, nil
	}
	if o.Status != Shipped {
		return nil, ErrNotShipped.With("order_status", o.Status)
	}
	o.Shipment = &s
	o.become(Shipped, now)
	return events.OrderShipped{Order: o.snapshot()}, nil
}

// Readdress sends an order that is not on its way yet somewhere else in the same country: tax and shipping follow from the
// country alone (pricing), so its price stays. The same address changes nothing. While it is pending nobody is told: the
// confirmation has the address. Errors: ErrAddressFixed, ErrOtherCountry.
func (o *Order) Readdress(a Address, now time.Time) (Event, error) {
	switch {
	case o.Status != Pending && o.Status != Confirmed:
		return nil, ErrAddressFixed.With("order_status", o.Status)
	case a.Country != o.Address.Country:
		return nil, ErrOtherCountry.With("country", o.Address.Country)
	case a == o.Address:
		return nil, nil
	}
	o.Address, o.ReaddressedAt = a, &now
	o.Version++
	if o.Status == Pending {
		return nil, nil
	}
	return events.OrderReaddressed{Order: o.snapshot()}, nil
}

// Deliver ends a shipped order well. Errors: ErrNotDeliverable.
func (o *Order) Deliver(now time.Time) (Event, error) {
	switch o.Status {
	case Delivered:
		return nil, nil
	case Shipped:
		o.become(Delivered, now)
		return events.OrderDelivered{Order: o.snapshot()}, nil
	case Pending, Confirmed, Cancelled:
	}
	return nil, ErrNotDeliverable.With("order_status", o.Status)
}

func (o *Order) become(s Status, now time.Time) {
	o.Version++
	o.Status = s
	o.History = append(o.History, Moment{Status: s, At: now, Version: o.Version})
}

// pay moves the payment's status forward and reports whether it moved.
func (o *Order) pay(s PaymentStatus) bool {
	if paymentRank[s] <= paymentRank[o.Payment.Status] {
		return false
	}
	o.Payment.Status = s
	return true
}

// snapshot is the order as its events carry it.
func (o *Order) snapshot() events.Order {
	e := o.snapshotAt(o.History[len(o.History)-1])
	e.Version = o.Version
	return e
}

// snapshotOf is the order as the event carried it that told of the change to a version, if there was one.
func (o *Order) snapshotOf(version int) (events.Order, bool) {
	for _, m := range o.History {
		if m.Version == version {
			return o.snapshotAt(m), true
		}
	}
	return events.Order{}, false
}

// snapshotAt is the order as the event carried it that told of moment m.
func (o *Order) snapshotAt(m Moment) events.Order {
	e := events.Order{
		OrderID: o.ID, Number: o.Number, Version: m.Version, Status: string(m.Status), AccountID: o.AccountID, Email: o.Email,
		FirstName: o.FirstName, CheckoutID: o.CheckoutID, Lines: make([]events.OrderLine, 0, len(o.Lines)),
		Subtotal: events.Money(o.Subtotal), Discount: events.Money(o.Discount), Tax: events.Money(o.Tax),
		Shipping: events.Money(o.Shipping), Total: events.Money(o.Total),
		Address: events.Address(o.Address), PaymentMethod: o.Payment.Method, PlacedAt: o.CreatedAt, At: m.At,
	}
	for _, l := range o.Lines {
		e.Lines = append(e.Lines, events.OrderLine{
			SKU: l.SKU, Slug: l.Slug, Name: l.Name, Variant: l.Variant, ImageURL: l.ImageURL, Quantity: l.Quantity, UnitPrice: events.Money(l.UnitPrice),
			Discount: events.Money(l.Discount), Tax: events.Money(l.Tax), LineTotal: events.Money(l.LineTotal),
		})
	}
	if m.Status == Cancelled && o.CancelReason != nil {
		e.Reason = *o.CancelReason
	}
	if (m.Status == Shipped || m.Status == Delivered) && o.Shipment != nil {
		e.Shipment = &events.Shipment{Carrier: o.Shipment.Carrier, TrackingNumber: o.Shipment.TrackingNumber}
		if o.Shipment.TrackingURL != nil {
			e.Shipment.TrackingURL = *o.Shipment.TrackingURL
		}
		e.Shipment.Corrected = m.Status == Shipped && slices.ContainsFunc(o.History, func(earlier Moment) bool {
			return earlier.Status == Shipped && earlier.Version < m.Version
		})
	}
	return e
}

// words are what the back office finds the order by: the buyer's name and the mail address before its @, the number, what was
// bought, and the parcel, also with what its number has between spaces put together.
func (o *Order) words() []string {
	mailbox, _, _ := strings.Cut(o.Email, "@")
	parts := []string{o.Number, strings.TrimPrefix(o.Number, numberPrefix), mailbox, o.FirstName, o.Address.Name}
	for _, l := range o.Lines {
		parts = append(parts, l.Name, l.Variant, l.SKU)
	}
	if o.Shipment != nil {
		parts = append(parts, o.Shipment.TrackingNumber, strings.ReplaceAll(o.Shipment.TrackingNumber, " ", ""))
	}
	return text.Words(strings.Join(parts, " "))
}

// numberPrefix begins every order's number.
const numberPrefix = "S-"

var numberPattern = regexp.MustCompile(`^(?i)S-[0-9A-HJKMNP-TV-Z]{10}$`)

// isNumber tells what is written like an order's number, in whatever letters.
func isNumber(s string) bool { return numberPattern.MatchString(s) }

// Number is an order's name for people: S- and ten characters of Crockford's base 32 (no I, L, O, U). They are
// the last 50 bits of the order id, which are random, so a number tells neither the next one nor how many
// there were.
func Number(id uuid.UUID) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	bits := binary.BigEndian.Uint64(id[8:])
	number := [12]byte([]byte(numberPrefix + "0000000000"))
	for i := range 10 {
		number[2+i] = digits[bits>>(45-5*i)&31]
	}
	return string(number[:])
}
