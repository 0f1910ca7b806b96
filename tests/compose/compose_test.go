// Package compose holds docker-compose.yml to dapr/dapr.yaml and to the rules for
// containers. It reads the file with Compose's own parser and needs no engine.
package compose

import (
	"cmp"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dapr/runfile"
)

const root = "../.."

var required = regexp.MustCompile(`\$\{([A-Z0-9_]+):\?`)

// parse reads docker-compose.yml as `docker compose config` does, with a value for each
// variable that it demands.
func parse(t *testing.T, env []string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")},
		cli.WithWorkingDirectory(root), cli.WithEnv(env), cli.WithProfiles([]string{"*"}))
	require.NoError(t, err)
	return options.LoadProject(t.Context())
}

func load(t *testing.T) *types.Project {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	require.NoError(t, err)
	var env []string
	for _, m := range required.FindAllStringSubmatch(string(text), -1) {
		env = append(env, m[1]+"=value-of-"+m[1])
	}
	require.NotEmpty(t, env)
	project, err := parse(t, env)
	require.NoError(t, err)
	return project
}

func TestFailsWithoutSettings(t *testing.T) {
	t.Parallel()
	_, err := parse(t, nil)
	require.ErrorContains(t, err, "run make compose-env first")
}

// TestPorts: each published port has a setting, and the shop's moves its address, wherever it stands.
func TestPorts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	require.NoError(t, err)
	env := []string{
		"SHOP_PORT=18000", "MAIL_PORT=11080", "BROKER_PORT=25672", "TRACES_PORT=19411", "METRICS_PORT=19090", "DASHBOARDS_PORT=13001",
	}
	for _, m := range required.FindAllStringSubmatch(string(text), -1) {
		env = append(env, m[1]+"=value-of-"+m[1])
	}
	project, err := parse(t, env)
	require.NoError(t, err)
	var published []string
	for name, s := range project.Services {
		for _, p := range s.Ports {
			published = append(published, p.Published)
		}
		for key, value := range s.Environment {
			if value != nil {
				require.NotContains(t, *value, "localhost:8000", "%s: %s", name, key)
			}
		}
		for _, arg := range s.Command {
			require.NotContains(t, arg, "localhost:8000", "%s", name)
		}
	}
	require.ElementsMatch(t, []string{"18000", "11080", "25672", "19411", "19090", "13001"}, published)
}

// TestHoldsNoSecret: whatever is a password, token or key comes from outside.
func TestHoldsNoSecret(t *testing.T) {
	t.Parallel()
	project := load(t)
	secret := regexp.MustCompile(`(PASS|PASSWORD|SECRET|TOKEN|_KEY|ANCHORS)$|_DATABASE_URL$|^RABBITMQ_URL$`)
	for name, s := range project.Services {
		for key, value := range s.Environment {
			if secret.MatchString(key) {
				require.NotNil(t, value, "%s: %s", name, key)
				require.Contains(t, *value, "value-of-", "%s: %s stands in the file", name, key)
			}
		}
		for _, arg := range slices.Concat(s.Command, s.Entrypoint) {
			require.NotContains(t, arg, "value-of-", "%s: a secret among the arguments", name)
		}
	}
}

// TestHardened: what holds for every container.
func TestHardened(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`:v?\d+\.\d+\.\d+[a-z0-9.-]*$|:16\.\d+-[a-z]+$`)
	for name, s := range load(t).Services {
		require.True(t, s.ReadOnly, "%s: read_only", name)
		require.Equal(t, []string{"ALL"}, s.CapDrop, "%s: cap_drop", name)
		require.Empty(t, s.CapAdd, name)
		require.Contains(t, s.SecurityOpt, "no-new-privileges:true", name)
		require.False(t, s.Privileged, name)
		require.NotEmpty(t, s.User, "%s: user", name)
		require.NotRegexp(t, `^(root|0)(:|$)`, s.User, name)
		require.NotNil(t, s.Deploy, "%s: limits", name)
		limits := s.Deploy.Resources.Limits
		require.NotNil(t, limits, "%s: limits", name)
		require.Positive(t, limits.NanoCPUs, "%s: cpus", name)
		require.Positive(t, limits.MemoryBytes, "%s: memory", name)
		require.Positive(t, limits.Pids, "%s: pids", name)
		require.Contains(t, []string{"always", "no"}, s.Restart, "%s: restart", name)
		if !strings.HasPrefix(s.Image, "stampede/") {
			require.Regexp(t, pinned, s.Image, "%s: a version to the last number", name)
		}
		for _, place := range s.Tmpfs {
			require.Regexp(t, `:.*\bmode=1777\b`, place, "%s: a tmpfs without a mode takes the image's, which may be root's alone", name)
		}
		if limit := s.Ulimits["nofile"]; limit != nil {
			require.LessOrEqual(t, max(limit.Single, limit.Hard), 16384, "%s: more than many a host allows keeps it from starting", name)
		}
		for _, p := range s.Ports {
			require.Equal(t, "127.0.0.1", p.HostIP, "%s: published beyond this machine", name)
			if name != "grafana" { // whose port is that of many a page in development
				require.Equal(t, strconv.Itoa(int(p.Target)), p.Published, name)
			}
			require.Contains(t, s.Networks, "outside", "%s: a published port wants a network with a way out", name)
		}
		for _, v := range s.Volumes {
			if v.Type == "bind" {
				require.True(t, v.ReadOnly, "%s: %s", name, v.Source)
				_, err := os.Stat(v.Source)
				require.NoError(t, err, name)
			}
		}
		if name != "seed" && name != "audit" {
			require.NotNil(t, s.HealthCheck, "%s: healthcheck", name)
		}
	}
}

