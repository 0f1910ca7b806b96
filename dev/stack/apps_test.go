package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dapr/runfile"
)

const someRunFile = `version: 1
common:
  resourcesPaths: [../components, .]
  readBufferSize: 64Ki
  logLevel: warn
  env: {BOTH: "1", PORT: "8080"}
apps:
  - appID: orders
    appDirPath: ..
    appPort: 7106
    daprHTTPPort: 3506
    daprGRPCPort: 5606
    daprInternalGRPCPort: 11706
    metricsPort: 13806
    configFilePath: dapr/config/orders.yaml
    command: [./.run/bin/orders, --verbose]
    unknownKey: kept
    env: {OWN: "2"}
  - appID: edge-auth
    appDirPath: ..
    daprHTTPPort: 3512
    daprGRPCPort: 5612
    daprInternalGRPCPort: 11712
    metricsPort: 13812
    configFilePath: dapr/config/edge-auth.yaml
    maxBodySize: 64Mi
    appHealthProbeInterval: 5
`

func TestShiftPorts(t *testing.T) {
	t.Parallel()
	text, err := shiftPorts([]byte(someRunFile), "/clone/dapr", 1000, "/clone/.run-1000")
	require.NoError(t, err)
	require.Contains(t, string(text), "unknownKey: kept")

	apps, err := parseRunFile(text)
	require.NoError(t, err)
	require.Len(t, apps, 2)
	orders, edge := apps[0], apps[1]
	require.Equal(t, []int{8106, 4506, 6606, 12706, 14806}, []int{orders.Port, orders.HTTPPort, orders.GRPCPort, orders.InternalPort, orders.MetricsPort})
	require.Equal(t, []string{"/clone/.run-1000/bin/orders", "--verbose"}, orders.Command)
	require.Equal(t, []string{"/clone/.run-1000/components", "/clone/dapr"}, orders.ResourcesPaths)
	require.Equal(t, "/clone/dapr/config/orders.yaml", orders.ConfigFile)
	require.Equal(t, map[string]string{"BOTH": "1", "PORT": "8080", "OWN": "2"}, orders.Env)
	require.False(t, orders.Edge())
	require.True(t, edge.Edge())
	require.Equal(t, 5, edge.AppHealthEvery, "only ports are shifted")
}

func TestFlags(t *testing.T) {
	t.Parallel()
	text, err := shiftPorts([]byte(someRunFile), "/clone/dapr", 0, "/clone/.run")
	require.NoError(t, err)
	apps, err := parseRunFile(text)
	require.NoError(t, err)
	for _, tc := range []struct {
		app  App
		want string
	}{
		{apps[0], `--app-id orders --app-port 7106 --app-protocol http --dapr-http-port 3506 --dapr-grpc-port 5606
			--dapr-listen-addresses 127.0.0.1 --dapr-internal-grpc-listen-address 127.0.0.1
			--metrics-port 13806 --metrics-listen-address 127.0.0.1 --config /clone/dapr/config/orders.yaml
			--resources-path /clone/.run/components --resources-path /clone/dapr --enable-mtls --sentry-address 127.0.0.1:50001
			--max-body-size 4Mi --read-buffer-size 64Ki --log-level warn`},
		{apps[1], `--app-id edge-auth --dapr-http-port 3512 --dapr-grpc-port 5612
			--dapr-listen-addresses 127.0.0.1 --dapr-internal-grpc-port 11712 --dapr-internal-grpc-listen-address 127.0.0.1
			--metrics-port 13812 --metrics-listen-address 127.0.0.1 --dapr-public-port 3912 --dapr-public-listen-address 127.0.0.1
			--config /clone/dapr/config/edge-auth.yaml
			--resources-path /clone/.run/components --resources-path /clone/dapr --enable-mtls --sentry-address 127.0.0.1:50001
			--max-body-size 64Mi --read-buffer-size 64Ki --log-level warn`},
	} {
		require.Equal(t, strings.Fields(tc.want), tc.app.flags("127.0.0.1:50001"), tc.app.ID)
	}
}

