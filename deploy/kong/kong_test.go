package kong

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dapr/runfile"
	"github.com/stampede-shop/stampede/deploy/routes"
)

// Declarative is kong.yml, strictly: the fields that we use, as Kong 3.9's schemas name them.
type Declarative struct {
	FormatVersion string `yaml:"_format_version"`
	Services      []struct {
		Name, Host, Protocol string
		Port                 int
		ConnectTimeout       int  `yaml:"connect_timeout"`
		WriteTimeout         int  `yaml:"write_timeout"`
		ReadTimeout          int  `yaml:"read_timeout"`
		Retries              *int `yaml:"retries"` // 5 where it is left out
	}
	Routes    []KongRoute
	Consumers []struct{ Username string }
	Plugins   []Plugin
}

type KongRoute struct {
	Name, Service    string
	Protocols        []string
	Paths            []string
	RegexPriority    int   `yaml:"regex_priority"`
	StripPath        *bool `yaml:"strip_path"` // true where it is left out
	PreserveHost     bool  `yaml:"preserve_host"`
	RequestBuffering *bool `yaml:"request_buffering"`
	Plugins          []Plugin
}

type Plugin struct {
	Name, Service, Consumer string
	Config                  yaml.MapSlice
}

// config decodes a plugin's configuration strictly into v.
func (p Plugin) config(t *testing.T, v any) {
	raw, err := yaml.Marshal(p.Config)
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalWithOptions(raw, v, yaml.Strict()), p.Name)
}

func defaults(t *testing.T) Settings {
	s, out, err := Flags(nil)
	require.NoError(t, err)
	require.Empty(t, out)
	return s
}

func read(t *testing.T, file string) string {
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(raw)
}

func declarative(t *testing.T) (d Declarative) {
	require.NoError(t, yaml.UnmarshalWithOptions([]byte(read(t, "kong.yml")), &d, yaml.Strict()))
	slices.SortStableFunc(d.Routes, func(a, b KongRoute) int { return b.RegexPriority - a.RegexPriority })
	return d
}

