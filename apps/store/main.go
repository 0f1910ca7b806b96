// Command store is the storefront: pages for shoppers, made on the server.
// README.md says whom it asks.
package main

import (
	"embed"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed pages/*.html assets/*
var files embed.FS

func main() { serve.Main("store", newService) }

// settings are what the environment may change.
type settings struct {
	serve.Shop
	serve.Clock
	Public       serve.URL     `env:"PUBLIC_URL" envDefault:"http://localhost:8000" doc:"Where browsers find the shop"`
	Keycloak     serve.URL     `env:"KEYCLOAK_URL" doc:"Where the services find Keycloak"`
	Realm        string        `env:"KEYCLOAK_REALM" envDefault:"stampede" doc:"Keycloak's realm"`
	ClientSecret serve.Keys    `env:"STORE_CLIENT_SECRET" secret:"16" doc:"Of Keycloak's client storefront; others behind commas"`
	HoldAt       string        `env:"HOLD_AT" envDefault:"cart" enum:"cart,checkout" doc:"What holds stock: a cart, or only the order"`
	HoldTTL      time.Duration `env:"HOLD_TTL" envDefault:"15m" doc:"How long a cart holds what was put in"`
	Featured     []string      `env:"STORE_FEATURED" envDefault:"" doc:"Slugs of up to three products that the home page shows first, with commas between; empty: the newest"`
}

// service is the storefront: its pages, its sessions, and whom it asks.
type service struct {
	settings    settings
	public      string // scheme and host, as browsers know them
	keycloak    string // the realm, where we find it
	dapr        *dapr.Client
	pages       *page.Pages
	verifier    *auth.Verifier
	sessions    sessions
	oauth       oauth2.Config
	identity    *http.Client // for Keycloak
	catalogue   catalogueCache
	sitemapKept sitemap
	footKept    lastKnown[[]pageLink]
	drops       dropsCache
	waiters     chan struct{} // places for long polls of orders
	nearby      chan struct{} // and of drops' entries
	stopping    <-chan struct{}
	now         func() time.Time
}

// maxWaiters bounds the long polls of one instance at another service: a sidecar carries about a
// hundred calls to another at a time, and the rest of the shop needs some.
const maxWaiters = 40

// newService puts the pages on rt.
func newService(rt *serve.Runtime, set settings) (*service, error) {
	public, keycloak := string(set.Public), string(set.Keycloak)+"/realms/"+set.Realm
	s := &service{
		settings: set,
		public:   public,
		keycloak: keycloak,
		dapr:     rt.Dapr,
		verifier: rt.Verifier,
		sessions: sessions{dapr: rt.Dapr},
		oauth: oauth2.Config{
			ClientID: "storefront", ClientSecret: string(set.ClientSecret.Signs()),
			RedirectURL: public + "/login/callback", Scopes: []string{"openid"},
			Endpoint: oauth2.Endpoint{
				AuthURL:   rt.Settings.Issuer + "/protocol/openid-connect/auth",
				TokenURL:  keycloak + "/protocol/openid-connect/token",
				AuthStyle: oauth2.AuthStyleInHeader,
			},
		},
		identity: &http.Client{Transport: &auth.Secrets{Next: http.DefaultTransport, Of: set.ClientSecret}},
		drops:    newDropsCache(),
		waiters:  make(chan struct{}, maxWaiters),
		nearby:   make(chan struct{}, maxWaiters),
		stopping: rt.Stopping(),
		now:      rt.Now,
	}
	var err error
	locale := page.Locale(set.Country)
	times := page.Times(locale, set.Zone.Location())
	if s.pages, err = page.Load(files, "/assets", rt.Log, page.Formats(locale), times, s.funcs()); err != nil {
		return nil, err
	}
	s.pages.Meta = func(r *http.Request) any { return s.frame(r) }
	s.catalogue.s = s
	s.routes(rt.Router)
	s.subscribe(rt.Subs)
	return s, nil
}
