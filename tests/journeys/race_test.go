package journeys

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestRace is the drop: 200 shoppers want one of 50 units at the same moment. 50 get one, 150 are told clearly that they
// do not. It runs before the parallel tests, with the stack to itself.
func TestRace(t *testing.T) {
	s := shop.Open(t)
	const shoppers, units = 200, 50
	crowd := s.Crowd(t, shoppers)
	lamp := s.NewProduct(t, 10_000, units)
	begun := time.Now()

	var ordered, refusedCart, refusedOrder atomic.Int64
	orders := make(chan struct {
		who *shop.Client
		id  string
	}, shoppers)
	shop.Each(t, crowd, shoppers, func(c *shop.Client) error {
		id, refused, err := grab(t.Context(), c, lamp)
		switch {
		case err != nil:
			return err
		case refused == "cart":
			refusedCart.Add(1)
		case refused == "order":
			refusedOrder.Add(1)
		default:
			ordered.Add(1)
			orders <- struct {
				who *shop.Client
				id  string
			}{c, id}
		}
		return nil
	})
	close(orders)
	took := time.Since(begun)
	require.EqualValues(t, units, ordered.Load(), "orders; refused at the cart %d, at the order %d", refusedCart.Load(), refusedOrder.Load())
	require.EqualValues(t, shoppers-units, refusedCart.Load()+refusedOrder.Load())
	for o := range orders {
		o.who.Await(t, o.id, "confirmed")
	}
	lamp.AwaitStock(t, 0, units)
	t.Logf("%d shoppers, %d units: answered within %s (refused at the cart %d, at the order %d), all confirmed within %s",
		shoppers, units, took.Round(time.Millisecond), refusedCart.Load(), refusedOrder.Load(), time.Since(begun).Round(time.Millisecond))

	sold := 0
	for _, e := range lamp.Ledger(t) {
		if e.Kind == "sale" {
			sold -= e.Delta
		}
	}
	require.Equal(t, units, sold)
	s.Audit(t)
}

// grab puts one unit into the cart and orders it. refused says where the shopper was told that there is none.
func grab(ctx context.Context, c *shop.Client, p *shop.Product) (id, refused string, err error) {
	a, err := c.Send(ctx, "PUT", "/api/v1/cart/items/"+p.SKU, map[string]int{"quantity": 1})
	if err != nil {
		return "", "", err
	}
	if err := a.Check(); err != nil {
		return "", "", err
	}
	if a.Status == 409 && a.Problem().Slug() == "out-of-stock" {
		return "", "cart", nil
	}
	var cart shop.Cart
	if err := json.Unmarshal(a.Body, &cart); err != nil || a.Status != 200 {
		return "", "", fmt.Errorf("%s: %d %s", a.Request, a.Status, a.Body)
	}
	a, err = c.Send(ctx, "POST", "/api/v1/orders", shop.OrderRequest{
		Address: &shop.Home, PaymentMethod: shop.Visa, ExpectedTotal: cart.Total,
	}, "Idempotency-Key", shop.Random())
	if err != nil {
		return "", "", err
	}
	if err := a.Check(); err != nil {
		return "", "", err
	}
	if a.Status == 409 && a.Problem().Slug() == "out-of-stock" {
		return "", "order", nil
	}
	var order shop.Order
	if err := json.Unmarshal(a.Body, &order); err != nil || a.Status != 201 {
		return "", "", fmt.Errorf("%s: %d %s", a.Request, a.Status, a.Body)
	}
	return order.ID, "", nil
}
