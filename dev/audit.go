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

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// audit builds the auditor and runs it on this stack's databases: it prints
// what it counted, and fails when something does not add up.
func (s *shop) audit(ctx context.Context) error {
	program := filepath.Join(s.Run, "bin", "audit")
	build := install.Go(ctx, "build", "-o", program, "./audit")
	build.Dir = s.Root
	if err := supervise.Run(ctx, s.LogFile("build-audit"), build); err != nil {
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
func (s *shop) auditEnv() ([]string, error) {
	var env []string
	services, err := s.Services()
	if err != nil {
		return nil, err
	}
	database := map[string]bool{}
	for _, a := range services {
		database[a.DatabaseSetting()] = true
	}
	for key, value := range s.Settings.All() {
		if strings.HasSuffix(key, "_DATABASE_URL") {
			if !database[key] {
				continue
			}
			if s.Proxied {
				u, err := url.Parse(value)
				if err != nil {
					return nil, errors.New(key + " is no address")
				}
				u.Host = s.At(stack.PortPostgres)
				value = u.String()
			}
		}
		env = append(env, key+"="+value)
	}
	return append(env, stack.Environment()...), nil
}
