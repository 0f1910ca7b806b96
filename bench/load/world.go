package load

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/pricing"
)

// seed is what everything is drawn from.
const seed = 0x5354414d50454445

const currency = "GBP"

// span is how far back orders go.
const span = 200 * 24 * time.Hour

// world is everything that was ever sold. Nothing of it is kept: each thing is drawn anew, from its place among its kind.
type world struct {
	Size
	now      time.Time
	begun    time.Time // when the first order was placed
	shoppers int
	sellable int // SKUs that were ever published
	rates    pricing.Rates
}

func newWorld(size Size, now time.Time) *world {
	now = now.UTC().Truncate(time.Second)
	return &world{
		Size: size, now: now, begun: now.Add(-span), shoppers: max(1000, size.Orders/10),
		sellable: 2 * (size.Products - size.Products/100), rates: pricing.Builtin(currency, "GB"),
	}
}

// What is drawn.
const (
	drawOrder uint64 = iota + 1
	drawLines
	drawShopper
	drawProduct
	drawStock
	drawEntry
	drawCode
)

// draw is a number for the i-th of a kind, and for more than one of them the n-th (splitmix64).
func draw(kind uint64, i, n int) uint64 {
	x := seed + kind<<56 + uint64(i)<<8 + uint64(n)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	x = (x + 0x9e3779b97f4a7c15) * 0xbf58476d1ce4e5b9
	return x ^ x>>29
}

// some is one of few by a number that was drawn.
func some[T any](of []T, drawn uint64) T { return of[drawn%uint64(len(of))] }

// popular is a place among n, the first ones far oftener than the last.
func popular(n int, drawn uint64, power float64) int {
	return min(n-1, int(float64(n)*math.Pow(float64(drawn>>11)/(1<<53), power)))
}

// uuid7 is a UUIDv7 of a time with random bits.
func uuid7(at time.Time, a, b uint64) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16|7<<12|a&0xfff)
	binary.BigEndian.PutUint64(id[8:], 2<<62|b&(1<<62-1))
	return id
}

// uuid4 is a UUIDv4 with random bits.
func uuid4(a, b uint64) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:], a&^0xf000|4<<12)
	binary.BigEndian.PutUint64(id[8:], 2<<62|b&(1<<62-1))
	return id
}

func text(id [16]byte) string { return uuid.UUID(id).String() }

// Administrator is who did in the back office what was done there.
var Administrator = uuid4(draw(drawShopper, -1, 0), draw(drawShopper, -1, 1))

var (
	firstNames = []string{"Ada", "Ben", "Chloe", "Dan", "Emma", "Femi", "Grace", "Hugo", "Iris", "Jack", "Kira", "Leo", "Maya",
		"Noah", "Olga", "Paul"}
	lastNames = []string{
		"Abbott", "Brown", "Clarke", "Davies", "Evans", "Foster", "Green", "Hughes", "Iqbal", "Jones", "King", "Lewis", "Morris", "Novak",
		"Owen", "Patel", "Quinn", "Reid", "Smith", "Taylor", "Underwood", "Vaughan", "Walker", "Young",
	}
	countries = []string{"GB", "GB", "GB", "GB", "GB", "DE", "FR", "IE", "NL", "US"}
)

// Shopper is an account that was loaded.
type Shopper struct {
	ID        uuid.UUID
	Email     string
	FirstName string
	LastName  string
	row       uuid.UUID // auth's own id
	country   string
	at        time.Time // of its registration, before the first order
}

// Shopper is the i-th account.
func (s Size) Shopper(i int) Shopper {
	d := draw(drawShopper, i, 0)
	first, last := some(firstNames, d), some(lastNames, d>>8)
	return Shopper{
		ID: uuid4(d, draw(drawShopper, i, 1)), FirstName: first, LastName: last,
		Email:   fmt.Sprintf("%s.%s.%d@load.test", strings.ToLower(first), strings.ToLower(last), i),
		country: some(countries, d>>16),
	}
}

func (w *world) shopper(i int) Shopper {
	s := w.Shopper(i)
	s.at = w.begun.Add(-time.Duration(draw(drawShopper, i, 2)%uint64(span)) - 24*time.Hour)
	s.row = uuid7(s.at, uint64(i), draw(drawShopper, i, 3))
	return s
}

func (s Shopper) address() events.Address {
	d := draw(drawShopper, int(binary.BigEndian.Uint32(s.ID[:])), 4)
	return events.Address{
		Name: s.FirstName + " " + s.LastName, Line1: fmt.Sprintf("%d %s Street", 1+d%200, some(lastNames, d>>8)),
		City: some([]string{"London", "Leeds", "Berlin", "Lyon", "Cork", "Delft", "Boston"},
			d>>16), PostalCode: fmt.Sprintf("%05d", d>>24%100000),
		Country: s.country,
	}
}

// SKU is the i-th SKU; each product has two of them, 2p and 2p+1.
func SKU(i int) string { return fmt.Sprintf("LD-%07d-%s", i/2, []string{"M", "L"}[i%2]) }

