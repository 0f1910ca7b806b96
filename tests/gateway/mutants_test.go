package gateway

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryRuleBites takes one thing at a time out of Nginx's configuration: the rule that demands it must fail.
func TestEveryRuleBites(t *testing.T) {
	t.Parallel()
	for _, m := range []struct{ rule, file, old, new string }{
		{"each route leads to its app", "gateway.conf.template", `proxy_set_header dapr-app-id $app;`, ``},
		{"each route leads to its app", "routes.conf", `set $app carts;`, `set $app orders;`},
		{"each route leads to its app", "routes.conf", `proxy_pass http://edge-auth;`, `proxy_pass http://edge;`},
		{"other methods are 405", "lua/edge.lua", `return refuse(405)`, ``},
		{"other methods are 405", "lua/edge.lua", `header["Allow"] = `, `local _ = `},
		{"other paths are 404", "lua/edge.lua", `return refuse(404)`, ``},
		{"other paths are 404", "routes.conf", `|/healthz`, ``},
		{"other paths are 404", "routes.conf", `location ~* ^(`, `location ~ ^(`},
		{"other paths are 404", "routes.conf", `/products/[^/]+/?$"`, `/products/.+"`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `%(25|`, `%(`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", ` or broken(decoded)`, ``},
		{"headers that are not UTF-8 are refused", "lua/edge.lua", `elseif broken(name) or broken(tostring(value)) then`, `elseif false then`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `|23|`, `|`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `|3f|`, `|`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `|2e|`, `|`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `|2f|`, `|`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `|5c|`, `|`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `[01][0-9a-f]`, `zz`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `|7f)`, `)`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `|//|`, `|`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `[\\#`, `[#`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `|/\.\.?(/|;|$)`, `|zz`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `[[^/v1\.0]]`, `[[^/nothing]]`},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `find(decoded, `, `find(path, `},
		{"paths that can be read in two ways are refused", "lua/edge.lua", `[[^/v1\.0]], "ijo"`, `[[^/v1\.0]], "jo"`},
		{"what clients say about themselves is removed", "lua/edge.lua", `ngx.req.clear_header(name)`, ``},
		{"what clients say about themselves is removed", "lua/edge.lua", `get_headers(0)`, `get_headers()`},
		{"what clients say about themselves is removed", "lua/edge.lua", `(dapr-|`, `(`},
		{"what clients say about themselves is removed", "lua/edge.lua", `|x-forwarded|`, `|`},
		{"what clients say about themselves is removed", "lua/edge.lua", `|traceparent$|`, `|`},
		{"what clients say about themselves is removed", "lua/edge.lua", `|x-user|`, `|`},
		{"what clients say about themselves is removed", "gateway.conf.template", `proxy_set_header dapr-api-token $sidecar_token;`, ``},
		{"the client's address comes from its socket", "gateway.conf.template", `set_real_ip_from 127.0.0.1;`, `set_real_ip_from 127.0.0.0/8;`},
		{"the client's address comes from its socket", "gateway.conf.template", `proxy_set_header X-Real-IP $remote_addr;`, ``},
		{"headers that count once may not come twice", "lua/edge.lua", `type(value) == "table"`, `false`},
		{"tokens and the shop's own headers pass", "common.conf", `large_client_header_buffers 4 64k;`, `large_client_header_buffers 4 4k;`},
		{"an event stream is not asked for", "gateway.conf.template", `proxy_set_header Accept $safe_accept;`, ``},
		{"cookies go to the faces alone", "gateway.conf.template", `proxy_set_header Cookie $cookies;`, ``},
		{"every answer has a request id", "gateway.conf.template", `add_header X-Request-Id $rid always;`, ``},
		{"a harmless request id is kept and another is not", "common.conf", `"~^[A-Za-z0-9._-]{8,64}$"`, `"~."`},
		{"a harmless request id is kept and another is not", "common.conf", `"~^[A-Za-z0-9._-]{8,64}$"`, `"~^$"`},
		{"the request id reaches the service", "gateway.conf.template", `proxy_set_header X-Request-Id $rid;`, ``},
		{"the request id reaches the service", "gateway.conf.template", `proxy_hide_header X-Request-Id;`, ``},
		{"listed origins may read answers", "lua/edge.lua", `        allow_origin()`, ``},
		{"answers vary by origin in one line", "lua/edge.lua", `vary and vary .. ", Origin" or "Origin"`, `vary`},
		{"foreign origins are not let in", "lua/edge.lua", `origin and origins[origin]`, `origin`},
		{"preflights are answered at the gateway", "lua/edge.lua", `return preflight(var.methods)`, ``},
		{"pages are not shared with other origins", "lua/edge.lua", `not page and ngx.var.app ~= ""`, `true`},
		{"pages are not shared with other origins", "lua/edge.lua", ` and var.page == "" then`, ` then`},
		{"a body is at most 1 MiB", "gateway.conf.template", `client_max_body_size 1m;`, `client_max_body_size 2m;`},
		{"a body is at most 1 MiB", "gateway.conf.template", `client_max_body_size 1m;`, `client_max_body_size 1000k;`},
		{"an upload is at most 64 MiB", "routes.conf", `client_max_body_size 64m;`, `client_max_body_size 0;`},
		{"an upload is at most 64 MiB", "routes.conf", `client_max_body_size 64m;`, ``},
		{"a service's own answers pass untouched", "lua/edge.lua", `find(kind, "^application/problem\\+json", "ijo")`, `false`},
		{"errors of a sidecar become problems", "gateway.conf.template", `header_filter_by_lua_block { require("edge").answer_headers() }`, ``},
		{"errors of a sidecar become problems", "gateway.conf.template", `body_filter_by_lua_block { require("edge").answer_body() }`, ``},
		{"errors of a sidecar become problems", "lua/edge.lua", `header["WWW-Authenticate"]`, `local _`},
		{"errors of a sidecar become problems", "lua/edge.lua", `header["Retry-After"] = later`, ``},
		{"errors of a sidecar become problems", "gateway.conf.template", `proxy_hide_header Content-Type;`, ``},
		{"errors of a sidecar become problems", "lua/edge.lua", `ngx.arg[1] = body or nil`, `ngx.arg[1] = body or ngx.arg[1]`},
		{"errors on pages are pages", "routes.conf", `set $page yes;`, `set $page no;`},
		{"errors on pages are pages", "lua/edge.lua", `or page and find(`, `or false and find(`},
		{"requests are limited by token", "gateway.conf.template", `limit_req zone=token burst=${RATE_TOKEN} nodelay;`, ``},
		{"requests are limited by token", "gateway.conf.template", `limit_req_zone $token `, `limit_req_zone $binary_remote_addr `},
		{"requests without a token are limited by address", "gateway.conf.template", `limit_req zone=address burst=${RATE_ADDRESS} nodelay;`, ``},
		{"logins are limited more strictly", "gateway.conf.template", `limit_req zone=login burst=${RATE_LOGIN} nodelay;`, ``},
		{"logins are limited more strictly", "routes.conf", `set $limit login;`, `set $limit none;`},
		{"requests are limited by token", "common.conf", `limit_req_status 429;`, ``},
		{"requests are limited by token", "lua/edge.lua", `header["Retry-After"] = wait`, ``},
		{"requests without a token are limited by address", "lua/edge.lua", `page = page:gsub(`, `local _ = page:gsub(`},
		{"a claim needs a ticket of its drop that is called", "routes.conf", ` set $ticket wanted;`, ``},
		{"a claim needs a ticket of its drop that is called", "gateway.conf.template", `require("edge").ticket(require("edges").any)`, ``},
		{"a claim needs a ticket of its drop that is called",
			"lua/tickets.lua", `hash.equal(mac,`, `(function() return true end)(mac,`},
		{"a claim needs a ticket of its drop that is called", "lua/tickets.lua", `"stampede ticket " .. drop`, `"stampede ticket "`},
		{"a claim needs a ticket of its drop that is called", "lua/tickets.lua", `and now < tonumber(over)`, ``},
		{"a claim needs a ticket of its drop that is called",
			"lua/tickets.lua", `math.max(furthest or 0, tonumber(number))`, `tonumber(number) + 1`},
		{"a claim needs a ticket of its drop that is called", "lua/tickets.lua", `return known < furthest, known`, `return true, known`},
		{"a claim needs a ticket of its drop that is called",
			"lua/tickets.lua", `return known < furthest, known`, `return known <= furthest, known`},
		{"a claim needs a ticket of its drop that is called", "lua/hash.lua", `C.stampede_differ(a, b, #a) == 0`, `true`},
		{"a claim needs a ticket of its drop that is called", "lua/edge.lua", `return refuse(refusals[why][1])`, ``},
		{"a drop's order decides who is called", "lua/tickets.lua", `for round = 0, 89 do`, `for round = 0, 88 do`},
		{"a drop's order decides who is called", "lua/tickets.lua", `floor(higher % 256 / 8) + 1`, `floor(higher % 256 / 8)  + 2`},
		{"a drop's order decides who is called", "lua/tickets.lua", `or idx >= n then`, `or true then`},
		{"an entry claims once in two seconds", "lua/tickets.lua", `"shown," .. entry, true`, `"shown," .. text, true`},
		{"an entry claims once in two seconds",
			"lua/tickets.lua", `if not store:add("shown," .. entry, true, pause) then`, `if false then`},
		{"an entry claims once in two seconds", "lua/tickets.lua", `entry, true, pause)`, `entry, true)`},
		{"claims ask for a drop's status twice a second", "lua/statuses.lua", `if store:add(asks, true, 6) then`, `if true then`},
		{"claims ask for a drop's status twice a second", "lua/statuses.lua", `store:set("kept," .. path, text, seconds)`,
			`store:set("kept," .. path, text)`},
		{"claims ask for a drop's status twice a second", "lua/statuses.lua", `"\r\ndapr-api-token: ", api_token, `, ``},
		{"a claim is refused while nobody can tell who is called", "lua/tickets.lua", `if is == nil then`, `if false then`},
		{"a claim is refused while nobody can tell who is called", "lua/statuses.lua", `if status == 200 then`, `if true then`},
		{"a claim is refused while nobody can tell who is called",
			"lua/statuses.lua", `keep(fetch(path, app, sidecar())) or text or ""`, `keep(fetch(path, app, sidecar())) or ""`},
		{"a claim is refused while nobody can tell who is called", "lua/tickets.lua", `n > most or #seed ~= 64`, `n > most`},
		{"a drop's status costs two requests a second", "routes.conf", ` set $shared yes;`, ``},
		{"a drop's status costs two requests a second", "gateway.conf.template", `require("edge").shared(require("edges").any)`, ``},
		{"a drop's status costs two requests a second", "lua/statuses.lua", `local fresh = 0.5`, `local fresh = 0.01`},
		{"a drop's status costs two requests a second", "lua/statuses.lua", `if store:add(asks, true, 6) then`, `if true then`},
		{"a drop's status costs two requests a second", "lua/edge.lua", `"public, max-age=1"`, `"public, max-age=2"`},
		{"a drop's last status holds while nobody can tell", "lua/statuses.lua", `or text or ""`, `or ""`},
		{"a drop's last status holds while nobody can tell", "lua/statuses.lua", `(not length or #body == tonumber(length))`, `true`},
		{"a drop's last status holds while nobody can tell", "lua/statuses.lua", `return status == 404 and none`, `return nil`},
		{"a drop's last status holds while nobody can tell", "lua/statuses.lua", `return nil, 503`, `return nil, 404`},
		{"headers that count once may not come twice", "lua/edge.lua", `["drop-ticket"] = true,`, ``},
		{"no version is told", "common.conf", `server_tokens off;`, ``},
		{"a request without a host is refused", "lua/edge.lua", `return refuse(400) -- HTTP/1.0`, `ngx.req.set_header("Host", "x") --`},
		{"headers that are too large are refused", "lua/edge.lua", `[414] = `, `[999] = `},
	} {
		t.Run(strings.ReplaceAll(m.rule+" without "+m.old, " ", "_"), func(t *testing.T) {
			t.Parallel()
			u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
			found := false
			n := newNginx(t, sidecars(addresses), func(file, text string) string {
				if file != m.file || !strings.Contains(text, m.old) {
					return text
				}
				found = true
				return strings.ReplaceAll(text, m.old, m.new)
			})
			require.True(t, found, "%s has no %q any more", m.file, m.old)
			g := &gateway{address: n.gateway, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u, limits: true}
			for _, r := range rules {
				if r.name == m.rule {
					require.NotEmpty(t, failures(g, r), "the rule holds all the same")
					return
				}
			}
			t.Fatalf("there is no rule %q", m.rule)
		})
	}
}

// failures checks a rule on the side and gives what it complains about.
func failures(g *gateway, r rule) []string {
	var c complaints
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.check(&c, g)
	}()
	<-done
	return c
}

// complaints is a test that only takes notes.
type complaints []string

func (c *complaints) Errorf(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}
func (c *complaints) FailNow() { runtime.Goexit() }
