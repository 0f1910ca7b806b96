package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
)

// testWaits are those of the test stack. What is in a cart is held long enough
// to check out, and short enough to wait for its end; what an event should
// have told is asked for soon, since the tests that kill the broker wait for a
// lost one; and a part may be away for a while before orders give up.
var testWaits = [][2]string{
	{"HOLD_TTL", "30s"},
	{"HOLD_RETRY", "15s"},
	{"ORDER_DEADLINE", "2m"},
	{"ORDER_REMIND_AFTER", "10s"},
	{"ORDER_VOID_EVERY", "5s"},
	{"ORDERS_PULL_BEHIND", "20s"},
	{"INVENTORY_ASK_AFTER", "20s"},
	{"INVENTORY_PULL_BEHIND", "20s"},
	{"PAYMENTS_PULL_BEHIND", "20s"},
	{"MAIL_PULL_BEHIND", "20s"},
	{"CARTS_PULL_BEHIND", "20s"},
	{"EVENTS_PULL_BEHIND", "20s"},
	{"PROVIDER_TIMEOUT", "5s"},
	{"PROVIDER_MISSING_AFTER", "10s"},
	{"WATCH_EVERY", "2s"},
	{"ALERT_AFTER", "1s"},
	{"ALERT_WINDOW", "20s"},
	{"ALERT_WINDOW_LONG", "40s"},
	{"ALERT_ORDER_SECONDS", "5"},
	{"ALERT_LAG_SECONDS", "3"},
	{"ALERT_DROP_SECONDS", "5"},
	{"DROPS_BEACON_URL", "http://127.0.0.1:9"}, // where nobody is
}

// testStack makes this process's stack the one for tests: beside the
// developer's, unless the environment names another.
func testStack() {
	environment(append([][2]string{{"PORT_OFFSET", "1000"}, {"SWAP", "default"}}, testWaits...), false)
}

// testSeeds are those of make chaos that are part of make test, a minute and a
// half each.
var testSeeds = []string{"7", "11"}

// testChaos is make chaos on the ports of the test stack, which is down by
// then, with data of its own.
func (s *shop) testChaos(ctx context.Context) error {
	environment(append([][2]string{{"PORT_OFFSET", strconv.Itoa(s.Offset)}, {"RUN_DIR", s.Run + "-chaos"}, {"SWAP", "default"}}, chaosWaits...), true)
	broken, err := openShop()
	if err != nil {
		return err
	}
	broken.Out = s.Out
	return broken.chaosRun(ctx, "^TestChaos$", testSeeds, 90*time.Second)
}

// test runs all tests: make check, what needs Keycloak, then the shop from
// outside. The stack is the one of openShop, which `make test` places beside
// the developer's; it is stopped afterwards, whatever happens.
func (s *shop) test(ctx context.Context) (err error) {
	begun := time.Now()
	if err := s.check(ctx); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.down(context.WithoutCancel(ctx)), s.races())
		s.Out.Say("test", "took: %s", s.Out.Took())
		s.Out.Say("test", "%s in %s", map[bool]string{true: "passed", false: "FAILED"}[err == nil], time.Since(begun).Round(time.Second))
	}()
	if err := s.Out.Step(ctx, "start", "the shop", func(ctx context.Context) error { return s.up(ctx, false) }); err != nil {
		return err
	}
	if err := s.Installer().Browser(ctx); err != nil {
		return err
	}
	axe, err := s.Installer().AxeCore(ctx)
	if err != nil {
		return err
	}
	env := []string{
		"GOWORK=off",
		"RUN_DIR=" + s.Run,
		"PORT_OFFSET=" + s.Settings.Get("PORT_OFFSET"),
		"TEST_DATABASE_URL=" + s.Settings.Get("POSTGRES_SUPERUSER_URL"),
		"KEYCLOAK_URL=" + s.Settings.Get("KEYCLOAK_URL"),
		"KEYCLOAK_REALM=" + s.Settings.Get("KEYCLOAK_REALM"),
		"AUTH_CLIENT_SECRET=" + s.Settings.Get("AUTH_CLIENT_SECRET"),
		"BASE=" + s.Settings.Get("PUBLIC_URL"),
		"AXE_CORE=" + axe,
	}
	if err := s.suites(ctx, env); err != nil {
		return err
	}
	s.Out.Say("test", "audit")
	if err := s.audit(ctx); err != nil {
		return err
	}
	if err := s.Out.Step(ctx, "swaps", "the same shop on "+ciSwaps, s.testSwaps); err != nil {
		return err
	}
	return s.Out.Step(ctx, "chaos", "anything breaks while people buy, seeds "+strings.Join(testSeeds, " and "), s.testChaos)
}

// swapParts gets what the shop of testSwaps runs on and the usual one does not.
func (s *shop) swapParts(ctx context.Context) error {
	usual, err := stack.Plug(s.Root, "")
	if err != nil {
		return err
	}
	other, err := stack.Plug(s.Root, ciSwaps)
	if err != nil {
		return err
	}
	installer := s.Installer()
	installer.Nice, installer.Needs = true, func(part string) bool { return other.Needs(part) && !usual.Needs(part) }
	return installer.Install(ctx)
}

