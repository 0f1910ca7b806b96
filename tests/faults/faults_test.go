// Package faults breaks parts of the running shop while people buy: every order must reach its end, nobody may pay for
// nothing, and nothing may be sold twice. Its tests run one after another, alone, since what they break is everybody's.
package faults

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// A storm of the size that all of these are put through.
var storm = shop.Storm{Orders: 50, Before: 15, During: 10}

const outage = 10 * time.Second // how long a service is away: not a wait for something, but what is tested

func TestBrokerKilled(t *testing.T) {
	s := shop.Open(t)
	storm.Blow(t, s, func(happened func()) {
		defer happened()
		s.Kill(t, s.Broker(t))
	})
}

func TestServiceAway(t *testing.T) {
	s := shop.Open(t)
	for _, name := range []string{"orders", "payments", "inventory"} {
		t.Run(name, func(t *testing.T) {
			storm.Blow(t, s, func(happened func()) { s.Away(t, name, outage, happened) })
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
	// Its sidecar took it off the list when it had been silent for five seconds, and puts it back.
	_, err := ann.Persist(t.Context(), 200, new(shop.Profile), "GET", "/api/v1/users/me", nil)
	require.NoError(t, err)
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
	s.Kill(t, "redis")
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

// prompt is how long a part may take to work again when the part that it needs is back.
const prompt = 15 * time.Second

// TestDatabaseKilled shows that everything that keeps records works again soon after the database is back. Keycloak once
// kept connections that had ended, and each of them cost somebody a login for over a minute.
func TestDatabaseKilled(t *testing.T) {
	s := shop.Open(t)
	p, ops := s.NewProduct(t, 1_000, 5), s.Admin(t)
	ann, bob, nobody := s.Register(t), s.Register(t), s.Nobody()
	const connections, most = 15, 8 // of Keycloak's; logins until one works
	s.Busy(t, connections)
	old := s.PID(t, "postgres")
	s.Kill(t, "postgres")
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		if s.PID(t, "postgres") == old {
			return false, "PostgreSQL was not started again"
		}
		out, err := exec.CommandContext(t.Context(), "pg_isready", "--dbname="+s.Settings["POSTGRES_SUPERUSER_URL"]).CombinedOutput()
		return err == nil, string(out)
	})

	back := time.Now()
	ctx, cancel := context.WithDeadline(t.Context(), back.Add(prompt))
	defer cancel()
	works := map[string]func() error{
		"accounts": func() error {
			asked, err := nobody.Persist(ctx, 200, new(any), "POST", "/api/v1/auth/login", map[string]string{"email": bob.Email, "password": bob.Password})
			if err == nil && asked > most {
				err = fmt.Errorf("the first login that worked was number %d", asked)
			}
			if err != nil {
				return err
			}
			_, err = nobody.Persist(ctx, 201, new(any), "POST", "/api/v1/auth/register", map[string]string{
				"email": "ann-" + shop.Random() + "@example.test", "password": "correct-horse-" + shop.Random(), "first_name": "Ann", "last_name": "Lee",
			})
			return err
		},
		"browse": func() error {
			_, err := nobody.Persist(ctx, 200, new(any), "GET", "/api/v1/products?q="+shop.Random(), nil)
			return err
		},
		"back office": func() error {
			_, err := ops.Persist(ctx, 200, new(any), "GET", "/api/v1/admin/orders", nil)
			return err
		},
		"buy": func() error {
			id, _, err := ann.Insist(ctx, p, shop.Visa)
			for order := (shop.Order{}); err == nil && order.Status != "confirmed"; {
				_, err = ann.Persist(ctx, 200, &order, "GET", "/api/v1/orders/"+id+"?wait=5&since=1", nil)
			}
			return err
		},
	}
	shop.Each(t, slices.Collect(maps.Keys(works)), len(works), func(name string) error {
		if err := works[name](); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t.Logf("%s works %s after PostgreSQL's return", name, time.Since(back).Round(100*time.Millisecond))
		return nil
	})
	for range 16 { // more than may still be broken unseen
		bob.Login(t)
	}
	s.Audit(t)
}
