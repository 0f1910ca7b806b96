package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var some = []string{
	"orders", "orders-daprd", "mail", "mail-daprd", "drops", "drops-daprd", "edge-daprd",
	"postgres", "redis", "rabbitmq", "nginx", "keycloak", "maildev", "sentry",
}

func TestPlan(t *testing.T) {
	t.Parallel()
	length := 90 * time.Second
	acts := Plan(7, length, some)
	require.Equal(t, acts, Plan(7, length, some), "a seed replays")
	require.NotEqual(t, acts, Plan(8, length, some))
	for seed := range uint64(200) {
		kinds, killed := map[Kind]int{}, 0
		last := map[string]time.Duration{}
		for _, a := range Plan(seed, length, some) {
			require.Less(t, a.At, length)
			require.LessOrEqual(t, a.For, 20*time.Second)
			if a.Target != "" {
				require.GreaterOrEqual(t, a.At, last[a.Target], "one thing at a time")
				last[a.Target] = a.End()
			}
			kinds[a.Kind]++
			if a.Kind == Kill && a.Part() == "drops" {
				killed++
			}
		}
		require.Len(t, kinds, 11, "seed %d: all of it in 90 s", seed)
		require.Positive(t, killed, "seed %d: drops or its sidecar", seed)
	}
}

func TestLate(t *testing.T) {
	t.Parallel()
	act := func(at, long int) Act {
		return Act{At: time.Duration(at) * time.Second, For: time.Duration(long) * time.Second, Kind: Pause, Target: "orders"}
	}
	one := recovery{act: act(10, 5), good: 14 * time.Second} // good at 29
	require.Empty(t, late([]recovery{one}))
	one.good = 16 * time.Second
	require.Len(t, late([]recovery{one}), 1)
	require.Empty(t, late([]recovery{one, {act: act(20, 1)}}), "something else was broken meanwhile")
	broker := recovery{act: act(12, 0), back: 10 * time.Second}
	require.Len(t, late([]recovery{one, broker}), 1, "a service that took so long")
	broker.act.Target = "rabbitmq"
	require.Empty(t, late([]recovery{one, broker}), "what it needs took so long")
	require.Len(t, late([]recovery{one, {act: act(40, 1)}}), 1)
	one.never = true
	require.Len(t, late([]recovery{one}), 1)
}
