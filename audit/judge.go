package main

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// inFlight is how long services may disagree while an event is on its way.
const inFlight = time.Minute

// deadlines is how long each thing may take that ends by itself.
type deadlines struct {
	pending   time.Duration // an order that nobody decides, from when order.placed was first sent
	unplaced  time.Duration // units held for an order that was never placed
	inventory time.Duration // until inventory, and so on, has asked for what an event should have told it
	payments  time.Duration
	orders    time.Duration
	mail      time.Duration
}

// finding is one thing that does not add up. Since is when it last changed: a
// younger one than within may be on its way. Within is a minute where it is 0,
// and without since nothing is on its way.
type finding struct {
	what   string
	since  time.Time
	within time.Duration
}

// young reports whether it may still end by itself.
func (f finding) young(now time.Time) bool {
	return !f.since.IsZero() && now.Sub(f.since) < max(f.within, inFlight)
}

// What the services' databases say about one order. Amounts are minor units.
type (
	order struct {
		ID        uuid.UUID
		Status    string
		Payment   string
		Currency  string
		Total     int64
		Refunded  int64
		UpdatedAt time.Time
		SentAt    *time.Time // order.placed was first sent
	}
	charge struct {
		OrderID   uuid.UUID
		State     string
		Captured  int64 // what was taken
		Currency  string
		Refunded  int64 // sum of the refunds that are done
		Asked     int64 // and of those that are to be made
		Failed    int64 // how many cannot be made
		Booked    int64 // what the provider's own books say was taken; 0 when they are elsewhere
		Given     int64 // and given back
		HasBooks  bool
		UpdatedAt time.Time
	}
	hold struct {
		OrderID   uuid.UUID
		State     string
		ChangedAt time.Time
	}
)

// judgeOrder holds an order against its charge and its hold; nil is one that
// its service knows nothing of. What must be is in docs/operations.md, "Does
// it add up".
func judgeOrder(o *order, c *charge, h *hold, d deadlines, now time.Time) []finding {
	var found []finding
	add := func(since time.Time, within time.Duration, format string, a ...any) {
		found = append(found, finding{fmt.Sprintf(format, a...), since, within})
	}
	since := lastChange(o, c, h)
	captured, refunded := int64(0), int64(0)
	if c != nil {
		captured, refunded = c.Captured, c.Refunded
		if c.HasBooks && (c.Booked != captured || c.Given != refunded) {
			add(since, d.payments, "payments says captured %d, refunded %d; the provider's books say %d and %d", captured, refunded, c.Booked, c.Given)
		}
		if refunded > captured {
			add(since, 0, "refunded %d of %d captured", refunded, captured)
		}
		if c.Failed > 0 && refunded < captured {
			add(since, 0, "%d refunds cannot be made, and %d of %d captured is not given back", c.Failed, captured-refunded, captured)
		}
		if c.Asked > 0 {
			add(since, d.payments, "%d is to be given back", c.Asked)
		}
	}
	state := "none"
	if h != nil {
		state = h.State
	}
	if o == nil {
		if captured != refunded {
			add(since, d.payments, "no such order, captured %d, refunded %d", captured, refunded)
		}
		if state == "sold" || (state == "held" && now.Sub(since) > d.unplaced) {
			add(since, 0, "no such order, hold %s", state)
		}
		return found
	}
	switch o.Status {
	case "pending":
		if state != "held" {
			add(since, 0, "pending, hold %s", state)
		}
		if o.SentAt != nil && now.Sub(*o.SentAt) > d.pending {
			add(*o.SentAt, 0, "pending past its deadline")
		}
	case "cancelled":
		if captured != refunded {
			add(since, d.payments, "cancelled, captured %d, refunded %d", captured, refunded)
		}
		if state == "held" || state == "sold" {
			add(since, d.inventory, "cancelled, hold %s", state)
		}
	default: // confirmed, shipped, delivered
		if captured != o.Total || captured > 0 && c.Currency != o.Currency {
			currency := ""
			if c != nil {
				currency = c.Currency
			}
			add(since, 0, "%s, total %d %s, captured %d %s", o.Status, o.Total, o.Currency, captured, currency)
		}
		if state != "sold" {
			add(since, d.inventory, "%s, hold %s", o.Status, state)
		}
	}
	if o.Payment == "refund_pending" {
		add(since, d.payments+d.orders, "its refund is pending")
	}
	if o.Refunded != refunded {
		add(since, d.orders, "orders says refunded %d, payments %d", o.Refunded, refunded)
	}
	return found
}

// lastChange is when the youngest of the three was changed.
func lastChange(o *order, c *charge, h *hold) time.Time {
	var last time.Time
	later := func(at time.Time) {
		if at.After(last) {
			last = at
		}
	}
	if o != nil {
		later(o.UpdatedAt)
	}
	if c != nil {
		later(c.UpdatedAt)
	}
	if h != nil {
		later(h.ChangedAt)
	}
	return last
}

