package session

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/components-contrib/middleware"
	"github.com/dapr/components-contrib/middleware/http/oauth2"
	"github.com/dapr/kit/logger"
)

// setup serves a page behind Dapr's own middleware, guarded, and an identity
// provider that lets everybody in. The page answers with the token it was given.
func setup(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		back := q.Get("redirect_uri") + "?" + url.Values{"state": {q.Get("state")}, "code": {"c"}}.Encode()
		http.Redirect(w, r, back, http.StatusFound)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": "the-token", "token_type": "Bearer", "expires_in": 60})
	})
	handler, err := oauth2.NewOAuth2Middleware(logger.NewLogger("test")).GetHandler(t.Context(), middleware.Metadata{
		Base: metadata.Base{Properties: map[string]string{
			"clientID": "backoffice", "clientSecret": "s", "scopes": "openid", "authHeaderName": "Authorization",
			"authURL": server.URL + "/login", "tokenURL": server.URL + "/token", "redirectURL": server.URL + "/admin",
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/admin", Guard(handler)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.URL.RequestURI()+" "+r.Header.Get("Authorization")+" "+r.Header.Get("Cookie"))
	})))
	return server.URL + "/admin"
}

func TestEveryBrowserCanLogIn(t *testing.T) {
	page := setup(t)
	seen := map[string]bool{}
	for range 3 {
		jar, _ := cookiejar.New(nil)
		browser := &http.Client{Jar: jar}
		res, err := browser.Get(page + "?page=2")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.HasPrefix(string(body), "/admin?page=2 Bearer the-token gosessionsid=") {
			t.Fatalf("got %d %s", res.StatusCode, body)
		}
		at, _ := url.Parse(page)
		id := jar.Cookies(at)[0].Value
		if seen[id] {
			t.Fatalf("the id %s was given twice", id)
		}
		seen[id] = true
	}
}

func TestForeignIDsAreReplaced(t *testing.T) {
	page := setup(t)
	noFollow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, cookie := range []string{"", "gosessionsid=made-up", "gosessionsid=", "gosessionsid=a.b; gosessionsid=c.d"} {
		r, _ := http.NewRequest(http.MethodGet, page, nil)
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		res, err := noFollow.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		set := res.Header.Values("Set-Cookie")
		if res.StatusCode != http.StatusFound || len(set) != 1 || strings.Contains(set[0], "Max-Age") ||
			!strings.Contains(set[0], "HttpOnly; SameSite=Lax") {
			t.Fatalf("%q: got %d %q", cookie, res.StatusCode, set)
		}
	}
}

// Without the guard -race reports it; a sidecar under load ended with "concurrent
// map read and map write".
func TestOneBrowserAsksOftenAtOnce(t *testing.T) {
	page := setup(t)
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := browser.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	id := res.Cookies()[0]
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			for range 50 {
				r, _ := http.NewRequest(http.MethodGet, page, nil)
				r.AddCookie(&http.Cookie{Name: id.Name, Value: id.Value})
				if res, err := browser.Do(r); err == nil {
					res.Body.Close()
				}
			}
		})
	}
	wg.Wait()
}
