// Command auth lets people in: accounts, passwords and sessions, with Keycloak behind it. README.md says what it owns.
package main

import (
	"embed"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.MainWithDatabase("auth", migrations, newService) }

// settings are what the environment may change.
type settings struct {
	Keycloak     serve.URL  `env:"KEYCLOAK_URL" doc:"Where the services find Keycloak"`
	Realm        string     `env:"KEYCLOAK_REALM" envDefault:"stampede" doc:"Keycloak's realm"`
	ClientSecret serve.Keys `env:"AUTH_CLIENT_SECRET" secret:"16" doc:"Of Keycloak's client auth; others behind commas"`
	Limits
	Demo            bool   `env:"DEMO_ACCOUNTS" envDefault:"false" doc:"Whether there are a shopper and an operator from the start, for development"`
	ShopperPassword string `env:"SHOPPER_PASSWORD" envDefault:"" secret:"10" doc:"Of shopper@stampede.test, with DEMO_ACCOUNTS"`
	OpsPassword     string `env:"OPS_PASSWORD" envDefault:"" secret:"10" doc:"Of ops@stampede.test, with DEMO_ACCOUNTS"`
}

// service is auth: its accounts and Keycloak.
type service struct {
	settings settings
	store    store
	keycloak *keycloak
	keys     serve.Keys // HMAC of the codes
	log      *slog.Logger
	now      func() time.Time
}

// newService puts the routes and background work on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error) {
	s := &service{
		settings: set, store: store{db}, log: rt.Log, now: rt.Now,
		keycloak: newKeycloak(string(set.Keycloak), set.Realm, "auth", set.ClientSecret...), keys: rt.Settings.HashKey,
	}
	s.routes(rt.API)
	rt.Subs.BacklogRoute(rt.API, rt.Name)
	s.work(rt)
	return s, nil
}
