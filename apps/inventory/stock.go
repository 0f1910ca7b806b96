// Command inventory is the service that knows how much of each SKU there is, who holds it, and why it went.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/kit/problem"
)

// What a caller may be told about stock.
var (
	ErrSKUNotFound  = problem.New(problem.NotFound, "sku-not-found", "There is no such SKU")
	ErrOutOfStock   = problem.New(problem.Conflict, "out-of-stock", "Not enough stock")
	ErrLimitReached = problem.New(problem.Conflict, "limit-reached", "A shopper cannot have more")
	ErrStockHeld    = problem.New(problem.Conflict, "stock-held", "Units that are held cannot be taken away")
	ErrHoldReleased = problem.New(problem.Conflict, "hold-released", "The order's hold was given back for good")
	ErrHoldDiffers  = problem.New(problem.Conflict, "hold-differs", "The order holds other lines")
	ErrHoldNotFound = problem.New(problem.NotFound, "hold-not-found", "There is no such hold")
	ErrOrdersHold   = problem.New(problem.Conflict, "hold-of-an-order", "What an order holds ends with the order: cancel it")
)

// ErrNotHeld means that an order was confirmed that has nothing to sell: its hold is unknown, or was given back
// although nobody cancelled the order. It is for people: money was taken, and no unit is set aside.
var ErrNotHeld = errors.New("confirmed order holds no stock")

// Limits of what one caller can ask for. They are far above what carts allows a shopper; they bound what a broken or
// hostile caller can do.
const (
	maxQuantity = 1_000         // units in one line
	maxSKUs     = 50            // SKUs that one shopper's carts can hold at a time, lines of an order
	maxOnHand   = 1_000_000_000 // units of a SKU
	maxRetries  = 2             // times that a declined order's units go back to the cart, for one hold
)

// Stock is one SKU as it is kept. Its methods change it and return what goes into the ledger; whoever calls them
// holds the row's lock and has swept the cart holds that have lapsed.
type Stock struct {
	SKU       string `json:"sku"`
	OnHand    int64  `json:"on_hand"` // units that are here, held or not
	CartHeld  int64  `json:"cart_held"`
	OrderHeld int64  `json:"order_held"`
	Sold      int64  `json:"sold"`
	Number    int64  `json:"number"`    // of the last ledger entry
	InStock   bool   `json:"in_stock"`  // as stock.crossed last told
	Crossings int64  `json:"crossings"` // how often it was told

	MaxPerShopper *int64 `json:"-"` // of an account, in its cart and its orders together; nil: no limit

	Drop uuid.UUID `json:"-"` // in whose open lot it is; nil: in none
	Lot  drop.Lot  `json:"-"` // of that drop; its units are held, sold and counted like any others, the free ones are set aside
}

// Entry is one line of a SKU's ledger. Before and After are units on hand.
type Entry struct {
	SKU    string    `json:"sku"`
	Number int64     `json:"number" doc:"1, 2, 3 … for each SKU"`
	Kind   string    `json:"kind" enum:"initial,movement,import,sale,return"`
	Delta  int64     `json:"delta" doc:"Positive: came in. Negative: went out"`
	Before int64     `json:"before" doc:"Units on hand before"`
	After  int64     `json:"after" doc:"Units on hand after"`
	Reason string    `json:"reason"`
	Ref    string    `json:"ref" doc:"The order, product, import row or administrator behind it"`
	At     time.Time `json:"at"`
}

// Unpromised is what nobody holds and no lot sets aside.
func (s *Stock) Unpromised() int64 { return s.OnHand - s.CartHeld - s.OrderHeld - s.Lot.Free }

// Available is what anybody could take now. Of a SKU that is in a lot nobody can take what was not claimed.
func (s *Stock) Available() int64 {
	if s.Drop != uuid.Nil {
		return 0
	}
	return s.Unpromised()
}

