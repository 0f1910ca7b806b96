package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlug(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		swaps         string
		broker, state string
		runs, idle    string // parts of the infrastructure
	}{
		{"", "pubsub.rabbitmq", "state.redis", "rabbitmq epmd redis maildev postgres", "nats kafka s3"},
		{"jetstream", "pubsub.jetstream", "state.redis", "nats redis postgres", "rabbitmq epmd kafka"},
		{"kafka, state-postgres", "pubsub.kafka", "state.postgresql", "kafka postgres nginx", "rabbitmq epmd redis nats"},
		{"media-s3", "pubsub.rabbitmq", "state.redis", "s3 rabbitmq redis nginx", "nats kafka"},
		{"redis-streams,state-postgres", "pubsub.redis", "state.postgresql", "redis", "rabbitmq nats kafka"},
	} {
		p, err := plug("..", tc.swaps)
		require.NoError(t, err, tc.swaps)
		require.Equal(t, tc.broker, p.broker())
		require.Equal(t, tc.state, p.types["state"])
		for part := range strings.FieldsSeq(tc.runs) {
			require.True(t, p.needs(part), "%s: %s", tc.swaps, part)
		}
		for part := range strings.FieldsSeq(tc.idle) {
			require.False(t, p.needs(part), "%s: %s", tc.swaps, part)
		}
	}
	for swaps, why := range map[string]string{
		"cassandra":       `there is no swap "cassandra"; there are jetstream`,
		"../swaps/kafka":  "there is no swap",
		"kafka,jetstream": "the swaps kafka and jetstream both replace pubsub.yaml: choose one",
	} {
		_, err := plug("..", swaps)
		require.ErrorContains(t, err, why)
	}
}

// TestSwapSettings: whatever a component names is a setting that make up knows
// how to write.
func TestSwapSettings(t *testing.T) {
	t.Parallel()
	for _, name := range append(swapNames(".."), "") {
		p, err := plug("..", name)
		require.NoError(t, err)
		s := &stack{run: t.TempDir()}
		known := map[string]bool{}
		for _, d := range append(defaults(s), swapSettings(s)...) {
			known[d.key] = true
		}
		for _, key := range p.names {
			require.True(t, known[key], "%s names %s", name, key)
		}
	}
}

func TestLayOut(t *testing.T) {
	t.Parallel()
	s := &stack{run: t.TempDir(), settings: &settings{}}
	var err error
	s.plugged, err = plug("..", "kafka")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(s.componentsDir(), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(s.componentsDir(), "removed.yaml"), []byte("kind: Component"), 0o600))
	require.NoError(t, s.layOut())
	found, err := filepath.Glob(filepath.Join(s.componentsDir(), "*"))
	require.NoError(t, err)
	require.Len(t, found, len(s.plugged.files))
	text, err := os.ReadFile(filepath.Join(s.componentsDir(), "pubsub.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(text), "pubsub.kafka")
}

func TestTopics(t *testing.T) {
	t.Parallel()
	names, err := (&stack{root: ".."}).topics()
	require.NoError(t, err)
	require.Contains(t, names, "order.placed.v1")
	text, err := os.ReadFile(filepath.Join("..", "docs", "events.md"))
	require.NoError(t, err)
	require.Len(t, names, len(regexp.MustCompile(`(?m)^### .*\.v\d+$`).FindAll(text, -1)), "as many as docs/events.md has")
}

func TestLag(t *testing.T) {
	t.Parallel()
	n, err := lag(`
Consumer group 'mail' has no active members.

GROUP           TOPIC            PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID
mail            order.placed.v1  0          10              12              2               -               -               -
mail            order.placed.v1  1          -               3               -               -               -               -
orders          order.placed.v1  1          3               3               0               x               /127.0.0.1      y
`)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	_, err = lag("mail x 0 1 2 many")
	require.Error(t, err)
}
