package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/statetest"
)

// withState is a storefront with a state store.
func withState(t *testing.T) (*serve.Runtime, *service) {
	statetest.Start(t, "store")
	return newTest(t)
}

// once answers for a refresh token that is good once, as Keycloak has it.
func once(t *testing.T, rt *serve.Runtime, took time.Duration, also func()) (used *atomic.Int32) {
	t.Helper()
	used = &atomic.Int32{}
	servetest.Neighbour(t, rt, "auth", "POST /api/v1/auth/refresh", func(w http.ResponseWriter, r *http.Request) {
		used.Add(1)
		select {
		case <-r.Context().Done():
		case <-time.After(took):
		}
		also()
		servetest.Answers(map[string]any{
			"access_token": "new", "refresh_token": "r1", "token_type": "Bearer", "expires_in": 900,
		})(w, r)
	})
	return used
}

// Every tab that was open asks for tokens at once, of two instances: the refresh token is used once, and nobody is logged
// out.
func TestTokensAreRenewedOnce(t *testing.T) {
	t.Parallel()
	for name, left := range map[string]time.Duration{"still good": 20 * time.Second, "too late": -time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt, s := withState(t)
			_, other := newTest(t)
			other.dapr, other.sessions = s.dapr, s.sessions
			used := once(t, rt, 200*time.Millisecond, func() {})
			n, err := s.sessions.begin(t.Context(), session{
				Account: uuid.New(), Access: "old", Refresh: "r0", AccessEnds: s.now().Add(left), Begun: s.now(), Direct: true,
			})
			require.NoError(t, err)
			var tabs sync.WaitGroup
			for i := range 20 {
				tabs.Go(func() {
					instance := []*service{s, other}[i%2]
					got, err := instance.resume(t.Context(), httptest.NewRecorder(), n.id)
					if err != nil || got == nil {
						t.Errorf("tab %d is out: %v", i, err)
						return
					}
					if left < 0 && got.Access != "new" {
						t.Errorf("tab %d has a token that is over", i)
					}
				})
			}
			tabs.Wait()
			require.Equal(t, int32(1), used.Load())
			got, err := s.resume(t.Context(), httptest.NewRecorder(), n.id)
			require.NoError(t, err)
			require.Equal(t, []string{"new", "r1"}, []string{got.Access, got.Refresh})
			require.Equal(t, int32(1), used.Load())
		})
	}
}

// Who logs out while another tab renews the tokens is logged out.
func TestLogoutDuringRenewal(t *testing.T) {
	t.Parallel()
	rt, s := withState(t)
	var n *session
	once(t, rt, 0, func() {
		if err := s.sessions.end(t.Context(), n); err != nil {
			t.Error(err)
		}
	})
	var ended atomic.Int32
	servetest.Neighbour(t, rt, "auth", "POST /api/v1/auth/logout", func(w http.ResponseWriter, r *http.Request) {
		ended.Add(1)
		servetest.AnswersStatus(204, nil)(w, r)
	})
	n, err := s.sessions.begin(t.Context(), session{
		Account: uuid.New(), Refresh: "r0", AccessEnds: s.now(), Begun: s.now(), Direct: true,
	})
	require.NoError(t, err)
	for range 2 {
		got, err := s.resume(t.Context(), httptest.NewRecorder(), n.id)
		require.NoError(t, err)
		require.Nil(t, got)
	}
	require.Equal(t, int32(1), ended.Load(), "the new tokens, too")
}

// An instance that dies while it renews keeps the others waiting for as long as a renewal may take.
func TestRenewalThatWasLeft(t *testing.T) {
	t.Parallel()
	rt, s := withState(t)
	used := once(t, rt, 0, func() {})
	n, err := s.sessions.begin(t.Context(), session{
		Account: uuid.New(), Refresh: "r0", AccessEnds: s.now(), Begun: s.now(), Direct: true,
		Renewing: s.now().Add(300 * time.Millisecond),
	})
	require.NoError(t, err)
	got, err := s.resume(t.Context(), httptest.NewRecorder(), n.id)
	require.NoError(t, err)
	require.Equal(t, "new", got.Access)
	require.Equal(t, int32(1), used.Load())
}

