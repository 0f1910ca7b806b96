package main

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"time"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.Main("inventory", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	holdAt := serve.Env("HOLD_AT", "cart")
	if holdAt != "cart" && holdAt != "checkout" {
		return fmt.Errorf("setting HOLD_AT is neither cart nor checkout")
	}
	db, err := rt.Database(ctx, migrations)
	if err != nil {
		return err
	}
	now := func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) } // as PostgreSQL keeps it
	s := newService(rt, &store{
		db: db, now: now, ttl: serve.EnvDuration("HOLD_TTL", 15*time.Minute), retry: serve.EnvDuration("HOLD_RETRY", 3*time.Minute),
		atCheckout: holdAt == "checkout",
	}, neighbour{
		void: orders{rt.Dapr}.void, outcomes: feed.From(rt.Dapr, "orders", "/internal/orders/outcomes"),
		askAfter: serve.EnvDuration("INVENTORY_ASK_AFTER", 2*time.Minute), pullBehind: serve.EnvDuration("INVENTORY_PULL_BEHIND", 2*time.Minute),
	})
	s.work(rt)
	outbox.Feed(rt.API, db, rest.Neighbours("products"))
	rt.Missed("products")
	return rt.Serve(ctx)
}

// neighbour is orders: how it is asked, and when.
type neighbour struct {
	void       voidOrders
	outcomes   feed.Source
	askAfter   time.Duration // the age at which a hold without an order is asked about
	pullBehind time.Duration // how long events of orders get to arrive on their own
}

// service is inventory, wired up.
type service struct {
	neighbour
	store *store
	queue *queue
	log   *slog.Logger
}

func newService(rt *serve.Runtime, st *store, orders neighbour) *service {
	s := &service{store: st, queue: newQueue(st.setCartHolds), neighbour: orders, log: rt.Log}
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscriptions(rt.Subs)
	return s
}

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) {
	rt.Go("sweep lapsed holds", time.Second, s.store.sweep)
	rt.Go("pull outcomes of orders", feed.Every(s.pullBehind), s.pullOutcomes().Run)
	rt.Go("ask orders about old holds", max(time.Second, min(time.Minute, s.askAfter/2)), s.askOrders().Run)
	rt.Go("forget tombstones", 10*time.Minute, s.store.prune)
}
