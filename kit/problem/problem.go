// Package problem holds the one error type that a client may see. A service
// declares its problems beside its rules; this package turns them into RFC
// 9457 documents. Any other error becomes a bare 500.
package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Kind is the class of a problem; it decides the HTTP status.
type Kind int

// The kinds, with the statuses that they become.
const (
	Malformed       Kind = http.StatusBadRequest
	BadRequest      Kind = http.StatusBadRequest
	Unauthenticated Kind = http.StatusUnauthorized
	Forbidden       Kind = http.StatusForbidden
	NotFound        Kind = http.StatusNotFound
	Conflict        Kind = http.StatusConflict
	TooLarge        Kind = http.StatusRequestEntityTooLarge
	Invalid         Kind = http.StatusUnprocessableEntity
	TooMany         Kind = http.StatusTooManyRequests
	Unavailable     Kind = http.StatusServiceUnavailable
)

// Problems that any service may answer.
var (
	ErrMalformed       = New(Malformed, "malformed", "The request cannot be read")
	ErrUnauthenticated = New(Unauthenticated, "unauthenticated", "A valid access token is needed").Header("WWW-Authenticate", "Bearer")
	ErrForbidden       = New(Forbidden, "forbidden", "Not allowed")
	ErrNotFound        = New(NotFound, "not-found", "Not found")
	ErrTooLarge        = New(TooLarge, "too-large", "The request is too large")
	ErrInvalid         = New(Invalid, "invalid", "The request breaks a rule")
	ErrTooMany         = New(TooMany, "too-many-requests", "Too many requests")
	ErrUnavailable     = New(Unavailable, "unavailable", "Try again in a moment").RetryAfter(2 * time.Second)
)

// Prefix begins the type of every problem; the slug follows.
const Prefix = "urn:stampede:problem:"

// Error is a problem on its way to a client. Its methods return changed
// copies, so a declared problem is never altered.
type Error struct {
	kind     Kind
	slug     string
	title    string
	detail   string
	instance string
	traceID  string
	fields   []FieldError
	extra    map[string]any
	headers  http.Header
	cause    error
}

// New declares a problem. The slug is public and ends up in the type.
func New(kind Kind, slug, title string) *Error {
	return &Error{kind: kind, slug: slug, title: title}
}

func (e *Error) clone() *Error {
	c := *e
	c.extra = maps.Clone(e.extra)
	c.headers = e.headers.Clone()
	c.fields = append([]FieldError(nil), e.fields...)
	return &c
}

// With adds a member to the document, for instance "available": 3.
func (e *Error) With(key string, v any) *Error {
	c := e.clone()
	if c.extra == nil {
		c.extra = map[string]any{}
	}
	c.extra[key] = v
	return c
}

// Detail sets the sentence that explains this occurrence to a person.
func (e *Error) Detail(format string, a ...any) *Error {
	c := e.clone()
	c.detail = fmt.Sprintf(format, a...)
	return c
}

// RetryAfter sets the Retry-After header, in whole seconds, at least one.
func (e *Error) RetryAfter(d time.Duration) *Error {
	return e.Header("Retry-After", strconv.Itoa(max(1, int((d+time.Second-1)/time.Second))))
}

// Header sets a response header.
func (e *Error) Header(key, value string) *Error {
	c := e.clone()
	if c.headers == nil {
		c.headers = http.Header{}
	}
	c.headers.Set(key, value)
	return c
}

// Field adds a wrong field to the list "errors".
func (e *Error) Field(location string, code Code, message string) *Error {
	c := e.clone()
	c.fields = append(c.fields, FieldError{location, code, message})
	return c
}

// Because keeps the cause for the log; clients do not see it.
func (e *Error) Because(err error) *Error {
	c := e.clone()
	c.cause = err
	return c
}

// Occurred sets where and in which trace the problem happened.
func (e *Error) Occurred(instance, traceID string) *Error {
	c := e.clone()
	c.instance, c.traceID = instance, traceID
	return c
}

// Invalid422 is an `invalid` problem with one field.
func Invalid422(location string, code Code, message string) *Error {
	return ErrInvalid.Field(location, code, message)
}

// Slug is the last part of the type.
func (e *Error) Slug() string { return e.slug }

// Fields lists the wrong fields.
func (e *Error) Fields() []FieldError { return e.fields }

// Member returns an added member, or nil.
func (e *Error) Member(key string) any { return e.extra[key] }

