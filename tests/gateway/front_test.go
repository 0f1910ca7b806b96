package gateway

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// front is Nginx's front block before its own gateway block, with sidecars and a Keycloak that write down what they get.
type front struct {
	*gateway
	nginx    *nginx
	keycloak *upstream
}

func newFront(t *testing.T, vars map[string]string) front {
	u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
	k, keycloak := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
	all := sidecars(addresses)
	all["KEYCLOAK"] = keycloak[0]
	for name, value := range vars {
		all[name] = value
	}
	n := newNginx(t, all, nil)
	g := &gateway{address: n.front, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u}
	return front{g, n, k}
}

// atKeycloak sends through the front and gives what Keycloak got.
func (f front) atKeycloak(t require.TestingT, r request) (answer, *seen) {
	g := *f.gateway
	g.upstream = f.keycloak
	a := g.send(t, r)
	return a, a.seen
}

func TestFront(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)

	for _, r := range rules {
		// What can be seen from outside must also hold with the front before the gateway.
		if r.need == outside {
			t.Run("contract/"+strings.ReplaceAll(r.name, " ", "_"), func(t *testing.T) {
				t.Parallel()
				shop := *f.gateway
				shop.upstream = nil
				r.check(t, &shop)
			})
		}
	}

	t.Run("the address is the socket's", func(t *testing.T) {
		t.Parallel()
		if !f.loopback {
			t.Skip("needs addresses of its own")
		}
		client := newClient()
		a := f.send(t, request{method: "GET", path: "/api/v1/orders", from: client, header: []string{"X-Real-IP: 6.6.6.6", "X-Forwarded-For: 6.6.6.6", "Host: evil.example"}[:2]})
		require.Equal(t, []string{client}, a.seen.header["X-Real-Ip"])
		require.Empty(t, a.seen.header["X-Forwarded-For"])
		require.Equal(t, publicHost, a.seen.host)
	})

	t.Run("pictures", func(t *testing.T) {
		t.Parallel()
		media := f.nginx.vars["MEDIA_DIR"]
		require.NoError(t, os.Mkdir(filepath.Join(media, "sub"), 0o755))
		for name, kind := range map[string]string{"a.svg": "image/svg+xml", "b.png": "image/png", "c.jpeg": "image/jpeg", "d.webp": "image/webp",
			"e.html": "application/octet-stream", "f": "application/octet-stream", "sub/g.svg": "image/svg+xml"} {
			require.NoError(t, os.WriteFile(filepath.Join(media, name), []byte("<svg><script>alert(1)</script></svg>"), 0o644))
			a := f.send(t, request{method: "GET", path: "/media/" + name})
			require.Equal(t, 200, a.status)
			require.Equal(t, kind, a.header.Get("Content-Type"))
			require.Equal(t, "public, max-age=31536000, immutable", a.header.Get("Cache-Control"))
			require.Equal(t, []string{"nosniff"}, a.header["X-Content-Type-Options"])
			require.Contains(t, a.header.Get("Content-Security-Policy"), "sandbox")
			require.NotEmpty(t, a.header.Get("ETag"))
			require.NotEmpty(t, a.header.Get("X-Request-Id"))
		}
		require.NoError(t, os.WriteFile(filepath.Join(media, ".secret"), nil, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(media, "sub", ".secret"), nil, 0o644))
		for _, path := range []string{"/media/none.svg", "/media/", "/media", "/media/sub", "/media/sub/", "/media/.secret", "/media/..%2fnginx.conf", "/media/../nginx.conf",
			"/media/%2e%2e/nginx.conf", "/mediax", "/media/sub/../../nginx.conf", "/media/a.svg/x", "/media/sub/.secret", "/media/a.svg/"} {
			a := f.send(t, request{method: "GET", path: path})
			if path == "/mediax" {
				require.NotNil(t, a.seen, "that is a page of the store")
				continue
			}
			require.Nil(t, a.seen, path)
			require.Contains(t, []int{400, 404}, a.status, path)
			require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), path)
			require.NotContains(t, a.header.Get("Cache-Control"), "immutable", "an error must not be kept for ever")
		}
		problem(t, f.send(t, request{method: "GET", path: "/media/none.svg"}), 404, "not-found")
		problem(t, f.send(t, request{method: "POST", path: "/media/a.svg"}), 405, "method-not-allowed")
		problem(t, f.send(t, request{method: "DELETE", path: "/media/a.svg"}), 405, "method-not-allowed")
	})

	t.Run("files of the build", func(t *testing.T) {
		t.Parallel()
		static := f.nginx.vars["STATIC_DIR"]
		problem(t, f.send(t, request{method: "GET", path: "/api/openapi.json"}), 404, "not-found")
		for name, text := range map[string]string{"api/openapi.json": `{"openapi":"3.1.0"}`, "api/docs.html": "<h1>docs</h1>", "static/a.css": "a{}"} {
			path := filepath.Join(static, name)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		}
		for path, kind := range map[string]string{"/api/openapi.json": "application/json", "/api/docs": "text/html", "/static/a.css": "text/css"} {
			a := f.send(t, request{method: "GET", path: path})
			require.Equal(t, 200, a.status, path)
			require.Equal(t, kind, a.header.Get("Content-Type"))
			require.NotEmpty(t, a.header.Get("Cache-Control"))
			require.NotEmpty(t, a.header.Get("X-Request-Id"))
			require.Nil(t, a.seen)
		}
		a := f.send(t, request{method: "GET", path: "/static/of-the-store.css"})
		require.Equal(t, "store", a.seen.header.Get("Dapr-App-Id"))
		require.Equal(t, "/static/of-the-store.css", a.seen.uri)
	})

	t.Run("security headers", func(t *testing.T) {
		t.Parallel()
		f.upstream.answer("/own-headers", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Frame-Options", "DENY") })
		for path, frame := range map[string]string{"/": "SAMEORIGIN", "/own-headers": "DENY", "/api/v1/nothing": "SAMEORIGIN", "/realms/stampede/x": "SAMEORIGIN"} {
			a := f.send(t, request{method: "GET", path: path})
			require.Equal(t, []string{frame}, a.header["X-Frame-Options"], path)
			require.Equal(t, []string{"nosniff"}, a.header["X-Content-Type-Options"], path)
			require.Equal(t, []string{"strict-origin-when-cross-origin"}, a.header["Referrer-Policy"], path)
			require.Empty(t, a.header["Strict-Transport-Security"], "not over http")
		}
	})

	t.Run("answers are compressed once", func(t *testing.T) {
		t.Parallel()
		f.upstream.answer("/api/v1/products/large", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("ETag", `"v1"`)
			io.WriteString(w, `"`+strings.Repeat("x", 20_000)+`"`)
		})
		a := f.send(t, request{method: "GET", path: "/api/v1/products/large", header: []string{"Accept-Encoding: gzip"}})
		require.Equal(t, "gzip", a.header.Get("Content-Encoding"))
		require.Less(t, len(a.body), 1000)
		require.Equal(t, `W/"v1"`, a.header.Get("ETag"))
		require.Contains(t, strings.Join(a.header["Vary"], ","), "Accept-Encoding")
		require.Empty(t, a.seen.header.Get("Accept-Encoding"))
		a = f.send(t, request{method: "GET", path: "/api/v1/products/large"})
		require.Empty(t, a.header.Get("Content-Encoding"))
	})

	t.Run("Keycloak", func(t *testing.T) {
		t.Parallel()
		for _, path := range []string{"/realms/stampede", "/realms/stampede/.well-known/openid-configuration", "/realms/stampede/protocol/openid-connect/auth?client_id=a%2Fb&redirect_uri=http%3A%2F%2Fx%2F..", "/resources/abc/login/style.css"} {
			a, s := f.atKeycloak(t, request{method: "GET", path: path, header: []string{"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: gopher",
				"X-Forwarded-For: 6.6.6.6", "Forwarded: host=evil.example", "X-Forwarded-Prefix: /x", "X-Forwarded-Port: 1", "Cookie: KC=1"}})
			require.Equal(t, 200, a.status, path)
			require.NotNil(t, s, path)
			require.Equal(t, path, s.uri)
			require.Equal(t, publicHost, s.host)
			require.Equal(t, []string{publicHost}, s.header["X-Forwarded-Host"])
			require.Equal(t, []string{"http"}, s.header["X-Forwarded-Proto"])
			require.Equal(t, []string{"8000"}, s.header["X-Forwarded-Port"])
			require.Equal(t, "KC=1", s.header.Get("Cookie"))
			for name, values := range s.header {
				require.NotContains(t, strings.Join(values, " "), "evil", name)
				require.NotContains(t, strings.Join(values, " "), "6.6.6.6", name)
			}
		}
		for _, path := range []string{"/realms", "/realms/", "/realms/master", "/realms/master/console", "/realms/stampede2", "/realms/Stampede", "/admin/realms", "/admin/master/console",
			"/realms/stampede/../master", "/realms/stampede/%2e%2e/master", "/realms/stampede/..%2fmaster", "/realms/stampede/..;/master", "/realms/stampede//x", "/realms/stampede/%252e%252e/master",
			"/resources/../realms/master", "/resources/..%2frealms/master", "/realms/stampede/clients-registrations/openid-connect", "/metrics", "/health", "/js/keycloak.js",
			"/realms/master/.well-known/openid-configuration", "/realms/stampede/.well-known/../x", "/realms/stampede/.x", "/realms%2fmaster", "//realms/master", "/REALMS/master"} {
			for _, method := range []string{"GET", "POST"} {
				_, s := f.atKeycloak(t, request{method: method, path: path})
				require.Nil(t, s, path)
			}
		}
	})

	t.Run("Keycloak's login is limited", func(t *testing.T) {
		t.Parallel()
		client := newClient()
		const path = "/realms/stampede/login-actions/authenticate?code=x"
		var a answer
		var s *seen
		for n := 0; ; n++ {
			if a, s = f.atKeycloak(t, request{method: "POST", path: path, from: client}); a.status == 429 {
				require.GreaterOrEqual(t, n, rates.login)
				break
			}
			require.Less(t, n, 2*rates.login)
		}
		require.Equal(t, 429, a.status)
		require.Nil(t, s)
		require.Contains(t, a.header.Get("Content-Type"), "text/html")
		saysWhen(t, a)
		require.Equal(t, fmt.Sprint((59+rates.login)/rates.login), a.header.Get("Retry-After"))
		a, _ = f.atKeycloak(t, request{method: "GET", path: path, from: client})
		require.Equal(t, 200, a.status)
	})
}

