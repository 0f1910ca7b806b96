package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// scale makes an app of so many instances, each beside a sidecar of its own. It
// stays so for the next make up. Nothing is changed when they would want more
// connections or ports than there are.
func (s *shop) scale(ctx context.Context, app, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("how many? make scale APP=%s N=2, not N=%q", app, number)
	}
	return s.locked(func() (err error) {
		before := s.Settings.Get("INSTANCES")
		if err := s.SetInstances(app, n); err != nil {
			return err
		}
		apps, err := s.LoadApps()
		if err == nil {
			err = errors.Join(s.CheckPorts(apps), s.CheckConnections(apps))
		}
		if err != nil {
			return errors.Join(err, s.Settings.Put("INSTANCES", before))
		}
		var fresh []supervise.Process
		for _, a := range apps {
			if a.ID == app {
				p, err := s.partOf(a, apps)
				if err != nil {
					return err
				}
				fresh = append(fresh, p.processes...)
			}
		}
		if err := s.run(ctx, app, fresh); err != nil {
			return err
		}
		if err := s.ListEdges(apps); err != nil {
			return err
		}
		if err := s.stopSurplus(ctx, apps); err != nil {
			return err
		}
		s.Out.Say(app, "instances: %d", n)
		return s.ListTargets(apps)
	})
}

// stopSurplus stops the instances that run and are not wanted any more.
func (s *shop) stopSurplus(ctx context.Context, apps []stack.App) error {
	st, _, err := s.Supervisor().State()
	if err != nil {
		return err
	}
	runs := func(name string) bool {
		return slices.ContainsFunc(st.Processes, func(r supervise.Record) bool { return r.Name == name })
	}
	var names []string
	for _, a := range s.Surplus(apps) {
		p, err := s.partOf(a, apps)
		if err != nil {
			return err
		}
		if !runs(p.processes[0].Name) {
			continue
		}
		if err := s.stopPart(ctx, apps, p); err != nil {
			return err
		}
		names = append(names, a.Name())
	}
	if len(names) > 0 {
		s.Out.Say("apps", "not wanted any more: %s", progress.List(names))
	}
	return nil
}
