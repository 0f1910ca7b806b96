package gateway

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bucket stands where an S3 server would, and writes down what reaches it.
type bucket struct {
	mu      sync.Mutex
	seen    []*seen
	answers map[string]http.HandlerFunc // by path
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, _ := io.Copy(io.Discard, r.Body)
	b.mu.Lock()
	b.seen = append(b.seen, &seen{method: r.Method, uri: r.RequestURI, host: r.Host, header: r.Header.Clone(), body: int(n)})
	answer := b.answers[r.URL.Path]
	b.mu.Unlock()
	if answer == nil {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(404)
		io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
		return
	}
	answer(w, r)
}

func (b *bucket) answer(path string, fn http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[path] = fn
}

// notPassed are headers that a picture has neither from a bucket nor from the front.
var notPassed = []string{"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Location", "Expires", "Pragma", "Age", "Set-Cookie", "Link", "Refresh",
	"Location", "Via", "X-Powered-By", "X-Xss-Protection", "Strict-Transport-Security", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
	"X-Amz-Request-Id", "X-Amz-Id-2", "X-Amz-Storage-Class", "X-Amz-Version-Id", "X-Amz-Server-Side-Encryption", "X-Amz-Checksum-Crc32", "X-Amz-Checksum-Crc64nvme", "X-Amz-Checksum-Type"}

// object puts something into the bucket that claims to be anything but a picture.
func (b *bucket) object(name, text string) {
	b.answer("/pictures/"+name, func(w http.ResponseWriter, r *http.Request) {
		for _, header := range notPassed {
			w.Header().Set(header, "bucket")
		}
		for header, value := range map[string]string{
			"Content-Type": "text/html", "Cache-Control": "no-store", "Vary": "*", "X-Content-Type-Options": "none", "X-Frame-Options": "ALLOWALL",
			"Referrer-Policy": "unsafe-url", "Content-Security-Policy": "script-src *", "Cross-Origin-Resource-Policy": "same-origin", "X-Request-Id": "bucket",
			"X-Accel-Redirect": "/api/openapi.json", "X-Accel-Expires": "0", "Server": "bucket", "ETag": `"` + name + `"`,
			"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "Accept-Ranges": "bytes",
		} {
			w.Header().Set(header, value)
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		if r.Header.Get("If-None-Match") == `"`+name+`"` {
			w.WriteHeader(304)
			return
		}
		io.WriteString(w, text)
	})
}

func (b *bucket) requests() []*seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*seen(nil), b.seen...)
}

// times says how often a picture was asked for.
func (b *bucket) times(name string) (n int) {
	for _, s := range b.requests() {
		if strings.HasPrefix(s.uri, "/pictures/"+name) {
			n++
		}
	}
	return n
}

