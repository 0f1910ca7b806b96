// Package scale runs the shop with several instances of its services and restarts them one at a time while people buy:
// nobody may notice. Its tests run alone, since what they restart is everybody's.
package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// What is made two of and restarted: what holds state in its database, what everything goes through, an edge.
var scaled = []string{"orders", "inventory", "edge-auth"}

// TestRestart buys without a pause while each instance of each of these is restarted. No request may fail, not one is
// sent again; each order is confirmed, and everything adds up.
func TestRestart(t *testing.T) {
	s := shop.Open(t)
	dev := func(args ...string) {
		t.Helper()
		begun := time.Now()
		out, err := s.Dev(t, args...)
		require.NoError(t, err, out)
		t.Logf("%s, %s\n%s", strings.Join(args, " "), time.Since(begun).Round(time.Millisecond), out)
	}
	before := map[string]int{}
	for _, app := range scaled {
		dev("scale", app, "2")
		for _, name := range []string{app, app + "-2"} {
			before[name] = s.PID(t, name)
		}
	}
	back := func() {
		for _, app := range scaled {
			dev("scale", app, "1")
		}
	}
	defer func() {
		if t.Failed() {
			back()
		}
	}()

	p, crowd := s.NewProduct(t, 1_500, 100_000), s.Crowd(t, 6)
	orders := whileTheyBuy(t, crowd, p, nil, func() {
		for _, app := range scaled {
			dev("restart", app)
		}
	})
	for name, pid := range before {
		require.NotEqual(t, pid, s.PID(t, name), "%s was not restarted", name)
	}
	p.AwaitStock(t, 100_000-orders, orders)
	s.Audit(t)

	back()
	for _, process := range s.Processes(t) {
		require.NotContains(t, process.Name, "-2")
	}
	crowd[0].Bought(t, p, 1)
}

// whileTheyBuy does something while each of a crowd buys again and again, after what comes before each time (nil: nothing),
// and says how many orders there are. Not one request may fail.
func whileTheyBuy(t *testing.T, crowd []*shop.Client, p *shop.Product,
	before func(ctx context.Context, c *shop.Client, requests *atomic.Int64) error, do func(),
) int {
	t.Helper()
	shopping, stop := context.WithCancel(t.Context())
	defer stop()
	var requests, orders atomic.Int64
	bought := make(chan error, len(crowd))
	for _, c := range crowd {
		go func() {
			var err error
			for shopping.Err() == nil && err == nil {
				if before != nil {
					err = before(t.Context(), c, &requests)
				}
				if err == nil {
					err = buy(t.Context(), c, p, &requests)
				}
				if err == nil {
					orders.Add(1)
				}
			}
			bought <- err
		}()
	}
	do()
	stop()
	for range crowd {
		if err := <-bought; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d requests, %d orders", requests.Load(), orders.Load())
	require.False(t, t.Failed(), "somebody has noticed")
	return int(orders.Load())
}

// buy puts a unit into the cart, orders it and waits until that is confirmed, with a look at the catalogue and at the
// own orders between. The first answer that is not the one that it should be ends it.
func buy(ctx context.Context, c *shop.Client, p *shop.Product, requests *atomic.Int64) error {
	ask := func(want int, into any, method, path string, body any, headers ...string) error {
		requests.Add(1)
		a, err := c.Send(ctx, method, path, body, headers...)
		if err != nil {
			return err
		}
		if a.Status != want {
			return fmt.Errorf("%s: %d %s", a.Request, a.Status, a.Body)
		}
		return json.Unmarshal(a.Body, into)
	}
	var cart shop.Cart
	if err := ask(200, &cart, "PUT", "/api/v1/cart/items/"+p.SKU, map[string]int{"quantity": 1}); err != nil {
		return err
	}
	if err := ask(200, new(any), "GET", "/api/v1/products?q="+shop.Random(), nil); err != nil {
		return err
	}
	var order shop.Order
	body := shop.OrderRequest{Address: &shop.Home, PaymentMethod: shop.Visa, ExpectedTotal: cart.Total}
	if err := ask(201, &order, "POST", "/api/v1/orders", body, "Idempotency-Key", shop.Random()); err != nil {
		return err
	}
	for deadline := time.Now().Add(shop.Patience); order.Status != "confirmed"; {
		if order.Ended() || time.Now().After(deadline) {
			return fmt.Errorf("order %s is %s", order.ID, order.Status)
		}
		if err := ask(200, &order, "GET", "/api/v1/orders/"+order.ID+"?wait=5&since="+strconv.Itoa(order.Version), nil); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(shop.Patience); len(cart.Lines) > 0; { // carts takes out what was bought a moment later
		if time.Now().After(deadline) {
			return fmt.Errorf("what order %s has bought stays in the cart", order.ID)
		}
		if err := ask(200, &cart, "GET", "/api/v1/cart", nil); err != nil {
			return err
		}
	}
	return ask(200, new(any), "GET", "/api/v1/orders", nil)
}
