package main

import (
	"context"
	"debug/elf"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// up brings the shop up, or only its infrastructure. It goes through the same
// steps each time; a step whose work is done already takes no time, so that on
// a shop that is up nothing changes but what was changed in the clone: apps
// whose binary is another and processes whose configuration is another are
// started again.
func (s *stack) up(ctx context.Context, infraOnly bool) (err error) {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := checkPrerequisites(ctx); err != nil {
		return err
	}

	apps, err := s.loadApps()
	if err != nil {
		return err
	}
	needed := apps
	if infraOnly {
		needed = nil // those ports are for dapr run -f
	}
	if err := s.checkPorts(needed); err != nil {
		return err
	}
	// Installing waits for the network, building for the processor.
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.install(gctx) })
	if !infraOnly {
		g.Go(func() error { return s.build(gctx, apps) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := s.folders(); err != nil {
		return err
	}

	fresh, err := s.startSupervisor(ctx)
	defer func() {
		// Nothing is left half-running by a start that failed; a shop that was up
		// before stays up.
		if err != nil && fresh {
			s.out.say("up", "it failed: stopping what was started")
			s.down(context.WithoutCancel(ctx))
		}
	}()
	if err != nil {
		return err
	}

	if err := s.checkPorts(needed); err != nil { // again: installing took its time
		return err
	}
	if err := s.startInfra(ctx, apps); err != nil {
		return err
	}
	if infraOnly {
		fresh = false // it stays up even when an app does not compile
		if err := s.build(ctx, apps); err != nil {
			return err
		}
		s.out.say("infra", "up; for the apps: set -a; . %s; dapr run -f %s", s.settings.file, filepath.Join(s.run, "dapr.yaml"))
		return nil
	}
	if err := s.startApps(ctx, apps); err != nil {
		return err
	}
	if err := s.seed(ctx, apps); err != nil {
		return err
	}
	return s.summary(ctx)
}

// lock keeps two commands that change the stack from running at once.
func (s *stack) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.run, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another make up, down or restart of this stack is under way")
	}
	return func() { f.Close() }, nil
}

// build builds the apps of dapr/dapr.yaml.
func (s *stack) build(ctx context.Context, apps []app) error {
	var packages []string
	for _, a := range apps {
		if !a.edge() {
			packages = append(packages, "./apps/"+a.ID)
		}
	}
	return s.goBuild(ctx, packages)
}

