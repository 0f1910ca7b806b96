package stack

import (
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/stampede-shop/stampede/dapr/runfile"
	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// App is an instance of an app of the run file, or of an edge sidecar.
type App struct {
	runfile.App
	PublicPort int // where an edge sidecar answers its health, since a pipeline stands before the HTTP port
	Instance   int // 1, and more where there are several
}

// Name is the instance's: that of its process, and of its log. The first bears
// the app's.
func (a App) Name() string {
	if a.Instance == 1 {
		return a.ID
	}
	return a.ID + "-" + strconv.Itoa(a.Instance)
}

// sidecarName is the name of the sidecar's process; an edge has only that.
func (a App) sidecarName() string {
	if a.Edge() {
		return a.Name()
	}
	return a.Name() + "-daprd"
}

// EnvName is the id as settings begin with it.
func (a App) EnvName() string { return strings.ToUpper(strings.ReplaceAll(a.ID, "-", "_")) }

// DatabaseSetting is the setting with the address of the app's database.
func (a App) DatabaseSetting() string { return a.EnvName() + "_DATABASE_URL" }

// KeepsRecords reports whether an app has a database: whether there is
// apps/<id>/migrations.
func (s *Stack) KeepsRecords(a App) bool {
	return install.Exists(filepath.Join(s.Root, "apps", a.ID, "migrations"))
}

// Services are the apps of dapr/dapr.yaml that have a database.
func (s *Stack) Services() ([]App, error) {
	text, err := os.ReadFile(filepath.Join(s.Root, "dapr", "dapr.yaml"))
	if err != nil {
		return nil, err
	}
	apps, err := parseRunFile(text)
	if err != nil {
		return nil, fmt.Errorf("dapr/dapr.yaml: %w", err)
	}
	return slices.DeleteFunc(apps, func(a App) bool { return !s.KeepsRecords(a) }), nil
}

// shiftPorts returns the run file with offset added to every port and with
// paths that hold when it lies elsewhere: relative ones are made absolute, and
// the .run folder of commands and the folder of the components are the
// stack's. It keeps keys that it does not know.
func shiftPorts(text []byte, dir string, offset int, run string) ([]byte, error) {
	var file yaml.MapSlice
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	var shift func(key string, value any) any
	shift = func(key string, value any) any {
		switch v := value.(type) {
		case yaml.MapSlice:
			for i := range v {
				name := fmt.Sprint(v[i].Key)
				if name == "env" {
					continue
				}
				v[i].Value = shift(name, v[i].Value)
			}
		case map[string]any:
			for name := range v {
				v[name] = shift(name, v[name])
			}
		case []any:
			for i := range v {
				v[i] = shift(key, v[i])
			}
		case uint64:
			if strings.HasSuffix(key, "Port") {
				return v + uint64(offset)
			}
		case string:
			switch {
			case key == "resourcesPaths" && filepath.Clean(v) == "../components":
				return filepath.Join(run, "components") // with the swaps over it
			case key == "resourcesPaths" || key == "appDirPath":
				return absolute(dir, v)
			case key == "command":
				if rest, ok := strings.CutPrefix(v, "./.run/"); ok {
					return filepath.Join(run, rest)
				}
			}
		}
		return value
	}
	return yaml.Marshal(shift("", file))
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// LoadApps reads dapr/dapr.yaml, writes the stack's shifted copy of it, and
// returns every instance of the apps (INSTANCES), with common's options filled in.
func (s *Stack) LoadApps() ([]App, error) {
	source := filepath.Join(s.Root, "dapr", "dapr.yaml")
	text, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	if text, err = shiftPorts(text, filepath.Dir(source), s.Offset, s.Run); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	text = append([]byte("# Made from dapr/dapr.yaml by make up: change that file, not this one.\n"), text...)
	if err := WriteFile(filepath.Join(s.Run, "dapr.yaml"), string(text), 0o644); err != nil {
		return nil, err
	}
	apps, err := parseRunFile(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return s.instances(apps)
}

func parseRunFile(text []byte) ([]App, error) {
	listed, err := runfile.Parse(text)
	apps := make([]App, len(listed))
	for i, a := range listed {
		a.ConfigFile = absolute(a.Dir, a.ConfigFile)
		apps[i] = App{App: a, PublicPort: a.HTTPPort + publicPort, Instance: 1}
	}
	return apps, err
}

// flags returns daprd's arguments: those that `dapr run -f` passes, and loopback
// for every address that would be open to the network otherwise.
func (a App) flags(sentry string) []string {
	var flags []string
	add := func(flag string, value any) {
		if text := fmt.Sprint(value); text != "" && text != "0" {
			flags = append(flags, flag, text)
		}
	}
	const loopback = "127.0.0.1"
	add("--app-id", a.ID)
	add("--app-port", a.Port)
	if !a.Edge() {
		add("--app-protocol", a.AppProtocol)
	}
	add("--app-max-concurrency", a.MaxConcurrency)
	add("--dapr-http-port", a.HTTPPort)
	add("--dapr-grpc-port", a.GRPCPort)
	add("--dapr-listen-addresses", loopback)
	if a.Edge() {
		add("--dapr-internal-grpc-port", a.InternalPort)
	} // that of an app takes a free one: at the old address its callers would look for it again only after a pause
	add("--dapr-internal-grpc-listen-address", loopback)
	add("--metrics-port", a.MetricsPort)
	add("--metrics-listen-address", loopback)
	if a.Edge() {
		add("--dapr-public-port", a.PublicPort)
		add("--dapr-public-listen-address", loopback)
	}
	add("--config", a.ConfigFile)
	for _, path := range a.ResourcesPaths {
		add("--resources-path", path)
	}
	flags = append(flags, "--enable-mtls", "--sentry-address", sentry)
	add("--placement-host-address", a.Placement)
	add("--scheduler-host-address", a.Scheduler)
	add("--max-body-size", a.MaxBodySize)
	add("--read-buffer-size", a.ReadBufferSize)
	if a.AppHealth {
		flags = append(flags, "--enable-app-health-check")
		add("--app-health-check-path", a.AppHealthPath)
		add("--app-health-probe-interval", a.AppHealthEvery)
		add("--app-health-probe-timeout", a.AppHealthTimeout)
		add("--app-health-threshold", a.AppHealthLimit)
	}
	if a.APILogging {
		flags = append(flags, "--enable-api-logging")
	}
	add("--log-level", a.LogLevel)
	return flags
}

// Variable is a ${NAME} of a template, of the realm or of a Dapr file.
var Variable = regexp.MustCompile(`\$\{([A-Z][A-Z0-9_]*)\}`)

// sidecarSettings returns the settings that a sidecar needs: those that its
// configuration and its components name, and those that daprd itself reads.
// The stamp changes with these files, and with secrets that it reads from one.
func (s *Stack) sidecarSettings(a App) (named map[string]bool, stamp string, err error) {
	named = map[string]bool{"DAPR_TRUST_ANCHORS": true, "NAMESPACE": true, "DAPR_HOST_IP": true, "DAPR_API_TOKEN": true, "APP_API_TOKEN": true}
	text, err := os.ReadFile(a.ConfigFile)
	if err != nil {
		return nil, "", err
	}
	for _, m := range Variable.FindAllStringSubmatch(string(text), -1) {
		named[m[1]] = true
	}
	stamp = string(text)
	for _, dir := range a.ResourcesPaths {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			return nil, "", err
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, "", err
			}
			var c component
			if err := yaml.Unmarshal(text, &c); err != nil {
				return nil, "", fmt.Errorf("%s: %w", file, err)
			}
			if len(c.Scopes) > 0 && !slices.Contains(c.Scopes, a.ID) || c.Kind == "" {
				continue
			}
			stamp += string(text)
			for _, m := range c.Spec.Metadata {
				named[m.Env] = true
				if s.Plugged.secretsInEnvironment() {
					named[m.Secret.Name] = true
				} else {
					stamp += s.Settings.Get(m.Secret.Name)
				}
			}
		}
	}
	return named, supervise.Digest(stamp), nil
}

// Processes returns the sidecar and, unless it is one of the edge, the app.
func (s *Stack) Processes(a App, apps []App) ([]supervise.Process, error) {
	named, stamp, err := s.sidecarSettings(a)
	if err != nil {
		return nil, err
	}
	var own []string
	for _, key := range slices.Sorted(maps.Keys(a.Env)) {
		own = append(own, key+"="+a.Env[key])
	}
	if s.Watched { // both send their spans there
		own = append(own, "OTEL_EXPORTER_ZIPKIN_ENDPOINT=http://"+s.At(PortZipkin)+"/api/v2/spans")
	}
	daprd := a.RuntimePath
	if daprd == "" {
		daprd = s.Installer().Daprd()
	}
	side := supervise.Process{
		Name: a.sidecarName(), Dir: a.Dir, Args: append([]string{daprd}, a.flags(s.Settings.Get("SENTRY_ADDRESS"))...),
		// GOGC: a third more requests a second for some memory (measured).
		Env:      slices.Concat(Environment(), s.Settings.Env(func(key string) bool { return named[key] }), []string{"GOGC=400"}, own),
		Patience: 3 * time.Second, Stage: StageApp,
		Health: fmt.Sprintf("http://127.0.0.1:%d/v1.0/healthz", a.HTTPPort), Stamp: stamp,
	}
	if a.Edge() {
		side.Stage = StageEdge
		side.Health = fmt.Sprintf("http://127.0.0.1:%d/v1.0/healthz", a.PublicPort)
		return []supervise.Process{side}, nil
	}
	command := slices.Clone(a.Command)
	command[0] = absolute(a.Dir, command[0])
	ports := map[string]int{"APP_PORT": a.Port, "DAPR_HTTP_PORT": a.HTTPPort, "DAPR_GRPC_PORT": a.GRPCPort, "DAPR_METRICS_PORT": a.MetricsPort}
	if s.Bench && a.Instance == 1 {
		ports["PPROF_PORT"] = a.ProfilePort()
	}
	env := append(s.Settings.Env(appSettings(a.ID, apps)), "APP_ID="+a.ID, "APP_PROTOCOL="+a.AppProtocol)
	for _, key := range slices.Sorted(maps.Keys(ports)) {
		env = append(env, key+"="+strconv.Itoa(ports[key]))
	}
	main := supervise.Process{
		Name: a.Name(), Dir: a.Dir, Args: command, Env: slices.Concat(Environment(), env, own),
		Patience: 25 * time.Second, Stage: StageApp, // longer than kit/serve lets requests take when it stops
		Health: fmt.Sprintf("http://127.0.0.1:%d/readyz", a.Port), Stamp: buildID(command[0]),
	}
	return []supervise.Process{side, main}, nil
}

// buildID changes with what a binary was built from; go build renews the time
// of a file that it left as it was, so that tells nothing.
func buildID(file string) string {
	f, err := elf.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	section := f.Section(".note.go.buildid")
	if section == nil {
		return ""
	}
	note, _ := section.Data()
	return supervise.Digest(string(note))
}
