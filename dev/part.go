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
// sidecar, or one process of the infrastructure.

// restart builds an app again, stops a part and starts it.
func (s *shop) restart(ctx context.Context, name string) error {
	return s.onPart(ctx, name, true, func(list []supervise.Process) error {
		if err := s.stopPart(ctx, name, list, false); err != nil {
			return err
		}
		return s.startPart(ctx, name, list)
	})
}

// stop stops a part, which stays down; kill leaves it no time to end well.
func (s *shop) stop(ctx context.Context, name string, kill bool) error {
	return s.onPart(ctx, name, false, func(list []supervise.Process) error { return s.stopPart(ctx, name, list, kill) })
}

// start starts what was stopped.
func (s *shop) start(ctx context.Context, name string) error {
	return s.onPart(ctx, name, false, func(list []supervise.Process) error { return s.startPart(ctx, name, list) })
}

func (s *shop) stopPart(ctx context.Context, name string, list []supervise.Process, kill bool) error {
	if err := s.Supervisor().Stop(ctx, kill, supervise.Names(list)...); err != nil {
		return err
	}
	s.Out.Say(name, "stopped")
	return nil
}

func (s *shop) startPart(ctx context.Context, name string, list []supervise.Process) error {
	for _, p := range list {
		if _, err := s.Supervisor().Ensure(ctx, p); err != nil {
			return err
		}
	}
	if err := s.Supervisor().Await(ctx, list, 180*time.Second, name); err != nil {
		return err
	}
	s.Out.Say(name, "ready")
	return nil
}

// onPart calls fn with the processes of a part, as they are to run, while no
// other command changes the stack. Build is whether an app is built first.
func (s *shop) onPart(ctx context.Context, name string, build bool, fn func(list []supervise.Process) error) error {
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
	apps, err := s.LoadApps()
	if err != nil {
		return err
	}
	servers, err := s.Describe(ctx, apps)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(apps, func(a stack.App) bool { return a.ID == name }); i >= 0 {
		if build && !apps[i].Edge() {
			if err := s.build(ctx, apps[i:i+1]); err != nil {
				return err
			}
		}
		list, err := s.Processes(apps[i], apps)
		if err != nil {
			return err
		}
		return fn(list)
	}
	if p, ok := servers[name]; ok {
		return fn([]supervise.Process{p})
	}
	known := slices.Sorted(maps.Keys(servers))
	for _, a := range apps {
		known = append(known, a.ID)
	}
	return fmt.Errorf("there is nothing called %q; there are %s", name, progress.List(known))
}
