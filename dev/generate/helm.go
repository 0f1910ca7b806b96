package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/stampede-shop/stampede/deploy/kong"
)

const chart = "deploy/helm/files/" // helm reads nothing outside of a chart

// charted says where the chart has files of other folders that it takes as they are.
var charted = []struct{ from, to string }{
	{"components/*.yaml", "components/"},
	{"components/swaps/*/*.yaml", "swaps/"},
	{"dapr/resiliency.yaml", "dapr/"},
	{"deploy/kong/*.conf", "gateway/kong/"},
	{"deploy/kong/start.sh", "gateway/kong/"},
	{"deploy/kong/lua/*.lua", "gateway/kong/lua/"},
	{"deploy/nginx/lua/*.lua", "gateway/nginx/lua/"},
	{"deploy/nginx/html/*.html", "gateway/nginx/html/"},
	{"deploy/media/s3/*.template", "media-s3/"},
	{"deploy/postgres/postgresql.conf", "servers/"},
	{"deploy/compose/postgres-init.sh", "servers/"},
	{"deploy/compose/rabbitmq.conf", "servers/"},
}

// helm writes what the chart has from elsewhere: files as they are, Dapr's configurations and kong.yml as templates, and
// shop.json, the lists that its templates go through.
func (s *shop) helm(g *generated) error {
	for _, c := range charted {
		files, err := filepath.Glob(filepath.Join(s.root, c.from))
		if err != nil || len(files) == 0 {
			return errors.Join(err, fmt.Errorf("there is no %s", c.from))
		}
		for _, file := range files {
			name, err := filepath.Rel(s.root, file)
			if err != nil {
				return err
			}
			text, err := g.text(filepath.ToSlash(name))
			if err != nil {
				return err
			}
			to := chart + c.to + filepath.Base(file)
			if c.to == "swaps/" {
				to = chart + c.to + filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
			}
			g.put(to, text)
		}
	}
	for _, a := range s.apps {
		text, err := g.text(a.ConfigFile)
		if err != nil {
			return err
		}
		if text, err = inCluster(text); err != nil {
			return fmt.Errorf("%s: %w", a.ConfigFile, err)
		}
		g.put(chart+"dapr/"+filepath.Base(a.ConfigFile), text)
	}
	conf, err := s.chartKong()
	if err != nil {
		return fmt.Errorf("kong: %w", err)
	}
	g.put(chart+"gateway/kong/kong.yml", conf)
	list, err := s.chartList(g)
	if err != nil {
		return err
	}
	g.put(chart+"shop.json", list)
	return g.only(chart)
}

// chartKong is kong.yml as a template: where Redis is and the limits are values of the chart.
func (s *shop) chartKong() (string, error) {
	settings, _, err := kong.Flags([]string{"-redis", "{{ .Values.redis.host }}:{{ .Values.redis.port }}"})
	if err != nil {
		return "", err
	}
	settings.Token, settings.Address, settings.Login = 1_000_001, 1_000_002, 1_000_003 // numbers that stand nowhere else
	conf, err := kong.Generate(s.routesText, settings)
	return strings.NewReplacer(
		"minute: 1000001\n", "minute: {{ int .Values.limits.token }}\n",
		"minute: 1000002\n", "minute: {{ int .Values.limits.address }}\n",
		"minute: 1000003\n", "minute: {{ int .Values.limits.login }}\n",
	).Replace(string(conf)), err
}

var resolution = regexp.MustCompile(`(?m)^  nameResolution:\n(?:    .*\n)+`)

// inCluster makes a template of a sidecar's configuration: there are no variables in one that comes from Kubernetes, and
// names are found by Dapr's resolver of its own; and Dapr's chart wants there what sidecars are told anyway.
func inCluster(text string) (string, error) {
	if len(resolution.FindAllString(text, -1)) != 1 {
		return "", errors.New("no nameResolution")
	}
	text = resolution.ReplaceAllString(text, "")
	for _, r := range []struct{ from, to string }{
		{"  mtls:\n    enabled: true\n", "  mtls:\n    enabled: true\n" +
			"    controlPlaneTrustDomain: cluster.local\n    sentryAddress: dapr-sentry.dapr-system.svc.cluster.local:443\n"},
		{"  metric:\n", "  metric:\n    enabled: true\n"},
		{`"${TRACES_RATIO}"`, `{{ .Values.traces.ratio | quote }}`},
		{`"${OTEL_EXPORTER_ZIPKIN_ENDPOINT}"`, `{{ .Values.traces.zipkin | quote }}`},
	} {
		if strings.Count(text, r.from) != 1 {
			return "", fmt.Errorf("%s is not there once", r.from)
		}
		text = strings.Replace(text, r.from, r.to, 1)
	}
	text = strings.ReplaceAll(text, "namespace: default\n", "namespace: {{ .Release.Namespace }}\n")
	if strings.Contains(text, "$") {
		return "", errors.New("a variable that Kubernetes would not fill in")
	}
	return text, nil
}

