// Command payments takes orders' money through a payment provider, once, and gives it back.
package main

import (
	"context"
	"embed"
	"net/http"
	"time"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.Main("payments", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	webhooks := serve.Env("SANDBOX_WEBHOOK_URL", serve.Env("PUBLIC_URL", "http://localhost:8000")+"/api/v1/payments/webhooks/sandbox")
	secret := serve.MustEnv("PAYMENTS_WEBHOOK_SECRET")
	config := settings{
		Timeout:      serve.EnvDuration("PROVIDER_TIMEOUT", 10*time.Second),
		MissingAfter: serve.EnvDuration("PROVIDER_MISSING_AFTER", 30*time.Second),
		PullBehind:   serve.EnvDuration("PAYMENTS_PULL_BEHIND", 10*time.Minute),
	}
	db, err := rt.Database(ctx, migrations)
	if err != nil {
		return err
	}
	provider := &sandbox{db: db, log: rt.Log, http: &http.Client{}, secret: []byte(secret), url: webhooks}
	s := &service{
		db: db, log: rt.Log, now: time.Now, settings: config,
		providers: map[string]Provider{"sandbox": provider}, provider: "sandbox",
	}
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	rt.Go("charges", time.Second, s.charges)
	rt.Go("refunds", time.Second, s.refunds)
	rt.Go("pull orders", feed.Every(config.PullBehind), s.pullOrders(feed.From(rt.Dapr, "orders", "/internal/orders/outcomes")).Run)
	rt.Go("prune payments", time.Hour, s.prune)
	rt.Go("sandbox webhooks", time.Second, provider.webhooks)
	rt.Go("sandbox prune", time.Hour, provider.prune)
	return rt.Serve(ctx)
}
