// Command carts keeps the carts of guests and accounts, in Dapr's state alone.
// README.md says what it owns and whom it asks.
package main

import (
	"context"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/sub"
	"github.com/stampede-shop/stampede/pricing"
)

func main() { serve.Main("carts", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	if _, err := newService(rt, serve.Env("SHOP_CURRENCY", "GBP"), serve.Env("SHOP_COUNTRY", "GB")); err != nil {
		return err
	}
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
