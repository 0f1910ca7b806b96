package servetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/contract"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
)

// sidecar answers a runtime's calls to neighbours, and nothing else of what a
// sidecar does. A neighbour that nobody stands in for is not reached.
type sidecar struct {
	t      testing.TB
	caller string

	mu    sync.Mutex
	known []*standIn
}

type standIn struct {
	app, method, template string
	handler               http.HandlerFunc
	document              *contract.Document
}

var sidecars struct {
	sync.Mutex
	of map[*serve.Runtime]*sidecar
}

// Neighbour stands in for one operation of a neighbour, such as "inventory" and
// "PUT /internal/orders/{id}/hold", from now on: a later handler for the same
// one takes its place. What is asked and what it answers are held to the
// neighbour's own document, its access list included, so that it cannot be
// anything that the neighbour is not. handler reads names of the path by
// PathValue.
func Neighbour(t testing.TB, rt *serve.Runtime, app, operation string, handler http.HandlerFunc) {
	t.Helper()
	d, err := contract.Of(app)
	require.NoError(t, err)
	method, template, _ := strings.Cut(operation, " ")
	require.True(t, d.Knows(method, template), "%s has no operation %s", app, operation)
	sidecars.Lock()
	s := sidecars.of[rt]
	sidecars.Unlock()
	require.NotNil(t, s, "a runtime of NewTest")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.known {
		if n.app == app && n.method == method && n.template == template {
			n.handler = handler
			return
		}
	}
	s.known = append(s.known, &standIn{app, method, template, handler, d})
}

// startSidecar starts the stand-in for invocation, for a runtime that is still
// to be made, and returns its address.
func startSidecar(t testing.TB, caller string) (*sidecar, string) {
	s := &sidecar{t: t, caller: caller}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.Listener.Addr().String()
}

// belongsTo makes it the sidecar of a runtime, as long as the test lasts.
func (s *sidecar) belongsTo(rt *serve.Runtime) {
	sidecars.Lock()
	defer sidecars.Unlock()
	if sidecars.of == nil {
		sidecars.of = map[*serve.Runtime]*sidecar{}
	}
	sidecars.of[rt] = s
	s.t.Cleanup(func() {
		sidecars.Lock()
		defer sidecars.Unlock()
		delete(sidecars.of, rt)
	})
}

// ServeHTTP implements http.Handler.
func (s *sidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	app := r.Header.Get("dapr-app-id")
	n, handler := s.find(app, r)
	if n == nil {
		notReached(w, app)
		return
	}
	defer func() {
		switch p := recover(); p {
		case nil:
		case errAway:
			notReached(w, app)
		case errGarbled:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"items": [{"`)
		default:
			panic(p)
		}
	}()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller has gone
	}
	target := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	if err := errors.Join(n.document.Admits(s.caller, r.Method, target), n.document.Request(r.Method, target, r.Header, body)); err != nil {
		s.t.Errorf("%s asks what it must not: %v", s.caller, err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Set("dapr-caller-app-id", s.caller)
	rec := httptest.NewRecorder()
	handler(rec, r) // http.ErrAbortHandler hangs up
	if r.Context().Err() != nil {
		return
	}
	res := rec.Result()
	if err := n.document.Answer(r.Method, target, rec.Code, res.Header, rec.Body.Bytes()); err != nil {
		s.t.Errorf("the stand-in is not like %s: %v", app, err)
	}
	for k, vs := range res.Header {
		w.Header()[k] = vs
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// find is the stand-in for a request, whose path's values it sets.
func (s *sidecar) find(app string, r *http.Request) (*standIn, http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.known {
		if n.app != app || n.method != r.Method || !n.document.Is(r.Method, r.URL.EscapedPath(), n.template) {
			continue
		}
		for name, value := range contract.Values(n.template, r.URL.EscapedPath()) {
			r.SetPathValue(name, value)
		}
		return n, n.handler
	}
	return nil, nil
}

// notReached is how daprd says that an app cannot be reached (pkg/api/http,
// onDirectMessage).
func notReached(w http.ResponseWriter, app string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(w, `{"errorCode":"ERR_DIRECT_INVOKE","message":"nobody stands in for `+app+`"}`)
}

var (
	errAway    = errors.New("the neighbour is away")
	errGarbled = errors.New("the neighbour cannot be understood")
)

// IsAway is a handler, or the end of one, of a neighbour that is not reached.
func IsAway(http.ResponseWriter, *http.Request) { panic(errAway) }

// IsGarbled is a handler of a neighbour whose answer of success is no whole JSON.
func IsGarbled(http.ResponseWriter, *http.Request) { panic(errGarbled) }

// Answers is a handler that answers with JSON.
func Answers(v any) http.HandlerFunc { return AnswersStatus(http.StatusOK, v) }

// Like is a whole answer of a neighbour's operation, such as "GET
// /api/v1/orders/{id}", with the members that partial has; the rest, of which
// the test says nothing, is made up.
func Like(t testing.TB, app, operation string, partial any) json.RawMessage {
	t.Helper()
	d, err := contract.Of(app)
	require.NoError(t, err)
	method, template, _ := strings.Cut(operation, " ")
	whole, err := d.Like(method, template, partial)
	require.NoError(t, err)
	return whole
}

// AnswersStatus is Answers with another status than 200. Without a body (nil)
// it is that alone.
func AnswersStatus(status int, v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if v == nil {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
}

// Refuses is a handler that answers with a problem.
func Refuses(p *problem.Error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { rest.WriteProblem(w, r, p) }
}

// HangsUp is a handler that does all that another does and then breaks the
// connection, so that the caller cannot know. The other may be nil.
func HangsUp(after http.HandlerFunc) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		if after != nil {
			after(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	}
}

// IsSilent is a handler that does all that another does and then never answers.
// The other may be nil.
func IsSilent(after http.HandlerFunc) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		if after != nil {
			after(httptest.NewRecorder(), r)
		}
		<-r.Context().Done()
	}
}

// Unwell has a neighbour's operation fail its caller in every way that there is,
// one after the other, and each time runs try, with a context that ends before
// a silent neighbour answers.
func Unwell(t testing.TB, rt *serve.Runtime, app, operation string, try func(ctx context.Context, how string)) {
	t.Helper()
	for how, handler := range map[string]http.HandlerFunc{
		"is away": IsAway, "is silent": IsSilent(nil), "hangs up": HangsUp(nil), "is garbled": IsGarbled,
		"is busy": Refuses(problem.ErrUnavailable), "refuses": Refuses(problem.ErrForbidden), "fails": Refuses(problem.ErrInternal),
	} {
		Neighbour(t, rt, app, operation, handler)
		ctx, cancel := context.WithTimeout(t.Context(), silence)
		try(ctx, app+" "+how)
		cancel()
	}
}

// silence is how long Unwell waits for who says nothing.
const silence = 250 * time.Millisecond

// Feed is a handler of a feed that has told items so far, oldest first. Its
// cursor is how many of them were read.
func Feed[T any](items *[]T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		to := min(len(*items), from+limit)
		Answers(map[string]any{"items": append([]T{}, (*items)[from:to]...), "cursor": strconv.Itoa(to), "more": to < len(*items)})(w, r)
	}
}
