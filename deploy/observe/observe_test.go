package observe

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// usual are the settings of the rules that rules_test.yml is about; TestUsual holds them to those that make up writes.
var usual = map[string]string{
	"WATCH_EVERY": "15s", "ALERT_AFTER": "2m", "ALERT_WINDOW": "5m", "ALERT_WINDOW_LONG": "1h", "ALERT_ORDER_SECONDS": "300",
	"ALERT_LAG_SECONDS": "60", "ALERT_DROP_SECONDS": "30", "ALERT_REFUSED": "0.3", "ALERT_ERRORS": "0.01", "ALERT_DISK_FREE": "0.1",
	"ALERT_CERTIFICATE_DAYS": "7", "ALERT_MAIL": "ops@stampede.test", "SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1025",
	"ALERTMANAGER": "127.0.0.1:9093",
}

var variable = regexp.MustCompile(`\$\{([A-Z][A-Z0-9_]*)\}`)

// rendered is the folder of what a template becomes, and of rules_test.yml beside it.
func rendered(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	templates, err := filepath.Glob("*/*.template")
	require.NoError(t, err)
	require.Len(t, templates, 3)
	for _, file := range append(templates, "rules_test.yml") {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		filled := variable.ReplaceAllStringFunc(string(text), func(name string) string {
			value, ok := usual[name[2:len(name)-1]]
			require.True(t, ok, "%s: no value for %s", file, name)
			return value
		})
		to := filepath.Join(dir, strings.TrimSuffix(filepath.Base(file), ".template"))
		require.NoError(t, os.WriteFile(to, []byte(filled), 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "targets.json"), []byte("[]"), 0o644))
	return dir
}

// TestRules has promtool say whether the configuration is right and whether each alert fires when it should.
func TestRules(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("promtool")
	require.NoError(t, err, "promtool is needed here: make check installs Debian's prometheus")
	dir := rendered(t)
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"test", "rules", "rules_test.yml"}} {
		promtool := exec.CommandContext(t.Context(), "promtool", args...)
		promtool.Dir = dir
		out, err := promtool.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// TestUsual: rules_test.yml is about the values that make up writes.
func TestUsual(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../dev/stack/settings.go")
	require.NoError(t, err)
	for name, value := range usual {
		if strings.HasPrefix(name, "ALERT_") || strings.HasPrefix(name, "WATCH_") {
			require.Contains(t, string(text), `{"`+name+`", "`+value+`", infra}`)
		}
	}
}

// TestRunbooks: each alert has a test of when it fires and a heading in docs/operations.md that says what to do.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	dir := rendered(t)
	read := func(file string, into any) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(text, into), file)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	read(filepath.Join(dir, "rules.yml"), &rules)
	var tests struct {
		Tests []struct {
			Rules []struct {
				Alert string `yaml:"alertname"`
				Fires []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	read(filepath.Join(dir, "rules_test.yml"), &tests)
	tested := map[string]map[bool]bool{}
	for _, one := range tests.Tests {
		for _, r := range one.Rules {
			if tested[r.Alert] == nil {
				tested[r.Alert] = map[bool]bool{}
			}
			tested[r.Alert][len(r.Fires) > 0] = true
		}
	}
	operations, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	require.NotEmpty(t, rules.Groups)
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			require.Contains(t, string(operations), "\n### "+r.Alert+"\n")
			require.Contains(t, []string{"page", "ticket"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
			require.Equal(t, map[bool]bool{true: true, false: true}, tested[r.Alert], "%s: when it fires, and when not", r.Alert)
		}
	}
}
