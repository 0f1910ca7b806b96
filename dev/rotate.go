package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/dapr/authority"
	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// rolledAtOnce is how many apps are started again beside each other: each has its processors' share of starting, and the shop
// sells meanwhile.
const rolledAtOnce = 3

const (
	authorityKey = "DAPR_TRUST_ANCHORS" // names sentry's authority among the keys
	realmKey     = "REALM_KEY"          // names the key that Keycloak signs tokens with, which is no setting
)

// twoKeys are settings that may be two, of which the first makes and both are believed. The old one goes when told: what it
// has signed is out.
var twoKeys = []string{"CURSOR_KEY", "HASH_KEY", "PAYMENTS_WEBHOOK_SECRET", "DROPS_KEY", "DROPS_HEAD_KEY"}

// clients are Keycloak's, by the settings with their secrets.
var clients = map[string]string{"AUTH_CLIENT_SECRET": "auth", "STORE_CLIENT_SECRET": "storefront", "ADMIN_CLIENT_SECRET": "backoffice"}

// rotate puts another secret in the place of one, while the shop sells, such that no request is refused for it
// (docs/operations.md). Without a key it brings into effect what was changed in the settings by hand. Forget drops the old one
// of two.
func (s *shop) rotate(ctx context.Context, key string, forget bool) error {
	return s.locked(func() error {
		if key == realmKey {
			next, err := s.RotateRealmKey(ctx, time.Now(), forget)
			if err == nil {
				s.Out.Say("rotate", "%s", next)
			}
			return err
		}
		// What an earlier one has begun, or people have changed, first: from here on only one thing is changed.
		if err := s.roll(ctx, nil); err != nil || key == "" {
			return err
		}
		begun := time.Now()
		if err := s.exchange(ctx, key, forget); err != nil {
			return err
		}
		s.Out.Say("rotate", "%s is another one, after %.0f s", key, time.Since(begun).Seconds())
		return nil
	})
}

func (s *shop) exchange(ctx context.Context, key string, forget bool) error {
	before := s.Settings.Get(key)
	switch {
	case before == "":
		return fmt.Errorf("there is no setting %q with a value", key)
	case (key == "DAPR_API_TOKEN" || key == "DROPS_KEY") && s.Settings.Get("GATEWAY") != s.At(stack.PortGateway):
		return fmt.Errorf("the gateway has %s, too, and GATEWAY is another one than ours: docs/operations.md says how", key)
	case slices.Contains(twoKeys, key):
		return s.rotateTwo(ctx, key, forget)
	case forget:
		return fmt.Errorf("of %s there is no old one that is believed; there is of %s", key, progress.List(twoKeys))
	case key == authorityKey:
		return s.rotateAuthority(ctx)
	case clients[key] != "":
		return s.rotateClient(ctx, key)
	case key == "DAPR_API_TOKEN", key == "APP_API_TOKEN":
		if err := s.Settings.Put(key, stack.Secret()); err != nil {
			return err
		}
		return s.roll(ctx, nil)
	case key == "POSTGRES_SUPERUSER_URL":
		if err := s.ChangePassword(ctx, key, func() error { return nil }); err != nil {
			return err
		}
		return s.roll(ctx, nil)
	case key == "KEYCLOAK_DATABASE_URL":
		return s.ChangeKeycloakPassword(ctx)
	case strings.HasSuffix(key, "_DATABASE_URL"):
		return s.rotateBy(ctx, key, "", func(ctx context.Context) (string, func(context.Context) error, error) {
			return s.AddLogin(ctx, key)
		})
	case key == "RABBITMQ_URL" && s.Needs("rabbitmq"):
		return s.rotateBy(ctx, key, "rabbitmq", s.AddBrokerUser)
	case key == "REDIS_PASSWORD" && s.Needs("redis"):
		return s.rotateBy(ctx, key, "redis", s.AddRedisPassword)
	case key == "KEYCLOAK_ADMIN_PASSWORD":
		return s.rotateAdmin(ctx)
	}
	return fmt.Errorf("how %s becomes another one docs/operations.md says (Rotating secrets)", key)
}

// rotateBy is for what two secrets are good at while everybody is told the second: add makes that one, end takes the first
// away. Server is the part that knows them, where it would be started again for the setting.
func (s *shop) rotateBy(
	ctx context.Context, key, server string, add func(context.Context) (value string, end func(context.Context) error, err error),
) error {
	value, end, err := add(ctx)
	if err != nil {
		return err
	}
	if err := s.Settings.Put(key, value); err != nil {
		return err
	}
	if server != "" {
		if err := s.told(ctx, server); err != nil {
			return err
		}
	}
	if err := s.roll(ctx, nil); err != nil {
		return err
	}
	return end(ctx)
}

