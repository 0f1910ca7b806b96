// Command mail writes to customers what became of their accounts and orders, and keeps a log of it.
package main

import (
	"context"
	"embed"
	"strings"
	"time"

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
		db: db, log: rt.Log, now: time.Now, sender: sender, html: renderer{public}, orders: orders{rt.Dapr}, post: through(rt.Dapr),
		behind: serve.EnvDuration("MAIL_PULL_BEHIND", pullBehind),
	}
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	rt.Go("send", time.Second, s.send)
	rt.Go("pull", time.Minute, s.pull)
	return rt.Serve(ctx)
}
