package main

import (
	"bytes"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/problem"
)

// Problems of this service.
var (
	ErrSessionRequired = problem.New(problem.BadRequest, "cart-session-required", "A guest's cart needs an X-Cart-Session header")
	ErrProductNotFound = problem.New(problem.NotFound, "product-not-found", "No such product")
	ErrOutOfStock      = problem.New(problem.Conflict, "out-of-stock", "Not enough in stock")
	ErrLimitReached    = problem.New(problem.Conflict, "limit-reached", "No more of this in one cart")
	ErrClaimRequired   = problem.New(problem.Forbidden, "claim-required", "It is in a drop and has to be claimed there first")
)

const (
	maxLines    = 50
	maxQuantity = 20 // of one SKU; a SKU's own max_per_shopper may be lower
	keepEnded   = 50 // orders whose end is remembered, so that a late copy of an event changes nothing
	life        = 30 * 24 * time.Hour
)

// Cart is what is kept of one shopper. Names, prices and holds are not: their
// owners are asked.
//
// One checkout is one order, so every change of the lines begins a new one: what
// was added after an order can be ordered although that order has not taken its
// lines out of the cart yet. Checkout ids ascend within a cart (UUIDv7), which
// tells an order of these lines from one of lines that are long gone.
type Cart struct {
	CheckoutID uuid.UUID   `json:"checkout_id"`
	Since      uuid.UUID   `json:"since"` // the first checkout since the cart was last empty; nil in carts saved before it was kept
	Version    int         `json:"version"`
	Lines      []Line      `json:"lines"`
	Removed    []Removed   `json:"removed"`
	Ended      []uuid.UUID `json:"ended"` // confirmed orders that were taken out of the cart, the newest last
	ExpiresAt  time.Time   `json:"expires_at"`
}

// Line is one SKU in a cart.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// Removed is a line that could not stay.
type Removed struct {
	SKU    string `json:"sku"`
	Name   string `json:"name"`
	Reason string `json:"reason" enum:"unavailable"`
}

// newCart is an empty cart that has not been saved.
func newCart(id uuid.UUID) Cart { return Cart{CheckoutID: id, Since: id} }

// renew begins a new checkout, because the lines have changed. fresh is a new
// UUIDv7; when the clock that made it is behind that of the last one, the
// checkout's id is made greater all the same.
func (c *Cart) renew(fresh uuid.UUID) {
	if last := c.CheckoutID; bytes.Compare(fresh[:], last[:]) <= 0 {
		copy(fresh[:6], last[:6]) // the milliseconds, and one more
		for i := 5; i >= 0; i-- {
			if fresh[i]++; fresh[i] != 0 {
				break
			}
		}
	}
	c.Since = c.since()
	c.CheckoutID = fresh
	if len(c.Lines) == 0 {
		c.Since = fresh
	}
}

func (c *Cart) index(sku string) int {
	return slices.IndexFunc(c.Lines, func(l Line) bool { return l.SKU == sku })
}

func (c *Cart) skus() []string {
	skus := make([]string, 0, len(c.Lines)+1)
	for _, l := range c.Lines {
		skus = append(skus, l.SKU)
	}
	return skus
}

// set puts quantity of a SKU into the cart, or takes the line out when it is 0,
// and reports whether there is anything to save. limit is the SKU's own. What
// was removed before is forgotten: the shopper has seen it. fresh is for renew.
func (c *Cart) set(sku string, quantity, limit int, fresh uuid.UUID) (bool, error) {
	i := c.index(sku)
	switch {
	case quantity == 0 && i < 0:
		seen := c.Removed != nil
		c.Removed = nil
		return seen, nil
	case quantity == 0:
		c.Lines = slices.Delete(c.Lines, i, i+1)
	case quantity > limit:
		return false, ErrLimitReached.With("limit", limit).Detail("at most %d of this", limit)
	case i >= 0 && c.Lines[i].Quantity == quantity:
		c.Removed = nil
		return true, nil // it lives longer, and is held anew
	case i >= 0:
		c.Lines[i].Quantity = quantity
	case len(c.Lines) >= maxLines:
		return false, ErrLimitReached.With("limit", maxLines).Detail("at most %d different things", maxLines)
	default:
		c.Lines = append(c.Lines, Line{sku, quantity})
	}
	c.Removed = nil
	c.renew(fresh)
	return true, nil
}

// remove moves lines that cannot be bought any more into Removed and reports
// whether there were any.
func (c *Cart) remove(gone []Removed, fresh uuid.UUID) bool {
	changed := false
	for _, g := range gone {
		if i := c.index(g.SKU); i >= 0 {
			c.Lines = slices.Delete(c.Lines, i, i+1)
			c.Removed = append(c.Removed, g)
			changed = true
		}
	}
	if changed {
		c.renew(fresh)
	}
	return changed
}

// clear empties the cart and reports whether there was anything in it.
func (c *Cart) clear(fresh uuid.UUID) bool {
	if len(c.Lines) == 0 && len(c.Removed) == 0 {
		return false
	}
	c.Lines, c.Removed = nil, nil
	c.renew(fresh)
	return true
}

// merge takes a guest's lines: of each SKU the larger quantity, as far as the
// cart has room.
func (c *Cart) merge(guest []Line, fresh uuid.UUID) {
	changed := false
	for _, g := range guest {
		if i := c.index(g.SKU); i >= 0 && c.Lines[i].Quantity < g.Quantity {
			c.Lines[i].Quantity, changed = g.Quantity, true
		} else if i < 0 && len(c.Lines) < maxLines {
			c.Lines, changed = append(c.Lines, g), true
		}
	}
	if changed {
		c.renew(fresh)
	}
}

// since is the first checkout of which a line may still be in the cart.
func (c *Cart) since() uuid.UUID {
	if c.Since == uuid.Nil {
		return c.CheckoutID
	}
	return c.Since
}

// bought takes what a confirmed order bought out of the cart, once, and reports
// whether there is anything to save. What the shopper added since the order was
// placed stays. An order from before the cart was last empty changes nothing:
// none of its lines is there any more.
func (c *Cart) bought(order, checkout uuid.UUID, lines []Line, fresh uuid.UUID) bool {
	since := c.since()
	if slices.Contains(c.Ended, order) || bytes.Compare(checkout[:], since[:]) < 0 {
		return false
	}
	c.Ended = append(c.Ended, order)
	if len(c.Ended) > keepEnded {
		// What is not remembered must not count again.
		c.Ended = c.Ended[len(c.Ended)-1:]
		c.Since = c.CheckoutID
	}
	for _, l := range lines {
		i := c.index(l.SKU)
		if i < 0 {
			continue
		}
		if c.Lines[i].Quantity -= l.Quantity; c.Lines[i].Quantity <= 0 {
			c.Lines = slices.Delete(c.Lines, i, i+1)
		}
	}
	c.renew(fresh)
	return true
}