// rotateTwo has everybody believe the new one, then has it used. What the old one has signed stays good until it is forgotten.
func (s *shop) rotateTwo(ctx context.Context, key string, forget bool) error {
	current, _, two := strings.Cut(s.Settings.Get(key), ",")
	if forget {
		return s.putTwo(ctx, key, current)
	}
	if two {
		return fmt.Errorf("of %s two are believed already, and what the old one has signed would be lost with a third: "+
			"make rotate KEY=%[1]s FORGET=true first, when that is over (docs/operations.md, Rotating secrets)", key)
	}
	fresh := stack.Secret()
	if err := s.putTwo(ctx, key, current+","+fresh); err != nil {
		return err
	}
	if err := s.putTwo(ctx, key, fresh+","+current); err != nil {
		return err
	}
	s.Out.Say("rotate", "the old one is believed until make rotate KEY=%s FORGET=true: not before what it has signed is over", key)
	return nil
}

// putTwo brings a value into effect; the gateway knows one of these keys, too.
func (s *shop) putTwo(ctx context.Context, key, value string) error {
	if err := s.Settings.Put(key, value); err != nil {
		return err
	}
	apps, err := s.LoadApps()
	if err != nil {
		return err
	}
	if err := s.ListEdges(apps); err != nil {
		return err
	}
	return s.roll(ctx, nil)
}

