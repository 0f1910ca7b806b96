package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/stampede-shop/stampede/dev/stack"
)

// observe adds to a shop that is up what watches it, and prints where to look.
// Apps and sidecars are started again, to send their spans. It stays until make
// down.
func (s *shop) observe(ctx context.Context) error {
	err := s.locked(func() error {
		s.Watched = true
		apps, err := s.LoadApps()
		if err != nil {
			return err
		}
		if err := s.CheckPorts(apps); err != nil {
			return err
		}
		if err := s.Installer().Install(ctx); err != nil {
			return err
		}
		if err := s.Folders(); err != nil {
			return err
		}
		if err := s.ListTargets(apps); err != nil {
			return err
		}
		if err := s.Servers.Start(ctx, apps); err != nil {
			return err
		}
		return s.startApps(ctx, apps)
	})
	if err != nil {
		return err
	}
	s.Out.Print(fmt.Sprintf(`
The shop is watched, until make down.

  metrics       http://localhost:%d
  what is seen  http://localhost:%d/targets
  alerts        http://localhost:%d   (and by mail to %s)
  traces        http://localhost:%d
  dashboards    %s, for Grafana
`, s.Port(stack.PortPrometheus), s.Port(stack.PortPrometheus), s.Port(stack.PortAlertmanager), s.Settings.Get("ALERT_MAIL"),
		s.Port(stack.PortZipkin), filepath.Join(s.Root, "deploy", "observe", "dashboards")))
	return nil
}

// unobserve takes it away again, and first from the apps what they send there.
func (s *shop) unobserve(ctx context.Context) error {
	return s.locked(func() error {
		s.Watched = false
		apps, err := s.LoadApps()
		if err != nil {
			return err
		}
		if err := s.startApps(ctx, apps); err != nil {
			return err
		}
		return s.Supervisor().Stop(ctx, false, stack.Watchers...)
	})
}
