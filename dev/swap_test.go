package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

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
		{"mail-ses", "pubsub.rabbitmq", "state.redis", "rabbitmq redis", "maildev nats kafka"},
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

// TestLacking: an account's settings are asked for by name, and the shop is
// not started on empty ones.
func TestLacking(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &stack{root: "..", run: dir, settings: &settings{file: filepath.Join(dir, "settings.env")}}
	require.NoError(t, s.settings.put("SWAP", "mail-ses"))
	require.ErrorContains(t, s.plugIn(), "what is plugged in (mail-ses) wants a value for SES_REGION, SES_ACCESS_KEY and SES_SECRET_KEY in "+s.settings.file)
	require.True(t, s.settings.has("SES_SECRET_KEY"), "it is there to be filled in")
	for _, key := range []string{"SES_REGION", "SES_ACCESS_KEY", "SES_SECRET_KEY"} {
		require.NoError(t, s.settings.put(key, "x"))
	}
	require.NoError(t, s.plugIn())
	require.NoError(t, s.settings.put("SES_REGION", ""))
	require.NoError(t, s.settings.put("SWAP", "kafka"))
	require.NoError(t, s.plugIn(), "nothing that is plugged in names it")
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

// TestSecretsFileComesAndGoes: it holds what components take and nothing else, for
// nobody else's eyes, and goes when another store is chosen.
func TestSecretsFileComesAndGoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &stack{root: "..", run: dir, settings: &settings{file: filepath.Join(dir, "settings.env")}}
	for key, value := range map[string]string{"SWAP": "secrets-file", "REDIS_PASSWORD": `a "b" c`, "HASH_KEY": "an app's own"} {
		require.NoError(t, s.settings.put(key, value))
	}
	require.NoError(t, s.plugIn())
	require.NoError(t, s.layOut())
	file := filepath.Join(dir, "secrets.json")
	require.Equal(t, file, s.settings.get("SECRETS_FILE"))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.JSONEq(t, `{"REDIS_PASSWORD": "a \"b\" c"}`, string(text))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, s.settings.put("SWAP", ""))
	for range 2 {
		require.NoError(t, s.plugIn())
		require.NoError(t, s.layOut())
		require.NoFileExists(t, file)
	}

	// Elsewhere it is the user's to remove.
	elsewhere := filepath.Join(t.TempDir(), "mine.json")
	require.NoError(t, s.settings.put("SWAP", "secrets-file"))
	require.NoError(t, s.settings.put("SECRETS_FILE", elsewhere))
	for range 2 {
		require.NoError(t, s.plugIn())
		require.NoError(t, s.layOut())
		require.FileExists(t, elsewhere)
		require.NoError(t, s.settings.put("SWAP", ""))
	}
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

// TestChoose: what SWAP and GATEWAY say stays until they say something else.
func TestChoose(t *testing.T) {
	dir := t.TempDir()
	s := &stack{root: "..", run: dir, settings: &settings{file: filepath.Join(dir, "settings.env")}}
	for _, tc := range []struct{ swap, gateway, wantSwap, wantGateway, before string }{
		{"", "", "", "", ""},
		{"kafka", "127.0.0.1:8010 127.0.0.1:8020", "kafka", "127.0.0.1:8010 127.0.0.1:8020", ""},
		{"-", "", "kafka", "127.0.0.1:8010 127.0.0.1:8020", "kafka"},
		{"default", "default", "", "127.0.0.1:8011", "kafka"},
	} {
		t.Setenv("SWAP", tc.swap)
		if tc.swap == "-" {
			require.NoError(t, os.Unsetenv("SWAP"))
		}
		t.Setenv("GATEWAY", tc.gateway)
		before, err := s.choose()
		require.NoError(t, err)
		require.Equal(t, []string{tc.before, tc.wantSwap, tc.wantGateway}, []string{before, s.settings.get("SWAP"), s.settings.get("GATEWAY")})
	}
	t.Setenv("SWAP", "nothing")
	_, err := s.choose()
	require.ErrorContains(t, err, "there is no swap")
	require.Empty(t, s.settings.get("SWAP"))
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

func TestSwapTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "swaps.md"))
	require.NoError(t, err)
	table := swapTable([]figures{
		{Broker: "pubsub.rabbitmq", State: "state.redis", OrdersASecond: 20, Confirmed: 70 * time.Millisecond, Total: time.Minute},
		{Broker: "pubsub.kafka", State: "state.postgresql", OrdersASecond: 5, RaceAnswered: 1500 * time.Millisecond},
	}, []change{{From: "pubsub.rabbitmq", To: "pubsub.kafka", Took: 12 * time.Second, Longest: 4 * time.Second, Orders: 30}}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	page, err := withTable(string(text), table)
	require.NoError(t, err)
	require.Contains(t, page, "Measured on 2026-01-02")
	require.Contains(t, page, "| rabbitmq | redis | 70 ms | 20.0 | 1.00 |")
	require.Contains(t, page, "| kafka | postgresql | 0 ms | 5.0 | 0.25 | 1.5 s, 0.0 s |")
	require.Contains(t, page, "| rabbitmq | kafka | 12.0 s | 4.0 s | 30 |")
	again, err := withTable(page, table)
	require.NoError(t, err)
	require.Equal(t, page, again)
	_, err = withTable("no marks", table)
	require.Error(t, err)
}
