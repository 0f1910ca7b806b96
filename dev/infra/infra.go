// Package infra describes the servers that a shop runs on, one file a server:
// folders, configuration, arguments, and what each wants done once it is up.
// It starts them in their order, and says when a broker that is to be replaced
// has run dry.
//
// It imports stack, install, progress and supervise.
package infra

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// Servers are those of one stack.
type Servers struct{ *stack.Stack }

// Describe returns the infrastructure's processes by their names, with everything
// on disk that they need to start.
func (s Servers) Describe(ctx context.Context, apps []stack.App) (map[string]supervise.Process, error) {
	parts := map[string]supervise.Process{}
	for name, describe := range map[string]func() (supervise.Process, error){
		"proxies":         s.proxies,
		"postgres":        func() (supervise.Process, error) { return s.postgres(ctx) },
		stack.WALReceiver: s.walReceiver,
		"redis":           s.redis,
		"epmd":            s.epmd,
		"rabbitmq":        s.rabbitmq,
		"nats":            s.nats,
		"kafka":           func() (supervise.Process, error) { return s.kafka(ctx) },
		"s3":              s.s3,
		"maildev":         s.maildev,
		"sentry":          s.authority,
		"keycloak":        func() (supervise.Process, error) { return s.keycloak(ctx) },
		"keys":            s.keys,
		"nginx":           func() (supervise.Process, error) { return s.nginx(ctx, apps) },

		"prometheus":        func() (supervise.Process, error) { return s.prometheus(apps) },
		"alertmanager":      s.alertmanager,
		"node-exporter":     s.nodeExporter,
		"postgres-exporter": s.postgresExporter,
		"redis-exporter":    s.redisExporter,
		"zipkin":            s.zipkin,
	} {
		if !s.Needs(name) {
			continue
		}
		p, err := describe()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		p.Name = name
		parts[name] = p
	}
	return parts, nil
}

// Start starts the infrastructure, everything at once that does not wait
// for another part, and returns when all of it is well.
func (s Servers) Start(ctx context.Context, apps []stack.App) error {
	if err := s.renewAuthority(); err != nil {
		return err
	}
	parts, err := s.Describe(ctx, apps)
	if err != nil {
		return err
	}
	if p, needed := parts["proxies"]; needed { // the others are reached through them
		if _, err := s.Supervisor().Ensure(ctx, p); err != nil {
			return err
		}
		if err := s.Supervisor().Await(ctx, []supervise.Process{p}, 10*time.Second, p.Name); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	one := func(name string, limit time.Duration, then func(ctx context.Context) error) {
		if _, needed := parts[name]; !needed {
			return
		}
		g.Go(func() error {
			p, begun := parts[name], time.Now()
			answer, err := s.Supervisor().Ensure(gctx, p)
			if err != nil {
				return err
			}
			if err := s.Supervisor().Await(gctx, []supervise.Process{p}, limit, p.Name); err != nil {
				return err
			}
			if then != nil {
				if err := then(gctx); err != nil {
					return fmt.Errorf("%s: %w", p.Name, err)
				}
			}
			if answer != "" {
				s.Out.Say(p.Name, "%s in %.1f s", answer, time.Since(begun).Seconds())
			}
			return nil
		})
	}
	one("postgres", 60*time.Second, func(ctx context.Context) error {
		if err := s.databases(ctx); err != nil {
			return err
		}
		if err := s.archive(ctx); err != nil {
			return err
		}
		one("keycloak", 180*time.Second, func(ctx context.Context) error {
			one("keys", 10*time.Second, nil) // it reads Keycloak's
			return s.realmAnswers(ctx)
		})
		return nil
	})
	one("redis", 30*time.Second, nil)
	one("epmd", 20*time.Second, func(context.Context) error {
		one("rabbitmq", 90*time.Second, nil)
		return nil
	})
	one("nats", 30*time.Second, s.streams)
	one("kafka", 60*time.Second, nil)
	one("maildev", 30*time.Second, nil)
	for _, name := range stack.Watchers {
		one(name, 60*time.Second, nil)
	}
	one("sentry", 30*time.Second, func(context.Context) error {
		anchors, err := os.ReadFile(filepath.Join(s.Data, "sentry", "ca.crt"))
		if err != nil {
			return err
		}
		return s.Settings.Put("DAPR_TRUST_ANCHORS", strings.TrimSpace(string(anchors)))
	})
	// Pictures are where Nginx will look for them before it does.
	front := func(ctx context.Context) error {
		if err := s.CollectPictures(ctx); err != nil {
			return err
		}
		one("nginx", 30*time.Second, nil)
		return nil
	}
	one("s3", 30*time.Second, func(ctx context.Context) error {
		if err := s.bucket().make(ctx); err != nil {
			return err
		}
		return front(ctx)
	})
	if !s.Plugged.Needs("s3") {
		if err := front(ctx); err != nil {
			return err
		}
	}
	return g.Wait()
}

// Folders makes the data folders with the owners that PostgreSQL, Redis and
// RabbitMQ insist on, and links them from the run folder.
func (s Servers) Folders() error {
	for _, f := range []struct {
		name, owner string
		mode        fs.FileMode
	}{
		{".", "", 0o755},
		{"postgres", "postgres", 0o700},
		{"redis", "redis", 0o750},
		{"rabbitmq", "rabbitmq", 0o750},
		{"sentry", "", 0o700},
		{"maildev", "", 0o755},
		{"media", "", 0o755},
		{"static", "", 0o755},
		{"prometheus", "prometheus", 0o755},
		{"alertmanager", "prometheus", 0o755},
		{"zipkin", "", 0o755},
	} {
		dir := filepath.Join(s.Data, f.name)
		if err := os.MkdirAll(dir, f.mode); err != nil {
			return err
		}
		if err := os.Chmod(dir, f.mode); err != nil {
			return err
		}
		if f.owner == "" || !s.Needs(f.name) {
			continue // the owner may not exist where the server was never needed
		}
		who, err := supervise.Credential(f.owner)
		if err != nil {
			return err
		}
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	link := filepath.Join(s.Run, "data")
	if target, err := os.Readlink(link); err == nil && target == s.Data {
		return nil
	}
	os.Remove(link)
	return os.Symlink(s.Data, link)
}

// ownedFile writes a file that holds a secret for the user that reads it.
func ownedFile(name, text, owner string) error {
	if err := stack.WriteFile(name, text, 0o600); err != nil {
		return err
	}
	who, err := supervise.Credential(owner)
	if err != nil {
		return err
	}
	return os.Chown(name, int(who.Uid), int(who.Gid))
}
