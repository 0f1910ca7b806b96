package infra

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// kafka returns a broker that is its own controller (KRaft), with its storage
// formatted when there is none.
func (s Servers) kafka(ctx context.Context) (supervise.Process, error) {
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
	if !install.Exists(filepath.Join(dir, "log", "meta.properties")) {
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
func (s Servers) kafkaWaiting(ctx context.Context) (int, error) {
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
