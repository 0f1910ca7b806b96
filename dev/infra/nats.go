package infra

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// nats returns the NATS server, with JetStream's files in the data folder.
func (s Servers) nats() (supervise.Process, error) {
	dir := filepath.Join(s.Data, "nats")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return supervise.Process{}, err
	}
	u, err := url.Parse(s.Settings.Get("NATS_URL"))
	if err != nil {
		return supervise.Process{}, fmt.Errorf("NATS_URL: %w", err)
	}
	password, _ := u.User.Password()
	text := fmt.Sprintf(`listen: %q
server_name: stampede
jetstream {
  store_dir: %q
  max_memory_store: 64MB
  max_file_store: 2GB
  # Every write is on the disk before it is acknowledged, not every two minutes.
  sync_interval: always
}
authorization { user: %q, password: %q }
`, s.At(stack.PortNATS), dir, u.User.Username(), password)
	conf := filepath.Join(dir, "nats.conf")
	return supervise.Process{
		Args: []string{s.Installer().NATSServer(), "-c", conf}, Dir: dir, Env: stack.Environment(),
		Patience: 10 * time.Second, Stage: stack.StageInfra,
		Health: "tcp:" + s.At(stack.PortNATS), Stamp: supervise.Digest(text),
	}, stack.WriteFile(conf, text, 0o600)
}

// topicName finds the topics in events/, which has one method an event.
var topicName = regexp.MustCompile(`Topic\(\) string\s*\{\s*return "([a-z0-9._]+)"`)

// topics are the names of all events.
func (s Servers) topics() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(s.Root, "events", "*.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range topicName.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return names, nil
}

// streamName is the stream of a topic; dots mean something else there.
func streamName(topic string) string { return strings.ReplaceAll(topic, ".", "-") }

func (s Servers) jetStream() (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect(s.Settings.Get("NATS_URL"), nats.RetryOnFailedConnect(true), nats.Timeout(5*time.Second))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn)
	return conn, js, err
}

// streams makes a stream for every topic: JetStream refuses what has none.
func (s Servers) streams(ctx context.Context) error {
	topics, err := s.topics()
	if err != nil {
		return err
	}
	conn, js, err := s.jetStream()
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, topic := range topics {
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name: streamName(topic), Subjects: []string{topic}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, MaxAge: 7 * 24 * time.Hour,
			// An event that the outbox sends again, since the confirmation was lost.
			Duplicates: 10 * time.Minute,
		})
		if err != nil {
			return fmt.Errorf("stream of %s: %w", topic, err)
		}
	}
	return nil
}

// natsWaiting counts what consumers have not acknowledged.
func (s Servers) natsWaiting(ctx context.Context) (int, error) {
	topics, err := s.topics()
	if err != nil {
		return 0, err
	}
	conn, js, err := s.jetStream()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	total := 0
	for _, topic := range topics {
		stream, err := js.Stream(ctx, streamName(topic))
		if err != nil {
			return 0, fmt.Errorf("stream of %s: %w", topic, err)
		}
		consumers := stream.ListConsumers(ctx)
		for info := range consumers.Info() {
			total += int(info.NumPending) + info.NumAckPending
		}
		if err := consumers.Err(); err != nil {
			return 0, fmt.Errorf("stream of %s: %w", topic, err)
		}
	}
	return total, nil
}
