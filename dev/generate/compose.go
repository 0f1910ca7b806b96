package main

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/goccy/go-yaml"
)

// servers are the containers behind the components that need one, by role.
var servers = map[string]string{"pubsub": "rabbitmq", "state": "redis", "mail": "maildev"}

// outside are the networks with a way out that apps have besides.
var outside = map[string]string{"drops": "beacon"}

//go:embed templates/compose.tmpl
var composeText string

var composePairs = template.Must(template.New("").Parse(composeText))

// pair is an app and its sidecar, or an edge, as docker-compose.yml has them.
type pair struct {
	app
	First              bool     // of the edges: the others wait for the same
	Health             int      // the sidecar's port for it
	Body, Read, Level  string   // limits and log level of the sidecar
	App, Sidecar, Base string   // anchors that they are made from
	Settings           []named  // what the sidecar's components take
	Servers            []string // that these need
	Outside            string   // a network with a way out
	Apps               []string // every service
}

type named struct{ Name, Anchor string }

// compose writes the databases, those that the auditor reads, the edges, the pairs of app and sidecar and their networks of
// docker-compose.yml. All are made from the anchors &app, &app-settings and
// &sidecar, or where there is one from an app's own, such as &products-app,
// &auth-settings and &products-sidecar. What a component takes is &redis-host
// for REDIS_HOST.
func (s *shop) compose(g *generated) error {
	const file = "docker-compose.yml"
	text, err := g.text(file)
	if err != nil {
		return err
	}
	anchor := func(app, kind, common string) string {
		if own := app + "-" + kind; strings.Contains(text, "&"+own+"\n") {
			return own
		}
		return common
	}
	var edges, apps strings.Builder
	for _, a := range s.apps {
		p := pair{
			app: a, First: edges.Len() == 0, Health: a.HTTPPort,
			Outside: outside[a.ID],
			App:     anchor(a.ID, "app", "app"), Base: anchor(a.ID, "settings", "app-settings"),
			Sidecar: anchor(a.ID, "sidecar", "sidecar"),
			Apps:    s.with(func(app) bool { return true }),
		}
		for _, name := range s.settingsOf(a.ID) {
			n := named{name, strings.ReplaceAll(strings.ToLower(name), "_", "-")}
			if !strings.Contains(text, "&"+n.Anchor+" ") {
				return fmt.Errorf("%s: %s, which a component of %s takes, has no anchor &%s", file, name, a.ID, n.Anchor)
			}
			p.Settings = append(p.Settings, n)
		}
		for _, c := range s.componentsOf(a.ID) {
			if server := servers[c.Metadata.Name]; server != "" {
				p.Servers = append(p.Servers, server)
			}
		}
		slices.Sort(p.Servers)
		kind, out := "app", &apps
		if a.Edge() {
			p.Health += 400 // its public port
			kind, out = "edge", &edges
		}
		if err := composePairs.ExecuteTemplate(out, kind, p); err != nil {
			return err
		}
	}
	databases := s.with(func(a app) bool { return a.Database })
	var passwords, audited, networks strings.Builder
	for _, name := range s.with(func(app) bool { return true }) {
		fmt.Fprintf(&networks, "  %s: {internal: true}\n", name)
	}
	fmt.Fprintf(&passwords, "      DATABASES: keycloak %s\n", strings.Join(databases, " "))
	for _, name := range append([]string{"keycloak"}, databases...) {
		key := strings.ToUpper(name) + "_DATABASE_PASSWORD"
		fmt.Fprintf(&passwords, "      %s: ${%s:?run make compose-env first}\n", key, key)
	}
	for _, name := range databases {
		fmt.Fprintf(&audited, "      %s_DATABASE_URL: "+
			"postgres://%s:${%[1]s_DATABASE_PASSWORD:?run make compose-env first}@postgres:5432/%[2]s\n", strings.ToUpper(name), name)
	}
	for _, p := range []struct{ name, body string }{
		{"databases", passwords.String()}, {"audited", audited.String()}, {"pairs", networks.String()}, {"edges", edges.String()},
		{"services", strings.TrimSuffix(apps.String(), "\n")},
	} {
		if err := g.part(file, p.name, p.body); err != nil {
			return err
		}
	}
	if text, err = g.text(file); err != nil {
		return err
	}
	if err := g.part("deploy/compose/prometheus.yml", "targets", s.scraped()); err != nil {
		return err
	}
	return s.told(text)
}

// scraped lists what Prometheus reads of apps and sidecars in containers.
func (s *shop) scraped() string {
	var out strings.Builder
	line := func(host string, port int) {
		fmt.Fprintf(&out, "      - {names: [%s], type: A, port: %d}\n", host, port)
	}
	for _, a := range s.apps {
		if a.Edge() {
			line(a.ID, a.MetricsPort)
			continue
		}
		line(a.ID, a.Port)
		line(a.ID+"-daprd", a.MetricsPort)
	}
	return out.String()
}

// told demands that docker-compose.yml gives each service the settings that it
// cannot do without. (To the parser a key beside a merged one is there twice.)
func (s *shop) told(text string) error {
	var file struct {
		Services map[string]struct {
			Environment map[string]any `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(text), &file, yaml.AllowDuplicateMapKey()); err != nil {
		return fmt.Errorf("docker-compose.yml: %w", err)
	}
	for _, a := range s.services() {
		for _, set := range a.doc.Settings {
			if _, ok := file.Services[a.ID].Environment[set.Name]; set.Required && !ok {
				return fmt.Errorf("docker-compose.yml: %s needs the setting %s: put it into &%s-settings", a.ID, set.Name, a.ID)
			}
		}
	}
	return nil
}

// Upper is the name as settings have it.
func (p pair) Upper() string { return strings.ToUpper(p.ID) }
