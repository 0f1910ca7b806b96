package gateway

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// TestKongLua holds what Kong is told to do in Lua, by deploy/kong, to the contract, where there is no Kong: a native
// Nginx runs the functions of kong.yml, deploy/kong/lua and the three files that Kong includes, in the phases and around
// the directives of Kong 3.9's own Nginx template. Kong's router is imitated (the routes by priority), its plugins other
// than pre-function and post-function are not there: what they do is left to a run against a real Kong (doc.go).
func TestKongLua(t *testing.T) {
	t.Parallel()
	plugins := []string{"a body is at most 1 MiB"}
	u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
	k := newKongLua(t, addresses, nil)
	g := &gateway{address: k.gateway, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u}
	for _, r := range rules {
		if r.need == limited || r.need == patience || slices.Contains(plugins, r.name) {
			continue
		}
		t.Run(strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			r.check(t, g)
		})
	}
}

// kongFile is what the stand-in reads of kong.yml.
type kongFile struct {
	Routes  []kongRoute
	Plugins []kongPlugin
}

type kongRoute struct {
	Service  string
	Paths    []string
	Priority int   `yaml:"regex_priority"`
	Buffered *bool `yaml:"request_buffering"`
	Plugins  []kongPlugin
}

type kongPlugin struct {
	Name   string
	Config map[string]any
}

// TestKongImage: .ci/kong gives Kong's own image what start.sh demands, and what it gives is what this suite expects.
func TestKongImage(t *testing.T) {
	t.Parallel()
	text := func(name string) string {
		text, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(t, err)
		return string(text)
	}
	script := text(".ci/kong")
	demanded := regexp.MustCompile(`\$\{([A-Z_]+):\?`).FindAllStringSubmatch(text("deploy/kong/start.sh"), -1)
	require.NotEmpty(t, demanded)
	for _, name := range demanded {
		for _, file := range []string{script, text("deploy/kong/README.md")} {
			require.Regexp(t, `(?s)docker run (\\\n|[^\n])*\s-e `+name[1]+`\s`, file)
		}
	}
	require.Contains(t, script, "DAPR_API_TOKEN="+apiToken+" ")
	require.Contains(t, script, "DROPS_KEY="+dropsKey+" ")
	require.Contains(t, script, `ALLOWED_ORIGINS="`+strings.Join(origins, " ")+`"`)
	require.Contains(t, script, fmt.Sprintf("-token %d -address %d -login %d ", rates.token, rates.address, rates.login))
}

// TestKongPluginsAreTold: what Kong's plugins find between our functions, which the stand-in writes into the answer, and
// what is written down of it all.
func TestKongPluginsAreTold(t *testing.T) {
	t.Parallel()
	u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
	k := newKongLua(t, addresses, nil)
	g := &gateway{address: k.gateway, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u}
	token := strings.Repeat("h", 50) + "." + strings.Repeat("s", 43)
	for _, c := range []struct {
		path, counted, cached string
		header                []string
	}{
		{"/api/v1/products?q=a%3Ab", "", "/api/v1/products?q=a%3Ab", []string{"Cache-Control: no-cache"}},
		{"/api/v1/products?q=secret", strings.Repeat("s", 43), "/api/v1/products?q=secret no-store", []string{"Authorization: Bearer " + token}},
		{"/api/v1/orders", strings.Repeat("s", 43), "", []string{"Authorization: Bearer " + token}},
		{"/api/v1/auth/login", "", "", []string{"Authorization: Bearer " + token}},
		{"/", "", "", []string{"Cache-Control: no-cache"}},
		{"/api/v1/products?hit=1", "", "/api/v1/products?hit=1", nil},
	} {
		method := map[bool]string{true: "POST", false: "GET"}[strings.HasSuffix(c.path, "login")]
		a := g.send(t, request{method: method, path: c.path, header: append(c.header, "X-Cache-Key: forged", "Kong-Debug: 1")})
		require.Equal(t, 200, a.status, a.body)
		require.Equal(t, c.counted, a.header.Get("Counted-By"), c.path)
		if c.cached != "" {
			require.Equal(t, c.cached, a.header.Get("Cached-By"))
			require.Empty(t, a.seen.header["Cache-Control"], c.path)
		}
		require.Empty(t, a.seen.header["X-Cache-Key"], c.path)
		require.Empty(t, a.seen.header["Kong-Debug"], c.path)
	}
	u.answer("/api/v1/products/with-a-cookie", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Set-Cookie", "who=you")
	})
	for path, kept := range map[string]string{"/api/v1/products/plain": "application/json", "/api/v1/products/with-a-cookie": "", "/api/v1/cart": ""} {
		a := g.send(t, request{method: "GET", path: path})
		require.Equal(t, 200, a.status, a.body)
		require.Equal(t, kept, a.header.Get("Kept-As"), path)
		require.Equal(t, "application/json", a.header.Get("Content-Type"), path)
	}
	require.Equal(t, 400, g.send(t, request{method: "GET", path: "/api/v1/caf\xe9", header: []string{"User-Agent: a\xff"}}).status)
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(filepath.Join(k.dir, "access.log"))
		return err == nil && strings.Count(string(log), "\n") == 10 &&
			!strings.Contains(string(log), "secret") && !strings.Contains(string(log), "sss") &&
			strings.Contains(string(log), `"service":"gateway"`) && strings.Contains(string(log), `"app":"products"`) &&
			strings.Count(string(log), `"cache":"HIT"`) == 1 && utf8.Valid(log) &&
			strings.Contains(string(log), `"path":"/api/v1/caf�"`) && strings.Contains(string(log), `"agent":"a�"`)
	}, 5*time.Second, 10*time.Millisecond)
}

