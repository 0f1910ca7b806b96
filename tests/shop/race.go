package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/skus"
)

// Raced tells how a race went.
type Raced struct {
	Answered, Confirmed time.Duration // until all were answered, until the last order was confirmed
}

// Race is a drop: so many shoppers want one of so many units at the same moment. As many as there are units get one,
// the others are told clearly that they do not. Who is told that the shop is busy comes back.
func (s *Shop) Race(t testing.TB, shoppers, units int) Raced {
	t.Helper()
	crowd := s.Crowd(t, shoppers)
	lamp := s.NewProduct(t, 10_000, units)
	begun := time.Now()

	var ordered, refusedCart, refusedOrder atomic.Int64
	type order struct {
		who *Client
		id  string
	}
	orders := make(chan order, shoppers)
	Each(t, crowd, shoppers, func(c *Client) error {
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
			orders <- order{c, id}
		}
		return nil
	})
	close(orders)
	went := Raced{Answered: time.Since(begun)}
	require.EqualValues(t, units, ordered.Load(), "orders; refused at the cart %d, at the order %d", refusedCart.Load(), refusedOrder.Load())
	require.EqualValues(t, shoppers-units, refusedCart.Load()+refusedOrder.Load())
	for o := range orders {
		o.who.Await(t, o.id, "confirmed")
	}
	went.Confirmed = time.Since(begun)
	lamp.AwaitStock(t, 0, units)
	t.Logf("%d shoppers, %d units: answered within %s (refused at the cart %d, at the order %d), all confirmed within %s",
		shoppers, units, went.Answered.Round(time.Millisecond), refusedCart.Load(), refusedOrder.Load(), went.Confirmed.Round(time.Millisecond))

	sold := 0
	for _, e := range lamp.Ledger(t) {
		if e.Kind == "sale" {
			sold -= e.Delta
		}
	}
	require.Equal(t, units, sold)
	s.Audit(t)
	return went
}

// grab puts one unit into the cart and orders it. refused says where the shopper was told that there is none.
func grab(ctx context.Context, c *Client, p *Product) (id, refused string, err error) {
	a, err := c.patiently(ctx, "PUT", "/api/v1/cart/items/"+skus.Segment(p.SKU), map[string]int{"quantity": 1})
	if err != nil {
		return "", "", err
	}
	if err := a.Check(); err != nil {
		return "", "", err
	}
	if a.Status == 409 && a.Problem().Slug() == "out-of-stock" {
		return "", "cart", nil
	}
	var cart Cart
	if err := json.Unmarshal(a.Body, &cart); err != nil || a.Status != 200 {
		return "", "", fmt.Errorf("%s: %d %s", a.Request, a.Status, a.Body)
	}
	a, err = c.patiently(ctx, "POST", "/api/v1/orders", OrderRequest{
		Address: &Home, PaymentMethod: Visa, ExpectedTotal: cart.Total,
	}, "Idempotency-Key", Random())
	if err != nil {
		return "", "", err
	}
	if err := a.Check(); err != nil {
		return "", "", err
	}
	if a.Status == 409 && a.Problem().Slug() == "out-of-stock" {
		return "", "order", nil
	}
	var order Order
	if err := json.Unmarshal(a.Body, &order); err != nil || a.Status != 201 {
		return "", "", fmt.Errorf("%s: %d %s", a.Request, a.Status, a.Body)
	}
	return order.ID, "", nil
}

// patiently sends a request until the shop has room for it, as often as the answers say that it may.
func (c *Client) patiently(ctx context.Context, method, path string, body any, headers ...string) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for {
		a, err := c.Send(ctx, method, path, body, headers...)
		if err != nil || a.Status != 503 {
			return a, err
		}
		if err := a.Check(); err != nil {
			return nil, err
		}
		seconds, _ := strconv.Atoi(a.Header.Get("Retry-After"))
		select {
		case <-ctx.Done():
			return a, nil
		case <-time.After(time.Duration(seconds) * time.Second):
		}
	}
}
