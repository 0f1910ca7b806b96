package stack

import (
	"os"
	"path/filepath"
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
		{"mail-ses", "pubsub.rabbitmq", "state.redis", "rabbitmq redis", "maildev nats kafka"},
		{"media-s3", "pubsub.rabbitmq", "state.redis", "s3 rabbitmq redis nginx", "nats kafka"},
		{"redis-streams,state-postgres", "pubsub.redis", "state.postgresql", "redis", "rabbitmq nats kafka"},
	} {
		p, err := Plug("../..", tc.swaps)
		require.NoError(t, err, tc.swaps)
		require.Equal(t, tc.broker, p.Broker())
		require.Equal(t, tc.state, p.types["state"])
		for part := range strings.FieldsSeq(tc.runs) {
			require.True(t, p.Needs(part), "%s: %s", tc.swaps, part)
		}
		for part := range strings.FieldsSeq(tc.idle) {
			require.False(t, p.Needs(part), "%s: %s", tc.swaps, part)
		}
	}
	for swaps, why := range map[string]string{
		"cassandra":       `there is no swap "cassandra"; there are jetstream`,
		"../swaps/kafka":  "there is no swap",
		"kafka,jetstream": "the swaps kafka and jetstream both replace pubsub.yaml: choose one",
	} {
		_, err := Plug("../..", swaps)
		require.ErrorContains(t, err, why)
	}
}

// TestSwapSettings: whatever a component names is a setting that make up knows
// how to write.
func TestSwapSettings(t *testing.T) {
	t.Parallel()
	for _, name := range append(swapNames("../.."), "") {
		p, err := Plug("../..", name)
		require.NoError(t, err)
		s := &Stack{Run: t.TempDir()}
		known := map[string]bool{}
		for _, d := range append(defaults(s, nil), swapSettings(s)...) {
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
	s := &Stack{Root: "../..", Run: dir, Settings: &Settings{File: filepath.Join(dir, "settings.env")}}
	require.NoError(t, s.Settings.Put("SWAP", "mail-ses"))
	require.ErrorContains(t, s.PlugIn(), "what is plugged in (mail-ses) wants a value for SES_REGION, SES_ACCESS_KEY and SES_SECRET_KEY in "+s.Settings.File)
	require.True(t, s.Settings.Has("SES_SECRET_KEY"), "it is there to be filled in")
	for _, key := range []string{"SES_REGION", "SES_ACCESS_KEY", "SES_SECRET_KEY"} {
		require.NoError(t, s.Settings.Put(key, "x"))
	}
	require.NoError(t, s.PlugIn())
	require.NoError(t, s.Settings.Put("SES_REGION", ""))
	require.NoError(t, s.Settings.Put("SWAP", "kafka"))
	require.NoError(t, s.PlugIn(), "nothing that is plugged in names it")
}

func TestLayOut(t *testing.T) {
	t.Parallel()
	s := &Stack{Run: t.TempDir(), Settings: &Settings{}}
	var err error
	s.Plugged, err = Plug("../..", "kafka")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(s.componentsDir(), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(s.componentsDir(), "removed.yaml"), []byte("kind: Component"), 0o600))
	require.NoError(t, s.LayOut())
	found, err := filepath.Glob(filepath.Join(s.componentsDir(), "*"))
	require.NoError(t, err)
	require.Len(t, found, len(s.Plugged.files))
	text, err := os.ReadFile(filepath.Join(s.componentsDir(), "pubsub.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(text), "pubsub.kafka")
}

// TestSecretsFileComesAndGoes: it holds what components take and nothing else, for
// nobody else's eyes, and goes when another store is chosen.
func TestSecretsFileComesAndGoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &Stack{Root: "../..", Run: dir, Settings: &Settings{File: filepath.Join(dir, "settings.env")}}
	for key, value := range map[string]string{"SWAP": "secrets-file", "REDIS_PASSWORD": `a "b" c`, "HASH_KEY": "an app's own"} {
		require.NoError(t, s.Settings.Put(key, value))
	}
	require.NoError(t, s.PlugIn())
	require.NoError(t, s.LayOut())
	file := filepath.Join(dir, "secrets.json")
	require.Equal(t, file, s.Settings.Get("SECRETS_FILE"))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.JSONEq(t, `{"REDIS_PASSWORD": "a \"b\" c"}`, string(text))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, s.Settings.Put("SWAP", ""))
	for range 2 {
		require.NoError(t, s.PlugIn())
		require.NoError(t, s.LayOut())
		require.NoFileExists(t, file)
	}

	// Elsewhere it is the user's to remove.
	elsewhere := filepath.Join(t.TempDir(), "mine.json")
	require.NoError(t, s.Settings.Put("SWAP", "secrets-file"))
	require.NoError(t, s.Settings.Put("SECRETS_FILE", elsewhere))
	for range 2 {
		require.NoError(t, s.PlugIn())
		require.NoError(t, s.LayOut())
		require.FileExists(t, elsewhere)
		require.NoError(t, s.Settings.Put("SWAP", ""))
	}
}

// TestChoose: what SWAP and GATEWAY say stays until they say something else.
func TestChoose(t *testing.T) {
	dir := t.TempDir()
	s := &Stack{Root: "../..", Run: dir, Settings: &Settings{File: filepath.Join(dir, "settings.env")}}
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
		before, err := s.Choose()
		require.NoError(t, err)
		require.Equal(t, []string{tc.before, tc.wantSwap, tc.wantGateway}, []string{before, s.Settings.Get("SWAP"), s.Settings.Get("GATEWAY")})
	}
	t.Setenv("SWAP", "nothing")
	_, err := s.Choose()
	require.ErrorContains(t, err, "there is no swap")
	require.Empty(t, s.Settings.Get("SWAP"))
}
