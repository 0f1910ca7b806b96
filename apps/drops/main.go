// Command drops keeps entries of shoppers. README.md says what it owns.
package main

import (
	"embed"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.MainWithDatabase("drops", migrations, newService) }

// settings are what the environment may change: nothing.
type settings struct{}

// service is drops: what it keeps.
type service struct {
	settings settings
	store    store
	now      func() time.Time
}

// newService puts the routes on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error) {
	s := &service{settings: set, store: store{db}, now: rt.Now}
	s.routes(rt.API)
	rt.Subs.BacklogRoute(rt.API, rt.Name)
	return s, nil
}
