// Package daprtest stands in for a sidecar where a test needs one that
// misbehaves on demand: hangs, refuses, goes away. What a real one does is for
// the whole-shop tests.
package daprtest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/stampede-shop/stampede/kit/dapr"
)

// Sidecar is how the stand-in answers; what is nil it does not know.
type Sidecar struct {
	// Publish is asked for each event; it may hang until ctx ends.
	Publish func(ctx context.Context, topic, id string) error
	// Binding is the component: its error becomes what daprd makes of one (pkg/api/grpc, InvokeBinding).
	Binding func(ctx context.Context, name string, data []byte) error
	// Components are names and types.
	Components map[string]string
	// Deliver is sent to whoever subscribes to a topic; an answer comes to Answered, when that is not nil.
	Deliver  func(topic string) []dapr.Event
	Answered chan<- string // the id of an event that was answered
	// Invoke answers calls to neighbours.
	Invoke http.HandlerFunc
}

// Start serves s until the test ends and returns its client, and the end of
// the gRPC half in the middle of whatever it does.
func (s Sidecar) Start(t testing.TB) (sidecar *dapr.Client, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	runtimev1.RegisterDaprServer(server, &half{s: s})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	invoke := s.Invoke
	if invoke == nil {
		invoke = http.NotFound
	}
	web := httptest.NewServer(invoke)
	t.Cleanup(web.Close)
	sidecar, err = dapr.At(listener.Addr().String(), web.Listener.Addr().String(), "test")
	require.NoError(t, err)
	t.Cleanup(func() { _ = sidecar.Close() })
	return sidecar, server.Stop
}

type half struct {
	runtimev1.UnimplementedDaprServer
	s Sidecar
}

func (h *half) PublishEvent(ctx context.Context, in *runtimev1.PublishEventRequest) (*emptypb.Empty, error) {
	if h.s.Publish == nil {
		return nil, status.Error(codes.Unimplemented, "publish")
	}
	return &emptypb.Empty{}, h.s.Publish(ctx, in.GetTopic(), in.GetMetadata()["cloudevent.id"])
}

func (h *half) InvokeBinding(ctx context.Context, in *runtimev1.InvokeBindingRequest) (*runtimev1.InvokeBindingResponse, error) {
	if h.s.Binding == nil {
		return nil, status.Errorf(codes.Internal, "error invoking output binding %s: couldn't find output binding %[1]s", in.GetName())
	}
	if err := h.s.Binding(ctx, in.GetName(), in.GetData()); err != nil {
		return nil, status.Errorf(codes.Internal, "error invoking output binding %s: %s", in.GetName(), err)
	}
	return &runtimev1.InvokeBindingResponse{}, nil
}

func (h *half) GetMetadata(context.Context, *runtimev1.GetMetadataRequest) (*runtimev1.GetMetadataResponse, error) {
	out := &runtimev1.GetMetadataResponse{}
	for name, kind := range h.s.Components {
		out.RegisteredComponents = append(out.RegisteredComponents, &runtimev1.RegisteredComponents{Name: name, Type: kind})
	}
	return out, nil
}

func (h *half) SubscribeTopicEventsAlpha1(stream runtimev1.Dapr_SubscribeTopicEventsAlpha1Server) error {
	if h.s.Deliver == nil {
		return status.Error(codes.Unimplemented, "subscribe")
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	topic := first.GetInitialRequest().GetTopic()
	answers := []*runtimev1.SubscribeTopicEventsResponseAlpha1{{SubscribeTopicEventsResponseType: &runtimev1.SubscribeTopicEventsResponseAlpha1_InitialResponse{
		InitialResponse: &runtimev1.SubscribeTopicEventsResponseInitialAlpha1{},
	}}}
	for _, e := range h.s.Deliver(topic) {
		answers = append(answers, &runtimev1.SubscribeTopicEventsResponseAlpha1{
			SubscribeTopicEventsResponseType: &runtimev1.SubscribeTopicEventsResponseAlpha1_EventMessage{
				EventMessage: &runtimev1.TopicEventRequest{Id: e.ID, Type: e.Type, Source: e.Source, Topic: topic, Data: e.Data},
			},
		})
	}
	for _, a := range answers {
		if err := stream.Send(a); err != nil {
			return err
		}
	}
	for {
		in, err := stream.Recv()
		if err != nil {
			return err
		}
		if e := in.GetEventProcessed(); e != nil && h.s.Answered != nil {
			h.s.Answered <- e.GetId()
		}
	}
}
