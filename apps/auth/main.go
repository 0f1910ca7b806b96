package main

import (
	"context"
	"time"

	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
)

func main() { serve.Main("auth", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	s := &service{
		keycloak: newKeycloak(serve.MustEnv("KEYCLOAK_URL"), serve.Env("KEYCLOAK_REALM", "stampede"), "auth", serve.MustEnv("AUTH_CLIENT_SECRET")),
		key:      []byte(serve.MustEnv("HASH_KEY")),
		limits: Limits{
			LoginFailures:        serve.EnvInt("LOGIN_FAILURES", 10),
			LoginFailuresAddress: serve.EnvInt("LOGIN_FAILURES_ADDRESS", 100),
			LoginWindow:          serve.EnvDuration("LOGIN_WINDOW", 15*time.Minute),
			Codes:                serve.EnvInt("CODES", 5),
			CodesAddress:         serve.EnvInt("CODES_ADDRESS", 30),
			CodesWindow:          serve.EnvDuration("CODES_WINDOW", time.Hour),
		},
		log: rt.Log,
		now: now,
	}
	if serve.Env("DEMO_ACCOUNTS", "false") == "true" {
		rt.Go("demo accounts", 5*time.Second, s.makeDemos([]demo{
			{"shopper@stampede.test", "Sam", "Shopper", serve.MustEnv("SHOPPER_PASSWORD"), false},
			{"ops@stampede.test", "Olive", "Operator", serve.MustEnv("OPS_PASSWORD"), true},
		}))
	}
	db, err := rt.Database(ctx, migrations)
	if err != nil {
		return err
	}
	s.store = store{db}
	s.routes(rt.API)
	rt.Subs.BacklogRoute(rt.API, rt.Name)
	outbox.Feed(rt.API, db, rest.Neighbours("users", "orders", "mail"))
	rt.Go("codes", time.Second, s.answerRequests)
	rt.Go("sweep", 15*time.Second, s.sweep)
	rt.Go("prune history", time.Hour, s.prune)
	return rt.Serve(ctx)
}
