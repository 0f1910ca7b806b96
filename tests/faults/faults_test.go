// Package faults breaks parts of the running shop while people buy: every order must reach its end, nobody may pay for
// nothing, and nothing may be sold twice. Its tests run one after another, alone, since what they break is everybody's.
package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

const (
	orders = 50
	before = 15               // orders when the fault begins
	during = 10               // that are on their way meanwhile; the rest comes when it has happened
	outage = 20 * time.Second // how long a service is away: not a wait for something, but what is tested

	// end is how long an order may take to its end: ten minutes is when the shop gives up on one that nobody ends,
	// and the longest of its pulls.
	end = 13 * time.Minute
)

// buyer is one shopper of a storm, with what became of them.
type buyer struct {
	*shop.Client
	method string
	id     string
	asked  int // how often, until there was an order
}

// storm lets fifty shoppers order, ten at a time, while fault happens; fault calls happened when it has. Who is told to
// come back comes back with the same key, as the API says that clients may. One in five has a card that is declined.
func storm(t *testing.T, s *shop.Shop, fault func(happened func())) {
	t.Helper()
	p := s.NewProduct(t, 6_000, 2*orders)
	var buyers []*buyer
	for i, c := range s.Crowd(t, orders) {
		b := &buyer{Client: c, method: shop.Visa}
		if i%5 == 0 {
			b.method = shop.Declined
		}
		buyers = append(buyers, b)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	begun := time.Now()
	buy := func(some []*buyer) {
		shop.Each(t, some, 10, func(b *buyer) error {
			if err := b.buy(ctx, p); err != nil {
				return fmt.Errorf("%s: %w", b.Email, err)
			}
			return nil
		})
	}
	buy(buyers[:before])
	happened, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		fault(sync.OnceFunc(func() { close(happened) }))
	}()
	buy(buyers[before : before+during])
	<-happened
	buy(buyers[before+during:])
	<-over
	t.Logf("%d orders placed within %s, %d requests for them", orders, time.Since(begun).Round(time.Millisecond), sum(buyers))

	ends := map[string]int{}
	for _, b := range buyers {
		ends[b.await(t)]++
	}
	require.Equal(t, map[string]int{"confirmed": orders * 4 / 5, "cancelled payment-declined": orders / 5}, ends)
	t.Logf("all ended within %s", time.Since(begun).Round(time.Millisecond))
	ops, back := s.Admin(t), time.Now()
	for _, path := range []string{"inventory/" + p.SKU, "orders", "payments", "mail"} {
		shop.Eventually(t, shop.Patience, func() (bool, string) {
			a := ops.Do(t, "GET", "/api/v1/admin/"+path, nil)
			return a.Status == 200, fmt.Sprintf("%s: %d %s", a.Request, a.Status, a.Body)
		})
	}
	t.Logf("all services answer again %s after the last end", time.Since(back).Round(time.Millisecond))
	shop.Eventually(t, end, func() (bool, string) {
		stock := p.Stock(t)
		return stock.Sold == orders*4/5 && stock.OrderHeld == 0, fmt.Sprintf("stock is %+v", stock)
	})
	for _, b := range buyers {
		require.Len(t, shop.Get[shop.List[shop.Order]](t, b.Client, "/api/v1/orders").Items, 1, "one order each")
	}
	require.NotEmpty(t, p.Ledger(t))
	mails(t, s, buyers)
	s.Audit(t)
}

func sum(buyers []*buyer) int {
	n := 0
	for _, b := range buyers {
		n += b.asked
	}
	return n
}

// buy puts one unit into the cart and orders it.
func (b *buyer) buy(ctx context.Context, p *shop.Product) error {
	a, err := b.persist(ctx, "PUT", "/api/v1/cart/items/"+p.SKU, map[string]int{"quantity": 1})
	if err != nil {
		return err
	}
	var cart shop.Cart
	if err := json.Unmarshal(a.Body, &cart); err != nil || a.Status != 200 {
		return fmt.Errorf("%s: %d %s", a.Request, a.Status, a.Body)
	}
	a, err = b.persist(ctx, "POST", "/api/v1/orders", shop.OrderRequest{
		Address: &shop.Home, PaymentMethod: b.method, ExpectedTotal: cart.Total,
	}, "Idempotency-Key", shop.Random())
	if err != nil {
		return err
	}
	var order shop.Order
	if err := json.Unmarshal(a.Body, &order); err != nil || a.Status != 201 {
		return fmt.Errorf("%s: %d %s", a.Request, a.Status, a.Body)
	}
	b.id = order.ID
	return nil
}

// persist asks again as long as the shop says that it is not available now, or still at it.
func (b *buyer) persist(ctx context.Context, method, path string, body any, headers ...string) (*shop.Answer, error) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		b.asked++
		a, err := b.Send(ctx, method, path, body, headers...)
		if err != nil {
			return nil, err
		}
		if err := a.Check(); err != nil {
			return nil, err
		}
		if a.Status != 503 && !slices.Contains([]string{"request-in-progress"}, a.Problem().Slug()) {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), fmt.Errorf("%s: still %d %s", a.Request, a.Status, a.Body))
		case <-tick.C:
		}
	}
}