// stock is what inventory says about one SKU, in units: its counters, and the
// sums of the rows that each of them counts.
type stock struct {
	SKU                 string
	Free, Held, Sold    int64 // as shoppers see it: free is what nobody holds
	Entered             int64 // by the ledger, without sales and returns
	OnHand, Booked      int64 // counter, and sum of the ledger
	CartHeld, CartSum   int64 // counter, and sum of the carts' holds
	OrderHeld, OrderSum int64 // counter, and sum of the orders' holds
	SoldSum             int64 // sum of what orders have bought; its counter is Sold
}

// judgeStock: all of one SKU is changed in one transaction and read in one
// statement, so nothing is on its way.
func judgeStock(s stock) (found []finding) {
	if s.Free+s.Held+s.Sold != s.Entered {
		found = append(found, finding{what: fmt.Sprintf("free %d + held %d + sold %d is not %d, what came in", s.Free, s.Held, s.Sold, s.Entered)})
	}
	if s.OnHand != s.Booked || s.CartHeld != s.CartSum || s.OrderHeld != s.OrderSum || s.Sold != s.SoldSum || s.Free < 0 {
		found = append(found, finding{what: fmt.Sprintf("counters do not fit: on hand %d/%d, carts %d/%d, orders %d/%d, sold %d/%d, free %d",
			s.OnHand, s.Booked, s.CartHeld, s.CartSum, s.OrderHeld, s.OrderSum, s.Sold, s.SoldSum, s.Free)})
	}
	return found
}

// lot is what a drop has, or had, of a SKU, in units: as it was set aside, its
// counters in the SKU's row, and the sums of what each of them counts.
type lot struct {
	Drop             string
	SKU              string
	Open             bool  // its row in lots says so
	Standing         bool  // and so does the SKU's row; only then there are counters
	Units            int64 // that were set aside
	Free, Held, Sold int64
	HeldSum          int64 // claims in carts and in orders that are not paid
	SoldSum          int64 // claims in orders that are paid
}

// judgeLot: as with stock, nothing is on its way.
func judgeLot(l lot) (found []finding) {
	add := func(format string, a ...any) { found = append(found, finding{what: fmt.Sprintf(format, a...)}) }
	switch {
	case l.Open != l.Standing:
		add("its lot and its stock do not agree whether it is open")
	case l.Open && l.Free+l.Held+l.Sold != l.Units:
		add("free %d + held %d + sold %d is not %d, what was set aside", l.Free, l.Held, l.Sold, l.Units)
	}
	if l.Standing && (l.Held != l.HeldSum || l.Sold != l.SoldSum || l.Free < 0) {
		add("counters do not fit: held %d/%d, sold %d/%d, free %d", l.Held, l.HeldSum, l.Sold, l.SoldSum, l.Free)
	}
	if l.HeldSum+l.SoldSum > l.Units {
		add("held %d + sold %d are more than %d, what was set aside", l.HeldSum, l.SoldSum, l.Units)
	}
	return found
}

// mail is one of mail's log, and about what.
type mail struct {
	About       string
	Status      string
	CutOff      int // tries whose end nobody saw
	CreatedAt   time.Time
	LeasedUntil *time.Time // who sends it has it until then, be they dead: nobody else tries before
}

// judgeMail: it is sent in time, and not again and again.
func judgeMail(m mail, d deadlines) (found []finding) {
	if m.Status == "queued" {
		since := m.CreatedAt
		if m.LeasedUntil != nil && m.LeasedUntil.After(since) {
			since = *m.LeasedUntil
		}
		found = append(found, finding{"is not sent", since, d.mail})
	}
	if m.CutOff > 1 {
		found = append(found, finding{fmt.Sprintf("%d tries were cut off: it may have come more than twice", m.CutOff), m.CreatedAt, 0})
	}
	return found
}

// dueMail is a mail that an order or a refund has to have.
type dueMail struct {
	About   string
	OrderID uuid.UUID
	Since   time.Time
}

// judgeDueMail: everybody was told.
func judgeDueMail(m dueMail, logged bool, d deadlines) []finding {
	if logged {
		return nil
	}
	return []finding{{"was never written", m.Since, d.mail}}
}

// failedItem is what a service has pulled from a neighbour and could not apply.
type failedItem struct {
	Name    string // of the feed
	Error   string
	Tries   int
	FirstAt time.Time
}

func (f failedItem) judge() finding {
	return finding{fmt.Sprintf("cannot be applied, %d tries: %s", f.Tries, f.Error), f.FirstAt, 0}
}

// overLimit is a shopper who has more of a SKU than one may.
type overLimit struct {
	Shopper   string
	SKU       string
	Has, Most int64  // units
	Drop      string // of whose lot; empty: of the SKU in all
}

func (o overLimit) judge() finding {
	if o.Drop != "" {
		return finding{what: fmt.Sprintf("%s has %d of SKU %s in drop %s, of which an account may have %d",
			o.Shopper, o.Has, o.SKU, o.Drop, o.Most)}
	}
	return finding{what: fmt.Sprintf("%s has %d of SKU %s, of which a shopper may have %d (it counts too what was ordered before the limit)", o.Shopper, o.Has, o.SKU, o.Most)}
}
