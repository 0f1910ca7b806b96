package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// benchStack makes this process's stack the one for make bench: beside all
// others, unless the environment names another.
func benchStack() {
	environment([][2]string{{"PORT_OFFSET", "3000"}, {"RUN_DIR", ".run-bench"}, {"SWAP", "default"}, {"BENCH", "true"}}, false)
}

// bench measures a shop with ten thousand orders, then one with a million, and
// writes bench/RESULTS.md. QUICK=1 measures one with a hundred thousand, only
// what shows most, and writes no page. SCENARIO=drop measures that alone and
// writes its part of the page. args are given to the bench, whose flags say what
// else there is: then that is all that is done.
func (s *shop) bench(ctx context.Context, args []string) error {
	if quick := os.Getenv("QUICK"); quick != "" && quick != "0" {
		return s.benchOnce(ctx, append([]string{"-size", "100000", "-quick"}, args...))
	}
	if scenario := os.Getenv("SCENARIO"); scenario != "" {
		return s.benchOnce(ctx, append([]string{"-size", "10000", "-only", scenario, "-results", "bench"}, args...))
	}
	if len(args) > 0 {
		return s.benchOnce(ctx, args)
	}
	small, err := os.CreateTemp("", "bench-*.json")
	if err != nil {
		return err
	}
	defer os.Remove(small.Name())
	if err := small.Close(); err != nil {
		return err
	}
	err = s.benchOnce(ctx, []string{"-size", "10000", "-only", "order,browse", "-clients", "1,16", "-save", small.Name()})
	if err != nil {
		return err
	}
	return s.benchOnce(ctx, []string{"-size", "1000000", "-growth", small.Name(), "-results", "bench"})
}

// benchOnce runs the bench on a shop that begins empty, and stops it.
func (s *shop) benchOnce(ctx context.Context, args []string) error {
	return s.onFresh(ctx, func(fresh *shop) error { return fresh.runBench(ctx, args...) })
}

// profile tells what an app spends its time on while orders come, sixteen at a
// time. The bench's stack stays up, for the next profile.
func (s *shop) profile(ctx context.Context, name string) error {
	if name == "" {
		return errors.New("which? make profile APP=orders")
	}
	if err := s.up(ctx, false); err != nil {
		return err
	}
	return s.runBench(ctx, "-only", "order", "-clients", "16", "-for", "30s", "-profile", name)
}

// runBench builds the bench and runs it on this shop.
func (s *shop) runBench(ctx context.Context, args ...string) error {
	program := filepath.Join(s.Run, "bin", "bench")
	build := install.Go(ctx, "build", "-o", program, "./bench")
	build.Dir = s.Root
	if err := supervise.Run(ctx, s.LogFile("build-bench"), build); err != nil {
		return err
	}
	run, err := filepath.Rel(s.Root, s.Run) // as the page shows it, on any machine
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"-run", run}, args...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Root, os.Stdout, os.Stderr
	return cmd.Run()
}