// TestFrontComesBack: the pages of the gateway and of the shop that name a time load themselves again, no other answer does.
func TestFrontComesBack(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	answers := func(path, kind, after string, status int) {
		f.upstream.answer(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			if after != "" {
				w.Header().Set("Retry-After", after)
			}
			w.WriteHeader(status)
		})
	}
	answers("/crowd", "text/html; charset=utf-8", "7", 503)
	answers("/often", "text/html", "12", 429)
	for path, seconds := range map[string]string{"/crowd": "7", "/often": "12"} {
		require.Equal(t, []string{seconds}, f.send(t, request{method: "GET", path: path + "?q=x"}).header["Refresh"])
		require.Empty(t, f.send(t, request{method: "POST", path: path}).header.Get("Refresh"))
	}
	answers("/api/v1/products", "application/problem+json", "7", 503)
	answers("/away", "text/html; charset=utf-8", "", 503)
	answers("/fine", "text/html; charset=utf-8", "7", 200)
	for _, path := range []string{"/api/v1/products", "/away", "/fine"} {
		require.Empty(t, f.send(t, request{method: "GET", path: path}).header.Get("Refresh"), path)
	}
}

// fresh is what a service says about an answer that the front may keep.
const fresh = "public, max-age=1, stale-while-revalidate=2"

