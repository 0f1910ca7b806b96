package load

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/events"
)

// shelf is what there is of a SKU, besides what orders took: what is free for everybody, and what carts hold.
type shelf struct{ free, carts int64 }

// holders is how many carts hold one of the most popular SKU, and of each of as many others.
const holders = 1000

// SKUs of drops that are over, so many of each: all that was ever bought of them was claimed.
const (
	firstDropped, dropped = 40, 40
	ofDrop                = 4
)

// lot is the drop that a SKU was in; nil: none.
func lot(sku int) *uuid.UUID {
	if sku < firstDropped || sku >= firstDropped+dropped {
		return nil
	}
	n := (sku - firstDropped) / ofDrop
	id := uuid4(draw(drawStock, -1-n, 3), draw(drawStock, -1-n, 4))
	return &id
}

func (w *world) stock(sku int) shelf {
	if sku >= w.sellable {
		return shelf{free: 10} // as products expects of a draft; inventory has not heard of it
	}
	s := shelf{}
	switch d := draw(drawStock, sku, 0); {
	case d%25 == 0:
	case d%25 == 1:
		s.free = int64(1 + d>>8%4)
	default:
		s.free = int64(5 + d>>8%500)
	}
	switch {
	case sku == 0:
		s.carts = holders
	case sku < holders:
		s.carts = 1
	}
	return s
}

// entry is a row of the ledger before it has its number.
type entry struct {
	at    int64 // µs
	sku   int32
	of    int32 // the order; of others a number
	delta int32
	kind  uint8
}

const (
	initial uint8 = iota
	movement
	imported
	sale
	back
)

// entries are all rows of the ledger, the oldest first.
func (w *world) entries() []entry {
	all := make([]entry, 0, max(w.Ledger, 3*w.Orders))
	net := make([]int64, w.sellable) // what orders have taken for good
	for i := range w.Orders {
		o := w.order(i)
		if o.captured.IsZero() {
			continue
		}
		for _, l := range o.lines {
			all = append(all, entry{o.captured.Add(100 * time.Millisecond).UnixMicro(), int32(l.sku), int32(i), int32(-l.quantity), sale})
			net[l.sku] += int64(l.quantity)
			if !o.cancelled.IsZero() {
				all = append(all, entry{o.cancelled.Add(100 * time.Millisecond).UnixMicro(), int32(l.sku), int32(i),
					int32(l.quantity), back})
				net[l.sku] -= int64(l.quantity)
			}
		}
	}
	lent := make([]int64, w.sellable) // what came back has to be there before
	for _, e := range all {
		if e.kind == back {
			lent[e.sku] += int64(e.delta)
		}
	}
	for s := range w.sellable {
		shelf := w.stock(s)
		if n := net[s] + max(lent[s], shelf.free) + shelf.carts; n > 0 {
			all = append(all, entry{w.thing(s / 2).at.UnixMicro(), int32(s), 0, int32(n), initial})
		}
		if more := lent[s] - shelf.free; more > 0 {
			all = append(all, entry{w.now.UnixMicro(), int32(s), 0, int32(-more), movement})
		}
	}
	// The rest in pairs: so many came, and as many were counted away later.
	for n := 0; len(all)+2 <= w.Ledger; n++ {
		d := draw(drawEntry, n, 0)
		came := w.begun.Add(time.Duration(d >> 20 % uint64(span-2*time.Hour)))
		e := entry{came.UnixMicro(), int32(n % w.sellable), int32(n), int32(1 + d%20), movement}
		if d>>8%3 == 0 {
			e.kind = imported
		}
		all = append(all, e)
		e.at, e.delta = came.Add(time.Duration(1+d>>16%60)*time.Minute).UnixMicro(), -e.delta
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.at != b.at {
			return int(min(1, max(-1, a.at-b.at)))
		}
		return int(a.kind) - int(b.kind)
	})
	return all
}

func (w *world) holdState(o order) (state string, reason *string, changed time.Time) {
	switch why := "cancelled"; {
	case o.cancelled.IsZero():
		return "sold", nil, o.captured.Add(100 * time.Millisecond)
	default:
		if o.reason == "payment-declined" {
			why = "declined"
		}
		return "released", &why, o.cancelled.Add(100 * time.Millisecond)
	}
}

