package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMajor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"go version go1.26.1 linux/amd64": 26,
		"go version go1.19 linux/amd64":   19,
		`openjdk version "17.0.15" 2025`:  17,
		`java version "1.8.0_392"`:        8,
		"v20.20.2":                        20,
		"9.2.0":                           9,
		"git version 2.39.5":              2,
		"no number":                       0,
	} {
		require.Equal(t, want, major(text), text)
	}
}

// TestHoldServices: what was there comes back, whatever happened before.
func TestHoldServices(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		before string // "" = no file
		killed bool   // an earlier run left its files behind
	}{
		{name: "nothing there"},
		{name: "a policy of the machine's", before: "#!/bin/sh\nexit 0\n"},
		{name: "nothing there, after a killed run", killed: true},
		{name: "a policy, after a killed run", before: "#!/bin/sh\nexit 0\n", killed: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			policy, cluster := filepath.Join(dir, "policy-rc.d"), filepath.Join(dir, "conf.d", "stampede.conf")
			if tc.before != "" {
				require.NoError(t, os.WriteFile(policy, []byte(tc.before), 0o755))
			}
			if tc.killed {
				_, err := holdServices(policy, cluster)
				require.NoError(t, err)
			}
			restore, err := holdServices(policy, cluster)
			require.NoError(t, err)
			text, err := os.ReadFile(policy)
			require.NoError(t, err)
			require.Contains(t, string(text), "exit 101")
			text, err = os.ReadFile(cluster)
			require.NoError(t, err)
			require.Contains(t, string(text), "create_main_cluster = false")

			restore()
			require.NoFileExists(t, cluster)
			text, err = os.ReadFile(policy)
			if tc.before == "" {
				require.ErrorIs(t, err, os.ErrNotExist)
			} else {
				require.NoError(t, err)
				require.Equal(t, tc.before, string(text))
			}
			left, err := filepath.Glob(filepath.Join(dir, "*saved*"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestAptError(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ lines, want string }{
		{"Reading package lists...\nE: Unable to locate package nginxx", "cannot be had: Unable to locate package nginxx"},
		{"The following packages will be REMOVED:\n  luajit\nE: Packages need to be removed but remove is disabled.", "apt-get would remove packages of this machine (listed below); install it by hand if that is fine"},
		{"E: You don't have enough free space in /var/cache/apt/archives/.", "the disk is full: You don't have enough free space in /var/cache/apt/archives/."},
		{"Setting up nginx", ""},
	} {
		require.Equal(t, tc.want, aptError(strings.Split(tc.lines, "\n")))
	}
}
