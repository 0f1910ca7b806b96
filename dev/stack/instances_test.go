package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// scalable is a stack of orders, which keeps records, and an edge.
func scalable(t *testing.T) *Stack {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"dapr/dapr.yaml": someRunFile, "apps/orders/migrations/1.sql": "", "deploy/postgres/postgresql.conf": "port = 1\nmax_connections = 70\n",
	} {
		require.NoError(t, WriteFile(filepath.Join(root, name), text, 0o600))
	}
	return &Stack{Root: root, Run: filepath.Join(root, ".run"), Offset: 1000, Settings: &Settings{File: filepath.Join(root, "settings.env")}, Plugged: &Plugged{}}
}

func (s *Stack) names(t *testing.T) string {
	t.Helper()
	apps, err := s.LoadApps()
	require.NoError(t, err)
	var names []string
	for _, a := range apps {
		names = append(names, a.Name())
	}
	return strings.Join(names, " ")
}

func TestInstances(t *testing.T) {
	t.Parallel()
	s := scalable(t)
	require.Equal(t, "orders edge-auth", s.names(t))
	for _, tc := range []struct{ setting, names, err string }{
		{setting: "2", names: "orders orders-2 edge-auth edge-auth-2"},
		{setting: "orders=3", names: "orders orders-2 orders-3 edge-auth"},
		{setting: "2 edge-auth=1", names: "orders orders-2 edge-auth"},
		{setting: "nobody=2", err: `INSTANCES: no app is called "nobody"`},
		{setting: "5", err: `INSTANCES: instances are a number from 1 to 4, not "5"`},
		{setting: "orders=0", err: `INSTANCES: instances are a number from 1 to 4, not "0"`},
	} {
		require.NoError(t, s.Settings.Put("INSTANCES", tc.setting))
		if tc.err != "" {
			_, err := s.LoadApps()
			require.EqualError(t, err, tc.err)
			continue
		}
		require.Equal(t, tc.names, s.names(t), tc.setting)
	}
}

func TestSetInstances(t *testing.T) {
	t.Parallel()
	s := scalable(t)
	for _, tc := range []struct {
		app  string
		n    int
		want string
	}{
		{"orders", 2, "orders=2"},
		{"edge-auth", 3, "edge-auth=3 orders=2"},
		{"orders", 1, "edge-auth=3"},
	} {
		require.NoError(t, s.SetInstances(tc.app, tc.n))
		require.Equal(t, tc.want, s.Settings.Get("INSTANCES"))
	}
	require.NoError(t, s.Settings.Put("INSTANCES", "2"))
	require.NoError(t, s.SetInstances("orders", 1))
	require.Equal(t, "2 orders=1", s.Settings.Get("INSTANCES"))
	require.NoError(t, s.SetInstances("orders", 2))
	require.Equal(t, "2", s.Settings.Get("INSTANCES"))
}

// TestFurtherInstance: another instance is the same app to everybody, with a
// name, ports and a log of its own.
func TestFurtherInstance(t *testing.T) {
	t.Parallel()
	s := scalable(t)
	require.NoError(t, s.Settings.Put("INSTANCES", "2"))
	apps, err := s.LoadApps()
	require.NoError(t, err)
	for _, a := range apps {
		require.NoError(t, WriteFile(a.ConfigFile, "kind: Configuration\n", 0o600))
	}
	processes, err := s.Processes(apps[1], apps)
	require.NoError(t, err)
	require.Equal(t, "orders-2-daprd", processes[0].Name)
	require.Contains(t, strings.Join(processes[0].Args, " "), "--app-id orders --app-port 27700 ")
	require.Equal(t, "orders-2", processes[1].Name)
	require.Subset(t, processes[1].Env, []string{"APP_ID=orders", "APP_PORT=27700", "DAPR_HTTP_PORT=27701", "DAPR_GRPC_PORT=27702"})
	require.Equal(t, "http://127.0.0.1:27700/readyz", processes[1].Health)

	processes, err = s.Processes(apps[3], apps)
	require.NoError(t, err)
	require.Len(t, processes, 1)
	require.Equal(t, "edge-auth-2", processes[0].Name)
	require.Equal(t, "http://127.0.0.1:27723/v1.0/healthz", processes[0].Health)
}

func TestSurplus(t *testing.T) {
	t.Parallel()
	s := scalable(t)
	require.NoError(t, s.Settings.Put("INSTANCES", "orders=3"))
	apps, err := s.LoadApps()
	require.NoError(t, err)
	var names []string
	for _, a := range s.Surplus(apps) {
		names = append(names, a.Name())
	}
	require.Equal(t, []string{"orders-4", "edge-auth-2", "edge-auth-3", "edge-auth-4"}, names)
}

// TestCheckConnections: of 70 connections 35 are for others, and an instance of
// orders may take 14.
func TestCheckConnections(t *testing.T) {
	t.Parallel()
	s := scalable(t)
	check := func() error {
		apps, err := s.LoadApps()
		require.NoError(t, err)
		return s.CheckConnections(apps)
	}
	require.NoError(t, s.Settings.Put("INSTANCES", "2"))
	require.NoError(t, check())
	require.NoError(t, s.Settings.Put("INSTANCES", "3"))
	err := check()
	require.EqualError(t, err, "so many instances may want 77 connections to PostgreSQL, which gives 70 (max_connections in deploy/postgres/postgresql.conf)")
	require.Contains(t, err.(interface{ Detail() []string }).Detail(), "3 × 14 of orders")
	require.NoError(t, s.Settings.Put("ORDERS_DATABASE_CONNECTIONS", "9"))
	require.NoError(t, check())
	s.Plugged = &Plugged{types: map[string]string{"state": "state.postgresql"}, scope: map[string][]string{"state": {"orders"}}}
	require.ErrorContains(t, check(), "may want 98 connections")
	require.NoError(t, os.Remove(filepath.Join(s.Root, "deploy", "postgres", "postgresql.conf")))
	require.Error(t, check())
}

// TestPoolConnections: what is counted is what kit/pg opens.
func TestPoolConnections(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../kit/serve/settings.go")
	require.NoError(t, err)
	require.Contains(t, string(text), "`env:\"DATABASE_CONNECTIONS\" envDefault:\"12\"")
	require.Equal(t, 12, poolConnections)
}