func TestCache(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	var made atomic.Int64
	// serve makes a path answer with a number that grows, and these headers.
	serve := func(path string, header ...string) {
		f.upstream.answer(path, func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Add(header[i], header[i+1])
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, made.Add(1))
		})
	}
	get := func(path string, header ...string) answer {
		a := f.send(t, request{method: "GET", path: path, header: header})
		require.Equal(t, 200, a.status)
		return a
	}

	t.Run("anonymous reads are kept", func(t *testing.T) {
		for _, path := range []string{"/api/v1/products", "/api/v1/products/shirt", "/api/v1/categories", "/api/v1/availability/S-1", "/", "/p/shirt"} {
			serve(path, "Cache-Control", fresh)
			first := get(path)
			second := get(path)
			require.Equal(t, first.body, second.body, path)
			require.NotNil(t, first.seen)
			require.Nil(t, second.seen)
			require.NotEqual(t, first.header.Get("X-Request-Id"), second.header.Get("X-Request-Id"))
			require.Len(t, second.header["X-Request-Id"], 1)
			head := f.send(t, request{method: "HEAD", path: path})
			require.Equal(t, 200, head.status)
			require.Nil(t, head.seen)
			require.NotEqual(t, first.body, get(path+"?other=1").body, "the query is part of the key")
		}
	})
	t.Run("not with a token, pages not with a cookie", func(t *testing.T) {
		serve("/api/v1/products/mine", "Cache-Control", fresh)
		serve("/mine", "Cache-Control", fresh)
		for range 2 {
			require.NotNil(t, get("/api/v1/products/mine", bearer(1)).seen)
			require.NotNil(t, get("/mine", "Cookie: session=1").seen)
		}
		require.NotNil(t, get("/api/v1/products/mine").seen, "an answer to a token was kept")
		require.NotNil(t, get("/mine").seen, "an answer to a cookie was kept")
		require.Nil(t, get("/api/v1/products/mine", "Cookie: session=1").seen, "the catalogue knows no cookies")

		// A guest's cart is in none of the catalogue's pages, and alone it does not keep them from being shared.
		require.Nil(t, get("/mine", "Cookie: cart=abc_DEF-123").seen)
		require.Nil(t, get("/mine", "Cookie: __Host-cart=abc").seen)
		for _, cookie := range []string{"cart=abc; session=1", "session=1; cart=abc", "xcart=abc", "cart=", "cart=a b", "cart=abc;", "cart=abc\"", "CART=abc"} {
			require.NotNil(t, get("/mine", "Cookie: "+cookie).seen, cookie)
		}
		require.NotNil(t, get("/mine", "Cookie: cart=abc", "Authorization: Bearer x").seen)
		require.NotNil(t, get("/api/v1/products/mine", bearer(1)).seen)
		require.NotNil(t, get("/mine", "Cookie: session=1").seen)
	})
	t.Run("what is the shopper's own counts every cookie", func(t *testing.T) {
		for _, path := range []string{"/my/header", "/cart", "/checkout", "/orders/1", "/account", "/login", "/register"} {
			serve(path, "Cache-Control", fresh)
			first := get(path)
			require.Equal(t, first.body, get(path).body, "who has no cookie at all")
			for _, cookie := range []string{"cart=abc", "session=1"} {
				require.NotNil(t, get(path, "Cookie: "+cookie).seen, path)
				require.NotNil(t, get(path, "Cookie: "+cookie).seen, path)
			}
			require.Equal(t, first.body, get(path).body, "an answer to a cookie was kept")
		}
	})
	t.Run("only what the service allows", func(t *testing.T) {
		for i, header := range [][]string{{}, {"Cache-Control", "private, max-age=1"}, {"Cache-Control", "no-store"}, {"Cache-Control", "max-age=0"},
			{"Cache-Control", fresh, "Set-Cookie", "a=1"}} {
			path := fmt.Sprintf("/api/v1/products/not-%d", i)
			serve(path, header...)
			require.NotNil(t, get(path).seen)
			require.NotNil(t, get(path).seen, header)
		}
	})
	t.Run("only the catalogue and the store", func(t *testing.T) {
		for _, path := range []string{"/api/v1/cart", "/api/v1/orders", "/api/v1/users/me", "/api/v1/auth/verify-token", "/admin", "/api/v1/admin/orders/x"} {
			serve(path, "Cache-Control", fresh)
			require.NotNil(t, get(path).seen)
			require.NotNil(t, get(path).seen, path)
		}
		serve("/form", "Cache-Control", fresh)
		for range 2 {
			require.NotNil(t, f.send(t, request{method: "POST", path: "/form"}).seen)
		}
	})
	t.Run("a crowd makes one request", func(t *testing.T) {
		f.upstream.answer("/api/v1/products/hot", func(w http.ResponseWriter, r *http.Request) {
			wait(r, 200*time.Millisecond)
			w.Header().Set("Cache-Control", fresh)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, made.Add(1))
		})
		var bodies [50]string
		together(len(bodies), func(i int) { bodies[i] = get("/api/v1/products/hot").body })
		for _, body := range bodies {
			require.Equal(t, bodies[0], body)
		}
		require.Equal(t, 1, f.upstream.times("/api/v1/products/hot"))
	})
	t.Run("an old answer is sent while the next is made, but not for long", func(t *testing.T) {
		release := make(chan struct{})
		f.upstream.answer("/api/v1/products/stale", func(w http.ResponseWriter, r *http.Request) {
			n := f.upstream.times("/api/v1/products/stale")
			if n == 2 {
				<-release
			}
			w.Header().Set("Cache-Control", fresh)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, n)
		})
		require.Equal(t, "1", get("/api/v1/products/stale").body)
		require.Eventually(t, func() bool {
			require.Equal(t, "1", get("/api/v1/products/stale").body, "nobody waits for the renewal")
			return f.upstream.times("/api/v1/products/stale") == 2
		}, 5*time.Second, 50*time.Millisecond)
		close(release)
		require.Eventually(t, func() bool { return get("/api/v1/products/stale").body == "2" }, time.Second, 10*time.Millisecond)

		serve("/api/v1/products/forgotten", "Cache-Control", "public, max-age=1")
		old := get("/api/v1/products/forgotten")
		end := time.Now().Add(3 * time.Second)
		for time.Now().Before(end) && get("/api/v1/products/forgotten").body == old.body {
			time.Sleep(50 * time.Millisecond)
		}
		require.Less(t, time.Until(end), 2100*time.Millisecond)
		require.Greater(t, time.Until(end), 500*time.Millisecond, "without stale-while-revalidate it is gone when it is old")
	})
	t.Run("origins do not share answers", func(t *testing.T) {
		serve("/api/v1/products/origin", "Cache-Control", fresh, "Vary", "Accept-Language")
		require.Equal(t, origins[0], get("/api/v1/products/origin", "Origin: "+origins[0]).header.Get("Access-Control-Allow-Origin"))
		require.Empty(t, get("/api/v1/products/origin").header.Get("Access-Control-Allow-Origin"))
		require.Empty(t, get("/api/v1/products/origin", "Origin: http://evil.example").header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, origins[1], get("/api/v1/products/origin", "Origin: "+origins[1]).header.Get("Access-Control-Allow-Origin"))
	})
}

