package rabbit

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/components-contrib/pubsub"
	"github.com/dapr/kit/logger"
	"github.com/google/uuid"
)

// bench is the component on a real broker, with names of its own.
type bench struct {
	pubsub.PubSub
	t    *testing.T
	name string
}

func setup(t *testing.T, make func(logger.Logger) pubsub.PubSub) *bench {
	t.Helper()
	url := os.Getenv("RABBITMQ_URL")
	if url == "" {
		t.Fatal("RABBITMQ_URL names no broker: make infra starts one, and make test gives its own")
	}
	b := &bench{make(logger.NewLogger("test")), t, "test-" + uuid.NewString()}
	// As components/pubsub.yaml, but for what is kept: these queues go with their consumers.
	err := b.Init(t.Context(), pubsub.Metadata{Base: metadata.Base{Properties: map[string]string{
		"connectionString": url, "consumerID": b.name, "durable": "false", "deletedWhenUnused": "false", "autoAck": "false",
		"requeueInFailure": "true", "prefetchCount": "4", "reconnectWaitSeconds": "1", "concurrencyMode": "parallel",
		"publisherConfirm": "true", "exchangeKind": "fanout", "ttlInSeconds": "60",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// subscribe returns what is delivered, and the end of the subscription.
func (b *bench) subscribe(topic string, answer func(data string) error) (delivered chan string, end context.CancelFunc) {
	b.t.Helper()
	ctx, end := context.WithCancel(context.Background())
	b.t.Cleanup(end)
	delivered = make(chan string, 100)
	err := b.Subscribe(ctx, pubsub.SubscribeRequest{Topic: b.name + topic}, func(_ context.Context, m *pubsub.NewMessage) error {
		delivered <- string(m.Data)
		return answer(string(m.Data))
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return delivered, end
}

func (b *bench) publish(topic, data string) {
	b.t.Helper()
	if err := b.Publish(context.Background(), &pubsub.PublishRequest{Topic: b.name + topic, Data: []byte(data)}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) await(delivered chan string, want string) {
	b.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case got := <-delivered:
			if got == want {
				return
			}
		case <-limit:
			b.t.Fatalf("%s does not come", want)
		}
	}
}

func taken(string) error { return nil }

// TestSubscribeAgain: what a subscription that ended had in hand comes to the
// next one, at once, and no other topic notices.
func TestSubscribeAgain(t *testing.T) {
	b := setup(t, New)
	others, _ := b.subscribe("b", taken)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	first, end := b.subscribe("a", func(string) error { <-hang; return nil })
	for i := range 4 { // as many as one may have in hand
		b.publish("a", fmt.Sprint("a", i))
		b.await(first, fmt.Sprint("a", i))
	}
	end()
	second, _ := b.subscribe("a", taken)
	seen := map[string]bool{}
	limit := time.After(20 * time.Second)
	for len(seen) < 4 {
		select {
		case got := <-second:
			seen[got] = true
		case <-limit:
			t.Fatalf("only %v came again", seen)
		}
	}
	b.publish("a", "a-last")
	b.await(second, "a-last")
	b.publish("b", "b-last")
	b.await(others, "b-last")
}

// TestTwoAtOnce: a subscription that was left behind breaks no other, not even
// for the moment in which the broker takes back what others have in hand.
func TestTwoAtOnce(t *testing.T) {
	b := setup(t, New)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	others, _ := b.subscribe("b", func(data string) error {
		if data == "held" {
			<-hang
		}
		return nil
	})
	b.publish("b", "held")
	b.await(others, "held")
	one, _ := b.subscribe("a", taken)
	two, _ := b.subscribe("a", taken)
	for i := range 40 {
		b.publish("a", fmt.Sprint(i))
	}
	limit := time.After(20 * time.Second)
	for n := range 40 {
		select {
		case <-one:
		case <-two:
		case <-limit:
			t.Fatalf("only %d of 40 came", n)
		}
	}
	b.publish("b", "last")
	for got := ""; got != "last"; {
		select {
		case got = <-others:
			if got == "held" {
				t.Fatal("what another topic had in hand came again")
			}
		case <-limit:
			t.Fatal("nothing more comes to another topic")
		}
	}
}
