package infra

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dapr/runfile"
	"github.com/stampede-shop/stampede/dev/stack"
)

// TestTargets: each instance is one, called as its process, its sidecar another; a server is one where it runs.
func TestTargets(t *testing.T) {
	t.Parallel()
	orders := runfile.App{ID: "orders", Port: 8106, Command: []string{"orders"}, MetricsPort: 14806}
	edge := runfile.App{ID: "edge", MetricsPort: 14811}
	s := Servers{&stack.Stack{Offset: 1000, Watched: true}}
	at := map[string]string{}
	for _, one := range s.targets([]stack.App{{App: orders, Instance: 2}, {App: edge, Instance: 1}}) {
		require.Len(t, one.Targets, 1)
		at[one.Labels["job"]+" "+one.Labels["app"]+" "+one.Labels["instance"]] = one.Targets[0]
	}
	for name, address := range map[string]string{
		"service orders orders-2":         "127.0.0.1:8106",
		"sidecar orders orders-2-daprd":   "127.0.0.1:14806",
		"sidecar edge edge":               "127.0.0.1:14811",
		"postgres postgres postgres":      "127.0.0.1:10187",
		"redis redis redis":               "127.0.0.1:10121",
		"zipkin zipkin zipkin":            "127.0.0.1:10411",
		"queues rabbitmq rabbitmq-queues": "127.0.0.1:16692",
	} {
		require.Equal(t, address, at[name], name)
	}
	require.Len(t, at, 14)

	s.Watched = false
	require.NoError(t, s.ListTargets(nil), "nobody reads it")
}