// TestFrontStatus: how a drop stands is kept for everybody for 1 to 2 s, whatever a request says, and never shown later but
// when the gateway does not answer.
func TestFrontStatus(t *testing.T) {
	t.Parallel()
	u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}) // in the place of the gateway
	n := newNginx(t, map[string]string{"GATEWAY_SERVERS": "server " + addresses[0] + ";"}, nil)
	f := &gateway{address: n.front, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u}
	slug := newDrop()
	u.answer(status(slug), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", fresh)
		w.Header().Set("Vary", "Accept")
		fmt.Fprint(w, u.times(status(slug)))
	})
	began := time.Now()
	look := func(path, header string) {
		a := f.send(t, request{method: "GET", path: path, header: []string{header}})
		require.Contains(t, []int{200, 206}, a.status)
		require.Equal(t, fmt.Sprint(u.times(status(slug))), a.body, "the last there is: %s with %s", path, header)
		require.LessOrEqual(t, u.times(status(slug)), 1+int(time.Since(began)/time.Second), "%s with %s", path, header)
		require.Equal(t, []string{"*"}, a.header["Access-Control-Allow-Origin"])
		require.Len(t, a.header["X-Request-Id"], 1)
	}
	for i, header := range []string{
		bearer(1), "Cookie: session=1", "Accept: text/html", "Origin: " + origins[0], "Origin: http://evil.example",
		"Cache-Control: no-cache", `If-None-Match: "x"`, "Hx-Request: true", "Range: bytes=0-0", "X-Any: thing",
	} {
		for _, path := range []string{status(slug), fmt.Sprint(status(slug), "?", i), status(slug) + "/"} {
			look(path, header)
		}
	}
	require.Equal(t, 200, f.send(t, request{method: "HEAD", path: status(slug)}).status)
	for ; time.Since(began) < 5*time.Second; time.Sleep(50 * time.Millisecond) {
		look(status(slug), bearer(1))
	}
	require.Greater(t, u.times(status(slug)), 1)
	asked := u.asked(status(slug))
	require.Equal(t, status(slug), asked.uri)
	for _, name := range []string{"Authorization", "Cookie", "Accept", "Origin", "X-Any"} {
		require.Empty(t, asked.header[name], name)
	}

	none := newDrop()
	u.answer(status(none), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.WriteHeader(404)
	})
	for i := range 3 {
		require.Equal(t, 404, f.send(t, request{method: "GET", path: status(none)}).status)
		require.Equal(t, i+1, u.times(status(none)), "made-up names fill nothing")
	}

	last := fmt.Sprint(u.times(status(slug)))
	u.answer(status(slug), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for end, first := time.Now().Add(10*time.Second), u.times(status(slug)); u.times(status(slug)) == first; {
		require.True(t, time.Now().Before(end))
		require.Equal(t, last, f.send(t, request{method: "GET", path: status(slug)}).body, "better than none")
	}
}

