// Command admin is the back office: pages for staff, behind Keycloak's login
// page at the edge. README.md says whom it asks.
package main

import (
	"context"
	"embed"
	"net/http"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed pages/*.html assets/*
var files embed.FS

func main() { serve.Main("admin", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	err := newService(rt, settings{
		public:   strings.TrimSuffix(serve.MustEnv("PUBLIC_URL"), "/"),
		issuer:   serve.MustEnv("ISSUER"),
		country:  serve.Env("SHOP_COUNTRY", "GB"),
		currency: serve.Env("SHOP_CURRENCY", "GBP"),
	})
	if err != nil {
		return err
	}
	return rt.Serve(ctx)
}

// settings are what the back office is told about the shop.
type settings struct {
	public   string // scheme and host, as browsers know them
	issuer   string // where Keycloak's pages are
	country  string
	currency string
}

type service struct {
	settings
	dapr     *dapr.Client
	verifier *auth.Verifier
	pages    *page.Pages
	now      func() time.Time
}

// newService puts the pages on rt.
func newService(rt *serve.Runtime, set settings) error {
	s := &service{settings: set, dapr: rt.Dapr, verifier: rt.Verifier, now: func() time.Time { return time.Now().UTC() }}
	var err error
	if s.pages, err = page.Load(files, "/admin/assets", rt.Log, page.Formats(page.Locale(set.country)), funcs); err != nil {
		return err
	}
	s.pages.Meta = func(r *http.Request) any { return s.frame(r) }
	s.routes(rt.Router)
	return nil
}
