package dapr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/dapr/daprtest"
	"github.com/stampede-shop/stampede/kit/problem"
)

func TestComponentType(t *testing.T) {
	t.Parallel()
	sidecar, _ := daprtest.Sidecar{Components: map[string]string{"mail": "bindings.smtp"}}.Start(t)
	kind, err := sidecar.ComponentType(t.Context(), "mail")
	require.NoError(t, err)
	require.Equal(t, "bindings.smtp", kind)
	_, err = sidecar.ComponentType(t.Context(), "fax")
	require.ErrorContains(t, err, "none of that name")
}

// TestComesBack shows that a sidecar is looked for again and again at short
// intervals, however long it was away. By gRPC's own waits the eighth attempt
// comes after three quarters of a minute.
func TestComesBack(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	c, err := dapr.At(listener.Addr().String(), "127.0.0.1:0", "test")
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	go func() { _ = c.Alive(t.Context()) }()
	require.NoError(t, listener.(*net.TCPListener).SetDeadline(time.Now().Add(25*time.Second)))
	for attempt := range 8 {
		conn, err := listener.Accept()
		require.NoError(t, err, "after %d attempts", attempt)
		require.NoError(t, conn.Close())
	}
}

// TestBindingErrors: the texts by which mail tells what became of a mail.
func TestBindingErrors(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	hangs := func(ctx context.Context, _ string, _ []byte) error {
		asked <- struct{}{}
		<-ctx.Done()
		return errors.New("never mind")
	}
	ask := func(ctx context.Context, c *dapr.Client) error {
		_, err := c.Binding(ctx, "mail", "create", []byte("x"), nil)
		return err
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		c, _ := daprtest.Sidecar{Binding: func(context.Context, string, []byte) error { return errors.New("552 mailbox full") }}.Start(t)
		err := ask(t.Context(), c)
		require.ErrorContains(t, err, "code = Internal")
		require.ErrorContains(t, err, "552 mailbox full")
	})
	t.Run("the component gave up", func(t *testing.T) {
		t.Parallel()
		c, _ := daprtest.Sidecar{Binding: func(context.Context, string, []byte) error { return context.DeadlineExceeded }}.Start(t)
		require.ErrorContains(t, ask(t.Context(), c), "deadline exceeded")
	})
	t.Run("cut off", func(t *testing.T) {
		t.Parallel()
		c, _ := daprtest.Sidecar{Binding: hangs}.Start(t)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-asked; cancel() }()
		require.ErrorContains(t, ask(ctx, c), "code = Canceled ")
	})
	t.Run("the sidecar went away", func(t *testing.T) {
		t.Parallel()
		went := make(chan struct{}, 1)
		c, stop := daprtest.Sidecar{Binding: func(ctx context.Context, _ string, _ []byte) error {
			went <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}}.Start(t)
		go func() { <-went; stop() }()
		require.ErrorContains(t, ask(t.Context(), c), "code = Unavailable ")
	})
	t.Run("no sidecar", func(t *testing.T) {
		t.Parallel()
		c, stop := daprtest.Sidecar{}.Start(t)
		stop()
		// Not "dial": another test's server may have got the port.
		require.ErrorContains(t, ask(t.Context(), c), "code = Unavailable ")
	})
	t.Run("ended before", func(t *testing.T) {
		t.Parallel()
		c, _ := daprtest.Sidecar{}.Start(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorContains(t, ask(ctx, c), "code = Canceled ")
	})
}

