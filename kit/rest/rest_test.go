package rest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

type echoInput struct {
	ID   string `path:"id" maxLength:"20"`
	Body struct {
		Name  string `json:"name" minLength:"1" maxLength:"50"`
		Count int    `json:"count" minimum:"0" maximum:"20"`
	}
}

type echoOutput struct {
	Body struct {
		Caller string `json:"caller"`
		Name   string `json:"name"`
	}
}

var errTeapot = problem.New(problem.Conflict, "teapot", "This is a teapot")

func service(t *testing.T) *serve.Runtime {
	rt, _ := servetest.NewTest(t, "echo", nil)
	echo := func(ctx context.Context, in *echoInput) (*echoOutput, error) {
		switch in.Body.Name {
		case "teapot":
			return nil, errTeapot.With("available", 3).Detail("no coffee").RetryAfter(1500 * time.Millisecond)
		case "broken":
			return nil, pgx.ErrTxClosed
		case "slow":
			return nil, fmt.Errorf("read: %w", context.DeadlineExceeded)
		case "panic":
			panic("boom")
		}
		out := &echoOutput{}
		if c, ok := auth.From(ctx); ok {
			out.Body.Caller = c.Email
		}
		out.Body.Name = in.Body.Name
		return out, nil
	}
	rest.Handle(rt.API, rest.Op("POST", "/api/v1/anyone/{id}", "Echo", rest.Anyone, rest.Problems(errTeapot)), echo)
	rest.Handle(rt.API, rest.Op("POST", "/api/v1/user/{id}", "Echo", rest.User), echo)
	rest.Handle(rt.API, rest.Op("POST", "/api/v1/admin/{id}", "Echo", rest.Admin), echo)
	rest.Handle(rt.API, rest.Op("POST", "/internal/{id}", "Echo", rest.Neighbours("orders")), echo)
	undeclared := rest.Op("POST", "/api/v1/undeclared/{id}", "Echo", rest.Anyone)
	undeclared.Metadata = nil
	rest.Handle(rt.API, undeclared, echo)
	return rt
}

func TestAccess(t *testing.T) {
	t.Parallel()
	rt := service(t)
	id := uuid.New()
	user := servetest.Token(t, id, "a@example.test", auth.RoleUser)
	admin := servetest.Token(t, id, "b@example.test", auth.RoleAdmin)
	none := servetest.Token(t, id, "c@example.test")
	expired := servetest.TokenUntil(t, id, "a@example.test", time.Now().Add(-time.Second), auth.RoleUser)
	for _, c := range []struct {
		path, token string
		headers     []string
		want        int
	}{
		{"/api/v1/anyone/1", "", nil, 200},
		{"/api/v1/anyone/1", user, nil, 200},
		{"/api/v1/anyone/1", expired, nil, 401},
		{"/api/v1/anyone/1", "garbage", nil, 401},
		{"/api/v1/anyone/1", "", []string{"Authorization", "Basic eDp5"}, 401},
		{"/api/v1/user/1", "", nil, 401},
		{"/api/v1/user/1", none, nil, 403},
		{"/api/v1/user/1", user, nil, 200},
		{"/api/v1/user/1", user[:len(user)-6] + "AAAAAA", nil, 401},
		{"/api/v1/admin/1", user, nil, 403},
		{"/api/v1/admin/1", admin, nil, 200},
		{"/internal/1", admin, nil, 403},
		{"/internal/1", "", []string{"dapr-caller-app-id", "carts"}, 403},
		{"/internal/1", "", []string{"dapr-caller-app-id", "orders"}, 200},
		{"/api/v1/undeclared/1", admin, nil, 403},
		{"/api/v1/anyone/1", "", []string{"dapr-api-token", "wrong"}, 403},
		{"/api/v1/nothing", "", nil, 404},
	} {
		res := servetest.Do(t, rt, "POST", c.path, c.token, map[string]any{"name": "x", "count": 1}, c.headers...)
		require.Equal(t, c.want, res.Status, "%s %v: %s", c.path, c.headers, res.Body)
		if c.want >= 400 {
			require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
			require.NotEmpty(t, res.Slug())
		}
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	rt := service(t)
	for _, c := range []struct {
		name, path string
		body       any
		want       int
		slug       string
	}{
		{"malformed", "/1", `{"name":`, 400, "malformed"},
		{"empty", "/1", nil, 400, "malformed"},
		{"two documents", "/1", `{"name":"x","count":1}{}`, 400, "malformed"},
		{"not UTF-8", "/1", "{\"name\":\"\xff\",\"count\":1}", 400, "malformed"},
		{"NUL", "/1", `{"name":"a\u0000b","count":1}`, 400, "malformed"},
		{"NUL in the path", "/a%00", `{"name":"x","count":1}`, 400, "malformed"},
		{"bad query", "/1?q=%ff", `{"name":"x","count":1}`, 400, "malformed"},
		{"wrong type", "/1", `{"name":1,"count":1}`, 422, "invalid"},
		{"unknown field", "/1", `{"name":"x","count":1,"admin":true}`, 422, "invalid"},
		{"missing field", "/1", `{"name":"x"}`, 422, "invalid"},
		{"too large a number", "/1", `{"name":"x","count":99999999999999999999}`, 422, "invalid"},
		{"array", "/1", `[]`, 422, "invalid"},
		{"2 MB", "/1", make([]byte, 2<<20), 413, "too-large"},
		{"declared", "/1", `{"name":"teapot","count":1}`, 409, "teapot"},
		{"undeclared", "/1", `{"name":"broken","count":1}`, 500, "internal"},
		{"panic", "/1", `{"name":"panic","count":1}`, 500, "internal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := servetest.Do(t, rt, "POST", "/api/v1/anyone"+c.path, "", c.body)
			require.Equal(t, c.want, res.Status, "%s", res.Body)
			require.Equal(t, c.slug, res.Slug())
			require.NotContains(t, string(res.Body), "value\"", "never the value that was sent")
			require.NotContains(t, string(res.Body), "tx is closed")
		})
	}
	res := servetest.Do(t, rt, "POST", "/api/v1/anyone/1", "", `{"name":"teapot","count":1}`)
	require.Equal(t, "2", res.Header.Get("Retry-After"))
	require.JSONEq(t, `{"type":"urn:stampede:problem:teapot","title":"This is a teapot","status":409,"detail":"no coffee",
		"instance":"/api/v1/anyone/1","trace_id":"","available":3}`, string(res.Body))
}

