// Command mail writes to customers what became of their accounts and orders, and keeps a log of it.
package main

import (
	"context"
	"embed"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.Main("mail", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	sender := serve.Env("MAIL_FROM", "Stampede <shop@stampede.test>")
	public := strings.TrimRight(serve.Env("PUBLIC_URL", "http://localhost:8000"), "/")
	db, err := rt.Database(ctx, migrations)
	if err != nil {
		return err
	}
	s := &service{
		db: db, log: rt.Log, now: time.Now, sender: sender, keep: max(serve.EnvDuration("MAIL_KEEP", keepFor), minKeep),
		parallel: max(serve.EnvInt("MAIL_PARALLEL", 16), 1), render: renderer{public}, post: through(rt.Dapr), many: bearsMany(rt.Dapr),
	}
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	rt.Missed("auth")
	rt.Go("send", time.Second, s.send)
	behind := serve.EnvDuration("MAIL_PULL_BEHIND", pullBehind)
	every := feed.Every(behind)
	rt.Go("pull orders", every, feed.Pull[events.Order]{
		Name: "orders.ended", DB: db, Log: rt.Log, Source: feed.From(rt.Dapr, "orders", "/internal/orders/ended"), Behind: behind, Apply: s.missedOrder,
	}.Run)
	rt.Go("pull refunds", every, feed.Pull[events.PaymentRefunded]{
		Name: "payments.refunds", DB: db, Log: rt.Log, Source: feed.From(rt.Dapr, "payments", "/internal/refunds/made"), Behind: behind, Apply: s.missedRefund,
	}.Run)
	rt.Go("prune", time.Hour, s.prune)
	return rt.Serve(ctx)
}
