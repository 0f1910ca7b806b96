// Command products is the catalogue: what is sold, in which variants, for how much. README.md says what it owns, whom it
// asks and whom it hears.
package main

import (
	"embed"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/text/currency"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.MainWithDatabase("products", migrations, newService) }

// settings are what the environment may change.
type settings struct {
	serve.Shop
	ImageHosts []string `env:"IMAGE_HOSTS" envDefault:"" doc:"Hosts, with commas between, where product files may point to for pictures; none by default"`
}

// service is products: what it keeps, what shoppers read of it, and inventory.
type service struct {
	settings  settings
	store     store
	inventory *inventory
	catalogue *catalogue
	dapr      *dapr.Client
	pictures  chan struct{} // holds who decodes a picture: one at a time, for the memory that it takes
	hosts     []string      // of pictures, in small letters
	digits    int           // of the currency after the point
	log       *slog.Logger
	now       func() time.Time
}

// newService puts the routes, subscriptions and background work on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error) {
	unit, err := currency.ParseISO(set.Currency)
	if err != nil {
		return nil, fmt.Errorf("setting SHOP_CURRENCY: %w", err)
	}
	s := &service{
		settings: set, store: store{db}, dapr: rt.Dapr, log: rt.Log, now: rt.Now,
		inventory: newInventory(rt), pictures: make(chan struct{}, 1),
	}
	s.catalogue = newCatalogue(rt, db, s.inventory, set.Currency, fresh)
	s.digits, _ = currency.Standard.Rounding(unit)
	for _, host := range set.ImageHosts {
		if host = strings.ToLower(strings.TrimSpace(host)); host != "" {
			s.hosts = append(s.hosts, host)
		}
	}
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	s.work(rt)
	return s, nil
}
