package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// The brokers beside RabbitMQ that components/swaps can ask for, and what each
// broker still holds for the apps.

// nats returns the NATS server, with JetStream's files in the data folder.
func (s *shop) nats() (supervise.Process, error) {
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
func (s *shop) topics() ([]string, error) {
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

func (s *shop) jetStream() (*nats.Conn, jetstream.JetStream, error) {
	conn, err := nats.Connect(s.Settings.Get("NATS_URL"), nats.RetryOnFailedConnect(true), nats.Timeout(5*time.Second))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn)
	return conn, js, err
}

// streams makes a stream for every topic: JetStream refuses what has none.
func (s *shop) streams(ctx context.Context) error {
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
func (s *shop) natsWaiting(ctx context.Context) (int, error) {
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

// kafka returns a broker that is its own controller (KRaft), with its storage
// formatted when there is none.
func (s *shop) kafka(ctx context.Context) (supervise.Process, error) {
	dir := filepath.Join(s.Data, "kafka")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return supervise.Process{}, err
	}
	conf := filepath.Join(dir, "server.properties")
	text := strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + s.At(stack.PortKafkaController),
		"listeners=PLAINTEXT://" + s.At(stack.PortKafka) + ",CONTROLLER://" + s.At(stack.PortKafkaController),
		"advertised.listeners=PLAINTEXT://" + s.At(stack.PortKafka),
		"controller.listener.names=CONTROLLER",
		"log.dirs=" + filepath.Join(dir, "log"),
		"num.partitions=4",
		// One node has no others to copy to.
		"default.replication.factor=1",
		"offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"offsets.topic.num.partitions=8",
		"group.initial.rebalance.delay.ms=0",
		"auto.create.topics.enable=true",
		"log.retention.hours=168",
		"",
	}, "\n")
	if err := stack.WriteFile(conf, text, 0o600); err != nil {
		return supervise.Process{}, err
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return supervise.Process{}, err
	}
	args := []string{java, "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-cp", filepath.Join(s.Installer().Kafka(), "*")}
	if !stack.Exists(filepath.Join(dir, "log", "meta.properties")) {
		// The id of a cluster is 16 bytes in URL-safe Base64; ours need not differ from anybody's.
		format := exec.CommandContext(ctx, java, append(slices.Clone(args[1:]), "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", "c3RhbXBlZGUtb25lLWJveA", "-c", conf)...)
		format.Dir = dir
		if err := supervise.Run(ctx, s.LogFile("kafka-format"), format); err != nil {
			return supervise.Process{}, err
		}
	}
	return supervise.Process{
		Args: append(args, "kafka.Kafka", conf), Dir: dir, Env: stack.Environment(),
		Patience: 20 * time.Second, Stage: stack.StageInfra,
		Health: "tcp:" + s.At(stack.PortKafka), Stamp: supervise.Digest(text),
	}, nil
}

// kafkaWaiting sums what the consumer groups lag behind, as Kafka's own tool
// prints it: GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …, with
// a dash for an offset that was never committed.
func (s *shop) kafkaWaiting(ctx context.Context) (int, error) {
	cmd := exec.CommandContext(ctx, "java", "-Xmx128m", "-cp", filepath.Join(s.Installer().Kafka(), "*"),
		"org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", s.Settings.Get("KAFKA_BROKERS"), "--describe", "--all-groups")
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("kafka: %w", err)
	}
	return lag(string(out))
}

func lag(table string) (total int, err error) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		if _, err := strconv.Atoi(fields[2]); err != nil {
			continue // the heading, or a sentence
		}
		behind := fields[5]
		if behind == "-" {
			behind = fields[4]
		}
		n, err := strconv.Atoi(behind)
		if err != nil {
			return 0, fmt.Errorf("kafka: lag in %q: %w", strings.TrimSpace(line), err)
		}
		total += n
	}
	return total, nil
}

// rabbitmqWaiting counts what lies in queues, handed out or not. The page's
// numbers are seconds old, the server's own are not.
func (s *shop) rabbitmqWaiting(ctx context.Context) (int, error) {
	dir, env := s.erlang()
	who, err := supervise.Credential("rabbitmq")
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "/usr/lib/rabbitmq/bin/rabbitmqctl", "-n", s.rabbitmqNode(), "-q", "list_queues", "--no-table-headers", "messages")
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("rabbitmqctl: %w: %s", err, bytes.TrimSpace(out))
	}
	total := 0
	for field := range strings.FieldsSeq(string(out)) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("rabbitmqctl printed %q", field)
		}
		total += n
	}
	return total, nil
}

// redisWaiting counts what groups have not acknowledged, and one for each that
// has not been given all that its stream has.
func (s *shop) redisWaiting(ctx context.Context) (int, error) {
	topics, err := s.topics()
	if err != nil {
		return 0, err
	}
	total := 0
	for _, topic := range topics {
		var stream struct {
			Last string `json:"last-generated-id"`
		}
		var groups []struct {
			Pending int    `json:"pending"`
			Last    string `json:"last-delivered-id"`
		}
		if err := s.redisAsk(ctx, &stream, "XINFO", "STREAM", topic); errors.Is(err, errNoKey) {
			continue
		} else if err != nil {
			return 0, err
		}
		if err := s.redisAsk(ctx, &groups, "XINFO", "GROUPS", topic); err != nil {
			return 0, err
		}
		for _, g := range groups {
			total += g.Pending
			if g.Last != stream.Last {
				total++
			}
		}
	}
	return total, nil
}

var errNoKey = errors.New("no such key")

func (s *shop) redisAsk(ctx context.Context, answer any, args ...string) error {
	_, port, _ := strings.Cut(s.Settings.Get("REDIS_HOST"), ":")
	cmd := exec.CommandContext(ctx, "redis-cli", append([]string{"-p", port, "--json"}, args...)...)
	cmd.Env = append(stack.Environment(), "REDISCLI_AUTH="+s.Settings.Get("REDIS_PASSWORD"))
	out, err := cmd.Output()
	if strings.Contains(string(out), "no such key") {
		return errNoKey
	}
	if err == nil {
		err = json.Unmarshal(out, answer)
	}
	if err != nil {
		return fmt.Errorf("redis-cli %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