func TestRunFileRefusesHalfAnApp(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no id":                  "apps: [{daprHTTPPort: 1, daprGRPCPort: 2, daprInternalGRPCPort: 3, metricsPort: 4}]",
		"no port":                "apps: [{appID: a, daprHTTPPort: 1, daprGRPCPort: 2, metricsPort: 4}]",
		"a command without port": "apps: [{appID: a, command: [x], daprHTTPPort: 1, daprGRPCPort: 2, daprInternalGRPCPort: 3, metricsPort: 4}]",
	} {
		_, err := parseRunFile([]byte(text))
		require.ErrorContains(t, err, "lacks an id or a port", name)
	}
}

func TestSidecarSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("config.yaml", "kind: Configuration\nspec: {nameResolution: {configuration: {connectionString: \"${NAME_RESOLUTION_DB}\"}}}\n")
	write("pubsub.yaml", "kind: Component\nspec: {metadata: [{name: url, secretKeyRef: {name: RABBITMQ_URL, key: RABBITMQ_URL}}]}\nscopes: [orders]\n")
	write("mail.yaml", "kind: Component\nspec: {metadata: [{name: host, secretKeyRef: {name: SMTP_HOST, key: SMTP_HOST}}]}\nscopes: [mail]\n")
	write("run.yaml", "apps: []\n")
	a := App{App: runfile.App{
		ID: "orders", Sidecar: runfile.Sidecar{ConfigFile: filepath.Join(dir, "config.yaml"), ResourcesPaths: []string{dir}},
	}}

	s := &Stack{Settings: &Settings{}, Plugged: &Plugged{types: map[string]string{"secrets": "secretstores.local.env"}}}
	named, stamp, err := s.sidecarSettings(a)
	require.NoError(t, err)
	require.True(t, named["RABBITMQ_URL"])
	require.True(t, named["NAME_RESOLUTION_DB"])
	require.True(t, named["DAPR_TRUST_ANCHORS"])
	require.False(t, named["SMTP_HOST"], "another app's component")

	write("mail.yaml", "kind: Component\nspec: {metadata: []}\nscopes: [mail]\n")
	_, same, err := s.sidecarSettings(a)
	require.NoError(t, err)
	require.Equal(t, stamp, same, "another app's component changed")
	write("pubsub.yaml", "kind: Component\nspec: {metadata: [{name: url, value: x}]}\nscopes: [orders]\n")
	_, other, err := s.sidecarSettings(a)
	require.NoError(t, err)
	require.NotEqual(t, stamp, other)
}

// TestSecretsFile: with secrets in a file the sidecar's environment has none of
// them, and one that changes starts it again all the same.
func TestSecretsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("kind: Configuration\n"), 0o600))
	p, err := Plug("../..", "secrets-file")
	require.NoError(t, err)
	s := &Stack{Run: dir, Plugged: p, Settings: &Settings{lines: []settingLine{{key: "RABBITMQ_URL", value: "amqp://a"}, {key: "SECRETS_FILE", value: filepath.Join(dir, "secrets.json")}}}}
	require.NoError(t, s.LayOut())
	text, err := os.ReadFile(filepath.Join(dir, "secrets.json"))
	require.NoError(t, err)
	require.JSONEq(t, `{"RABBITMQ_URL": "amqp://a"}`, string(text))

	a := App{App: runfile.App{
		ID: "orders", Sidecar: runfile.Sidecar{ConfigFile: filepath.Join(dir, "config.yaml"), ResourcesPaths: []string{s.componentsDir()}},
	}}
	named, stamp, err := s.sidecarSettings(a)
	require.NoError(t, err)
	require.False(t, named["RABBITMQ_URL"])
	require.True(t, named["SECRETS_FILE"])
	s.Settings.lines[0].value = "amqp://b"
	_, other, err := s.sidecarSettings(a)
	require.NoError(t, err)
	require.NotEqual(t, stamp, other)
}
