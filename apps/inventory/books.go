package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/problem"
)

// wish is a hold that somebody asks for: a cart's, of one SKU, or an order's.
type wish struct {
	shopper   string
	lines     []Line    // sorted; a cart's is one, whose quantity may be 0
	order     uuid.UUID // nil: a cart's
	insteadOf uuid.UUID // a declined order of the same shopper, unless it is nil
}

func cartWish(shopper, sku string, quantity int64) wish {
	return wish{shopper: shopper, lines: []Line{{sku, quantity}}}
}

func orderWish(id uuid.UUID, shopper string, lines []Line, insteadOf uuid.UUID) wish {
	return wish{shopper: shopper, lines: sorted(lines), order: id, insteadOf: insteadOf}
}

// HeldLine is what a cart has of a SKU.
type HeldLine struct {
	SKU       string     `json:"sku"`
	Quantity  int64      `json:"quantity"`
	ExpiresAt *time.Time `json:"expires_at" doc:"Null where nothing, or not all of it, is held"`
	Free      *int64     `json:"free" doc:"How many there are besides, for anybody. Null where nobody looked"`
}

// cartKey names a hold of a cart.
type cartKey struct{ shopper, sku string }

// orderRow is an order's hold: as it is, and as its row has it. Its state is empty while nobody has wanted a row that
// this transaction has made.
type orderRow struct {
	OrderHold
	row   OrderHold
	isNew bool
}

// books are what one transaction reads and changes: some SKUs, whose rows it has locked, cart holds of some shoppers, and
// holds of some orders. They change in memory, wish by wish, and are written once.
type books struct {
	now     time.Time
	stock   map[string]*Stock
	carts   map[string]map[string]CartHold // those that live, by shopper and SKU; of SKUs that are not locked, only to be told
	ordered map[cartKey]ordered            // what a shopper's orders have, where the SKU has a limit or is in a lot
	free    map[string]int64               // of SKUs that are not locked, only to be told
	orders  map[uuid.UUID]*orderRow
	entries []Entry

	stockRows map[string]Stock
	cartRows  map[cartKey]CartHold // nothing: a hold that has lapsed
}

func newBooks() books {
	return books{
		stock: map[string]*Stock{}, carts: map[string]map[string]CartHold{},
		ordered: map[cartKey]ordered{}, free: map[string]int64{}, orders: map[uuid.UUID]*orderRow{},
		stockRows: map[string]Stock{}, cartRows: map[cartKey]CartHold{},
	}
}

func (b *books) skus() []string { return slices.Sorted(maps.Keys(b.stock)) }

func (b *books) enter(e Entry) { b.entries = append(b.entries, e) }

func (b *books) setCart(shopper, sku string, hold CartHold) {
	switch {
	case hold.Quantity == 0:
		delete(b.carts[shopper], sku)
	case b.carts[shopper] == nil:
		b.carts[shopper] = map[string]CartHold{sku: hold}
	default:
		b.carts[shopper][sku] = hold
	}
}

// endCart gives back what a shopper's cart holds of the SKUs.
func (b *books) endCart(shopper string) {
	for sku, hold := range b.carts[shopper] {
		if stock, ok := b.stock[sku]; ok {
			stock.Lapse(hold)
			delete(b.carts[shopper], sku)
		}
	}
}

// held lists what a shopper's cart holds, by SKU.
func (b *books) held(shopper string) []HeldLine {
	lines := make([]HeldLine, 0, len(b.carts[shopper]))
	for sku, hold := range b.carts[shopper] {
		until, free := hold.ExpiresAt.UTC(), b.free[sku]
		if stock, locked := b.stock[sku]; locked {
			free = stock.Available()
		}
		lines = append(lines, HeldLine{sku, hold.Quantity, &until, &free})
	}
	slices.SortFunc(lines, func(a, b HeldLine) int { return cmp.Compare(a.SKU, b.SKU) })
	return lines
}

// hold does what a wish asks for; refused, it changes nothing. Errors: those of holdCart and holdOrder.
func (b *books) hold(w wish, ttl, retry time.Duration) error {
	if w.order == uuid.Nil {
		return b.holdCart(w.shopper, w.lines[0], ttl)
	}
	undo := b.remember(w)
	err := b.holdOrder(w, retry)
	if err != nil {
		undo()
	}
	return err
}

