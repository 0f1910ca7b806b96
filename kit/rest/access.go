package rest

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/problem"
)

// Access says who may call an operation.
type Access struct {
	role       string   // demanded of the caller; "" none
	neighbours []string // app ids; nil for operations that the edge reaches
	anyone     bool
}

// Who may call. Anyone: also without a token, but a bad token is refused.
// User: shoppers and staff. Admin: staff.
var (
	Anyone = Access{anyone: true}
	User   = Access{role: auth.RoleUser}
	Admin  = Access{role: auth.RoleAdmin}
)

// Neighbours lets only the named services call, through their sidecars.
func Neighbours(apps ...string) Access { return Access{neighbours: apps} }

const (
	accessKey = "access"
	alsoKey   = "also"
)

// Op describes an operation. The default status is 200, the default body
// limit 1 MiB.
func Op(method, path, summary string, access Access, opts ...func(*huma.Operation)) huma.Operation {
	op := huma.Operation{
		Method:       method,
		Path:         path,
		Summary:      summary,
		OperationID:  huma.GenerateOperationID(method, path, struct{}{}),
		MaxBodyBytes: 1 << 20,
		Metadata:     map[string]any{accessKey: access},
	}
	if access.role != "" {
		op.Security = []map[string][]string{{"bearer": {}}}
	}
	if access.neighbours != nil {
		op.Extensions = map[string]any{"x-neighbours": access.neighbours}
	}
	for _, opt := range opts {
		opt(&op)
	}
	return op
}

// Status sets the status of success.
func Status(code int) func(*huma.Operation) {
	return func(op *huma.Operation) { op.DefaultStatus = code }
}

// Also says that success may have another status, with an answer of the same
// shape, and what that means.
func Also(code int, means string) func(*huma.Operation) {
	return func(op *huma.Operation) {
		if op.Metadata[alsoKey] == nil {
			op.Metadata[alsoKey] = map[int]string{}
		}
		op.Metadata[alsoKey].(map[int]string)[code] = means
	}
}

// Describe adds a longer description to the API document.
func Describe(text string) func(*huma.Operation) {
	return func(op *huma.Operation) { op.Description = text }
}

// Answers says that the answer of success, 200, is a text of a kind that is not
// JSON.
func Answers(kind string) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			kind: {Schema: &huma.Schema{Type: huma.TypeString}},
		}}}
	}
}

// admit lets a request into its operation, or answers 401 or 403. An
// operation that declares no access is closed.
func admit(api huma.API, v *auth.Verifier) func(huma.Context, func(huma.Context)) {
	refuse := func(ctx huma.Context, p *problem.Error) { _ = huma.WriteErr(api, ctx, StatusOf(p), "", p) }
	return func(ctx huma.Context, next func(huma.Context)) {
		access, ok := ctx.Operation().Metadata[accessKey].(Access)
		if !ok {
			refuse(ctx, problem.ErrForbidden)
			return
		}
		if access.neighbours != nil {
			if !slices.Contains(access.neighbours, ctx.Header("dapr-caller-app-id")) {
				refuse(ctx, problem.ErrForbidden)
				return
			}
			next(ctx)
			return
		}
		caller, given, err := Authenticate(v, ctx.Header("Authorization"))
		switch {
		case errors.Is(err, auth.ErrNoKeys):
			refuse(ctx, problem.ErrUnavailable.Because(err))
		case err != nil:
			refuse(ctx, problem.ErrUnauthenticated.Because(err))
		case !given && access.anyone:
			next(ctx)
		case !given:
			refuse(ctx, problem.ErrUnauthenticated)
		case access.role == auth.RoleUser && !caller.Has(auth.RoleUser) && !caller.Has(auth.RoleAdmin),
			access.role == auth.RoleAdmin && !caller.Has(auth.RoleAdmin):
			refuse(ctx, problem.ErrForbidden)
		default:
			next(huma.WithContext(ctx, auth.With(ctx.Context(), caller)))
		}
	}
}

// Authenticate reads an Authorization header. given is false when there is
// none; anything but a valid bearer token is an error, never a guest.
func Authenticate(v *auth.Verifier, header string) (c auth.Caller, given bool, err error) {
	if header == "" {
		return c, false, nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return c, true, problem.ErrUnauthenticated.Detail("the Authorization header is not a bearer token")
	}
	c, err = v.Verify(strings.TrimSpace(token))
	return c, true, err
}

// onlySidecar refuses everything that does not come from the service's own
// sidecar, which sends APP_API_TOKEN; health and metrics are for the machine.
func onlySidecar(token string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/healthz", "/readyz", "/listz", "/metrics":
				next.ServeHTTP(w, r)
				return
			}
			if token == "" || subtle.ConstantTimeCompare([]byte(r.Header.Get("dapr-api-token")), []byte(token)) != 1 {
				WriteProblem(w, r, problem.ErrForbidden.Detail("only through the sidecar"))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

type requestKey struct{}

type request struct{ address, agent, id string }

// remember keeps what the edge told about the client.
func remember(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := request{
			address: cut(r.Header.Get("X-Real-Ip"), 45),
			agent:   cut(r.UserAgent(), 400),
			id:      cut(r.Header.Get("X-Request-Id"), 64),
		}
		// By this a request's trace is found.
		trace.SpanFromContext(r.Context()).SetAttributes(attribute.String("request_id", info.id))
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, info)))
	})
}

func cut(s string, n int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
	for len(s) > n {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// ClientAddress is the shopper's address as the edge saw it (X-Real-IP, which
// clients cannot set).
func ClientAddress(ctx context.Context) string {
	r, _ := ctx.Value(requestKey{}).(request)
	return r.address
}

// UserAgent is the client's own description, at most 400 bytes.
func UserAgent(ctx context.Context) string {
	r, _ := ctx.Value(requestKey{}).(request)
	return r.agent
}

// RequestID is the id that the edge gave the request.
func RequestID(ctx context.Context) string {
	r, _ := ctx.Value(requestKey{}).(request)
	return r.id
}

func stack() string { return string(debug.Stack()) }