// newBucket gives a front whose pictures come out of a bucket.
func newBucket(t *testing.T, edit func(file, text string) string) (front, *bucket, *httptest.Server) {
	b := &bucket{answers: map[string]http.HandlerFunc{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	u, addresses := newUpstream(t, [3]string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"})
	vars := sidecars(addresses)
	for name, value := range bucketVars(server) {
		vars[name] = value
	}
	n := newNginx(t, vars, edit)
	return front{&gateway{address: n.front, host: publicHost, loopback: true, upstream: u}, n, nil}, b, server
}

func bucketVars(server *httptest.Server) map[string]string {
	scheme, _, _ := strings.Cut(server.URL, "://")
	return map[string]string{"S3_SCHEME": scheme, "S3_SERVER": server.Listener.Addr().String(), "S3_HOST": "example.com", "S3_BUCKET": "pictures"}
}

func TestBucket(t *testing.T) {
	t.Parallel()
	f, b, server := newBucket(t, func(file, text string) string {
		return strings.ReplaceAll(text, "proxy_cache_valid 200 1h;", "proxy_cache_valid 200 1s;")
	})
	get := func(path string, header ...string) answer {
		return f.send(t, request{method: "GET", path: path, header: header})
	}

	t.Run("a picture is what its name says", func(t *testing.T) {
		for name, kind := range map[string]string{"a.svg": "image/svg+xml", "b.png": "image/png", "c.jpeg": "image/jpeg", "d.webp": "image/webp",
			"e.html": "application/octet-stream", "f": "application/octet-stream", "sub/g.svg": "image/svg+xml"} {
			b.object(name, "<svg><script>alert(1)</script></svg>")
			for _, method := range []string{"GET", "HEAD", "GET"} {
				a := f.send(t, request{method: method, path: "/media/" + name})
				require.Equal(t, 200, a.status, name)
				for header, value := range map[string]string{
					"Content-Type": kind, "Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff",
					"X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "strict-origin-when-cross-origin", "Cross-Origin-Resource-Policy": "cross-origin",
					"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox", "Etag": `"` + name + `"`, "Content-Length": "36",
				} {
					require.Equal(t, []string{value}, a.header[header], "%s of %s", header, name)
				}
				require.Len(t, a.header["X-Request-Id"], 1)
				require.NotEqual(t, "bucket", a.header.Get("X-Request-Id"))
				for _, header := range append(notPassed, "X-Accel-Redirect") {
					require.Empty(t, a.header[header], header)
				}
				require.NotEqual(t, "bucket", a.header.Get("Server"))
				require.NotContains(t, a.header.Get("Vary"), "*")
				if method == "GET" {
					require.Equal(t, "<svg><script>alert(1)</script></svg>", a.body)
				}
			}
			require.Equal(t, 1, b.times(name), "kept")
		}
	})

	t.Run("nothing of a request goes there but the name", func(t *testing.T) {
		b.object("name.svg", "<svg/>")
		a := f.send(t, request{method: "GET", path: "/media/name.svg?acl&list-type=2&X-Amz-Signature=1", body: "body", header: []string{bearer(1), "Cookie: a=1",
			"X-Amz-Acl: public-read-write", "Range: bytes=0-1", "If-None-Match: x", "Accept-Encoding: gzip", "X-Forwarded-Host: evil.example", "Referer: http://x/?code=1"}})
		require.Equal(t, 206, a.status)
		require.Equal(t, 1, b.times("name.svg"))
		for _, s := range b.requests() {
			if s.uri != "/pictures/name.svg" {
				continue
			}
			require.Equal(t, "GET", s.method)
			require.Equal(t, "example.com", s.host)
			require.Zero(t, s.body)
			require.Empty(t, s.header, "no header of the client's")
		}
		require.Equal(t, 200, get("/media/name.svg?other").status)
		require.Equal(t, 1, b.times("name.svg"), "a query makes no other picture")
	})

	t.Run("nothing else of the bucket can be reached", func(t *testing.T) {
		b.object("", "<ListBucketResult/>")
		b.answer("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<ListAllMyBucketsResult/>") })
		b.object("sub/", "listing")
		b.object(".secret", "hidden")
		b.object("sub/.secret", "hidden")
		b.object("a b.svg", "<svg/>")
		before := len(b.requests())
		for _, path := range []string{"/media/", "/media", "/media/?list-type=2", "/media/?policy", "/media/.secret", "/media/sub/", "/media/sub/.secret", "/media/a.svg/",
			"/media/..%2fother", "/media/../pictures/a.svg", "/media/%2e%2e/other/a.svg", "/media/a%20b.svg", "/media/a.svg%3facl", "/media/a.svg%00", "/media/%2e%2e%2f",
			"/media/a.svg;x", "/media/a%0d%0aX-A:b.svg", "/media/\\a.svg", "/pictures/a.svg", "/media-http.conf", "/cache-pictures/"} {
			a := get(path)
			if strings.HasPrefix(path, "/media/") || path == "/media" {
				require.Contains(t, []int{400, 404}, a.status, path)
				if a.seen == nil {
					require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), path)
				}
			}
			require.NotContains(t, a.header.Get("Cache-Control"), "immutable", path)
			require.NotContains(t, a.body, "hidden", path)
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			problem(t, f.send(t, request{method: method, path: "/media/a.svg", header: []string{"Authorization: AWS4-HMAC-SHA256 x"}}), 405, "method-not-allowed")
			problem(t, f.send(t, request{method: method, path: "/media/b.png"}), 405, "method-not-allowed")
		}
		require.Len(t, b.requests(), before, "none of these reached the bucket")
	})

	t.Run("errors are problems and not kept", func(t *testing.T) {
		problem(t, get("/media/none.svg"), 404, "not-found")
		require.NotContains(t, get("/media/none.svg").header.Get("Cache-Control"), "immutable")
		require.Equal(t, 2, b.times("none.svg"), "what comes a moment later is seen at once")
		b.object("none.svg", "<svg/>")
		require.Equal(t, 200, get("/media/none.svg").status)
		for status, want := range map[int]int{403: 404, 410: 404, 301: 503, 307: 503, 400: 503, 401: 503, 405: 405, 409: 503, 429: 429, 500: 503, 502: 503, 503: 503, 504: 503} {
			for _, kind := range []string{"svg", "png"} {
				name := fmt.Sprintf("status-%d.%s", status, kind)
				b.answer("/pictures/"+name, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Location", "http://evil.example")
					w.Header().Set("Content-Type", "text/html")
					w.Header().Set("Cache-Control", "public, max-age=1000")
					w.WriteHeader(status)
					io.WriteString(w, "<script>bucket</script>")
				})
				a := get("/media/" + name)
				require.Equal(t, want, a.status, name)
				require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), name)
				require.Empty(t, a.header.Get("Location"), name)
				require.NotContains(t, a.body, "bucket", name)
				require.NotContains(t, a.header.Get("Cache-Control"), "immutable", name)
				if want == 503 {
					require.NotEmpty(t, a.header.Get("Retry-After"), name)
				}
			}
		}
		b.answer("/pictures/torn.png", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(make([]byte, 5000))
			panic(http.ErrAbortHandler)
		})
		conn := f.dial(t, "")
		fmt.Fprintf(conn, "GET /media/torn.png HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", publicHost)
		io.Copy(io.Discard, conn)
		conn.Close()
		b.object("torn.png", strings.Repeat("x", 100_000))
		require.Len(t, get("/media/torn.png").body, 100_000, "half a picture is not kept")
	})

	t.Run("what browsers have is not sent again, and parts are", func(t *testing.T) {
		b.object("large.png", strings.Repeat("0123456789", 2000))
		require.Len(t, get("/media/large.png").body, 20_000)
		a := get("/media/large.png", `If-None-Match: "large.png"`)
		require.Equal(t, 304, a.status)
		a = get("/media/large.png", "Range: bytes=10-14")
		require.Equal(t, 206, a.status)
		require.Equal(t, "01234", a.body)
		require.Equal(t, []string{"image/png"}, a.header["Content-Type"])
		a = get("/media/large.png", "Range: bytes=0-1,5-6")
		require.Equal(t, 200, a.status)
		require.Equal(t, []string{"image/png"}, a.header["Content-Type"])
	})

	t.Run("only drawings are compressed", func(t *testing.T) {
		b.object("drawing.svg", strings.Repeat("<g/>", 1000))
		b.object("photo.png", strings.Repeat("<g/>", 1000))
		a := get("/media/drawing.svg", "Accept-Encoding: gzip")
		require.Equal(t, []string{"gzip"}, a.header["Content-Encoding"])
		require.Equal(t, []string{"image/svg+xml"}, a.header["Content-Type"])
		require.Less(t, len(a.body), 1000)
		require.Empty(t, get("/media/photo.png", "Accept-Encoding: gzip").header["Content-Encoding"])
	})

	t.Run("a browser with a cookie is served from what is kept", func(t *testing.T) {
		b.object("kept.png", "x")
		for range 3 {
			require.Equal(t, 200, get("/media/kept.png", "Cookie: session=1", bearer(1)).status)
		}
		require.Equal(t, 1, b.times("kept.png"))
	})

	t.Run("one that was taken out is gone when what is kept is old", func(t *testing.T) {
		b.object("gone.png", "x")
		require.Equal(t, 200, get("/media/gone.png").status)
		require.Eventually(t, func() bool { return get("/media/gone.png").status == 200 && b.times("gone.png") == 2 }, 5*time.Second, 50*time.Millisecond)
		asked := b.requests()
		require.Equal(t, `"gone.png"`, asked[len(asked)-1].header.Get("If-None-Match"), "what has not changed is not sent again")
		b.answer("/pictures/gone.png", nil)
		require.Eventually(t, func() bool { return get("/media/gone.png").status == 404 }, 5*time.Second, 50*time.Millisecond)
	})

	t.Run("without the bucket, what is kept is shown and the rest is unavailable", func(t *testing.T) {
		b.object("seen.png", "x")
		require.Equal(t, 200, get("/media/seen.png").status)
		server.Close()
		problem(t, get("/media/not-seen.png"), 503, "unavailable")
		end := time.Now().Add(2 * time.Second) // longer than it is fresh
		for time.Now().Before(end) {
			a := get("/media/seen.png")
			require.Equal(t, 200, a.status)
			require.Equal(t, []string{"image/png"}, a.header["Content-Type"])
		}
		require.Equal(t, 200, get("/").status, "the shop goes on")
	})
}

// TestBucketTLS: an https bucket must be who it says it is.
func TestBucketTLS(t *testing.T) {
	t.Parallel()
	b := &bucket{answers: map[string]http.HandlerFunc{}}
	b.object("a.png", "x")
	server := httptest.NewUnstartedServer(b)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // what Nginx hangs up on
	server.StartTLS()
	t.Cleanup(server.Close)
	authority := t.TempDir() + "/authority.pem"
	require.NoError(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	trust := func(file, text string) string {
		return strings.ReplaceAll(text, "/etc/ssl/certs/ca-certificates.crt", authority)
	}
	for _, c := range []struct {
		name, host string
		edit       func(file, text string) string
		status     int
	}{
		{"known", "example.com", trust, 200},
		{"of another name", "other.example", trust, 503},
		{"signed by nobody", "example.com", nil, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			vars := bucketVars(server)
			vars["S3_HOST"] = c.host
			n := newNginx(t, vars, c.edit)
			g := &gateway{address: n.front, host: publicHost}
			require.Equal(t, c.status, g.send(t, request{method: "GET", path: "/media/a.png"}).status)
		})
	}
}
