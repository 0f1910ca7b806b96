// Package stampede_test keeps the rules of the house: who may import whom, who
// holds SQL, and that lists which must agree do agree.
package stampede_test

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/deploy/routes"
)

const module = "github.com/stampede-shop/stampede/"

// withDatabase are the services that keep records in SQL.
var withDatabase = []string{"auth", "users", "products", "inventory", "orders", "payments", "mail"}

// goFiles lists the module's own Go files, by path from the root.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || path == "dapr/daprd" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			files = append(files, filepath.ToSlash(path))
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func imports(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	require.NoError(t, err)
	var list []string
	for _, i := range f.Imports {
		list = append(list, strings.Trim(i.Path.Value, `"`))
	}
	return list
}

func apps(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("apps")
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestImports: apps → kit, events, pricing; those know neither each other nor
// apps (pricing may use kit/money). Only kit/dapr knows Dapr's SDK, and no
// service a broker's or a state store's client.
func TestImports(t *testing.T) {
	t.Parallel()
	clients := regexp.MustCompile(`amqp|rabbitmq|nats-io|sarama|kafka|go-redis|redis/|stan\.go`)
	for _, file := range goFiles(t) {
		room, _, _ := strings.Cut(file, "/")
		for _, i := range imports(t, file) {
			inside, own := strings.CutPrefix(i, module)
			target, _, _ := strings.Cut(inside, "/")
			switch {
			case own && room == "apps" && !slices.Contains([]string{"kit", "events", "pricing"}, target),
				own && room == "kit" && target != "kit",
				own && room == "events",
				own && room == "pricing" && inside != "kit/money":
				t.Errorf("%s must not import %s", file, i)
			}
			if (strings.HasPrefix(i, "github.com/dapr/go-sdk") || strings.HasPrefix(i, "github.com/dapr/dapr")) && !strings.HasPrefix(file, "kit/dapr/") {
				t.Errorf("%s: only kit/dapr imports %s", file, i)
			}
			if room != "tests" && room != "dev" && clients.MatchString(i) {
				t.Errorf("%s: a service knows no broker and no state store: %s", file, i)
			}
		}
	}
}

// TestSQL: only store files, kit and the workers of dev hold SQL.
func TestSQL(t *testing.T) {
	t.Parallel()
	sql := regexp.MustCompile("(?m)[`\"]\\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH) [a-zA-Z(*]")
	for _, file := range goFiles(t) {
		base := filepath.Base(file)
		if !strings.HasPrefix(file, "apps/") || strings.HasSuffix(base, "_test.go") || base == "store.go" || strings.HasSuffix(base, "_store.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if found := sql.FindString(string(text)); found != "" {
			t.Errorf("%s holds SQL: %s", file, found)
		}
	}
}

// TestShape: every service has the same rooms.
func TestShape(t *testing.T) {
	t.Parallel()
	for _, app := range apps(t) {
		for _, file := range []string{"main.go", "http.go", "README.md"} {
			require.FileExists(t, filepath.Join("apps", app, file))
		}
		if slices.Contains(withDatabase, app) {
			require.FileExists(t, filepath.Join("apps", app, "store.go"))
			require.DirExists(t, filepath.Join("apps", app, "migrations"))
		}
	}
}

// TestRunFile: the one list of apps names every service and the three edges,
// each with a configuration, with ports as the list's own order gives them, and
// no port equals another plus 1000 (a second stack runs beside the first).
func TestRunFile(t *testing.T) {
	t.Parallel()
	var file struct {
		Apps []struct {
			AppID                string   `yaml:"appID"`
			AppPort              int      `yaml:"appPort"`
			DaprHTTPPort         int      `yaml:"daprHTTPPort"`
			DaprGRPCPort         int      `yaml:"daprGRPCPort"`
			DaprInternalGRPCPort int      `yaml:"daprInternalGRPCPort"`
			MetricsPort          int      `yaml:"metricsPort"`
			ConfigFilePath       string   `yaml:"configFilePath"`
			Command              []string `yaml:"command"`
		} `yaml:"apps"`
	}
	data, err := os.ReadFile("dapr/dapr.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(data, &file))
	var names []string
	ports := map[int]string{}
	for i, a := range file.Apps {
		n := i + 1
		edge := strings.HasPrefix(a.AppID, "edge")
		if edge {
			require.Zero(t, a.AppPort, a.AppID)
			require.Empty(t, a.Command, a.AppID)
		} else {
			names = append(names, a.AppID)
			require.Equal(t, 7100+n, a.AppPort, a.AppID)
			ports[a.AppPort] = a.AppID
			require.Equal(t, []string{"./.run/bin/" + a.AppID}, a.Command)
		}
		require.Equal(t, []int{3500 + n, 5500 + n, 11500 + n, 13500 + n}, []int{a.DaprHTTPPort, a.DaprGRPCPort, a.DaprInternalGRPCPort, a.MetricsPort}, a.AppID)
		for _, p := range []int{a.DaprHTTPPort, a.DaprGRPCPort, a.DaprInternalGRPCPort, a.MetricsPort} {
			ports[p] = a.AppID
		}
		require.Equal(t, "dapr/config/"+a.AppID+".yaml", a.ConfigFilePath)
		require.FileExists(t, a.ConfigFilePath)
	}
	for p, app := range ports {
		require.NotContains(t, ports, p+1000, "port %d of %s", p, app)
	}
	sort.Strings(names)
	require.Equal(t, apps(t), names)
}

// policy is one caller in an access control list.
type policy struct {
	AppID         string `yaml:"appId"`
	DefaultAction string `yaml:"defaultAction"`
	Operations    []struct {
		Name     string   `yaml:"name"`
		HTTPVerb []string `yaml:"httpVerb"`
		Action   string   `yaml:"action"`
	} `yaml:"operations"`
}

// TestAccessLists: every sidecar denies by default, speaks mTLS, and keeps
// tracing on (a sampling rate of 0 blanks traceparent); the edges offer
// invocation alone; the callers are those of the services' own lists.
func TestAccessLists(t *testing.T) {
	t.Parallel()
	neighbours := regexp.MustCompile(`rest\.Neighbours\(([^)]*)\)`)
	files, err := filepath.Glob("dapr/config/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		app := strings.TrimSuffix(filepath.Base(file), ".yaml")
		var config struct {
			Spec struct {
				MTLS struct {
					Enabled bool `yaml:"enabled"`
				} `yaml:"mtls"`
				Tracing struct {
					SamplingRate string `yaml:"samplingRate"`
				} `yaml:"tracing"`
				AccessControl struct {
					DefaultAction string   `yaml:"defaultAction"`
					Policies      []policy `yaml:"policies"`
				} `yaml:"accessControl"`
				API struct {
					Allowed []map[string]string `yaml:"allowed"`
				} `yaml:"api"`
			} `yaml:"spec"`
		}
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(data, &config), file)
		require.True(t, config.Spec.MTLS.Enabled, file)
		require.Equal(t, "deny", config.Spec.AccessControl.DefaultAction, file)
		require.Equal(t, "1", config.Spec.Tracing.SamplingRate, file)
		internal := map[string]bool{}
		for _, p := range config.Spec.AccessControl.Policies {
			require.Equal(t, "deny", p.DefaultAction, "%s: %s", file, p.AppID)
			for _, o := range p.Operations {
				require.Equal(t, "allow", o.Action, file)
				require.NotContains(t, o.HTTPVerb, "*", file)
				if strings.HasPrefix(o.Name, "/internal") {
					require.False(t, strings.HasPrefix(p.AppID, "edge"), "%s lets %s into /internal", file, p.AppID)
					internal[p.AppID] = true
				}
			}
		}
		if strings.HasPrefix(app, "edge") {
			// A list that names HTTP alone would leave gRPC open.
			require.ElementsMatch(t, []map[string]string{
				{"name": "invoke", "version": "v1.0", "protocol": "http"},
				{"name": "metadata", "version": "v1", "protocol": "grpc"},
			}, config.Spec.API.Allowed, file)
			require.Empty(t, config.Spec.AccessControl.Policies, file)
			continue
		}
		// Who may call /internal: the list in the service and the sidecar's agree.
		declared := map[string]bool{}
		sources, err := filepath.Glob(filepath.Join("apps", app, "*.go"))
		require.NoError(t, err)
		for _, source := range sources {
			text, err := os.ReadFile(source)
			require.NoError(t, err)
			for _, m := range neighbours.FindAllStringSubmatch(string(text), -1) {
				for name := range strings.SplitSeq(m[1], ",") {
					declared[strings.Trim(strings.TrimSpace(name), `"`)] = true
				}
			}
		}
		require.Equal(t, declared, internal, "%s: callers of /internal", app)
	}
}

// TestPublicRoutes: each public path of a service is let in by deploy/routes.yaml
// for that service.
func TestPublicRoutes(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("deploy/routes.yaml")
	require.NoError(t, err)
	public, err := routes.Parse(data)
	require.NoError(t, err)
	for _, app := range withDatabase {
		for path, operations := range openAPI(t, app).Paths {
			for method := range operations {
				method = strings.ToUpper(method)
				i := slices.IndexFunc(public.Routes, func(r routes.Route) bool { return matches(r.Path, path) })
				require.GreaterOrEqual(t, i, 0, "no route lets %s %s in", method, path)
				r := public.Routes[i]
				require.Equal(t, app, r.App, "%s %s", method, path)
				require.Contains(t, r.Methods, method, "%s %s", method, path)
				if strings.HasPrefix(path, "/api/v1/admin/") {
					require.Equal(t, "edge-auth", r.Edge, path)
				}
			}
		}
	}
}

// TestDeadLetters: who consumes events with a database lets administrators see
// to those that could not be handled.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	for _, app := range withDatabase {
		doc := openAPI(t, app)
		for path, method := range map[string]string{"": "get", "/{event_id}": "delete", "/{event_id}/redrive": "post"} {
			_, mounted := doc.Paths["/api/v1/admin/"+app+"/dead-letters"+path][method]
			require.Equal(t, len(doc.Consumes) > 0, mounted, "%s: rt.Subs.Routes(rt.API, rt.Name): %s %s", app, method, path)
		}
	}
}

// matches tells whether a pattern of routes.yaml lets a path of an OpenAPI
// document in.
func matches(pattern, path string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/**"); ok {
		pattern = prefix
		parts, depth := strings.Split(path, "/"), len(strings.Split(pattern, "/"))
		if len(parts) < depth {
			return false
		}
		path = strings.Join(parts[:depth], "/")
	}
	a, b := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !strings.HasPrefix(a[i], "{") {
			return false
		}
	}
	return true
}

// document is what the tests read of an OpenAPI document.
type document struct {
	Consumes []string                              `json:"x-consumes"`
	Paths    map[string]map[string]json.RawMessage `json:"paths"`
}

func openAPI(t *testing.T, app string) document {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("apps", app, "openapi.json"))
	require.NoError(t, err, "go test . -run TestGenerated -update writes it")
	var doc document
	require.NoError(t, json.Unmarshal(data, &doc))
	return doc
}
