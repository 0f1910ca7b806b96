// Package engine runs the shop of docker-compose.yml on a container engine: make compose-test.
package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

const root = "../.."

// run runs a command line in the clone and fails with what it said.
func run(t *testing.T, line string) string {
	t.Helper()
	out, err := command(t.Context(), line)
	require.NoError(t, err, "%s:\n%s", line, out)
	return out
}

func command(ctx context.Context, line string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", line)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// container is what `docker compose ps` says of one.
type container struct {
	ID, Name, Service, State, Health string
	ExitCode                         int
}

func containers(t *testing.T) (list []container) {
	t.Helper()
	for line := range strings.Lines(run(t, "docker compose ps --all --format json")) {
		var c container
		require.NoError(t, json.Unmarshal([]byte(line), &c), line)
		list = append(list, c)
	}
	return list
}

// well waits until every container runs and is healthy, and the seed has ended well.
func well(t *testing.T) {
	t.Helper()
	shop.Eventually(t, 5*time.Minute, func() (bool, string) {
		var ill []string
		for _, c := range containers(t) {
			ended := c.Service == "seed" && c.State == "exited" && c.ExitCode == 0
			if !ended && (c.State != "running" || c.Health != "healthy" && c.Health != "") {
				ill = append(ill, fmt.Sprintf("%s is %s %s", c.Name, c.State, c.Health))
			}
		}
		return len(ill) == 0, strings.Join(ill, ", ")
	})
}

// kill ends a container's process as a crash does, so that the engine starts it again by its rule.
func kill(t *testing.T, service string) {
	t.Helper()
	pid := run(t, "docker inspect --format '{{.State.Pid}}' $(docker compose ps --quiet "+service+" | head -1)")
	require.NotEqual(t, "0", pid, service)
	run(t, os.Getenv("AS_ROOT")+" kill -KILL "+pid)
}

// buys: a shopper who was there before buys, gets a mail and cancels, and the stock is back. Asked again for a while, for
// what was just killed.
func buys(t *testing.T, s *shop.Shop, c *shop.Client, p *shop.Product) {
	t.Helper()
	shop.Eventually(t, 2*shop.Patience, func() (bool, string) {
		a, err := c.Send(t.Context(), http.MethodGet, "/api/v1/cart", nil)
		switch {
		case err != nil:
			return false, err.Error()
		case a.Status == http.StatusUnauthorized:
			c.Login(t)
		}
		return a.Status == http.StatusOK, fmt.Sprint(a.Status, " ", string(a.Body))
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*shop.Patience)
	defer cancel()
	id, _, err := c.Insist(ctx, p, shop.Visa)
	require.NoError(t, err)
	await(t, c, id, "confirmed")
	var order shop.Order
	_, err = c.Persist(ctx, http.StatusAccepted, &order, http.MethodPost, "/api/v1/orders/"+id+"/cancellation",
		map[string]string{"reason": "Changed my mind"})
	require.NoError(t, err)
	await(t, c, id, "cancelled")
}

// await waits for an order's status. Of what was just killed it is told that it is not available now.
func await(t *testing.T, c *shop.Client, id, status string) {
	t.Helper()
	shop.Eventually(t, 2*shop.Patience, func() (bool, string) {
		a := c.Do(t, http.MethodGet, "/api/v1/orders/"+id, nil)
		if a.Status == http.StatusServiceUnavailable {
			return false, "orders is not available"
		}
		o := shop.Read[shop.Order](t, a.OK(t, http.StatusOK))
		return o.Status == status, fmt.Sprintf("order %s is %s, not %s", id, o.Status, status)
	})
}

// traced: Zipkin has heard of each service that an order passes.
func traced(t *testing.T) {
	t.Helper()
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		at := "http://localhost:" + port("TRACES_PORT", "9411") + "/api/v2/services"
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, err.Error()
		}
		defer resp.Body.Close()
		var known []string
		if err := json.NewDecoder(resp.Body).Decode(&known); err != nil {
			return false, err.Error()
		}
		for _, name := range []string{"edge-auth", "carts", "inventory", "orders", "payments", "mail"} {
			if !slices.Contains(known, name) {
				return false, fmt.Sprintf("no trace has %s, only %v", name, known)
			}
		}
		return true, ""
	})
}