func (l *loader) inventory() error {
	all := l.entries()
	sold := make([]int64, l.sellable)
	onHand, numbers := make([]int64, l.sellable), make([]int64, l.sellable)
	for _, e := range all {
		onHand[e.sku] += int64(e.delta)
		numbers[e.sku]++
		if e.kind == sale || e.kind == back {
			sold[e.sku] -= int64(e.delta)
		}
	}
	last := slices.Clone(numbers)
	clear(numbers)
	left := make([]int64, l.sellable)
	return l.copy(
		into{"products", "id version", func(yield func([]any) bool) {
			for p := range l.sellable / 2 {
				if !yield([]any{l.thing(p).id, int64(1)}) {
					return
				}
			}
		}},
		into{"stock", "sku product_id listed on_hand cart_held sold number in_stock crossings max_per_shopper",
			func(yield func([]any) bool) {
				for s := range l.sellable {
					t, shelf := l.thing(s/2), l.stock(s)
					var most *int64
					if n := int64(limit(s)); n > 0 {
						most = &n
					}
					if !yield([]any{SKU(s), t.id, t.status == "published", onHand[s], shelf.carts, sold[s], last[s],
						onHand[s] > shelf.carts, int64(1), most}) {
						return
					}
				}
			}},
		into{"labels", "sku name variant found", func(yield func([]any) bool) {
			for s := range l.sellable {
				name, variant := l.thing(s/2).name, variantNames[s%2]
				if !yield([]any{SKU(s), name, variant, strings.ToLower(SKU(s) + " " + name + " " + variant)}) {
					return
				}
			}
		}},
		into{"lots", "drop sku units most opened_at closed_at", func(yield func([]any) bool) {
			for s := firstDropped; s < min(firstDropped+dropped, l.sellable); s++ {
				if !yield([]any{lot(s), SKU(s), sold[s] + 10, int64(1000), l.begun, l.now}) {
					return
				}
			}
		}},
		into{"ledger", "sku number kind delta before after reason ref at", func(yield func([]any) bool) {
			for _, e := range all {
				var ref, reason, kind string
				switch e.kind {
				case initial:
					kind, reason, ref = "initial", "initial stock", l.thing(int(e.sku)/2).id.String()
				case movement:
					kind, reason, ref = "movement", "delivery", Administrator.String()
					if e.delta < 0 {
						reason = "stocktaking"
					}
				case imported:
					kind, reason, ref = "import", "product file", fmt.Sprintf("import:%d", e.of)
				case sale:
					kind, reason, ref = "sale", "order confirmed", l.orderID(int(e.of)).String()
				case back:
					kind, reason, ref = "return", "order cancelled", l.orderID(int(e.of)).String()
				}
				numbers[e.sku]++
				before := left[e.sku]
				left[e.sku] += int64(e.delta)
				if !yield([]any{SKU(int(e.sku)), numbers[e.sku], kind, int64(e.delta), before, left[e.sku], reason, ref,
					time.UnixMicro(e.at).UTC()}) {
					return
				}
			}
		}},
		into{"order_holds", "order_id shopper state release_reason held_at changed_at", func(yield func([]any) bool) {
			for row := range l.all(func(o order) []any {
				state, reason, changed := l.holdState(o)
				return []any{o.id, "account:" + l.Shopper(o.shopper).ID.String(), state, reason,
					o.placed.Add(-20 * time.Millisecond), changed}
			}) {
				if !yield(row) {
					return
				}
			}
			void := "void"
			for id, at := range l.voids {
				if !yield([]any{id, "", "released", &void, at, at}) {
					return
				}
			}
		}},
		into{"order_hold_lines", "order_id sku quantity cart_until lot", func(yield func([]any) bool) {
			for i := range l.Orders {
				o := l.order(i)
				until := o.placed.Add(12 * time.Minute)
				for _, b := range o.lines {
					if !yield([]any{o.id, SKU(b.sku), int64(b.quantity), &until, lot(b.sku)}) {
						return
					}
				}
			}
		}},
		into{"cart_holds", "shopper sku quantity expires_at", func(yield func([]any) bool) {
			ends := time.Now().Add(15 * time.Minute)
			for i := range holders {
				guest := "guest:" + strings.ReplaceAll(uuid4(draw(drawShopper, -2-i, 0), draw(drawShopper, -2-i, 1)).String(), "-", "")
				if !yield([]any{guest, SKU(0), int64(1), ends}) {
					return
				}
				if i > 0 && i < l.sellable && !yield([]any{guest, SKU(i), int64(1), ends}) {
					return
				}
			}
		}},
		l.outbox(func(yield func(event) bool) {
			for s := range min(500, l.sellable) {
				at := l.now.Add(-time.Duration(1+draw(drawStock, s, 1)%uint64(20*time.Hour)) - time.Hour)
				data := object(events.StockCrossed{SKU: SKU(s), InStock: l.stock(s).free > 0, Number: 1, At: at})
				if !yield(event{uuid7(at, 6, draw(drawStock, s, 2)), "stock.crossed.v1", at, data}) {
					return
				}
			}
		}),
		l.inbox(only(l.told(keepInbox, false), "order.confirmed.v1", "order.cancelled.v1")))
}

// orderID is the id of the i-th order.
func (w *world) orderID(i int) uuid.UUID { return w.order(i).id }
