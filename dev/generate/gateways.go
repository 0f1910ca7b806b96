package main

import (
	"fmt"

	"github.com/stampede-shop/stampede/deploy/kong"
	"github.com/stampede-shop/stampede/deploy/nginx"
)

// gateways writes the routes of both gateways.
func (s *shop) gateways(g *generated) error {
	conf, err := nginx.Generate(s.routesText)
	if err != nil {
		return err
	}
	g.put("deploy/nginx/routes.conf", string(conf))
	settings, _, err := kong.Flags(nil)
	if err != nil {
		return err
	}
	if conf, err = kong.Generate(s.routesText, settings); err != nil {
		return fmt.Errorf("kong: %w", err)
	}
	g.put("deploy/kong/kong.yml", string(conf))
	return nil
}
