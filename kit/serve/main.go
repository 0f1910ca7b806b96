package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/settings"
)

// Main is a service without a database, from its settings to its end at SIGTERM
// or SIGINT; it exits 1 when it fails. newService puts routes, subscriptions and
// background work on the runtime. With the argument "settings" it prints what it
// would run with, secrets masked; with "openapi" its OpenAPI document, and then
// newService gets a runtime that reaches nobody.
func Main[S, T any](name string, newService func(*Runtime, S) (T, error)) {
	program[S]{name, nil, func(rt *Runtime, _ *pgxpool.Pool, set S) error {
		_, err := newService(rt, set)
		return err
	}}.main()
}

// MainWithDatabase is Main for a service that keeps records, in the database
// that <NAME>_DATABASE_URL names. With "openapi" newService gets none; with
// "migrate" it brings that database up to date, as every start does, and ends.
func MainWithDatabase[S, T any](name string, migrations fs.FS, newService func(*Runtime, *pgxpool.Pool, S) (T, error)) {
	program[S]{name, migrations, func(rt *Runtime, db *pgxpool.Pool, set S) error {
		_, err := newService(rt, db, set)
		return err
	}}.main()
}

// program is a service with its settings S. migrations is nil when it has no
// database.
type program[S any] struct {
	name       string
	migrations fs.FS
	build      func(rt *Runtime, db *pgxpool.Pool, set S) error
}

func (p program[S]) main() {
	var err error
	switch command := strings.Join(os.Args[1:], " "); command {
	case "":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		err = p.run(ctx)
		stop()
	case "settings":
		err = show(os.Stdout, p.settings(settings.Environment()))
	case "openapi":
		err = p.openapi()
	case "migrate":
		err = p.migrate(context.Background(), settings.Environment())
	default:
		err = fmt.Errorf("%s knows the arguments settings, openapi and migrate, not %q", p.name, command)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// prefix begins the names of settings that each service has its own of.
func (p program[S]) prefix() string { return strings.ToUpper(p.name) + "_" }

// settings lists all that the service reads.
func (p program[S]) settings(environment map[string]string) []settings.Setting {
	list := settings.Describe[S](environment, "")
	if p.migrations != nil {
		list = append(list, settings.Describe[database](environment, p.prefix())...)
	}
	return append(list, settings.Describe[Settings](environment, "")...)
}

func (p program[S]) run(ctx context.Context) error {
	environment := settings.Environment()
	common, err := settings.Read[Settings](environment, "")
	own, ownErr := settings.Read[S](environment, "")
	err = errors.Join(err, ownErr)
	var records database
	if p.migrations != nil {
		var dbErr error
		records, dbErr = settings.Read[database](environment, p.prefix())
		err = errors.Join(err, dbErr)
	}
	if err != nil {
		return err
	}

	log := newLogger(p.name, common.LogLevel)
	slog.SetDefault(log)
	rest.SignCursors(common.CursorKey...)
	idempotency.UseKeys(common.HashKey...)
	flush, err := startTracing(ctx, p.name, common)
	if err != nil {
		return err
	}
	defer flush()
	at := func(port int) string { return net.JoinHostPort(common.DaprHost, strconv.Itoa(port)) }
	sidecar, err := dapr.At(at(common.DaprGRPCPort), at(common.DaprHTTPPort), common.DaprToken)
	if err != nil {
		return err
	}
	defer sidecar.Close()
	rt := New(p.name, common, log, auth.NewVerifier(ctx, common.Issuer, common.Audience, common.JWKSURL), sidecar)
	var db *pgxpool.Pool
	if p.migrations != nil {
		if db, err = rt.openDatabase(ctx, records, p.migrations); err != nil {
			return err
		}
	}
	if err := p.build(rt, db, own); err != nil {
		return err
	}
	return rt.Serve(ctx)
}

// migrate does what a start does before anything else, and no more: before a
// rollout, where many instances would take turns.
func (p program[S]) migrate(ctx context.Context, environment map[string]string) error {
	if p.migrations == nil {
		return fmt.Errorf("%s has no database", p.name)
	}
	records, err := settings.Read[database](environment, p.prefix())
	if err != nil {
		return err
	}
	return pg.Migrate(ctx, records.URL, p.migrations)
}

// openapi prints the service's document, with the topics that it consumes and
// its settings. Nothing is opened, and no setting has to be given.
func (p program[S]) openapi() error {
	own, _ := settings.Read[S](nil, "")
	sidecar, err := dapr.At("127.0.0.1:0", "127.0.0.1:0", "")
	if err != nil {
		return err
	}
	defer sidecar.Close()
	rt := New(p.name, Settings{}, slog.New(slog.DiscardHandler), nil, sidecar)
	if err := p.build(rt, nil, own); err != nil {
		return err
	}
	doc := rt.API.OpenAPI()
	doc.Extensions = map[string]any{"x-consumes": rt.Subs.Topics(), "x-settings": p.settings(nil)}
	text, err := doc.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(text, '\n'))
	return err
}