// TestFrontFiles: whatever the front's configuration includes is in its image, from
// either place that pictures can come from.
func TestFrontFiles(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "deploy/Dockerfile"))
	require.NoError(t, err)
	require.Contains(t, string(text), "\nARG MEDIA=folder\nCOPY deploy/media/${MEDIA} /etc/nginx/templates/\n")
	included := map[string]bool{}
	for _, file := range []string{"deploy/compose/nginx.conf.template", "deploy/nginx/front.conf.template", "deploy/nginx/keys.conf.template",
		"deploy/media/folder/media.conf.template", "deploy/media/s3/media.conf.template"} {
		conf, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		require.NotContains(t, string(conf), "_by_lua", "%s: this Nginx has no Lua", file)
		for _, m := range regexp.MustCompile(`(?m)^\s*include ([a-z-]+\.conf);`).FindAllStringSubmatch(string(conf), -1) {
			included[m[1]] = true
		}
	}
	require.Contains(t, included, "media.conf")
	for name := range included {
		if strings.HasPrefix(name, "media") {
			for _, kind := range []string{"folder", "s3"} {
				require.FileExists(t, filepath.Join(root, "deploy/media", kind, name+".template"))
			}
			continue
		}
		require.Regexp(t, `COPY [^\n]*/`+regexp.QuoteMeta(name), string(text))
	}
}

// TestBaseImages: what the Dockerfile builds on is pinned, too, and every target that
// compose names is there.
func TestBaseImages(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "deploy/Dockerfile"))
	require.NoError(t, err)
	stages := map[string]bool{}
	stage := regexp.MustCompile(`(?m)^FROM (?:--platform=\$BUILDPLATFORM )?(\S+) AS (\S+)$`)
	for _, m := range stage.FindAllStringSubmatch(string(text), -1) {
		if !stages[m[1]] && m[1] != "scratch" {
			require.Regexp(t, `:\d+\.\d+\.\d+`, m[1])
		}
		stages[m[2]] = true
	}
	project := load(t)
	built := map[string]bool{}
	for name, s := range project.Services {
		if s.Build != nil {
			require.True(t, stages[s.Build.Target], "%s: target %s", name, s.Build.Target)
			built[s.Image] = true
		}
	}
	for name, s := range project.Services {
		if strings.HasPrefix(s.Image, "stampede/") {
			require.True(t, built[s.Image], "%s: nobody builds %s", name, s.Image)
		}
	}
}