func TestFlags(t *testing.T) {
	s, out, err := Flags(strings.Fields("-edge 127.0.0.1:1 -edge-auth 127.0.0.1:2 -edge-admin 127.0.0.1:3 -redis 127.0.0.1:4 -token 40 -address 60 -login 6 -o x"))
	require.NoError(t, err)
	require.Equal(t, "x", out)
	require.Equal(t, Settings{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4", 40, 60, 6}, s)
	text, err := Generate([]byte(read(t, "../routes.yaml")), s)
	require.NoError(t, err)
	for _, want := range []string{"port: 1\n", "port: 2\n", "port: 3\n", "port: 4\n", "minute: 40\n", "minute: 60\n", "minute: 6\n"} {
		require.Contains(t, string(text), want)
	}
	s.Edge = "no port"
	_, err = Generate([]byte(read(t, "../routes.yaml")), s)
	require.Error(t, err)
}

// TestTraps: what Kong takes without a word and then does otherwise.
func TestTraps(t *testing.T) {
	text, d := read(t, "kong.yml"), declarative(t)
	require.Contains(t, text, `_format_version: "3.0"`, "a number is refused")
	require.NotContains(t, text, "${", "Kong reads no environment here")
	require.NotContains(t, text, "host: '{vault", "references work for secrets, not for addresses")

	hosts := map[string]string{} // by service
	for _, s := range d.Services {
		require.Equal(t, 0, *s.Retries, "%s: a GET would be replayed", s.Name)
		require.Equal(t, "http", s.Protocol)
		require.Equal(t, 3000, s.ConnectTimeout)
		require.Equal(t, s.ReadTimeout, s.WriteTimeout, "an import is written as slowly as it is taken")
		require.Contains(t, []int{30_000, 300_000}, s.ReadTimeout)
		require.Equal(t, s.ReadTimeout == 300_000, strings.HasSuffix(s.Name, "-upload"))
		hosts[s.Name] = fmt.Sprintf("%s:%d", s.Host, s.Port)
	}
	set := defaults(t)
	require.Equal(t, map[string]string{"edge": set.Edge, "edge-login": set.Edge, "edge-auth": set.EdgeAuth, "edge-auth-upload": set.EdgeAuth, "edge-admin": set.EdgeAdmin, "edge-admin-upload": set.EdgeAdmin}, hosts)

	names, priorities := map[string]bool{}, map[int]bool{}
	for _, r := range d.Routes {
		require.False(t, names[r.Name] || priorities[r.RegexPriority], r.Name)
		names[r.Name], priorities[r.RegexPriority] = true, true
		require.Len(t, r.Paths, 1, r.Name)
		require.True(t, strings.HasPrefix(r.Paths[0], "~/"), "%s: without ~ a regular expression never matches", r.Name)
		require.NotContains(t, r.Paths[0], "(?!", "Rust has no lookahead")
		require.False(t, *r.StripPath, r.Name)
		require.True(t, r.PreserveHost, r.Name)
		require.Equal(t, []string{"http"}, r.Protocols, r.Name)
		require.Equal(t, strings.HasSuffix(r.Service, "-upload"), r.RequestBuffering != nil && !*r.RequestBuffering, r.Name)
		require.Equal(t, r.Name == "closed", r.Service == "", r.Name)
		if r.Service != "" {
			require.Contains(t, hosts, r.Service, r.Name)
		}
		// Methods would send preflights away with 404. There is no such field in KongRoute; gateway.lua has them.
	}

	scopes := map[string]bool{}
	for _, p := range d.Plugins {
		scope := p.Name + " " + p.Service + " " + p.Consumer
		require.False(t, scopes[scope], "two plugins of one name and scope are refused: %s", scope)
		scopes[scope] = true
		if p.Service != "" {
			require.Contains(t, hosts, p.Service)
		}
		if p.Consumer != "" {
			require.Equal(t, d.Consumers[0].Username, p.Consumer)
		}
	}
	for _, want := range []string{"pre-function  ", "post-function  ", "prometheus  ", "rate-limiting  ", "rate-limiting  token", "rate-limiting edge-login "} {
		require.True(t, scopes[want], want)
	}
	for service := range hosts {
		require.Equal(t, !strings.HasSuffix(service, "-upload"), scopes["request-size-limiting "+service+" "], service)
	}
	require.NotRegexp(t, `- name: (cors|jwt|correlation-id|request-transformer|file-log)`, text, "README.md says who does that instead")
}

func TestPlugins(t *testing.T) {
	d, set := declarative(t), defaults(t)
	limits := map[string]int{}
	for _, p := range d.Plugins {
		switch p.Name {
		case "rate-limiting":
			var c struct {
				Minute        int
				LimitBy       string `yaml:"limit_by"`
				Policy        string
				FaultTolerant bool `yaml:"fault_tolerant"`
				Redis         struct {
					Host     string
					Port     int
					Password string
					Timeout  int
				}
			}
			p.config(t, &c)
			require.Equal(t, "redis", c.Policy)
			require.True(t, c.FaultTolerant, "without Redis everybody would get 500")
			require.Equal(t, set.Redis, fmt.Sprintf("%s:%d", c.Redis.Host, c.Redis.Port))
			require.Equal(t, "{vault://env/redis-password}", c.Redis.Password)
			require.LessOrEqual(t, c.Redis.Timeout, 500)
			require.Equal(t, p.Consumer == "token", c.LimitBy == "credential")
			require.Equal(t, p.Consumer == "", c.LimitBy == "ip")
			limits[p.Service+p.Consumer] = c.Minute
		case "request-size-limiting":
			var c struct {
				Size int    `yaml:"allowed_payload_size"`
				Unit string `yaml:"size_unit"`
			}
			p.config(t, &c)
			require.Equal(t, 1, c.Size)
			require.Equal(t, "megabytes", c.Unit, "2^20 bytes")
		case "prometheus":
			var c struct {
				Status    bool `yaml:"status_code_metrics"`
				Latency   bool `yaml:"latency_metrics"`
				Bandwidth bool `yaml:"bandwidth_metrics"`
			}
			p.config(t, &c)
			require.True(t, c.Status && c.Latency && c.Bandwidth)
		case "pre-function", "post-function":
			functions(t, p)
		default:
			t.Errorf("no check for %s", p.Name)
		}
	}
	require.Equal(t, map[string]int{"": set.Address, "token": set.Token, "edge-login": set.Login}, limits)

	for _, r := range d.Routes {
		cached := r.Service == "edge" && !strings.Contains(functions(t, r.Plugins[0])["access"][0], "shared = ") &&
			regexp.MustCompile(`^~/api/v1/(products|categories|availability|drops)\b`).MatchString(r.Paths[0])
		require.Len(t, r.Plugins, map[bool]int{false: 1, true: 2}[cached], r.Name)
		require.Equal(t, "pre-function", r.Plugins[0].Name)
		require.Equal(t, cached, len(functions(t, r.Plugins[0])) == 2, "%s: proxy-cache must see the Content-Type", r.Name)
		if !cached {
			continue
		}
		p := r.Plugins[1]
		require.Equal(t, "proxy-cache", p.Name, r.Name)
		var c struct {
			Strategy        string
			Memory          map[string]string
			RequestMethod   []string        `yaml:"request_method"`
			ResponseCode    []int           `yaml:"response_code"`
			ContentType     []string        `yaml:"content_type"`
			CacheControl    bool            `yaml:"cache_control"`
			VaryHeaders     []string        `yaml:"vary_headers"`
			ResponseHeaders map[string]bool `yaml:"response_headers"`
		}
		p.config(t, &c)
		require.Equal(t, "memory", c.Strategy, "there is no other")
		require.Contains(t, read(t, "http.conf"), "lua_shared_dict "+c.Memory["dictionary_name"]+" ")
		require.True(t, c.CacheControl, "the service says what may be kept")
		require.Equal(t, []string{"GET"}, c.RequestMethod)
		require.Equal(t, []string{"X-Cache-Key"}, c.VaryHeaders)
		require.Equal(t, map[string]bool{"age": false, "X-Cache-Status": false, "X-Cache-Key": false}, c.ResponseHeaders)
		for _, kind := range c.ContentType { // to the letter what services send, and what show_kind shows
			require.Contains(t, read(t, "lua/gateway.lua"), `kind == "`+kind+`"`)
		}
	}
}

// functions checks that a plugin only calls what gateway.lua has, and gives its phases.
func functions(t *testing.T, p Plugin) map[string][]string {
	var c map[string][]string
	p.config(t, &c)
	lua := read(t, "lua/gateway.lua")
	for phase, lines := range c {
		require.Contains(t, []string{"rewrite", "access", "header_filter", "body_filter", "log"}, phase)
		for _, line := range lines {
			call := regexp.MustCompile(`^require\("gateway"\)\.([a-z_]+)(\(\)| \{ .* \})$`).FindStringSubmatch(line)
			require.NotNil(t, call, line)
			require.Regexp(t, `(?m)^(function M\.`+call[1]+`\(|M\.`+call[1]+` = )`, lua)
		}
	}
	return c
}

// choice is what a gateway makes of a path.
type choice struct {
	App, Methods, Limit, Edge string
	Page, Upload              bool
	Ticket, Shared            bool
}

// kongChooses does what Kong 3.9's router does (traditional_compatible) with routes that have one regular expression and
// nothing else: anchored at the start, the highest regex_priority first.
func kongChooses(t *testing.T, d Declarative) func(path string) choice {
	field := func(code, name string) string { return group(` `+name+` = "([^"]*)"`, code) }
	var all []chooser
	for _, r := range d.Routes {
		code := functions(t, r.Plugins[0])["access"][0]
		edge, upload := strings.CutSuffix(strings.TrimSuffix(r.Service, "-login"), "-upload")
		require.Equal(t, strings.HasSuffix(r.Service, "-login"), field(code, "limit") == "login", r.Name)
		all = append(all, chooser{regexp.MustCompile("^" + r.Paths[0][1:]),
			choice{field(code, "app"), field(code, "methods"), field(code, "limit"), edge, strings.Contains(code, "page = true"), upload,
				field(code, "ticket") == defaults(t).Edge, field(code, "shared") == defaults(t).Edge}})
	}
	return first(all)
}

var location = regexp.MustCompile(`(?s)\nlocation ~(\*?) "?([^ "]+)"? \{(.*?)\n\}`)

// nginxChooses does what Nginx does with routes.conf: the first location that matches.
func nginxChooses(conf string) func(path string) choice {
	var all []chooser
	for _, l := range location.FindAllStringSubmatch(conf, -1) {
		if l[1] == "*" {
			l[2] = "(?i)" + l[2]
		}
		all = append(all, chooser{regexp.MustCompile(l[2]),
			choice{group(`\$app "?([a-z]*)`, l[3]), group(`\$methods "([^"]*)`, l[3]), group(`\$limit ([a-z]+)`, l[3]),
				group(`http://([a-z-]+)`, l[3]), strings.Contains(l[3], "$page yes"), strings.Contains(l[3], "64m"),
				strings.Contains(l[3], "$ticket wanted"), strings.Contains(l[3], "$shared yes")}})
	}
	return first(all)
}

// chooser is a choice and the paths that it is made for.
type chooser struct {
	paths *regexp.Regexp
	choice
}

// first chooses the first whose paths match.
func first(all []chooser) func(path string) choice {
	return func(path string) choice {
		for _, c := range all {
			if c.paths.MatchString(path) {
				return c.choice
			}
		}
		return choice{}
	}
}

// group is what the group of a pattern finds in a text.
func group(pattern, text string) string {
	if m := regexp.MustCompile(pattern).FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

func TestKongChoosesAsNginxDoes(t *testing.T) {
	d, conf := declarative(t), read(t, "../nginx/routes.conf")
	file, err := routes.Parse([]byte(read(t, "../routes.yaml")))
	require.NoError(t, err)
	require.Len(t, location.FindAllString(conf, -1), len(file.Routes)+1)
	require.Len(t, d.Routes, len(file.Routes)+1)

	var paths []string
	for _, r := range file.Routes {
		path := regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(strings.TrimSuffix(r.Path, "/**"), "a.b-c")
		paths = append(paths, path)
	}
	paths = append(paths, file.Closed...)
	paths = append(paths, "/", "/x", "/products/red-shirt", "/administrator", "/api/v1", "/api/v1/admin", "/api/v1/carts", "/apis", "/mediation", "/v10",
		"/api/v1/admin/products/0198/images", "/api/v1/admin/products/0198", "/api/v1/payments/webhooks", "/api/v1/auth/loginx")
	chosen := map[string]bool{}
	nginx, kong := nginxChooses(conf), kongChooses(t, d)
	for _, path := range paths {
		for _, tail := range []string{"", "/", "x", "/x", "/x/", "/x/y", "/x/images", "/import", ".x"} {
			for _, p := range []string{path + tail, strings.ToUpper(path) + tail, "/x" + path + tail} {
				if !strings.HasPrefix(p, "/") {
					continue
				}
				want := nginx(p)
				require.Equal(t, want, kong(p), p)
				chosen[fmt.Sprint(want)] = true
			}
		}
	}
	all := map[string]bool{fmt.Sprint(choice{}): true}
	for _, r := range file.Routes {
		all[fmt.Sprint(choice{r.App, methods(r.Methods), r.Limit, r.Edge, r.Page, r.Body == "upload", r.Ticket, r.Shared})] = true
	}
	require.Equal(t, all, chosen, "each kind of route was chosen once at least, and nothing else")
}

// TestSharedDirectives: the maps and the log format of http.conf are Nginx's, and server.conf says no more than it does.
func TestSharedDirectives(t *testing.T) {
	nginx := read(t, "../nginx/common.conf") + read(t, "../nginx/gateway.conf.template")
	blocks := regexp.MustCompile(`(?ms)^(map .*?^\}|log_format .*?;$)`).FindAllString(read(t, "http.conf"), -1)
	require.Len(t, blocks, 8)
	for _, block := range blocks {
		require.Contains(t, nginx, block)
	}
	for line := range strings.SplitSeq(read(t, "server.conf"), "\n") {
		line, _, _ = strings.Cut(line, " #")
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "underscores_in_headers off") || strings.HasPrefix(line, "client_max_body_size 64m") {
			continue // Nginx's default, and routes.conf
		}
		require.Contains(t, nginx, line)
	}
}

// TestStart: Kong is not started without what it would go wrong without.
func TestStart(t *testing.T) {
	env := []string{"DAPR_API_TOKEN=a", "DROPS_KEY=" + strings.Repeat("d", 32), "REDIS_PASSWORD=b", "ALLOWED_ORIGINS=c"}
	for i := range env {
		start := exec.CommandContext(t.Context(), "sh", "start.sh")
		start.Env = slices.Delete(slices.Clone(env), i, i+1)
		out, err := start.CombinedOutput()
		name, _, _ := strings.Cut(env[i], "=")
		require.Error(t, err)
		require.Contains(t, string(out), name)
	}
	start := exec.CommandContext(t.Context(), "sh", "start.sh")
	start.Env = append(slices.Clone(env), "DROPS_KEY="+strings.Repeat("d", 31))
	out, err := start.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "DROPS_KEY: 32")

	start = exec.CommandContext(t.Context(), "sh", "start.sh")
	start.Env = env
	out, _ = start.CombinedOutput()
	require.Contains(t, string(out), "/docker-entrypoint.sh", "nothing is missing but the image's own script: %s", out)
}

// TestAddresses: kong.yml as committed looks for the sidecars at the ports of the run file.
func TestAddresses(t *testing.T) {
	apps, err := runfile.Parse([]byte(read(t, "../../dapr/dapr.yaml")))
	require.NoError(t, err)
	ports := map[string]int{}
	for _, a := range apps {
		ports[a.ID] = a.HTTPPort
	}
	set := defaults(t)
	require.Equal(t, fmt.Sprintf("edge:%d", ports["edge"]), set.Edge)
	require.Equal(t, fmt.Sprintf("edge-auth:%d", ports["edge-auth"]), set.EdgeAuth)
	require.Equal(t, fmt.Sprintf("edge-admin:%d", ports["edge-admin"]), set.EdgeAdmin)
}

// TestKongConf: what kong.yml needs from Kong's own settings, and what must not be open.
func TestKongConf(t *testing.T) {
	conf := map[string]string{}
	for line := range strings.SplitSeq(read(t, "kong.conf"), "\n") {
		if name, value, ok := strings.Cut(line, " = "); ok && !strings.HasPrefix(line, "#") {
			conf[name] = value
		}
	}
	for name, want := range map[string]string{"database": "off", "admin_listen": "off", "admin_gui_listen": "off", "headers": "off", "headers_upstream": "off", "request_debug": "off",
		"untrusted_lua": "sandbox", "untrusted_lua_sandbox_requires": "gateway", "proxy_access_log": "/dev/stdout json"} {
		require.Equal(t, want, conf[name], name)
	}
	for name, file := range map[string]string{"declarative_config": "kong.yml", "nginx_http_include": "http.conf", "nginx_proxy_include": "server.conf", "nginx_location_include": "location.conf"} {
		require.Equal(t, "/opt/stampede/kong/"+file, conf[name])
		require.FileExists(t, file)
	}
	used := map[string]bool{}
	for _, p := range declarative(t).Plugins {
		used[p.Name] = true
	}
	for _, r := range declarative(t).Routes {
		for _, p := range r.Plugins {
			used[p.Name] = true
		}
	}
	loaded := strings.Split(conf["plugins"], ",")
	require.Len(t, loaded, len(used))
	for _, name := range loaded {
		require.True(t, used[name], name)
	}
}
