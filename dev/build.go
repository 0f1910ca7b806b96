package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

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
		cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-o", bin + "/"}, packages...)...)
		cmd.Dir = s.Root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		return supervise.Run(ctx, s.LogFile("build"), cmd)
	})
}
