package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// dropsim plays drops in virtual time, which needs no shop, judges what they promise and writes docs/dropsim.md: drop/sim.
func (s *shop) dropsim(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "run", "./drop/sim", filepath.Join("docs", "dropsim.md"))
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.Root, append(os.Environ(), "GOWORK=off"), os.Stdout, os.Stderr
	return cmd.Run()
}
