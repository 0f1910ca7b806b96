package drop

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLotClaim(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		has, more int64
		want      Refusal
	}{
		"one":                         {0, 1, ""},
		"as many as the limit":        {0, 2, ""},
		"one more than the limit":     {0, 3, OverLimit},
		"beside what it has":          {1, 1, ""},
		"too many beside what it has": {1, 2, OverLimit},
		"it has more than the limit":  {5, 1, OverLimit},
		"beyond all numbers":          {0, 1<<63 - 1, OverLimit},
		"none":                        {2, 0, ""},
	} {
		l := Lot{Free: 4, Held: 3, Sold: 2, Limit: 2}
		require.Equal(t, tc.want, l.Claim(tc.has, tc.more), name)
		if tc.want != "" {
			require.Equal(t, Lot{Free: 4, Held: 3, Sold: 2, Limit: 2}, l, name)
			continue
		}
		require.Equal(t, Lot{Free: 4 - tc.more, Held: 3 + tc.more, Sold: 2, Limit: 2}, l, name)
	}
	l := Lot{Free: 1, Limit: 2}
	require.Equal(t, NoneFree, l.Claim(0, 2))
	require.Equal(t, Lot{Free: 1, Limit: 2}, l)
}

// TestLotKeepsItsUnits: whatever becomes of them, there are as many.
func TestLotKeepsItsUnits(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	l := Lot{Free: 100, Limit: 3}
	for range 10_000 {
		n := random.Int64N(4)
		switch random.IntN(4) {
		case 0:
			l.Claim(0, n)
		case 1:
			l.Lapse(min(n, l.Held))
		case 2:
			l.Sell(min(n, l.Held))
		default:
			l.Return(min(n, l.Sold))
		}
		require.Equal(t, int64(100), l.Units())
		require.True(t, l.Free >= 0 && l.Held >= 0 && l.Sold >= 0, "%+v", l)
	}
}
