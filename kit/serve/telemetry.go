package serve

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/zipkin" // deprecated: docs/decisions/zipkin.md
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/stampede-shop/stampede/kit/rest"
)

// startTracing makes spans and passes traces on; they are exported when
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_ZIPKIN_ENDPOINT is set
// (OpenTelemetry's own variables, which the exporters read). Whoever begins a
// trace decides, for that part of all, that it is kept; every trace has its id.
func startTracing(ctx context.Context, name string, set Settings) (flush func(), err error) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName(name))),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(set.TracesRatio))),
	}
	if set.Traces != "" {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("traces: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	if set.Zipkin != "" {
		exporter, err := zipkin.New(set.Zipkin)
		if err != nil {
			return nil, fmt.Errorf("traces: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	provider := sdktrace.NewTracerProvider(options...)
	otel.SetTracerProvider(provider)
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_ = provider.Shutdown(ctx)
	}, nil
}

// newLogger writes JSON lines with the service, the trace and the request id.
// LOG_LEVEL is debug, info (default), warn or error.
func newLogger(name, least string) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(least))
	return slog.New(tracedHandler{slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: level})}).With("service", name)
}

type tracedHandler struct{ slog.Handler }

func (h tracedHandler) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.HasTraceID() {
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()))
	}
	if id := rest.RequestID(ctx); id != "" {
		r.AddAttrs(slog.String("request_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h tracedHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return tracedHandler{h.Handler.WithAttrs(a)}
}

func (h tracedHandler) WithGroup(name string) slog.Handler {
	return tracedHandler{h.Handler.WithGroup(name)}
}

// counts is a gauge for each name of a group.
type counts struct {
	desc *prometheus.Desc
	read func(ctx context.Context) (map[string]int, error)
}

// Describe implements prometheus.Collector.
func (c counts) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

// Collect implements prometheus.Collector. A database that does not answer
// leaves the metric out.
func (c counts) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	all, err := c.read(ctx)
	if err != nil {
		return
	}
	for name, n := range all {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), name)
	}
}

// pool tells how many of a pool's connections are in use, and how long callers
// have waited for one.
type pool struct{ db *pgxpool.Pool }

var (
	poolConnections = prometheus.NewDesc("pool_connections", "Connections to PostgreSQL: used, idle, most.", []string{"state"}, nil)
	poolWaits       = prometheus.NewDesc("pool_waits_total", "Callers that found no connection and waited for one.", nil, nil)
	poolWaitSeconds = prometheus.NewDesc("pool_acquire_seconds_total", "What getting connections took, all callers together.", nil, nil)
)

// Describe implements prometheus.Collector.
func (p pool) Describe(to chan<- *prometheus.Desc) {
	to <- poolConnections
	to <- poolWaits
	to <- poolWaitSeconds
}

// Collect implements prometheus.Collector.
func (p pool) Collect(to chan<- prometheus.Metric) {
	now := p.db.Stat()
	for state, n := range map[string]int32{"used": now.AcquiredConns(), "idle": now.IdleConns(), "most": now.MaxConns()} {
		to <- prometheus.MustNewConstMetric(poolConnections, prometheus.GaugeValue, float64(n), state)
	}
	to <- prometheus.MustNewConstMetric(poolWaits, prometheus.CounterValue, float64(now.EmptyAcquireCount()))
	to <- prometheus.MustNewConstMetric(poolWaitSeconds, prometheus.CounterValue, now.AcquireDuration().Seconds())
}