// TestLikeRunFile: each app of dapr/dapr.yaml has a container and a sidecar with the same
// ports, configuration, components and sizes, and there are no others.
func TestLikeRunFile(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "dapr/dapr.yaml"))
	require.NoError(t, err)
	apps, err := runfile.Parse(text)
	require.NoError(t, err)
	project := load(t)
	sidecars := 0
	for _, a := range apps {
		edge := a.Edge()
		name := a.ID + "-daprd"
		if edge {
			name = a.ID
		}
		require.Contains(t, project.Services, name)
		side := project.Services[name]
		sidecars++
		require.Equal(t, "stampede/dapr:dev", side.Image, "our daprd: the stock oauth2 middleware is not safe")
		flags := map[string][]string{}
		for i, arg := range side.Command {
			if strings.HasPrefix(arg, "--") {
				flags[arg] = append(flags[arg], strings.Join(side.Command[i+1:min(i+2, len(side.Command))], ""))
			}
		}
		want := map[string]string{
			"--app-id": a.ID, "--dapr-http-port": strconv.Itoa(a.HTTPPort), "--dapr-grpc-port": strconv.Itoa(a.GRPCPort),
			"--metrics-port": strconv.Itoa(a.MetricsPort), "--metrics-listen-address": "0.0.0.0",
			// names.yaml finds every sidecar at this port.
			"--dapr-internal-grpc-port": "50002", "--dapr-internal-grpc-listen-address": "0.0.0.0",
			"--sentry-address": "sentry:50001", "--dapr-listen-addresses": "0.0.0.0", "--max-body-size": a.MaxBodySize,
			"--read-buffer-size": a.ReadBufferSize, "--log-level": a.LogLevel,
		}
		health := a.HTTPPort
		if edge {
			health = a.HTTPPort + 400
			want["--dapr-public-port"], want["--dapr-public-listen-address"] = strconv.Itoa(health), "127.0.0.1"
			require.NotContains(t, flags, "--app-port")
			require.Contains(t, side.Networks, "edge", name)
			require.Contains(t, side.Networks, "mesh", name)
		} else {
			want["--app-channel-address"], want["--app-port"] = a.ID, strconv.Itoa(a.Port)
		}
		for flag, value := range want {
			require.Equal(t, []string{value}, flags[flag], "%s: %s", name, flag)
		}
		require.Contains(t, flags, "--enable-mtls", name)
		require.Equal(t, []string{"/" + a.ConfigFile, "/compose/names.yaml"}, flags["--config"], "%s: the later one wins", name)
		require.Equal(t, []string{"/components", "/dapr"}, flags["--resources-path"], name)
		mounts := map[string]string{}
		for _, v := range side.Volumes {
			mounts[v.Target] = v.Source
		}
		for target, source := range map[string]string{"/components": "components", "/dapr": "dapr", "/compose/names.yaml": "deploy/compose/names.yaml"} {
			absolute, err := filepath.Abs(filepath.Join(root, source))
			require.NoError(t, err)
			require.Equal(t, absolute, mounts[target], name)
		}
		require.Contains(t, side.HealthCheck.Test[2], ":"+strconv.Itoa(health)+"/v1.0/healthz", name)
		require.Equal(t, "default", *side.Environment["NAMESPACE"], name)
		require.Contains(t, side.Environment, "DAPR_TRUST_ANCHORS", name)
		for _, key := range componentSettings(t, a.ID) {
			require.Contains(t, side.Environment, key, "%s: a component wants it", name)
		}
		require.Equal(t, "service_healthy", side.DependsOn["sentry"].Condition, name)
		if edge {
			for _, other := range apps {
				if !other.Edge() {
					require.Equal(t, "service_healthy", side.DependsOn[other.ID].Condition, "%s waits for %s", name, other.ID)
				}
			}
			require.Equal(t, project.Services["kong-1"].Environment["DAPR_API_TOKEN"], side.Environment["DAPR_API_TOKEN"], name)
			continue
		}

		require.Contains(t, project.Services, a.ID)
		app := project.Services[a.ID]
		require.Equal(t, name, *app.Environment["DAPR_HOST"], a.ID)
		require.Equal(t, "0.0.0.0", *app.Environment["APP_HOST"], a.ID)
		// Each is open to whoever shares a network with it: tokens that no other pair has say who may come.
		for _, key := range []string{"DAPR_API_TOKEN", "APP_API_TOKEN"} {
			require.Equal(t, "value-of-"+strings.ToUpper(a.ID)+"_"+key, *app.Environment[key], a.ID)
			require.Equal(t, app.Environment[key], side.Environment[key], name)
		}
		require.Equal(t, a.ID, *app.Build.Args["SERVICE"])
		require.Equal(t, "stampede/"+a.ID+":dev", app.Image)
		require.Equal(t, strconv.Itoa(a.Port), *app.Environment["APP_PORT"], a.ID)
		require.Equal(t, strconv.Itoa(a.HTTPPort), *app.Environment["DAPR_HTTP_PORT"], a.ID)
		require.Equal(t, strconv.Itoa(a.GRPCPort), *app.Environment["DAPR_GRPC_PORT"], a.ID)
		require.Contains(t, app.HealthCheck.Test[2], ":"+strconv.Itoa(a.Port)+"/readyz", a.ID)
	}
	for name, s := range project.Services {
		if s.Image == "stampede/dapr:dev" && name != "sentry" {
			sidecars--
		}
	}
	require.Zero(t, sidecars, "a sidecar that dapr.yaml does not know")
}

