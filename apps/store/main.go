// Command store is the storefront: pages for shoppers, made on the server.
// README.md says whom it asks.
package main

import (
	"context"
	"embed"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/serve"
)

//go:embed pages/*.html assets/*
var files embed.FS

func main() { serve.Main("store", run) }

func run(ctx context.Context, rt *serve.Runtime) error {
	if err := newService(rt); err != nil {
		return err
	}
	return rt.Serve(ctx)
}

type service struct {
	dapr  *dapr.Client
	pages *page.Pages
}

// newService puts the pages on rt.
func newService(rt *serve.Runtime) error {
	pages, err := page.Load(files, "/assets", rt.Log)
	if err != nil {
		return err
	}
	s := &service{dapr: rt.Dapr, pages: pages}
	s.routes(rt.Router)
	return nil
}