func TestHeadIsGet(t *testing.T) {
	t.Parallel()
	rt := service(t)
	rest.Handle(rt.API, rest.Op("GET", "/api/v1/thing", "Read", rest.Anyone), func(context.Context, *struct{}) (*echoOutput, error) {
		return &echoOutput{}, nil
	})
	require.Equal(t, 200, servetest.Do(t, rt, "HEAD", "/api/v1/thing", "", nil).Status)
	require.Equal(t, 404, servetest.Do(t, rt, "HEAD", "/api/v1/nothing", "", nil).Status)
	require.Equal(t, 405, servetest.Do(t, rt, "DELETE", "/api/v1/thing", "", nil).Status)
}

func TestCursor(t *testing.T) {
	t.Parallel()
	type at struct{ N int }
	s := rest.EncodeCursor("list", at{7})
	var got at
	require.NoError(t, rest.DecodeCursor("list", s, &got))
	require.Equal(t, at{7}, got)
	forged := []byte(s)
	forged[3] ^= 1
	for _, bad := range []string{"", "x", string(forged), s + "A", s[1:]} {
		require.ErrorIs(t, rest.DecodeCursor("list", bad, &got), problem.ErrInvalid, bad)
	}
	require.ErrorIs(t, rest.DecodeCursor("another", s, &got), problem.ErrInvalid)

	// One that was given out before another key took its key's place.
	body, _, _ := strings.Cut(s, ".")
	plain, err := base64.RawURLEncoding.DecodeString(body)
	require.NoError(t, err)
	signed := func(key string) string {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write(plain)
		return body + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	require.NoError(t, rest.DecodeCursor("list", signed(servetest.OldKey), &got))
	require.ErrorIs(t, rest.DecodeCursor("list", signed("of nobody"), &got), problem.ErrInvalid)
	require.NotEqual(t, s, signed(servetest.OldKey), "a new one is signed with the first")
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	_, db := servetest.NewTest(t, "echo", noMigrations)
	ctx := t.Context()
	runs := 0
	do := func(key string, body any, err error) (idempotency.Answer, error) {
		return idempotency.Do(ctx, db, "scope", key, body, func(pgx.Tx) (int, any, error) {
			runs++
			return http.StatusCreated, map[string]int{"run": runs}, err
		})
	}
	_, err := do("", 1, nil)
	require.ErrorIs(t, err, idempotency.ErrKeyRequired)
	_, err = do("a", 1, errTeapot)
	require.ErrorIs(t, err, errTeapot)
	first, err := do("a", 1, nil) // an error keeps nothing
	require.NoError(t, err)
	again, err := do("a", 1, nil)
	require.NoError(t, err)
	require.True(t, again.Repeated)
	require.JSONEq(t, string(first.Body), string(again.Body))
	require.Equal(t, 2, runs)
	_, err = do("a", 2, nil)
	require.ErrorIs(t, err, idempotency.ErrKeyReused)
	// An answer from before another key took its key's place.
	for key, repeats := range map[string]bool{servetest.OldKey: true, "of nobody": false} {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte("1"))
		_, err = db.Exec(ctx, `UPDATE idempotency_keys SET body_hash = $1 WHERE key = 'a'`, mac.Sum(nil))
		require.NoError(t, err)
		again, err = do("a", 1, nil)
		require.Equal(t, repeats, err == nil && again.Repeated, key)
	}
	// While the first runs, the second is told to wait.
	_, err = idempotency.Do(ctx, db, "scope", "b", 1, func(pgx.Tx) (int, any, error) {
		_, inner := do("b", 1, nil)
		require.ErrorIs(t, inner, idempotency.ErrInProgress)
		return 200, nil, nil
	})
	require.NoError(t, err)
}