// Slug is the p-th product's.
func Slug(p int) string { return fmt.Sprintf("loaded-%07d", p) }

var (
	adjectives = []string{"Amber", "Bright", "Calm", "Daring", "Even", "Faded", "Gentle", "Heavy", "Ivory", "Jolly", "Keen",
		"Lively", "Mellow", "Narrow"}
	materials = []string{"Cotton", "Linen", "Wool", "Oak", "Steel", "Glass", "Paper", "Clay", "Leather", "Cork", "Copper"}
	things    = []string{
		"Shirt", "Lamp", "Mug", "Chair", "Poster", "Jacket", "Backpack", "Notebook", "Candle", "Cap", "Blanket", "Bowl", "Clock", "Scarf",
		"Trainer", "Vase", "Cushion",
	}
)

// thing is a product of the catalogue.
type thing struct {
	id     uuid.UUID
	slug   string
	name   string
	vendor string
	price  int64 // of its first variant; the second costs 2.00 more
	status string
	at     time.Time // when it was published, or written
}

func (w *world) thing(p int) thing {
	d := draw(drawProduct, p, 0)
	t := thing{
		slug: Slug(p), name: fmt.Sprintf("%s %s %s %d", some(adjectives, d), some(materials, d>>8), some(things, d>>16), p),
		vendor: some(lastNames, d>>24) + " & Co", price: int64(500+d>>32%300*50) - 1, status: "published",
		at: w.begun.Add(-time.Duration(draw(drawProduct, p, 1)%uint64(span)) - time.Hour),
	}
	switch {
	case 2*p >= w.sellable:
		t.status = "draft"
	case p%50 == 7:
		t.status = "unlisted"
	}
	t.id = uuid7(t.at, uint64(p), draw(drawProduct, p, 2))
	return t
}

func (t thing) image() string { return "/media/seed/" + t.slug + ".svg" }

// limit is how many of a SKU a shopper may have; 0: no limit of its own.
func limit(sku int) int {
	if sku/2%40 == 3 {
		return 20
	}
	return 0
}

// line is what was bought of a SKU.
type line struct {
	sku      int
	quantity int
}

// order is an order as it stands now.
type order struct {
	i        int
	id       uuid.UUID
	number   string
	shopper  int
	checkout uuid.UUID
	status   string
	reason   string // why it was cancelled
	version  int
	lines    []line
	placed   time.Time
	// Zero for what has not happened.
	captured, shipped, delivered, cancelled time.Time
	refund                                  refund
}

// refund is what was given back of an order.
type refund struct {
	part      int64 // percent of the total; 0: none
	automatic bool
	id        uuid.UUID
	at        time.Time
}

// order is the i-th order, the oldest first. The latest was placed an hour ago.
func (w *world) order(i int) order {
	d := draw(drawOrder, i, 0)
	step := (span - time.Hour) / time.Duration(w.Orders)
	o := order{i: i, shopper: popular(w.shoppers, draw(drawOrder, i, 1), 1.5), status: "delivered", version: 4}
	o.placed = w.begun.Add(step*time.Duration(i) + time.Duration(d%uint64(step))).Truncate(time.Microsecond)
	// A multiple of an odd number is another one for each i below 2^50, so numbers differ.
	o.id = uuid7(o.placed, d>>20, d>>40<<50|(uint64(i+1)*0x1b873593cc9e5)&(1<<50-1))
	o.number = number(o.id)
	o.checkout = uuid7(o.placed.Add(-2*time.Minute), d>>8, draw(drawOrder, i, 2))
	o.captured = o.placed.Add(time.Duration(800+d%900) * time.Millisecond)
	o.shipped = o.captured.Add(time.Duration(18+d>>8%24) * time.Hour)
	o.delivered = o.shipped.Add(time.Duration(20+d>>16%70) * time.Hour)
	if o.delivered.After(w.now) {
		o.delivered, o.status, o.version = time.Time{}, "shipped", 3
	}
	if o.shipped.After(w.now) {
		o.shipped, o.status, o.version = time.Time{}, "confirmed", 2
	}
	cancel := func(reason string, at time.Time, version int) {
		o.status, o.reason, o.cancelled, o.shipped, o.delivered, o.version = "cancelled", reason, at, time.Time{}, time.Time{}, version
	}
	switch n := d >> 32 % 1000; {
	case n < 30:
		cancel("payment-declined", o.captured, 2)
		o.captured = time.Time{}
	case n < 34:
		cancel("timed-out", o.placed.Add(11*time.Minute), 2)
		o.captured = time.Time{}
	case n < 50:
		cancel(some([]string{"by-customer", "by-customer", "by-shop"}, d), o.captured.Add(5*time.Minute), 4)
		o.refund = refund{part: 100, automatic: true, at: o.cancelled.Add(time.Second)}
	case n < 56 && o.status == "delivered":
		o.refund = refund{part: 25, at: o.delivered.Add(time.Hour)}
		if o.refund.at.After(w.now) {
			o.refund = refund{}
		} else {
			o.version++
		}
	}
	if o.refund.part > 0 {
		o.refund.id = uuid7(o.refund.at, d>>4, draw(drawOrder, i, 3))
	}
	n := []int{1, 1, 1, 1, 1, 2, 2, 2, 3, 5}[draw(drawLines, i, 0)%10]
	for k := range min(n, w.sellable) {
		e := draw(drawLines, i, k+1)
		l := line{popular(w.sellable, e, 3), []int{1, 1, 1, 1, 2}[e%5]}
		for slices.ContainsFunc(o.lines, func(other line) bool { return other.sku == l.sku }) {
			l.sku = (l.sku + 1) % w.sellable
		}
		o.lines = append(o.lines, l)
	}
	return o
}

