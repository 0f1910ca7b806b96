package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// chaosWaits make a stack for which a minute is long: what an hour shows
// elsewhere, such as a lost event that is asked for, shows here in seconds.
var chaosWaits = [][2]string{
	{"PROXIES", "true"},
	{"HOLD_TTL", "45s"},
	{"HOLD_RETRY", "20s"},
	{"ORDER_DEADLINE", "45s"},
	{"ORDER_REMIND_AFTER", "5s"},
	{"ORDER_VOID_EVERY", "3s"},
	{"ORDERS_PULL_BEHIND", "10s"},
	{"INVENTORY_ASK_AFTER", "10s"},
	{"INVENTORY_PULL_BEHIND", "10s"},
	{"PAYMENTS_PULL_BEHIND", "10s"},
	{"MAIL_PULL_BEHIND", "10s"},
	{"CARTS_PULL_BEHIND", "10s"},
	{"EVENTS_PULL_BEHIND", "10s"},
	{"PROVIDER_TIMEOUT", "5s"},
	{"PROVIDER_MISSING_AFTER", "10s"},
}

// chaosSettle is how long a shop that was broken may take until everything
// adds up.
const chaosSettle = 5 * time.Minute

// chaosStack makes this process's stack the one for make chaos: beside the
// developer's and that of make test, unless the environment names another.
func chaosStack() {
	environment(append([][2]string{{"PORT_OFFSET", "2000"}, {"RUN_DIR", ".run-chaos"}, {"SWAP", "default"}}, chaosWaits...), false)
}

// environment sets variables, those that are set only when insist.
func environment(list [][2]string, insist bool) {
	for _, d := range list {
		if insist || os.Getenv(d[0]) == "" {
			_ = os.Setenv(d[0], d[1]) // fails for malformed names only
		}
	}
}

// chaos runs tests/chaos for SEED (or several, with commas between) and
// MINUTES each, on a shop that begins empty, then has it made again from a copy
// and as of a moment, and stops it.
func (s *shop) chaos(ctx context.Context) (err error) {
	seed, minutes := os.Getenv("SEED"), os.Getenv("MINUTES")
	if seed == "" {
		seed = strconv.FormatInt(time.Now().Unix()%100_000, 10)
	}
	if minutes == "" {
		minutes = "2"
	}
	n, err := strconv.ParseFloat(minutes, 64)
	if err != nil || !(n >= 0.5 && n <= 60) { // a drop opens and sells meanwhile
		return fmt.Errorf("MINUTES must be a number from 0.5 to 60, not %q", minutes)
	}
	seeds := strings.Split(seed, ",")
	for _, one := range seeds {
		if _, err := strconv.ParseUint(one, 10, 64); err != nil {
			return fmt.Errorf("SEED must be a number, or several with commas between, not %q", seed)
		}
	}
	archive := s.Data + "-wal" // by which a copy is taken on to a moment
	if err := errors.Join(os.RemoveAll(archive), os.Setenv("WAL_ARCHIVE", archive)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(archive)) }()
	return s.chaosRun(ctx, "^Test(Chaos|Restore|RestoreUntil)$", seeds, time.Duration(n*float64(time.Minute)))
}

// chaosRun is chaos for these seeds, so long each, or some of its tests.
func (s *shop) chaosRun(ctx context.Context, tests string, seeds []string, each time.Duration) error {
	return s.onFresh(ctx, func(fresh *shop) error {
		limit := time.Duration(len(seeds)) * (each + chaosSettle + 6*time.Minute) // before it, shoppers; after it, what they began
		limit += 20 * time.Minute                                                 // the shop made again from copies
		env := []string{
			"GOWORK=off", "RUN_DIR=" + fresh.Run, "PORT_OFFSET=" + fresh.Settings.Get("PORT_OFFSET"),
			"CHAOS_SEEDS=" + strings.Join(seeds, ","), "CHAOS_TIME=" + each.String(), "CHAOS_SETTLE=" + chaosSettle.String(),
		}
		return fresh.goTest(ctx, filepath.Join(s.Root, "tests"), env, "-timeout="+limit.String(), "-v", "-run="+tests, "./chaos")
	})
}
