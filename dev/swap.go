package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// servers are the parts of the infrastructure that run only when a component
// of that type is plugged in.
var servers = map[string][]string{
	"pubsub.rabbitmq":  {"epmd", "rabbitmq"},
	"pubsub.jetstream": {"nats"},
	"pubsub.kafka":     {"kafka"},
	"pubsub.redis":     {"redis"},
	"state.redis":      {"redis"},
	"bindings.smtp":    {"maildev"},
	"bindings.mailer":  {"maildev"},
	"bindings.aws.s3":  {"s3"},
}

// component is what this program reads of a component's file.
type component struct {
	Kind     string   `yaml:"kind"`
	Scopes   []string `yaml:"scopes"`
	Metadata struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		Type     string `yaml:"type"`
		Metadata []struct {
			Secret struct {
				Name string `yaml:"name"`
			} `yaml:"secretKeyRef"`
			Env string `yaml:"envRef"`
		} `yaml:"metadata"`
	} `yaml:"spec"`
}

// plugged are the components in effect: those of components/, with the files
// of each swap laid over them.
type plugged struct {
	files map[string]string // by file name
	types map[string]string // component name → type
	names []string          // settings that they take hosts and passwords from
}

// plug reads the components that swaps, names of folders in components/swaps
// with commas between, make of those in components/.
func plug(root, swaps string) (*plugged, error) {
	dir := filepath.Join(root, "components")
	p := &plugged{files: map[string]string{}, types: map[string]string{}}
	if err := p.read(dir, nil); err != nil {
		return nil, err
	}
	by := map[string]string{}
	for name := range strings.SplitSeq(swaps, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		folder := filepath.Join(dir, "swaps", name)
		if !exists(folder) || name != filepath.Base(name) {
			return nil, fmt.Errorf("there is no swap %q; there are %s", name, progress.List(swapNames(root)))
		}
		err := p.read(folder, func(file string) error {
			if by[file] != "" {
				return fmt.Errorf("the swaps %s and %s both replace %s: choose one", by[file], name, file)
			}
			by[file] = name
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return p, p.resolve()
}

// resolve works out from the files what is plugged in.
func (p *plugged) resolve() error {
	for _, file := range sorted(p.files) {
		var c component
		if err := yaml.Unmarshal([]byte(p.files[file]), &c); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		p.types[c.Metadata.Name] = c.Spec.Type
		for _, m := range c.Spec.Metadata {
			for _, key := range []string{m.Secret.Name, m.Env} {
				if key != "" && !slices.Contains(p.names, key) {
					p.names = append(p.names, key)
				}
			}
		}
	}
	return nil
}

func (p *plugged) read(dir string, replaces func(file string) error) error {
	found, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, path := range found {
		file := filepath.Base(path)
		if replaces != nil {
			if err := replaces(file); err != nil {
				return err
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		p.files[file] = string(text)
	}
	return nil
}

// swapNames are the folders that SWAP may name.
func swapNames(root string) []string {
	var names []string
	entries, _ := os.ReadDir(filepath.Join(root, "components", "swaps"))
	for _, e := range entries {
		if found, _ := filepath.Glob(filepath.Join(root, "components", "swaps", e.Name(), "*.yaml")); len(found) > 0 {
			names = append(names, e.Name())
		}
	}
	return names
}

// uses reports whether a component of that type is plugged in.
func (p *plugged) uses(kind string) bool {
	return slices.Contains(slices.Collect(maps.Values(p.types)), kind)
}

// needs reports whether a part of the infrastructure has to run. Where it is
// not known what is plugged in, any part may.
func (p *plugged) needs(part string) bool {
	if p == nil {
		return true
	}
	optional := false
	for kind, parts := range servers {
		if slices.Contains(parts, part) {
			if p.uses(kind) {
				return true
			}
			optional = true
		}
	}
	return !optional
}

// needs reports whether this stack runs a part of the infrastructure.
func (s *stack) needs(part string) bool {
	if part == "proxies" {
		return s.proxied
	}
	return s.plugged.needs(part)
}

// broker is the component type behind pubsub.
func (p *plugged) broker() string { return p.types["pubsub"] }

// writeTo writes the components to a folder, and removes others from it.
func (p *plugged) writeTo(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if _, ok := p.files[filepath.Base(path)]; !ok {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	for _, file := range sorted(p.files) {
		if err := writeFile(filepath.Join(dir, file), p.files[file], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// secretsInEnvironment reports whether components take hosts and passwords
// from the sidecar's environment, as they do unless a swap changes that.
func (p *plugged) secretsInEnvironment() bool {
	return p.types["secrets"] == "secretstores.local.env"
}

// layOut writes the components in effect where the sidecars read them and, for
// a secret store that is a file, that file, which does not stay behind in the
// run folder when another one is chosen.
func (s *stack) layOut() error {
	if err := s.plugged.writeTo(s.componentsDir()); err != nil {
		return err
	}
	own, file := s.secretsFile(), s.settings.get("SECRETS_FILE")
	if file != own || s.plugged.secretsInEnvironment() {
		if err := os.Remove(own); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if s.plugged.secretsInEnvironment() || file == "" {
		return nil
	}
	secrets := map[string]string{}
	for _, key := range s.plugged.names {
		if s.settings.has(key) && key != "SECRETS_FILE" {
			secrets[key] = s.settings.get(key)
		}
	}
	text, err := json.MarshalIndent(secrets, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(file, string(text)+"\n", 0o600)
}

// secretsFile is where SECRETS_FILE is unless the user moves it.
func (s *stack) secretsFile() string { return filepath.Join(s.run, "secrets.json") }

// componentsDir holds the components in effect, where the sidecars read them.
func (s *stack) componentsDir() string { return filepath.Join(s.run, "components") }

// choose takes SWAP from the environment into the settings, where it stays
// for the next make up; SWAP=default, or an empty one, is components/ as it is.
// It returns what was chosen before. GATEWAY, the gateways behind the front,
// is taken in the same way; its default is the one in Nginx.
func (s *stack) choose() (before string, err error) {
	before = s.settings.get("SWAP")
	if gateway := os.Getenv("GATEWAY"); gateway != "" {
		if gateway == "default" {
			gateway = s.at(portGateway)
		}
		if err := s.settings.put("GATEWAY", gateway); err != nil {
			return before, err
		}
	}
	given, ok := os.LookupEnv("SWAP")
	if !ok {
		return before, nil
	}
	if given == "default" {
		given = ""
	}
	if _, err := plug(s.root, given); err != nil {
		return before, err
	}
	return before, s.settings.put("SWAP", given)
}

// unplug goes back to what was chosen before, after a make up that failed
// before anything used the new components: servers that only those need are
// stopped again.
func (s *stack) unplug(ctx context.Context, before string) error {
	if before == s.settings.get("SWAP") {
		return nil
	}
	if err := s.settings.put("SWAP", before); err != nil {
		return err
	}
	st, _, err := s.supervisor().State()
	if err != nil || !st.Supervised() {
		return err
	}
	if err := s.plugIn(); err != nil {
		return err
	}
	return s.retire(ctx)
}

// plugIn works out the components in effect and adds the settings that only
// they need.
func (s *stack) plugIn() error {
	var err error
	if s.plugged, err = plug(s.root, s.settings.get("SWAP")); err != nil {
		return err
	}
	for _, d := range swapSettings(s) {
		if slices.Contains(s.plugged.names, d.key) && !s.settings.has(d.key) {
			if err := s.settings.put(d.key, d.value); err != nil {
				return err
			}
		}
	}
	if lacking := s.lacking(); len(lacking) > 0 {
		return &supervise.Failure{Line: fmt.Sprintf("what is plugged in (%s) wants a value for %s in %s", s.settings.get("SWAP"), progress.List(lacking), s.settings.file),
			Lines: []string{"nothing was changed; SWAP=default make up goes on without it"}}
	}
	return nil
}

// lacking are the settings that what is plugged in names, that nobody can
// guess, and that are still empty.
func (s *stack) lacking() (keys []string) {
	for _, d := range swapSettings(s) {
		if d.value == "" && slices.Contains(s.plugged.names, d.key) && s.settings.get(d.key) == "" {
			keys = append(keys, d.key)
		}
	}
	return keys
}

// drain lets the shop come to rest before its events go another way: the edge
// closes (whoever comes is told to try again), what is in the outboxes is
// sent, and what the old broker holds is handled. startApps opens the edge
// again. It does nothing unless sidecars run on another broker.
func (s *stack) drain(ctx context.Context, apps []app) (err error) {
	was := &plugged{files: map[string]string{}, types: map[string]string{}}
	if err := errors.Join(was.read(s.componentsDir(), nil), was.resolve()); err != nil {
		return err
	}
	from, to := was.broker(), s.plugged.broker()
	if from == "" || from == to {
		return nil
	}
	st, _, err := s.supervisor().State()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(st.Processes, func(r supervise.Record) bool { return r.Stage == stageApp && r.PID != 0 }) {
		s.out.Say("drain", "from %s to %s: nothing runs, so what the old broker still holds stays there", from, to)
		return nil
	}
	waiting, ok := map[string]func(context.Context) (int, error){
		"pubsub.rabbitmq":  s.rabbitmqWaiting,
		"pubsub.jetstream": s.natsWaiting,
		"pubsub.kafka":     s.kafkaWaiting,
		"pubsub.redis":     s.redisWaiting,
	}[from]
	if !ok {
		return fmt.Errorf("nobody can tell when %s is empty: make down, then make up", from)
	}
	var edges []supervise.Process
	for _, a := range apps {
		if a.edge() {
			list, err := s.processes(ctx, a, apps)
			if err != nil {
				return err
			}
			edges = append(edges, list...)
		}
	}
	defer func() {
		if err == nil {
			return
		}
		for _, p := range edges {
			if _, again := s.supervisor().Ensure(context.WithoutCancel(ctx), p); again != nil {
				err = errors.Join(err, again)
			}
		}
	}()
	return s.out.Step(ctx, "drain", fmt.Sprintf("closing the edge until %s has nothing left for %s", from, to), func(ctx context.Context) error {
		if err := s.supervisor().Stop(ctx, false, names(edges)...); err != nil {
			return err
		}
		why, quiet := "", 0
		for deadline := time.Now().Add(2 * time.Minute); quiet < 2; {
			unsent, err := s.unsent(ctx)
			if err != nil {
				return err
			}
			held, err := waiting(ctx)
			switch {
			case unsent > 0:
				quiet, why = 0, fmt.Sprintf("%d events are not sent", unsent)
			case err != nil:
				quiet, why = 0, err.Error()
			case held > 0:
				quiet, why = 0, fmt.Sprintf("%d events are not handled", held)
			default:
				quiet++ // handling may have said something new: both again
			}
			if quiet < 2 && time.Now().After(deadline) {
				return &supervise.Failure{Line: from + " does not run dry: " + why, Lines: []string{
					"the shop goes on as it was",
					"to switch all the same and leave those events behind: make down, then make up with SWAP",
				}}
			}
			if !supervise.Pause(ctx, 200*time.Millisecond) {
				return ctx.Err()
			}
		}
		return nil
	})
}

// unsent counts the events that wait in the services' outboxes.
func (s *stack) unsent(ctx context.Context) (int, error) {
	total := 0
	for _, l := range s.settings.lines {
		app, ok := strings.CutSuffix(l.key, "_DATABASE_URL")
		if !ok || !exists(filepath.Join(s.root, "apps", strings.ToLower(app), "migrations")) {
			continue
		}
		db, err := connect(ctx, l.value)
		if err != nil {
			return 0, err
		}
		n := 0
		err = db.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE sent_at IS NULL`).Scan(&n)
		if err := errors.Join(err, db.Close(ctx)); err != nil {
			return 0, fmt.Errorf("%s: %w", l.key, err)
		}
		total += n
	}
	return total, nil
}

// retire stops the parts of the infrastructure that nothing needs any more.
func (s *stack) retire(ctx context.Context) error {
	st, _, err := s.supervisor().State()
	if err != nil {
		return err
	}
	for _, r := range st.Processes {
		if infraPorts[r.Name] == nil || s.plugged.needs(r.Name) {
			continue
		}
		if err := s.supervisor().Stop(ctx, false, r.Name); err != nil {
			return err
		}
		s.out.Say(r.Name, "stopped: nothing that is plugged in needs it; its data stays")
	}
	return nil
}
