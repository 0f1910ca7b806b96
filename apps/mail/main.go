// Command mail writes to customers what became of their accounts and orders, and keeps a log of it. README.md says what it
// owns, whom it asks and whom it hears.
package main

import (
	"context"
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

func main() { serve.MainWithDatabase("mail", migrations, newService) }

// settings are what the environment may change.
type settings struct {
	Public     serve.URL     `env:"PUBLIC_URL" envDefault:"http://localhost:8000" doc:"Where browsers find the shop"`
	Sender     string        `env:"MAIL_FROM" envDefault:"Stampede <shop@stampede.test>" doc:"The From of every mail"`
	Keep       time.Duration `env:"MAIL_KEEP" envDefault:"2160h" doc:"How long mails stay in the log; at least 8 days"`
	Parallel   int           `env:"MAIL_PARALLEL" envDefault:"16" doc:"Mails that an instance sends at once, where the binding bears it"`
	PullBehind time.Duration `env:"MAIL_PULL_BEHIND" envDefault:"10m" doc:"How long events of orders and payments get to arrive before their lists are believed"`
}

// service is mail: the log, which is also the queue, and those who empty it.
type service struct {
	settings settings
	store    store
	orders   orders
	payments payments
	render   renderer
	post     func(ctx context.Context, m *Mail, shown parts) error // hands a mail to the mail server
	many     func(ctx context.Context) bool                        // whether the binding bears more than one at once
	gate     gate
	mails    *crew.Crew[Job] // who send
	codes    *crew.Crew[Job] // of them those who take codes alone
	notes    *gather.Gatherer[*Mail, struct{}]
	log      *slog.Logger
	now      func() time.Time
}

// newService puts the routes, subscriptions and background work on rt.
func newService(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error) {
	set.Keep = max(set.Keep, minKeep)
	s := &service{
		settings: set, store: store{db}, log: rt.Log, now: rt.Now, orders: orders{rt.Dapr}, payments: payments{rt.Dapr},
		render: renderer{string(set.Public)}, post: through(rt.Dapr), many: bearsMany(rt.Dapr, rt.Now),
	}
	s.mails, s.codes = s.newSenders(false), s.newSenders(true)
	s.notes = gather.New(gather.Settings[*Mail]{
		Limit: storeTimeout / 2, Rest: 10, Conflict: func(m *Mail) string { return m.ID.String() },
	}, gather.Whole(s.noteAll))
	s.routes(rt.API)
	rt.Subs.Routes(rt.API, rt.Name)
	s.subscribe(rt.Subs)
	s.work(rt)
	return s, nil
}
