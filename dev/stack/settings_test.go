package stack

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dapr/runfile"
)

func TestParseSettings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text, value, err string
	}{
		{name: "bare", text: "A=b", value: "b"},
		{name: "export", text: "export A=b\n", value: "b"},
		{name: "empty", text: "A=\n", value: ""},
		{name: "single quotes keep everything", text: `A='a "b" $c \d'`, value: `a "b" $c \d`},
		{name: "a quote in quotes", text: `A='it'\''s'`, value: "it's"},
		{name: "several lines", text: "A='one\ntwo'\n", value: "one\ntwo"},
		{name: "double quotes", text: `A="a \"b\" \$c 'd'"`, value: `a "b" $c 'd'`},
		{name: "pieces", text: `A=a'b c'"d"`, value: "ab cd"},
		{name: "comment after the value", text: "A=b # why", value: "b"},
		{name: "an equals sign in the value", text: "A=b=c", value: "b=c"},
		{name: "comments and blank lines before", text: "# one\n\nA=b", value: "b"},
		{name: "Windows line end", text: "A=b\r\n", value: "b"},
		{name: "a value with blanks", text: "A=b c", err: "line 1, A: a value with spaces needs quotes"},
		{name: "no value", text: "# one\nnonsense\n", err: "line 2 is not KEY=value"},
		{name: "an open quote", text: "B=b\nA='x\ny", err: "line 2, A: the quote does not end"},
		{name: "line numbers count lines in quotes", text: "B='b\nb'\n!\n", err: "line 3 is not KEY=value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			lines, err := parseSettings(tc.text)
			if tc.err != "" {
				require.EqualError(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.value, (&Settings{lines: lines}).Get("A"))
		})
	}
}

// TestSettingsFile: what is written can be read again, by us and by a shell,
// and what the user wrote stays as it was.
func TestSettingsFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "settings.env")
	before := "# mine\nexport HOLD_TTL='20s'\n\nEXTRA=\"x y\"\n"
	lines, err := parseSettings(before)
	require.NoError(t, err)
	set := &Settings{File: file, lines: lines}
	require.True(t, set.merge([]setting{{"HOLD_TTL", "15m", everyApp}, {"NEW", "it's\ntwo lines", everyApp}}, func(string) string { return "" }))
	require.NoError(t, set.save())

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "# mine\nexport HOLD_TTL='20s'\n\n"), string(text))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	lines, err = parseSettings(string(text))
	require.NoError(t, err)
	again := &Settings{File: file, lines: lines}
	require.Equal(t, "it's\ntwo lines", again.Get("NEW"))
	require.False(t, again.merge([]setting{{"NEW", "other", everyApp}}, func(string) string { return "other" }), "nothing is missing")

	out, err := exec.Command("sh", "-c", `set -a; . "$0"; printf '%s|%s|%s' "$HOLD_TTL" "$EXTRA" "$NEW"`, file).Output()
	require.NoError(t, err)
	require.Equal(t, "20s|x y|it's\ntwo lines", string(out))
}

var someServices = []App{{App: runfile.App{ID: "orders"}}, {App: runfile.App{ID: "gift-cards"}}}

func TestMergeTakesChoicesFromEnvironment(t *testing.T) {
	t.Parallel()
	env := map[string]string{"HOLD_TTL": "3s", "OPS_PASSWORD": "guessed"}
	set := &Settings{}
	set.merge(defaults(&Stack{}, someServices), func(key string) string { return env[key] })
	require.Equal(t, "3s", set.Get("HOLD_TTL"))
	require.NotEqual(t, "guessed", set.Get("OPS_PASSWORD"), "no secrets from there")
}

func TestDefaultsShift(t *testing.T) {
	t.Parallel()
	set := &Settings{}
	set.merge(defaults(&Stack{Offset: 1000, Data: "/var/lib/x"}, someServices), func(string) string { return "" })
	for key, want := range map[string]string{
		"PORT_OFFSET":        "1000",
		"PUBLIC_URL":         "http://localhost:9000",
		"ISSUER":             "http://localhost:9000/realms/stampede",
		"JWKS_URL":           "http://127.0.0.1:9012/jwks",
		"REDIS_HOST":         "127.0.0.1:17379",
		"SMTP_PORT":          "2025",
		"SENTRY_ADDRESS":     "127.0.0.1:51001",
		"MEDIA_DIR":          "/var/lib/x/media",
		"NAME_RESOLUTION_DB": "/var/lib/x/names.db",
	} {
		require.Equal(t, want, set.Get(key), key)
	}
	require.Regexp(t, `^postgres://orders:[0-9a-f]{40}@127\.0\.0\.1:16432/orders$`, set.Get("ORDERS_DATABASE_URL"))
	require.Regexp(t, `^postgres://gift-cards:[0-9a-f]{40}@127\.0\.0\.1:16432/gift-cards$`, set.Get("GIFT_CARDS_DATABASE_URL"))
	require.Regexp(t, `^amqp://stampede:[0-9a-f]{40}@127\.0\.0\.1:6673$`, set.Get("RABBITMQ_URL"))
}

