// Package serve is the life of a service: settings, logs, traces, database,
// HTTP, subscriptions, background work, and an end that loses nothing.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pause"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/sub"
)

// The names of the components, by role.
const (
	Pubsub = "pubsub"
	State  = "state"
)

const (
	drain      = 15 * time.Second // for requests and handlers that run when the service is told to stop
	pruneEvery = 10 * time.Minute
)

// Runtime is what a service gets to work with.
type Runtime struct {
	Name     string
	Log      *slog.Logger
	Router   chi.Router
	API      huma.API
	Dapr     *dapr.Client
	Subs     *sub.Subscriber
	Verifier *auth.Verifier
	Metrics  *prometheus.Registry
	Settings Settings
	Now      func() time.Time // UTC, in whole microseconds

	db       *pgxpool.Pool
	workers  []worker
	stopping chan struct{}
	listing  listing
}

type worker struct {
	name  string
	every time.Duration
	fn    func(ctx context.Context) error
}

// New assembles a runtime. Services get theirs from Main, tests from
// servetest.
func New(name string, set Settings, log *slog.Logger, verifier *auth.Verifier, sidecar *dapr.Client) *Runtime {
	router, api := rest.New(rest.Config{Name: name, Verifier: verifier, AppToken: set.AppToken, Log: log})
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(slices.Concat(rest.Metrics(), outbox.Metrics(), sub.Metrics())...)
	return &Runtime{
		Name: name, Settings: set, Log: log, Router: router, API: api, Dapr: sidecar, Verifier: verifier, Now: now,
		Subs:     &sub.Subscriber{Dapr: sidecar, Pubsub: Pubsub, Log: log},
		Metrics:  metrics,
		stopping: make(chan struct{}),
	}
}

// now is the time in UTC, as fine as PostgreSQL keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// openDatabase brings the service's database to the form of its migrations,
// opens it, and begins the work that a database needs: the outbox is published,
// what is old is pruned.
func (rt *Runtime) openDatabase(ctx context.Context, set database, migrations fs.FS) (*pgxpool.Pool, error) {
	if err := pg.Migrate(ctx, set.URL, migrations); err != nil {
		return nil, err
	}
	db, err := pg.Open(ctx, set.URL, set.Connections)
	if err != nil {
		return nil, err
	}
	rt.UseDatabase(db)
	relay := outbox.NewRelay(db, rt.Dapr, Pubsub, rt.Name, rt.Log)
	rt.Go("outbox", time.Second, relay.Run)
	rt.Alone("prune", pruneEvery, func(ctx context.Context) error {
		return errors.Join(relay.Prune(ctx), rt.Subs.Prune(ctx), idempotency.Prune(ctx, db))
	})
	return db, nil
}

// UseDatabase makes db the one that subscriptions, readiness and, the first one, metrics use.
func (rt *Runtime) UseDatabase(db *pgxpool.Pool) {
	first := rt.db == nil
	rt.db = db
	rt.Subs.DB = db
	if !first {
		return
	}
	rt.Gauge("outbox_lag_seconds", "Age of the oldest event that has not been published.", func(ctx context.Context) (float64, error) {
		return outbox.Lag(ctx, db)
	})
	rt.Metrics.MustRegister(pool{db}, counts{
		prometheus.NewDesc("feed_failures", "What neighbours told and could not be applied yet.", []string{"name"}, nil),
		func(ctx context.Context) (map[string]int, error) {
			return pg.Counts(ctx, db, `SELECT name, count(*) FROM feed_failures GROUP BY name`)
		},
	}, counts{
		prometheus.NewDesc("dead_letters", "Events that could not be handled and wait for people.", []string{"topic"}, nil),
		rt.Subs.Letters,
	})
}

// Gauge adds a metric that is read when it is asked for, within a second; -1 when
// that fails.
func (rt *Runtime) Gauge(name, help string, read func(ctx context.Context) (float64, error)) {
	rt.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		value, err := read(ctx)
		if err != nil {
			return -1
		}
		return value
	}))
}

// Go runs fn in the background from Serve until shutdown: again `every` after
// it returned (with a tenth of jitter), whether or not it failed. A panic is
// logged like an error.
func (rt *Runtime) Go(name string, every time.Duration, fn func(ctx context.Context) error) {
	rt.workers = append(rt.workers, worker{name, every, fn})
}

// Alone is Go for work that is done by one instance at a time, in a service with
// a database.
func (rt *Runtime) Alone(name string, every time.Duration, fn func(ctx context.Context) error) {
	rt.Go(name, every, func(ctx context.Context) error { return pg.Alone(ctx, rt.db, name, fn) })
}

