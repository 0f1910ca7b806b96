package rest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
	s := rest.EncodeCursor(at{7})
	var got at
	require.NoError(t, rest.DecodeCursor(s, &got))
	require.Equal(t, at{7}, got)
	forged := []byte(s)
	forged[3] ^= 1
	for _, bad := range []string{"", "x", string(forged), s + "A", s[1:]} {
		require.ErrorIs(t, rest.DecodeCursor(bad, &got), problem.ErrInvalid, bad)
	}
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