// TestEveryKongLineBites takes one thing at a time out of deploy/kong, as TestEveryRuleBites does for Nginx.
func TestEveryKongLineBites(t *testing.T) {
	t.Parallel()
	for _, m := range []struct{ rule, file, old, new string }{
		{"each route leads to its app", "kong/kong.yml", `app = "carts"`, `app = "orders"`},
		{"each route leads to its app", "kong/kong.yml", `service: edge-auth`, `service: edge`},
		{"each route leads to its app", "kong/kong.yml", `regex_priority: 1`, `regex_priority: 991`},
		{"each route leads to its app", "kong/lua/gateway.lua", `set("dapr-app-id", route.app)`, ``},
		{"other methods are 405", "kong/kong.yml", `methods = "POST"`, `methods = "GET HEAD POST PUT"`},
		{"other methods are 405", "kong/kong.yml", `      header_filter: ['require("gateway").answer_headers()']`, ``},
		{"other paths are 404", "kong/kong.yml", `(?i:`, `(?:`},
		{"other paths are 404", "kong/kong.yml", `|healthz`, ``},
		{"paths that can be read in two ways are refused", "kong/lua/gateway.lua", `edge.check() `, `do end `},
		{"a request without a host is refused", "kong/lua/gateway.lua", `edge.check() `, `do end `},
		{"letters and spaces in a path pass encoded", "kong/lua/gateway.lua", `var.upstream_uri = var.raw_path`, `local _ = nil`},
		{"what clients say about themselves is removed", "kong/lua/gateway.lua", `set("dapr-api-token", dapr_api_token)`, ``},
		{"what clients say about themselves is removed", "kong/lua/gateway.lua", `"Upgrade", `, ``},
		{"what clients say about themselves is removed", "kong/lua/gateway.lua", `"for", "proto",`, ``},
		{"what clients say about themselves is removed", "kong/server.conf", `underscores_in_headers off;`, ``},
		{"no client has the gateway's own headers removed", "kong/lua/gateway.lua", `"Connection", `, ``},
		{"tokens and the shop's own headers pass", "kong/server.conf", `large_client_header_buffers 4 64k;`, ``},
		{"an event stream is not asked for", "kong/lua/gateway.lua", `set("Accept", var.safe_accept)`, ``},
		{"cookies go to the faces alone", "kong/lua/gateway.lua", `clear("Cookie")`, ``},
		{"every answer has a request id", "kong/server.conf", `add_header X-Request-Id $rid always;`, ``},
		{"a harmless request id is kept and another is not", "kong/http.conf", `"~^[A-Za-z0-9._-]{8,64}$"`, `"~."`},
		{"the request id reaches the service", "kong/lua/gateway.lua", `set("X-Request-Id", var.rid)`, ``},
		{"the request id reaches the service", "kong/server.conf", `proxy_hide_header X-Request-Id;`, ``},
		{"pages are not shared with other origins", "kong/kong.yml", `, page = true`, ``},
		{"an upload is at most 64 MiB", "kong/server.conf", `client_max_body_size 64m;`, ``},
		{"errors of a sidecar become problems", "kong/server.conf", `proxy_hide_header Content-Type;`, ``},
		{"errors of a sidecar become problems", "kong/kong.yml", `      body_filter: ['require("gateway").answer_body()']`, ``},
		{"a claim needs a ticket of its drop that is called", "kong/kong.yml", `, ticket = "edge:3511"`, ``},
		{"a claim needs a ticket of its drop that is called", "kong/lua/gateway.lua", `edge.ticket(function()`, `local _ = (function()`},
		{"a claim needs a ticket of its drop that is called", "kong/lua/gateway.lua", `= route.ticket and "wanted" or "",`, `= "",`},
		{"claims ask for a drop's status twice a second", "kong/lua/gateway.lua", `.init(dapr_api_token)`, `.init("")`},
		{"a drop's status costs two requests a second", "kong/kong.yml", `, shared = "edge:3511"`, ``},
		{"a drop's status costs two requests a second", "kong/lua/gateway.lua", `route.shared and "yes" or ""`, `""`},
		{"a drop's status costs two requests a second", "kong/lua/gateway.lua", `exit(status, body, headers)`, `exit(status, body)`},
		{"a dead sidecar is unavailable and nothing is sent twice", "kong/server.conf", `proxy_next_upstream off;`, ``},
	} {
		t.Run(strings.ReplaceAll(m.rule+" without "+m.old, " ", "_"), func(t *testing.T) {
			t.Parallel()
			u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
			found := false
			k := newKongLua(t, addresses, func(file, text string) string {
				if file != m.file || !strings.Contains(text, m.old) {
					return text
				}
				found = true
				return strings.ReplaceAll(text, m.old, m.new)
			})
			require.True(t, found, "%s has no %q any more", m.file, m.old)
			g := &gateway{address: k.gateway, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u}
			i := slices.IndexFunc(rules, func(r rule) bool { return r.name == m.rule })
			require.GreaterOrEqual(t, i, 0, "there is no rule %q", m.rule)
			g.send(t, request{method: "GET", path: "/api/v1/cart"}) // leaves a kept connection behind: Nginx sends again on those
			require.NotEmpty(t, failures(g, rules[i]), "the rule holds all the same")
		})
	}
}

