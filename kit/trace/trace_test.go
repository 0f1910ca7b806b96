package trace

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const (
	kept    = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	other   = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01"
	dropped = "00-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203333-00"
)

func TestResumeGoesOn(t *testing.T) {
	t.Parallel()
	require.Empty(t, Of(t.Context()))
	for _, traceparent := range []string{kept, dropped} {
		require.Equal(t, traceparent, Of(Resume(t.Context(), traceparent)))
	}
	require.Equal(t, other, Of(Resume(Resume(t.Context(), kept), other)))
	for _, none := range []string{"", "nonsense"} {
		require.Equal(t, kept, Of(Resume(Resume(t.Context(), kept), none)))
	}
}

// TestTogether: a batch is in the first trace that is kept, knows the others, and outlives whoever asked for it.
func TestTogether(t *testing.T) { // not parallel: it sets the process's tracer
	spans := tracetest.NewSpanRecorder()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	one, hangUp := context.WithCancel(Resume(t.Context(), kept))
	hangUp()

	ctx, end := Together([]context.Context{one})
	require.NoError(t, ctx.Err())
	require.Equal(t, kept, Of(ctx))
	end()
	require.Empty(t, spans.Ended())

	ctx, end = Together([]context.Context{Resume(t.Context(), dropped), t.Context(), one, Resume(t.Context(), other)})
	require.NoError(t, ctx.Err())
	require.Equal(t, trace.SpanContextFromContext(one).TraceID(), trace.SpanContextFromContext(ctx).TraceID())
	end()
	require.Len(t, spans.Ended(), 1)
	require.Equal(t, trace.SpanContextFromContext(one).SpanID(), spans.Ended()[0].Parent().SpanID())
	links := spans.Ended()[0].Links()
	require.Len(t, links, 1)
	require.Equal(t, trace.SpanContextFromContext(Resume(t.Context(), other)).TraceID(), links[0].SpanContext.TraceID())

	ctx, end = Together([]context.Context{Resume(t.Context(), dropped), t.Context()})
	end()
	require.Equal(t, trace.SpanContextFromContext(Resume(t.Context(), dropped)).TraceID(), trace.SpanContextFromContext(ctx).TraceID())
}
