package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	if os.Geteuid() != 0 {
		return errors.New("run make up as root: it installs packages, and starts servers under their own users")
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := checkPrerequisites(ctx); err != nil {
		return err
	}

	before, err := s.choose()
	if err != nil {
		return err
	}
	switched := false
	defer func() {
		if err != nil && !switched {
			err = errors.Join(err, s.unplug(context.WithoutCancel(ctx), before))
		}
	}()
	if err := s.plugIn(); err != nil {
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
	if err := s.drain(ctx, apps); err != nil {
		return err
	}
	if err := s.layOut(); err != nil {
		return err
	}
	switched = true
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
	// Once more, for what came in until products had another sidecar.
	if err := s.collect(ctx); err != nil {
		return err
	}
	if err := s.retire(ctx); err != nil {
		return err
	}
	if err := s.seed(ctx); err != nil {
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

// build builds apps; of those of the edge there is nothing to build.
func (s *stack) build(ctx context.Context, apps []app) error {
	var packages []string
	for _, a := range apps {
		if !a.edge() {
			packages = append(packages, "./apps/"+a.ID)
		}
	}
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

// infra returns the infrastructure's processes by their names, with everything
// on disk that they need to start.
func (s *stack) infra(ctx context.Context, apps []app) (map[string]process, error) {
	parts := map[string]process{}
	for name, describe := range map[string]func() (process, error){
		"proxies":  s.proxies,
		"postgres": func() (process, error) { return s.postgres(ctx) },
		"redis":    s.redis,
		"epmd":     s.epmd,
		"rabbitmq": s.rabbitmq,
		"nats":     s.nats,
		"kafka":    func() (process, error) { return s.kafka(ctx) },
		"s3":       s.s3,
		"maildev":  s.maildev,
		"sentry":   s.authority,
		"keycloak": func() (process, error) { return s.keycloak(ctx) },
		"nginx":    func() (process, error) { return s.nginx(ctx, apps) },
	} {
		if !s.needs(name) {
			continue
		}
		p, err := describe()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p.Name = name
		parts[name] = p
	}
	return parts, nil
}

// startInfra starts the infrastructure, everything at once that does not wait
// for another part, and returns when all of it is well.
func (s *stack) startInfra(ctx context.Context, apps []app) error {
	parts, err := s.infra(ctx, apps)
	if err != nil {
		return err
	}
	if p, needed := parts["proxies"]; needed { // the others are reached through them
		if _, err := s.ensure(ctx, p); err != nil {
			return err
		}
		if err := s.await(ctx, []process{p}, 10*time.Second, p.Name); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	one := func(name string, limit time.Duration, then func(ctx context.Context) error) {
		if _, needed := parts[name]; !needed {
			return
		}
		g.Go(func() error {
			p, begun := parts[name], time.Now()
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
	one("postgres", 60*time.Second, func(ctx context.Context) error {
		if err := s.databases(ctx); err != nil {
			return err
		}
		one("keycloak", 180*time.Second, s.realmAnswers)
		return nil
	})
	one("redis", 30*time.Second, nil)
	one("epmd", 20*time.Second, func(context.Context) error {
		one("rabbitmq", 90*time.Second, nil)
		return nil
	})
	one("nats", 30*time.Second, s.streams)
	one("kafka", 60*time.Second, nil)
	one("maildev", 30*time.Second, nil)
	one("sentry", 30*time.Second, func(context.Context) error {
		anchors, err := os.ReadFile(filepath.Join(s.data, "sentry", "ca.crt"))
		if err != nil {
			return err
		}
		return s.settings.put("DAPR_TRUST_ANCHORS", strings.TrimSpace(string(anchors)))
	})
	// Pictures are where Nginx will look for them before it does.
	front := func(ctx context.Context) error {
		if err := s.collect(ctx); err != nil {
			return err
		}
		one("nginx", 30*time.Second, nil)
		return nil
	}
	one("s3", 30*time.Second, func(ctx context.Context) error {
		if err := s.bucket().make(ctx); err != nil {
			return err
		}
		return front(ctx)
	})
	if !s.plugged.needs("s3") {
		if err := front(ctx); err != nil {
			return err
		}
	}
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
	var all []process
	for _, a := range apps {
		list, err := s.processes(ctx, a, apps)
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

// change stops one part of a running shop, an app with its sidecar or a
// process of the infrastructure, and starts it again, or only one of both.
// Before an app is stopped and started it is built.
func (s *stack) change(ctx context.Context, name string, stop, kill, start bool) error {
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
		return errors.New("nothing runs: make up starts it")
	}
	if err := s.plugIn(); err != nil {
		return err
	}
	apps, err := s.loadApps()
	if err != nil {
		return err
	}
	parts, err := s.infra(ctx, apps)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(apps, func(a app) bool { return a.ID == name })
	if stop && start && i >= 0 && !apps[i].edge() {
		if err := s.build(ctx, apps[i:i+1]); err != nil {
			return err
		}
	}
	var list []process
	if i >= 0 {
		if list, err = s.processes(ctx, apps[i], apps); err != nil {
			return err
		}
	} else if p, ok := parts[name]; ok {
		list = []process{p}
	} else {
		known := sorted(parts)
		for _, a := range apps {
			known = append(known, a.ID)
		}
		return fmt.Errorf("there is nothing called %q; there are %s", name, join(known))
	}
	if stop {
		if err := s.stop(ctx, list, kill); err != nil {
			return err
		}
		s.out.say(name, "stopped")
	}
	if !start {
		return nil
	}
	for _, p := range list {
		if _, err := s.ensure(ctx, p); err != nil {
			return err
		}
	}
	if err := s.await(ctx, list, 180*time.Second, name); err != nil {
		return err
	}
	s.out.say(name, "ready")
	return nil
}

// stop stops an app together with its sidecar: a sidecar that stops alone
// waits for its app.
func (s *stack) stop(ctx context.Context, list []process, kill bool) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range list {
		path := "/processes/" + p.Name
		if kill {
			path += "?kill"
		}
		g.Go(func() error {
			resp, err := s.ask(ctx, http.MethodDelete, path, nil)
			if err != nil {
				return err
			}
			return resp.Body.Close()
		})
	}
	return g.Wait()
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
	public, pages := s.settings.get("PUBLIC_URL"), ""
	if s.plugged.needs("maildev") {
		pages = fmt.Sprintf("  mail          http://localhost:%d\n", s.port(portMaildev))
	}
	if s.plugged.needs("rabbitmq") {
		pages += fmt.Sprintf("  broker        http://localhost:%d   (user stampede, password in RABBITMQ_URL)\n", s.port(portRabbitMQPage))
	}
	if swap := s.settings.get("SWAP"); swap != "" {
		pages += "  plugged in    " + swap + "   (SWAP=default make up takes it out)\n"
	}
	fmt.Fprintf(s.out.w, `
The shop is up after %.0f s: %d processes, %d MB.

  shop          %s
  back office   %s/admin
  API           %s/api/docs
%s  Keycloak      %s/admin   (user admin, password in KEYCLOAK_ADMIN_PASSWORD)

  demo accounts     password in %s
  shopper@stampede.test   SHOPPER_PASSWORD
  ops@stampede.test       OPS_PASSWORD   (ADMIN)

make status · make logs APP=orders · make restart APP=orders · make down
`, time.Since(s.out.begun).Seconds(), len(st.Processes), bytes>>20, public, public, public,
		pages, s.settings.get("KEYCLOAK_URL"), s.settings.file)
	return nil
}
