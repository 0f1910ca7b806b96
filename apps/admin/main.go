// Command admin is the back office: pages for staff, behind Keycloak's login
// page at the edge. README.md says whom it asks.
package main

import (
	"context"
	"embed"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed pages/*.html assets/*
var files embed.FS

func main() { serve.Main("admin", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	if err := newService(rt); err != nil {
		return err
	}
	return rt.Serve(ctx)
}

type service struct {
	dapr     *dapr.Client
	verifier *auth.Verifier
	pages    *page.Pages
}

// newService puts the pages on rt.
func newService(rt *serve.Runtime) error {
	pages, err := page.Load(files, "/admin/assets", rt.Log)
	if err != nil {
		return err
	}
	s := &service{dapr: rt.Dapr, verifier: rt.Verifier, pages: pages}
	s.routes(rt.Router)
	return nil
}