// The file of one's data holds every page of every list, or there is none.
func TestOwnData(t *testing.T) {
	t.Parallel()
	rt, s := withState(t)
	profile := servetest.Like(t, "users", "GET /api/v1/users/me", map[string]any{"email": "ann@example.test"})
	servetest.Neighbour(t, rt, "users", "GET /api/v1/users/me", servetest.Answers(profile))
	list := func(app, operation string, items ...any) {
		servetest.Neighbour(t, rt, app, operation, func(w http.ResponseWriter, r *http.Request) {
			next := map[string]any{"items": items[:1], "next_cursor": "more"}
			if r.URL.Query().Get("cursor") == "more" {
				next = map[string]any{"items": items[1:], "next_cursor": nil}
			}
			servetest.Answers(servetest.Like(t, app, operation, next))(w, r)
		})
	}
	list("orders", "GET /api/v1/orders", map[string]any{"number": "S-1"}, map[string]any{"number": "S-2"})
	list("orders", "GET /api/v1/orders/imported", map[string]any{"number": "#1"},
		map[string]any{"number": "#2"})
	list("auth", "GET /api/v1/auth/login-history", map[string]any{"address": "192.0.2.1"}, map[string]any{"address": "192.0.2.2"})
	const waits = "GET /api/v1/stock-requests"
	servetest.Neighbour(t, rt, "products", waits, servetest.Answers(servetest.Like(t, "products", waits, map[string]any{
		"items": []any{map[string]any{"sku": "LAMP"}}, "next_cursor": nil,
	})))
	n, err := s.sessions.begin(t.Context(), session{Account: uuid.New(), Access: "x", AccessEnds: s.now().Add(time.Hour), Begun: s.now()})
	require.NoError(t, err)
	read := func(cookie string) servetest.Response {
		return servetest.Do(t, rt, "GET", "/account/data", "", nil, "Cookie", cookie)
	}
	res := read("session=" + n.id)
	require.Equal(t, 200, res.Status, "%s", res.Body)
	require.Contains(t, res.Header.Get("Content-Disposition"), "attachment")
	require.Contains(t, res.Header.Get("Cache-Control"), "no-store")
	var data ownData
	res.JSON(t, &data)
	require.Contains(t, string(data.Profile), "ann@example.test")
	require.Len(t, data.Orders, 2)
	require.Len(t, data.Past, 2)
	require.Len(t, data.Logins, 2)
	require.Len(t, data.Waiting, 1)
	require.Contains(t, string(res.Body), "S-2")
	require.Contains(t, string(res.Body), "192.0.2.2")
	require.Equal(t, 303, read("").Status, "to the login")
	servetest.Neighbour(t, rt, "auth", "GET /api/v1/auth/login-history", servetest.IsAway)
	require.Equal(t, 503, read("session="+n.id).Status)
}

// Who has registered in this browser is logged in by the code: the password goes along, and nobody types it again.
func TestVerifyLogsIn(t *testing.T) {
	t.Parallel()
	rt, s := withState(t)
	account := uuid.New()
	servetest.Neighbour(t, rt, "auth", "POST /api/v1/auth/register", servetest.AnswersStatus(201, map[string]any{
		"account_id": account, "email": "ann@example.test", "status": "pending",
	}))
	var verified map[string]string
	servetest.Neighbour(t, rt, "auth", "POST /api/v1/auth/verify-email", func(w http.ResponseWriter, r *http.Request) {
		verified = map[string]string{}
		_ = json.NewDecoder(r.Body).Decode(&verified)
		servetest.AnswersStatus(204, nil)(w, r)
	})
	servetest.Neighbour(t, rt, "auth", "POST /api/v1/auth/login", servetest.Answers(map[string]any{
		"access_token":  servetest.Token(t, account, "ann@example.test", auth.RoleUser),
		"refresh_token": "r0", "token_type": "Bearer", "expires_in": 900,
	}))
	send := func(path, cookie string, form url.Values) servetest.Response {
		return servetest.Do(t, rt, "POST", path, "", form.Encode(),
			"Content-Type", "application/x-www-form-urlencoded", "Origin", public, "Cookie", cookie)
	}
	cookies := func(res servetest.Response) (all []string) {
		for _, c := range (&http.Response{Header: res.Header}).Cookies() {
			if c.Value != "" {
				all = append(all, c.Name+"="+c.Value)
			}
		}
		return all
	}
	const secret = "a few words of Ann's"
	form := url.Values{"email": {"Ann@example.test"}, "password": {secret}, "first_name": {"Ann"}, "last_name": {"Lee"}}
	res := send("/register", "", form)
	require.Equal(t, 303, res.Status, "%s", res.Body)
	kept := strings.Join(cookies(res), "; ")
	require.Contains(t, kept, "registration=")
	require.NotContains(t, kept, secret)

	code := url.Values{"email": {"ann@example.test"}, "code": {"123 456"}}
	res = send("/verify", kept, code)
	require.Equal(t, 303, res.Status, "%s", res.Body)
	require.Equal(t, "/login", res.Header.Get("Location"))
	require.Equal(t, map[string]string{"email": "ann@example.test", "code": "123456", "password": secret}, verified)
	opened := cookies(res)
	require.Len(t, opened, 1)
	n, err := s.resume(t.Context(), httptest.NewRecorder(), strings.TrimPrefix(opened[0], "session="))
	require.NoError(t, err)
	require.Equal(t, account, n.Account)
	require.True(t, n.Direct)

	// Once only, for this address, in this browser.
	for _, c := range []struct {
		cookie string
		form   url.Values
	}{
		{kept, code}, {"", code}, {"registration=" + random(), code},
	} {
		res = send("/verify", c.cookie, c.form)
		require.Equal(t, "/login?hint=ann%40example.test", res.Header.Get("Location"), "the password is asked for")
		require.NotContains(t, verified, "password")
	}
	kept = strings.Join(cookies(send("/register", "", form)), "; ")
	send("/verify", kept, url.Values{"email": {"bob@example.test"}, "code": {"123456"}})
	require.NotContains(t, verified, "password")
}
