package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/stampede-shop/stampede/dapr/runfile"
	"github.com/stampede-shop/stampede/deploy/routes"
)

// shop is what everything else follows from.
type shop struct {
	root       string
	apps       []app // in the order of dapr/dapr.yaml, the edges among them
	routesText []byte
	public     routes.List
	components []component // those of components/, by file name
}

// app is an entry of dapr/dapr.yaml and what its code tells.
type app struct {
	runfile.App
	Database bool     // apps/<id>/migrations is there
	Summary  string   // the first sentence of its README
	text     []byte   // its OpenAPI document as it prints it
	doc      document // and what is read of it
}

// document is what is read of an OpenAPI document.
type document struct {
	Consumes []string                        `json:"x-consumes"`
	Settings []setting                       `json:"x-settings"`
	Paths    map[string]map[string]operation `json:"paths"`
}

// setting is what a service reads from its environment (kit/settings).
type setting struct {
	Name     string   `json:"name"`
	Default  string   `json:"default"`
	Required bool     `json:"required"`
	Secret   bool     `json:"secret"`
	Enum     []string `json:"enum"`
	Doc      string   `json:"doc"`
}

type operation struct {
	Neighbours []string `json:"x-neighbours"` // who alone may call it; nil where tokens decide
}

// face tells whether this is a service of pages, without an API.
func (a app) face() bool { return !a.Edge() && len(a.doc.Paths) == 0 }

// component is a file of components/.
type component struct {
	file     string
	Metadata struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		Type     string `yaml:"type"`
		Metadata []struct {
			Secret struct {
				Name string `yaml:"name"`
			} `yaml:"secretKeyRef"`
		} `yaml:"metadata"`
	} `yaml:"spec"`
	Scopes []string `yaml:"scopes"`
}

// settings are what the component takes from its sidecar's environment.
func (c component) settings() (names []string) {
	for _, m := range c.Spec.Metadata {
		if m.Secret.Name != "" {
			names = append(names, m.Secret.Name)
		}
	}
	return names
}

// readShop reads the sources and runs every service once for its document.
func readShop(ctx context.Context, root string) (*shop, error) {
	s := &shop{root: root}
	text, err := os.ReadFile(filepath.Join(root, "dapr/dapr.yaml"))
	if err != nil {
		return nil, err
	}
	listed, err := runfile.Parse(text)
	if err != nil {
		return nil, err
	}
	for _, a := range listed {
		s.apps = append(s.apps, app{App: a})
	}
	if s.routesText, err = os.ReadFile(filepath.Join(root, "deploy/routes.yaml")); err != nil {
		return nil, err
	}
	if s.public, err = routes.Parse(s.routesText); err != nil {
		return nil, err
	}
	if err := s.agree(); err != nil {
		return nil, err
	}
	if err := s.describe(ctx); err != nil {
		return nil, err
	}
	return s, s.readComponents()
}

