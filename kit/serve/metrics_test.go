package serve_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/servetest"
)

type sold struct{ Pence int64 }

func (sold) Topic() string { return "metrics.sold.v1" }

func (s sold) Counted() (reason string, minor int64, currency string) {
	return "by-test", s.Pence, "GBP"
}

var errOdd = problem.New(problem.Conflict, "odd", "That is odd")

// TestMetrics: requests are told by the pattern of their route, problems by their slug, events by what they tell once they
// are committed, and connections by their state.
func TestMetrics(t *testing.T) {
	t.Parallel()
	nothing := fstest.MapFS{"migrations/00001_nothing.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}
	rt, db := servetest.NewTest(t, "test", nothing)
	rt.Gauge("test_broken", "Cannot be read.", func(context.Context) (float64, error) { return 7, errors.New("away") })
	op := rest.Op("GET", "/api/v1/metrics-test/{id}", "Be odd or not", rest.Anyone, rest.Problems(errOdd))
	rest.Handle(rt.API, op, func(_ context.Context, in *struct {
		ID string `path:"id"`
	},
	) (*struct{}, error) {
		if in.ID == "odd" {
			return nil, errOdd
		}
		return nil, nil
	})
	for _, id := range []string{"odd", "even", "odd"} {
		r := httptest.NewRequest("GET", "/api/v1/metrics-test/"+id, nil)
		r.Header.Set("dapr-api-token", rt.Settings.AppToken)
		rt.Router.ServeHTTP(httptest.NewRecorder(), r)
	}
	undone := errors.New("not to be")
	for _, end := range []error{nil, undone} {
		require.ErrorIs(t, pg.InTx(t.Context(), db, func(tx pgx.Tx) error {
			return errors.Join(outbox.Put(t.Context(), tx, sold{1250}), end)
		}), end)
	}

	page := httptest.NewRecorder()
	promhttp.HandlerFor(rt.Metrics, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`http_request_seconds_count{method="GET",route="/api/v1/metrics-test/{id}",status="2xx"} 1`,
		`http_request_seconds_count{method="GET",route="/api/v1/metrics-test/{id}",status="4xx"} 2`,
		`problems_total{problem="odd",route="/api/v1/metrics-test/{id}"} 2`,
		`events_saved_total{reason="by-test",topic="metrics.sold.v1"} 1`,
		`events_worth_total{currency="GBP",topic="metrics.sold.v1"} 1250`,
		`pool_connections{state="most"} 12`,
		`test_broken -1`,
	} {
		require.Contains(t, page.Body.String(), line+"\n")
	}
	require.Contains(t, page.Body.String(), "outbox_lag_seconds ")
}