// componentSettings are what an app's components take from the environment.
func componentSettings(t *testing.T, app string) (keys []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "components", "*.yaml"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var c struct {
			Scopes []string `yaml:"scopes"`
			Spec   struct {
				Metadata []struct {
					Secret struct {
						Name string `yaml:"name"`
					} `yaml:"secretKeyRef"`
				} `yaml:"metadata"`
			} `yaml:"spec"`
		}
		require.NoError(t, yaml.Unmarshal(text, &c), file)
		for _, m := range c.Spec.Metadata {
			if m.Secret.Name != "" && slices.Contains(c.Scopes, app) {
				keys = append(keys, m.Secret.Name)
			}
		}
	}
	return keys
}

// TestNetworks: who can reach what. Everything has a network, only what is published has
// one that leads out, and drops to its beacon, and only sidecars share one with the certificate authority.
func TestNetworks(t *testing.T) {
	t.Parallel()
	project := load(t)
	for name, n := range project.Networks {
		require.Equal(t, name != "outside" && name != "beacon", bool(n.Internal), name)
	}
	members := map[string][]string{}
	for name, s := range project.Services {
		for network := range s.Networks {
			members[network] = append(members[network], name)
		}
		// In another's namespace it would be cut off for good when that one dies.
		require.Empty(t, s.NetworkMode, name)
		require.NotContains(t, s.Networks, "default", "%s names its networks", name)
		if side, ok := project.Services[name+"-daprd"]; ok {
			require.ElementsMatch(t, []string{name, name + "-daprd"}, sharing(project, name), "a network for the two alone")
			_, stores := side.Networks["data"]
			require.Equal(t, len(side.DependsOn) > 2, stores, "%s-daprd: its components' servers are on data", name)
		}
	}
	require.ElementsMatch(t, []string{"nginx", "kong-1", "kong-2", "prometheus"}, members["gateway"])
	require.ElementsMatch(t, []string{"nginx", "maildev", "rabbitmq", "zipkin", "prometheus", "grafana"}, members["outside"])
	require.Equal(t, []string{"drops"}, members["beacon"])
	for _, name := range members["mesh"] {
		known := strings.HasSuffix(name, "-daprd") || strings.HasPrefix(name, "edge") || name == "sentry" || name == "zipkin"
		require.True(t, known, "%s could have any app's certificate", name)
	}
	require.Contains(t, members["data"], "audit")
	require.NotContains(t, members["data"], "nginx")
	require.NotContains(t, members["data"], "kong-1")
}

// sharing lists who is on a network.
func sharing(project *types.Project, network string) (names []string) {
	for name, s := range project.Services {
		if _, on := s.Networks[network]; on {
			names = append(names, name)
		}
	}
	return names
}

// TestNames: the one file that is laid over the apps' configurations changes how names are
// found, and nothing else.
func TestNames(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "deploy/compose/names.yaml"))
	require.NoError(t, err)
	var file struct {
		Kind string         `yaml:"kind"`
		Spec map[string]any `yaml:"spec"`
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	require.Equal(t, "Configuration", file.Kind)
	require.Equal(t, map[string]any{
		"nameResolution": map[string]any{
			"component": "kubernetes", "version": "v1",
			"configuration": map[string]any{"template": "{{.ID}}-daprd:50002"},
		},
	}, file.Spec)
}

