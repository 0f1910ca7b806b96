package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
)

// route is a line of deploy/routes.yaml.
type route struct {
	Path    string
	App     string
	Edge    string
	Methods []string
	Limit   string
	Body    string
	Ticket  bool
	Shared  bool
	Page    bool
}

func routes() (list []route, closed []string) {
	raw, err := os.ReadFile("../../deploy/routes.yaml")
	if err != nil {
		panic(err)
	}
	var file struct {
		Routes []route
		Closed []string
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		panic(err)
	}
	return file.Routes, file.Closed
}

// examples gives paths that a route must take in.
func (r route) examples() []string {
	path := strings.NewReplacer("{slug}", "red-shirt", "{sku}", "SKU-1", "{provider}", "sandbox", "{id}", "0198").Replace(r.Path)
	if bare, ok := strings.CutSuffix(path, "/**"); ok {
		return []string{bare + "/", bare + "/x", bare + "/x/y-z_1.2"}
	}
	return []string{path}
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// takes says whether a route lets a method in. HEAD comes with GET.
func (r route) takes(method string) bool {
	return slices.Contains(r.Methods, method) || method == "HEAD" && slices.Contains(r.Methods, "GET")
}

var rules = []rule{
	{"each route leads to its app", inside, func(t require.TestingT, g *gateway) {
		list, _ := routes()
		for _, r := range list {
			if r.Shared {
				continue // the gateway asks for itself
			}
			for _, path := range r.examples() {
				for _, method := range methods {
					if !r.takes(method) {
						continue
					}
					var header []string
					if r.Ticket {
						opens(g, "red-shirt", 1)
						header = []string{ticket("red-shirt", 0, time.Hour)}
					}
					a := g.send(t, request{method: method, path: path + "?a=1", header: header})
					require.Equal(t, 200, a.status, "%s %s: %s", method, path, a.body)
					require.NotNil(t, a.seen, "%s %s", method, path)
					require.Equal(t, []string{r.App}, a.seen.header["Dapr-App-Id"], "%s %s", method, path)
					require.Equal(t, r.Edge, a.seen.edge, "%s %s", method, path)
					require.Equal(t, method, a.seen.method)
					require.Equal(t, path+"?a=1", a.seen.uri)
				}
			}
		}
	}},
	{"other methods are 405", outside, func(t require.TestingT, g *gateway) {
		list, _ := routes()
		for _, r := range list {
			for _, method := range append(methods, "OPTIONS", "TRACE", "PROPFIND", "BREW") {
				if r.takes(method) {
					continue
				}
				path := r.examples()[0]
				a := g.send(t, request{method: method, path: path})
				require.Nil(t, a.seen, "%s %s", method, path)
				require.Equal(t, 405, a.status, "%s %s: %s", method, path, a.body)
				if method != "HEAD" && method != "TRACE" {
					problem(t, a, 405, "method-not-allowed")
				}
			}
		}
	}},
	{"other paths are 404", outside, func(t require.TestingT, g *gateway) {
		_, closed := routes()
		paths := []string{"/api/v1", "/api/v1/", "/api/v2/products", "/api/v1/nothing", "/api/v1/productsx", "/api/v1/products/a/b",
			"/api/v1/categories/x", "/api/v1/availability", "/api/v1/availability/a/b", "/api/v1/payments", "/api/v1/payments/charges",
			"/api/v1/payments/webhooks", "/api/v1/payments/webhooks/a/b", "/api/v1/mail", "/api/v1/inventory", "/api/v1/admin",
			"/api/v1/admin/", "/api/v1/admin/carts", "/api/v1/admin/store", "/api/v1/admin/nothing/x", "/api/v1/carts", "/api/v1/usersx",
			"/API/v1/products", "/Api/V1/orders", "/realms/master", "/realms/master/protocol/openid-connect/certs"}
		for _, path := range closed {
			if path == "/resources" && g.upstream == nil {
				continue // the front's way to Keycloak
			}
			paths = append(paths, path, path+"/", path+"/x", strings.ToUpper(path)+"/x", "/%"+fmt.Sprintf("%x", path[1])+path[2:]+"/x")
		}
		for _, path := range paths {
			for _, method := range []string{"GET", "POST"} {
				if method == "POST" && strings.HasPrefix(path, "/media") {
					continue // the front has it: 405
				}
				a := g.send(t, request{method: method, path: path})
				require.Nil(t, a.seen, "%s %s", method, path)
				require.Equal(t, 404, a.status, "%s %s: %s", method, path, a.body)
				problem(t, a, 404, "not-found")
			}
		}
	}},
	{"paths that can be read in two ways are refused", outside, func(t require.TestingT, g *gateway) {
		for _, path := range []string{
			// toward the sidecar's own API
			"/v1.0/metadata", "/v1.0/shutdown", "/V1.0/metadata", "//v1.0/metadata", "/./v1.0/metadata", "/api/../v1.0/metadata",
			"/%76%31.0/metadata", "/v1%2e0/metadata", "/%2fv1.0/metadata", "/v1.0", "/v1.0-alpha1/x", "/v1.0/invoke/http://127.0.0.1/method/x",
			"/api/v1/products/../../../v1.0/shutdown", "/api/v1/products/%2e%2e/%2e%2e/%2e%2e/v1.0/shutdown", "\\v1.0/metadata", "/\\v1.0/metadata",
			// toward what is closed, past access lists
			"/internal/%2e%2e/api/v1/products/x", "/api/v1/products/..%2f..%2f..%2finternal/variants", "/api/v1/products/%2e%2e/internal",
			"/api/v1/products/../../../internal/variants", "/api/v1/../../internal/variants", "/api/v1/cart/..", "/api/v1/cart/../x", "/..", "/.",
			"/api/v1/cart/.", "/api/v1/cart//items", "/api/v1/cart/%2E%2E/x", "/api/v1/cart/.%2e/x", "/api/v1/cart/%2e/x",
			"/api/v1/cart/%2Fx", "/api/v1/cart/%5cx", "/api/v1/cart/%5C..%5Cx", "/api/v1/cart/\\..\\x", "/api/v1/cart/..;/x",
			// decoded once more on the way
			"/api/v1/cart/%25", "/api/v1/cart/%252e%252e/x", "/api/v1/cart/%252fx", "/api/v1/cart/x%23y", "/api/v1/cart/x%3fy", "/api/v1/cart/x%3Fy",
			// control characters and broken encoding
			"/api/v1/cart/%00", "/api/v1/cart/x%0d%0aX-A:%20b", "/api/v1/cart/%1f", "/api/v1/cart/%7F", "/api/v1/cart/%zz", "/api/v1/cart/%",
			// not UTF-8, which the sidecars cannot pass on
			"/api/v1/cart/%FF%FE", "/api/v1/cart/caf%E9", "/api/v1/cart/caf\xe9", "/api/v1/cart/%C3", "/api/v1/products?q=caf\xe9",
			"*", "api/v1/cart",
		} {
			for _, method := range []string{"GET", "POST"} {
				a := g.send(t, request{method: method, path: path})
				require.Nil(t, a.seen, "%s %s reached a sidecar", method, path)
				require.Contains(t, []int{400, 404}, a.status, "%s %s: %s", method, path, a.body)
				problem(t, a, a.status, map[int]string{400: "malformed", 404: "not-found"}[a.status])
			}
		}
	}},
	{"a whole address as target means its path", outside, func(t require.TestingT, g *gateway) {
		a := g.send(t, request{method: "GET", path: "http://" + g.host + "/v1.0/metadata"})
		refused(t, a, 400, "malformed")
		a = g.send(t, request{method: "GET", path: "http://127.0.0.1:1/internal/x"})
		refused(t, a, 404, "not-found")
	}},
	{"the query passes byte for byte", inside, func(t require.TestingT, g *gateway) {
		const query = "?q=%2F..%2f%25%23%00&x=a+b&y=//..&z=%C3%A9&v1.0=/v1.0/"
		a := g.send(t, request{method: "GET", path: "/api/v1/products" + query})
		require.Equal(t, "/api/v1/products"+query, a.seen.uri)
	}},
	{"headers that are not UTF-8 are refused", outside, func(t require.TestingT, g *gateway) {
		for _, header := range []string{"User-Agent: caf\xe9", "X-Cart-Session: 0123456789abcdef\xff", "Idempotency-Key: \xff\xfe", "X-Whatever: \xc3", "Accept-Language: \x80"} {
			a := g.send(t, request{method: "GET", path: "/api/v1/cart", header: []string{header}})
			require.Nil(t, a.seen, header)
			refused(t, a, 400, "malformed")
		}
		a := g.send(t, request{method: "GET", path: "/api/v1/products", header: []string{"User-Agent: café"}})
		require.NotContains(t, []int{400, 503}, a.status, a.body)
	}},
	{"letters and spaces in a path pass encoded", inside, func(t require.TestingT, g *gateway) {
		for _, path := range []string{"/api/v1/products/caf%C3%A9%20au+lait", "/api/v1/products/a.b..c", "/api/v1/cart/items/A%2BB", "/~x/a;b=c,d@e:f!$&'()*"} {
			a := g.send(t, request{method: "GET", path: path})
			require.NotNil(t, a.seen, path)
			require.Equal(t, path, a.seen.uri)
		}
	}},
	{"what clients say about themselves is removed", inside, func(t require.TestingT, g *gateway) {
		var header []string
		names := []string{"dapr-app-id", "dapr-app-namespace", "dapr-api-token", "dapr-caller-app-id", "dapr-caller-namespace",
			"dapr-callee-app-id", "dapr-anything", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
			"X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-User", "X-Forwarded-Email", "X-Real-IP", "X-Client-IP", "True-Client-IP",
			"CF-Connecting-IP", "X-Original-URL", "X-Rewrite-URL", "X-User-Id", "X-User-Roles", "X-Account-Id", "X-Auth-Request-User",
			"X-Authenticated-Userid", "X-Consumer-Id", "X-Consumer-Username", "X-Credential-Identifier", "X-Anonymous-Consumer",
			"X-Remote-User", "Remote-User", "X-Role", "X-Userinfo", "X-ID-Token", "X-Access-Token", "X-HTTP-Method-Override",
			"X-Method-Override", "traceparent", "tracestate", "baggage", "b3", "X-B3-TraceId", "grpc-trace-bin", "grpc-timeout", "Proxy"}
		for i := range 60 { // Nginx keeps headers in blocks of twenty
			header = append(header, fmt.Sprintf("X-Plain-%d: kept", i))
			name := names[i%len(names)]
			header = append(header, name+": forged", strings.ToUpper(name)+": forged again")
		}
		header = append(header, "dapr_app_id: forged", "x_real_ip: forged", "Connection: X-Plain-1", "Upgrade: forged", "TE: forged", "Keep-Alive: forged")
		a := g.send(t, request{method: "GET", path: "/api/v1/products", header: header})
		require.Equal(t, 200, a.status, a.body)
		for name, values := range a.seen.header {
			require.NotContains(t, strings.Join(values, " "), "forged", name)
		}
		require.Equal(t, []string{"products"}, a.seen.header["Dapr-App-Id"])
		require.Equal(t, []string{apiToken}, a.seen.header["Dapr-Api-Token"])
		require.Equal(t, []string{"kept"}, a.seen.header["X-Plain-59"])
		require.Equal(t, "edge", a.seen.edge)
	}},
	{"no client has the gateway's own headers removed", inside, func(t require.TestingT, g *gateway) {
		a := g.send(t, request{method: "GET", path: "/api/v1/products", header: []string{"Connection: dapr-app-id, dapr-api-token, X-Request-Id, X-Real-IP, keep-alive"}})
		require.NotNil(t, a.seen)
		require.Equal(t, []string{"products"}, a.seen.header["Dapr-App-Id"])
		require.Equal(t, []string{apiToken}, a.seen.header["Dapr-Api-Token"])
		require.NotEmpty(t, a.seen.header["X-Request-Id"])
		require.NotEmpty(t, a.seen.header["X-Real-Ip"])
		require.Empty(t, a.seen.header["Upgrade"])
	}},
	{"the client's address comes from its socket", inside, func(t require.TestingT, g *gateway) {
		if !g.loopback {
			return
		}
		client := newClient()
		a := g.send(t, request{method: "GET", path: "/api/v1/products", from: client,
			header: []string{"X-Real-IP: 6.6.6.6", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6"}})
		require.Equal(t, []string{client}, a.seen.header["X-Real-Ip"])
		for name, values := range a.seen.header {
			require.NotContains(t, strings.Join(values, " "), "6.6.6.6", name)
		}
	}},
	{"headers that count once may not come twice", outside, func(t require.TestingT, g *gateway) {
		// Not a path that the front keeps answers of: one that is kept asks nobody, and no header matters.
		names := []string{"Authorization", "Idempotency-Key", "X-Cart-Session", "Content-Type", "Accept", "Origin", "Host", "Drop-Ticket"}
		for _, name := range names {
			a := g.send(t, request{method: "GET", path: "/api/v1/cart", header: []string{name + ": one-two-three", strings.ToLower(name) + ": four-five-six"}})
			require.Nil(t, a.seen, name)
			require.Equal(t, 400, a.status, "%s: %s", name, a.body)
			problem(t, a, 400, "malformed")
		}
	}},
	{"tokens and the shop's own headers pass", inside, func(t require.TestingT, g *gateway) {
		long := bearer(strings.Repeat("x", 16_000))
		a := g.send(t, request{method: "POST", path: "/api/v1/orders", body: `{"a":1}`, header: []string{long, "Idempotency-Key: k-1",
			"X-Cart-Session: 0123456789abcdef", "Content-Type: application/json", "If-None-Match: \"v1\"", "User-Agent: probe", "Stripe-Signature: s"}})
		require.Equal(t, 200, a.status, a.body)
		require.Equal(t, strings.TrimPrefix(long, "Authorization: "), a.seen.header.Get("Authorization"))
		for name, value := range map[string]string{"Idempotency-Key": "k-1", "X-Cart-Session": "0123456789abcdef", "Content-Type": "application/json",
			"If-None-Match": `"v1"`, "User-Agent": "probe", "Stripe-Signature": "s"} {
			require.Equal(t, []string{value}, a.seen.header[name], name)
		}
		require.Equal(t, 7, a.seen.body)
	}},
	{"an event stream is not asked for", inside, func(t require.TestingT, g *gateway) {
		for _, accept := range []string{"text/event-stream", "Text/Event-Stream", "application/json, text/event-stream;q=0.5"} {
			a := g.send(t, request{method: "GET", path: "/api/v1/products", header: []string{"Accept: " + accept}})
			require.Equal(t, 200, a.status)
			require.NotContains(t, strings.ToLower(a.seen.header.Get("Accept")), "event-stream")
		}
		a := g.send(t, request{method: "GET", path: "/api/v1/products", header: []string{"Accept: application/json"}})
		require.Equal(t, "application/json", a.seen.header.Get("Accept"))
	}},
	{"cookies go to the faces alone", inside, func(t require.TestingT, g *gateway) {
		for path, want := range map[string]string{"/": "s=1; t=2", "/admin": "s=1; t=2", "/api/v1/products": "", "/api/v1/orders": "", "/api/v1/auth/login": ""} {
			method := "GET"
			if strings.HasSuffix(path, "login") {
				method = "POST"
			}
			a := g.send(t, request{method: method, path: path, header: []string{"Cookie: s=1; t=2"}})
			require.NotNil(t, a.seen, path)
			require.Equal(t, want, a.seen.header.Get("Cookie"), path)
		}
	}},

	{"every answer has a request id", outside, func(t require.TestingT, g *gateway) {
		ids := map[string]bool{}
		for range 2 {
			for _, path := range []string{"/api/v1/categories", "/api/v1/nothing", "/v1.0/x", "/"} {
				a := g.send(t, request{method: "GET", path: path})
				require.Len(t, a.header["X-Request-Id"], 1, path)
				require.Regexp(t, `^[A-Za-z0-9._-]{8,64}$`, a.header.Get("X-Request-Id"))
				ids[a.header.Get("X-Request-Id")] = true
			}
		}
		require.Len(t, ids, 8)
	}},
	{"a harmless request id is kept and another is not", outside, func(t require.TestingT, g *gateway) {
		a := g.send(t, request{method: "GET", path: "/api/v1/categories", header: []string{"X-Request-Id: mine-0123.4567_89"}})
		require.Equal(t, []string{"mine-0123.4567_89"}, a.header["X-Request-Id"])
		for _, id := range []string{"short", "with space in it", `quote"quote"quote`, "<script>alert(1)</script>", strings.Repeat("x", 65)} {
			a := g.send(t, request{method: "GET", path: "/api/v1/categories", header: []string{"X-Request-Id: " + id}})
			require.Len(t, a.header["X-Request-Id"], 1)
			require.Regexp(t, `^[A-Za-z0-9._-]{8,64}$`, a.header.Get("X-Request-Id"))
			require.NotEqual(t, id, a.header.Get("X-Request-Id"))
		}
	}},
	{"the request id reaches the service", inside, func(t require.TestingT, g *gateway) {
		g.upstream.answer("/api/v1/products/with-id", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "of the service")
		})
		a := g.send(t, request{method: "GET", path: "/api/v1/products/with-id"})
		require.Equal(t, a.header["X-Request-Id"], a.seen.header["X-Request-Id"])
	}},

	{"listed origins may read answers", inside, func(t require.TestingT, g *gateway) {
		for _, origin := range origins {
			for path, status := range map[string]int{"/api/v1/products": 200, "/api/v1/cart/": 200} {
				a := g.send(t, request{method: "GET", path: path, header: []string{"Origin: " + origin}})
				require.Equal(t, status, a.status)
				require.Equal(t, []string{origin}, a.header["Access-Control-Allow-Origin"])
				require.Contains(t, a.header.Get("Vary"), "Origin")
				require.Contains(t, a.header.Get("Access-Control-Expose-Headers"), "Location")
				require.Empty(t, a.header["Access-Control-Allow-Credentials"])
			}
			a := g.send(t, request{method: "PATCH", path: "/api/v1/orders", header: []string{"Origin: " + origin}})
			require.Equal(t, 405, a.status)
			require.Equal(t, origin, a.header.Get("Access-Control-Allow-Origin"), "errors must be readable too")
		}
	}},
	{"answers vary by origin in one line", inside, func(t require.TestingT, g *gateway) {
		g.upstream.answer("/api/v1/products/varied", func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Vary"] = []string{"Accept-Language", "X-Other"}
		})
		a := g.send(t, request{method: "GET", path: "/api/v1/products/varied"})
		require.Len(t, a.header["Vary"], 1)
		require.Equal(t, "Accept-Language, X-Other, Origin", a.header.Get("Vary"))
	}},
	{"foreign origins are not let in", outside, func(t require.TestingT, g *gateway) {
		for _, origin := range []string{"https://evil.example", "http://one.test.evil.example", "http://one.tes", "null", "http://ONE.test:1", "*", "http://one.test https://two.test:8443"} {
			a := g.send(t, request{method: "GET", path: "/api/v1/categories", header: []string{"Origin: " + origin}})
			require.Empty(t, a.header["Access-Control-Allow-Origin"], origin)
			a = g.send(t, request{method: "OPTIONS", path: "/api/v1/orders", header: []string{"Origin: " + origin, "Access-Control-Request-Method: POST"}})
			require.Nil(t, a.seen, "a preflight went in")
			require.Empty(t, a.header["Access-Control-Allow-Origin"], origin)
			require.Contains(t, a.header.Get("Vary"), "Origin")
		}
	}},
	{"preflights are answered at the gateway", inside, func(t require.TestingT, g *gateway) {
		list, _ := routes()
		for _, r := range list {
			if r.Page {
				continue
			}
			a := g.send(t, request{method: "OPTIONS", path: r.examples()[0], header: []string{"Origin: " + origins[1],
				"Access-Control-Request-Method: " + r.Methods[0], "Access-Control-Request-Headers: authorization, idempotency-key"}})
			require.Nil(t, a.seen, r.Path)
			require.Contains(t, []int{200, 204}, a.status, "%s: %s", r.Path, a.body)
			require.Equal(t, origins[1], a.header.Get("Access-Control-Allow-Origin"))
			require.Contains(t, a.header.Get("Access-Control-Allow-Methods"), r.Methods[0])
			for _, name := range []string{"authorization", "content-type", "drop-ticket", "idempotency-key", "x-cart-session"} {
				require.Contains(t, strings.ToLower(a.header.Get("Access-Control-Allow-Headers")), name)
			}
			require.NotEmpty(t, a.header.Get("Access-Control-Max-Age"))
		}
	}},
	{"pages are not shared with other origins", inside, func(t require.TestingT, g *gateway) {
		for _, path := range []string{"/", "/admin"} {
			a := g.send(t, request{method: "GET", path: path, header: []string{"Origin: " + origins[0]}})
			require.Empty(t, a.header["Access-Control-Allow-Origin"], path)
			a = g.send(t, request{method: "OPTIONS", path: path, header: []string{"Origin: " + origins[0], "Access-Control-Request-Method: POST"}})
			refused(t, a, 405, "method-not-allowed")
		}
	}},

	{"a body is at most 1 MiB", outside, func(t require.TestingT, g *gateway) {
		const limit = 1 << 20
		for _, path := range []string{"/api/v1/auth/login", "/api/v1/orders", "/api/v1/payments/webhooks/sandbox", "/api/v1/admin/orders/x"} {
			header := []string{"Content-Type: application/json"}
			if g.upstream != nil {
				a := g.send(t, request{method: "POST", path: path, header: header, body: strings.Repeat(" ", limit)})
				require.Equal(t, 200, a.status, a.body)
				require.Equal(t, limit, a.seen.body)
			}
			a := g.send(t, request{method: "POST", path: path, header: header, body: strings.Repeat(" ", limit+1)})
			refused(t, a, 413, "too-large")
			a = g.send(t, request{method: "POST", path: path, header: header, body: strings.Repeat(" ", limit+1), chunked: true})
			refused(t, a, 413, "too-large")
			a = g.send(t, request{method: "POST", path: path, header: header, length: 1 << 40})
			refused(t, a, 413, "too-large")
			header = append(header, "Expect: 100-continue")
			a = g.send(t, request{method: "POST", path: path, header: header, body: strings.Repeat(" ", limit+1)})
			refused(t, a, 413, "too-large")
			if g.upstream != nil {
				a = g.send(t, request{method: "POST", path: path, header: header, body: "{}"})
				require.Equal(t, 200, a.status, a.body)
				require.Equal(t, 2, a.seen.body)
			}
		}
	}},
	{"an upload is at most 64 MiB", inside, func(t require.TestingT, g *gateway) {
		for _, path := range []string{"/api/v1/admin/products/import", "/api/v1/admin/products/0198/images"} {
			a := g.send(t, request{method: "POST", path: path, body: strings.Repeat("x", 8<<20)})
			require.Equal(t, 200, a.status, a.body)
			require.Equal(t, 8<<20, a.seen.body)
			a = g.send(t, request{method: "POST", path: path, body: strings.Repeat("x", 8<<20), chunked: true})
			require.Equal(t, 200, a.status, a.body)
			require.Equal(t, 8<<20, a.seen.body)
			a = g.send(t, request{method: "POST", path: path, length: 64<<20 + 1})
			refused(t, a, 413, "too-large")
		}
	}},
	{"a refused body is not the next request", outside, func(t require.TestingT, g *gateway) {
		conn := g.dial(t, "")
		defer conn.Close()
		inner := "GET /api/v1/categories HTTP/1.1\r\nHost: " + g.host + "\r\nX-Probe: smuggled\r\nConnection: close\r\n\r\n"
		fmt.Fprintf(conn, "POST /internal/x HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", g.host, len(inner), inner)
		fmt.Fprintf(conn, "GET /api/v1/nothing HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", g.host)
		reader := bufio.NewReader(conn)
		for i := range 2 {
			response, err := http.ReadResponse(reader, nil)
			if i == 1 && err != nil {
				break // it may also close
			}
			require.NoError(t, err)
			require.Equal(t, 404, response.StatusCode)
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		rest, _ := io.ReadAll(reader)
		require.Empty(t, rest)
		if g.upstream != nil {
			require.Nil(t, g.upstream.find("smuggled"))
		}
	}},
	{"two lengths are refused", outside, func(t require.TestingT, g *gateway) {
		for _, header := range [][]string{{"Content-Length: 3", "Transfer-Encoding: chunked"}, {"Content-Length: 3", "Content-Length: 4"}, {"Transfer-Encoding: xchunked"}} {
			conn := g.dial(t, "")
			fmt.Fprintf(conn, "POST /api/v1/auth/login HTTP/1.1\r\nHost: %s\r\nX-Probe: lengths\r\nConnection: close\r\n%s\r\n\r\n0\r\n\r\n", g.host, strings.Join(header, "\r\n"))
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, 400, response.StatusCode, header)
			conn.Close()
		}
		if g.upstream != nil {
			require.Nil(t, g.upstream.find("lengths"))
		}
	}},
	{"a request without a host is refused", outside, func(t require.TestingT, g *gateway) {
		for _, version := range []string{"1.0", "1.1"} {
			conn := g.dial(t, "")
			fmt.Fprintf(conn, "GET /api/v1/categories HTTP/%s\r\nX-Probe: hostless\r\nConnection: close\r\n\r\n", version)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			conn.Close()
			require.Equal(t, 400, response.StatusCode, "HTTP/%s: %s", version, body)
			if version == "1.0" { // what of 1.1 Nginx answers by itself, Kong tells in its own words
				problem(t, answer{status: response.StatusCode, header: response.Header, body: string(body)}, 400, "malformed")
			}
		}
		if g.upstream != nil {
			require.Nil(t, g.upstream.find("hostless"))
		}
	}},
	{"headers that are too large are refused", outside, func(t require.TestingT, g *gateway) {
		a := g.send(t, request{method: "GET", path: "/api/v1/categories", header: []string{"X-Large: " + strings.Repeat("x", 70<<10)}})
		require.Nil(t, a.seen)
		require.Contains(t, []int{400, 431}, a.status)
		require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), a.body)
		a = g.send(t, request{method: "GET", path: "/api/v1/categories?x=" + strings.Repeat("x", 70<<10)})
		refused(t, a, 414, "too-large")
	}},

	{"a service's own answers pass untouched", inside, func(t require.TestingT, g *gateway) {
		for _, status := range []int{200, 201, 202, 302, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503} {
			path := fmt.Sprintf("/api/v1/products/own-%d", status)
			kind, body := "application/json", `{"mine":true}`
			if status >= 400 {
				kind, body = "application/problem+json", `{"type":"urn:stampede:problem:mine"}`
			}
			g.upstream.answer(path, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", kind)
				w.Header().Set("Retry-After", "17")
				w.Header().Set("Location", "/there")
				w.Header().Set("ETag", `"v1"`)
				w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
				w.WriteHeader(status)
				io.WriteString(w, body)
			})
			a := g.send(t, request{method: "GET", path: path})
			require.Equal(t, status, a.status)
			require.Equal(t, body, a.body)
			require.Equal(t, []string{kind}, a.header["Content-Type"])
			require.Equal(t, []string{"17"}, a.header["Retry-After"])
			require.Equal(t, []string{"/there"}, a.header["Location"])
			require.Equal(t, []string{`"v1"`}, a.header["Etag"])
			require.Equal(t, []string{"a=1", "b=2"}, a.header["Set-Cookie"])
		}
		g.upstream.answer("/api/v1/products/same", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(304) })
		require.Equal(t, 304, g.send(t, request{method: "GET", path: "/api/v1/products/same"}).status)
	}},
	{"errors of a sidecar become problems", inside, func(t require.TestingT, g *gateway) {
		for i, c := range []struct {
			status     int
			kind, body string
			want       int
			slug       string
		}{
			{500, "application/json", `{"errorCode":"ERR_DIRECT_INVOKE","message":"failed to invoke, id: orders, err: 127.0.0.1:5606"}`, 503, "unavailable"},
			{500, "application/json; charset=utf-8", strings.Repeat(`{"errorCode":"ERR_DIRECT_INVOKE"}`, 40_000), 503, "unavailable"},
			{502, "text/html", "<html>127.0.0.1</html>", 503, "unavailable"},
			{503, "", "", 503, "unavailable"},
			{504, "text/plain", "timeout at 127.0.0.1", 503, "unavailable"},
			{403, "application/json", `{"errorCode":"ERR_DIRECT_INVOKE","message":"access control policy has denied access"}`, 403, "forbidden"},
			{401, "text/plain; charset=utf-8", "Unauthorized", 401, "unauthenticated"},
			{404, "text/plain", "404 page not found", 404, "not-found"},
			{413, "text/plain", "too large", 413, "too-large"},
			{431, "text/plain", "431 Request Header Fields Too Large", 431, "too-large"},
			{429, "text/plain", "slow down", 429, "too-many-requests"},
			{400, "application/json", `{"errorCode":"ERR_BAD_REQUEST"}`, 400, "malformed"},
			{418, "text/plain", "teapot", 400, "malformed"},
		} {
			path := fmt.Sprintf("/api/v1/cart/sidecar-%d", i)
			g.upstream.answer(path, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = nil
				if c.kind != "" {
					w.Header().Set("Content-Type", c.kind)
				}
				w.Header().Set("ETag", `"of the sidecar"`)
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			for _, method := range []string{"GET", "POST"} {
				a := g.send(t, request{method: method, path: path, body: strings.Repeat("b", i*10_000)})
				require.NotNil(t, a.seen)
				problem(t, a, c.want, c.slug)
				require.NotContains(t, a.body, "127.0.0.1")
				require.NotContains(t, a.body, "ERR_")
				require.Empty(t, a.header.Get("ETag"))
			}
			a := g.send(t, request{method: "HEAD", path: path})
			require.Equal(t, c.want, a.status)
			require.Empty(t, a.body)
		}
	}},
	{"errors on pages are pages", inside, func(t require.TestingT, g *gateway) {
		for _, under := range []string{"/", "/admin/"} {
			path := under + "broken"
			g.upstream.answer(path, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(500)
				io.WriteString(w, `{"errorCode":"ERR_DIRECT_INVOKE"}`)
			})
			a := g.send(t, request{method: "GET", path: path})
			require.Equal(t, 503, a.status)
			require.Contains(t, a.header.Get("Content-Type"), "text/html")
			require.NotContains(t, a.body, "ERR_")
			require.NotEmpty(t, a.header.Get("Retry-After"))

			path = under + "own"
			g.upstream.answer(path, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				w.WriteHeader(404)
				io.WriteString(w, "<h1>ours</h1>")
			})
			a = g.send(t, request{method: "GET", path: path})
			require.Equal(t, 404, a.status)
			require.Equal(t, "<h1>ours</h1>", a.body)
		}
	}},
	{"a dead sidecar is unavailable and nothing is sent twice", inside, func(t require.TestingT, g *gateway) {
		for _, method := range []string{"GET", "PUT", "POST"} {
			path := "/api/v1/cart/dead-" + method
			g.upstream.answer(path, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
			for n := 1; n <= 3; n++ {
				problem(t, g.send(t, request{method: method, path: path}), 503, "unavailable")
				require.Equal(t, n, g.upstream.times(path))
			}
		}
	}},
	{"a slow answer is waited for 30 seconds and never asked for again", patience, func(t require.TestingT, g *gateway) {
		g.upstream.answer("/api/v1/orders/slow", func(w http.ResponseWriter, r *http.Request) {
			wait(r, 26*time.Second) // a long poll
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "{}")
		})
		g.upstream.answer("/api/v1/orders/silent", func(w http.ResponseWriter, r *http.Request) { wait(r, 45*time.Second) })
		together(2, func(i int) {
			if i == 0 {
				require.Equal(t, 200, g.send(t, request{method: "GET", path: "/api/v1/orders/slow?wait=25"}).status)
				return
			}
			problem(t, g.send(t, request{method: "GET", path: "/api/v1/orders/silent"}), 503, "unavailable")
		})
		require.Equal(t, 1, g.upstream.times("/api/v1/orders/slow"))
		require.Equal(t, 1, g.upstream.times("/api/v1/orders/silent"))
	}},

	{"requests are limited by token", limited, func(t require.TestingT, g *gateway) {
		id := newClient()
		for range rates.token {
			require.Equal(t, 200, g.send(t, request{method: "GET", path: "/api/v1/orders", header: []string{bearer(id)}}).status)
		}
		a := over(t, g, request{method: "GET", path: "/api/v1/orders", header: []string{bearer(id)}})
		refused(t, a, 429, "too-many-requests")
		a = g.send(t, request{method: "GET", path: "/api/v1/orders", header: []string{bearer(id + "-other")}})
		require.Equal(t, 200, a.status, "another token has its own limit")
	}},
	{"requests without a token are limited by address", limited, func(t require.TestingT, g *gateway) {
		client := newClient()
		for range rates.address {
			require.Equal(t, 200, g.send(t, request{method: "GET", path: "/api/v1/products", from: client}).status)
		}
		for _, header := range []string{"X-Real-IP: 6.6.6.6", "X-Forwarded-For: 6.6.6.6", "X-Plain: 1"} {
			a := over(t, g, request{method: "GET", path: "/api/v1/products", from: client, header: []string{header}})
			refused(t, a, 429, "too-many-requests")
		}
		require.Equal(t, 200, g.send(t, request{method: "GET", path: "/api/v1/products", from: client, header: []string{bearer(client)}}).status)
		require.Equal(t, 200, g.send(t, request{method: "GET", path: "/api/v1/products"}).status)
		page := over(t, g, request{method: "GET", path: "/", from: client})
		require.Equal(t, 429, page.status)
		require.Contains(t, page.header.Get("Content-Type"), "text/html")
		saysWhen(t, page)
	}},
	{"logins are limited more strictly", limited, func(t require.TestingT, g *gateway) {
		for _, path := range []string{"/api/v1/auth/login", "/api/v1/auth/register", "/api/v1/auth/verify-email", "/api/v1/auth/verify-email/code",
			"/api/v1/auth/password/forgot", "/api/v1/auth/password/reset", "/api/v1/auth/password/change"} {
			client := newClient()
			for i := range rates.login {
				a := g.send(t, request{method: "POST", path: path, from: client, header: []string{bearer(fmt.Sprint(client, i))}})
				require.Equal(t, 200, a.status, "%s %d", path, i)
			}
			var a answer
			for i := range 2 * rates.login {
				if a = g.send(t, request{method: "POST", path: path, from: client, header: []string{bearer(fmt.Sprint(client, "new", i))}}); a.status != 200 {
					break
				}
			}
			refused(t, a, 429, "too-many-requests")
			require.Equal(t, 200, g.send(t, request{method: "GET", path: "/api/v1/products", from: client}).status)
			require.Equal(t, 200, g.send(t, request{method: "POST", path: path}).status)
		}
	}},
	{"preflights do not count as logins", limited, func(t require.TestingT, g *gateway) {
		client := newClient()
		for range 2 * rates.login {
			a := g.send(t, request{method: "OPTIONS", path: "/api/v1/auth/login", from: client,
				header: []string{"Origin: " + origins[0], "Access-Control-Request-Method: POST"}})
			require.Less(t, a.status, 300)
		}
		require.Equal(t, 200, g.send(t, request{method: "POST", path: "/api/v1/auth/login", from: client}).status)
	}},

	{"a claim without a ticket is refused", outside, func(t require.TestingT, g *gateway) {
		for _, header := range []string{"X-Plain: 1", bearer(newClient()), "Drop-Ticket: x.y"} {
			refused(t, claims(t, g, "none", header), 403, "ticket-invalid")
		}
	}},
	{"a claim needs a ticket of its drop that is called", inside, func(t require.TestingT, g *gateway) {
		slug := newDrop()
		opens(g, slug, 2)
		for name, header := range map[string]string{
			"none":                       "X-Plain: 1",
			"an empty one":               "Drop-Ticket:",
			"no ticket":                  "Drop-Ticket: x",
			"over":                       ticket(slug, 0, -time.Second),
			"another drop's":             ticket(slug+"-2", 0, time.Hour),
			"forged":                     sealed(slug, 0, time.Hour, drop.TicketKey([]byte(strings.Repeat("x", 40)), slug)),
			"of another drop's key":      sealed(slug, 0, time.Hour, drop.TicketKey([]byte(dropsKey), "x")),
			"of the setting itself":      sealed(slug, 0, time.Hour, []byte(dropsKey)),
			"changed":                    strings.Replace(ticket(slug, 0, time.Hour), ": ey", ": eY", 1),
			"one character too many":     ticket(slug, 0, time.Hour) + "A",
			"longer than headers may be": "Drop-Ticket: " + strings.Repeat("x", 5000) + ".x",
		} {
			a := claims(t, g, slug, header, bearer(newClient()))
			require.Nil(t, a.seen, name)
			problem(t, a, 403, "ticket-invalid")
		}
		require.Zero(t, g.upstream.times(status(slug)), "a forged ticket costs the drop nothing")

		for idx, called := range []bool{true, true, false, false} {
			a := claims(t, g, slug, ticket(slug, idx, time.Hour), bearer(newClient()))
			if called {
				require.Equal(t, 200, a.status, a.body)
				require.NotNil(t, a.seen)
				require.NotEmpty(t, a.seen.header.Get("Drop-Ticket"))
				require.Equal(t, 2, a.seen.body)
				continue
			}
			refused(t, a, 409, "not-called")
			require.Equal(t, "2", a.header.Get("Retry-After"))
		}
		problem(t, g.send(t, request{method: "POST", path: claim(slug) + "/x"}), 404, "not-found")
	}},
	{"a drop's order decides who is called", inside, func(t require.TestingT, g *gateway) {
		slug, seed := newDrop(), [32]byte{1}
		const n, called = 300, 150
		answers(g, slug, fmt.Sprintf(`{"n":%d,"seed":"%x","skus":[{"called":%d}]}`, n, seed, called))
		for idx := range 12 {
			a := claims(t, g, slug, ticket(slug, idx, time.Hour))
			want := 409
			if drop.Position(uint64(idx), n, seed) < called {
				want = 200
			}
			require.Equal(t, want, a.status, "%d: %s", idx, a.body)
		}
	}},
	{"an entry claims once in two seconds", inside, func(t require.TestingT, g *gateway) {
		slug := newDrop()
		opens(g, slug, 1)
		header, other := ticket(slug, 0, time.Hour), ticket(slug, 0, 2*time.Hour) // of one entry
		require.Equal(t, 200, claims(t, g, slug, header).status)
		began := time.Now()
		var got [20]answer
		together(len(got), func(i int) {
			got[i] = claims(t, g, slug, []string{header, other}[i%2])
		})
		if time.Since(began) < 1500*time.Millisecond { // else the machine was too slow to tell
			for _, a := range got {
				refused(t, a, 429, "too-many-requests")
				require.Equal(t, "2", a.header.Get("Retry-After"))
			}
		}
		a := got[0]
		for end := time.Now().Add(20 * time.Second); a.status != 200 && time.Now().Before(end); {
			a = claims(t, g, slug, other)
		}
		require.Equal(t, 200, a.status, a.body)
	}},
	{"claims ask for a drop's status twice a second", inside, func(t require.TestingT, g *gateway) {
		slug := newDrop()
		var called atomic.Int64
		g.upstream.answer(status(slug), func(w http.ResponseWriter, r *http.Request) {
			wait(r, 200*time.Millisecond)
			fmt.Fprintf(w, `{"n":0,"skus":[{"called":%d}]}`, called.Load())
		})
		began := time.Now()
		var got [40]answer
		together(len(got), func(i int) {
			got[i] = claims(t, g, slug, ticket(slug, i, time.Hour))
		})
		for _, a := range got {
			refused(t, a, 409, "not-called")
		}
		require.LessOrEqual(t, g.upstream.times(status(slug)), twiceASecond(began))
		seen := g.upstream.asked(status(slug))
		require.Equal(t, "edge", seen.edge)
		require.Equal(t, []string{"drops"}, seen.header["Dapr-App-Id"])
		require.Equal(t, []string{apiToken}, seen.header["Dapr-Api-Token"])
		require.Empty(t, seen.header["Drop-Ticket"])

		called.Store(100_000)
		var a answer
		for i, end := 1000, time.Now().Add(10*time.Second); a.status != 200 && time.Now().Before(end); i++ {
			a = claims(t, g, slug, ticket(slug, i, time.Hour))
		}
		require.Equal(t, 200, a.status, "%s", a.body)
	}},
	{"a claim is refused while nobody can tell who is called", inside, func(t require.TestingT, g *gateway) {
		for name, text := range map[string]string{
			"an error": "", "no status": `{"from":"edge"}`, "no seed": `{"n":9,"seed":"00","skus":[{"called":9}]}`,
		} {
			slug := newDrop()
			g.upstream.answer(status(slug), func(w http.ResponseWriter, r *http.Request) {
				if text == "" {
					w.WriteHeader(http.StatusInternalServerError)
					io.WriteString(w, `{"n":0,"skus":[{"called":9}]}`)
				}
				io.WriteString(w, text)
			})
			a := claims(t, g, slug, ticket(slug, 0, time.Hour))
			require.Nil(t, a.seen, name)
			refused(t, a, 503, "unavailable")
		}
		slug := newDrop()
		opens(g, slug, 1)
		require.Equal(t, 200, claims(t, g, slug, ticket(slug, 0, time.Hour)).status)
		g.upstream.answer(status(slug), func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
		asked := g.upstream.times(status(slug))
		for i, end := -1, time.Now().Add(10*time.Second); g.upstream.times(status(slug)) == asked && time.Now().Before(end); i-- {
			a := claims(t, g, slug, ticket(slug, i, time.Hour))
			require.Equal(t, 200, a.status, "who was called stays it: %s", a.body)
		}
	}},
	{"a drop's status costs two requests a second", inside, func(t require.TestingT, g *gateway) {
		slug := newDrop()
		g.upstream.answer(status(slug), func(w http.ResponseWriter, r *http.Request) {
			wait(r, 200*time.Millisecond)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Set-Cookie", "who=you")
			io.WriteString(w, `{"state":"prequeue"}`)
		})
		own := []string{"Accept: text/html", `If-None-Match: "v1"`, "Cookie: a=1", "Cache-Control: no-cache", "Accept: text/event-stream"}
		began := time.Now()
		for range 3 {
			var got [60]answer
			together(len(got), func(i int) {
				got[i] = g.send(t, request{
					method: []string{"GET", "GET", "HEAD"}[i%3], path: fmt.Sprint(status(slug), []string{"", "/"}[i%2], "?x=", i),
					header: []string{own[i%len(own)], "Origin: " + origins[0], bearer(newClient())},
				})
			})
			for i, a := range got {
				require.Equal(t, 200, a.status, a.body)
				require.Equal(t, map[bool]string{true: "", false: `{"state":"prequeue"}`}[i%3 == 2], a.body)
				require.Equal(t, "application/json", a.header.Get("Content-Type"))
				require.Equal(t, "public, max-age=1", a.header.Get("Cache-Control"))
				require.Equal(t, origins[0], a.header.Get("Access-Control-Allow-Origin"))
				require.Empty(t, a.header["Set-Cookie"])
				require.NotEmpty(t, a.header.Get("X-Request-Id"))
			}
			require.LessOrEqual(t, g.upstream.times(status(slug)), twiceASecond(began))
			for old := time.Now().Add(600 * time.Millisecond); time.Now().Before(old); time.Sleep(20 * time.Millisecond) {
				g.send(t, request{method: "GET", path: "/api/v1/categories"}) // and nobody asks for the drop
			}
		}
		answers(g, slug, `{"state":"prequeue"}`) // at once: as fast as somebody asks
		before, began := g.upstream.times(status(slug)), time.Now()
		for range 100 {
			g.send(t, request{method: "GET", path: status(slug)})
		}
		require.LessOrEqual(t, g.upstream.times(status(slug))-before, twiceASecond(began))
		seen := g.upstream.asked(status(slug))
		require.Equal(t, "GET", seen.method)
		require.Equal(t, status(slug), seen.uri)
		require.Equal(t, []string{"drops"}, seen.header["Dapr-App-Id"])
		for name := range seen.header {
			require.Contains(t, []string{"Dapr-App-Id", "Dapr-Api-Token"}, name, "nothing of a client's")
		}
	}},
	{"a drop's last status holds while nobody can tell", inside, func(t require.TestingT, g *gateway) {
		slug := newDrop()
		g.upstream.answer(status(slug), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
		refused(t, g.send(t, request{method: "GET", path: status(slug)}), 503, "unavailable")
		answers(g, slug, `{"state":"open"}`)
		a := answer{}
		for end := time.Now().Add(10 * time.Second); a.status != 200 && time.Now().Before(end); {
			a = g.send(t, request{method: "GET", path: status(slug)})
		}
		require.Equal(t, 200, a.status)
		for name, fails := range map[string]http.HandlerFunc{
			"not at all": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"by halves": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				io.WriteString(w, `{"state":"cl`)
			},
			"for the sidecar": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusInternalServerError)
				io.WriteString(w, `{"errorCode":"ERR_DIRECT_INVOKE"}`)
			},
		} {
			g.upstream.answer(status(slug), fails)
			asked := g.upstream.times(status(slug))
			for end := time.Now().Add(10 * time.Second); g.upstream.times(status(slug)) < asked+2 && time.Now().Before(end); {
				a = g.send(t, request{method: "GET", path: status(slug)})
				require.Equal(t, 200, a.status, name)
				require.Equal(t, `{"state":"open"}`, a.body, name)
			}
		}
		g.upstream.answer(status(slug), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
		for end := time.Now().Add(5 * time.Second); a.status != 404 && time.Now().Before(end); {
			a = g.send(t, request{method: "GET", path: status(slug)})
		}
		refused(t, a, 404, "drop-not-found")
	}},

	{"no version is told", outside, func(t require.TestingT, g *gateway) {
		for _, path := range []string{"/api/v1/categories", "/api/v1/nothing", "/v1.0/x"} {
			a := g.send(t, request{method: "GET", path: path})
			require.NotRegexp(t, `[0-9]`, a.header.Get("Server"))
			require.Empty(t, a.header["X-Powered-By"])
			for name := range a.header {
				require.NotContains(t, strings.ToLower(name), "dapr")
			}
		}
	}},
}

