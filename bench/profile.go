package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// takeProfiles takes a profile of each app that was named, from now until almost
// the end of the measurement, which is what wait waits for.
func (b *bench) takeProfiles(ctx context.Context) (wait func() error) {
	g, ctx := errgroup.WithContext(ctx)
	for _, app := range b.profile {
		g.Go(func() error { return b.takeProfile(ctx, app, b.limit*9/10) })
	}
	return g.Wait
}

// showProfiles shows what took the most in each of them.
func (b *bench) showProfiles() error {
	for _, app := range b.profile {
		if err := b.showProfile(app); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) profileFile(app string) string { return filepath.Join(b.shop.Run, app+".pprof") }

func (b *bench) takeProfile(ctx context.Context, app string, long time.Duration) error {
	for _, a := range b.apps {
		if a.ID != app || a.Edge() {
			continue
		}
		if !b.shop.Bench {
			return errors.New("the apps of this stack serve no profiles: its first make up had no BENCH=true")
		}
		at := fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile?seconds=%d", a.ProfilePort(), max(int(long.Seconds()), 1))
		req, err := http.NewRequestWithContext(ctx, "GET", at, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		file, err := os.Create(b.profileFile(app))
		if err != nil {
			return err
		}
		_, err = io.Copy(file, resp.Body)
		return errors.Join(err, file.Close())
	}
	return fmt.Errorf("there is no app %q", app)
}

// showProfile shows the functions that took the most, and what they called.
func (b *bench) showProfile(app string) error {
	file := b.profileFile(app)
	for _, sort := range []string{"-flat", "-cum"} {
		fmt.Printf("\n%s, %s:\n", app, sort[1:])
		top := exec.Command("go", "tool", "pprof", "-top", sort, "-nodecount=45", file)
		top.Stdout, top.Stderr = os.Stdout, io.Discard
		if err := top.Run(); err != nil {
			return fmt.Errorf("go tool pprof: %w", err)
		}
	}
	fmt.Printf("\nmore with: go tool pprof -http=: %s\n\n", file)
	return nil
}
