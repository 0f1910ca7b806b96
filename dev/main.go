// Command dev brings the shop up on one machine without containers: it
// installs what is missing, starts the infrastructure and every app beside its
// sidecar, and keeps them running. The Makefile calls it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		report(os.Stderr, err)
		os.Exit(1)
	}
}

// stack is one shop on this machine: where its files are.
type stack struct {
	root  string // the clone
	run   string // everything that this stack writes, or links to it
	data  string // data folders, which PostgreSQL's and RabbitMQ's users must be able to reach
	cache string // what was fetched and built once for all stacks
	out   *progress
}

func (s *stack) logFile(name string) string { return filepath.Join(s.run, "logs", name+".log") }

func run(ctx context.Context, args []string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	home, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	s := &stack{root: root, run: filepath.Join(root, ".run"), cache: filepath.Join(home, "stampede"), out: newProgress(os.Stdout)}
	s.data = "/var/lib/stampede-" + digest(s.run)
	switch {
	case len(args) == 1 && args[0] == "install":
		if err := checkPrerequisites(ctx); err != nil {
			return err
		}
		return s.install(ctx)
	}
	return fmt.Errorf("unknown command")
}
