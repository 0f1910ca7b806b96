package drop

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChanceAt(t *testing.T) {
	t.Parallel()
	require.Equal(t, Likely, ChanceAt(99, 100, 5))
	require.Equal(t, Unlikely, ChanceAt(100, 100, 5))
	require.Equal(t, IfOthersQuit, ChanceAt(100, 100, 0))
}

func TestLikelyBelow(t *testing.T) {
	t.Parallel()
	base := Line{Free: 100, Entrants: 1000, Wanted: 1000, Entered: 1000, Came: 8000, Stayed: 2000}
	for name, tc := range map[string]struct {
		change func(*Line)
		want   int64
	}{
		"more than there are units, since some stay away":      {func(*Line) {}, 7 + 115},
		"those who were called take first":                     {func(l *Line) { l.Open = 100 }, 7 + 15},
		"those who were called take all":                       {func(l *Line) { l.Open = 130 }, 7},
		"nothing free":                                         {func(l *Line) { l.Free = 0 }, 7},
		"two each":                                             {func(l *Line) { l.Wanted = 2000 }, 7 + 56},
		"one unit where each takes two":                        {func(l *Line) { l.Free, l.Wanted = 1, 2000 }, 7},
		"who wants something else is passed over":              {func(l *Line) { l.Entered = 2000 }, 7 + 230},
		"nobody knows yet how many come":                       {func(l *Line) { l.Came, l.Stayed = 0, 0 }, 7 + 99},
		"nobody has entered for it":                            {func(l *Line) { l.Entrants, l.Wanted = 0, 0 }, 7 + 115},
		"as many entered for it as have ever entered, or more": {func(l *Line) { l.Entered = 900 }, 7 + 115},
	} {
		l := base
		tc.change(&l)
		require.Equal(t, tc.want, l.LikelyBelow(7), name)
	}
}

// TestLikelyIsLikely: of drops that go as the rate says, or as a rate that nobody knows, the last one who is told so finds a
// unit nine times in ten.
func TestLikelyIsLikely(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, l := range []Line{
		{Free: 20, Entrants: 1000, Wanted: 1000, Came: 800, Stayed: 200},
		{Free: 300, Open: 100, Entrants: 1000, Wanted: 1000, Came: 80, Stayed: 20},
		{Free: 300, Entrants: 1000, Wanted: 1000},
	} {
		const drops = 4000
		c, found := l.Call(), 0
		people := c.doesFor()
		for range drops {
			rate := c.Rate
			if l.Came == 0 { // whatever it is: Beta 8, 2 is the eighth of nine even numbers
				rate = secondLargest(random, 9)
			} else if l.Came < 100 {
				rate = float64(8+l.Came)/float64(c.Known) + random.NormFloat64()*.038
			}
			takers := 0
			for range c.Open + people - 1 {
				if random.Float64() < rate {
					takers++
				}
			}
			if takers < c.Free {
				found++
			}
		}
		require.Greater(t, found, drops*9/10, "%+v", l)
	}
}

func secondLargest(random *rand.Rand, n int) float64 {
	var first, second float64
	for range n {
		switch x := random.Float64(); {
		case x > first:
			first, second = x, first
		case x > second:
			second = x
		}
	}
	return second
}

func TestPart(t *testing.T) {
	t.Parallel()
	require.InDelta(t, .125, Line{Entrants: 1000, Wanted: 1000}.Part(100), 1e-9)
	require.InDelta(t, .0625, Line{Entrants: 1000, Wanted: 2000}.Part(100), 1e-9)
	require.InDelta(t, 1, Line{Entrants: 10, Wanted: 10}.Part(100), 0)
	require.InDelta(t, 1, Line{}.Part(100), 0, "nobody is there")
	require.True(t, PartLikely(1))
	require.False(t, PartLikely(.9))
}

func TestWait(t *testing.T) {
	t.Parallel()
	from, to, known := Wait(599, 60)
	require.True(t, known)
	require.InDelta(t, 10*soonest, from, 1e-9)
	require.InDelta(t, 10*latest, to, 1e-9)
	_, _, known = Wait(599, 0)
	require.False(t, known, "it stands still")
	_, _, known = Wait(-1, 60)
	require.False(t, known, "it is one's turn")
}

func TestPerMin(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		forward int64
		seconds float64
		want    int64
	}{{600, 3600, 600}, {600, 59.5, 600}, {100, 0, 6000}, {100, .9, 6000}, {200, 1.2, 6000}, {200, 29, 400}, {0, 10, 0}, {10, -1, 600}} {
		require.Equal(t, tc.want, PerMin(tc.forward, tc.seconds), "%+v", tc)
	}
}

func TestPoll(t *testing.T) {
	t.Parallel()
	for waiting, most := range map[int64]int64{-5: 2, 0: 2, 20_000: 2, 20_001: 3, 100_000: 10, 10_000_000: 30} {
		require.Equal(t, [2]int64{2, most}, Poll(waiting))
	}
	for _, tc := range []struct{ wait, chance, want float64 }{{0, 0, 2}, {0, 1, 2.6}, {100, 0, 5}, {9000, 0, 10}, {9000, 1, 13}} {
		require.InDelta(t, tc.want, Pause([2]int64{2, 10}, tc.wait, tc.chance), 1e-9, "%+v", tc)
	}
}