// rotateAuthority has sidecars know each other by another authority: first everybody trusts both, then everybody has a
// certificate of the new one, then nobody trusts the old one.
func (s *shop) rotateAuthority(ctx context.Context) error {
	fresh, err := authority.New(time.Now())
	if err != nil {
		return err
	}
	old := strings.TrimSpace(s.Settings.Get(authorityKey)) + "\n"
	for _, step := range []func() error{
		func() error { return s.Trust(old + fresh.Root) },
		func() error { return s.Reissue(ctx, fresh, fresh.Root+old) },
		func() error { return s.Trust(fresh.Root) },
	} {
		if err := step(); err != nil {
			return err
		}
		if err := s.roll(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// rotateClient gives one of Keycloak's clients another secret. Who uses it has both before; the back office's sidecar, which
// can have one, is another one from the moment on.
func (s *shop) rotateClient(ctx context.Context, key string) error {
	fresh := stack.Secret()
	set := func(ctx context.Context) error { return s.SetClientSecret(ctx, clients[key], fresh) }
	if key == "ADMIN_CLIENT_SECRET" {
		if err := s.Settings.Put(key, fresh); err != nil {
			return err
		}
		if err := s.roll(ctx, set); err != nil {
			return err
		}
		return s.told(ctx, "keycloak")
	}
	if err := s.Settings.Put(key, s.Settings.Get(key)+","+fresh); err != nil {
		return err
	}
	if err := s.roll(ctx, nil); err != nil {
		return err
	}
	if err := set(ctx); err != nil {
		return err
	}
	if err := s.Settings.Put(key, fresh); err != nil {
		return err
	}
	if err := s.told(ctx, "keycloak"); err != nil {
		return err
	}
	return s.roll(ctx, nil)
}

func (s *shop) rotateAdmin(ctx context.Context) error {
	fresh := stack.Secret()
	if err := s.SetAdminPassword(ctx, fresh); err != nil {
		return err
	}
	if err := s.Settings.Put("KEYCLOAK_ADMIN_PASSWORD", fresh); err != nil {
		return err
	}
	return s.told(ctx, "keycloak")
}

func (s *shop) told(ctx context.Context, server string) error {
	apps, err := s.LoadApps()
	if err != nil {
		return err
	}
	return s.Told(ctx, apps, server)
}

// roll starts again every instance that would run differently by the settings as they are now, one of an app at a time. Of
// what there is one alone another one runs meanwhile, so that no request is refused. Ready, if it is not nil, is called when
// those of the edges run, before anything reaches them.
func (s *shop) roll(ctx context.Context, ready func(context.Context) error) error {
	apps, err := s.LoadApps()
	if err != nil {
		return err
	}
	st, _, err := s.Supervisor().State()
	if err != nil {
		return err
	}
	stale := map[string][]part{} // by app
	var edges, spares []stack.App
	for _, a := range apps {
		p, err := s.partOf(a, apps)
		if err != nil {
			return err
		}
		changed := slices.ContainsFunc(p.processes, func(p supervise.Process) bool { return !st.Runs(p) })
		if !changed || !st.Keeps(p.processes[0].Name) { // or people have stopped it
			continue
		}
		stale[a.ID] = append(stale[a.ID], p)
		if a.Edge() {
			edges = append(edges, a)
		}
	}
	number := map[string]int{}
	for _, a := range apps {
		number[a.ID]++
	}
	spare := map[string]stack.App{}
	for _, a := range s.Surplus(apps) {
		if _, has := spare[a.ID]; !has && stale[a.ID] != nil && (a.Edge() || number[a.ID] == 1) {
			spare[a.ID], spares = a, append(spares, a)
		}
	}
	all := slices.Concat(apps, spares)
	if len(spares) > 0 {
		if err := s.CheckPorts(all); err != nil {
			return err
		}
		if err := s.CheckConnections(all); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(rolledAtOnce)
	for _, id := range slices.Sorted(maps.Keys(stale)) {
		if stale[id][0].app.Edge() {
			continue
		}
		g.Go(func() error {
			one, has := spare[id]
			if !has {
				return s.replace(gctx, all, stale[id])
			}
			p, err := s.partOf(one, all)
			if err != nil {
				return err
			}
			if err := s.run(gctx, p.name, p.processes); err != nil {
				return err
			}
			if err := s.replace(gctx, all, stale[id]); err != nil {
				return err
			}
			return s.stopPart(gctx, all, p)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := s.rollEdges(ctx, apps, edges, spare, ready); err != nil {
		return err
	}
	return s.Renew(ctx, apps)
}

// replace stops and starts the instances of one app, one after another.
func (s *shop) replace(ctx context.Context, apps []stack.App, list []part) error {
	for _, p := range list {
		if err := s.stopPart(ctx, apps, p); err != nil {
			return err
		}
		if err := s.run(ctx, p.name, p.processes); err != nil {
			return err
		}
		s.Out.Say(p.name, "ready")
	}
	return nil
}

// rollEdges starts sidecars of the edge again. All change at one moment from those that run to spare ones, and back: the
// gateway has one token for all.
func (s *shop) rollEdges(
	ctx context.Context, apps, edges []stack.App, spare map[string]stack.App, ready func(context.Context) error,
) error {
	if len(edges) == 0 {
		return nil
	}
	var spares []stack.App
	var old, meanwhile []supervise.Process
	for _, a := range edges {
		list, err := s.Processes(a, apps)
		if err != nil {
			return err
		}
		old = append(old, list...)
		one, has := spare[a.ID]
		if !has {
			return fmt.Errorf("%s has as many instances as there can be: make scale APP=%s with one less first", a.ID, a.ID)
		}
		if a.Instance > 1 {
			continue
		}
		if list, err = s.Processes(one, apps); err != nil {
			return err
		}
		meanwhile, spares = append(meanwhile, list...), append(spares, one)
	}
	if err := s.run(ctx, "edges", meanwhile); err != nil {
		return err
	}
	if ready != nil {
		if err := ready(ctx); err != nil {
			return err
		}
	}
	all := slices.Concat(apps, spares)
	if err := s.Relieve(ctx, all, edges...); err != nil {
		return err
	}
	if err := s.Supervisor().Stop(ctx, false, supervise.Names(old)...); err != nil {
		return err
	}
	if err := s.run(ctx, "edges", old); err != nil {
		return err
	}
	if err := s.Relieve(ctx, all, spares...); err != nil {
		return err
	}
	if err := s.Supervisor().Stop(ctx, false, supervise.Names(meanwhile)...); err != nil {
		return err
	}
	s.Out.Say("edges", "ready")
	return s.ListEdges(apps)
}

// rotateTest runs TestRotate on a shop that begins empty, and stops it.
func (s *shop) rotateTest(ctx context.Context) error {
	return s.onFresh(ctx, func(fresh *shop) error {
		env := []string{"GOWORK=off", "RUN_DIR=" + fresh.Run, "PORT_OFFSET=" + fresh.Settings.Get("PORT_OFFSET")}
		return fresh.goTest(ctx, filepath.Join(s.Root, "tests"), env, "-timeout=20m", "-v", "-tags=rotate", "-run=^TestRotate$", "./scale")
	})
}