// TestUndeclaredUnavailable: also an error that nobody declared says when to come back.
func TestUndeclaredUnavailable(t *testing.T) {
	t.Parallel()
	res := servetest.Do(t, service(t), "POST", "/api/v1/anyone/1", "", map[string]any{"name": "slow", "count": 1})
	require.Equal(t, http.StatusServiceUnavailable, res.Status)
	require.Equal(t, "unavailable", res.Slug())
	require.Equal(t, []string{"2"}, res.Header["Retry-After"])
}

// TestConnectionEnded: a connection that ended under an operation, as when PostgreSQL is killed, is no fault of ours.
func TestConnectionEnded(t *testing.T) {
	t.Parallel()
	_, db := servetest.NewTest(t, "echo", noMigrations)
	c, err := db.Acquire(t.Context())
	require.NoError(t, err)
	defer c.Release()
	require.NoError(t, c.Conn().Close(t.Context()))
	_, closed := c.Exec(t.Context(), `SELECT 1`)
	require.Error(t, closed)
	for _, err := range []error{
		closed, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE},
	} {
		rec := httptest.NewRecorder()
		rest.WriteProblem(rec, httptest.NewRequest("GET", "/api/v1/anyone/1", nil), fmt.Errorf("read: %w", err))
		require.Equal(t, http.StatusServiceUnavailable, rec.Code, err)
	}
	rec := httptest.NewRecorder()
	rest.WriteProblem(rec, httptest.NewRequest("GET", "/api/v1/anyone/1", nil), pgx.ErrTxClosed)
	require.Equal(t, http.StatusInternalServerError, rec.Code)
}

type linesInput struct {
	Body struct {
		Name  string  `json:"name" text:"line" minLength:"1" maxLength:"10"`
		Note  string  `json:"note,omitempty" text:"line" maxLength:"10"`
		Other *string `json:"other,omitempty" text:"line" minLength:"1"`
		Home  *struct {
			Town string `json:"town" text:"line" minLength:"1"`
		} `json:"home,omitempty"`
		Raw string `json:"raw,omitempty"`
	}
}

// Lines of text are clean when an operation sees them, and there when they are wanted.
func TestLines(t *testing.T) {
	t.Parallel()
	rt, _ := servetest.NewTest(t, "echo", nil)
	var seen linesInput
	op := rest.Op("POST", "/api/v1/lines", "Read lines", rest.Anyone, rest.Status(204))
	rest.Handle(rt.API, op, func(_ context.Context, in *linesInput) (*struct{}, error) {
		seen = *in
		return nil, nil
	})
	send := func(body string) servetest.Response { return servetest.Do(t, rt, "POST", "/api/v1/lines", "", body) }
	res := send(`{"name": "\u00a0Zoe\u0308\t", "note": "\u200b", "other": " x ", "home": {"town": "A\tB"}, "raw": " \u00a0"}`)
	require.Equal(t, 204, res.Status, "%s", res.Body)
	require.Equal(t, []string{"Zoë", "", "x", "A B", " \u00a0"},
		[]string{seen.Body.Name, seen.Body.Note, *seen.Body.Other, seen.Body.Home.Town, seen.Body.Raw})
	require.Equal(t, 204, send(`{"name": "a"}`).Status)
	require.Nil(t, seen.Body.Other)
	res = send(`{"name": "\u3164", "note": "a\nb", "other": "\u2003", "home": {"town": "\u00a0"}}`)
	require.Equal(t, 422, res.Status)
	var p struct {
		Errors []struct{ Location, Code string }
	}
	res.JSON(t, &p)
	require.Equal(t, []struct{ Location, Code string }{
		{"body.name", "required"}, {"body.note", "wrong-format"}, {"body.other", "required"}, {"body.home.town", "required"},
	}, p.Errors)
	require.Panics(t, func() {
		rest.Handle(rt.API, rest.Op("POST", "/api/v1/nolines", "Read", rest.Anyone), func(context.Context, *struct {
			Body struct {
				N int `json:"n" text:"line"`
			}
		}) (*struct{}, error) {
			return nil, nil
		})
	})
}

