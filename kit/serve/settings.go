package serve

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/stampede-shop/stampede/kit/settings"
)

// Settings are what every service reads from the environment. dapr run, make up
// and the pod's annotations give the ports and tokens.
type Settings struct {
	AppHost  string `env:"APP_HOST" envDefault:"127.0.0.1" doc:"Where the service listens: loopback, when its sidecar is beside it"`
	AppPort  int    `env:"APP_PORT" doc:"The port where the service listens"`
	AppToken string `env:"APP_API_TOKEN" secret:"16" doc:"What the sidecar sends with every call; nobody else is served"`

	DaprHost     string `env:"DAPR_HOST" envDefault:"127.0.0.1" doc:"Where the sidecar is"`
	DaprGRPCPort int    `env:"DAPR_GRPC_PORT" envDefault:"50001" doc:"The sidecar's port for gRPC"`
	DaprHTTPPort int    `env:"DAPR_HTTP_PORT" envDefault:"3500" doc:"The sidecar's port for HTTP"`
	DaprToken    string `env:"DAPR_API_TOKEN" envDefault:"" secret:"16" doc:"What the sidecar wants to be sent"`

	Issuer   string `env:"ISSUER" doc:"Who issues access tokens, as the tokens say"`
	Audience string `env:"AUDIENCE" envDefault:"stampede" doc:"For whom tokens must be"`
	JWKSURL  string `env:"JWKS_URL" doc:"Where the keys are that tokens are signed with"`

	CursorKey Keys `env:"CURSOR_KEY" secret:"16" doc:"Signs the cursors of lists; others behind commas are believed"`
	HashKey   Keys `env:"HASH_KEY" secret:"16" doc:"Keys hashes of what must not be guessed: codes, the bodies of repeated requests; others behind commas are believed"`

	LogLevel  string `env:"LOG_LEVEL" envDefault:"info" enum:"debug,info,warn,error" doc:"The least that is logged"`
	PprofPort int    `env:"PPROF_PORT" envDefault:"" doc:"Where profiles are served, on loopback whatever APP_HOST is; empty: nowhere"`
	Traces    string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" envDefault:"" doc:"Where traces go by OTLP; without both they are only passed on"`
	Zipkin    string `env:"OTEL_EXPORTER_ZIPKIN_ENDPOINT" envDefault:"" doc:"Where traces go in Zipkin's format, those of sidecars too"`

	TracesRatio float64 `env:"TRACES_RATIO" envDefault:"1" doc:"Which part of the traces is made, above 0; ids are always logged"`

	EventsPullBehind time.Duration `env:"EVENTS_PULL_BEHIND" envDefault:"2m" doc:"How long an event gets to arrive before the publisher's outbox is read"`
}

// database are the further settings of a service that keeps records; their names
// begin with the service's.
type database struct {
	URL         string `env:"DATABASE_URL" doc:"Its PostgreSQL database"`
	Connections int    `env:"DATABASE_CONNECTIONS" envDefault:"12" doc:"How many connections to it an instance takes at most, besides two that listen"`
}

// Shop is embedded in the settings of services that deal with money.
type Shop struct {
	Currency string `env:"SHOP_CURRENCY" envDefault:"GBP" doc:"The one currency of the shop, ISO 4217"`
	Country  string `env:"SHOP_COUNTRY" envDefault:"GB" doc:"Where the shop is, ISO 3166-1 alpha-2: taxes, delivery, how numbers are written"`
}

// Clock is embedded in the settings of services that show times to people.
type Clock struct {
	Zone settings.Zone `env:"SHOP_TIME_ZONE" envDefault:"UTC" doc:"The shop's time zone, as IANA names it: Europe/London"`
}

// URL is a setting that is an address, without the slash at its end.
type URL = settings.URL

// Keys is a setting with one key, or with another one beside it that is believed as well.
type Keys = settings.Keys

// show prints settings with their values, secrets masked.
func show(out io.Writer, list []settings.Setting) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, s.Value, s.Doc)
	}
	return w.Flush()
}
