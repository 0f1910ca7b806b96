package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/sub"
	"github.com/stampede-shop/stampede/pricing"
)

func main() { serve.Main("orders", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	db, err := rt.Database(ctx, migrations)
	if err != nil {
		return err
	}
	if _, err := newService(rt, db, settings{
		Currency:    serve.Env("SHOP_CURRENCY", "GBP"),
		Country:     serve.Env("SHOP_COUNTRY", "GB"),
		Deadline:    serve.EnvDuration("ORDER_DEADLINE", 10*time.Minute),
		RemindAfter: serve.EnvDuration("ORDER_REMIND_AFTER", time.Minute),
		VoidEvery:   serve.EnvDuration("ORDER_VOID_EVERY", 15*time.Second),
		PullBehind:  serve.EnvDuration("ORDERS_PULL_BEHIND", 10*time.Minute),
	}); err != nil {
		return err
	}
	rt.Missed("auth")
	return rt.Serve(ctx)
}

// settings are what the environment may change.
type settings struct {
	Currency    string        // ISO 4217, the shop's one
	Country     string        // ISO 3166-1 alpha-2, where the shop is
	Deadline    time.Duration // of a pending order, from when order.placed was first sent
	RemindAfter time.Duration // of a pending order, until order.placed is sent again
	VoidEvery   time.Duration // between two requests to void the same charge
	PullBehind  time.Duration // that events of payments get to arrive, before their feed is believed
}

// service is orders: what it keeps, whom it asks, and who waits.
type service struct {
	store    store
	dapr     *dapr.Client
	log      *slog.Logger
	now      func() time.Time
	rates    pricing.Rates
	variants *otter.Cache[string, variant]
	polls    *polls
	stopping <-chan struct{}
	settings settings
}

// newService puts the routes, subscriptions and background work on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error) {
	variants, err := newVariantCache()
	if err != nil {
		return nil, err
	}
	s := &service{
		store: store{db}, dapr: rt.Dapr, log: rt.Log, now: clock, rates: pricing.Builtin(set.Currency, set.Country),
		variants: variants, polls: newPolls(maxPolls), stopping: rt.Stopping(), settings: set,
	}
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	sub.On(rt.Subs, s.captured)
	sub.On(rt.Subs, s.declined)
	sub.On(rt.Subs, s.refunded)
	sub.On(rt.Subs, s.suspended)
	sub.On(rt.Subs, s.activated)
	rt.Go("polls", time.Second, func(ctx context.Context) error {
		pg.Listen(ctx, db, changed, s.polls.wake)
		return nil
	})
	rt.Go("remind", min(5*time.Second, set.RemindAfter), s.remind)
	rt.Go("settle", min(5*time.Second, set.VoidEvery), s.settle)
	rt.Go("prune keys", 10*time.Minute, s.prune)
	refunds := s.refundsMade(db, feed.From(rt.Dapr, "payments", "/internal/refunds/made"))
	rt.Go("pull refunds", feed.Every(set.PullBehind), refunds.Run)
	return s, nil
}
