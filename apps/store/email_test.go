package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// resident is a shopper with a session at a storefront with a state store.
type resident struct {
	*testing.T
	rt *serve.Runtime
	s  *service
	n  *session
}

func newResident(t *testing.T) *resident {
	t.Helper()
	rt, s := withState(t)
	n, err := s.sessions.begin(t.Context(), session{
		Account: uuid.New(), Email: "old@example.test", Access: "old", Refresh: "r0", AccessEnds: s.now().Add(time.Hour),
		Begun: s.now(), Direct: true,
	})
	require.NoError(t, err)
	return &resident{t, rt, s, n}
}

func (m *resident) get(path string) servetest.Response {
	m.Helper()
	return servetest.Do(m, m.rt, "GET", path, "", nil, "Cookie", "session="+m.n.id)
}

func (m *resident) send(path string, form url.Values) servetest.Response {
	m.Helper()
	form.Set("token", m.n.token())
	return servetest.Do(m, m.rt, "POST", path, "", form.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Origin", public, "Cookie", "session="+m.n.id)
}

// TestChangeEmail: the address is asked for with the password, the code is typed on the page after that, and the session
// goes on under the new address.
func TestChangeEmail(t *testing.T) {
	t.Parallel()
	m := newResident(t)
	var asked map[string]string
	const ask, verify = "POST /api/v1/auth/email/change", "POST /api/v1/auth/email/verify"
	servetest.Neighbour(t, m.rt, "auth", ask, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer old" {
			t.Errorf("asked as %q", r.Header.Get("Authorization"))
		}
		_ = json.NewDecoder(r.Body).Decode(&asked)
		servetest.AnswersStatus(202, nil)(w, r)
	})
	require.Contains(t, string(m.get("/account/email").Body), "old@example.test")
	form := url.Values{"email": {" new@example.test "}, "password": {"a few words"}}
	res := m.send("/account/email", form)
	require.Equal(t, []any{303, "/account/email/code?email=new%40example.test"}, []any{res.Status, res.Header.Get("Location")})
	require.Equal(t, map[string]string{"email": "new@example.test", "password": "a few words"}, asked)
	require.Contains(t, string(m.get("/account/email/code?email=new%40example.test").Body), "new@example.test")
	for refusal, words := range map[*problem.Error]string{
		problem.New(problem.Unauthenticated, "credentials-invalid", ""):                         "not your password",
		problem.New(problem.Conflict, "email-taken", ""):                                        "an account of its own",
		problem.ErrTooMany.RetryAfter(time.Minute):                                              "too often",
		problem.InvalidField("body.email", problem.CodeWrongFormat, "is not an e-mail address"): "Is not an e-mail address.",
	} {
		servetest.Neighbour(t, m.rt, "auth", ask, servetest.Refuses(refusal))
		res := m.send("/account/email", form)
		require.Equal(t, 422, res.Status, words)
		require.Contains(t, string(res.Body), words)
		require.NotContains(t, string(res.Body), "a few words")
		require.Contains(t, string(res.Body), "new@example.test", "what was typed stays")
	}

	code := url.Values{"code": {"123 456"}, "email": {"new@example.test"}}
	servetest.Neighbour(t, m.rt, "auth", verify, servetest.Refuses(problem.New(problem.BadRequest, "code-invalid", "")))
	res = m.send("/account/email/code", code)
	require.Equal(t, 422, res.Status)
	require.Contains(t, string(res.Body), "wrong or too old")
	servetest.Neighbour(t, m.rt, "auth", verify, servetest.AnswersStatus(204, nil))
	servetest.Neighbour(t, m.rt, "auth", "POST /api/v1/auth/refresh", servetest.Answers(map[string]any{
		"access_token":  servetest.Token(t, m.n.Account, "new@example.test", auth.RoleUser),
		"refresh_token": "r1", "token_type": "Bearer", "expires_in": 900,
	}))
	require.Equal(t, "/account?saved", m.send("/account/email/code", code).Header.Get("Location"))
	now, err := m.s.resume(t.Context(), httptest.NewRecorder(), m.n.id)
	require.NoError(t, err)
	require.Equal(t, []string{"new@example.test", "r1"}, []string{now.Email, now.Refresh})
	require.NotEqual(t, "old", now.Access, "what is ordered from now on has the new address")
}

// TestDeletion: the page says what goes and what stays, and wants the password; then the browser is nobody's.
func TestDeletion(t *testing.T) {
	t.Parallel()
	m := newResident(t)
	const remove = "POST /api/v1/auth/deletion"
	require.Contains(t, string(m.get("/account/deletion").Body), "What stays")
	servetest.Neighbour(t, m.rt, "auth", remove, servetest.Refuses(problem.New(problem.Unauthenticated, "credentials-invalid", "")))
	res := m.send("/account/deletion", url.Values{"password": {"wrong"}})
	require.Equal(t, 422, res.Status)
	require.Contains(t, string(res.Body), "not your password")
	require.Equal(t, 200, m.get("/account/deletion").Status, "still logged in")
	servetest.Neighbour(t, m.rt, "auth", remove, servetest.AnswersStatus(202, nil))
	res = m.send("/account/deletion", url.Values{"password": {"a few words"}})
	require.Equal(t, []any{303, "/account-deleted"}, []any{res.Status, res.Header.Get("Location")})
	require.Equal(t, 303, m.get("/account/deletion").Status, "to the login")
	require.Equal(t, 200, m.get("/account-deleted").Status)
}

// TestAccountRemoved: the sessions of an account that is gone end, and no list of them stays.
func TestAccountRemoved(t *testing.T) {
	t.Parallel()
	m := newResident(t)
	gone := events.AccountRemoved{AccountID: m.n.Account, At: time.Now()}
	servetest.Deliver(t, m.rt, gone)
	servetest.Deliver(t, m.rt, gone)
	left, err := m.s.resume(t.Context(), httptest.NewRecorder(), m.n.id)
	require.NoError(t, err)
	require.Nil(t, left)
	kept, _, err := m.rt.Dapr.GetState(t.Context(), serve.State, "account:"+m.n.Account.String())
	require.NoError(t, err)
	require.Nil(t, kept)
}
