package shop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/skus"
)

// end is how long an order may take to its end: two minutes after which the shop of the tests gives up on one that
// nobody ends, and the longest of its pulls.
const end = 5 * time.Minute

// Storm is a crowd that orders one unit each, ten at a time, while something happens to the shop. Who is told to come
// back comes back with the same key, as the API says that clients may. One in five has a card that is declined.
type Storm struct {
	Orders int
	Before int // orders before it happens
	During int // orders on their way meanwhile; the rest comes when it has happened
}

// Stormed tells how a storm went.
type Stormed struct {
	Placed   time.Duration // until the last order was taken
	Ended    time.Duration // until the last one was confirmed or cancelled
	Requests int           // asked, until there were these orders
}

// buyer is one shopper of a storm, with what became of them.
type buyer struct {
	*Client
	method string
	id     string
	asked  int // how often, until there was an order
}

// Blow lets the storm loose. fault calls happened when what it does has happened; it may go on after that. Every order
// must reach its end, stock and money must add up, and everybody whose card was not declined must get one mail.
func (w Storm) Blow(t testing.TB, s *Shop, fault func(happened func())) Stormed {
	t.Helper()
	p := s.NewProduct(t, 6_000, 2*w.Orders)
	var buyers []*buyer
	for i, c := range s.Crowd(t, w.Orders) {
		b := &buyer{Client: c, method: Visa}
		if i%5 == 0 {
			b.method = Declined
		}
		buyers = append(buyers, b)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	begun := time.Now()
	buy := func(some []*buyer) {
		Each(t, some, 10, func(b *buyer) (err error) {
			b.id, b.asked, err = b.Insist(ctx, p, b.method)
			return err
		})
	}
	buy(buyers[:w.Before])
	happened, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		fault(sync.OnceFunc(func() { close(happened) }))
	}()
	buy(buyers[w.Before : w.Before+w.During])
	<-happened
	buy(buyers[w.Before+w.During:])
	<-over
	went := Stormed{Placed: time.Since(begun)}
	for _, b := range buyers {
		went.Requests += b.asked
	}

	ends := map[string]int{}
	for _, b := range buyers {
		ends[b.await(t)]++
	}
	went.Ended = time.Since(begun)
	declined := (w.Orders + 4) / 5
	require.Equal(t, map[string]int{"confirmed": w.Orders - declined, "cancelled payment-declined": declined}, ends)
	t.Logf("%d orders placed within %s with %d requests, all ended within %s", w.Orders, went.Placed.Round(time.Millisecond), went.Requests, went.Ended.Round(time.Millisecond))
	ops, back := s.Admin(t), time.Now()
	for _, path := range []string{"inventory/" + skus.Segment(p.SKU), "orders", "payments", "mail"} {
		Eventually(t, Patience, func() (bool, string) {
			a := ops.Do(t, "GET", "/api/v1/admin/"+path, nil)
			return a.Status == 200, fmt.Sprintf("%s: %d %s", a.Request, a.Status, a.Body)
		})
	}
	t.Logf("all services answer again %s after the last end", time.Since(back).Round(time.Millisecond))
	Eventually(t, end, func() (bool, string) {
		stock := p.Stock(t)
		return stock.Sold == w.Orders-declined && stock.OrderHeld == 0, fmt.Sprintf("stock is %+v", stock)
	})
	for _, b := range buyers {
		require.Len(t, Get[List[Order]](t, b.Client, "/api/v1/orders").Items, 1, "one order each")
		listed := 1
		if b.method == Declined {
			listed = 0
		}
		require.Len(t, Get[List[Order]](t, b.Client, "/api/v1/orders?declined=false").Items, listed, "an attempt whose card was declined is no order")
	}
	require.NotEmpty(t, p.Ledger(t))
	b := time.Now()
	mails(t, buyers)
	t.Logf("everybody has a mail %s later", time.Since(b).Round(time.Millisecond))
	s.Audit(t)
	return went
}

// Insist puts one unit into the cart and orders it, and asks again as long as the shop says that it is not available
// now, or still at it. asked is how often.
func (c *Client) Insist(ctx context.Context, p *Product, method string) (id string, asked int, err error) {
	var cart Cart
	at := "/api/v1/cart/items/" + skus.Segment(p.SKU)
	if err := c.insist(ctx, &asked, 200, &cart, "PUT", at, map[string]int{"quantity": 1}); err != nil {
		return "", asked, err
	}
	var order Order
	err = c.insist(ctx, &asked, 201, &order, "POST", "/api/v1/orders", OrderRequest{
		Address: &Home, PaymentMethod: method, ExpectedTotal: cart.Total,
	}, "Idempotency-Key", Random())
	return order.ID, asked, err
}

// Persist makes one request until it gets the status that it wants, and reads the answer into out. asked is how often. A shop that says that
// it is not available now is asked again until ctx ends; any other status is an error.
func (c *Client) Persist(ctx context.Context, want int, out any, method, path string, body any, headers ...string) (asked int, err error) {
	err = c.insist(ctx, &asked, want, out, method, path, body, headers...)
	return asked, err
}

func (c *Client) insist(ctx context.Context, asked *int, want int, out any, method, path string, body any, headers ...string) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		*asked++
		a, err := c.Send(ctx, method, path, body, headers...)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Email, err)
		}
		if err := a.Check(); err != nil {
			return err
		}
		if a.Status == want {
			return json.Unmarshal(a.Body, out)
		}
		wrong := fmt.Errorf("%s: %s: %d %s", c.Email, a.Request, a.Status, a.Body)
		if a.Status != 503 && a.Problem().Slug() != "request-in-progress" {
			return wrong
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), wrong)
		case <-tick.C:
		}
	}
}

// await waits for the order's end and returns it.
func (b *buyer) await(t testing.TB) (ended string) {
	t.Helper()
	Eventually(t, end, func() (bool, string) {
		a := b.Do(t, "GET", "/api/v1/orders/"+b.id+"?wait=5&since=1", nil)
		if a.Status == 503 {
			return false, "orders is not available"
		}
		o := Read[Order](t, a.OK(t, 200))
		ended = o.Status
		if o.CancelReason != nil {
			ended += " " + *o.CancelReason
		}
		return o.Ended(), fmt.Sprintf("order %s is pending", o.ID)
	})
	return ended
}

// mails demands one mail for each order, and none for an attempt whose card was declined. Repeats are allowed to a mail
// service that was killed, which these are not.
func mails(t testing.TB, buyers []*buyer) {
	t.Helper()
	for _, b := range buyers {
		if b.method == Declined {
			continue
		}
		var subjects []string
		Eventually(t, end, func() (bool, string) {
			subjects = b.Subjects(t)
			return len(subjects) > 0, "no mail for " + b.Email
		})
		require.Len(t, subjects, 1)
		require.True(t, strings.HasSuffix(subjects[0], "is confirmed"), subjects[0])
	}
	for _, b := range buyers { // when all others have theirs
		if b.method == Declined {
			require.Empty(t, b.Subjects(t))
		}
	}
}