// Lapse ends a cart's hold: its units are free again, in the lot of which they were claimed if it is open.
func (s *Stock) Lapse(h CartHold) {
	s.CartHeld -= h.Quantity
	s.lotOf(h.Drop).Lapse(h.Quantity)
}

// CartHold is what a shopper's cart holds of one SKU. The zero value holds nothing.
type CartHold struct {
	Quantity  int64
	ExpiresAt time.Time
	Retries   int       // times that it came back from a declined order
	Drop      uuid.UUID // of whose lot all of it was claimed; nil: of none
}

// Within refuses a quantity that exceeds the SKU's limit, for a shopper whose cart holds current and whose orders have
// ordered units. Errors: ErrLimitReached, with the "limit", and what this shopper may have in "available".
func (s *Stock) Within(current CartHold, ordered, quantity int64) error {
	if s.MaxPerShopper == nil || quantity <= *s.MaxPerShopper-ordered || quantity == 0 {
		return nil
	}
	mayHave := max(0, min(*s.MaxPerShopper-ordered, s.Available()+current.Quantity))
	return ErrLimitReached.With("sku", s.SKU).With("limit", *s.MaxPerShopper).With("available", mayHave)
}

// SetCart sets a shopper's hold, which is current, to a quantity; 0 ends it. A first hold lasts ttl, a changed one
// keeps its end. The shopper's orders have ordered units. Errors: ErrClaimRequired as NeedsClaim; ErrLimitReached as Within;
// ErrOutOfStock, with what this shopper may have in "available".
func (s *Stock) SetCart(current CartHold, ordered, quantity int64, now time.Time, ttl time.Duration) (CartHold, error) {
	if err := s.NeedsClaim(current, quantity); err != nil {
		return current, err
	}
	if err := s.Within(current, ordered, quantity); err != nil {
		return current, err
	}
	if mayHave := s.Available() + current.Quantity; quantity > mayHave {
		return current, ErrOutOfStock.With("available", mayHave)
	}
	s.CartHeld += quantity - current.Quantity
	s.lotOf(current.Drop).Lapse(current.Quantity - quantity)
	switch {
	case quantity == 0:
		return CartHold{}, nil
	case current.Quantity == 0:
		return CartHold{Quantity: quantity, ExpiresAt: now.Add(ttl)}, nil
	case quantity > current.Quantity:
		current.Drop = uuid.Nil // the lot is closed, and not all of it was claimed any more
	}
	current.Quantity = quantity
	return current, nil
}

// Merge joins the holds of a guest and of the account that the guest turned out to be, for a line of so many units.
// The joined hold ends when the first of the two would have: logging in must not prolong it. The account's orders have
// ordered units, and the line gets no more than the SKU's limit leaves. What is not free is not held, except what the
// two had. A claim stays as it is, and the guest's hold ends: a login takes nothing from a lot. held tells whether the line
// is held whole.
func (s *Stock) Merge(guest, account CartHold, ordered, quantity int64, now time.Time, ttl time.Duration) (hold CartHold, held bool) {
	if s.claimed(account) {
		s.Lapse(guest)
		return account, account.Quantity >= quantity
	}
	had := guest.Quantity + account.Quantity
	s.CartHeld -= had
	within := quantity
	if s.MaxPerShopper != nil {
		within = min(quantity, max(0, *s.MaxPerShopper-ordered))
	}
	joined := CartHold{Quantity: min(within, had), ExpiresAt: earliest(guest, account), Retries: max(guest.Retries, account.Retries)}
	if within <= s.Available() {
		joined.Quantity = within
	}
	held = joined.Quantity == quantity
	if joined.Quantity == 0 {
		return CartHold{}, held
	}
	if had == 0 {
		joined.ExpiresAt = now.Add(ttl)
	}
	s.CartHeld += joined.Quantity
	return joined, held
}

func earliest(holds ...CartHold) time.Time {
	var first time.Time
	for _, h := range holds {
		if h.Quantity > 0 && (first.IsZero() || h.ExpiresAt.Before(first)) {
			first = h.ExpiresAt
		}
	}
	return first
}