// await waits for the order's end and returns it.
func (b *buyer) await(t *testing.T) (ended string) {
	t.Helper()
	shop.Eventually(t, end, func() (bool, string) {
		a := b.Do(t, "GET", "/api/v1/orders/"+b.id+"?wait=5&since=1", nil)
		if a.Status == 503 {
			return false, "orders is not available"
		}
		o := shop.Read[shop.Order](t, a.OK(t, 200))
		ended = o.Status
		if o.CancelReason != nil {
			ended += " " + *o.CancelReason
		}
		return o.Ended(), fmt.Sprintf("order %s is pending", o.ID)
	})
	return ended
}

// mails demands one mail for each order. Repeats are allowed to a mail service that was killed, which these are not.
func mails(t *testing.T, s *shop.Shop, buyers []*buyer) {
	t.Helper()
	for _, b := range buyers {
		var subjects []string
		shop.Eventually(t, end, func() (bool, string) {
			subjects = b.Subjects(t)
			return len(subjects) > 0, "no mail for " + b.Email
		})
		require.Len(t, subjects, 1)
		require.True(t, strings.HasSuffix(subjects[0], "is confirmed") || strings.HasSuffix(subjects[0], "was cancelled"), subjects[0])
	}
}

// away takes a part of the stack away for a while, without letting it end well.
func away(t *testing.T, s *shop.Shop, name string, long time.Duration, happened func()) {
	defer happened()
	out, err := s.Dev(t, "kill", name)
	if err != nil {
		t.Errorf("%s: %s", err, out)
		return
	}
	happened()
	select {
	case <-t.Context().Done():
	case <-time.After(long):
	}
	if out, err := s.Dev(t, "start", name); err != nil {
		t.Errorf("%s: %s", err, out)
	}
}

func TestBrokerKilled(t *testing.T) {
	s := shop.Open(t)
	storm(t, s, func(happened func()) {
		defer happened()
		pid := s.PID(t, "rabbitmq")
		t.Logf("killing rabbitmq, %d", pid)
		if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	})
}

func TestServiceAway(t *testing.T) {
	s := shop.Open(t)
	for _, name := range []string{"orders", "payments", "inventory"} {
		t.Run(name, func(t *testing.T) {
			storm(t, s, func(happened func()) { away(t, s, name, outage, happened) })
		})
	}
}

// TestPostOnce shows that nothing between a client and a service repeats a POST: not the gateway, not the sidecars, not
// even when the service does not answer in time.
func TestPostOnce(t *testing.T) {
	s := shop.Open(t)
	ann := s.Register(t)
	require.Empty(t, shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Addresses)
	s.Signal(t, "users", syscall.SIGSTOP)
	resumed := false
	resume := func() {
		if !resumed {
			resumed = true
			s.Signal(t, "users", syscall.SIGCONT)
		}
	}
	defer resume()
	a := ann.Do(t, "POST", "/api/v1/users/me/addresses", shop.Home)
	a.Refused(t, 503, "unavailable")
	resume()
	// What reached the service before it was stopped is done by now, or will be when it answers something younger.
	home := shop.Home
	home.Name = "The last one"
	ann.Do(t, "POST", "/api/v1/users/me/addresses", home).OK(t, 201)
	require.LessOrEqual(t, len(shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Addresses), 2, "the POST came more than once")
}

// TestIdentityAway shows that who is logged in goes on buying while Keycloak is away.
func TestIdentityAway(t *testing.T) {
	s := shop.Open(t)
	ann, p := s.Register(t), s.NewProduct(t, 1_000, 5)
	s.Admin(t)
	out, err := s.Dev(t, "kill", "keycloak")
	require.NoError(t, err, out)
	defer func() {
		out, err := s.Dev(t, "start", "keycloak")
		require.NoError(t, err, out)
		ann.Login(t)
	}()
	ann.Bought(t, p, 1)
	a := s.Nobody().Do(t, "POST", "/api/v1/auth/login", map[string]string{"email": ann.Email, "password": ann.Password})
	a.Refused(t, 503, "unavailable")
	require.Equal(t, ann.Account, shop.Get[shop.Profile](t, ann, "/api/v1/users/me").AccountID)
}

// TestStateAway shows that carts outlive the state store's crash.
func TestStateAway(t *testing.T) {
	s := shop.Open(t)
	ann, p := s.Register(t), s.NewProduct(t, 1_000, 5)
	begun := ann.Put(t, p, 2).Line(p.SKU).HoldExpiresAt.Add(-s.HoldTTL(t))
	// Redis writes its file down every second.
	shop.Eventually(t, shop.Patience, func() (bool, string) { return time.Since(begun) > 2*time.Second, "the cart is too young" })
	pid := s.PID(t, "redis")
	require.NoError(t, syscall.Kill(-pid, syscall.SIGKILL))
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := ann.Do(t, "GET", "/api/v1/cart", nil)
		if a.Status != 200 {
			return false, fmt.Sprintf("%d %s", a.Status, a.Body)
		}
		require.Equal(t, 2, shop.Read[shop.Cart](t, a).Line(p.SKU).Quantity)
		return true, ""
	})
	ann.Await(t, ann.Order(t, shop.Visa).ID, "confirmed")
}
