package drop

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRate(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 0.8, Showing{}.Rate(), 1e-9)
	require.InDelta(t, 0.5, Showing{Came: 42, Stayed: 48}.Rate(), 1e-9)
}

func TestMore(t *testing.T) {
	t.Parallel()
	base := Call{Free: 100, Rate: 0.8, Quantity: 1, Most: 1000}
	for name, tc := range map[string]struct {
		change func(*Call)
		want   int
	}{
		"more than there are units, since some stay away": {func(*Call) {}, 116},
		"those who were called count":                     {func(c *Call) { c.Open = 100 }, 16},
		"nobody while enough are open":                    {func(c *Call) { c.Open = 200 }, 0},
		"two each":                                        {func(c *Call) { c.Quantity = 2 }, 56},
		"no more than the shop can serve":                 {func(c *Call) { c.Most = 7 }, 7},
		"nothing free":                                    {func(c *Call) { c.Free = 0 }, 0},
		"less than nothing free":                          {func(c *Call) { c.Free = -3 }, 0},
		"the last unit does not wait for a guess":         {func(c *Call) { c.Free = 1 }, 1},
		"everybody comes":                                 {func(c *Call) { c.Rate = 1 }, 100},
		"one unit where each takes two":                   {func(c *Call) { c.Free, c.Quantity = 1, 2 }, 1},
	} {
		c := base
		tc.change(&c)
		require.Equal(t, tc.want, c.More(), name)
	}
}

// TestMoreIsTheMost: one more and it would not be nearly sure any more, except where there is a unit for each.
func TestMoreIsTheMost(t *testing.T) {
	t.Parallel()
	for free := 1; free < 500; free += 7 {
		for rate := 0.05; rate < 1; rate += 0.05 {
			for open := 0; open < 40; open += 13 {
				for _, m := range []float64{1, 1.5, 3} {
					c := Call{Free: free, Open: open, Rate: rate, Quantity: m, Most: math.MaxInt}
					fits := func(n int) bool {
						x := float64(open + n)
						return x*rate*m+sure*m*math.Sqrt(x*rate*(1-rate)) <= float64(free)+1e-9 || (x-1)*m < float64(free)
					}
					n := c.More()
					require.True(t, n == 0 || fits(n), "%+v: %d", c, n)
					require.False(t, fits(n+1), "%+v: %d", c, n)
				}
			}
		}
	}
}
