// Command inventory counts stock, and holds it for carts and orders so that nothing is sold twice. README.md says what it
// owns, whom it asks and whom it hears.
package main

import (
	"embed"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.MainWithDatabase("inventory", migrations, newService) }

// figuresFresh is how old figures may be.
const figuresFresh = 2 * time.Second

// settings are what the environment may change.
type settings struct {
	HoldAt     string        `env:"HOLD_AT" envDefault:"cart" enum:"cart,checkout" doc:"What holds stock: a cart, or only the order"`
	HoldTTL    time.Duration `env:"HOLD_TTL" envDefault:"15m" doc:"How long a cart holds what was put in"`
	HoldRetry  time.Duration `env:"HOLD_RETRY" envDefault:"3m" doc:"How long, at least, a cart holds what an order whose payment was declined was for"`
	LowStock   int           `env:"LOW_STOCK" envDefault:"5" doc:"With so many available a SKU runs out that has no number of its own"`
	AskAfter   time.Duration `env:"INVENTORY_ASK_AFTER" envDefault:"2m" doc:"The age at which orders is asked about a hold that has no order"`
	PullBehind time.Duration `env:"INVENTORY_PULL_BEHIND" envDefault:"2m" doc:"How long events of orders get to arrive before its list is believed"`
}

// service is inventory: its books, what changes them together, and orders.
type service struct {
	settings settings
	store    *store
	holds    *gather.Gatherer[wish, []HeldLine]
	claims   *gather.Gatherer[[]claim, []gather.Answer[Claimed]]
	refusals *gather.Gatherer[uuid.UUID, struct{}]
	orders   orders
	products products
	figures  *otter.Cache[int64, Figures]
	log      *slog.Logger
}

// newService puts the routes, subscriptions and background work on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error) {
	st := &store{db: db, settings: set, now: rt.Now}
	s := &service{
		settings: set, store: st, orders: orders{rt.Dapr}, products: products{rt.Dapr}, log: rt.Log,
		holds:    gather.New(gather.Settings[wish]{Most: 200, Waiting: 5000}, st.hold),
		claims:   gather.New(gather.Settings[[]claim]{Most: 20}, st.holdClaims),
		refusals: gather.New(gather.Settings[uuid.UUID]{}, gather.Whole(st.refuse)),
	}
	// Every open dashboard asks for what reads all SKUs: an index on counters would cost each hold its update in place.
	s.figures = otter.Must(&otter.Options[int64, Figures]{
		MaximumSize: 100, ExpiryCalculator: otter.ExpiryWriting[int64, Figures](figuresFresh),
	})
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	s.work(rt)
	return s, nil
}