// TestFrontKeepsConnections: ten thousand browsers that wait for a drop keep the connection on which each looks now and then,
// also when one worker happens to have them all.
func TestFrontKeepsConnections(t *testing.T) {
	t.Parallel()
	const browsers = 10_000
	var files syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	if files.Cur < browsers+2000 {
		t.Skipf("%d files may be open here", files.Cur)
	}
	u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
	n := newNginx(t, map[string]string{"GATEWAY_SERVERS": "server " + addresses[0] + ";"}, func(_, text string) string {
		return strings.ReplaceAll(text, "worker_processes auto;", "worker_processes 1;")
	})
	f := &gateway{address: n.front, host: publicHost, loopback: runtime.GOOS == "linux", upstream: u}
	slug := newDrop()
	answers(f, slug, "{}")
	var open []net.Conn
	t.Cleanup(func() {
		for _, conn := range open {
			conn.Close()
		}
	})
	look := func(conn net.Conn) {
		_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", status(slug), publicHost)
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err, "of %d", len(open))
		require.Equal(t, 200, response.StatusCode)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
	}
	for range browsers {
		open = append(open, f.dial(t, ""))
		look(open[len(open)-1])
	}
	for _, conn := range open {
		look(conn)
	}
}

// saysWhen demands that a page of too many requests tells people what Retry-After tells programs.
func saysWhen(t require.TestingT, a answer) {
	wait := a.header.Get("Retry-After")
	words := wait + " seconds"
	if wait == "1" {
		words = "1 second"
	}
	require.Contains(t, a.body, "Please wait "+words+", then try again.")
	require.NotContains(t, a.body, "<!--#")
}

