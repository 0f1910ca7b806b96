package main

import (
	"context"
	"os"
	"os/exec"
)

// plans loads a million orders into a PostgreSQL of its own and looks at every
// statement of the services there: bench/plans.
func (s *shop) plans(ctx context.Context) error {
	if err := s.Installer().Install(ctx); err != nil {
		return err
	}
	s.Out.Say("plans", "what each statement reads when there is much of everything")
	cmd := exec.CommandContext(ctx, "go", "run", "./bench/plans")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.Root, append(os.Environ(), "GOWORK=off"), os.Stdout, os.Stderr
	return cmd.Run()
}