// newKongLua starts the stand-in before these sidecars, with the files of deploy changed by edit.
func newKongLua(t *testing.T, sidecars [3]string, edit func(file, text string) string) *nginx {
	path, err := exec.LookPath("nginx")
	require.NoError(t, err, "nginx with its Lua module is needed here (make up installs it)")

	dir, err := os.MkdirTemp("/var/tmp", "stampede-kong-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, file := range []string{"kong/kong.yml", "kong/http.conf", "kong/server.conf", "kong/location.conf", "kong/lua/gateway.lua",
		"nginx/lua/edge.lua", "nginx/lua/admission.lua", "nginx/lua/tickets.lua", "nginx/lua/statuses.lua", "nginx/lua/hash.lua",
		"nginx/html/4xx.html", "nginx/html/429.html", "nginx/html/503.html"} {
		raw, err := os.ReadFile(filepath.Join("../../deploy", file))
		require.NoError(t, err)
		text := string(raw)
		if edit != nil {
			text = edit(file, text)
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
	}
	raw, err := os.ReadFile(filepath.Join(dir, "kong/kong.yml"))
	require.NoError(t, err)
	var file kongFile
	require.NoError(t, yaml.Unmarshal(raw, &file))
	n := &nginx{dir: dir, gateway: freeAddress(t)}
	n.keys = n.gateway // start waits for it

	slices.SortFunc(file.Routes, func(a, b kongRoute) int { return b.Priority - a.Priority })
	var lua strings.Builder
	fmt.Fprintf(&lua, "routes = {\n")
	address := func(service string) string {
		switch {
		case service == "":
			return ""
		case strings.HasPrefix(service, "edge-auth"):
			return sidecars[1]
		case strings.HasPrefix(service, "edge-admin"):
			return sidecars[2]
		}
		return sidecars[0]
	}
	for _, r := range file.Routes {
		fmt.Fprintf(&lua, "  { path = [[^%s]], target = %q, unbuffered = %t, access = %s, header_filter = %s },\n", r.Paths[0][1:], address(r.Service),
			r.Buffered != nil && !*r.Buffered, calls(r.Plugins, "pre-function", "access"), calls(r.Plugins, "pre-function", "header_filter"))
	}
	fmt.Fprintf(&lua, "}\nrewrite = %s\nleave = %s\n", calls(file.Plugins, "pre-function", "rewrite"),
		calls(file.Plugins, "post-function", "access"))
	for _, phase := range []string{"header_filter", "body_filter", "log"} {
		fmt.Fprintf(&lua, "%s = %s\n", phase, calls(file.Plugins, "post-function", phase))
	}

	conf := strings.ReplaceAll(kongLua, "@PROXY@", kongProxy)
	text := strings.NewReplacer("@RUN@", dir, "@LISTEN@", n.gateway, "@ROUTES@", strings.ReplaceAll(lua.String(), "edge:3511", sidecars[0]),
		"@TOKEN@", apiToken, "@DROPS@", dropsKey, "@ORIGINS@", strings.Join(origins, " ")).Replace(conf)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(text), 0o644))
	n.start(t, path)
	t.Cleanup(func() {
		n.stop()
		if text, _ := os.ReadFile(filepath.Join(dir, "error.log")); t.Failed() {
			t.Logf("its log ends with:\n%s", text[max(0, len(text)-4000):])
		}
	})
	return n
}

