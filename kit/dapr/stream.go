package dapr

import (
	"context"
	"fmt"
	"sync"
	"time"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
)

// Event is one delivery of a CloudEvent.
type Event struct {
	ID          string
	Type        string
	Source      string
	Topic       string
	Data        []byte
	Traceparent string
}

// Verdict is the answer to a delivery.
type Verdict int

// Done ends the delivery; Again asks the broker for another.
const (
	Done Verdict = iota
	Again
)

// Stream subscribes to topic by a streaming subscription (Alpha1 API of Dapr
// 1.16; the SDK's own loop neither carries the trace nor comes back after a
// restart of the sidecar, so the stream is read here). It calls ready once
// subscribed and handle for each event, at most limit at a time; handle calls
// answer, which returns when the sidecar has taken it. Stream returns when the
// stream breaks or ctx ends, after the handlers that run have answered.
func (c *Client) Stream(ctx context.Context, pubsub, topic string, limit int, ready func(), handle func(ctx context.Context, e Event, answer func(Verdict))) error {
	streamCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stream, err := c.raw.SubscribeTopicEventsAlpha1(streamCtx)
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", topic, err)
	}
	// A sidecar that never answers the first request must not hold us.
	starting := time.AfterFunc(15*time.Second, cancel)
	err = stream.Send(&runtimev1.SubscribeTopicEventsRequestAlpha1{
		SubscribeTopicEventsRequestType: &runtimev1.SubscribeTopicEventsRequestAlpha1_InitialRequest{
			InitialRequest: &runtimev1.SubscribeTopicEventsRequestInitialAlpha1{PubsubName: pubsub, Topic: topic},
		},
	})
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", topic, err)
	}
	first, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", topic, err)
	}
	if first.GetInitialResponse() == nil {
		return fmt.Errorf("subscribe %s: unexpected first answer", topic)
	}
	starting.Stop()
	ready()

	var (
		running sync.WaitGroup
		sending sync.Mutex
		slots   = make(chan struct{}, limit)
		broken  = make(chan error, 1)
	)
	go func() {
		for {
			msg, err := stream.Recv()
			if err != nil {
				broken <- err
				return
			}
			e := msg.GetEventMessage()
			if e == nil {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done(): // not answered: the broker delivers it again
				continue
			}
			running.Add(1)
			go func() {
				defer func() { <-slots; running.Done() }()
				handle(streamCtx, Event{
					ID: e.GetId(), Type: e.GetType(), Source: e.GetSource(), Topic: e.GetTopic(), Data: e.GetData(),
					Traceparent: e.GetExtensions().GetFields()["traceparent"].GetStringValue(),
				}, func(verdict Verdict) {
					answer := runtimev1.TopicEventResponse_SUCCESS
					if verdict == Again {
						answer = runtimev1.TopicEventResponse_RETRY
					}
					sending.Lock()
					defer sending.Unlock()
					// When this fails the stream is broken and the broker delivers again.
					_ = stream.Send(&runtimev1.SubscribeTopicEventsRequestAlpha1{
						SubscribeTopicEventsRequestType: &runtimev1.SubscribeTopicEventsRequestAlpha1_EventProcessed{
							EventProcessed: &runtimev1.SubscribeTopicEventsRequestProcessedAlpha1{
								Id: e.GetId(), Status: &runtimev1.TopicEventResponse{Status: answer},
							},
						},
					})
				})
			}()
		}
	}()

	select {
	case err = <-broken:
	case <-ctx.Done():
		err = ctx.Err()
	}
	running.Wait()
	sending.Lock()
	_ = stream.CloseSend()
	sending.Unlock()
	if err == ctx.Err() {
		return err
	}
	return fmt.Errorf("stream %s: %w", topic, err)
}
