package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

// plans loads a million orders into a PostgreSQL of its own and looks at every
// statement of the services there: bench/plans. Auth's tests run on a Keycloak,
// so the test stack's infrastructure is up meanwhile.
func (s *shop) plans(ctx context.Context) (err error) {
	env := append(os.Environ(), "GOWORK=off")
	if only := os.Getenv("PLANS_ONLY"); only == "" || only == "auth" {
		defer func() { err = errors.Join(err, s.down(context.WithoutCancel(ctx))) }()
		if err := s.up(ctx, true); err != nil {
			return err
		}
		env = append(env, "KEYCLOAK_URL="+s.Settings.Get("KEYCLOAK_URL"), "AUTH_CLIENT_SECRET="+s.Settings.Get("AUTH_CLIENT_SECRET"))
	} else if err := s.Installer().Install(ctx); err != nil {
		return err
	}
	s.Out.Say("plans", "what each statement reads when there is much of everything")
	cmd := exec.CommandContext(ctx, "go", "run", "./bench/plans")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.Root, env, os.Stdout, os.Stderr
	return cmd.Run()
}
