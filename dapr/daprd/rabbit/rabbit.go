// Package rabbit gives every subscription to RabbitMQ a connection of its own.
//
// Dapr's component (pubsub.rabbitmq, 1.16.5) shares one channel between all
// that it publishes and all that it subscribes to, and leaves a consumer on it
// when its subscription ends. So the next subscription to that topic breaks the
// channel ("attempt to reuse consumer tag"), and with it every other topic's;
// what the old consumer was sent and nobody answered stays with it until then;
// and two subscriptions to one topic, which is what a client leaves behind that
// did not wait for a slow broker, break each other's channel every second for
// as long as they live, while the sidecar says that it is well.
package rabbit

import (
	"context"
	"fmt"
	"time"

	"github.com/dapr/components-contrib/pubsub"
	"github.com/dapr/components-contrib/pubsub/rabbitmq"
	"github.com/dapr/kit/logger"
)

const (
	// startLimit bounds a subscription's start. The sidecar starts and ends
	// subscriptions one at a time, so a broker that does not answer would hold up
	// all of them, and the component would wait a minute. The apps wait 15 s.
	startLimit = 10 * time.Second
	// ackGrace is how long what was answered just before a subscription ended
	// gets to reach the broker.
	ackGrace = 250 * time.Millisecond
)

// broker is Dapr's component, which publishes, and one more for each subscription.
type broker struct {
	pubsub.PubSub
	log  logger.Logger
	meta pubsub.Metadata
}

// New makes the component.
func New(log logger.Logger) pubsub.PubSub {
	return &broker{PubSub: rabbitmq.NewRabbitMQ(log), log: log}
}

// Init implements pubsub.PubSub.
func (b *broker) Init(ctx context.Context, meta pubsub.Metadata) error {
	b.meta = meta
	return b.PubSub.Init(ctx, meta)
}

// Subscribe implements pubsub.PubSub. When ctx ends the connection is closed,
// and the broker gives what was not acknowledged to others at once.
func (b *broker) Subscribe(ctx context.Context, req pubsub.SubscribeRequest, handler pubsub.Handler) error {
	own := rabbitmq.NewRabbitMQ(b.log)
	started := make(chan error, 1)
	go func() {
		err := own.Init(ctx, b.meta)
		if err == nil {
			err = own.Subscribe(ctx, req, handler)
		}
		started <- err
	}()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	var err error
	select {
	case err = <-started:
	case <-limit.C:
		err = fmt.Errorf("the broker did not answer within %s", startLimit)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		go b.end(own)
		return fmt.Errorf("subscribe to %s: %w", req.Topic, err)
	}
	context.AfterFunc(ctx, func() {
		time.Sleep(ackGrace)
		b.end(own)
	})
	return nil
}

func (b *broker) end(own pubsub.PubSub) {
	if err := own.Close(); err != nil {
		b.log.Debugf("rabbitmq: connection of a subscription: %v", err)
	}
}