// remember returns what puts everything back as it is now that an order's wish may change.
func (b *books) remember(w wish) (undo func()) {
	stock, had, entries := map[string]Stock{}, map[cartKey]ordered{}, len(b.entries)
	orders, cart := map[uuid.UUID]orderRow{}, maps.Clone(b.carts[w.shopper])
	lines := w.lines
	for _, id := range []uuid.UUID{w.order, w.insteadOf} {
		if row, ok := b.orders[id]; ok {
			orders[id] = *row
			lines = append(slices.Clip(lines), row.Lines...)
		}
	}
	for _, l := range lines {
		key := cartKey{w.shopper, l.SKU}
		had[key] = b.ordered[key]
		if s, ok := b.stock[l.SKU]; ok {
			stock[l.SKU] = *s
		}
	}
	return func() {
		for sku, s := range stock {
			*b.stock[sku] = s
		}
		for id, row := range orders {
			*b.orders[id] = row
		}
		maps.Copy(b.ordered, had)
		b.carts[w.shopper], b.entries = cart, b.entries[:entries]
	}
}

// holdCart sets what a shopper's cart holds of a SKU. Errors: those of SetCart; ErrLimitReached for one SKU too many.
func (b *books) holdCart(shopper string, l Line, ttl time.Duration) error {
	cart := b.carts[shopper]
	current, holds := cart[l.SKU]
	// Carts keeps the exact limit; this bounds what gets past it. Other SKUs' holds are not locked.
	if l.Quantity > 0 && !holds && len(cart) >= maxSKUs {
		return ErrLimitReached.With("limit", maxSKUs).With("available", 0)
	}
	stock, ok := b.stock[l.SKU]
	if !ok { // products knows it, its event has not come yet
		stock = &Stock{SKU: l.SKU}
	}
	hold, err := stock.SetCart(current, b.ordered[cartKey{shopper, l.SKU}].all, l.Quantity, b.now, ttl)
	if err == nil {
		b.setCart(shopper, l.SKU, hold)
	}
	return err
}

// holdOrder makes a shopper's holds the order's, all lines or none. The same order again is the same answer. An order
// that it takes the place of is cancelled first, as if its cancellation had arrived. Errors: ErrClaimRequired and
// ErrLimitReached for the first such line, ErrOutOfStock with the short "lines", ErrHoldReleased, ErrHoldDiffers.
func (b *books) holdOrder(w wish, retry time.Duration) error {
	row := b.orders[w.order]
	again := row.State != ""
	if again {
		if err := row.Again(w.shopper, w.lines); err != nil {
			return err
		}
	}
	if w.insteadOf != uuid.Nil {
		if d := b.orders[w.insteadOf]; (d.State == Held || d.State == Sold) && d.Shopper != w.shopper {
			return ErrHoldDiffers
		}
		b.release(w.insteadOf, ByDecline, retry)
	}
	if again {
		return nil
	}
	var short []Short
	from := map[string]CartHold{}
	for _, l := range w.lines {
		stock, ok := b.stock[l.SKU]
		if !ok {
			short = append(short, Short{l.SKU, l.Quantity, 0})
			continue
		}
		cart := b.carts[w.shopper][l.SKU]
		if err := stock.NeedsClaim(cart, l.Quantity); err != nil {
			return err
		}
		if err := stock.Within(cart, b.ordered[cartKey{w.shopper, l.SKU}].all, l.Quantity); err != nil {
			return err
		}
		if mayHave, ok := stock.HoldForOrder(cart, l.Quantity); !ok {
			short = append(short, Short{l.SKU, l.Quantity, mayHave})
		}
		if l.Quantity > cart.Quantity {
			cart.Drop = uuid.Nil // its lot is closed, and not all of the line was claimed
		}
		from[l.SKU] = cart
		b.setCart(w.shopper, l.SKU, CartHold{})
		b.order(w.shopper, l, cart)
	}
	if short != nil {
		return ErrOutOfStock.With("lines", short)
	}
	row.OrderHold = OrderHold{OrderID: w.order, Shopper: w.shopper, State: Held, Lines: w.lines, From: from}
	return nil
}

// order counts a line that a shopper's order takes from a cart's hold, or, with less than nothing, gives up.
func (b *books) order(shopper string, l Line, from CartHold) {
	key := cartKey{shopper, l.SKU}
	has := b.ordered[key]
	has.all += l.Quantity
	if b.stock[l.SKU].claimed(from) {
		has.ofLot += l.Quantity
	}
	b.ordered[key] = has
}

// endClaim gives back what a shopper's cart holds by a claim, also of a lot that is closed. What orders have stays theirs.
func (b *books) endClaim(c claim) Claimed {
	stock, ok := b.stock[c.sku]
	if hold := b.carts[c.shopper][c.sku]; ok && c.drop != uuid.Nil && hold.Drop == c.drop {
		stock.Lapse(hold)
		b.setCart(c.shopper, c.sku, CartHold{})
	}
	return Claimed{SKU: c.sku, Ordered: b.ordered[cartKey{c.shopper, c.sku}].ofLot}
}