// updated is when the order last changed.
func (o order) updated() time.Time {
	last := o.placed
	for _, t := range []time.Time{o.captured, o.shipped, o.delivered, o.cancelled, o.refund.at} {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// moment is when an order got a status.
type moment struct {
	status  string
	version int
	at      time.Time
}

func (o order) moments() []moment {
	all := []moment{{"pending", 1, o.placed}}
	for _, m := range []moment{{"confirmed", 0, o.captured}, {"shipped", 0, o.shipped}, {"delivered", 0, o.delivered},
		{"cancelled", 0, o.cancelled}} {
		if !m.at.IsZero() {
			m.version = len(all) + 1
			all = append(all, m)
		}
	}
	return all
}

// event is the id of the event that tells of a moment, by its version, or of what came of it.
func (o order) event(at time.Time, n int) uuid.UUID {
	return uuid7(at, uint64(n), draw(drawOrder, o.i, 16+n))
}

// method is the payment method that led there.
func (o order) method() string {
	if o.reason == "payment-declined" {
		return "pm_card_chargeDeclined"
	}
	return "pm_card_visa"
}

// price is what a SKU costs.
func (w *world) price(sku int) int64 { return w.thing(sku/2).price + int64(sku%2)*200 }

// quote works out what an order costs.
func (w *world) quote(o order) pricing.Totals {
	lines := make([]pricing.Line, 0, len(o.lines))
	for _, l := range o.lines {
		lines = append(lines, pricing.Line{SKU: SKU(l.sku), Quantity: l.quantity, UnitPrice: money.New(w.price(l.sku), currency)})
	}
	q, err := pricing.Quote(lines, w.Shopper(o.shopper).country, w.rates)
	if err != nil {
		panic("load: " + err.Error()) // only countries and prices of ours get here
	}
	return q
}

// refunded is what was given back.
func (o order) refunded(q pricing.Totals) int64 { return q.Total.Amount * o.refund.part / 100 }

// snapshot is the order as the event of a moment carried it.
func (w *world) snapshot(o order, q pricing.Totals, m moment) events.Order {
	s := w.Shopper(o.shopper)
	e := events.Order{
		OrderID: o.id, Number: o.number, Version: m.version, Status: m.status, AccountID: s.ID, Email: s.Email, FirstName: s.FirstName,
		CheckoutID: o.checkout, Subtotal: events.Money(q.Subtotal), Discount: events.Money(q.Discount), Tax: events.Money(q.Tax),
		Shipping: events.Money(q.Shipping), Total: events.Money(q.Total), Address: s.address(), PaymentMethod: o.method(),
		PlacedAt: o.placed, At: m.at,
	}
	for i, l := range o.lines {
		t, p := w.thing(l.sku/2), q.Lines[i]
		e.Lines = append(e.Lines, events.OrderLine{
			SKU: p.SKU, Slug: t.slug, Name: t.name, Variant: variantNames[l.sku%2], ImageURL: t.image(), Quantity: l.quantity,
			UnitPrice: events.Money(p.UnitPrice), Discount: events.Money(p.Discount), Tax: events.Money(p.Tax),
			LineTotal: events.Money(p.Total),
		})
	}
	switch m.status {
	case "cancelled":
		e.Reason = o.reason
	case "shipped", "delivered":
		e.Shipment = &events.Shipment{Carrier: "Parcel Post", TrackingNumber: o.tracking()}
	}
	return e
}

var variantNames = []string{"M", "L"}

func (o order) tracking() string { return "PP" + o.number[2:] }

// number is an order's name for people, as orders makes it of the id.
func number(id uuid.UUID) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	bits := binary.BigEndian.Uint64(id[8:])
	n := [12]byte{'S', '-'}
	for i := range 10 {
		n[2+i] = digits[bits>>(45-5*i)&31]
	}
	return string(n[:])
}

// latest is the first of the orders that were placed after a time.
func (w *world) latest(after time.Time) int {
	if w.Orders == 0 {
		return 0
	}
	step := (span - time.Hour) / time.Duration(w.Orders)
	return min(w.Orders, max(0, int(after.Sub(w.begun)/step)))
}
