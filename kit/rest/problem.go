package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/kit/problem"
)

// Prefix begins the type of every problem; the slug follows.
const Prefix = "urn:stampede:problem:"

const problemType = "application/problem+json"

// Problems of HTTP itself.
var (
	ErrMethodNotAllowed     = problem.New(problem.MethodNotAllowed, "method-not-allowed", "Method not allowed")
	ErrUnsupportedMediaType = problem.New(problem.UnsupportedMediaType, "unsupported-media-type", "Only JSON is read here")
	ErrRequestTimeout       = problem.New(problem.Timeout, "request-timeout", "The request took too long to arrive")
)

// statuses are what the kinds of problems become.
var statuses = map[problem.Kind]int{
	problem.Internal:             http.StatusInternalServerError,
	problem.BadRequest:           http.StatusBadRequest,
	problem.Unauthenticated:      http.StatusUnauthorized,
	problem.Forbidden:            http.StatusForbidden,
	problem.NotFound:             http.StatusNotFound,
	problem.Conflict:             http.StatusConflict,
	problem.TooLarge:             http.StatusRequestEntityTooLarge,
	problem.Invalid:              http.StatusUnprocessableEntity,
	problem.TooMany:              http.StatusTooManyRequests,
	problem.Unavailable:          http.StatusServiceUnavailable,
	problem.MethodNotAllowed:     http.StatusMethodNotAllowed,
	problem.UnsupportedMediaType: http.StatusUnsupportedMediaType,
	problem.Timeout:              http.StatusRequestTimeout,
}

// StatusOf is a problem's HTTP status.
func StatusOf(p *problem.Error) int { return statuses[p.Kind()] }

// HeadersOf are the headers that go with a problem.
func HeadersOf(p *problem.Error) http.Header {
	h := http.Header{}
	if p.Kind() == problem.Unauthenticated {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if p.Wait() > 0 { // whole seconds, never too few
		h.Set("Retry-After", strconv.Itoa(max(1, int((p.Wait()+time.Second-1)/time.Second))))
	}
	if p.Location() != "" {
		h.Set("Location", p.Location())
	}
	if p.Fresh() > 0 {
		h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(p.Fresh()/time.Second)))
	}
	return h
}

// kindOf is the kind of a status. Statuses that no kind has are our own fault
// from 500 on, else the caller's.
func kindOf(status int) problem.Kind {
	for kind, s := range statuses {
		if s == status {
			return kind
		}
	}
	if status >= 400 && status < 500 {
		return problem.BadRequest
	}
	return problem.Internal
}

// general are the problems that huma's own errors become.
var general = map[problem.Kind]*problem.Error{
	problem.BadRequest:           problem.ErrMalformed,
	problem.Unauthenticated:      problem.ErrUnauthenticated,
	problem.Forbidden:            problem.ErrForbidden,
	problem.NotFound:             problem.ErrNotFound,
	problem.TooLarge:             problem.ErrTooLarge,
	problem.Invalid:              problem.ErrInvalid,
	problem.TooMany:              problem.ErrTooMany,
	problem.Unavailable:          problem.ErrUnavailable,
	problem.MethodNotAllowed:     ErrMethodNotAllowed,
	problem.UnsupportedMediaType: ErrUnsupportedMediaType,
	problem.Timeout:              ErrRequestTimeout,
}

func fromStatus(status int) *problem.Error {
	if p := general[kindOf(status)]; p != nil {
		return p
	}
	return problem.ErrInternal
}

// document is a problem as HTTP has it (RFC 9457).
type document struct {
	problem  *problem.Error
	instance string // the path that was asked for
	traceID  string
}

// Error implements error.
func (d *document) Error() string { return d.problem.Error() }

// GetStatus implements huma.StatusError.
func (d *document) GetStatus() int { return StatusOf(d.problem) }

// GetHeaders implements huma.HeadersError.
func (d *document) GetHeaders() http.Header { return HeadersOf(d.problem) }

// ContentType implements huma.ContentTypeFilter.
func (d *document) ContentType(string) string { return problemType }

// MarshalJSON writes the document.
func (d *document) MarshalJSON() ([]byte, error) {
	doc, p := map[string]any{}, d.problem
	maps.Copy(doc, p.Members())
	doc["type"] = Prefix + p.Slug()
	doc["title"] = p.Title()
	doc["status"] = d.GetStatus()
	doc["detail"] = p.Explanation()
	doc["instance"] = d.instance
	doc["trace_id"] = d.traceID
	if len(p.Fields()) > 0 {
		doc["errors"] = p.Fields()
	}
	return json.Marshal(doc)
}

// ReadProblem reads the document that a neighbour answered, with the headers
// that tell what else it says.
func ReadProblem(header http.Header, data []byte) (*problem.Error, error) {
	var doc struct {
		Type   string               `json:"type"`
		Title  string               `json:"title"`
		Status int                  `json:"status"`
		Detail string               `json:"detail"`
		Errors []problem.FieldError `json:"errors"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("problem: %w", err)
	}
	slug, ours := strings.CutPrefix(doc.Type, Prefix)
	if !ours || slug == "" {
		return nil, errors.New("not a problem of this shop")
	}
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("problem: %w", err)
	}
	p := problem.New(kindOf(doc.Status), slug, doc.Title)
	if doc.Detail != "" {
		p = p.Detail("%s", doc.Detail)
	}
	for _, f := range doc.Errors {
		p = p.Field(f.Location, f.Code, f.Message)
	}
	for name, v := range members {
		switch name {
		case "type", "title", "status", "detail", "instance", "trace_id", "errors":
		default:
			p = p.With(name, v)
		}
	}
	if at := header.Get("Location"); at != "" {
		p = p.At(at)
	}
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil {
		p = p.RetryAfter(time.Duration(seconds) * time.Second)
	}
	return p, nil
}
