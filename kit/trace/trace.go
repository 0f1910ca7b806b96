// Package trace keeps the trace in which something was caused with what is done about it later, in another process or hours
// afterwards.
package trace

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const header = "traceparent"

// Of is the trace of ctx and its span, as W3C Trace Context writes them in the header traceparent; "" when there is none.
func Of(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[header]
}

// Resume goes on with the trace that Of told. With "", or what is no traceparent, ctx stays as it is: old rows have none.
func Resume(ctx context.Context, traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{header: traceparent})
}

// Together is the context of what is done once for many, and does not end with any of theirs: the first of them whose trace
// is kept (sampled), or the first, with a span there that is linked to the others. One alone has no span of its own.
func Together(many []context.Context) (ctx context.Context, end func()) {
	lead := many[0]
	for _, c := range many {
		if trace.SpanContextFromContext(c).IsSampled() {
			lead = c
			break
		}
	}
	ctx = context.WithoutCancel(lead)
	if len(many) == 1 {
		return ctx, func() {}
	}
	var links []trace.Link
	for _, c := range many {
		if c != lead && trace.SpanContextFromContext(c).IsSampled() {
			links = append(links, trace.LinkFromContext(c))
		}
	}
	ctx, span := otel.Tracer("kit/trace").Start(ctx, "together", trace.WithLinks(links...))
	return ctx, func() { span.End() }
}
