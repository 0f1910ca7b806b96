package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
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
	s.Out.Say("test", "anything breaks while people buy, seeds %s", strings.Join(testSeeds, " and "))
	environment(append([][2]string{{"PORT_OFFSET", strconv.Itoa(s.Offset)}, {"RUN_DIR", s.Run + "-chaos"}, {"SWAP", "default"}}, chaosWaits...), true)
	broken, err := openShop()
	if err != nil {
		return err
	}
	broken.Out = s.Out
	return broken.chaosRun(ctx, testSeeds, 90*time.Second)
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
		s.Out.Say("test", "%s in %s", map[bool]string{true: "passed", false: "FAILED"}[err == nil], time.Since(begun).Round(time.Second))
	}()
	if err := s.up(ctx, false); err != nil {
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
	s.Out.Say("test", "auth, on Keycloak")
	if err := s.goTest(ctx, s.Root, env, "-timeout=15m", "-tags=keycloak", "./apps/auth"); err != nil {
		return err
	}
	s.Out.Say("test", "a new service, made in a copy of the tree")
	if err := s.goTest(ctx, s.Root, env, "-timeout=15m", "-tags=scaffold", "-run=TestService$", "./dev/generate"); err != nil {
		return err
	}
	s.Out.Say("test", "the sidecar's login sessions, its mail binding, its way to RabbitMQ and its names")
	sidecar := append(env, "GONOSUMDB=github.com/dapr/*", "RABBITMQ_URL="+s.Settings.Get("RABBITMQ_URL"))
	if err := s.goTest(ctx, filepath.Join(s.Root, "dapr", "daprd"), sidecar, "./session", "./mailer", "./rabbit", "./names"); err != nil {
		return err
	}
	tests := filepath.Join(s.Root, "tests")
	s.Out.Say("test", "the shop from outside")
	// One package after another: the journeys run side by side within theirs,
	// and what is restarted or broken comes last and alone, because it is
	// everybody's.
	for _, packages := range [][]string{
		{"./gateway/...", "./compose/..."}, {"./journeys/...", "./access/...", "./input/..."},
		{"./store/...", "./office/..."}, {"./scale/..."}, {"./faults/..."},
	} {
		if err := s.goTest(ctx, tests, env, append([]string{"-timeout=40m", "-vet=off", "-p=1"}, packages...)...); err != nil {
			return err
		}
	}
	s.Out.Say("test", "audit")
	if err := s.audit(ctx); err != nil {
		return err
	}
	s.Out.Say("test", "the same shop on %s", ciSwaps)
	if err := s.upWith(ctx, ciSwaps); err != nil {
		return err
	}
	if err := s.swapTest(ctx, "TestSuite", new(figures)); err != nil {
		return err
	}
	if err := s.audit(ctx); err != nil {
		return err
	}
	if err := s.down(ctx); err != nil {
		return err
	}
	return s.testChaos(ctx)
}

// goTest runs tests anew, whatever is remembered of them.
func (s *shop) goTest(ctx context.Context, dir string, env []string, args ...string) error {
	return runTests(ctx, dir, env, append([]string{"-count=1"}, args...)...)
}

// runTests runs go test in a folder and shows what it says.
func runTests(ctx context.Context, dir string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go test %s in %s: %w", strings.Join(args, " "), filepath.Base(dir), err)
	}
	return nil
}