// testSwaps runs a suite on a shop of other parts, and stops it.
func (s *shop) testSwaps(ctx context.Context) error {
	if err := s.goTest(ctx, s.Root, []string{"GOWORK=off"}, "-vet=off", "-tags=s3", "-run=TestBucket", "./dev/infra"); err != nil {
		return err
	}
	if err := s.upWith(ctx, ciSwaps); err != nil {
		return err
	}
	if err := s.swapTest(ctx, "TestSuite", new(figures)); err != nil {
		return err
	}
	if err := s.audit(ctx); err != nil {
		return err
	}
	return s.down(ctx)
}

// scaffoldTest makes a new service in a copy of the tree. That needs no shop: it
// takes what the suite beside it leaves of the processors.
func (s *shop) scaffoldTest(ctx context.Context) error {
	return s.nicely(ctx, testCommand(ctx, s.Root, []string{"GOWORK=off"},
		"-count=1", "-timeout=30m", "-tags=scaffold", "-run=TestService$", "./dev/generate"))
}

// suites runs what needs the shop as it is by itself.
func (s *shop) suites(ctx context.Context, env []string) error {
	sidecar := append(slices.Clip(env), "GONOSUMDB=github.com/dapr/*", "RABBITMQ_URL="+s.Settings.Get("RABBITMQ_URL"))
	err := s.Out.Step(ctx, "the sidecar", "its sessions, mail, names and way to RabbitMQ", func(ctx context.Context) error {
		return s.goTest(ctx, filepath.Join(s.Root, "dapr/daprd"), sidecar, "./session", "./mailer", "./rabbit", "./names")
	})
	if err != nil {
		return err
	}
	// Two at a time, in this order: one that mostly waits beside one of browsers,
	// which take all that they get. What is restarted or broken comes last and
	// alone, because it is everybody's.
	if err := s.outward(ctx, env, 2, "journeys store gateway office input browser access"); err != nil {
		return err
	}
	if err := s.outward(ctx, env, 1, "scale"); err != nil {
		return err
	}
	if err := s.meanwhile(ctx, env, "observe", func(ctx context.Context) error { return s.onKeycloak(ctx, env) }); err != nil {
		return err
	}
	return s.meanwhile(ctx, env, "faults", func(ctx context.Context) error { return errors.Join(s.scaffoldTest(ctx), s.swapParts(ctx)) })
}

// meanwhile runs a suite that waits for most of its time, and beside it what takes
// the processors meanwhile and touches nothing that the suite breaks.
func (s *shop) meanwhile(ctx context.Context, env []string, suite string, beside func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.outward(ctx, env, 1, suite) })
	g.Go(func() error { return beside(ctx) })
	return g.Wait()
}

// outward runs suites of tests/ on the shop that is up, so many at once.
func (s *shop) outward(ctx context.Context, env []string, atOnce int, names string) error {
	return s.Out.Step(ctx, names, "the shop from outside", func(ctx context.Context) error {
		args := []string{"-timeout=15m", "-vet=off", fmt.Sprintf("-p=%d", atOnce)}
		for _, name := range strings.Fields(names) {
			args = append(args, "./"+name+"/...")
		}
		return s.goTest(ctx, filepath.Join(s.Root, "tests"), env, args...)
	})
}

// onKeycloak runs auth's tests on the shop's own Keycloak and PostgreSQL.
func (s *shop) onKeycloak(ctx context.Context, env []string) error {
	return s.Out.Step(ctx, "auth", "on Keycloak, and PostgreSQL", func(ctx context.Context) error {
		return s.nicely(ctx, testCommand(ctx, s.Root, env, "-count=1", "-timeout=15m", "-vet=off", "-tags=keycloak", "./apps/auth"))
	})
}

// nicely runs tests on what others leave of the processors, and prints what they
// say in one piece.
func (s *shop) nicely(ctx context.Context, cmd *exec.Cmd) error {
	out, err := install.Nice(ctx, cmd).CombinedOutput()
	s.Out.Print(string(out))
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return nil
}

// goTest runs tests anew, whatever is remembered of them.
func (s *shop) goTest(ctx context.Context, dir string, env []string, args ...string) error {
	return runTests(ctx, dir, env, append([]string{"-count=1"}, args...)...)
}

// runTests runs go test in a folder.
func runTests(ctx context.Context, dir string, env []string, args ...string) error {
	cmd := testCommand(ctx, dir, env, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go test %s in %s: %w", strings.Join(args, " "), filepath.Base(dir), err)
	}
	return nil
}

func testCommand(ctx context.Context, dir string, env []string, args ...string) *exec.Cmd {
	cmd := install.Go(ctx, append([]string{"test"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(cmd.Env, env...)
	return cmd
}