// TestDefaultsThroughProxies: what services reach, they reach through the
// proxies of make chaos; the superuser, who looks at what came of it, does not.
func TestDefaultsThroughProxies(t *testing.T) {
	t.Parallel()
	set := &Settings{}
	set.merge(defaults(&Stack{Offset: 2000, Proxied: true}, someServices), func(string) string { return "" })
	require.Regexp(t, `@127\.0\.0\.1:10475/orders$`, set.Get("ORDERS_DATABASE_URL"))
	require.Regexp(t, `@127\.0\.0\.1:10475/keycloak$`, set.Get("KEYCLOAK_DATABASE_URL"))
	require.Regexp(t, `@127\.0\.0\.1:10477$`, set.Get("RABBITMQ_URL"))
	require.Equal(t, "127.0.0.1:10476", set.Get("REDIS_HOST"))
	require.Equal(t, "10478", set.Get("SMTP_PORT"))
	require.Regexp(t, `@127\.0\.0\.1:17432/postgres$`, set.Get("POSTGRES_SUPERUSER_URL"))
}

// TestWaits: a stack for tests is told its short waits, each by the app that
// knows it, and a file that was written with proxies keeps them.
func TestWaits(t *testing.T) {
	s := &Stack{Root: "../..", Run: t.TempDir(), Proxied: true}
	for _, w := range waits { // make test, which this runs in, gives them all
		t.Setenv(w.key, "")
	}
	t.Setenv("ORDER_DEADLINE", "45s")
	set, err := loadSettings(s)
	require.NoError(t, err)
	require.Equal(t, "45s", set.Get("ORDER_DEADLINE"))
	require.False(t, set.Has("HOLD_RETRY"), "nobody gave it")
	require.True(t, appSettings("orders", nil)("ORDER_DEADLINE"))
	require.False(t, appSettings("mail", nil)("ORDER_DEADLINE"))

	again := &Stack{Root: s.Root, Run: s.Run}
	_, err = loadSettings(again)
	require.NoError(t, err)
	require.True(t, again.Proxied)
}

// TestBenchStack: only a stack that began as the bench's trusts the bench's key.
// A variable that is left over in a shell changes nothing about a shop that is
// there, and no app is told of it.
func TestBenchStack(t *testing.T) {
	t.Parallel()
	begun := func(bench bool) *Stack { return &Stack{Root: "../..", Run: t.TempDir(), Bench: bench} }
	for _, tc := range []struct{ began, asked bool }{{false, true}, {true, false}} {
		s := begun(tc.began)
		first, err := loadSettings(s)
		require.NoError(t, err)
		require.Equal(t, tc.began, first.Get("JWKS_URL") == "http://127.0.0.1:8013/jwks")
		again := &Stack{Root: s.Root, Run: s.Run, Bench: tc.asked}
		second, err := loadSettings(again)
		require.NoError(t, err)
		require.Equal(t, tc.began, again.Bench)
		require.Equal(t, tc.began, again.Needs("keys"))
		require.Equal(t, first.Get("JWKS_URL"), second.Get("JWKS_URL"))
	}
	require.False(t, appSettings("orders", nil)("BENCH"))
}

// TestServices: which services have a database follows from the run file and
// the folders.
func TestServices(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "dapr"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "apps", "orders", "migrations"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "dapr", "dapr.yaml"), []byte(someRunFile), 0o600))
	services, err := (&Stack{Root: root}).Services()
	require.NoError(t, err)
	require.Len(t, services, 1)
	require.Equal(t, "ORDERS_DATABASE_URL", services[0].DatabaseSetting())

	services, err = (&Stack{Root: "../.."}).Services()
	require.NoError(t, err)
	found, err := filepath.Glob("../../apps/*/migrations")
	require.NoError(t, err)
	require.Len(t, services, len(found), "every folder with migrations is in dapr.yaml")
}

func TestAppSettings(t *testing.T) {
	t.Parallel()
	var apps []App
	for _, id := range []string{"orders", "payments", "auth", "edge-auth"} {
		apps = append(apps, App{App: runfile.App{ID: id}})
	}
	for _, tc := range []struct {
		key  string
		apps string
	}{
		{"PUBLIC_URL", "orders payments auth"},
		{"APP_API_TOKEN", "orders payments auth"},
		{"ORDERS_DATABASE_URL", "orders"},
		{"AUTH_CLIENT_SECRET", "auth"},
		{"OPS_PASSWORD", "auth"},
		{"PAYMENTS_WEBHOOK_SECRET", "payments"},
		{"DROPS_KEY", ""}, // drops', which is not among these
		{"DROPS_HEAD_KEY", ""},
		{"PAYMENTS_PROVIDER", "payments"}, // added by the user
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "orders payments auth"},
		{"POSTGRES_SUPERUSER_URL", ""},
		{"KEYCLOAK_ADMIN_PASSWORD", ""},
		{"REDIS_PASSWORD", ""},
		{"RABBITMQ_URL", ""},
		{"S3_SECRET_KEY", ""},
		{"ADMIN_CLIENT_SECRET", ""},
		{"DAPR_TRUST_ANCHORS", ""},
	} {
		var got []string
		for _, a := range apps[:3] {
			if appSettings(a.ID, apps)(tc.key) {
				got = append(got, a.ID)
			}
		}
		require.Equal(t, tc.apps, strings.Join(got, " "), tc.key)
	}
}
