package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// up brings the shop up, or only its infrastructure. It goes through the same
// steps each time; a step whose work is done already takes no time, so that on
// a shop that is up nothing changes but what was changed in the clone: apps
// whose binary is another and processes whose configuration is another are
// started again.
func (s *shop) up(ctx context.Context, infraOnly bool) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("run make up as root: it installs packages, and starts servers under their own users")
	}
	unlock, err := s.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := install.Prerequisites(ctx); err != nil {
		return err
	}

	before, err := s.Choose()
	if err != nil {
		return err
	}
	switched := false
	defer func() {
		if err != nil && !switched {
			err = errors.Join(err, s.unplug(context.WithoutCancel(ctx), before))
		}
	}()
	if err := s.PlugIn(); err != nil {
		return err
	}
	apps, err := s.LoadApps()
	if err != nil {
		return err
	}
	needed := apps
	if infraOnly {
		needed = nil // those ports are for dapr run -f
	}
	if err := errors.Join(s.CheckPorts(needed), s.CheckConnections(apps)); err != nil {
		return err
	}
	// Installing waits for the network, building for the processor.
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Installer().Install(gctx) })
	if !infraOnly {
		g.Go(func() error { return s.build(gctx, apps) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := s.Folders(); err != nil {
		return err
	}

	fresh, err := s.Supervise(ctx)
	defer func() {
		// Nothing is left half-running by a start that failed; a shop that was up
		// before stays up.
		if err != nil && fresh {
			s.Out.Say("up", "it failed: stopping what was started")
			err = errors.Join(err, s.down(context.WithoutCancel(ctx)))
		}
	}()
	if err != nil {
		return err
	}

	if err := s.CheckPorts(needed); err != nil { // again: installing took its time
		return err
	}
	if err := s.Servers.Start(ctx, apps); err != nil {
		return err
	}
	if err := s.Drain(ctx, apps); err != nil {
		return err
	}
	if err := s.LayOut(); err != nil {
		return err
	}
	switched = true
	if infraOnly {
		fresh = false // it stays up even when an app does not compile
		if err := s.build(ctx, apps); err != nil {
			return err
		}
		s.Out.Say("infra", "up; for the apps: set -a; . %s; dapr run -f %s", s.Settings.File, filepath.Join(s.Run, "dapr.yaml"))
		return nil
	}
	if err := s.startApps(ctx, apps); err != nil {
		return err
	}
	if err := s.stopSurplus(ctx, apps); err != nil {
		return err
	}
	if err := s.ListTargets(apps); err != nil {
		return err
	}
	// Once more, for what came in until products had another sidecar.
	if err := s.CollectPictures(ctx); err != nil {
		return err
	}
	if err := s.Retire(ctx); err != nil {
		return err
	}
	if err := s.seed(ctx); err != nil {
		return err
	}
	return s.summary(ctx)
}

// startApps starts every app beside its sidecar, in the order of dapr.yaml,
// and returns when all of them are ready: first one instance of each, then the
// next, so that what changed does not leave an app without any.
func (s *shop) startApps(ctx context.Context, apps []stack.App) error {
	begun := time.Now()
	changed := map[string][]string{}
	for i := 1; ; i++ {
		var round []supervise.Process
		for _, a := range apps {
			if a.Instance != i {
				continue
			}
			list, err := s.Processes(a, apps)
			if err != nil {
				return fmt.Errorf("%s: %w", a.Name(), err)
			}
			round = append(round, list...)
		}
		if len(round) == 0 {
			break
		}
		for _, p := range round {
			answer, err := s.Supervisor().Ensure(ctx, p)
			if err != nil {
				return err
			}
			if answer != "" {
				changed[answer] = append(changed[answer], p.Name)
			}
		}
		if err := s.Supervisor().Await(ctx, round, 180*time.Second, "apps"); err != nil {
			return err
		}
	}
	for _, answer := range slices.Sorted(maps.Keys(changed)) {
		s.Out.Say("apps", "%s %s", answer, progress.List(changed[answer]))
	}
	if len(changed) > 0 {
		s.Out.Say("apps", "all ready in %.1f s", time.Since(begun).Seconds())
	}
	return s.ListEdges(apps)
}

// summary prints where everything is.
func (s *shop) summary(ctx context.Context) error {
	st, _, err := s.Supervisor().State()
	if err != nil {
		return err
	}
	public, pages := s.Settings.Get("PUBLIC_URL"), ""
	if s.Plugged.Needs("maildev") {
		pages = fmt.Sprintf("  mail          http://localhost:%d\n", s.Port(stack.PortMaildev))
	}
	if s.Plugged.Needs("rabbitmq") {
		pages += fmt.Sprintf("  broker        http://localhost:%d   (user and password in RABBITMQ_URL)\n", s.Port(stack.PortRabbitMQPage))
	}
	if swap := s.Settings.Get("SWAP"); swap != "" {
		pages += "  plugged in    " + swap + "   (SWAP=default make up takes it out)\n"
	}
	s.Out.Print(fmt.Sprintf(`
The shop is up after %.0f s: %d processes, %d MB.

  shop          %s
  back office   %s/admin
  API           %s/api/docs
%s  Keycloak      %s/admin   (user admin, password in KEYCLOAK_ADMIN_PASSWORD)

  demo accounts     password in %s
  shopper@stampede.test   SHOPPER_PASSWORD
  ops@stampede.test       OPS_PASSWORD   (ADMIN)

make status · make logs APP=orders · make restart APP=orders · make down
`, s.Out.Elapsed().Seconds(), len(st.Processes), st.Memory()>>20, public, public, public,
		pages, s.Settings.Get("KEYCLOAK_URL"), s.Settings.File))
	return nil
}

// unplug goes back to what was chosen before, after a make up that failed
// before anything used the new components: servers that only those need are
// stopped again.
func (s *shop) unplug(ctx context.Context, before string) error {
	if before == s.Settings.Get("SWAP") {
		return nil
	}
	if err := s.Settings.Put("SWAP", before); err != nil {
		return err
	}
	st, _, err := s.Supervisor().State()
	if err != nil || !st.Supervised() {
		return err
	}
	if err := s.PlugIn(); err != nil {
		return err
	}
	return s.Retire(ctx)
}

// onFresh brings this stack up as one that begins empty, with settings anew, lets
// fn use it, and stops it.
func (s *shop) onFresh(ctx context.Context, fn func(fresh *shop) error) (err error) {
	if err := s.clean(ctx); err != nil {
		return err
	}
	fresh, err := openShop()
	if err != nil {
		return err
	}
	fresh.Out = s.Out
	defer func() { err = errors.Join(err, fresh.down(context.WithoutCancel(ctx))) }()
	if err := fresh.up(ctx, false); err != nil {
		return err
	}
	return fn(fresh)
}