// comesBack demands that a page loads itself again when Retry-After says.
func comesBack(t require.TestingT, a answer) {
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.Equal(t, a.header.Get("Retry-After"), a.header.Get("Refresh"))
}

func TestFrontAlone(t *testing.T) {
	t.Parallel()
	f := newFront(t, map[string]string{"GATEWAY_SERVERS": "server 127.0.0.1:9;", "KEYCLOAK": "127.0.0.1:9", "RATE_FRONT": "30"})
	problem(t, f.send(t, request{method: "GET", path: "/api/v1/products"}), 503, "unavailable")
	for _, path := range []string{"/", "/admin", "/realms/stampede/x"} {
		a := f.send(t, request{method: "GET", path: path})
		require.Equal(t, 503, a.status, path)
		require.Contains(t, a.header.Get("Content-Type"), "text/html")
		comesBack(t, a)
		require.NotEmpty(t, a.header.Get("X-Request-Id"))
		a = f.send(t, request{method: "POST", path: path})
		require.NotEmpty(t, a.header.Get("Retry-After"))
		require.Empty(t, a.header.Get("Refresh"), "a form is not sent again, nor its page asked for")
	}
	require.Empty(t, f.send(t, request{method: "GET", path: "/api/v1/products"}).header.Get("Refresh"), "no page")
	problem(t, f.send(t, request{method: "POST", path: "/api/v1/orders", length: 65 << 20}), 413, "too-large")
	problem(t, f.send(t, request{method: "POST", path: "/", length: 65 << 20}), 413, "too-large")

	client := newClient()
	var a answer
	for i := range 60 {
		if a = f.send(t, request{method: "GET", path: "/api/v1/products", from: client, header: []string{bearer(i)}}); a.status == 429 {
			break
		}
	}
	problem(t, a, 429, "too-many-requests")
	require.Equal(t, "2", a.header.Get("Retry-After"), "30 a minute are one in two seconds")
	page := f.send(t, request{method: "GET", path: "/", from: client})
	require.Equal(t, 429, page.status)
	saysWhen(t, page)
	comesBack(t, page)
	require.Equal(t, "2", page.header.Get("Retry-After"))
}

