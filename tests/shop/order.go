package shop

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/skus"
)

// Payment methods of the sandbox.
const (
	Visa     = "pm_card_visa"
	Declined = "pm_card_chargeDeclined"
	Poor     = "pm_card_chargeDeclinedInsufficientFunds"
	Slow     = "pm_sandbox_slow"
	Timeout  = "pm_sandbox_timeout"
	Broken   = "pm_sandbox_error"
)

// Cart reads the client's cart.
func (c *Client) Cart(t testing.TB) Cart {
	t.Helper()
	return Get[Cart](t, c, "/api/v1/cart")
}

// Put sets how many of a product are in the cart.
func (c *Client) Put(t testing.TB, p *Product, quantity int) Cart {
	t.Helper()
	return Read[Cart](t, c.PutAny(t, p.SKU, quantity).OK(t, 200))
}

// PutAny is Put for a quantity that may be refused.
func (c *Client) PutAny(t testing.TB, sku string, quantity any) *Answer {
	t.Helper()
	return c.Do(t, "PUT", "/api/v1/cart/items/"+skus.Segment(sku), map[string]any{"quantity": quantity})
}

// OrderRequest is the body of an order to [Home].
type OrderRequest struct {
	Address       *Address `json:"address,omitempty"`
	AddressID     string   `json:"address_id,omitempty"`
	PaymentMethod string   `json:"payment_method"`
	ExpectedTotal Money    `json:"expected_total"`
}

// Place sends an order with a key.
func (c *Client) Place(t testing.TB, key string, body any) *Answer {
	t.Helper()
	return c.Do(t, "POST", "/api/v1/orders", body, "Idempotency-Key", key)
}

// Order orders what is in the cart for what the cart says that it costs.
func (c *Client) Order(t testing.TB, method string) Order {
	t.Helper()
	cart := c.Cart(t)
	a := c.Place(t, Random(), OrderRequest{Address: &Home, PaymentMethod: method, ExpectedTotal: cart.Total}).OK(t, 201)
	o := Read[Order](t, a)
	require.Equal(t, "/api/v1/orders/"+o.ID, a.Header.Get("Location"))
	require.Equal(t, "pending", o.Status)
	require.Equal(t, 1, o.Version)
	require.Equal(t, cart.Totals, o.Totals)
	return o
}

// Buy puts units of a product into the cart and orders them.
func (c *Client) Buy(t testing.TB, p *Product, quantity int, method string) Order {
	t.Helper()
	c.Put(t, p, quantity)
	return c.Order(t, method)
}

// Bought is Buy, paid and confirmed.
func (c *Client) Bought(t testing.TB, p *Product, quantity int) Order {
	t.Helper()
	return c.Await(t, c.Buy(t, p, quantity, Visa).ID, "confirmed")
}

// Await waits for an order's status by the long poll, and fails as soon as it has ended in another.
func (c *Client) Await(t testing.TB, id string, status string) Order {
	t.Helper()
	return c.AwaitOrder(t, id, status, func(o Order) bool { return o.Status == status })
}

// AwaitOrder waits until an order is as ok says.
func (c *Client) AwaitOrder(t testing.TB, id, what string, ok func(Order) bool) Order {
	t.Helper()
	version := 0
	for deadline := time.Now().Add(Patience); ; {
		o := Get[Order](t, c, fmt.Sprintf("/api/v1/orders/%s?wait=5&since=%d", id, version))
		require.GreaterOrEqual(t, o.Version, version)
		require.Equal(t, o.Status, o.History[len(o.History)-1].Status)
		version = o.Version
		if ok(o) {
			return o
		}
		if slices.Contains([]string{"cancelled", "delivered"}, o.Status) && what != o.Status && slices.Contains([]string{"pending", "confirmed", "shipped"}, what) {
			t.Fatalf("order %s is %s, not %s: %+v", id, o.Status, what, o)
		}
		if time.Now().After(deadline) {
			t.Fatalf("order %s is not %s after %s: %+v", id, what, Patience, o)
		}
	}
}

// Cancel asks for the order's cancellation.
func (c *Client) Cancel(t testing.TB, id string) *Answer {
	t.Helper()
	return c.Do(t, "POST", "/api/v1/orders/"+id+"/cancellation", map[string]string{"reason": "Changed my mind"})
}
