package infra

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

const nginxUser = "www-data"

// nginx returns the front, with its configuration rendered from deploy/nginx
// and, where pictures come from, one folder of deploy/media.
func (s Servers) nginx(ctx context.Context, list []stack.App) (supervise.Process, error) {
	if err := s.writeStatic(); err != nil {
		return supervise.Process{}, err
	}
	dir := filepath.Join(s.Data, "nginx")
	values := map[string]string{
		"RUN_DIR": dir, "NGINX_USER": nginxUser,
		"LISTEN_FRONT": s.At(stack.PortFront), "LISTEN_GATEWAY": s.At(stack.PortGateway), "LISTEN_KEYS": s.At(stack.PortKeys),
		"KEYCLOAK": s.At(stack.PortKeycloak),
	}
	for key, value := range s.Settings.All() {
		if values[key] == "" {
			values[key] = value
		}
	}
	for _, address := range strings.Fields(s.Settings.Get("GATEWAY")) {
		values["GATEWAY_SERVERS"] += "server " + address + "; "
	}
	edges, err := s.readyEdges(list)
	if err != nil {
		return supervise.Process{}, err
	}
	maps.Copy(values, edges)
	media, pictures, err := s.media()
	if err != nil {
		return supervise.Process{}, err
	}
	maps.Copy(values, pictures)
	rendered := ""
	for _, from := range []string{"nginx", filepath.Join("media", media)} {
		stamp, err := render(filepath.Join(s.Root, "deploy", from), dir, values, 0o600)
		if err != nil {
			return supervise.Process{}, err
		}
		rendered = supervise.Digest(rendered + stamp)
	}
	args := []string{"/usr/sbin/nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr"}
	// A mistake in the configuration is better found while the old one runs.
	if err := supervise.Run(ctx, s.LogFile("nginx-test"), exec.CommandContext(ctx, args[0], append(args[1:], "-t")...)); err != nil {
		return supervise.Process{}, err
	}
	return supervise.Process{
		Dir: dir, Env: stack.Environment(), Args: args,
		Signal: syscall.SIGQUIT, Patience: 3 * time.Second, Stage: stack.StageFront, // SIGQUIT: requests in flight end
		Health: "tcp:" + s.At(stack.PortFront), Stamp: rendered,
	}, nil
}

// render copies a folder. Files ending in .template lose that ending and get
// every ${NAME} in them replaced; a name without a value is an error. They get
// mode filled, which is 0600 where one of the values is a secret. It returns a
// text that changes with what was written.
func render(from, to string, values map[string]string, filled fs.FileMode) (stamp string, err error) {
	err = filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".md") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		name, isTemplate := strings.CutSuffix(name, ".template")
		if isTemplate {
			if text, err = fill(text, values); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			mode = filled
		}
		target := filepath.Join(to, name)
		if name == edgesFile { // which has secrets, and which the workers read again by themselves
			return ownedFile(target, string(text), nginxUser)
		}
		stamp = supervise.Digest(stamp + name + string(text))
		if old, err := os.ReadFile(target); err == nil && string(old) == string(text) {
			return os.Chmod(target, mode)
		}
		return stack.WriteFile(target, string(text), mode)
	})
	return stamp, err
}

func fill(text []byte, values map[string]string) ([]byte, error) {
	var missing []string
	filled := stack.Variable.ReplaceAllFunc(text, func(name []byte) []byte {
		value, ok := values[string(name[2:len(name)-1])]
		if !ok && !slices.Contains(missing, string(name)) {
			missing = append(missing, string(name))
		}
		return []byte(value)
	})
	if len(missing) > 0 {
		return nil, fmt.Errorf("no value for %s", progress.List(missing))
	}
	return filled, nil
}

// writeStatic puts what Nginx serves by itself into STATIC_DIR: the shop's
// OpenAPI document and the page that shows it. What is there already as it
// should be is left alone.
func (s Servers) writeStatic() error {
	dir := s.Settings.Get("STATIC_DIR")
	page := filepath.Join(s.Root, "deploy", "nginx", "docs")
	for to, from := range map[string]string{
		"api/openapi.json":        filepath.Join(s.Root, "docs", "openapi.json"),
		"api/docs.html":           filepath.Join(page, "docs.html"),
		"static/docs/docs.js":     filepath.Join(page, "docs.js"),
		"static/docs/docs.css":    filepath.Join(page, "docs.css"),
		"static/docs/problems.md": filepath.Join(s.Root, "docs", "problems.md"),
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		to = filepath.Join(dir, to)
		if old, err := os.ReadFile(to); err == nil && bytes.Equal(old, text) {
			continue
		}
		if err := stack.WriteFile(to, string(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