func TestFrontBalances(t *testing.T) {
	t.Parallel()
	var got [2]atomic.Int64
	var servers string
	for i := range got {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got[i].Add(1) }))
		t.Cleanup(s.Close)
		servers += "server " + s.Listener.Addr().String() + "; "
	}
	f := newFront(t, map[string]string{"GATEWAY_SERVERS": servers})
	for range 20 {
		require.Equal(t, 200, f.send(t, request{method: "GET", path: "/"}).status)
	}
	require.Greater(t, got[0].Load(), int64(4))
	require.Greater(t, got[1].Load(), int64(4))
}

// TestFrontSendsAgain: what a gateway drops unanswered goes to another once, unless doing it twice would do more; what
// Keycloak drops is not sent again.
func TestFrontSendsAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]int{}
	drops := func(answered int) http.HandlerFunc { // all before that one
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			got[r.URL.Path]++
			n := got[r.URL.Path]
			mu.Unlock()
			if n < answered {
				panic(http.ErrAbortHandler)
			}
		}
	}
	address := func(handler http.HandlerFunc) string {
		s := httptest.NewUnstartedServer(handler)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.Start()
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	twice, keycloak := drops(2), drops(2)
	f := newFront(t, map[string]string{
		"GATEWAY_SERVERS": "server " + address(twice) + " max_fails=0; server " + address(twice) + " max_fails=0;",
		"KEYCLOAK":        address(keycloak) + " max_fails=0; server " + address(keycloak),
	})
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		a := f.send(t, request{method: method, path: "/api/v1/cart/items/" + method})
		require.Equal(t, 200, a.status, "%s: %s", method, a.body)
		require.Equal(t, 2, got["/api/v1/cart/items/"+method], method)
	}
	for _, method := range []string{"POST", "PATCH"} {
		problem(t, f.send(t, request{method: method, path: "/api/v1/orders/" + method, body: "{}"}), 503, "unavailable")
		require.Equal(t, 1, got["/api/v1/orders/"+method], method)
	}
	require.Equal(t, 503, f.send(t, request{method: "GET", path: "/realms/stampede/x"}).status)
	require.Equal(t, 1, got["/realms/stampede/x"])
}

