//go:build scaffold

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestService makes a service in a copy of the tree, and holds it to its own
// tests and to the house's. That builds every service once more, so make test
// alone does it, with the tag scaffold.
func TestService(t *testing.T) {
	t.Parallel()
	root := copyOfTree(t)
	require.NoError(t, run(t.Context(), root, false, []string{"service", "returns"}))
	require.NoError(t, run(t.Context(), root, true, nil), "what was just generated is not stale")
	require.ErrorContains(t, run(t.Context(), root, false, []string{"service", "returns"}), "is there already")

	for _, args := range [][]string{
		{"vet", "./apps/returns"},
		{"test", "./apps/returns"},
		{"test", ".", "-skip", "TestGenerated|Pool"}, // stale nothing is; pools are looked for in every package
	} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "go %s: %s", strings.Join(args, " "), out)
	}
	for file, want := range map[string]string{
		"dapr/dapr.yaml":                                "appID: returns\n",
		"dapr/config/returns.yaml":                      "/api/v1/returns/**",
		"dapr/resiliency.yaml":                          "      returns:\n",
		"components/pubsub.yaml":                        ", returns] # generated",
		"components/secrets.yaml":                       ", returns] # generated",
		"deploy/nginx/routes.conf":                      "$app returns;",
		"deploy/kong/kong.yml":                          `app = "returns"`,
		"docker-compose.yml":                            "RETURNS_DATABASE_URL",
		"docs/erd.md":                                   "\n## returns\n",
		"docs/openapi.json":                             `"/api/v1/returns"`,
		"docs/architecture.md":                          "[returns]",
		"apps/returns/openapi.json":                     `"/api/v1/returns"`,
		"apps/admin/services.go":                        `"returns"`,
		"components/swaps/secrets-kubernetes/README.md": "| returns | `RABBITMQ_URL=",
	} {
		text, err := os.ReadFile(filepath.Join(root, file))
		require.NoError(t, err)
		require.Contains(t, string(text), want, file)
	}
}

// copyOfTree copies what git knows of, or would, but pictures.
func copyOfTree(t *testing.T) string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard")
	list.Dir = "../.."
	out, err := list.Output()
	require.NoError(t, err)
	root := t.TempDir()
	for name := range strings.Lines(string(out)) {
		name = strings.TrimSpace(name)
		switch filepath.Ext(name) {
		case ".jpg", ".svg":
			if !strings.HasPrefix(name, "apps/") { // those are embedded
				continue
			}
		}
		text, err := os.ReadFile(filepath.Join("../..", name))
		if os.IsNotExist(err) {
			continue // removed and not yet committed
		}
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), text, 0o644))
	}
	return root
}