func (s *stack) goBuild(ctx context.Context, packages []string) error {
	return s.out.step(ctx, "apps", fmt.Sprintf("building %d apps", len(packages)), func(ctx context.Context) error {
		bin := filepath.Join(s.run, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-o", bin + "/"}, packages...)...)
		cmd.Dir = s.root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		return command(ctx, s.logFile("build"), cmd)
	})
}

// buildID changes with what a binary was built from; go build renews the time
// of a file that it left as it was, so that tells nothing.
func buildID(file string) string {
	f, err := elf.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	section := f.Section(".note.go.buildid")
	if section == nil {
		return ""
	}
	note, _ := section.Data()
	return digest(string(note))
}

// startInfra starts the infrastructure, everything at once that does not wait
// for another part, and returns when all of it is well.
func (s *stack) startInfra(ctx context.Context, apps []app) error {
	postgres, err := s.postgres(ctx)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	redis, err := s.redis()
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	epmd, rabbitmq, err := s.rabbitmq()
	if err != nil {
		return fmt.Errorf("rabbitmq: %w", err)
	}
	maildev, err := s.maildev()
	if err != nil {
		return fmt.Errorf("maildev: %w", err)
	}
	sentry, err := s.authority()
	if err != nil {
		return fmt.Errorf("sentry: %w", err)
	}
	keycloak, err := s.keycloak(ctx)
	if err != nil {
		return fmt.Errorf("keycloak: %w", err)
	}
	nginx, err := s.nginx(apps)
	if err != nil {
		return fmt.Errorf("nginx: %w", err)
	}

	g, gctx := errgroup.WithContext(ctx)
	one := func(p process, limit time.Duration, then func(ctx context.Context) error) {
		g.Go(func() error {
			begun := time.Now()
			answer, err := s.ensure(gctx, p)
			if err != nil {
				return err
			}
			if err := s.await(gctx, []process{p}, limit, p.Name); err != nil {
				return err
			}
			if then != nil {
				if err := then(gctx); err != nil {
					return fmt.Errorf("%s: %w", p.Name, err)
				}
			}
			if answer != "" {
				s.out.say(p.Name, "%s in %.1f s", answer, time.Since(begun).Seconds())
			}
			return nil
		})
	}
	one(postgres, 60*time.Second, func(ctx context.Context) error {
		if err := s.databases(ctx); err != nil {
			return err
		}
		one(keycloak, 180*time.Second, s.realmAnswers)
		return nil
	})
	one(redis, 30*time.Second, nil)
	one(epmd, 20*time.Second, func(context.Context) error {
		one(rabbitmq, 90*time.Second, nil)
		return nil
	})
	one(maildev, 30*time.Second, nil)
	one(sentry, 30*time.Second, func(context.Context) error {
		anchors, err := os.ReadFile(filepath.Join(s.data, "sentry", "ca.crt"))
		if err != nil {
			return err
		}
		return s.settings.put("DAPR_TRUST_ANCHORS", strings.TrimSpace(string(anchors)))
	})
	one(nginx, 30*time.Second, nil)
	return g.Wait()
}

// realmAnswers waits until Keycloak answers through the front, as everybody
// but us will ask it.
func (s *stack) realmAnswers(ctx context.Context) error {
	url := s.settings.get("PUBLIC_URL") + "/realms/" + s.settings.get("KEYCLOAK_REALM")
	why := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if why = healthy(ctx, url); why == "" {
			return nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	return &problem{line: fmt.Sprintf("%s %s", url, why), detail: tail(s.logFile("nginx"), 10)}
}

// startApps starts every app beside its sidecar, in the order of dapr.yaml,
// and returns when all of them are ready.
func (s *stack) startApps(ctx context.Context, apps []app) error {
	var ids []string
	for _, a := range apps {
		ids = append(ids, a.ID)
	}
	var all []process
	for _, a := range apps {
		list, err := s.processes(ctx, a, ids)
		if err != nil {
			return fmt.Errorf("%s: %w", a.ID, err)
		}
		all = append(all, list...)
	}
	begun := time.Now()
	changed := map[string][]string{}
	for _, p := range all {
		answer, err := s.ensure(ctx, p)
		if err != nil {
			return err
		}
		if answer != "" {
			changed[answer] = append(changed[answer], p.Name)
		}
	}
	for _, answer := range sorted(changed) {
		s.out.say("apps", "%s %s", answer, join(changed[answer]))
	}
	if err := s.await(ctx, all, 180*time.Second, "apps"); err != nil {
		return err
	}
	if len(changed) > 0 {
		s.out.say("apps", "all ready in %.1f s", time.Since(begun).Seconds())
	}
	return nil
}

// restart builds one app again and starts it and its sidecar again, or one
// process of the infrastructure.
func (s *stack) restart(ctx context.Context, name string) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	st, _, err := s.readState()
	if err != nil {
		return err
	}
	if !st.supervised() {
		return fmt.Errorf("nothing runs: make up starts it")
	}
	names := []string{name, name + "-daprd"}
	var known []string
	found := false
	for _, r := range st.Processes {
		known = append(known, r.Name)
		found = found || r.Name == name
	}
	if !found {
		return fmt.Errorf("nothing of that name runs: %q; there are %s", name, join(known))
	}
	apps, err := s.loadApps()
	if err != nil {
		return err
	}
	if slices.ContainsFunc(apps, func(a app) bool { return a.ID == name && !a.edge() }) {
		if err := s.goBuild(ctx, []string{"./apps/" + name}); err != nil {
			return err
		}
	}
	var all sync.WaitGroup
	for _, n := range names {
		all.Go(func() {
			if resp, err := s.ask(ctx, http.MethodDelete, "/processes/"+n, nil); err == nil {
				resp.Body.Close()
			}
		})
	}
	all.Wait()
	s.out.say(name, "stopped")
	if err := s.startInfra(ctx, apps); err != nil {
		return err
	}
	running := slices.DeleteFunc(apps, func(a app) bool { return !slices.Contains(known, a.ID) })
	return s.startApps(ctx, running)
}

// clean stops the stack and removes its data, settings and logs. What was
// fetched and built for all stacks stays in the cache.
func (s *stack) clean(ctx context.Context) error {
	if err := s.down(ctx); err != nil {
		return err
	}
	for _, dir := range []string{s.data, s.run} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	s.out.say("clean", "removed %s and %s; what was fetched once is still in %s", s.run, s.data, s.cache)
	return nil
}

// summary prints where everything is.
func (s *stack) summary(ctx context.Context) error {
	st, _, err := s.readState()
	if err != nil {
		return err
	}
	var bytes int64
	tree := children()
	for _, r := range st.Processes {
		bytes += memory(r.PID, tree)
	}
	public := s.settings.get("PUBLIC_URL")
	fmt.Fprintf(s.out.w, `
The shop is up after %.0f s: %d processes, %d MB.

  shop          %s
  back office   %s/admin
  API           %s/api/docs
  mail          http://localhost:%d
  broker        http://localhost:%d   (user stampede, password in RABBITMQ_URL)
  Keycloak      %s/admin   (user admin, password in KEYCLOAK_ADMIN_PASSWORD)

  demo accounts     password in %s
  shopper@stampede.test   SHOPPER_PASSWORD
  ops@stampede.test       OPS_PASSWORD   (ADMIN)

make status · make logs APP=orders · make restart APP=orders · make down
`, time.Since(s.out.begun).Seconds(), len(st.Processes), bytes>>20, public, public, public,
		s.port(portMaildev), s.port(portRabbitMQPage), s.settings.get("KEYCLOAK_URL"), s.settings.file)
	return nil
}
