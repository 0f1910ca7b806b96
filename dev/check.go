package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
)

// folders are those with Go files of ours, for gofmt.
var folders = []string{"apps", "audit", "bench", "dapr", "deploy", "dev", "drop", "events", "kit", "pricing", "tests", "tools"}

// modules are the folders of our modules: the services', the tests from
// outside, the sidecar, what checks the chart, the linters of code and of
// workflows, what looks for weaknesses.
var modules = []string{".", "tests", "dapr/daprd", "tools/helm", "tools/lint", "tools/security", "tools/workflows"}

// check is what a change has to pass before anything is started: form, linters,
// and all tests that need neither a shop nor Keycloak, under the race detector.
// They start their own PostgreSQL, Redis and daprd.
func (s *shop) check(ctx context.Context) error {
	begun := time.Now()
	usual, err := stack.Plug(s.Root, "") // what swaps need is got by who plugs them in
	if err != nil {
		return err
	}
	installer := s.Installer()
	needs := installer.Needs
	installer.Needs = func(part string) bool {
		return part == install.Watch || needs(part) && usual.Needs(part) // promtool, for the alerts' rules
	}
	if err := installer.Install(ctx); err != nil {
		return err
	}
	if err := s.Out.Step(ctx, "form", "gofmt and the linters", s.lint); err != nil {
		return err
	}
	err = s.Out.Step(ctx, "units", "the tests that need no shop, under the race detector", func(ctx context.Context) error {
		// -vet=off: lint has just vetted all of it.
		return runTests(ctx, s.Root, []string{"GOWORK=off", "CGO_ENABLED=1"}, "-race", "-vet=off", "-timeout=15m", "./...")
	})
	if err != nil {
		return err
	}
	err = s.Out.Step(ctx, "compose", "docker-compose.yml and deploy/Dockerfile", func(ctx context.Context) error {
		// -count=1: go test would not see that a file outside of the module has changed.
		return s.goCommand(ctx, "tests", "test", "-vet=off", "-count=1", "./compose")
	})
	if err != nil {
		return err
	}
	s.Out.Say("check", "passed in %s", time.Since(begun).Round(time.Second))
	return nil
}

// chart renders deploy/helm in every way, and holds it to types and rules. It is
// no part of check: Kubernetes' types and Helm take minutes to compile.
func (s *shop) chart(ctx context.Context) error {
	// -count=1: go test would not see that a file outside of the module has changed.
	return s.goCommand(ctx, "tools/helm", "test", "-vet=off", "-count=1", ".")
}

// lint demands what gofmt, go vet, the linters of tools/lint and actionlint demand.
func (s *shop) lint(ctx context.Context) error {
	gofmt := exec.CommandContext(ctx, "gofmt", append([]string{"-l"}, folders...)...)
	gofmt.Dir = s.Root
	out, err := gofmt.CombinedOutput()
	if err != nil || len(out) > 0 {
		return errors.Join(err, fmt.Errorf("not formatted, make fmt does it: %s", strings.Join(strings.Fields(string(out)), " ")))
	}
	linters := filepath.Join(s.Run, "bin", "lint")
	if err := s.goCommand(ctx, "tools/lint", "build", "-o", linters, "."); err != nil {
		return err
	}
	for _, module := range []string{".", "tests"} {
		// Compiled as the apps will be (build), so that it is done once.
		err := s.goCommand(ctx, module, "vet", "-tags=keycloak,rotate,scaffold,s3,nodynamic", "-vettool="+linters, "./...")
		if err != nil {
			return err
		}
	}
	workflows, err := filepath.Glob(filepath.Join(s.Root, ".github", "workflows", "*.yml"))
	if err != nil {
		return err
	}
	return s.goCommand(ctx, "tools/workflows", append([]string{"tool", "actionlint"}, workflows...)...)
}

// format formats all Go files of ours.
func (s *shop) format(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "gofmt", append([]string{"-l", "-w"}, folders...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Root, os.Stdout, os.Stderr
	return cmd.Run()
}

// cover tells how much of each package its own tests run.
func (s *shop) cover(ctx context.Context) error {
	if err := s.Installer().Install(ctx); err != nil {
		return err
	}
	return runTests(ctx, s.Root, []string{"GOWORK=off"}, "-cover", "-timeout=15m", "./apps/...", "./kit/...", "./pricing/...", "./audit/...")
}

// auditDeps checks what can be checked of the libraries offline: that they are
// what go.sum says, and that go.mod names no more and no less than is used. Known
// vulnerabilities are looked for by make security, which asks others.
func (s *shop) auditDeps(ctx context.Context) error {
	for _, module := range modules {
		if err := s.goCommand(ctx, module, "mod", "verify"); err != nil {
			return err
		}
		s.Out.Say("deps", "%s: verified", module)
		if module == "dapr/daprd" { // to tidy Dapr's needs all that its components' tests need
			continue
		}
		if err := s.goCommand(ctx, module, "mod", "tidy", "-diff"); err != nil {
			return err
		}
		s.Out.Say("deps", "%s: tidy", module)
	}
	return nil
}

// goCommand runs the go command in a module of ours; what it says is part of
// the error.
func (s *shop) goCommand(ctx context.Context, module string, args ...string) error {
	cmd := install.Go(ctx, args...)
	cmd.Dir, cmd.Env = filepath.Join(s.Root, module), append(cmd.Env, "GOWORK=off", "GONOSUMDB=github.com/dapr/*")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s in %s: %w\n%s", strings.Join(args, " "), module, err, out)
	}
	return nil
}
