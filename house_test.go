// Package stampede_test keeps the rules of the house: who may import whom, who
// holds SQL, and that lists which must agree do agree.
package stampede_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dapr/runfile"
	"github.com/stampede-shop/stampede/deploy/routes"
)

const module = "github.com/stampede-shop/stampede/"

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

// hasDatabase tells whether a service keeps records in SQL.
func hasDatabase(app string) bool {
	_, err := os.Stat(filepath.Join("apps", app, "migrations"))
	return err == nil
}

// TestImports: apps → kit, events, pricing; those know neither each other nor
// apps (pricing may use kit/money). Only kit/dapr knows Dapr's SDK, and no
// service the client of anything that components/ can change: a broker, a
// state store, a place for pictures, a mail server. PostgreSQL holds records,
// not state, so its driver is for kit and for the services that keep records.
func TestImports(t *testing.T) {
	t.Parallel()
	clients := regexp.MustCompile(`(?i)amqp|rabbitmq|nats-io|stan\.go|sarama|kafka|franz-go|pulsar|mqtt|pubsub/|redis|redigo|rueidis|valkey|memcache|mongo|` +
		`aws-sdk|aws/smithy|minio|azure-sdk|cloud\.google\.com|gomail|go-mail|^net/smtp$|go-smtp|sendgrid|postmark`)
	drivers := regexp.MustCompile(`jackc/pgx|lib/pq|^database/sql|/kit/pg$`)
	for _, file := range goFiles(t) {
		room, _, _ := strings.Cut(file, "/")
		for _, i := range imports(t, file) {
			inside, own := strings.CutPrefix(i, module)
			target, _, _ := strings.Cut(inside, "/")
			switch {
			case own && room == "apps" && !slices.Contains([]string{"kit", "events", "pricing", "drop"}, target),
				own && room == "kit" && target != "kit",
				own && (room == "events" || room == "drop" && target != "drop"),
				own && room == "pricing" && inside != "kit/money":
				t.Errorf("%s must not import %s", file, i)
			}
			dapr := strings.HasPrefix(i, "github.com/dapr/go-sdk") || strings.HasPrefix(i, "github.com/dapr/dapr")
			if dapr && !strings.HasPrefix(file, "kit/dapr/") && !strings.HasPrefix(file, "tools/helm/") {
				t.Errorf("%s: only kit/dapr imports %s", file, i)
			}
			if room != "tests" && room != "dev" && clients.MatchString(i) {
				t.Errorf("%s: a service knows no broker, no store and no mail server: %s", file, i)
			}
			if drivers.MatchString(i) && (slices.Contains([]string{"events", "pricing", "drop"}, room) || room == "apps" && !hasDatabase(strings.Split(file, "/")[1])) {
				t.Errorf("%s keeps no records: %s", file, i)
			}
		}
	}
}

