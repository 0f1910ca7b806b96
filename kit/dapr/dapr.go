// Package dapr is the service's way to its own sidecar: state, bindings,
// publishing, streams of events, and calls to neighbours. It is the only
// package that knows Dapr's SDK.
package dapr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
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
	"google.golang.org/grpc/status"

	"github.com/stampede-shop/stampede/kit/trace"
)

// The SDK says things in lines of its own, which are not the service's log.
func init() { dapr.SetLogger(log.New(io.Discard, "", 0)) }

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

	callTimeout time.Duration
	repeats     *rate.Limiter // of calls, see Call
}

// At makes a client of the sidecar at two addresses (host:port).
func At(grpcAddress, httpAddress, token string) (*Client, error) {
	with := func(ctx context.Context) context.Context {
		ctx = metadata.AppendToOutgoingContext(ctx, "dapr-api-token", token)
		if traceparent := trace.Of(ctx); traceparent != "" { // what the sidecar does is a part of it
			ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", traceparent)
		}
		return ctx
	}
	conn, err := grpc.NewClient(grpcAddress,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // loopback, or a network of the two; sidecars speak mTLS to each other
		grpc.WithConnectParams(comesBack),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(with(ctx), method, req, reply, cc, opts...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			return stream(with(ctx), desc, cc, method, opts...)
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

		callTimeout: CallTimeout,
		repeats:     rate.NewLimiter(repeatsASecond, repeatsASecond),
	}, nil
}

// SetCallTimeout replaces CallTimeout for all calls that have none of their own.
// It is for tests of what a silent neighbour leads to, before anything is called.
func (c *Client) SetCallTimeout(d time.Duration) { c.callTimeout = d }

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

// State is a key with its value, nil when there is none, and its opaque ETag.
type State struct {
	Key   string
	Value []byte
	ETag  string
}

// GetStates reads several keys at once.
func (c *Client) GetStates(ctx context.Context, store string, keys []string) (map[string]State, error) {
	ctx, cancel := limited(ctx, stateLimit)
	defer cancel()
	items, err := c.sdk.GetBulkState(ctx, store, keys, nil, int32(len(keys)))
	if err != nil {
		return nil, fmt.Errorf("state %s: %w", store, err)
	}
	states := make(map[string]State, len(items))
	for _, item := range items {
		if item.Error != "" {
			return nil, fmt.Errorf("state %s: %s", store, item.Error)
		}
		if len(item.Value) > 0 {
			states[item.Key] = State{item.Key, item.Value, item.Etag}
		}
	}
	return states, nil
}

// SaveStates is SaveState for several keys at once. When it fails, some may have
// been written.
func (c *Client) SaveStates(ctx context.Context, store string, states []State, ttl time.Duration) error {
	ctx, cancel := limited(ctx, stateLimit)
	defer cancel()
	items := make([]*dapr.SetStateItem, 0, len(states))
	for _, s := range states {
		items = append(items, stateItem(s, ttl))
	}
	if err := c.sdk.SaveBulkState(ctx, store, items...); err != nil {
		return fmt.Errorf("state %s: %w", store, err)
	}
	return nil
}

func stateItem(s State, ttl time.Duration) *dapr.SetStateItem {
	item := &dapr.SetStateItem{
		Key: s.Key, Value: s.Value, Metadata: ttlMetadata(ttl),
		Options: &dapr.StateOptions{Concurrency: dapr.StateConcurrencyFirstWrite, Consistency: dapr.StateConsistencyStrong},
	}
	if s.ETag != "" {
		item.Etag = &dapr.ETag{Value: s.ETag}
	}
	return item
}

// SaveState writes a key if its ETag is still etag, or creates it when etag is
// empty; otherwise ErrConflict: read again. Redis and PostgreSQL answer a
// failed create differently (409, 500), so any refusal of a create
// whose key now exists is a conflict. The ttl must be given on every save; 0
// keeps the value.
func (c *Client) SaveState(ctx context.Context, store, key string, value []byte, etag string, ttl time.Duration) error {
	ctx, cancel := limited(ctx, stateLimit)
	defer cancel()
	err := c.sdk.SaveBulkState(ctx, store, stateItem(State{key, value, etag}, ttl))
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

// Binding runs an operation of an output binding, for instance "create".
// Every metadata key that a component reads must be given on every call: some
// keep the last one (bindings.smtp does).
func (c *Client) Binding(ctx context.Context, name, operation string, data []byte, metadata map[string]string) ([]byte, error) {
	ctx, cancel := limited(ctx, bindingLimit)
	defer cancel()
	out, err := c.raw.InvokeBinding(ctx, &runtimev1.InvokeBindingRequest{Name: name, Operation: operation, Data: data, Metadata: metadata})
	if err != nil {
		return nil, fmt.Errorf("binding %s: %w", name, err)
	}
	return out.GetData(), nil
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