// holdClaim makes a hold of a claim; refused, it changes nothing. Errors: those of Stock.Claim; ErrLimitReached for one SKU
// too many.
func (b *books) holdClaim(c claim) (Claimed, error) {
	if c.quantity == 0 {
		return b.endClaim(c), nil
	}
	cart, key := b.carts[c.shopper], cartKey{c.shopper, c.sku}
	current, holds := cart[c.sku]
	if !holds && len(cart) >= maxSKUs {
		return Claimed{}, ErrLimitReached.With("sku", c.sku).With("limit", maxSKUs).With("available", 0)
	}
	stock, ok := b.stock[c.sku]
	if !ok {
		stock = &Stock{SKU: c.sku} // in no lot
	}
	hold, err := stock.Claim(c, current, b.ordered[key], b.now)
	if err != nil {
		return Claimed{}, err
	}
	b.setCart(c.shopper, c.sku, hold)
	out := Claimed{SKU: c.sku, Ordered: b.ordered[key].ofLot}
	if stock.claimed(hold) {
		until := hold.ExpiresAt.UTC()
		out.Held, out.HeldUntil = hold.Quantity, &until
	}
	return out, nil
}

// sell turns what an order holds into sold units. Errors: ErrNotHeld.
func (b *books) sell(id uuid.UUID) error {
	row, ok := b.orders[id]
	if !ok {
		return fmt.Errorf("order %s, unknown: %w", id, ErrNotHeld)
	}
	now, err := row.Sell()
	if err != nil || !now {
		return err
	}
	for _, l := range row.Lines {
		b.enter(b.stock[l.SKU].Sell(l.Quantity, row.From[l.SKU].Drop, id, b.now))
	}
	return nil
}

// release gives back for good what an order holds or has bought: to its shopper's cart when its payment was declined, and
// what was claimed also when it was never placed; else to everybody. An unknown order gets a tombstone, which refuses a hold
// that comes later.
func (b *books) release(id uuid.UUID, why Reason, retry time.Duration) {
	row := b.orders[id]
	if row.State == "" {
		row.State, row.Reason = Released, why
		return
	}
	was := row.Release(why)
	if was == Released {
		return
	}
	for _, l := range row.Lines {
		stock, from := b.stock[l.SKU], row.From[l.SKU]
		b.order(row.Shopper, Line{l.SKU, -l.Quantity}, from)
		switch {
		case was == Sold:
			b.enter(stock.Return(l.Quantity, from.Drop, id, b.now))
		case row.Reason == ByDecline, row.Reason != ByCancel && stock.claimed(from):
			b.setCart(row.Shopper, l.SKU, stock.Retry(l.Quantity, from, b.carts[row.Shopper][l.SKU], b.now, retry))
		default:
			stock.Unhold(l.Quantity, from.Drop)
		}
	}
}

// merge makes a guest's holds an account's, for the lines of the joined cart, if carts hold anything.
func (b *books) merge(guest, account string, lines []Line, cartsHold bool, ttl time.Duration) []HeldLine {
	merged := make([]HeldLine, 0, len(lines))
	for _, l := range lines {
		out := HeldLine{SKU: l.SKU, Quantity: l.Quantity}
		if stock, ok := b.stock[l.SKU]; ok && cartsHold {
			ordered := b.ordered[cartKey{account, l.SKU}].all
			hold, held := stock.Merge(b.carts[guest][l.SKU], b.carts[account][l.SKU], ordered, l.Quantity, b.now, ttl)
			if held {
				until := hold.ExpiresAt.UTC()
				out.ExpiresAt = &until
			}
			b.setCart(guest, l.SKU, CartHold{})
			b.setCart(account, l.SKU, hold)
		}
		merged = append(merged, out)
	}
	return merged
}

// busy is why a wish is refused that needs a SKU which somebody else has locked for too long; nil when there is none.
func (b *books) busy(w wish, locked map[string]bool) error {
	lines := w.lines
	if row, ok := b.orders[w.insteadOf]; ok {
		lines = append(slices.Clip(lines), row.Lines...)
	}
	for _, l := range lines {
		if locked[l.SKU] {
			return errLocked(l.SKU)
		}
	}
	return nil
}

func errLocked(sku string) error {
	return problem.ErrUnavailable.Because(errors.New("SKU " + sku + " is locked"))
}
