// Package dapr is the service's way to its own sidecar: state, bindings,
// publishing, streams of events, and calls to neighbours. It is the only
// package that knows Dapr's SDK.
package dapr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	dapr "github.com/dapr/go-sdk/client"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// ErrConflict is returned by SaveState and DeleteState when the value has
// changed since it was read, or exists already.
var ErrConflict = errors.New("state was changed by another")

// Limits of what is asked without a deadline of its own. The sidecar is beside
// us and what it asks for us is near: longer means that it hangs.
const (
	stateLimit    = 2 * time.Second
	metadataLimit = 2 * time.Second
	publishLimit  = 10 * time.Second
	bindingLimit  = 30 * time.Second // a picture, a mail: others take their time
)

// comesBack is how the connection tries again when the sidecar is away. gRPC's
// own waits grow to two minutes: a sidecar that was gone for one would be found
// again half a minute after its return.
var comesBack = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
	MinConnectTimeout: 2 * time.Second,
}

// limited gives ctx a limit unless it has one.
func limited(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, limit)
}

// Client talks to the sidecar. It connects when first used and again whenever
// the sidecar comes back.
type Client struct {
	conn  *grpc.ClientConn
	sdk   dapr.Client
	raw   runtimev1.DaprClient
	http  *http.Client
	base  string
	token string

	repeats *rate.Limiter // of calls, see Call
}

// New makes a client of the sidecar whose ports and token are in the
// environment (DAPR_GRPC_PORT, DAPR_HTTP_PORT, DAPR_API_TOKEN), as dapr sets
// them.
func New() (*Client, error) {
	return At("127.0.0.1:"+env("DAPR_GRPC_PORT", "50001"), "127.0.0.1:"+env("DAPR_HTTP_PORT", "3500"), os.Getenv("DAPR_API_TOKEN"))
}

