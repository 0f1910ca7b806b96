// Package session guards the browser sessions of Dapr's oauth2 middleware.
//
// The library that the middleware keeps them in (fasthttp-contrib/sessions)
// sends every cookie but the first with Max-Age=0, so that browsers drop it;
// draws session ids from math/rand seeded with the clock, so that who has one
// can work out everybody's; takes any id that a client makes up; and reads its
// maps without a lock, which ends the whole sidecar when one browser without a
// login asks twice at once.
package session

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"
)

// cookieName is the library's own; the back office ends a session by clearing it.
const cookieName = "gosessionsid"

// exchangeTime bounds the call that turns a code into a token, since others
// wait for it.
const exchangeTime = 5 * time.Second

// Guard wraps the middleware so that it meets only session ids made here, from
// crypto/rand and signed with a key of this process (the sessions end with it
// as well), and one request at a time. Requests that have passed it run freely.
func Guard(oauth2 func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	key := []byte(rand.Text() + rand.Text())
	var one sync.Mutex
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fresh := keepOwn(r, key)
			if fresh != nil {
				http.SetCookie(w, fresh)
			}
			one.Lock()
			leave := sync.OnceFunc(one.Unlock)
			defer leave()
			ctx, cancel := context.WithTimeout(r.Context(), exchangeTime)
			defer cancel()
			oauth2(http.HandlerFunc(func(w http.ResponseWriter, passed *http.Request) {
				leave()
				next.ServeHTTP(w, passed.WithContext(r.Context()))
			})).ServeHTTP(w, r.WithContext(ctx))
		})
	}
}

// keepOwn leaves a request exactly one session cookie, of our making, and
// returns it when the browser does not have it yet.
func keepOwn(r *http.Request, key []byte) *http.Cookie {
	cookies := r.Cookies()
	r.Header.Del("Cookie")
	r.Header.Del("Authorization") // a client's own would go on beside the session's
	id := ""
	for _, c := range cookies {
		if c.Name != cookieName {
			r.AddCookie(c)
		} else if id == "" && ours(c.Value, key) {
			id = c.Value
		}
	}
	var fresh *http.Cookie
	if id == "" {
		nonce := rand.Text()
		id = nonce + "." + sign(nonce, key)
		fresh = &http.Cookie{Name: cookieName, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	}
	r.AddCookie(&http.Cookie{Name: cookieName, Value: id})
	return fresh
}

func ours(id string, key []byte) bool {
	nonce, mac, _ := strings.Cut(id, ".")
	return subtle.ConstantTimeCompare([]byte(mac), []byte(sign(nonce, key))) == 1
}

func sign(nonce string, key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(nonce))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
