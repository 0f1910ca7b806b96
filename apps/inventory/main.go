package main

import (
	"context"
	"embed"
	"fmt"
	"time"

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
	newService(rt, &store{
		db: db, now: now, ttl: serve.EnvDuration("HOLD_TTL", 15*time.Minute), atCheckout: holdAt == "checkout",
	}, orders{rt.Dapr}.void)
	return rt.Serve(ctx)
}

// service is inventory, wired up.
type service struct {
	store *store
	queue *queue
	void  voidOrder
}

func newService(rt *serve.Runtime, st *store, void voidOrder) *service {
	s := &service{store: st, queue: newQueue(st.setCartHolds), void: void}
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscriptions(rt.Subs)
	rt.Go("sweep lapsed holds", time.Second, st.sweep)
	rt.Go("ask orders about old holds", 10*time.Second, s.askOrders)
	return s
}
