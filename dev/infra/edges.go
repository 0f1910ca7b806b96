package infra

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
	"github.com/stampede-shop/stampede/kit/pause"
)

// edgesFile tells the gateway which edge sidecars there are (deploy/nginx/lua/edges.lua).
const edgesFile = "edges.list"

func address(a stack.App) string { return "127.0.0.1:" + strconv.Itoa(a.HTTPPort) }

// readyEdges are the values for edgesFile: of each edge the sidecars that run
// and are not among those without, all of them when none is left; and what they
// and the tickets of drops are known by.
func (s Servers) readyEdges(apps []stack.App, without ...string) (map[string]string, error) {
	st, _, err := s.Supervisor().State()
	if err != nil {
		return nil, err
	}
	ready, all := map[string]string{}, map[string]string{}
	for _, a := range apps {
		if !a.Edge() {
			continue
		}
		key := a.EnvName()
		all[key] = strings.TrimSpace(all[key] + " " + address(a))
		runs := slices.ContainsFunc(st.Processes, func(r supervise.Record) bool { return r.Name == a.Name() && r.PID != 0 })
		if runs && !slices.Contains(without, a.Name()) {
			ready[key] = strings.TrimSpace(ready[key] + " " + address(a))
		}
	}
	for key := range all {
		if ready[key] == "" {
			ready[key] = all[key]
		}
	}
	for _, key := range []string{"DAPR_API_TOKEN", "DROPS_KEY"} {
		ready[key] = s.Settings.Get(key)
	}
	return ready, nil
}

// ListEdges makes the gateway use the edge sidecars that run, except those
// without, as far as another one is left.
func (s Servers) ListEdges(apps []stack.App, without ...string) error {
	values, err := s.readyEdges(apps, without...)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.Root, "deploy", "nginx", edgesFile+".template"))
	if err != nil {
		return err
	}
	if text, err = fill(text, values); err != nil {
		return fmt.Errorf("%s: %w", edgesFile, err)
	}
	return ownedFile(filepath.Join(s.Data, "nginx", edgesFile), string(text), nginxUser)
}

// Relieve takes edge sidecars away from the gateway, except where no other is
// left, and returns when they have nothing in hand any more: long polls take
// half a minute.
func (s Servers) Relieve(ctx context.Context, apps []stack.App, edges ...stack.App) error {
	var names []string
	for _, edge := range edges {
		names = append(names, edge.Name())
	}
	if err := s.ListEdges(apps, names...); err != nil {
		return err
	}
	values, err := s.readyEdges(apps, names...)
	if err != nil {
		return err
	}
	const gatewayLooks = 300 * time.Millisecond // three times as long as it takes it to read the list again
	pause.For(ctx, gatewayLooks)
	for _, edge := range edges {
		if slices.Contains(strings.Fields(values[edge.EnvName()]), address(edge)) {
			continue
		}
		if err := s.awaitIdle(ctx, edge); err != nil {
			return err
		}
	}
	return nil
}

func (s Servers) awaitIdle(ctx context.Context, edge stack.App) error {
	for deadline := time.Now().Add(35 * time.Second); time.Now().Before(deadline); {
		n, err := s.inHand(ctx, address(edge))
		if err != nil || n == 0 {
			//lint:ignore nilerr a gateway that does not answer sends nothing
			return nil
		}
		if !pause.For(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	s.Out.Say(edge.Name(), "some requests last longer than a long poll: they are cut off")
	return nil
}

// inHand is how many requests the gateway has at an edge sidecar.
func (s Servers) inHand(ctx context.Context, address string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.At(stack.PortKeys)+"/edges", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
		if name, n, ok := strings.Cut(scan.Text(), " "); ok && name == address {
			return strconv.Atoi(n)
		}
	}
	return 0, nil
}