// Missed handles, some time behind (EVENTS_PULL_BEHIND, 2 min), those events of
// other services that never arrived. Call it after subscribing.
func (rt *Runtime) Missed(apps ...string) {
	behind := rt.Settings.EventsPullBehind
	for _, app := range apps {
		rt.Go("missed events of "+app, feed.Every(behind), rt.Subs.Missed(app, behind))
	}
}

// Stopping is closed when the service begins to stop: long polls end.
func (rt *Runtime) Stopping() <-chan struct{} { return rt.stopping }

// Serve serves until ctx ends, then stops in order: the service says that it is
// not ready, long polls answer, nobody finds it any more, events in hand finish,
// requests drain, background work ends, the database closes.
func (rt *Runtime) Serve(ctx context.Context) error {
	rt.Metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, topic := range rt.Subs.Topics() {
		labels := prometheus.Labels{"topic": topic}
		rt.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "events_in_flight", Help: "Deliveries that are being handled or answered.", ConstLabels: labels,
		}, func() float64 {
			n, _ := rt.Subs.InFlight(topic, time.Now())
			return float64(n)
		}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "event_in_flight_seconds", Help: "Age of the oldest of them.", ConstLabels: labels,
		}, func() float64 {
			_, oldest := rt.Subs.InFlight(topic, time.Now())
			return oldest.Seconds()
		}))
	}
	rt.Router.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	rt.Router.Get("/readyz", rt.ready)
	rt.Router.Get("/listz", rt.mayBeListed)
	rt.Router.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(rt.Metrics, promhttp.HandlerOpts{}))

	address := net.JoinHostPort(rt.Settings.AppHost, strconv.Itoa(rt.Settings.AppPort))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{
		Handler: otelhttp.NewHandler(rt.Router, rt.Name, otelhttp.WithFilter(func(r *http.Request) bool {
			return strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/internal/")
		}), otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + r.URL.Path })),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(rt.Log.Handler(), slog.LevelWarn),
	}
	if rt.Settings.PprofPort != 0 {
		endProfiles, err := serveProfiles(rt.Settings.PprofPort)
		if err != nil {
			return err
		}
		defer endProfiles()
	}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()

	var consuming, working sync.WaitGroup
	subCtx, endSubs := context.WithCancel(ctx)
	defer endSubs()
	consuming.Add(1)
	go func() { defer consuming.Done(); _ = rt.Subs.Run(subCtx) }()

	// Workers outlive ctx: what draining requests put into the outbox is
	// still published.
	workCtx, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	for _, w := range rt.workers {
		working.Add(1)
		go func() { defer working.Done(); rt.work(workCtx, w) }()
	}
	rt.Log.InfoContext(ctx, "serving", "address", address, "consumes", rt.Subs.Topics())

	select {
	case err = <-serving:
	case <-ctx.Done():
	}
	rt.Log.Info("stopping")
	close(rt.stopping)
	endSubs()
	rt.listing.leave(context.WithoutCancel(ctx))
	drainCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	shutdownErr := server.Shutdown(drainCtx)
	consuming.Wait()
	endWork()
	working.Wait()
	if rt.db != nil {
		rt.db.Close()
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	rt.Log.Info("stopped")
	return errors.Join(err, shutdownErr)
}

func (rt *Runtime) work(ctx context.Context, w worker) {
	for ctx.Err() == nil {
		if err := protect(ctx, w.fn); err != nil && ctx.Err() == nil {
			rt.Log.ErrorContext(ctx, "background work failed", "worker", w.name, "error", err)
		}
		pause.For(ctx, w.every+rand.N(w.every/10+1))
	}
}

func protect(ctx context.Context, fn func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn(ctx)
}

// ready answers 200 when database, sidecar and subscriptions work and callers
// find the service, else 503 with what is missing, and topics that are stuck.
func (rt *Runtime) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	var missing []string
	if rt.db != nil && rt.db.Ping(ctx) != nil {
		missing = append(missing, "database")
	}
	if rt.Dapr.Alive(ctx) != nil {
		missing = append(missing, "sidecar")
	}
	if !rt.Subs.Ready() {
		missing = append(missing, "subscriptions")
	}
	if stuck := rt.Subs.Stuck(time.Now()); len(stuck) > 0 {
		missing = append(missing, "subscriptions: "+strings.Join(stuck, ", ")+" stuck")
	}
	if kept, listed := rt.listing.state(time.Now()); kept && !listed {
		missing = append(missing, "listed among those that callers find")
	}
	select {
	case <-rt.stopping:
		missing = append(missing, "stopping")
	default:
	}
	if len(missing) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "missing:", strings.Join(missing, ", "))
		return
	}
	fmt.Fprintln(w, "ready")
}
