package main

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/stampede-shop/stampede/dev/supervise"
)

// audit builds the auditor and runs it on this stack's databases: it prints
// what it counted, and fails when something does not add up.
func (s *stack) audit(ctx context.Context) error {
	program := filepath.Join(s.run, "bin", "audit")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./audit")
	build.Dir, build.Env = s.root, append(os.Environ(), "CGO_ENABLED=0")
	if err := supervise.Run(ctx, s.logFile("build-audit"), build); err != nil {
		return err
	}
	env, err := s.auditEnv()
	if err != nil {
		return err
	}
	var complaint strings.Builder
	auditor := exec.CommandContext(ctx, program)
	auditor.Env, auditor.Stdout, auditor.Stderr = env, os.Stdout, &complaint
	if err := auditor.Run(); err != nil {
		said := strings.TrimPrefix(strings.TrimSpace(complaint.String()), "error: ")
		return errors.New(cmp.Or(said, err.Error()))
	}
	return nil
}

// auditEnv is what the auditor is told: the settings, and of the databases
// those of the services. It looks at what came of it, so it does not go
// through the proxies of make chaos.
func (s *stack) auditEnv() ([]string, error) {
	var env []string
	for _, l := range s.settings.lines {
		value := l.value
		if app, ok := strings.CutSuffix(l.key, "_DATABASE_URL"); ok {
			if !exists(filepath.Join(s.root, "apps", strings.ToLower(app), "migrations")) {
				continue
			}
			if s.proxied {
				u, err := url.Parse(value)
				if err != nil {
					return nil, errors.New(l.key + " is no URL")
				}
				u.Host = s.at(portPostgres)
				value = u.String()
			}
		}
		if l.key != "" {
			env = append(env, l.key+"="+value)
		}
	}
	return append(env, basicEnv()...), nil
}
