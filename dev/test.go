package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// testHoldTTL is how long the test stack holds what is in a cart: long enough
// to check out, short enough to wait for its end.
const testHoldTTL = "30s"

// testPullBehind is how long an event gets to arrive on the test stack before
// mail asks orders: the tests that kill the broker wait for a lost one.
const testPullBehind = "1m"

// testStack makes this process's stack the one for tests: beside the
// developer's, unless the environment names another.
func testStack() {
	for _, d := range [][2]string{{"PORT_OFFSET", "1000"}, {"HOLD_TTL", testHoldTTL}, {"MAIL_PULL_BEHIND", testPullBehind}, {"SWAP", "default"}} {
		if os.Getenv(d[0]) == "" {
			_ = os.Setenv(d[0], d[1]) // fails for malformed names only
		}
	}
}

// test runs all tests: the code's form, the module's own tests on the test
// stack's PostgreSQL and Keycloak, then the shop from outside. The stack is
// the one of newStack, which `make test` places beside the developer's; it is
// stopped afterwards, whatever happens.
func (s *stack) test(ctx context.Context) (err error) {
	begun := time.Now()
	if err := s.out.step(ctx, "form", "gofmt and go vet", s.checkForm); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.down(context.WithoutCancel(ctx)))
		s.out.say("test", "%s in %s", map[bool]string{true: "passed", false: "FAILED"}[err == nil], time.Since(begun).Round(time.Second))
	}()
	if err := s.up(ctx, false); err != nil {
		return err
	}
	if err := errors.Join(s.installBrowser(ctx), s.installNPM(ctx, "axe-core", axeVersion)); err != nil {
		return err
	}
	env := []string{
		"GOWORK=off",
		"RUN_DIR=" + s.run,
		"PORT_OFFSET=" + s.settings.get("PORT_OFFSET"),
		"TEST_DATABASE_URL=" + s.settings.get("POSTGRES_SUPERUSER_URL"),
		"KEYCLOAK_URL=" + s.settings.get("KEYCLOAK_URL"),
		"KEYCLOAK_REALM=" + s.settings.get("KEYCLOAK_REALM"),
		"AUTH_CLIENT_SECRET=" + s.settings.get("AUTH_CLIENT_SECRET"),
		"BASE=" + s.settings.get("PUBLIC_URL"),
		"AXE_CORE=" + filepath.Join(s.npmCache("axe-core", axeVersion), "node_modules", "axe-core", "axe.min.js"),
	}
	s.out.say("test", "the module's own tests")
	if err := s.goTest(ctx, s.root, env, "-timeout=15m", "./..."); err != nil {
		return err
	}
	s.out.say("test", "the sidecar's login sessions and its mail binding")
	if err := s.goTest(ctx, filepath.Join(s.root, "dapr", "daprd"), append(env, "GONOSUMDB=github.com/dapr/*"), "./session", "./mailer"); err != nil {
		return err
	}
	tests := filepath.Join(s.root, "tests")
	s.out.say("test", "the shop from outside")
	// One package after another: the journeys run side by side within theirs,
	// and the faults come last and alone, because what they break is
	// everybody's.
	for _, packages := range [][]string{{"./gateway/...", "./compose/..."}, {"./journeys/...", "./access/...", "./input/..."}, {"./store/...", "./office/..."}, {"./faults/..."}} {
		if err := s.goTest(ctx, tests, env, append([]string{"-timeout=40m", "-p=1"}, packages...)...); err != nil {
			return err
		}
	}
	s.out.say("test", "audit")
	if err := s.audit(ctx, os.Stdout); err != nil {
		return err
	}
	s.out.say("test", "the same shop on %s", ciSwaps)
	if err := s.upWith(ctx, ciSwaps); err != nil {
		return err
	}
	if err := s.swapTest(ctx, "TestSuite", new(figures)); err != nil {
		return err
	}
	return s.audit(ctx, os.Stdout)
}

func (s *stack) goTest(ctx context.Context, dir string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go test %s in %s: %w", strings.Join(args, " "), filepath.Base(dir), err)
	}
	return nil
}

// checkForm demands what gofmt and go vet demand, in both modules.
func (s *stack) checkForm(ctx context.Context) error {
	list := exec.CommandContext(ctx, "gofmt", "-l", "apps", "dapr", "deploy", "dev", "events", "kit", "pricing", "tests")
	list.Dir = s.root
	out, err := list.CombinedOutput()
	if err != nil || len(out) > 0 {
		return errors.Join(err, fmt.Errorf("not formatted by gofmt: %s", strings.Join(strings.Fields(string(out)), " ")))
	}
	for _, dir := range []string{".", "tests"} {
		vet := exec.CommandContext(ctx, "go", "vet", "./...")
		vet.Dir, vet.Env = filepath.Join(s.root, dir), append(os.Environ(), "GOWORK=off")
		if out, err := vet.CombinedOutput(); err != nil {
			return fmt.Errorf("go vet in %s: %w\n%s", dir, err, out)
		}
	}
	return nil
}