// TestProblems: problems and what declares them know nothing of HTTP; each
// operation is registered by rest.Handle, which describes its problems; and what
// holds answers to documents is in no service.
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, file := range goFiles(t) {
		for _, i := range imports(t, file) {
			if strings.HasPrefix(file, "kit/problem/") && (strings.HasPrefix(i, "net/http") || strings.Contains(i, "huma")) {
				t.Errorf("%s: statuses are kit/rest's: %s", file, i)
			}
			if i == module+"kit/contract" && !strings.HasSuffix(file, "_test.go") && !strings.HasPrefix(file, "kit/servetest/") && !strings.HasPrefix(file, "tests/") {
				t.Errorf("%s: %s is for tests", file, i)
			}
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if file != "kit/rest/handle.go" && file != "house_test.go" && bytes.Contains(text, []byte("huma.Register(")) {
			t.Errorf("%s: rest.Handle registers operations", file)
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

// CLIShared and CLIApp are all keys that `dapr run -f` knows, with their types
// (dapr/cli v1.16.5, its packages runfileconfig and standalone). It ignores a
// key that it does not know.
type CLIShared struct {
	ConfigFilePath       string            `yaml:"configFilePath"`
	AppProtocol          string            `yaml:"appProtocol"`
	APIListenAddresses   string            `yaml:"apiListenAddresses"`
	EnableProfiling      bool              `yaml:"enableProfiling"`
	LogLevel             string            `yaml:"logLevel"`
	AppMaxConcurrency    int               `yaml:"appMaxConcurrency"`
	PlacementHostAddress *string           `yaml:"placementHostAddress"`
	SchedulerHostAddress *string           `yaml:"schedulerHostAddress"`
	ResourcesPaths       []string          `yaml:"resourcesPaths"`
	AppSSL               bool              `yaml:"appSSL"`
	MaxBodySize          string            `yaml:"maxBodySize"`
	ReadBufferSize       string            `yaml:"readBufferSize"`
	EnableAppHealthCheck bool              `yaml:"enableAppHealthCheck"`
	AppHealthCheckPath   string            `yaml:"appHealthCheckPath"`
	AppHealthInterval    int               `yaml:"appHealthProbeInterval"`
	AppHealthTimeout     int               `yaml:"appHealthProbeTimeout"`
	AppHealthThreshold   int               `yaml:"appHealthThreshold"`
	EnableAPILogging     bool              `yaml:"enableApiLogging"`
	RuntimePath          string            `yaml:"runtimePath"`
	Env                  map[string]string `yaml:"env"`
	DaprdLogDestination  string            `yaml:"daprdLogDestination"`
	AppLogDestination    string            `yaml:"appLogDestination"`
}

type CLIApp struct {
	CLIShared         `yaml:",inline"`
	AppDirPath        string   `yaml:"appDirPath"`
	AppID             string   `yaml:"appID"`
	AppChannelAddress string   `yaml:"appChannelAddress"`
	AppPort           int      `yaml:"appPort"`
	DaprHTTPPort      int      `yaml:"daprHTTPPort"`
	DaprGRPCPort      int      `yaml:"daprGRPCPort"`
	DaprInternalPort  int      `yaml:"daprInternalGRPCPort"`
	MetricsPort       int      `yaml:"metricsPort"`
	ProfilePort       int      `yaml:"profilePort"`
	UnixDomainSocket  string   `yaml:"unixDomainSocket"`
	Command           []string `yaml:"command"`
}

// TestRunFileSchema: the run file has no key, and no type, that the CLI does
// not know, and every path in it is there.
func TestRunFileSchema(t *testing.T) {
	t.Parallel()
	var file struct {
		Version int
		Name    string
		Common  CLIShared
		Apps    []CLIApp
	}
	data, err := os.ReadFile("dapr/dapr.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalWithOptions(data, &file, yaml.Strict()))
	require.Equal(t, 1, file.Version)
	require.NotEmpty(t, file.Apps)
	for _, path := range file.Common.ResourcesPaths {
		require.DirExists(t, filepath.Join("dapr", path))
	}
	for _, a := range file.Apps {
		dir := filepath.Join("dapr", a.AppDirPath)
		require.NotEmpty(t, a.AppDirPath, "the CLI demands it of every app")
		require.FileExists(t, filepath.Join(dir, a.ConfigFilePath), a.AppID)
	}
}

// TestRunFile: the one list of apps names every service and the three edges,
// each with a configuration, with ports as the list's own order gives them, and
// no two ports are a few thousands apart (stacks run beside each other).
func TestRunFile(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("dapr/dapr.yaml")
	require.NoError(t, err)
	listed, err := runfile.Parse(data)
	require.NoError(t, err)
	var names []string
	ports := map[int]string{}
	for i, a := range listed {
		n := i + 1
		edge := strings.HasPrefix(a.ID, "edge")
		if edge {
			require.Zero(t, a.Port, a.ID)
			require.Empty(t, a.Command, a.ID)
		} else {
			names = append(names, a.ID)
			require.Equal(t, 7100+n, a.Port, a.ID)
			ports[a.Port] = a.ID
			require.Equal(t, []string{"./.run/bin/" + a.ID}, a.Command)
		}
		own := []int{a.HTTPPort, a.GRPCPort, a.InternalPort, a.MetricsPort}
		require.Equal(t, []int{3500 + n, 5600 + n, 11700 + n, 13800 + n}, own, a.ID)
		for _, p := range own {
			ports[p] = a.ID
		}
		require.Equal(t, "dapr/config/"+a.ID+".yaml", a.ConfigFile)
		require.FileExists(t, a.ConfigFile)
	}
	for p, app := range ports {
		for offset := 1000; offset <= 5000; offset += 1000 {
			require.NotContains(t, ports, p+offset, "port %d of %s", p, app)
		}
	}
	sort.Strings(names)
	require.Equal(t, apps(t), names)
}

// plugged is a component's file.
type plugged struct {
	Metadata struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec struct {
		Type     string   `yaml:"type"`
		Metadata []option `yaml:"metadata"`
	} `yaml:"spec"`
	Auth struct {
		SecretStore string `yaml:"secretStore"`
	} `yaml:"auth"`
	Scopes []string `yaml:"scopes"`
	text   string
}

type option struct {
	Name   string `yaml:"name"`
	Value  string `yaml:"value"`
	Env    string `yaml:"envRef"`
	Secret struct {
		Name string `yaml:"name"`
		Key  string `yaml:"key"`
	} `yaml:"secretKeyRef"`
}

// components reads the files of components/, and those of its swaps, by path.
func components(t *testing.T) map[string]plugged {
	t.Helper()
	files, err := filepath.Glob("components/*.yaml")
	require.NoError(t, err)
	swaps, err := filepath.Glob("components/swaps/*/*.yaml")
	require.NoError(t, err)
	all := map[string]plugged{}
	for _, file := range append(files, swaps...) {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		c := plugged{text: string(data)}
		require.NoError(t, yaml.Unmarshal(data, &c), file)
		all[filepath.ToSlash(file)] = c
	}
	return all
}

// TestSwaps: whatever lies in components/swaps can be laid over components/ and
// nobody notices but the sidecar, and each of them is explained.
func TestSwaps(t *testing.T) {
	t.Parallel()
	all := components(t)
	for file, c := range all {
		if !strings.HasPrefix(file, "components/swaps/") {
			continue
		}
		replaced, ok := all["components/"+filepath.Base(file)]
		require.True(t, ok, "%s replaces nothing", file)
		require.Equal(t, replaced.Metadata.Name, c.Metadata.Name, file)
		require.Equal(t, replaced.Scopes, c.Scopes, file)
		require.Equal(t, replaced.Auth.SecretStore, c.Auth.SecretStore, file)
		require.NotEqual(t, replaced.Spec.Type, c.Spec.Type, file)
	}
	table, err := os.ReadFile("components/swaps/README.md")
	require.NoError(t, err)
	folders, err := os.ReadDir("components/swaps")
	require.NoError(t, err)
	for _, f := range folders {
		if f.IsDir() {
			require.FileExists(t, filepath.Join("components/swaps", f.Name(), "README.md"))
			require.True(t, strings.Contains(string(table), "| ["+f.Name()+"]("+f.Name()+"/README.md) |"), "components/swaps/README.md does not list %s", f.Name())
		}
	}
}

// TestSecretReferences: components take hosts, accounts and passwords from the
// secret store, each under one name, and hold none themselves.
func TestSecretReferences(t *testing.T) {
	t.Parallel()
	place := regexp.MustCompile(`(?i)(host|brokers|servers|url|uri|endpoint|user|username|password|secret|secretkey|accesskey|apikey|token|connectionstring|clientsecret)$`)
	literal := regexp.MustCompile(`://|@|:\d{2,5}\b|\d+\.\d+\.\d+\.\d+`)
	for file, c := range components(t) {
		for _, o := range c.Spec.Metadata {
			at := file + ": " + o.Name
			switch {
			case o.Secret.Name != "":
				require.Equal(t, o.Secret.Name, o.Secret.Key, at)
				require.Equal(t, "secrets", c.Auth.SecretStore, at)
				require.Empty(t, o.Value, at)
			case o.Env != "":
				require.Equal(t, "secrets", c.Metadata.Name, "%s: only the secret store itself reads the environment", at)
			default:
				require.NotRegexp(t, place, o.Name, "%s wants a secretKeyRef", at)
				require.NotRegexp(t, literal, o.Value, at)
			}
		}
	}
}

// guards are the options of a component's type whose defaults lose, repeat or
// mix up something.
var guards = map[string]map[string]string{
	"pubsub.rabbitmq": {
		"durable": "true", "deletedWhenUnused": "false", "deliveryMode": "2", "publisherConfirm": "true",
		"autoAck": "false", "requeueInFailure": "true", "enableDeadLetter": "false",
	},
	"pubsub.jetstream": {
		"durableName": "{appID}", "queueGroupName": "{appID}", "ackPolicy": "explicit", "deliverPolicy": "all",
		"concurrencyMode": "single", "maxDeliver": "-1",
	},
	"pubsub.kafka":     {"consumerGroup": "{appID}", "initialOffset": "oldest", "consumeRetryEnabled": "true"},
	"pubsub.redis":     {"consumerID": "{appID}", "processingTimeout": "> 15000", "redeliverInterval": "> 0", "maxLenApprox": "none"},
	"state.redis":      {"keyPrefix": "appid"},
	"state.postgresql": {"keyPrefix": "appid"},
}

// TestGuards: those options are there, in each file of that type, with a
// reason above each.
func TestGuards(t *testing.T) {
	t.Parallel()
	for file, c := range components(t) {
		for name, want := range guards[c.Spec.Type] {
			at := file + ": " + name
			i := slices.IndexFunc(c.Spec.Metadata, func(o option) bool { return o.Name == name })
			if want == "none" {
				require.Negative(t, i, at)
				continue // for neighbours
			}
			require.GreaterOrEqual(t, i, 0, at)
			got := c.Spec.Metadata[i].Value
			if over, ok := strings.CutPrefix(want, "> "); ok {
				least, err := strconv.Atoi(over)
				require.NoError(t, err, at)
				n, err := strconv.Atoi(got)
				require.NoError(t, err, "%s: a plain number of milliseconds", at)
				require.Greater(t, n, least, at)
			} else {
				require.Equal(t, want, got, at)
			}
			require.Regexp(t, `(?m)^ +#.*\n +- name: `+name+`$`, c.text, "%s: why?", at)
		}
	}
}

// TestResiliency: no callee has a timeout, with which a client that hangs up
// ends the caller's sidecar, and none is left to Dapr's own retries, which
// repeat POSTs.
func TestResiliency(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("dapr/resiliency.yaml")
	require.NoError(t, err)
	require.NotRegexp(t, `(?m)^ *timeouts?:`, string(text))
	var file struct {
		Spec struct {
			Policies struct {
				Retries map[string]map[string]any `yaml:"retries"`
			} `yaml:"policies"`
			Targets struct {
				Apps map[string]map[string]string `yaml:"apps"`
			} `yaml:"targets"`
		} `yaml:"spec"`
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	require.EqualValues(t, 0, file.Spec.Policies.Retries["none"]["maxRetries"])
	for _, app := range apps(t) {
		require.Equal(t, map[string]string{"retry": "none"}, file.Spec.Targets.Apps[app], app)
	}
}

// TestWeight: what a browser has to load of a face stays small, compressed:
// 40 kB of script and 30 kB of style.
func TestWeight(t *testing.T) {
	t.Parallel()
	for kind, most := range map[string]int{"js": 40_000, "css": 30_000} {
		faces, err := filepath.Glob("apps/*/assets")
		require.NoError(t, err)
		require.NotEmpty(t, faces)
		for _, face := range faces {
			files, err := filepath.Glob(face + "/*." + kind)
			require.NoError(t, err)
			require.NotEmpty(t, files)
			weight := 0
			for _, file := range files {
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				var out bytes.Buffer
				gz := gzip.NewWriter(&out)
				_, err = gz.Write(text)
				require.NoError(t, err)
				require.NoError(t, gz.Close())
				weight += out.Len()
			}
			require.Less(t, weight, most, "%s of %s", kind, face)
		}
	}
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
// invocation alone, and nobody lets an edge into /internal. Who may call what is
// generated.
func TestAccessLists(t *testing.T) {
	t.Parallel()
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
					Zipkin       struct {
						EndpointAddress string `yaml:"endpointAddress"`
					} `yaml:"zipkin"`
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
		require.Equal(t, "${TRACES_RATIO}", config.Spec.Tracing.SamplingRate, file)
		require.Equal(t, "${OTEL_EXPORTER_ZIPKIN_ENDPOINT}", config.Spec.Tracing.Zipkin.EndpointAddress, file)
		for _, p := range config.Spec.AccessControl.Policies {
			require.Equal(t, "deny", p.DefaultAction, "%s: %s", file, p.AppID)
			for _, o := range p.Operations {
				require.Equal(t, "allow", o.Action, file)
				require.NotContains(t, o.HTTPVerb, "*", file)
				if strings.HasPrefix(p.AppID, "edge") {
					require.NotRegexp(t, `^/internal`, o.Name, "%s lets %s in", file, p.AppID)
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
		}
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
	for app, doc := range documents(t) {
		for path, operations := range doc.Paths {
			if strings.HasPrefix(path, "/internal/") {
				continue // for neighbours
			}
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

// TestDeadLetters: who has a database tells administrators whether events flow,
// and who consumes some lets them see to those that could not be handled.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	for app, doc := range documents(t) {
		base := "/api/v1/admin/" + app
		_, mounted := doc.Paths[base+"/backlog"]["get"]
		require.Equal(t, hasDatabase(app), mounted, "%s: rt.Subs.BacklogRoute(rt.API, rt.Name)", app)
		for path, method := range map[string]string{"": "get", "/{event_id}": "delete", "/{event_id}/redrive": "post"} {
			_, mounted := doc.Paths[base+"/dead-letters"+path][method]
			require.Equal(t, hasDatabase(app) && len(doc.Consumes) > 0, mounted, "%s: rt.Subs.Routes(rt.API, rt.Name): %s %s", app, method, path)
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

// documents reads the OpenAPI documents of all services that serve an API.
func documents(t *testing.T) map[string]document {
	t.Helper()
	files, err := filepath.Glob("apps/*/openapi.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := map[string]document{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var doc document
		require.NoError(t, json.Unmarshal(data, &doc), file)
		all[filepath.Base(filepath.Dir(file))] = doc
	}
	return all
}

// TestNamedFiles: a file that is named in a comment is there.
func TestNamedFiles(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			there[filepath.Base(path)] = true
			return err
		}
		if strings.HasPrefix(d.Name(), ".run") || d.Name() == ".git" || d.Name() == "node_modules" {
			return fs.SkipDir
		}
		return nil
	})
	require.NoError(t, err)
	named := regexp.MustCompile(`[\w./-]*\w\.(?:md|go|sql|lua|ya?ml)\b`)
	for _, file := range goFiles(t) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, group := range f.Comments {
			for _, name := range named.FindAllString(group.Text(), -1) {
				if strings.Contains(name, "//") || strings.HasPrefix(name, "github.com") {
					continue
				}
				if !there[filepath.Base(name)] {
					t.Errorf("%s names %s, which is not there", file, name)
				}
			}
		}
	}
}

// TestNamedPlaces: what a document names beside a file or a package, as
// `apps/orders/placing.go` `quote`, is there. A bare file name is one of the
// folder that the line named before.
func TestNamedPlaces(t *testing.T) {
	t.Parallel()
	documents, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	named := regexp.MustCompile("`([\\w./-]+)`(?: `(\\w+)`)?")
	pairs := 0
	for _, document := range append(documents, "CONTRIBUTING.md", "README.md") {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for line := range strings.SplitSeq(string(text), "\n") {
			dir := ""
			for _, m := range named.FindAllStringSubmatch(line, -1) {
				at, name := m[1], m[2]
				if strings.Contains(at, "/") {
					dir = at
					if strings.HasSuffix(at, ".go") {
						dir = filepath.Dir(at)
					}
				} else if dir != "" {
					at = filepath.Join(dir, at)
				}
				files, err := filepath.Glob(filepath.Join(at, "*.go"))
				require.NoError(t, err)
				if strings.HasSuffix(at, ".go") {
					files = []string{at}
				}
				if name == "" || len(files) == 0 {
					continue
				}
				pairs++
				declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type |\t|var |const )` + name + `\b`)
				there := slices.ContainsFunc(files, func(file string) bool {
					code, err := os.ReadFile(file)
					return err == nil && declared.Match(code)
				})
				if !there {
					t.Errorf("%s: %s has no %s", document, at, name)
				}
			}
		}
	}
	require.NotZero(t, pairs)
}