// TestWatched: what Prometheus is to read are services that it shares a network with, every app and sidecar among them by each
// address that its name has, and what is read of them is what apps and sidecars serve, under their name and kind.
func TestWatched(t *testing.T) {
	t.Parallel()
	project := load(t)
	text, err := os.ReadFile(filepath.Join(root, "deploy/compose/prometheus.yml"))
	require.NoError(t, err)
	var file struct {
		Jobs []struct {
			Static []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
			DNS []struct {
				Names []string `yaml:"names"`
				Type  string   `yaml:"type"`
				Port  int      `yaml:"port"`
			} `yaml:"dns_sd_configs"`
			Relabel []struct {
				Sources     []string `yaml:"source_labels"`
				Regex       string   `yaml:"regex"`
				Target      string   `yaml:"target_label"`
				Replacement string   `yaml:"replacement"`
			} `yaml:"relabel_configs"`
		} `yaml:"scrape_configs"`
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	require.Len(t, file.Jobs, 2)
	reached := func(host string) {
		require.Contains(t, project.Services, host)
		shared := false
		for network := range project.Services[host].Networks {
			_, there := project.Services["prometheus"].Networks[network]
			shared = shared || there
		}
		require.True(t, shared, "prometheus does not reach %s", host)
	}
	for _, target := range file.Jobs[0].Static {
		require.Len(t, target.Targets, 1)
		host, _, err := net.SplitHostPort(target.Targets[0])
		require.NoError(t, err)
		if host != "localhost" {
			reached(host)
		}
	}
	seen := map[string]bool{}
	for _, target := range file.Jobs[1].DNS {
		require.Len(t, target.Names, 1)
		require.Equal(t, "A", target.Type)
		name, port := target.Names[0], strconv.Itoa(target.Port)
		reached(name)
		seen[name] = true
		// What Prometheus makes of the first of its addresses.
		labels := map[string]string{"__meta_dns_name": name, "__address__": "172.18.0.5:" + port}
		for _, r := range file.Jobs[1].Relabel {
			var from []string
			for _, source := range r.Sources {
				from = append(from, labels[source])
			}
			value := strings.Join(from, ";")
			whole := regexp.MustCompile("^(?s:" + cmp.Or(r.Regex, "(.*)") + ")$")
			if at := whole.FindStringSubmatchIndex(value); at != nil {
				labels[r.Target] = string(whole.ExpandString(nil, cmp.Or(r.Replacement, "$1"), value, at))
			}
		}
		app, sidecar := strings.CutSuffix(name, "-daprd")
		require.Equal(t, app, labels["app"])
		require.Equal(t, name+" 172.18.0.5", labels["instance"])
		if sidecar || strings.HasPrefix(name, "edge") {
			require.Equal(t, "sidecar", labels["job"], name)
			require.Contains(t, project.Services[name].Command, port, name)
		} else {
			require.Equal(t, "service", labels["job"], name)
			require.Equal(t, port, *project.Services[name].Environment["APP_PORT"], name)
		}
	}
	for name, s := range project.Services {
		if s.Image == "stampede/dapr:dev" && name != "sentry" {
			require.True(t, seen[name], "%s is not read", name)
			require.True(t, seen[strings.TrimSuffix(name, "-daprd")], "%s is not read", name)
		}
	}
}

// TestReadme: the commands of deploy/compose/README.md name services, profiles and make targets that are there. make
// compose-test runs those of its beginning.
func TestReadme(t *testing.T) {
	t.Parallel()
	project := load(t)
	text, err := os.ReadFile(filepath.Join(root, "deploy/compose/README.md"))
	require.NoError(t, err)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	each := func(pattern string, check func(name string)) {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1)
		require.NotEmpty(t, found, pattern)
		for _, m := range found {
			check(m[1])
		}
	}
	service := func(name string) { require.Contains(t, project.Services, name) }
	each(`(?:compose run --rm|compose exec|logs -f|up -d --build|compose ps -aq) ([a-z][a-z-]*)`, service)
	each(`--scale ([a-z-]+)=`, service)
	each("(?m)(?:^    |`)make ([a-z-]+)", func(name string) { require.Regexp(t, `(?m)^`+name+`:`, string(makefile)) })
	each(`--profile ([a-z]+)`, func(name string) {
		require.True(t, slices.ContainsFunc(project.ServiceNames(), func(s string) bool {
			return slices.Contains(project.Services[s].Profiles, name)
		}), name)
	})
	require.NotContains(t, string(text), project.Name+"-seed-", "a container's name moves with the project's")
}

// TestKong: the gateway's addresses are services and ports of this file.
func TestKong(t *testing.T) {
	t.Parallel()
	project := load(t)
	text, err := os.ReadFile(filepath.Join(root, "deploy/kong/kong.yml"))
	require.NoError(t, err)
	var kong struct {
		Services []struct {
			Host string `yaml:"host"`
			Port int    `yaml:"port"`
		} `yaml:"services"`
	}
	require.NoError(t, yaml.Unmarshal(text, &kong))
	require.NotEmpty(t, kong.Services)
	for _, s := range kong.Services {
		i := slices.Index(project.Services[s.Host].Command, "--dapr-http-port")
		require.GreaterOrEqual(t, i, 0, s.Host)
		require.Equal(t, strconv.Itoa(s.Port), project.Services[s.Host].Command[i+1], s.Host)
	}
	conf, err := os.ReadFile(filepath.Join(root, "deploy/kong/kong.conf"))
	require.NoError(t, err)
	port := regexp.MustCompile(`(?m)^proxy_listen = 0\.0\.0\.0:(\d+)`).FindStringSubmatch(string(conf))
	require.NotNil(t, port)
	for _, node := range []string{"kong-1", "kong-2"} {
		require.Contains(t, *project.Services["nginx"].Environment["GATEWAY_SERVERS"], node+":"+port[1])
	}
}
