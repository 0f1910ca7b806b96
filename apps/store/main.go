// Command store is the storefront: pages for shoppers, made on the server.
// README.md says whom it asks.
package main

import (
	"context"
	"embed"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/sub"
)

//go:embed pages/*.html assets/*
var files embed.FS

func main() { serve.Main("store", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	keycloak := serve.MustEnv("KEYCLOAK_URL") + "/realms/" + serve.Env("KEYCLOAK_REALM", "stampede")
	_, err := newService(rt, settings{
		public:       strings.TrimSuffix(serve.MustEnv("PUBLIC_URL"), "/"),
		issuer:       serve.MustEnv("ISSUER"),
		keycloak:     keycloak,
		clientSecret: serve.MustEnv("STORE_CLIENT_SECRET"),
		country:      serve.Env("SHOP_COUNTRY", "GB"),
		currency:     serve.Env("SHOP_CURRENCY", "GBP"),
		holdAt:       serve.Env("HOLD_AT", "cart"),
		holdFor:      serve.EnvDuration("HOLD_TTL", 15*time.Minute),
		featured:     strings.FieldsFunc(serve.Env("STORE_FEATURED", ""), func(r rune) bool { return r == ',' || r == ' ' }),
	})
	if err != nil {
		return err
	}
	return rt.Serve(ctx)
}

// settings are what the storefront is told about the shop.
type settings struct {
	public       string // scheme and host, as browsers know them
	issuer       string // where browsers find Keycloak's realm
	keycloak     string // where we find it
	clientSecret string
	country      string
	currency     string
	featured     []string // slugs of products shown first
	holdAt       string   // "cart", or "checkout": then nothing is held before
	holdFor      time.Duration
}

type service struct {
	settings
	dapr        *dapr.Client
	pages       *page.Pages
	verifier    *auth.Verifier
	sessions    sessions
	oauth       oauth2.Config
	shelves     shelves
	sitemapKept sitemap
	waiters     chan struct{} // places for long polls
	stopping    <-chan struct{}
	now         func() time.Time
}

// maxWaiters bounds the long polls of one instance: a sidecar carries about a
// hundred calls to another at a time, and the rest of the shop needs some.
const maxWaiters = 40

// newService puts the pages on rt.
func newService(rt *serve.Runtime, set settings) (*service, error) {
	s := &service{
		settings: set,
		dapr:     rt.Dapr,
		verifier: rt.Verifier,
		sessions: sessions{dapr: rt.Dapr},
		oauth: oauth2.Config{
			ClientID: "storefront", ClientSecret: set.clientSecret, RedirectURL: set.public + "/login/callback", Scopes: []string{"openid"},
			Endpoint: oauth2.Endpoint{
				AuthURL:   set.issuer + "/protocol/openid-connect/auth",
				TokenURL:  set.keycloak + "/protocol/openid-connect/token",
				AuthStyle: oauth2.AuthStyleInHeader,
			},
		},
		waiters:  make(chan struct{}, maxWaiters),
		stopping: rt.Stopping(),
		now:      func() time.Time { return time.Now().UTC() },
	}
	var err error
	if s.pages, err = page.Load(files, "/assets", rt.Log, page.Formats(page.Locale(set.country)), s.funcs()); err != nil {
		return nil, err
	}
	s.pages.Meta = func(r *http.Request) any { return s.frame(r) }
	s.shelves.s = s
	s.routes(rt.Router)
	sub.OnDirect(rt.Subs, s.suspended)
	return s, nil
}
