package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var some = []string{"orders", "orders-daprd", "mail", "mail-daprd", "edge-daprd", "postgres", "redis", "rabbitmq", "nginx", "keycloak", "maildev", "sentry"}

func TestPlan(t *testing.T) {
	t.Parallel()
	length := 90 * time.Second
	acts := Plan(7, length, some)
	require.Equal(t, acts, Plan(7, length, some), "a seed replays")
	require.NotEqual(t, acts, Plan(8, length, some))
	for seed := range uint64(200) {
		kinds := map[Kind]int{}
		last := map[string]time.Duration{}
		for _, a := range Plan(seed, length, some) {
			require.Less(t, a.At, length)
			require.LessOrEqual(t, a.For, 20*time.Second)
			if a.Target != "" {
				require.GreaterOrEqual(t, a.At, last[a.Target], "one thing at a time")
				last[a.Target] = a.End()
			}
			kinds[a.Kind]++
		}
		require.Len(t, kinds, 11, "seed %d: all of it in 90 s", seed)
	}
}