// charting is shop.json: what pods are made of that follows from dapr/dapr.yaml, docker-compose.yml, components/ and the
// services' settings.
type charting struct {
	Apps       map[string]chartedApp                  `json:"apps"`
	Edges      map[string]chartedApp                  `json:"edges"`
	Components map[string]map[string]chartedComponent `json:"components"` // by the swap, "" for those of components/ itself, and file
	Images     map[string]string                      `json:"images"`     // of others' servers
}

type chartedApp struct {
	Port        int      `json:"port"` // of an edge its sidecar's
	Body        string   `json:"body"`
	Read        string   `json:"read"`
	Consumes    bool     `json:"consumes,omitempty"`
	Database    bool     `json:"database,omitempty"`
	Connections int      `json:"connections,omitempty"`
	Settings    []string `json:"settings,omitempty"`
	Required    []string `json:"required,omitempty"`
	Secret      []string `json:"secret,omitempty"`
}

type chartedComponent struct {
	File   string   `json:"file"`
	Type   string   `json:"type"`
	Scopes []string `json:"scopes"`
	Takes  []string `json:"takes"` // from the sidecar's environment
}

func (s *shop) chartList(g *generated) (string, error) {
	list := charting{map[string]chartedApp{}, map[string]chartedApp{}, map[string]map[string]chartedComponent{}, map[string]string{}}
	for _, a := range s.apps {
		if a.Edge() {
			list.Edges[a.ID] = chartedApp{Port: a.HTTPPort, Body: a.MaxBodySize, Read: a.ReadBufferSize}
			continue
		}
		c := chartedApp{
			Port: a.Port, Body: a.MaxBodySize, Read: a.ReadBufferSize, Consumes: len(a.doc.Consumes) > 0, Database: a.Database,
		}
		for _, set := range a.doc.Settings {
			c.Settings = append(c.Settings, set.Name)
			if set.Required {
				c.Required = append(c.Required, set.Name)
			}
			if set.Secret || strings.HasSuffix(set.Name, "_DATABASE_URL") {
				c.Secret = append(c.Secret, set.Name)
			}
			if strings.HasSuffix(set.Name, "_DATABASE_CONNECTIONS") {
				var err error
				if c.Connections, err = strconv.Atoi(set.Default); err != nil {
					return "", fmt.Errorf("%s: %s: %w", a.ID, set.Name, err)
				}
			}
		}
		list.Apps[a.ID] = c
	}
	for name, text := range g.files {
		file, ours := strings.CutPrefix(name, chart)
		swap := strings.Trim(strings.TrimPrefix(filepath.ToSlash(filepath.Dir(file)), "swaps"), "/")
		if !ours || !strings.HasPrefix(file, "components/") && !strings.HasPrefix(file, "swaps/") {
			continue
		}
		if swap == "components" {
			swap = ""
		}
		var c component
		if err := yaml.Unmarshal(text, &c); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if list.Components[swap] == nil {
			list.Components[swap] = map[string]chartedComponent{}
		}
		list.Components[swap][filepath.Base(file)] = chartedComponent{file, c.Spec.Type, c.Scopes, c.settings()}
	}
	text, err := g.text("docker-compose.yml")
	if err != nil {
		return "", err
	}
	var file struct {
		Services map[string]struct {
			Image string `yaml:"image"`
		} `yaml:"services"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(text), &file, yaml.AllowDuplicateMapKey()); err != nil {
		return "", fmt.Errorf("docker-compose.yml: %w", err)
	}
	for _, name := range []string{"postgres", "redis", "rabbitmq", "maildev", "kong-1"} {
		image := file.Services[name].Image
		if image == "" {
			return "", fmt.Errorf("docker-compose.yml: %s has no image", name)
		}
		list.Images[strings.TrimSuffix(name, "-1")] = image
	}
	out, err := json.MarshalIndent(list, "", " ")
	return string(out) + "\n", err
}

// only demands that a folder has no files but generated ones: what is left of a source that is gone would still be used.
func (g *generated) only(folder string) error {
	var left []string
	root := filepath.Join(g.root, folder)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(g.root, path)
		if err != nil {
			return err
		}
		if _, ok := g.files[filepath.ToSlash(name)]; !ok {
			left = append(left, filepath.ToSlash(name))
		}
		return nil
	})
	if err == nil && len(left) > 0 {
		slices.Sort(left)
		err = fmt.Errorf("nothing makes %s any more: remove it", strings.Join(left, ", "))
	}
	return err
}

// write writes a file, and the folders that it is the first of.
func write(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}
