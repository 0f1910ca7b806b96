// Command orders turns carts into orders and leads them to their end. README.md says what it owns, whom it asks and whom
// it hears.
package main

import (
	"embed"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/kit/longpoll"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/pricing"
)

// figuresFresh is how old figures may be.
const figuresFresh = 2 * time.Second

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.MainWithDatabase("orders", migrations, newService) }

// settings are what the environment may change.
type settings struct {
	serve.Shop
	Deadline    time.Duration `env:"ORDER_DEADLINE" envDefault:"10m" doc:"From when order.placed was first sent until a pending order is given up"`
	RemindAfter time.Duration `env:"ORDER_REMIND_AFTER" envDefault:"1m" doc:"Until order.placed of a pending order is sent again; then after twice, four times that and so on"`
	VoidEvery   time.Duration `env:"ORDER_VOID_EVERY" envDefault:"15s" doc:"Between two requests to void the same charge"`
	Carriers    []string      `env:"CARRIERS" envDefault:"" doc:"More carriers' pages about parcels: name=https://…{number}, commas between"`
	PullBehind  time.Duration `env:"ORDERS_PULL_BEHIND" envDefault:"10m" doc:"How long events of payments get to arrive before its list of refunds is believed"`
}

// service is orders: what it keeps, whom it asks, and who waits.
type service struct {
	settings  settings
	store     store
	carts     carts
	products  products
	inventory inventory
	payments  payments
	users     users
	auth      auth
	rates     pricing.Rates
	carriers  carriers
	figures   *otter.Cache[stretch, figures]
	polls     *longpoll.Polls
	news      *news
	log       *slog.Logger
	now       func() time.Time
	stopping  <-chan struct{}
}

// newService puts the routes, subscriptions and background work on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error) {
	carriers, err := parseCarriers(set.Carriers)
	if err != nil {
		return nil, err
	}
	s := &service{
		settings: set, carriers: carriers, log: rt.Log, now: rt.Now, stopping: rt.Stopping(),
		carts: newCarts(rt.Dapr), products: newProducts(rt.Dapr), inventory: newInventory(rt.Dapr),
		payments: payments{rt.Dapr}, users: users{rt.Dapr}, auth: auth{rt.Dapr},
		rates: pricing.Builtin(set.Currency, set.Country), polls: longpoll.New(longpoll.Most), news: newNews(db),
	}
	s.figures = otter.Must(&otter.Options[stretch, figures]{
		MaximumSize: 100, ExpiryCalculator: otter.ExpiryWriting[stretch, figures](figuresFresh),
	})
	s.store = newStore(db, func(ids ...uuid.UUID) { s.polls.Wake(ids...); s.news.add(ids...) })
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	s.work(rt)
	return s, nil
}