// TestRepeats: GET and PUT that reached nobody go out once more; what a
// neighbour answered, 503 from whomever, POST and DELETE do not, and not when
// many are repeated already.
func TestRepeats(t *testing.T) {
	t.Parallel()
	answers := func(kind string, code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(code)
			_, _ = w.Write([]byte(`{}`))
		}
	}
	garbled := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"items":[`)) }
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	const ours, daprs = "application/problem+json", "application/json"
	for name, c := range map[string]struct {
		method string
		answer http.HandlerFunc
		times  int32
	}{
		"GET, Dapr's 500":           {"GET", answers(daprs, 500), 2},
		"PUT, Dapr's 500":           {"PUT", answers(daprs, 500), 2},
		"POST, Dapr's 500":          {"POST", answers(daprs, 500), 1},
		"DELETE, Dapr's 500":        {"DELETE", answers(daprs, 500), 1},
		"GET, cut":                  {"GET", cut, 2},
		"POST, cut":                 {"POST", cut, 1},
		"GET, garbled":              {"GET", garbled, 1},
		"GET, Dapr's 503":           {"GET", answers(daprs, 503), 1},
		"GET, the neighbour's 503":  {"GET", answers(ours, 503), 1},
		"GET, the neighbour's 500":  {"GET", answers(ours, 500), 1},
		"GET, Dapr's 403":           {"GET", answers(daprs, 403), 1},
		"PUT, the neighbour's 503":  {"PUT", answers(ours, 503), 1},
		"GET, something's bare 503": {"GET", answers("text/html", 503), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var times atomic.Int32
			sidecar, _ := daprtest.Sidecar{Invoke: func(w http.ResponseWriter, r *http.Request) { times.Add(1); c.answer(w, r) }}.Start(t)
			require.ErrorIs(t, sidecar.Call(t.Context(), "orders", c.method, "/", nil, new(any)), problem.ErrUnavailable)
			require.Equal(t, c.times, times.Load())
		})
	}

	t.Run("within a budget", func(t *testing.T) {
		t.Parallel()
		var times atomic.Int32
		sidecar, _ := daprtest.Sidecar{Invoke: func(w http.ResponseWriter, r *http.Request) { times.Add(1); answers(daprs, 500)(w, r) }}.Start(t)
		failed := make(chan error)
		const calls = 100
		for range calls {
			go func() { failed <- sidecar.Call(t.Context(), "orders", "GET", "/", nil, nil) }()
		}
		for range calls {
			require.ErrorIs(t, <-failed, problem.ErrUnavailable)
		}
		require.Less(t, times.Load(), int32(calls+calls/2))
	})
	t.Run("not once nobody waits", func(t *testing.T) {
		t.Parallel()
		var times atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		sidecar, _ := daprtest.Sidecar{Invoke: func(w http.ResponseWriter, r *http.Request) { times.Add(1); cancel(); cut(w, r) }}.Start(t)
		require.Error(t, sidecar.Call(ctx, "orders", "GET", "/", nil, nil))
		require.Equal(t, int32(1), times.Load())
	})
}

// TestCallSendsAFile: a file is sent from its beginning, as long as it is, and once more where a call is repeated.
func TestCallSendsAFile(t *testing.T) {
	t.Parallel()
	var got []string
	sidecar, _ := daprtest.Sidecar{Invoke: func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		got = append(got, fmt.Sprint(r.ContentLength, " ", r.Header.Get("Content-Type"), " ", string(text)))
		if len(got) == 1 {
			panic(http.ErrAbortHandler) // hangs up
		}
	}}.Start(t)
	file := strings.NewReader("a,b\n")
	_, err := file.ReadByte()
	require.NoError(t, err)
	require.NoError(t, sidecar.Call(t.Context(), "products", "PUT", "/", dapr.Raw{Type: "text/csv", File: file}, nil))
	require.Equal(t, []string{"4 text/csv a,b\n", "4 text/csv a,b\n"}, got)
}

// TestStreamsAtOnce: subscriptions that begin while the connection is being made disturb nobody; the race detector tells.
func TestStreamsAtOnce(t *testing.T) {
	t.Parallel()
	for range 50 {
		c, err := dapr.At("127.0.0.1:1", "127.0.0.1:1", "test") // nobody is there
		require.NoError(t, err)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				handle := func(context.Context, dapr.Event, func(dapr.Verdict)) {}
				assert.Error(t, c.Stream(t.Context(), "pubsub", "order.placed.v1", 1, func() {}, handle))
			})
		}
		all.Wait()
		require.NoError(t, c.Close())
	}
}