// audit runs the auditor beside the databases until nothing is in flight.
func audit(t *testing.T) {
	t.Helper()
	shop.Eventually(t, 3*shop.Patience, func() (bool, string) {
		out := run(t, "docker compose run --rm audit")
		return !strings.Contains(out, "\nin flight:"), out
	})
}

// open finds the shop by .env, as deploy/compose/README.md says where it is.
func open(t *testing.T) *shop.Shop {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".env"))
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "settings.env"), text, 0o600))
	t.Setenv("RUN_DIR", dir)
	t.Setenv("BASE_URL", "http://localhost:"+port("SHOP_PORT", "8000"))
	t.Setenv("MAIL_URL", "http://localhost:"+port("MAIL_PORT", "1080"))
	return shop.Open(t)
}

func port(setting, usual string) string {
	if p := os.Getenv(setting); p != "" {
		return p
	}
	return usual
}

// TestCompose: the shop is started as deploy/compose/README.md says and sells. Whatever dies comes back by itself and it
// sells on: an app, a sidecar, the engine; all containers restarted, taken down and put up again. Everything adds up.
func TestCompose(t *testing.T) {
	if os.Getenv("COMPOSE_TEST") == "" {
		t.Fatal("COMPOSE_TEST is not set: no engine to test (make compose-test finds or makes one)")
	}
	readme, err := os.ReadFile(filepath.Join(root, "deploy/compose/README.md"))
	require.NoError(t, err)
	start := regexp.MustCompile(`(?m)^    (.+)$`).FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, start)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := command(context.Background(), "docker compose ps --all; docker compose logs --tail 15 | cut -c1-400")
			t.Log(out)
		}
		out, err := command(context.Background(), "docker compose down --volumes --timeout 5")
		require.NoError(t, err, out)
	})
	begun := time.Now()
	step := func(name string) {
		t.Logf("%6s %s", time.Since(begun).Round(time.Second), name)
		fmt.Fprintf(os.Stderr, "compose-test: %s %s\n", time.Since(begun).Round(time.Second), name)
	}
	step("builds")
	// What an interrupted run has left goes; and up takes an image that is there, however old.
	run(t, "make compose-env && docker compose down --volumes --timeout 5 && docker compose --profile tools build --quiet")
	for _, m := range start {
		step(m[1])
		out := run(t, m[1])
		if strings.HasPrefix(m[1], "docker wait") {
			require.Equal(t, "0", out)
		}
	}
	well(t)
	s := open(t)
	ann := s.Register(t)
	lamp := s.NewProduct(t, 1_500, 1_000)
	step("buys and cancels")
	buys(t, s, ann, lamp)
	traced(t)
	for _, service := range []string{
		"orders", "orders-daprd", "edge-auth", "auth", "payments-daprd", "rabbitmq", "redis", "postgres", "sentry", "nginx", "kong-1",
	} {
		if !slices.ContainsFunc(containers(t), func(c container) bool { return c.Service == service }) {
			t.Fatalf("there is no %s", service)
		}
		step(service + " dies")
		kill(t, service)
		buys(t, s, ann, lamp)
	}
	well(t)
	audit(t)
	step("two of orders")
	run(t, "docker compose up --detach --no-recreate --scale orders=2 --scale orders-daprd=2")
	well(t)
	buys(t, s, ann, lamp)
	if end := os.Getenv("ENGINE_KILL"); end != "" {
		step("the engine dies")
		run(t, end)
		run(t, os.Getenv("ENGINE_START"))
		well(t)
		buys(t, s, ann, lamp)
	}
	step("all restarted")
	run(t, "docker compose restart")
	well(t)
	buys(t, s, ann, lamp)
	step("down and up")
	run(t, "docker compose down")
	run(t, "docker compose up --detach")
	well(t)
	require.Positive(t, lamp.Stock(t).Available)
	buys(t, s, ann, lamp)
	audit(t)
	step("done")
}
