package main

import (
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
)

const (
	maxLines    = 50
	maxQuantity = 20 // of one SKU; a SKU's own max_per_shopper may be lower
	keepEnded   = 20 // orders whose end is remembered, so that a late copy of an event changes nothing
	life        = 30 * 24 * time.Hour
)

// Cart is what is kept of one shopper. Names, prices and holds are not: their
// owners are asked.
type Cart struct {
	CheckoutID uuid.UUID   `json:"checkout_id"` // one checkout, one order: new when the cart is cleared
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
func newCart(id uuid.UUID) Cart { return Cart{CheckoutID: id} }

func (c *Cart) index(sku string) int {
	return slices.IndexFunc(c.Lines, func(l Line) bool { return l.SKU == sku })
}

// set puts quantity of a SKU into the cart, or takes the line out when it is 0.
// limit is the SKU's own. What was removed before is forgotten: the shopper
// has seen it.
func (c *Cart) set(sku string, quantity, limit int) error {
	i := c.index(sku)
	switch {
	case quantity == 0 && i >= 0:
		c.Lines = slices.Delete(c.Lines, i, i+1)
	case quantity == 0:
	case quantity > limit:
		return ErrLimitReached.With("limit", limit).Detail("at most %d of this", limit)
	case i >= 0:
		c.Lines[i].Quantity = quantity
	case len(c.Lines) >= maxLines:
		return ErrLimitReached.With("limit", maxLines).Detail("at most %d different things", maxLines)
	default:
		c.Lines = append(c.Lines, Line{sku, quantity})
	}
	c.Removed = nil
	return nil
}

// remove moves lines that cannot be bought any more into Removed and reports
// whether there were any.
func (c *Cart) remove(gone []Removed) bool {
	changed := false
	for _, g := range gone {
		if i := c.index(g.SKU); i >= 0 {
			c.Lines = slices.Delete(c.Lines, i, i+1)
			c.Removed = append(c.Removed, g)
			changed = true
		}
	}
	return changed
}

// clear empties the cart under a new checkout id.
func (c *Cart) clear(id uuid.UUID) {
	c.Lines, c.Removed, c.CheckoutID = nil, nil, id
}

// merge takes a guest's lines: of each SKU the larger quantity, as far as the
// cart has room.
func (c *Cart) merge(guest []Line) {
	for _, g := range guest {
		if i := c.index(g.SKU); i >= 0 {
			c.Lines[i].Quantity = max(c.Lines[i].Quantity, g.Quantity)
		} else if len(c.Lines) < maxLines {
			c.Lines = append(c.Lines, g)
		}
	}
}

// bought takes what a confirmed order bought out of the cart, once, and starts
// a new checkout. What the shopper added since the order was placed stays. An
// order of an earlier checkout changes nothing: the cart was cleared since.
func (c *Cart) bought(order, checkout uuid.UUID, lines []Line, next uuid.UUID) bool {
	if slices.Contains(c.Ended, order) {
		return false
	}
	c.Ended = append(c.Ended, order)
	if len(c.Ended) > keepEnded {
		c.Ended = c.Ended[len(c.Ended)-keepEnded:]
	}
	if c.CheckoutID != checkout {
		return true
	}
	c.CheckoutID = next
	for _, l := range lines {
		i := c.index(l.SKU)
		if i < 0 {
			continue
		}
		if c.Lines[i].Quantity -= l.Quantity; c.Lines[i].Quantity <= 0 {
			c.Lines = slices.Delete(c.Lines, i, i+1)
		}
	}
	return true
}
