// Package problem holds the one error type that a client may see. A service
// declares its problems beside its rules, and knows nothing of HTTP in doing
// so: kit/rest turns them into statuses and documents. Any other error becomes
// a bare `internal`.
package problem

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Kind is the class of a problem.
type Kind int

// The kinds.
const (
	Internal             Kind = iota // our own fault
	BadRequest                       // cannot be read, or lacks what it needs
	Unauthenticated                  // who asks is not known
	Forbidden                        // who asks may not
	NotFound                         // what is asked for is not there
	Conflict                         // it is not in the state for that
	TooLarge                         // more bytes than are taken
	Invalid                          // a field breaks a rule
	TooMany                          // asked too often
	Unavailable                      // cannot be done just now
	MethodNotAllowed                 // that is not done to it
	UnsupportedMediaType             // bytes of a kind that is not read here
	Timeout                          // the request took too long to arrive
)

// Problems that any service may answer.
var (
	ErrMalformed       = New(BadRequest, "malformed", "The request cannot be read")
	ErrUnauthenticated = New(Unauthenticated, "unauthenticated", "A valid access token is needed")
	ErrForbidden       = New(Forbidden, "forbidden", "Not allowed")
	ErrNotFound        = New(NotFound, "not-found", "Not found")
	ErrTooLarge        = New(TooLarge, "too-large", "The request is too large")
	ErrInvalid         = New(Invalid, "invalid", "The request breaks a rule")
	ErrTooMany         = New(TooMany, "too-many-requests", "Too many requests")
	ErrUnavailable     = New(Unavailable, "unavailable", "Try again in a moment").RetryAfter(2 * time.Second)
	ErrInternal        = New(Internal, "internal", "Something went wrong on our side")
)

// Error is a problem on its way to a client. Its methods return changed
// copies, so a declared problem is never altered.
type Error struct {
	kind     Kind
	slug     string
	title    string
	detail   string
	fields   []FieldError
	extra    map[string]any
	wait     time.Duration
	location string
	fresh    time.Duration
	cause    error
}

// New declares a problem. The slug is public and ends up in the type.
func New(kind Kind, slug, title string) *Error {
	return &Error{kind: kind, slug: slug, title: title}
}

func (e *Error) clone() *Error {
	c := *e
	c.extra = maps.Clone(e.extra)
	c.fields = slices.Clone(e.fields)
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

// RetryAfter says how long to wait before asking again.
func (e *Error) RetryAfter(d time.Duration) *Error {
	c := e.clone()
	c.wait = d
	return c
}

// At says where that is which is in the way, for instance the order that this
// cart has become: a path.
func (e *Error) At(location string) *Error {
	c := e.clone()
	c.location = location
	return c
}

// FreshFor lets caches repeat the answer to everybody for so long.
func (e *Error) FreshFor(d time.Duration) *Error {
	c := e.clone()
	c.fresh = d
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

// InvalidField is an `invalid` problem with one field.
func InvalidField(location string, code Code, message string) *Error {
	return ErrInvalid.Field(location, code, message)
}

// Kind is the problem's class.
func (e *Error) Kind() Kind { return e.kind }

// Ours reports whether the fault is the shop's and not the caller's.
func (e *Error) Ours() bool { return e.kind == Internal || e.kind == Unavailable }

// Slug is the last part of the type.
func (e *Error) Slug() string { return e.slug }

// Title is what went wrong, in general.
func (e *Error) Title() string { return e.title }

// Explanation is what went wrong this time; it may be empty.
func (e *Error) Explanation() string { return e.detail }

// Fields lists the wrong fields.
func (e *Error) Fields() []FieldError { return e.fields }

// Member returns an added member, or nil.
func (e *Error) Member(key string) any { return e.extra[key] }

// Members are all that were added.
func (e *Error) Members() map[string]any { return e.extra }

// Wait is how long to wait before asking again; 0 when that is not said.
func (e *Error) Wait() time.Duration { return e.wait }

// Location is where that is which is in the way; "" when that is not said.
func (e *Error) Location() string { return e.location }

// Fresh is for how long caches may repeat the answer; 0 not at all.
func (e *Error) Fresh() time.Duration { return e.fresh }

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
