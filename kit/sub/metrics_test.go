package sub

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

type oddity struct {
	N int `json:"n"`
}

func (oddity) Topic() string { return "oddity.happened.v1" }

// TestMetrics: what was done, what comes again, what is dead and what came twice are told apart.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := &Subscriber{DB: pgtest.New(t, migrations), Log: slog.New(slog.DiscardHandler)}
	On(s, func(_ context.Context, _ pgx.Tx, e oddity) error {
		if e.N == 0 {
			return errors.New("not now")
		}
		return nil
	})
	told := func() string {
		all := prometheus.NewRegistry()
		all.MustRegister(Metrics()...)
		page := httptest.NewRecorder()
		promhttp.HandlerFor(all, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
		return page.Body.String()
	}
	letters := func() map[string]int {
		n, err := s.Letters(t.Context())
		require.NoError(t, err)
		return n
	}
	require.Contains(t, told(), `events_handled_total{outcome="dead",topic="oddity.happened.v1"} 0`)
	require.Equal(t, map[string]int{"oddity.happened.v1": 0}, letters())

	of := func(n int) dapr.Event { e := event(n); e.Topic = oddity{}.Topic(); return e }
	twice, broken := of(1), of(2)
	broken.Data = []byte(`"no object"`)
	require.Equal(t, dapr.Done, s.deliverNow(t, twice))
	require.Equal(t, dapr.Done, s.deliverNow(t, twice))
	require.Equal(t, dapr.Again, s.deliverNow(t, of(0)))
	require.Equal(t, dapr.Done, s.deliverNow(t, broken))
	page := told()
	for _, line := range []string{
		`events_handled_total{outcome="done",topic="oddity.happened.v1"} 2`,
		`events_handled_total{outcome="failed",topic="oddity.happened.v1"} 1`,
		`events_handled_total{outcome="dead",topic="oddity.happened.v1"} 1`,
		`events_repeated_total{topic="oddity.happened.v1"} 1`,
	} {
		require.Contains(t, page, line+"\n")
	}
	require.Equal(t, map[string]int{"oddity.happened.v1": 1}, letters())
}
