// Command admin is the back office: pages for staff, behind Keycloak's login
// page at the edge. README.md says whom it asks.
package main

import (
	"embed"
	"net/http"
	"time"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed pages/*.html assets/*
var files embed.FS

func main() { serve.Main("admin", newService) }

// settings are what the environment may change.
type settings struct {
	serve.Shop
	serve.Clock
	Public serve.URL `env:"PUBLIC_URL" envDefault:"http://localhost:8000" doc:"Where browsers find the shop"`
}

// service is the back office: its pages, and whom it asks.
type service struct {
	settings settings
	public   string // scheme and host, as browsers know them
	issuer   string // where Keycloak's pages are
	zone     *time.Location
	dapr     *dapr.Client
	verifier *auth.Verifier
	pages    *page.Pages
	now      func() time.Time
}

// newService puts the pages on rt.
func newService(rt *serve.Runtime, set settings) (*service, error) {
	s := &service{settings: set, public: string(set.Public), issuer: rt.Settings.Issuer, zone: set.Zone.Location(), dapr: rt.Dapr,
		verifier: rt.Verifier, now: rt.Now}
	locale := page.Locale(set.Country)
	var err error
	if s.pages, err = page.Load(files, "/admin/assets", rt.Log, page.Formats(locale), page.Times(locale, s.zone), funcs); err != nil {
		return nil, err
	}
	s.pages.Meta = func(r *http.Request) any { return s.frame(r) }
	s.routes(rt.Router)
	return s, nil
}
