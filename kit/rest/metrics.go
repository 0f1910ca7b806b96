package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
)

var (
	served = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_seconds", Help: "How long answers took, by route and class of status.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"method", "route", "status"})
	refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "problems_total", Help: "Problem documents that were answered, by route and problem.",
	}, []string{"route", "problem"})
)

// Metrics are what this process counts of the operations that it serves.
func Metrics() []prometheus.Collector { return []prometheus.Collector{served, refused} }

// classes name the hundreds of statuses; the first is that of a request that was given up.
var classes = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// measured counts and times what is routed, but for what the platform asks.
func measured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		answer := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() {
			switch route := routeOf(r.Context()); route {
			case "", "/healthz", "/readyz", "/listz", "/metrics":
			default:
				class := min(answer.Status()/100, len(classes)-1)
				served.WithLabelValues(r.Method, route, classes[class]).Observe(time.Since(begun).Seconds())
			}
		}()
		next.ServeHTTP(answer, r)
	})
}

// routeOf is the pattern that a request was routed by, "" when it was not.
func routeOf(ctx context.Context) string {
	if route := chi.RouteContext(ctx); route != nil {
		return route.RoutePattern()
	}
	return ""
}