// shopRules can only be checked in front of the real services.
var shopRules = []rule{
	{"the shop survives being told to shut down", outside, func(t require.TestingT, g *gateway) {
		for _, path := range []string{"/v1.0/shutdown", "//v1.0/shutdown", "/api/../v1.0/shutdown", "/%76%31.0/shutdown", "/api/v1/products/%2e%2e/%2e%2e/%2e%2e/v1.0/shutdown"} {
			g.send(t, request{method: "POST", path: path, header: []string{"dapr-app-id: products"}})
		}
		a := g.send(t, request{method: "GET", path: "/api/v1/categories?" + newClient()})
		require.Equal(t, 200, a.status, a.body)
	}},
	{"forged headers change nothing", outside, func(t require.TestingT, g *gateway) {
		a := g.send(t, request{method: "GET", path: "/api/v1/categories?" + newClient(), header: []string{"dapr-app-id: orders", "Dapr-App-Id: users",
			"dapr-caller-app-id: orders", "dapr-api-token: x", "Accept: text/event-stream", "X-HTTP-Method-Override: DELETE"}})
		require.Equal(t, 200, a.status, a.body)
		require.Contains(t, a.body, `"items"`)
	}},
	{"no token is 401 with a challenge", outside, func(t require.TestingT, g *gateway) {
		list, _ := routes()
		for _, r := range list {
			if r.Edge != "edge-auth" || r.Ticket {
				continue
			}
			for _, header := range [][]string{nil, {"Authorization: Bearer x"}, {"Authorization: Bearer a.b.c"}, {"Authorization: Basic eDp5"}, {"Cookie: Authorization=x"}, {"X-User-Id: 1"}} {
				problem(t, g.send(t, request{method: r.Methods[0], path: r.examples()[0], header: header}), 401, "unauthenticated")
			}
		}
	}},
	{"a bad token is 401 and never a guest", outside, func(t require.TestingT, g *gateway) {
		a := g.send(t, request{method: "GET", path: "/api/v1/cart", header: []string{"Authorization: Bearer a.b.c", "X-Cart-Session: 0123456789abcdef"}})
		problem(t, a, 401, "unauthenticated")
	}},
}

// twiceASecond is how often something may have been asked for since then.
func twiceASecond(began time.Time) int { return 1 + int(time.Since(began)/(500*time.Millisecond)) }

func wait(r *http.Request, d time.Duration) {
	select {
	case <-r.Context().Done():
	case <-time.After(d):
	}
}

// over sends a request until it is refused: a limit may refill a little, or count by clock minutes, while it is reached.
func over(t require.TestingT, g *gateway, r request) (a answer) {
	for range 2 * max(rates.address, rates.token) {
		if a = g.send(t, r); a.status == http.StatusTooManyRequests {
			break
		}
	}
	return a
}
