package drop

import (
	"math/rand/v2"
	"testing"
	"time"

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

// TestLotHold: the same claim again changes nothing, wherever its units are by then.
func TestLotHold(t *testing.T) {
	t.Parallel()
	end, later, past := noon.Add(time.Minute), noon.Add(time.Hour), noon.Add(-time.Minute)
	for name, tc := range map[string]struct {
		has      Has
		quantity int64
		until    time.Time
		want     Has
		free     int64
		refusal  Refusal
	}{
		"a first one":              {Has{}, 2, end, Has{Held: 2, Until: &end}, 1, ""},
		"again":                    {Has{Held: 2, Until: &end}, 2, end, Has{Held: 2, Until: &end}, 3, ""},
		"again, for longer":        {Has{Held: 2, Until: &end}, 2, later, Has{Held: 2, Until: &later}, 3, ""},
		"again, for less long":     {Has{Held: 2, Until: &later}, 2, end, Has{Held: 2, Until: &later}, 3, ""},
		"fewer":                    {Has{Held: 2, Until: &end}, 1, end, Has{Held: 2, Until: &end}, 3, ""},
		"one more":                 {Has{Held: 1, Until: &end}, 2, end, Has{Held: 2, Until: &end}, 2, ""},
		"an order has it":          {Has{Ordered: 2}, 2, end, Has{Ordered: 2}, 3, ""},
		"an order has one of two":  {Has{Ordered: 1}, 2, end, Has{Held: 1, Until: &end, Ordered: 1}, 2, ""},
		"its time is over":         {Has{}, 1, past, Has{}, 3, TooLate},
		"over, and an order's":     {Has{Ordered: 1}, 1, past, Has{Ordered: 1}, 3, ""},
		"more than the limit":      {Has{Ordered: 2}, 3, end, Has{Ordered: 2}, 3, OverLimit},
		"more than there are free": {Has{Ordered: 0}, 4, end, Has{}, 3, NoneFree},
	} {
		l := Lot{Free: 3, Limit: 2}
		if tc.refusal == NoneFree {
			l.Limit = 9
		}
		got, refusal := l.Hold(tc.quantity, tc.until, noon, tc.has)
		require.Equal(t, tc.refusal, refusal, name)
		require.Equal(t, tc.want, got, name)
		require.Equal(t, tc.free, l.Free, name)
	}
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
