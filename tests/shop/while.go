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
)

// WhileTheyBuy does something while each of a crowd buys again and again, after what comes before each time (nil: nothing),
// and says how many orders there are. Not one request may fail.
func WhileTheyBuy(t testing.TB, crowd []*Client, p *Product,
	before func(ctx context.Context, c *Client, requests *atomic.Int64) error, do func(),
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
func buy(ctx context.Context, c *Client, p *Product, requests *atomic.Int64) error {
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
	var cart Cart
	if err := ask(200, &cart, "PUT", "/api/v1/cart/items/"+p.SKU, map[string]int{"quantity": 1}); err != nil {
		return err
	}
	if err := ask(200, new(any), "GET", "/api/v1/products?q="+Random(), nil); err != nil {
		return err
	}
	var order Order
	body := OrderRequest{Address: &Home, PaymentMethod: Visa, ExpectedTotal: cart.Total}
	if err := ask(201, &order, "POST", "/api/v1/orders", body, "Idempotency-Key", Random()); err != nil {
		return err
	}
	for deadline := time.Now().Add(Patience); order.Status != "confirmed"; {
		if order.Ended() || time.Now().After(deadline) {
			return fmt.Errorf("order %s is %s", order.ID, order.Status)
		}
		if err := ask(200, &order, "GET", "/api/v1/orders/"+order.ID+"?wait=5&since="+strconv.Itoa(order.Version), nil); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(Patience); len(cart.Lines) > 0; { // carts takes out what was bought a moment later
		if time.Now().After(deadline) {
			return fmt.Errorf("what order %s has bought stays in the cart", order.ID)
		}
		if err := ask(200, &cart, "GET", "/api/v1/cart", nil); err != nil {
			return err
		}
	}
	return ask(200, new(any), "GET", "/api/v1/orders", nil)
}
