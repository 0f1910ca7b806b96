// Package rest is the shape of every HTTP operation: who may call it, how
// input is read, how problems are answered, how lists are paged.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"go.opentelemetry.io/otel/trace"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
)

// Config is what New needs.
type Config struct {
	Name     string // the service
	Verifier *auth.Verifier
	AppToken string // APP_API_TOKEN: the sidecar sends it with every call
	Log      *slog.Logger
}

// New makes the router and the API of a service. Operations are registered on
// the API by Handle with an Op; everything on the router but /healthz,
// /readyz, /listz and /metrics is for the service's own sidecar only.
func New(c Config) (chi.Router, huma.API) {
	router := chi.NewRouter()
	router.Use(measured, noStore, recoverPanics(c.Log), remember, onlySidecar(c.AppToken), refuseBadText, middleware.GetHead)
	router.NotFound(func(w http.ResponseWriter, r *http.Request) { WriteProblem(w, r, problem.ErrNotFound) })
	router.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		WriteProblem(w, r, ErrMethodNotAllowed)
	})

	config := huma.DefaultConfig("Stampede: "+c.Name, "1")
	config.CreateHooks = nil // no $schema members in answers
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "An access token from /api/v1/auth/login."},
	}
	config.Transformers = []huma.Transformer{func(ctx huma.Context, _ string, v any) (any, error) {
		if d, ok := v.(*document); ok {
			return occurred(ctx.Context(), c.Log, ctx.Method(), ctx.URL().Path, d.problem), nil
		}
		return v, nil
	}}
	api := humachi.New(router, config)
	describeGeneral(api.OpenAPI())
	api.UseMiddleware(admit(api, c.Verifier))
	return router, api
}

// schemaName names the schema of a type: what other services hear, the package
// events, apart from what a service may call the same, an Order or an Address.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if strings.Contains(t.PkgPath()+"."+t.Name(), "/events.") { // itself, or what is generic over it
		name = "Event" + name
	}
	return name
}

func init() {
	// huma's own errors (validation, parsing), and what operations return, as documents.
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return &document{problem: fromHuma(status, msg, errs)}
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		d := &document{problem: fromHuma(status, msg, errs)}
		// huma takes headers from the error that an operation returned, not from what becomes of it here.
		for k, vs := range d.GetHeaders() {
			for _, v := range vs {
				ctx.SetHeader(k, v)
			}
		}
		return d
	}
}

func fromHuma(status int, msg string, errs []error) *problem.Error {
	for _, err := range errs {
		var p *problem.Error
		if errors.As(err, &p) && (p.Slug() != problem.ErrInvalid.Slug() || len(errs) == 1) {
			return p
		}
	}
	if status >= 500 {
		return internal(errors.Join(errs...))
	}
	p := fromStatus(status).Detail("%s", msg)
	for _, err := range errs {
		var d *huma.ErrorDetail
		var known *problem.Error
		switch {
		case errors.As(err, &known): // of a resolver, beside what huma found
			for _, f := range known.Fields() {
				p = p.Field(f.Location, f.Code, f.Message)
			}
		case errors.As(err, &d):
			p = p.Field(d.Location, codeOf(d), d.Message) // never d.Value
		case err != nil:
			p = p.Field("", problem.CodeInvalid, err.Error())
		}
	}
	return p
}

// internal is the answer to an error that nobody declared: 503 when the
// network, the database or a deadline is behind it, else a bare 500.
func internal(err error) *problem.Error {
	if pg.Away(err) {
		return problem.ErrUnavailable.Because(err)
	}
	return problem.ErrInternal.Because(err)
}

// occurred makes the document of a problem for this request, and logs it when it
// is ours.
func occurred(ctx context.Context, log *slog.Logger, method, path string, p *problem.Error) *document {
	refused.WithLabelValues(routeOf(ctx), p.Slug()).Inc()
	if p.Ours() {
		log.ErrorContext(ctx, "request failed", "method", method, "path", path, "status", StatusOf(p), "error", p.Error())
	}
	return &document{p, path, traceID(ctx)}
}

func traceID(ctx context.Context) string {
	if s := trace.SpanContextFromContext(ctx); s.HasTraceID() {
		return s.TraceID().String()
	}
	return RequestID(ctx)
}

// WriteProblem answers outside of huma's operations.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem.Error
	if !errors.As(err, &p) {
		p = internal(err)
	}
	d := occurred(r.Context(), slog.Default(), r.Method, r.URL.Path, p)
	for k, v := range d.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(d.GetStatus())
	_ = json.NewEncoder(w).Encode(d)
}

// jsonFormat reads strict JSON: UTF-8, one document, no NUL (PostgreSQL's text
// cannot hold it).
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	},
	Unmarshal: func(data []byte, v any) error {
		if !utf8.Valid(data) {
			return errors.New("not UTF-8")
		}
		d := json.NewDecoder(bytes.NewReader(data))
		if err := d.Decode(v); err != nil {
			if _, ok := v.(*any); ok {
				return errors.New("not JSON")
			}
			return errors.New("not of the expected shape")
		}
		if _, err := d.Token(); err != io.EOF {
			return errors.New("more than one JSON document")
		}
		if parsed, ok := v.(*any); ok && holdsNUL(*parsed) {
			return errors.New("text with a NUL character")
		}
		return nil
	},
}

func holdsNUL(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ContainsRune(v, 0)
	case []any:
		for _, e := range v {
			if holdsNUL(e) {
				return true
			}
		}
	case map[string]any:
		for k, e := range v {
			if strings.ContainsRune(k, 0) || holdsNUL(e) {
				return true
			}
		}
	}
	return false
}

// noStore keeps answers out of caches: they may be personal. An operation whose
// answers are for everybody says otherwise, by a header Cache-Control of its own.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// refuseBadText refuses paths and queries that are not clean UTF-8.
func refuseBadText(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		clean := err == nil && cleanText(r.URL.Path)
		for k, vs := range query {
			clean = clean && cleanText(k)
			for _, v := range vs {
				clean = clean && cleanText(v)
			}
		}
		if !clean {
			WriteProblem(w, r, problem.ErrMalformed.Detail("the address is not clean UTF-8 text"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func cleanText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

func recoverPanics(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() {
				p := recover()
				if p == nil {
					return
				}
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				log.ErrorContext(r.Context(), "panic", "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", stack())
				WriteProblem(w, r, problem.ErrInternal)
			}()
			next.ServeHTTP(w, r)
		})
	}
}
