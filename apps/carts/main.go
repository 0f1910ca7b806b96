// Command carts keeps the carts of guests and accounts, in Dapr's state alone.
// README.md says what it owns and whom it asks.
package main

import (
	"log/slog"
	"time"

	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/pricing"
)

func main() { serve.Main("carts", newService) }

// settings are what the environment may change.
type settings struct {
	serve.Shop
	PullBehind time.Duration `env:"CARTS_PULL_BEHIND" envDefault:"2m" doc:"How long order.confirmed gets to arrive before orders' list is believed"`
}

// service is carts: what it keeps, and whom it asks.
type service struct {
	settings  settings
	store     store
	products  products
	inventory inventory
	orders    orders
	rates     pricing.Rates
	log       *slog.Logger
	now       func() time.Time
}

// newService puts the routes, subscriptions and background work on rt.
func newService(rt *serve.Runtime, set settings) (*service, error) {
	s := &service{
		settings: set, store: newStore(rt.Dapr), log: rt.Log, now: rt.Now,
		products: newProducts(rt.Dapr), inventory: newInventory(rt.Dapr), orders: orders{rt.Dapr},
		rates: pricing.Builtin(set.Currency, set.Country),
	}
	s.routes(rt.API)
	s.subscribe(rt.Subs)
	s.work(rt)
	return s, nil
}
