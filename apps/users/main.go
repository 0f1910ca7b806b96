// Command users keeps what shoppers tell about themselves: names, phone and
// addresses. README.md says what it owns and whom it hears.
package main

import (
	"embed"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.MainWithDatabase("users", migrations, newService) }

// settings are what the environment may change: nothing.
type settings struct{}

// service is users: what it keeps.
type service struct {
	settings settings
	store    store
	now      func() time.Time
}

// newService puts the routes, subscriptions and background work on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error) {
	s := &service{settings: set, store: store{db}, now: rt.Now}
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	s.work(rt)
	return s, nil
}
