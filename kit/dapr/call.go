package dapr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"time"

	"github.com/stampede-shop/stampede/kit/pause"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// CallTimeout bounds one call to a neighbour, its repetition included.
const CallTimeout = 2 * time.Second

// repeatsASecond bounds the calls that are repeated: enough for a sidecar that
// restarts, too few to double the load of a shop that is down.
const repeatsASecond = 5

// maxAnswer bounds a neighbour's answer.
const maxAnswer = 16 << 20

type call struct {
	header  http.Header
	timeout time.Duration
	file    io.ReadSeeker // instead of the body
}

// CallOption changes one call.
type CallOption func(*call)

// Token passes a shopper's access token on.
func Token(token string) CallOption {
	return Header("Authorization", "Bearer "+token)
}

// Header sets a request header.
func Header(key, value string) CallOption {
	return func(c *call) { c.header.Set(key, value) }
}

// Visitor passes on what the edge told about whoever makes the request that ctx
// belongs to: the address, the browser, and the request's id.
func Visitor(ctx context.Context) CallOption {
	return func(c *call) {
		for key, value := range map[string]string{
			"X-Real-Ip": rest.ClientAddress(ctx), "User-Agent": rest.UserAgent(ctx), "X-Request-Id": rest.RequestID(ctx),
		} {
			if value != "" {
				c.header.Set(key, value)
			}
		}
	}
}

// Raw is what Call sends as it is, when that is not JSON: Data, or a File that is read while it is sent and is never in
// memory as a whole.
type Raw struct {
	Type string
	Data []byte
	File io.ReadSeeker
}

// Timeout replaces CallTimeout.
func Timeout(d time.Duration) CallOption {
	return func(c *call) { c.timeout = d }
}

// Call asks a neighbour by service invocation, in JSON, unless in is Raw or out
// an io.Writer, which gets the answer as it comes. in and out may be nil.
// A refusal comes back as *problem.Error, anything else that went wrong as
// problem.ErrUnavailable with the cause. GET and PUT are repeated once, after a
// moment, when the neighbour could not be reached, unless the answer was 503
// (who is overloaded is not asked more) or many are being repeated already.
// POST and DELETE are sent once.
func (c *Client) Call(ctx context.Context, app, method, path string, in, out any, opts ...CallOption) error {
	o := call{header: http.Header{}, timeout: c.callTimeout}
	for _, opt := range opts {
		opt(&o)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	var body []byte
	switch in := in.(type) {
	case nil:
	case Raw:
		body, o.file = in.Data, in.File
		o.header.Set("Content-Type", in.Type)
	default:
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("call %s: %w", app, err)
		}
		o.header.Set("Content-Type", "application/json")
	}
	err := c.callOnce(ctx, app, method, path, body, out, o)
	if (method == http.MethodGet || method == http.MethodPut) && errors.Is(err, errNotReached) && ctx.Err() == nil && c.repeats.Allow() {
		if pause.For(ctx, 20*time.Millisecond+rand.N(60*time.Millisecond)) { // not all at one moment
			err = c.callOnce(ctx, app, method, path, body, out, o)
		}
	}
	if errors.Is(err, errUnreached) {
		return problem.ErrUnavailable.Because(fmt.Errorf("call %s %s %s: %w", app, method, path, err))
	}
	return err
}

var (
	errUnreached  = errors.New("no answer that can be used")
	errNotReached = fmt.Errorf("%w: not reached", errUnreached) // and may be asked once more
)

func (c *Client) callOnce(ctx context.Context, app, method, path string, body []byte, out any, o call) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err == nil && o.file != nil {
		err = sendFile(req, o.file)
	}
	if err != nil {
		return fmt.Errorf("call %s: %w", app, err)
	}
	req.Header = o.header.Clone()
	writer, writes := out.(io.Writer)
	if !writes {
		req.Header.Set("Accept", "application/json")
	}
	req.Header.Set("dapr-app-id", app)
	req.Header.Set("dapr-api-token", c.token)
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotReached, err)
	}
	defer res.Body.Close()
	if writes && res.StatusCode < 300 {
		if _, err := io.Copy(writer, res.Body); err != nil {
			return fmt.Errorf("%w: cut off: %w", errUnreached, err)
		}
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%w: %w", errNotReached, err)
	}
	if res.StatusCode < 300 {
		if out == nil || len(data) == 0 {
			return nil
		}
		if err := json.Unmarshal(data, out); err != nil {
			return fmt.Errorf("%w: %w", errUnreached, err)
		}
		return nil
	}
	// The neighbour's own answers are problem documents; everything else is
	// Dapr's (application/json) and means that it was not reached.
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	own := kind == "application/problem+json"
	if own && res.StatusCode < 500 {
		if p, err := rest.ReadProblem(res.Header, data); err == nil {
			return p
		}
	}
	reason := errUnreached
	if !own && res.StatusCode >= 500 && res.StatusCode != http.StatusServiceUnavailable {
		reason = errNotReached
	}
	return fmt.Errorf("%w: status %d: %.200s", reason, res.StatusCode, data)
}

// sendFile has a request send a file, from its beginning. The file stays open.
func sendFile(req *http.Request, file io.ReadSeeker) (err error) {
	if req.ContentLength, err = file.Seek(0, io.SeekEnd); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	req.Body, req.GetBody = io.NopCloser(file), nil
	return err
}
