package main

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/text/currency"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.Main("products", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	settings, err := readSettings()
	if err != nil {
		return err
	}
	db, err := rt.Database(ctx, migrations)
	if err != nil {
		return err
	}
	s := newService(db, rt.Dapr, rt.Log, settings)
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	rt.Go("tell products again", time.Minute, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return tellAgain(ctx, s.db, s.currency, s.now())
	})
	outbox.Feed(rt.API, db, rest.Neighbours("inventory"))
	rt.Missed("inventory")
	return rt.Serve(ctx)
}

// settings are what the shop decides about its catalogue.
type settings struct {
	currency string   // SHOP_CURRENCY, ISO 4217: the only one
	digits   int      // of the currency after the point
	hosts    []string // IMAGE_HOSTS: where product files may point to for pictures; none by default
}

func readSettings() (settings, error) {
	s := settings{currency: serve.Env("SHOP_CURRENCY", "GBP")}
	unit, err := currency.ParseISO(s.currency)
	if err != nil {
		return s, fmt.Errorf("SHOP_CURRENCY: %w", err)
	}
	s.digits, _ = currency.Standard.Rounding(unit)
	for host := range strings.SplitSeq(serve.Env("IMAGE_HOSTS", ""), ",") {
		if host = strings.ToLower(strings.TrimSpace(host)); host != "" {
			s.hosts = append(s.hosts, host)
		}
	}
	return s, nil
}

// service is what the operations work with.
type service struct {
	settings
	db        *pgxpool.Pool
	dapr      *dapr.Client
	log       *slog.Logger
	catalogue *catalogue
	inventory *inventory
	now       func() time.Time
}

func newService(db *pgxpool.Pool, sidecar *dapr.Client, log *slog.Logger, settings settings) *service {
	inv := &inventory{dapr: sidecar, log: log}
	return &service{
		settings: settings, db: db, dapr: sidecar, log: log, inventory: inv,
		catalogue: newCatalogue(db, sidecar, inv, log, settings.currency, fresh),
		now:       func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }, // as PostgreSQL keeps it
	}
}