func TestLogs(t *testing.T) {
	t.Parallel()
	f := newFront(t, nil)
	client := newClient()
	f.send(t, request{method: "GET", path: "/api/v1/products?code=secret-1&a=b", from: client, header: []string{"Authorization: Bearer secret-2",
		"Referer: http://x/?code=secret-3", "X-Cart-Session: secret-4", "X-Real-IP: 6.6.6.6", `User-Agent: a"b\c`, "Cookie: secret-5"}})
	for _, file := range []string{"front.log", "gateway.log"} {
		var text string
		require.Eventually(t, func() bool {
			raw, _ := os.ReadFile(filepath.Join(f.nginx.dir, file))
			text = string(raw)
			return text != ""
		}, 5*time.Second, 50*time.Millisecond)
		require.JSONEq(t, text, text)
		require.NotContains(t, text, "secret")
		require.NotContains(t, text, "6.6.6.6")
		require.Contains(t, text, `"address":"`+client+`"`)
		require.Contains(t, text, `"path":"/api/v1/products"`)
	}
	// Bytes that are no text, in a path and in an agent's name.
	f.send(t, request{method: "GET", path: "/api/v1/products/caf\xe9/x", from: client, header: []string{"User-Agent: \xff\"1"}})
	for _, file := range []string{"front.log", "gateway.log"} {
		require.Eventually(t, func() bool {
			raw, err := os.ReadFile(filepath.Join(f.nginx.dir, file))
			require.NoError(t, err)
			require.True(t, utf8.Valid(raw), "%s: %q", file, raw)
			return strings.Contains(string(raw), `"path":"/api/v1/products/caf�","status":4`) &&
				strings.Contains(string(raw), `"agent":"�"`)
		}, 5*time.Second, 50*time.Millisecond, file)
	}
	require.Equal(t, 404, f.send(t, request{method: "POST", path: "/media/a.svg", from: client}).status)
	require.Eventually(t, func() bool {
		raw, _ := os.ReadFile(filepath.Join(f.nginx.dir, "front.log"))
		return strings.Contains(string(raw), `"method":"POST","path":"/media/a.svg"`)
	}, 5*time.Second, 50*time.Millisecond, "the method that was asked, not that of the error page")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	var version atomic.Int64
	keycloak := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/realms/stampede/protocol/openid-connect/certs" {
			w.WriteHeader(404)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"keys":[],"version":%d}`, version.Add(1))
	}))
	t.Cleanup(keycloak.Close)
	f := newFront(t, map[string]string{"KEYCLOAK": keycloak.Listener.Addr().String()})
	keys := &gateway{address: f.nginx.keys, host: "localhost"}
	get := func() answer { return keys.send(t, request{method: "GET", path: "/jwks?" + newClient()}) }

	require.Equal(t, `{"keys":[],"version":1}`, get().body)
	require.Equal(t, `{"keys":[],"version":1}`, get().body, "kept for some seconds")
	require.Equal(t, 404, keys.send(t, request{method: "GET", path: "/realms/stampede"}).status)
	require.Equal(t, 403, keys.send(t, request{method: "POST", path: "/jwks"}).status)
	require.Eventually(t, func() bool { return get().body == `{"keys":[],"version":2}` }, 20*time.Second, 100*time.Millisecond, "and then renewed")

	keycloak.Close()
	end := time.Now().Add(12 * time.Second) // longer than they are fresh
	for time.Now().Before(end) {
		a := get()
		require.Equal(t, 200, a.status)
		require.Equal(t, `{"keys":[],"version":2}`, a.body)
		time.Sleep(100 * time.Millisecond)
	}
	path, err := exec.LookPath("nginx")
	require.NoError(t, err)
	f.nginx.stop()
	f.nginx.start(t, path)
	require.Equal(t, `{"keys":[],"version":2}`, get().body, "a restart of Nginx without Keycloak must not lose them")
}
