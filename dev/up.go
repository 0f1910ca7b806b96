package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/supervise"
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
	if err := install.Prerequisites(ctx); err != nil {
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
	g.Go(func() error { return s.installer().Install(gctx) })
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
			s.out.Say("up", "it failed: stopping what was started")
			s.supervisor().Down(context.WithoutCancel(ctx))
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
		s.out.Say("infra", "up; for the apps: set -a; . %s; dapr run -f %s", s.settings.file, filepath.Join(s.run, "dapr.yaml"))
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

// startSupervisor starts the supervisor: this program, as its command supervise.
func (s *stack) startSupervisor(ctx context.Context) (started bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	// Nginx writes its access logs itself.
	cmd := exec.Command(self, "supervise", s.run, s.socket(), filepath.Join(s.data, "nginx", "*.log"))
	cmd.Dir, cmd.Env = s.root, basicEnv()
	return s.supervisor().Start(ctx, cmd)
}

// names are those of processes.
func names(list []supervise.Process) []string {
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
	}
	return names
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
	return s.out.Step(ctx, "apps", fmt.Sprintf("building %d apps", len(packages)), func(ctx context.Context) error {
		bin := filepath.Join(s.run, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-o", bin + "/"}, packages...)...)
		cmd.Dir = s.root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		return supervise.Run(ctx, s.logFile("build"), cmd)
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
	return supervise.Digest(string(note))
}

// infra returns the infrastructure's processes by their names, with everything
// on disk that they need to start.
func (s *stack) infra(ctx context.Context, apps []app) (map[string]supervise.Process, error) {
	parts := map[string]supervise.Process{}
	for name, describe := range map[string]func() (supervise.Process, error){
		"proxies":  s.proxies,
		"postgres": func() (supervise.Process, error) { return s.postgres(ctx) },
		"redis":    s.redis,
		"epmd":     s.epmd,
		"rabbitmq": s.rabbitmq,
		"nats":     s.nats,
		"kafka":    func() (supervise.Process, error) { return s.kafka(ctx) },
		"s3":       s.s3,
		"maildev":  s.maildev,
		"sentry":   s.authority,
		"keycloak": func() (supervise.Process, error) { return s.keycloak(ctx) },
		"nginx":    func() (supervise.Process, error) { return s.nginx(ctx, apps) },
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
		if _, err := s.supervisor().Ensure(ctx, p); err != nil {
			return err
		}
		if err := s.supervisor().Await(ctx, []supervise.Process{p}, 10*time.Second, p.Name); err != nil {
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
			answer, err := s.supervisor().Ensure(gctx, p)
			if err != nil {
				return err
			}
			if err := s.supervisor().Await(gctx, []supervise.Process{p}, limit, p.Name); err != nil {
				return err
			}
			if then != nil {
				if err := then(gctx); err != nil {
					return fmt.Errorf("%s: %w", p.Name, err)
				}
			}
			if answer != "" {
				s.out.Say(p.Name, "%s in %.1f s", answer, time.Since(begun).Seconds())
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
		if why = supervise.Check(ctx, url); why == "" {
			return nil
		}
		if !supervise.Pause(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	return &supervise.Failure{Line: fmt.Sprintf("%s %s", url, why), Lines: supervise.Tail(s.logFile("nginx"), 10)}
}

// startApps starts every app beside its sidecar, in the order of dapr.yaml,
// and returns when all of them are ready.
func (s *stack) startApps(ctx context.Context, apps []app) error {
	var all []supervise.Process
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
		answer, err := s.supervisor().Ensure(ctx, p)
		if err != nil {
			return err
		}
		if answer != "" {
			changed[answer] = append(changed[answer], p.Name)
		}
	}
	for _, answer := range sorted(changed) {
		s.out.Say("apps", "%s %s", answer, progress.List(changed[answer]))
	}
	if err := s.supervisor().Await(ctx, all, 180*time.Second, "apps"); err != nil {
		return err
	}
	if len(changed) > 0 {
		s.out.Say("apps", "all ready in %.1f s", time.Since(begun).Seconds())
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
	st, _, err := s.supervisor().State()
	if err != nil {
		return err
	}
	if !st.Supervised() {
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
	var list []supervise.Process
	if i >= 0 {
		if list, err = s.processes(ctx, apps[i], apps); err != nil {
			return err
		}
	} else if p, ok := parts[name]; ok {
		list = []supervise.Process{p}
	} else {
		known := sorted(parts)
		for _, a := range apps {
			known = append(known, a.ID)
		}
		return fmt.Errorf("there is nothing called %q; there are %s", name, progress.List(known))
	}
	if stop {
		if err := s.supervisor().Stop(ctx, kill, names(list)...); err != nil {
			return err
		}
		s.out.Say(name, "stopped")
	}
	if !start {
		return nil
	}
	for _, p := range list {
		if _, err := s.supervisor().Ensure(ctx, p); err != nil {
			return err
		}
	}
	if err := s.supervisor().Await(ctx, list, 180*time.Second, name); err != nil {
		return err
	}
	s.out.Say(name, "ready")
	return nil
}

// clean stops the stack and removes its data, settings and logs. What was
// fetched and built for all stacks stays in the cache.
func (s *stack) clean(ctx context.Context) error {
	if err := s.supervisor().Down(ctx); err != nil {
		return err
	}
	for _, dir := range []string{s.data, s.run} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	s.out.Say("clean", "removed %s and %s; what was fetched once is still in %s", s.run, s.data, s.cache)
	return nil
}

// summary prints where everything is.
func (s *stack) summary(ctx context.Context) error {
	st, _, err := s.supervisor().State()
	if err != nil {
		return err
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
	s.out.Print(fmt.Sprintf(`
The shop is up after %.0f s: %d processes, %d MB.

  shop          %s
  back office   %s/admin
  API           %s/api/docs
%s  Keycloak      %s/admin   (user admin, password in KEYCLOAK_ADMIN_PASSWORD)

  demo accounts     password in %s
  shopper@stampede.test   SHOPPER_PASSWORD
  ops@stampede.test       OPS_PASSWORD   (ADMIN)

make status · make logs APP=orders · make restart APP=orders · make down
`, s.out.Elapsed().Seconds(), len(st.Processes), st.Memory()>>20, public, public, public,
		pages, s.settings.get("KEYCLOAK_URL"), s.settings.file))
	return nil
}
