package serve

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"

	"github.com/stampede-shop/stampede/kit/rest"
)

// TestZipkin: a request's span goes to Zipkin under the service's name, with the id by which people know the request.
func TestZipkin(t *testing.T) { // not parallel: it sets the process's tracer
	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	type span struct {
		Name  string
		Local struct{ ServiceName string } `json:"localEndpoint"`
		Tags  map[string]string
	}
	got := make(chan []span, 1)
	zipkin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		var spans []span
		if err == nil && json.Unmarshal(text, &spans) == nil {
			got <- spans
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer zipkin.Close()
	flush, err := startTracing(t.Context(), "echo", Settings{Zipkin: zipkin.URL + "/api/v2/spans", TracesRatio: 1})
	require.NoError(t, err)
	router, _ := rest.New(rest.Config{Name: "echo", Log: newLogger("echo", "error")})
	router.Get("/healthz", func(http.ResponseWriter, *http.Request) {})
	r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	r.Header.Set("X-Request-Id", "0198-of-a-request")
	otelhttp.NewHandler(router, "echo").ServeHTTP(httptest.NewRecorder(), r)
	flush()
	spans := <-got
	require.Len(t, spans, 1)
	require.Equal(t, "echo", spans[0].Local.ServiceName)
	require.Equal(t, "0198-of-a-request", spans[0].Tags["request_id"])
}
