// Command users keeps what shoppers tell about themselves: names, phone and
// addresses. README.md says what it owns and whom it hears.
package main

import (
	"context"
	"embed"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/sub"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.Main("users", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	db, err := rt.Database(ctx, migrations)
	if err != nil {
		return err
	}
	newService(rt, db)
	rt.Missed("auth")
	return rt.Serve(ctx)
}

type service struct {
	store store
	now   func() time.Time
}

// newService puts the routes and subscriptions on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool) *service {
	s := &service{store: store{db}, now: func() time.Time { return time.Now().UTC() }}
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	sub.On(rt.Subs, s.registered)
	sub.On(rt.Subs, s.activated)
	sub.On(rt.Subs, s.suspended)
	return s
}
