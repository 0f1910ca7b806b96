package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/stampede-shop/stampede/dev/install"
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

// Plugged are the components in effect: those of components/, with the files
// of each swap laid over them.
type Plugged struct {
	files map[string]string   // by file name
	types map[string]string   // component name → type
	scope map[string][]string // component name → apps; none where it is for all
	names []string            // settings that they take hosts and passwords from
}

// Plug reads the components that swaps, names of folders in components/swaps
// with commas between, make of those in components/.
func Plug(root, swaps string) (*Plugged, error) {
	dir := filepath.Join(root, "components")
	p := &Plugged{files: map[string]string{}, types: map[string]string{}, scope: map[string][]string{}}
	if err := p.read(dir, nil); err != nil {
		return nil, err
	}
	by := map[string]string{}
	for name := range strings.SplitSeq(swaps, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		folder := filepath.Join(dir, "swaps", name)
		if !install.Exists(folder) || name != filepath.Base(name) {
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
func (p *Plugged) resolve() error {
	for _, file := range slices.Sorted(maps.Keys(p.files)) {
		var c component
		if err := yaml.Unmarshal([]byte(p.files[file]), &c); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		p.types[c.Metadata.Name] = c.Spec.Type
		p.scope[c.Metadata.Name] = c.Scopes
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

func (p *Plugged) read(dir string, replaces func(file string) error) error {
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

// Uses reports whether a component of that type is plugged in.
func (p *Plugged) Uses(kind string) bool {
	return slices.Contains(slices.Collect(maps.Values(p.types)), kind)
}

// scoped reports whether the sidecars of an app load a component.
func (p *Plugged) scoped(name, app string) bool {
	return len(p.scope[name]) == 0 || slices.Contains(p.scope[name], app)
}

// Needs reports whether a part of the infrastructure has to run. Where it is
// not known what is plugged in, any part may.
func (p *Plugged) Needs(part string) bool {
	if p == nil {
		return true
	}
	optional := false
	for kind, parts := range servers {
		if slices.Contains(parts, part) {
			if p.Uses(kind) {
				return true
			}
			optional = true
		}
	}
	return !optional
}

// Watchers are the parts that make observe adds.
var Watchers = []string{"prometheus", "alertmanager", "node-exporter", "postgres-exporter", "redis-exporter", "zipkin"}

// WALReceiver is the part that fills WAL_ARCHIVE.
const WALReceiver = "wal-receiver"

// Needs reports whether this stack runs a part of the infrastructure.
func (s *Stack) Needs(part string) bool {
	switch part {
	case "proxies":
		return s.Proxied
	case "keys":
		return s.Bench
	case WALReceiver:
		return s.Settings.Get("WAL_ARCHIVE") != ""
	case install.Watch:
		return s.Watched
	}
	if slices.Contains(Watchers, part) {
		return s.Watched && (part != "redis-exporter" || s.Plugged.Needs("redis"))
	}
	return s.Plugged.Needs(part)
}

// Broker is the component type behind pubsub.
func (p *Plugged) Broker() string { return p.types["pubsub"] }

// writeTo writes the components to a folder, and removes others from it.
func (p *Plugged) writeTo(dir string) error {
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
	for _, file := range slices.Sorted(maps.Keys(p.files)) {
		if err := WriteFile(filepath.Join(dir, file), p.files[file], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// secretsInEnvironment reports whether components take hosts and passwords
// from the sidecar's environment, as they do unless a swap changes that.
func (p *Plugged) secretsInEnvironment() bool {
	return p.types["secrets"] == "secretstores.local.env"
}

// LayOut writes the components in effect where the sidecars read them and, for
// a secret store that is a file, that file, which does not stay behind in the
// run folder when another one is chosen.
func (s *Stack) LayOut() error {
	if err := s.Plugged.writeTo(s.componentsDir()); err != nil {
		return err
	}
	own, file := s.secretsFile(), s.Settings.Get("SECRETS_FILE")
	if file != own || s.Plugged.secretsInEnvironment() {
		if err := os.Remove(own); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if s.Plugged.secretsInEnvironment() || file == "" {
		return nil
	}
	secrets := map[string]string{}
	for _, key := range s.Plugged.names {
		if s.Settings.Has(key) && key != "SECRETS_FILE" {
			secrets[key] = s.Settings.Get(key)
		}
	}
	text, err := json.MarshalIndent(secrets, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(file, string(text)+"\n", 0o600)
}

// secretsFile is where SECRETS_FILE is unless the user moves it.
func (s *Stack) secretsFile() string { return filepath.Join(s.Run, "secrets.json") }

// componentsDir holds the components in effect, where the sidecars read them.
func (s *Stack) componentsDir() string { return filepath.Join(s.Run, "components") }

// Choose takes SWAP from the environment into the settings, where it stays
// for the next make up; SWAP=default, or an empty one, is components/ as it is.
// It returns what was chosen before. GATEWAY, the gateways behind the front,
// is taken in the same way; its default is the one in Nginx.
func (s *Stack) Choose() (before string, err error) {
	before = s.Settings.Get("SWAP")
	if gateway := os.Getenv("GATEWAY"); gateway != "" {
		if gateway == "default" {
			gateway = s.At(PortGateway)
		}
		if err := s.Settings.Put("GATEWAY", gateway); err != nil {
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
	if _, err := Plug(s.Root, given); err != nil {
		return before, err
	}
	return before, s.Settings.Put("SWAP", given)
}

// PlugIn works out the components in effect and adds the settings that only
// they need.
func (s *Stack) PlugIn() error {
	var err error
	if s.Plugged, err = Plug(s.Root, s.Settings.Get("SWAP")); err != nil {
		return err
	}
	for _, d := range swapSettings(s) {
		if slices.Contains(s.Plugged.names, d.key) && !s.Settings.Has(d.key) {
			if err := s.Settings.Put(d.key, d.value); err != nil {
				return err
			}
		}
	}
	if lacking := s.lacking(); len(lacking) > 0 {
		return &supervise.Failure{Line: fmt.Sprintf("what is plugged in (%s) wants a value for %s in %s", s.Settings.Get("SWAP"), progress.List(lacking), s.Settings.File),
			Lines: []string{"nothing was changed; SWAP=default make up goes on without it"}}
	}
	return nil
}

// lacking are the settings that what is plugged in names, that nobody can
// guess, and that are still empty.
func (s *Stack) lacking() (keys []string) {
	for _, d := range swapSettings(s) {
		if d.value == "" && slices.Contains(s.Plugged.names, d.key) && s.Settings.Get(d.key) == "" {
			keys = append(keys, d.key)
		}
	}
	return keys
}

// LaidOut are the components that the sidecars have read, as LayOut wrote them
// the last time; there are none before the first time.
func (s *Stack) LaidOut() (*Plugged, error) {
	p := &Plugged{files: map[string]string{}, types: map[string]string{}, scope: map[string][]string{}}
	return p, errors.Join(p.read(s.componentsDir(), nil), p.resolve())
}
