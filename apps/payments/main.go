// Command payments takes orders' money through a payment provider, once, and gives it back. README.md says what it owns,
// whom it asks and whom it hears.
package main

import (
	"embed"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/crew"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed migrations/*.sql
var migrations embed.FS

func main() { serve.MainWithDatabase("payments", migrations, newService) }

// settings are what the environment may change.
type settings struct {
	Public       serve.URL     `env:"PUBLIC_URL" envDefault:"http://localhost:8000" doc:"Where browsers find the shop"`
	Webhooks     string        `env:"SANDBOX_WEBHOOK_URL" envDefault:"" doc:"Where the sandbox sends its webhooks; by default through PUBLIC_URL"`
	Secret       serve.Keys    `env:"PAYMENTS_WEBHOOK_SECRET" secret:"16" doc:"Signs webhooks; others behind commas are believed"`
	Timeout      time.Duration `env:"PROVIDER_TIMEOUT" envDefault:"10s" doc:"Of one call to a payment provider"`
	MissingAfter time.Duration `env:"PROVIDER_MISSING_AFTER" envDefault:"30s" doc:"When to believe a provider that knows nothing of a charge; longer than PROVIDER_TIMEOUT"`
	PullBehind   time.Duration `env:"PAYMENTS_PULL_BEHIND" envDefault:"10m" doc:"How long order.cancelled gets to arrive before orders' list is believed"`
}

// lease is how long a worker may be busy with one row, so that nobody else takes it: two calls to the provider, and
// writing down what it said.
func (s settings) lease() time.Duration { return 2*s.Timeout + 2*noteLimit }

// service is payments: charges in the database, and the providers that carry them out.
type service struct {
	settings  settings
	store     store
	orders    orders
	sandbox   *sandbox
	providers map[string]Provider // by the name in the webhook's path
	provider  string              // the one that new charges go to
	charging  *crew.Crew[Charge]
	decided   *gather.Gatherer[answer, bool]
	settled   *gather.Gatherer[answer, struct{}]
	told      *gather.Gatherer[seen, struct{}]
	log       *slog.Logger
	now       func() time.Time
}

// newService puts the routes, subscriptions and background work on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error) {
	box := newSandbox(db, rt.Log, rt.Now, set)
	s := &service{
		settings: set, store: store{db}, log: rt.Log, now: rt.Now, orders: orders{rt.Dapr},
		sandbox: box, providers: map[string]Provider{"sandbox": box}, provider: "sandbox",
	}
	s.charging = s.newCharging()
	s.decided = gather.New(gather.Settings[answer]{Limit: noteLimit / 2, Rest: 10, Conflict: answer.order}, s.decide)
	s.settled = gather.New(gather.Settings[answer]{Limit: noteLimit / 2, Rest: 10, Conflict: answer.order}, gather.Whole(s.settleAll))
	s.told = gather.New(gather.Settings[seen]{Rest: 10, Conflict: func(w seen) string { return w.Key }}, gather.Whole(s.chargesTold))
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	s.work(rt)
	return s, nil
}