// HoldForOrder makes a shopper's cart hold the order's, and takes what is missing from the free units. What the cart
// held beyond the order's line is free again. It reports what this shopper may have, and whether that was enough;
// if not, nothing has changed. Of a SKU that is in a lot nothing can be missing: NeedsClaim comes first.
func (s *Stock) HoldForOrder(cart CartHold, quantity int64) (mayHave int64, ok bool) {
	mayHave = s.Available() + cart.Quantity
	if quantity > mayHave {
		return mayHave, false
	}
	s.CartHeld -= cart.Quantity
	s.OrderHeld += quantity
	s.lotOf(cart.Drop).Lapse(cart.Quantity - quantity)
	return mayHave, true
}

// Unhold gives an order's held units back, those that were claimed to the open lot of that drop.
func (s *Stock) Unhold(quantity int64, of uuid.UUID) {
	s.OrderHeld -= quantity
	s.lotOf(of).Lapse(quantity)
}

// Retry gives the held units of a declined order back to its shopper's cart, so that nobody takes them while the
// shopper reaches for another card. from is the cart's hold that the order took; the cart holds them as long as it
// would have, and at least for retry. After maxRetries they are free: declines keep nothing for ever. What was claimed is
// kept until the claim's own time is over, and no longer: others wait for it. What the cart holds by now is the shopper's
// newer wish and stays as it is.
func (s *Stock) Retry(quantity int64, from, cart CartHold, now time.Time, retry time.Duration) CartHold {
	until, over := latest(from.ExpiresAt, now.Add(retry)), from.Retries >= maxRetries
	if s.claimed(from) {
		until, over = from.ExpiresAt, !from.ExpiresAt.After(now)
	}
	if over || cart.Quantity > 0 {
		s.Unhold(quantity, from.Drop)
		return cart
	}
	s.OrderHeld -= quantity
	s.CartHeld += quantity
	return CartHold{Quantity: quantity, ExpiresAt: until, Retries: from.Retries + 1, Drop: from.Drop}
}

// Sell turns an order's held units into sold ones, also in the open lot of which they were claimed: they leave.
func (s *Stock) Sell(quantity int64, of, order uuid.UUID, now time.Time) Entry {
	s.OrderHeld -= quantity
	s.Sold += quantity
	s.lotOf(of).Sell(quantity)
	return s.enter("sale", -quantity, "order confirmed", order.String(), now)
}

// Return takes an order's sold units back: they are free again, in the lot of which they were claimed if it is open.
func (s *Stock) Return(quantity int64, of, order uuid.UUID, now time.Time) Entry {
	s.Sold -= quantity
	s.lotOf(of).Return(quantity)
	return s.enter("return", quantity, "order cancelled", order.String(), now)
}

// Move brings units in (delta > 0) or takes out free ones, none that a lot sets aside. kind is initial, movement or import; delta is not 0.
// Errors: ErrStockHeld, with what could be taken in "available"; ErrInvalid beyond maxOnHand.
func (s *Stock) Move(kind string, delta int64, reason, ref string, now time.Time) (Entry, error) {
	switch {
	case delta < -s.Unpromised():
		return Entry{}, ErrStockHeld.With("available", s.Unpromised())
	case delta > maxOnHand-s.OnHand:
		return Entry{}, problem.InvalidField("body", problem.CodeTooLarge, fmt.Sprintf("no more than %d units of a SKU", maxOnHand))
	}
	return s.enter(kind, delta, reason, ref, now), nil
}

func (s *Stock) enter(kind string, delta int64, reason, ref string, now time.Time) Entry {
	e := Entry{SKU: s.SKU, Number: s.Number + 1, Kind: kind, Delta: delta, Before: s.OnHand, After: s.OnHand + delta, Reason: reason, Ref: ref, At: now}
	s.Number, s.OnHand = e.Number, e.After
	return e
}