func (s *shop) yaml(name string, v any) error {
	text, err := os.ReadFile(filepath.Join(s.root, name))
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// agree demands that the sources name the same apps.
func (s *shop) agree() error {
	entries, err := os.ReadDir(filepath.Join(s.root, "apps"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && s.find(e.Name()) == nil {
			return fmt.Errorf("apps/%s has no entry in dapr/dapr.yaml", e.Name())
		}
	}
	known := func(id string, edge bool) error {
		if a := s.find(id); a == nil || a.Edge() != edge {
			return fmt.Errorf("deploy/routes.yaml names %s, which dapr/dapr.yaml does not have", id)
		}
		return nil
	}
	for _, r := range s.public.Routes {
		if err := known(r.App, false); err != nil {
			return err
		}
		if err := known(r.Edge, true); err != nil {
			return err
		}
	}
	for face := range s.public.Faces {
		if err := known(face, false); err != nil {
			return err
		}
	}
	return nil
}

func (s *shop) find(id string) *app {
	for i := range s.apps {
		if s.apps[i].ID == id {
			return &s.apps[i]
		}
	}
	return nil
}

// services are the apps without the edges.
func (s *shop) services() []app {
	return slices.DeleteFunc(slices.Clone(s.apps), app.Edge)
}

// with lists the services that are so, by name.
func (s *shop) with(is func(app) bool) (names []string) {
	for _, a := range s.services() {
		if is(a) {
			names = append(names, a.ID)
		}
	}
	return names
}

// describe builds the services and asks each for its OpenAPI document.
func (s *shop) describe(ctx context.Context) error {
	// They stay for the next time: what has not changed is not linked again.
	bin, err := filepath.Abs(filepath.Join(s.root, ".run", "generate"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	// Compiled as the apps will be (dev/build.go), so that it is done once.
	build := exec.CommandContext(ctx, "go", "build", "-tags=nodynamic", "-ldflags", "-s -w", "-o", bin, "./apps/...")
	build.Dir, build.Env = s.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the services: %w\n%s", err, out)
	}
	for i := range s.apps {
		a := &s.apps[i]
		if a.Edge() {
			continue
		}
		a.text, err = exec.CommandContext(ctx, filepath.Join(bin, a.ID), "openapi").Output()
		if err != nil {
			return fmt.Errorf("%s openapi: %w", a.ID, err)
		}
		if err := json.Unmarshal(a.text, &a.doc); err != nil {
			return fmt.Errorf("%s openapi: %w", a.ID, err)
		}
		_, err := os.Stat(filepath.Join(s.root, "apps", a.ID, "migrations"))
		a.Database = err == nil
		if a.Summary, err = summary(filepath.Join(s.root, "apps", a.ID, "README.md")); err != nil {
			return err
		}
	}
	return nil
}

var link = regexp.MustCompile(`\[([^]]+)\]\([^)]+\)`)

// summary is the first sentence below a README's heading, without its links.
func summary(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	_, body, _ := strings.Cut(string(text), "\n")
	line, _, _ := strings.Cut(strings.TrimSpace(body), "\n")
	sentence, _, _ := strings.Cut(link.ReplaceAllString(line, "$1"), ". ")
	if sentence = strings.TrimSuffix(sentence, "."); sentence == "" || strings.HasPrefix(sentence, "|") {
		return "", fmt.Errorf("%s does not begin with a sentence that says what the service is for", file)
	}
	return sentence, nil
}

func (s *shop) readComponents() error {
	files, err := filepath.Glob(filepath.Join(s.root, "components", "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		c := component{file: "components/" + filepath.Base(file)}
		if err := s.yaml(c.file, &c); err != nil {
			return err
		}
		for _, id := range c.Scopes {
			if s.find(id) == nil {
				return fmt.Errorf("%s is for %s, which dapr/dapr.yaml does not have", c.file, id)
			}
		}
		s.components = append(s.components, c)
	}
	for i := range s.components {
		c := &s.components[i]
		switch c.Metadata.Name {
		case "pubsub":
			// Who hears events, and who keeps records: those have an outbox.
			c.Scopes = s.with(func(a app) bool { return a.Database || len(a.doc.Consumes) > 0 })
		case "secrets":
			c.Scopes = nil // below
		}
	}
	i := slices.IndexFunc(s.components, func(c component) bool { return c.Metadata.Name == "secrets" })
	if i < 0 {
		return fmt.Errorf("components: there is none of the name secrets")
	}
	for _, a := range s.apps {
		if len(s.componentsOf(a.ID)) > 0 {
			s.components[i].Scopes = append(s.components[i].Scopes, a.ID)
		}
	}
	return nil
}

// componentsOf are those that an app's sidecar loads.
func (s *shop) componentsOf(id string) (list []component) {
	for _, c := range s.components {
		if slices.Contains(c.Scopes, id) {
			list = append(list, c)
		}
	}
	return list
}

// settingsOf are what these take from the sidecar's environment.
func (s *shop) settingsOf(id string) (names []string) {
	for _, c := range s.componentsOf(id) {
		for _, name := range c.settings() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