type listed struct {
	Body rest.List[int]
}

type listedInput struct {
	rest.Page
	Sort   string `query:"sort" enum:"newest,oldest" default:"newest"`
	Filter string `query:"filter"`
}

// A cursor belongs to a list, its order and its filters, and to whose list it is.
func TestCursorBelongs(t *testing.T) {
	t.Parallel()
	rt, _ := servetest.NewTest(t, "echo", nil)
	list := func(_ context.Context, in *listedInput) (*listed, error) {
		var after int
		if _, err := in.After(&after); err != nil {
			return nil, err
		}
		return &listed{rest.List[int]{Items: []int{after + 1}, NextCursor: in.Next(after + 1)}}, nil
	}
	for path, access := range map[string]rest.Access{
		"/api/v1/mine": rest.User, "/api/v1/also-mine": rest.User, "/api/v1/admin/all": rest.Admin,
	} {
		rest.Handle(rt.API, rest.Op("GET", path, "List", access), list)
	}
	as := func(role string) string { return servetest.Token(t, uuid.New(), "a@example.test", role) }
	ann, bob, staff, others := as(auth.RoleUser), as(auth.RoleUser), as(auth.RoleAdmin), as(auth.RoleAdmin)
	next := func(token, path string) string {
		var page rest.List[int]
		servetest.Do(t, rt, "GET", path, token, nil).JSON(t, &page)
		return *page.NextCursor
	}
	mine, all := next(ann, "/api/v1/mine?filter=x"), next(staff, "/api/v1/admin/all")
	for _, c := range []struct {
		token, path string
		want        int
	}{
		{ann, "/api/v1/mine?filter=x&cursor=" + mine, 200},
		{ann, "/api/v1/mine?limit=7&cursor=" + mine + "&filter=x", 200},
		{ann, "/api/v1/mine?filter=x&sort=newest&cursor=" + mine, 200}, // as it is anyway
		{ann, "/api/v1/mine?filter=x&sort=oldest&cursor=" + mine, 422},
		{ann, "/api/v1/mine?filter=y&cursor=" + mine, 422},
		{ann, "/api/v1/mine?cursor=" + mine, 422},
		{bob, "/api/v1/mine?filter=x&cursor=" + mine, 422},
		{ann, "/api/v1/also-mine?filter=x&cursor=" + mine, 422},
		{staff, "/api/v1/admin/all?cursor=" + all, 200},
		{others, "/api/v1/admin/all?cursor=" + all, 200}, // a link that one hands to another
		{staff, "/api/v1/admin/all?cursor=" + mine, 422},
	} {
		res := servetest.Do(t, rt, "GET", c.path, c.token, nil)
		require.Equal(t, c.want, res.Status, "%s: %s", c.path, res.Body)
	}
}

type saysOtherwise struct {
	CacheControl string `header:"Cache-Control"`
}

// Nothing is kept by caches, whoever may ask and whatever the answer, unless an operation says otherwise.
func TestNoStore(t *testing.T) {
	t.Parallel()
	rt := service(t)
	op := rest.Op("GET", "/api/v1/public", "Read", rest.Anyone, rest.Status(204))
	rest.Handle(rt.API, op, func(context.Context, *struct{}) (*saysOtherwise, error) {
		return &saysOtherwise{"public, max-age=1"}, nil
	})
	require.Equal(t, "public, max-age=1", servetest.Do(t, rt, "GET", "/api/v1/public", "", nil).Header.Get("Cache-Control"))
	user := servetest.Token(t, uuid.New(), "a@example.test", auth.RoleUser)
	for path, status := range map[string]int{
		"/api/v1/user/1": 200, "/api/v1/anyone/1": 200, "/api/v1/admin/1": 403, "/api/v1/nothing": 404,
	} {
		res := servetest.Do(t, rt, "POST", path, user, map[string]any{"name": "x", "count": 1})
		require.Equal(t, status, res.Status)
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"), path)
	}
}
