package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/contract"
)

// Client is somebody who uses the shop: a shopper with a token, a guest with a session, or nobody in particular.
type Client struct {
	Shop    *Shop
	Token   string // access token; "" for none
	Session string // X-Cart-Session; "" for none

	Account  string // account id, of shoppers
	Email    string
	Password string
	Refresh  string // refresh token
}

// Nobody is a client without token and session.
func (s *Shop) Nobody() *Client { return &Client{Shop: s} }

// Guest is a client with a cart session of its own.
func (s *Shop) Guest() *Client { return &Client{Shop: s, Session: "guest-" + Random() + Random()} }

// Raw is a body that is sent as it is.
type Raw struct {
	Type string // the Content-Type
	Body []byte
}

// Problem is a problem document (RFC 9457) with the members that the shop adds.
type Problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`
	TraceID  string `json:"trace_id"`
	Errors   []struct {
		Location string `json:"location"`
		Code     string `json:"code"`
		Message  string `json:"message"`
	} `json:"errors"`

	Available *int        `json:"available"`
	Lines     []ShortLine `json:"lines"`
	Quote     *Totals     `json:"quote"`
}

// ShortLine is a line of an out-of-stock problem.
type ShortLine struct {
	SKU       string `json:"sku"`
	Wanted    int    `json:"wanted"`
	Available int    `json:"available"`
}

// Slug is the last part of the problem's type.
func (p Problem) Slug() string { return strings.TrimPrefix(p.Type, "urn:stampede:problem:") }

// Answer is what the shop said.
type Answer struct {
	Request string // method and path, for messages
	Status  int
	Header  http.Header
	Body    []byte
}

// Send makes one request. headers are names and values in turn. The error is one of transport; any status is an answer.
func (c *Client) Send(ctx context.Context, method, path string, body any, headers ...string) (*Answer, error) {
	var reader io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case Raw:
		reader, kind = bytes.NewReader(b.Body), b.Type
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		reader, kind = bytes.NewReader(text), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Shop.Base+path, reader)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if method == http.MethodPut || method == http.MethodDelete {
		// As browsers do (RFC 9110, 9.2.2): sent again by a new connection when a server has closed the idle one in that very
		// moment. Nothing of this header goes out.
		req.Header["X-Idempotency-Key"] = nil
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if c.Session != "" {
		req.Header.Set("X-Cart-Session", c.Session)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: transport, Timeout: 90 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return &Answer{Request: method + " " + path, Status: resp.StatusCode, Header: resp.Header, Body: text}, nil
}

// Do makes one request and holds the answer to what every answer of the API must be.
func (c *Client) Do(t testing.TB, method, path string, body any, headers ...string) *Answer {
	t.Helper()
	a, err := c.Send(t.Context(), method, path, body, headers...)
	require.NoError(t, err, "%s %s", method, path)
	require.NoError(t, a.Check())
	return a
}

// Check tells what is wrong with an answer of the API whatever was asked: an error that is no whole problem document,
// an inner detail in one, a missing request id, a promised Retry-After that is not there, or anything that
// docs/openapi.json does not say.
func (a *Answer) Check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%s: %s; answer %d %.2000s", a.Request, fmt.Sprintf(format, args...), a.Status, a.Body)
	}
	if a.Header.Get("X-Request-Id") == "" {
		return wrong("no X-Request-Id")
	}
	if err := a.keepsContract(); err != nil {
		return err
	}
	if a.Status < 400 {
		return nil
	}
	if kind := a.Header.Get("Content-Type"); kind != "application/problem+json" {
		return wrong("an error of type %q", kind)
	}
	var p Problem
	if err := json.Unmarshal(a.Body, &p); err != nil {
		return wrong("not JSON: %s", err)
	}
	_, path, _ := strings.Cut(a.Request, " ")
	path, _, _ = strings.Cut(path, "?")
	switch {
	case p.Slug() == p.Type || p.Slug() == "":
		return wrong("type is not urn:stampede:problem:<slug>")
	case p.Status != a.Status:
		return wrong("the status in the document is another")
	case p.Title == "" || p.TraceID == "" || p.Instance == "":
		return wrong("title, trace_id or instance is missing")
	case a.Status == 422 && p.Slug() == "invalid" && (len(p.Errors) == 0 || p.Errors[0].Code == ""):
		return wrong("invalid, without saying what")
	case (a.Status == 429 || a.Status == 503 || p.Slug() == "request-in-progress"):
		if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || n < 1 {
			return wrong("Retry-After is %q", a.Header.Get("Retry-After"))
		}
	}
	for _, inner := range []string{"goroutine ", ".go:", "SQLSTATE", "ERR_DIRECT_INVOKE", "127.0.0.1", "pgx", "dapr"} {
		if strings.Contains(string(a.Body), inner) && !strings.Contains(path, inner) {
			return wrong("shows %q", inner)
		}
	}
	return nil
}

// keepsContract holds the answer to docs/openapi.json: status, problem, type and shape.
func (a *Answer) keepsContract() error {
	method, target, _ := strings.Cut(a.Request, " ")
	if !strings.HasPrefix(target, "/api/v1/") {
		return nil
	}
	d, err := contract.Public()
	if err != nil {
		return err
	}
	if kept := a.Header.Get("Cache-Control"); a.Status < 400 && d.Personal(method, target) && !strings.Contains(kept, "no-store") {
		return fmt.Errorf("%s: a personal answer says to caches: %q", a.Request, kept)
	}
	err = d.Answer(method, target, a.Status, a.Header, a.Body)
	// What the edge alone refuses never came to the operation.
	edges := []string{"malformed", "not-found", "method-not-allowed", "too-large", "unavailable"}
	if err != nil && slices.Contains(edges, a.Problem().Slug()) {
		return nil
	}
	return err
}

// OK demands a status.
func (a *Answer) OK(t testing.TB, status int) *Answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("%s: want %d, got %d %.2000s", a.Request, status, a.Status, a.Body)
	}
	return a
}

// Refused demands a problem and returns it.
func (a *Answer) Refused(t testing.TB, status int, slug string) Problem {
	t.Helper()
	a.OK(t, status)
	p := a.Problem()
	if p.Slug() != slug {
		t.Fatalf("%s: want problem %s, got %d %.2000s", a.Request, slug, a.Status, a.Body)
	}
	return p
}

// Problem reads the body as a problem; an empty one when it is none.
func (a *Answer) Problem() Problem {
	var p Problem
	_ = json.Unmarshal(a.Body, &p)
	return p
}

// Read decodes the body; a member that T lacks is fine.
func Read[T any](t testing.TB, a *Answer) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal(a.Body, &v), "%s: %.2000s", a.Request, a.Body)
	return v
}

// Get reads something that is there.
func Get[T any](t testing.TB, c *Client, path string, headers ...string) T {
	t.Helper()
	return Read[T](t, c.Do(t, "GET", path, nil, headers...).OK(t, 200))
}

// All reads every page of a list.
func All[T any](t testing.TB, c *Client, path string) []T {
	t.Helper()
	var all []T
	for cursor := ""; ; {
		at := path
		if cursor != "" {
			at += map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")] + "cursor=" + cursor
		}
		page := Get[List[T]](t, c, at)
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			return all
		}
		cursor = *page.NextCursor
	}
}