// Cross reports whether there is something again, or nothing any more, since this was last told; it counts as told.
func (s *Stock) Cross() bool {
	if s.InStock == (s.Available() > 0) {
		return false
	}
	s.InStock = !s.InStock
	s.Crossings++
	return true
}

// Line is so many units of a SKU.
type Line struct {
	SKU      string
	Quantity int64
}

// sorted returns lines in the order in which rows are locked, one line a SKU.
func sorted(lines []Line) []Line {
	lines = slices.Clone(lines)
	slices.SortStableFunc(lines, func(a, b Line) int { return cmp.Compare(a.SKU, b.SKU) })
	out := lines[:0]
	for _, l := range lines {
		if n := len(out); n > 0 && out[n-1].SKU == l.SKU {
			out[n-1].Quantity += l.Quantity
			continue
		}
		out = append(out, l)
	}
	return out
}

// State is where an order's hold stands: held → sold → released, or held → released. released is final.
type State string

// The states of an order's hold.
const (
	Held     State = "held"
	Sold     State = "sold"
	Released State = "released"
)

// Reason says why an order's hold was released.
type Reason string

// The reasons of a release.
const (
	ByCancel  Reason = "cancelled" // the order was cancelled
	ByDecline Reason = "declined"  // the order was cancelled because its payment was declined
	ByRefusal Reason = "refused"   // orders refused to place the order after it was held
	ByVoid    Reason = "void"      // orders voided the id when asked
)

// Cancels reports whether orders has cancelled the order.
func (r Reason) Cancels() bool { return r == ByCancel || r == ByDecline }

// whyCancelled is the reason of a release whose order was cancelled, for the reason that orders tells.
func whyCancelled(reason string) Reason {
	if reason == "payment-declined" {
		return ByDecline
	}
	return ByCancel
}

// OrderHold is what an order holds or has sold. Lines are sorted by SKU.
type OrderHold struct {
	OrderID uuid.UUID
	Shopper string
	State   State
	Reason  Reason // of a release
	Lines   []Line
	From    map[string]CartHold // by SKU, what the cart held when the order took it; its quantity is not kept
}

// add takes a line in, and what the cart held when the order took it.
func (h *OrderHold) add(l Line, from CartHold) {
	if h.From == nil {
		h.From = map[string]CartHold{}
	}
	h.Lines, h.From[l.SKU] = append(h.Lines, l), from
}

// SKUs are those of the hold's lines.
func (h *OrderHold) SKUs() []string {
	skus := make([]string, 0, len(h.Lines))
	for _, l := range h.Lines {
		skus = append(skus, l.SKU)
	}
	return skus
}

// Again decides about a hold that is asked for a second time: nil when it is the same one. Errors: ErrHoldReleased,
// ErrHoldDiffers.
func (h *OrderHold) Again(shopper string, lines []Line) error {
	switch {
	case h.State == Released:
		return ErrHoldReleased
	case h.Shopper != shopper || !slices.Equal(h.Lines, lines):
		return ErrHoldDiffers
	}
	return nil
}

// Sell notes that the order was confirmed and reports whether its units have to be sold now. A cancellation beats the
// confirmation, whichever came first. Errors: ErrNotHeld when the hold was given back for another reason.
func (h *OrderHold) Sell() (bool, error) {
	switch {
	case h.State == Held:
		h.State = Sold
		return true, nil
	case h.State == Sold || h.Reason.Cancels():
		return false, nil
	}
	return false, fmt.Errorf("order %s, released (%s): %w", h.OrderID, h.Reason, ErrNotHeld)
}

// Release gives the hold back and returns the state in which it was. A cancellation is kept as the reason even when
// the hold was released before: it explains a confirmation that comes late.
func (h *OrderHold) Release(why Reason) (was State) {
	was = h.State
	if was != Released || why.Cancels() && !h.Reason.Cancels() {
		h.Reason = why
	}
	h.State = Released
	return was
}