// Error implements error.
func (e *Error) Error() string {
	s := e.slug
	if e.detail != "" {
		s += ": " + e.detail
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// LogValue implements slog.LogValuer: the log gets the cause, which the
// document leaves out.
func (e *Error) LogValue() slog.Value { return slog.StringValue(e.Error()) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is the same problem, whatever its details.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.slug == e.slug
}

// GetStatus implements huma.StatusError.
func (e *Error) GetStatus() int { return int(e.kind) }

// GetHeaders implements huma.HeadersError.
func (e *Error) GetHeaders() http.Header { return e.headers }

// ContentType implements huma.ContentTypeFilter.
func (e *Error) ContentType(string) string { return "application/problem+json" }

// MarshalJSON writes the RFC 9457 document.
func (e *Error) MarshalJSON() ([]byte, error) {
	doc := map[string]any{}
	maps.Copy(doc, e.extra)
	doc["type"] = Prefix + e.slug
	doc["title"] = e.title
	doc["status"] = e.GetStatus()
	doc["detail"] = e.detail
	doc["instance"] = e.instance
	doc["trace_id"] = e.traceID
	if len(e.fields) > 0 {
		doc["errors"] = e.fields
	}
	return json.Marshal(doc)
}

// UnmarshalJSON reads a problem that a neighbour answered.
func (e *Error) UnmarshalJSON(data []byte) error {
	var doc struct {
		Type   string       `json:"type"`
		Title  string       `json:"title"`
		Status int          `json:"status"`
		Detail string       `json:"detail"`
		Errors []FieldError `json:"errors"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	if len(doc.Type) <= len(Prefix) || doc.Type[:len(Prefix)] != Prefix {
		return errors.New("not a problem of this shop")
	}
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	for _, k := range []string{"type", "title", "status", "detail", "instance", "trace_id", "errors"} {
		delete(all, k)
	}
	*e = Error{kind: Kind(doc.Status), slug: doc.Type[len(Prefix):], title: doc.Title, detail: doc.Detail, fields: doc.Errors, extra: all}
	return nil
}

// Schema implements huma.SchemaProvider: the document in OpenAPI.
func (e *Error) Schema(r huma.Registry) *huma.Schema {
	const name = "Problem"
	if _, ok := r.Map()[name]; !ok {
		str := func(d string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: d} }
		r.Map()[name] = &huma.Schema{
			Type:        huma.TypeObject,
			Description: "A problem document (RFC 9457). Some problems carry members of their own.",
			Properties: map[string]*huma.Schema{
				"type":     str("urn:stampede:problem:<slug>"),
				"title":    str("What went wrong, in general"),
				"status":   {Type: huma.TypeInteger, Description: "The HTTP status"},
				"detail":   str("What went wrong this time"),
				"instance": str("The path that was asked for"),
				"trace_id": str("Where to look in the traces and logs"),
				"errors": {Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
					"location": str("The field"), "code": str("What is wrong with it, in a word that stays: required, too-long, …"), "message": str("The same for developers"),
				}}},
			},
			Required:             []string{"type", "title", "status", "detail", "instance", "trace_id"},
			AdditionalProperties: true,
		}
	}
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

// FromStatus is the general problem of an HTTP status.
func FromStatus(status int) *Error {
	switch status {
	case http.StatusBadRequest:
		return ErrMalformed
	case http.StatusUnauthorized:
		return ErrUnauthenticated
	case http.StatusForbidden:
		return ErrForbidden
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusMethodNotAllowed:
		return New(Kind(status), "method-not-allowed", "Method not allowed")
	case http.StatusNotAcceptable:
		return New(Kind(status), "not-acceptable", "Only JSON is served here")
	case http.StatusUnsupportedMediaType:
		return New(Kind(status), "unsupported-media-type", "Only JSON is read here")
	case http.StatusRequestTimeout:
		return New(Kind(status), "request-timeout", "The request took too long to arrive")
	case http.StatusRequestEntityTooLarge:
		return ErrTooLarge
	case http.StatusUnprocessableEntity:
		return ErrInvalid
	case http.StatusTooManyRequests:
		return ErrTooMany
	case http.StatusServiceUnavailable:
		return ErrUnavailable
	}
	return New(Kind(status), "internal", "Something went wrong on our side")
}

// Title is what went wrong, in general.
func (e *Error) Title() string { return e.title }

// Explanation is what went wrong this time; it may be empty.
func (e *Error) Explanation() string { return e.detail }
