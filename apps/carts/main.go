// Command carts keeps the carts of guests and accounts, in Dapr's state alone.
// README.md says what it owns and whom it asks.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/sub"
	"github.com/stampede-shop/stampede/pricing"
)

func main() { serve.Main("carts", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	s, err := newService(rt, serve.Env("SHOP_CURRENCY", "GBP"), serve.Env("SHOP_COUNTRY", "GB"))
	if err != nil {
		return err
	}
	behind := serve.EnvDuration("CARTS_PULL_BEHIND", 2*time.Minute)
	rt.Go("pull orders", feed.Every(behind), s.pull(rt, behind).Run)
	return rt.Serve(ctx)
}

type service struct {
	store    store
	products products
	stock    inventory
	rates    pricing.Rates
	country  string
	now      func() time.Time
}

// newService puts the routes and subscriptions on rt.
func newService(rt *serve.Runtime, currency, country string) (*service, error) {
	// In a rush everybody asks for the same few; a price at most a second old
	// is honoured.
	cache, err := otter.New(&otter.Options[string, variant]{
		MaximumSize:      10_000,
		ExpiryCalculator: otter.ExpiryWriting[string, variant](time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("variant cache: %w", err)
	}
	s := &service{
		store:    store{rt.Dapr},
		products: products{rt.Dapr, cache},
		stock:    inventory{rt.Dapr},
		rates:    pricing.Builtin(currency, country),
		country:  country,
		now:      func() time.Time { return time.Now().UTC() },
	}
	s.routes(rt.API)
	sub.OnDirect(rt.Subs, s.confirmed)
	return s, nil
}

// pull reads the confirmed orders whose event should have come long ago.
func (s *service) pull(rt *serve.Runtime, behind time.Duration) feed.PullDirect[events.Order] {
	return feed.PullDirect[events.Order]{
		Name: "carts.orders", Dapr: rt.Dapr, Store: serve.State, Log: rt.Log,
		Source: feed.From(rt.Dapr, "orders", "/internal/orders/ended?status=confirmed"), Behind: behind, Apply: s.pulled,
	}
}