// At makes a client of the sidecar at two addresses (host:port).
func At(grpcAddress, httpAddress, token string) (*Client, error) {
	withToken := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, "dapr-api-token", token)
	}
	conn, err := grpc.NewClient(grpcAddress,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // loopback; sidecars speak mTLS to each other
		grpc.WithConnectParams(comesBack),
		grpc.WithStatsHandler(sentHandler{}),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(withToken(ctx), method, req, reply, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return stream(withToken(ctx), desc, cc, method, opts...)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("sidecar: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	return &Client{
		conn:  conn,
		sdk:   dapr.NewClientWithConnection(conn),
		raw:   runtimev1.NewDaprClient(conn),
		http:  &http.Client{Transport: otelhttp.NewTransport(transport)},
		base:  "http://" + httpAddress,
		token: token,

		repeats: rate.NewLimiter(repeatsASecond, repeatsASecond),
	}, nil
}

func env(key, fallback string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return fallback
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Alive asks the sidecar for its metadata: an error means that it is gone or
// shutting down.
func (c *Client) Alive(ctx context.Context) error {
	ctx, cancel := limited(ctx, metadataLimit)
	defer cancel()
	_, err := c.raw.GetMetadata(ctx, &runtimev1.GetMetadataRequest{})
	return err
}

// ComponentType tells of which type a component is, for instance
// "bindings.smtp". It is an error when the sidecar has none of that name.
func (c *Client) ComponentType(ctx context.Context, name string) (string, error) {
	ctx, cancel := limited(ctx, metadataLimit)
	defer cancel()
	meta, err := c.raw.GetMetadata(ctx, &runtimev1.GetMetadataRequest{})
	if err != nil {
		return "", fmt.Errorf("component %s: %w", name, err)
	}
	for _, component := range meta.GetRegisteredComponents() {
		if component.GetName() == name {
			return component.GetType(), nil
		}
	}
	return "", fmt.Errorf("component %s: the sidecar has none of that name", name)
}

// GetState reads a key. The value is nil when there is none. The ETag is
// opaque.
func (c *Client) GetState(ctx context.Context, store, key string) (value []byte, etag string, err error) {
	ctx, cancel := limited(ctx, stateLimit)
	defer cancel()
	item, err := c.sdk.GetState(ctx, store, key, nil)
	if err != nil {
		return nil, "", fmt.Errorf("state %s: %w", store, err)
	}
	if len(item.Value) == 0 {
		return nil, "", nil
	}
	return item.Value, item.Etag, nil
}

// SaveState writes a key if its ETag is still etag, or creates it when etag is
// empty; otherwise ErrConflict: read again. Redis and PostgreSQL answer a
// failed create differently (facts: 409 or 500), so any refusal of a create
// whose key now exists is a conflict. The ttl must be given on every save; 0
// keeps the value.
func (c *Client) SaveState(ctx context.Context, store, key string, value []byte, etag string, ttl time.Duration) error {
	ctx, cancel := limited(ctx, stateLimit)
	defer cancel()
	item := &dapr.SetStateItem{
		Key: key, Value: value, Metadata: ttlMetadata(ttl),
		Options: &dapr.StateOptions{Concurrency: dapr.StateConcurrencyFirstWrite, Consistency: dapr.StateConsistencyStrong},
	}
	if etag != "" {
		item.Etag = &dapr.ETag{Value: etag}
	}
	err := c.sdk.SaveBulkState(ctx, store, item)
	if err == nil {
		return nil
	}
	if isConflict(err) {
		return ErrConflict
	}
	if etag == "" {
		if v, _, getErr := c.GetState(ctx, store, key); getErr == nil && v != nil {
			return ErrConflict
		}
	}
	return fmt.Errorf("state %s: %w", store, err)
}

// PutState writes a key whatever it was; for caches only.
func (c *Client) PutState(ctx context.Context, store, key string, value []byte, ttl time.Duration) error {
	ctx, cancel := limited(ctx, stateLimit)
	defer cancel()
	if err := c.sdk.SaveState(ctx, store, key, value, ttlMetadata(ttl)); err != nil {
		return fmt.Errorf("state %s: %w", store, err)
	}
	return nil
}

// DeleteState removes a key if its ETag is still etag; whatever it is when
// etag is empty.
func (c *Client) DeleteState(ctx context.Context, store, key, etag string) error {
	ctx, cancel := limited(ctx, stateLimit)
	defer cancel()
	var tag *dapr.ETag
	options := &dapr.StateOptions{}
	if etag != "" {
		tag = &dapr.ETag{Value: etag}
		options.Concurrency = dapr.StateConcurrencyFirstWrite
	}
	err := c.sdk.DeleteStateWithETag(ctx, store, key, tag, nil, options)
	if isConflict(err) {
		return ErrConflict
	}
	if err != nil {
		return fmt.Errorf("state %s: %w", store, err)
	}
	return nil
}

func ttlMetadata(ttl time.Duration) map[string]string {
	if ttl <= 0 {
		return map[string]string{"ttlInSeconds": "-1"}
	}
	return map[string]string{"ttlInSeconds": strconv.Itoa(int(ttl.Seconds()))}
}

func isConflict(err error) bool {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if s, ok := status.FromError(e); ok && (s.Code() == codes.Aborted || s.Code() == codes.AlreadyExists) {
			return true
		}
	}
	return false
}

// Binding runs an operation of an output binding, for instance "create". Every
// metadata key that a component reads must be given on every call: some keep
// the last one (facts: bindings.smtp). Unanswered tells of an error whether the
// component may have done what it was asked.
func (c *Client) Binding(ctx context.Context, name, operation string, data []byte, metadata map[string]string) ([]byte, error) {
	ctx, cancel := limited(ctx, bindingLimit)
	defer cancel()
	var sent atomic.Bool
	out, err := c.raw.InvokeBinding(context.WithValue(ctx, sentKey{}, &sent),
		&runtimev1.InvokeBindingRequest{Name: name, Operation: operation, Data: data, Metadata: metadata})
	if err == nil {
		return out.GetData(), nil
	}
	err = fmt.Errorf("binding %s: %w", name, err)
	if sent.Load() && (ctx.Err() != nil || noAnswer(err)) {
		return nil, &unansweredError{err}
	}
	return nil, err
}

// Unanswered reports whether a call of Binding was sent and ended without the
// component's answer, so that it may have done what it was asked, or may still
// be about it: the deadline passed, ctx was cancelled, or the sidecar went away.
// What the component refused is answered, and what never left this process
// (no sidecar) was not sent.
func Unanswered(err error) bool {
	var u *unansweredError
	return errors.As(err, &u)
}

type unansweredError struct{ error }

func (e *unansweredError) Unwrap() error { return e.error }

// noAnswer tells a call that was cut off from a refusal. daprd answers Internal
// for whatever a component says, its text in the message, also for a binding
// or an operation that it does not know (pkg/api/grpc, InvokeBinding). These
// three codes are never daprd's own there but gRPC's: cut off on this side, or
// the connection lost. A component that gave up because daprd took its context
// away has not answered either, and only the text says so.
func noAnswer(err error) bool {
	s, _ := status.FromError(err)
	switch s.Code() {
	case codes.DeadlineExceeded, codes.Canceled, codes.Unavailable:
		return true
	}
	return strings.HasSuffix(s.Message(), context.DeadlineExceeded.Error()) || strings.HasSuffix(s.Message(), context.Canceled.Error())
}

type sentKey struct{}

// sentHandler notes under sentKey that a request was given to the connection:
// an error alone does not tell a sidecar that is away from one that went away.
type sentHandler struct{}

func (sentHandler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (sentHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (sentHandler) HandleConn(context.Context, stats.ConnStats)                       {}
func (sentHandler) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); !ok {
		return
	}
	if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
		sent.Store(true)
	}
}

// Publish sends one event; id becomes the CloudEvent's id and traceparent its
// extension. It returns when the broker has confirmed, as far as Dapr knows.
func (c *Client) Publish(ctx context.Context, pubsub, topic, id, source, traceparent string, data json.RawMessage) error {
	ctx, cancel := limited(ctx, publishLimit)
	defer cancel()
	meta := map[string]string{
		"cloudevent.id":     id,
		"cloudevent.type":   topic,
		"cloudevent.source": source,
	}
	if traceparent != "" {
		meta["cloudevent.traceparent"] = traceparent
		meta["cloudevent.traceid"] = traceparent
	}
	_, err := c.raw.PublishEvent(ctx, &runtimev1.PublishEventRequest{
		PubsubName: pubsub, Topic: topic, Data: data, DataContentType: "application/json", Metadata: meta,
	})
	if err != nil {
		return fmt.Errorf("publish %s: %w", topic, err)
	}
	return nil
}