// calls gives the functions of a plugin for a phase as one Lua function.
func calls(plugins []kongPlugin, name, phase string) string {
	var lines []string
	for _, p := range plugins {
		if list, ok := p.Config[phase].([]any); ok && p.Name == name {
			for _, line := range list {
				lines = append(lines, line.(string))
			}
		}
	}
	return "function() " + strings.Join(lines, "; ") + " end"
}

// kongLua is Kong 3.9's Nginx template around our files, as far as it matters to them.
const kongLua = `
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
daemon off;
pid @RUN@/nginx.pid;
error_log stderr error;
worker_processes 1;
events { worker_connections 1024; }
http {
    server_tokens off;
    underscores_in_headers on;
    charset UTF-8;
    client_max_body_size 0;
    client_body_buffer_size 8k;
    uninitialized_variable_warn off;
    lua_package_path "@RUN@/kong/lua/?.lua;@RUN@/nginx/lua/?.lua;;";
    client_body_temp_path @RUN@/body;
    proxy_temp_path @RUN@/proxy;
    fastcgi_temp_path @RUN@/unused;
    uwsgi_temp_path @RUN@/unused;
    scgi_temp_path @RUN@/unused;
    include @RUN@/kong/http.conf;

    init_by_lua_block {
        @ROUTES@
        local values = { ["{vault://env/dapr-api-token}"] = "@TOKEN@", ["{vault://env/allowed-origins}"] = "@ORIGINS@",
            ["{vault://env/drops-key}"] = "@DROPS@" }
        kong = {
            vault = { get = function(name) return values[name] end },
            client = { load_consumer = function() return {} end, authenticate = function(_, credential) ngx.header["Counted-By"] = credential.id end },
            response = { exit = function(status, body, headers)
                ngx.ctx.exit, ngx.ctx.says, ngx.ctx.headers = status, body, headers
                coroutine.yield()
            end },
            ctx = setmetatable({}, { __index = function() return { proxy_cache_hit = ngx.var.arg_hit and {} } end }), -- shared
        }
    }
    upstream sidecars {
        server 0.0.0.1;
        balancer_by_lua_block {
            local host, port = ngx.ctx.route.target:match("^(.*):(.*)$")
            assert(require("ngx.balancer").set_current_peer(host, tonumber(port)))
        }
        keepalive 16;
    }
    server {
        listen @LISTEN@;
        server_name kong;
        error_page 400 404 405 408 411 412 413 414 417 /kong_error_handler;
        error_page 494 =494                            /kong_error_handler;
        error_page 500 502 503 504                     /kong_error_handler;
        access_log @RUN@/access.log json;
        include @RUN@/kong/server.conf;
        real_ip_header X-Real-IP;
        set_real_ip_from 127.0.0.1;

        rewrite_by_lua_block { if ngx.var.proxy_mode ~= "unbuffered" then rewrite() end }
        access_by_lua_block {
            for _, r in ipairs(routes) do
                if ngx.re.find(ngx.var.uri, r.path, "jo") then
                    ngx.ctx.route = r
                    break
                end
            end
            local ctx, var = ngx.ctx, ngx.var
            if not ctx.route then
                return ngx.exit(404)
            end
            var.upstream_host = var.http_host or "service" -- preserve_host, or else the service's own
            var.upstream_upgrade = var.http_upgrade or ""
            var.upstream_via = "1.1 kong/3.9.1"
            var.upstream_x_forwarded_for = (var.http_x_forwarded_for or "") .. var.remote_addr
            var.upstream_x_forwarded_proto = var.http_x_forwarded_proto or "http"
            var.upstream_x_forwarded_host = var.http_x_forwarded_host or var.host
            var.upstream_x_forwarded_port = var.http_x_forwarded_port or var.server_port
            var.upstream_x_forwarded_path = var.http_x_forwarded_path or var.request_uri
            var.upstream_x_forwarded_prefix = var.http_x_forwarded_prefix
            var.upstream_uri = var.uri
            local connection = var.http_connection
            if ctx.route.unbuffered and var.proxy_mode == "http" then
                return ngx.exec("@unbuffered_request")
            end
            for _, plugin in ipairs { ctx.route.access, leave } do
                local co = coroutine.create(plugin)
                assert(coroutine.resume(co))
                if ctx.exit then
                    ngx.header["Content-Length"] = #(ctx.says or "")
                    for name, value in pairs(ctx.headers or {}) do
                        ngx.header[name] = value
                    end
                    if ctx.says then
                        ngx.status = ctx.exit
                        ngx.print(ctx.says)
                    end
                    return ngx.exit(ctx.exit)
                end
                ngx.header["Cached-By"] = ngx.header["Cached-By"] or (var.http_x_cache_key or "") .. " " .. (var.http_cache_control or "")
            end
            if var.is_args == "?" or var.request_uri:sub(-1) == "?" then
                var.upstream_uri = var.upstream_uri .. "?" .. (var.args or "")
            end
            for name in (connection or ""):gmatch("[^%s,]+") do
                if name ~= "close" and name ~= "keep-alive" then
                    ngx.req.clear_header(name)
                end
            end
        }
        header_filter_by_lua_block {
            if ngx.ctx.route then
                ngx.ctx.route.header_filter()
                ngx.header["Kept-As"] = ngx.header["Content-Type"] -- the type by which proxy-cache chooses
            end
            header_filter()
        }
        body_filter_by_lua_block { body_filter() }
        log_by_lua_block { log() }

        location / {
            default_type '';
            set $upstream_te '';
            set $upstream_via '';
            set $upstream_host '';
            set $upstream_upgrade '';
            set $upstream_connection 'keep-alive';
            set $upstream_uri '';
            set $upstream_x_forwarded_for '';
            set $upstream_x_forwarded_proto '';
            set $upstream_x_forwarded_host '';
            set $upstream_x_forwarded_port '';
            set $upstream_x_forwarded_path '';
            set $upstream_x_forwarded_prefix '';
            set $proxy_mode 'http';
            proxy_http_version 1.1;
            proxy_buffering on;
            proxy_request_buffering on;
            include @RUN@/kong/location.conf;
            @PROXY@
        }
        location @unbuffered_request {
            internal;
            default_type '';
            set $proxy_mode 'unbuffered';
            proxy_http_version 1.1;
            proxy_buffering on;
            proxy_request_buffering off;
            @PROXY@
        }
        location = /kong_error_handler {
            internal;
            default_type '';
            rewrite_by_lua_block { return }
            access_by_lua_block { return }
            content_by_lua_block {
                local status = ngx.status == 494 and 400 or ngx.status
                local body = '{"message":"of Kong"}'
                ngx.status = status
                ngx.header["Content-Type"] = "application/json; charset=utf-8"
                ngx.header["Content-Length"] = #body
                ngx.print(body)
                ngx.exit(status)
            }
        }
    }
}
`

// kongProxy is in each of its locations that proxy.
const kongProxy = `
            proxy_set_header TE                 $upstream_te;
            proxy_set_header Via                $upstream_via;
            proxy_set_header Host               $upstream_host;
            proxy_set_header Upgrade            $upstream_upgrade;
            proxy_set_header Connection         $upstream_connection;
            proxy_set_header X-Forwarded-For    $upstream_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto  $upstream_x_forwarded_proto;
            proxy_set_header X-Forwarded-Host   $upstream_x_forwarded_host;
            proxy_set_header X-Forwarded-Port   $upstream_x_forwarded_port;
            proxy_set_header X-Forwarded-Path   $upstream_x_forwarded_path;
            proxy_set_header X-Forwarded-Prefix $upstream_x_forwarded_prefix;
            proxy_set_header X-Real-IP          $remote_addr;
            proxy_pass_header Server;
            proxy_pass_header Date;
            proxy_pass http://sidecars$upstream_uri;
`
