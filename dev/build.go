package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// withRace reports whether apps are built with the race detector, which says in
// their logs what it finds (RACE=1).
func withRace() bool {
	race := os.Getenv("RACE")
	return race != "" && race != "0"
}

// build builds apps; of those of the edge there is nothing to build.
func (s *shop) build(ctx context.Context, apps []stack.App) error {
	var packages []string
	for _, a := range apps {
		if name := "./apps/" + a.ID; !a.Edge() && !slices.Contains(packages, name) {
			packages = append(packages, name)
		}
	}
	return s.Out.Step(ctx, "apps", fmt.Sprintf("building %d apps", len(packages)), func(ctx context.Context) error {
		bin := filepath.Join(s.Run, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			return err
		}
		// nodynamic: products encodes WebP by what it brings, not by a library that the machine may have.
		cmd := install.Go(ctx, "build", "-tags=nodynamic", "-o", bin+"/")
		cmd.Dir = s.Root
		if withRace() {
			cmd.Args, cmd.Env = append(cmd.Args, "-race"), append(cmd.Env, "CGO_ENABLED=1")
		}
		cmd.Args = append(cmd.Args, packages...)
		return supervise.Run(ctx, s.LogFile("build"), cmd)
	})
}

// races is an error when the race detector found something in an app since the
// shop's first start.
func (s *shop) races() error {
	logs, err := filepath.Glob(s.LogFile("*") + "*") // what was moved on too
	if err != nil {
		return err
	}
	var found []string
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		if bytes.Contains(text, []byte("WARNING: DATA RACE")) {
			found = append(found, log)
		}
	}
	if found != nil {
		return fmt.Errorf("the race detector found something, see %s", strings.Join(found, ", "))
	}
	return nil
}
