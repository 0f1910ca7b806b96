package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/stampede-shop/stampede/dev/stack"
)

// observe adds to a shop that is up what watches it, and prints where to look.
// It stays until make down.
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
		return s.Servers.Start(ctx, apps)
	})
	if err != nil {
		return err
	}
	s.Out.Print(fmt.Sprintf(`
The shop is watched, until make down.

  metrics       http://localhost:%d
  what is seen  http://localhost:%d/targets
  alerts        http://localhost:%d   (and by mail to %s)
  dashboards    %s, for Grafana
`, s.Port(stack.PortPrometheus), s.Port(stack.PortPrometheus), s.Port(stack.PortAlertmanager), s.Settings.Get("ALERT_MAIL"),
		filepath.Join(s.Root, "deploy", "observe", "dashboards")))
	return nil
}

// unobserve takes it away again.
func (s *shop) unobserve(ctx context.Context) error {
	s.Watched = false
	return s.Supervisor().Stop(ctx, false, stack.Watchers...)
}
