package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// The commands here are about one part of a shop that is up: an app with its
// sidecar (all instances of it, or one), or one process of the infrastructure.

// part is one instance of an app beside its sidecar, or one process of the
// infrastructure.
type part struct {
	name      string
	app       *stack.App          // nil of the infrastructure
	processes []supervise.Process // the sidecar before its app
}

// restart builds an app again, then stops and starts its instances one after
// another. Where there are several, no request is lost.
func (s *shop) restart(ctx context.Context, name string) error {
	return s.onParts(ctx, name, true, func(apps []stack.App, p part) error {
		if err := s.stopPart(ctx, apps, p); err != nil {
			return err
		}
		return s.startPart(ctx, apps, p)
	})
}

// stop stops a part, which stays down; kill leaves it no time to end well.
func (s *shop) stop(ctx context.Context, name string, kill bool) error {
	return s.onParts(ctx, name, false, func(apps []stack.App, p part) error {
		if !kill {
			return s.stopPart(ctx, apps, p)
		}
		if err := s.Supervisor().Stop(ctx, true, supervise.Names(p.processes)...); err != nil {
			return err
		}
		s.Out.Say(p.name, "killed")
		return s.ListEdges(apps)
	})
}

// start starts what was stopped.
func (s *shop) start(ctx context.Context, name string) error {
	return s.onParts(ctx, name, false, func(apps []stack.App, p part) error { return s.startPart(ctx, apps, p) })
}

// stopPart stops one part so that others can go on: an edge sidecar when the
// gateway sends it nothing more, an app (which leaves the list of those that
// are found, and ends what it has in hand) before its sidecar, by which it does.
func (s *shop) stopPart(ctx context.Context, apps []stack.App, p part) error {
	begun := time.Now()
	if p.app != nil && p.app.Edge() {
		if err := s.Relieve(ctx, apps, *p.app); err != nil {
			return err
		}
	}
	for _, process := range slices.Backward(p.processes) {
		if err := s.Supervisor().Stop(ctx, false, process.Name); err != nil {
			return err
		}
	}
	s.Out.Say(p.name, "stopped in %.1f s", time.Since(begun).Seconds())
	return nil
}

func (s *shop) startPart(ctx context.Context, apps []stack.App, p part) error {
	if err := s.run(ctx, p.name, p.processes); err != nil {
		return err
	}
	s.Out.Say(p.name, "ready")
	return s.ListEdges(apps)
}

// run starts processes and returns when they are well.
func (s *shop) run(ctx context.Context, step string, list []supervise.Process) error {
	for _, p := range list {
		if _, err := s.Supervisor().Ensure(ctx, p); err != nil {
			return err
		}
	}
	return s.Supervisor().Await(ctx, list, 180*time.Second, step)
}

// onParts calls fn with each part that the name means, one after another, as it
// is to run, while no other command changes the stack. Build is whether an app
// is built first.
func (s *shop) onParts(ctx context.Context, name string, build bool, fn func(apps []stack.App, p part) error) error {
	return s.locked(func() error {
		apps, err := s.LoadApps()
		if err != nil {
			return err
		}
		servers, err := s.Describe(ctx, apps)
		if err != nil {
			return err
		}
		if p, ok := servers[name]; ok {
			return fn(apps, part{name: name, processes: []supervise.Process{p}})
		}
		meant := slices.DeleteFunc(slices.Clone(apps), func(a stack.App) bool { return a.ID != name && a.Name() != name })
		if len(meant) == 0 {
			known := slices.Sorted(maps.Keys(servers))
			for _, a := range apps {
				known = append(known, a.Name())
			}
			return fmt.Errorf("there is nothing called %q; there are %s", name, progress.List(known))
		}
		if build && !meant[0].Edge() {
			if err := s.build(ctx, meant); err != nil {
				return err
			}
		}
		for _, a := range meant {
			p, err := s.partOf(a, apps)
			if err != nil {
				return err
			}
			if err := fn(apps, p); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *shop) partOf(a stack.App, apps []stack.App) (part, error) {
	list, err := s.Processes(a, apps)
	return part{name: a.Name(), app: &a, processes: list}, err
}

// locked runs fn on a shop that is up, while no other command changes it.
func (s *shop) locked(fn func() error) error {
	unlock, err := s.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	st, _, err := s.Supervisor().State()
	if err != nil {
		return err
	}
	if !st.Supervised() {
		return errors.New("nothing runs: make up starts it")
	}
	if err := s.PlugIn(); err != nil {
		return err
	}
	return fn()
}
