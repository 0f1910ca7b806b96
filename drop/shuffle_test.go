package drop

import (
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPositionsOfEthereum: testdata/shuffle.csv has positions that the consensus specification's own code gave, from the
// tests of github.com/protolambda/eth2-shuffle (MIT), commit 2ff9b7b: seed, n, the position of each index.
func TestPositionsOfEthereum(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/shuffle.csv")
	require.NoError(t, err)
	lines := 0
	for line := range strings.Lines(string(text)) {
		lines++
		fields := strings.Split(strings.TrimSpace(line), ",")
		raw, err := hex.DecodeString(fields[0])
		require.NoError(t, err)
		n, err := strconv.ParseUint(fields[1], 10, 64)
		require.NoError(t, err)
		var want []uint64
		for text := range strings.SplitSeq(fields[2], ":") {
			place, err := strconv.ParseUint(text, 10, 64)
			require.NoError(t, err)
			want = append(want, place)
		}
		require.Len(t, want, int(n))
		require.Equal(t, want, Positions(n, [32]byte(raw)), "%d", n)
		for idx := range n {
			require.Equal(t, want[idx], Position(idx, n, [32]byte(raw)), "%d of %d", idx, n)
		}
	}
	require.Greater(t, lines, 40)
}

func seedOf(i int) [32]byte {
	return Seed([32]byte{7}, []byte("beacon"), [32]byte{}, uint64(i))
}

// TestEveryPlaceOnce: whatever n, each place is somebody's.
func TestEveryPlaceOnce(t *testing.T) {
	t.Parallel()
	for n := range 300 {
		places := Positions(uint64(n), seedOf(n))
		require.Len(t, places, n)
		slices.Sort(places)
		for i, place := range places {
			require.Equal(t, uint64(i), place, "n = %d", n)
		}
	}
}

// TestFair: in which tenth somebody came says nothing of the tenth in which they stand (χ² over 200 seeds), and at 100,000
// the two hardly go together (ten fixed seeds). The bounds are docs' promise: p > 0.001 and |ρ| < 0.01.
func TestFair(t *testing.T) {
	t.Parallel()
	const n, seeds, parts = 1000, 200, 10
	var met [parts][parts]float64
	for i := range seeds {
		for idx, place := range Positions(n, seedOf(i)) {
			met[idx*parts/n][int(place)*parts/n]++
		}
	}
	var chi float64
	const expected = n * seeds / parts / parts
	for _, row := range met {
		for _, count := range row {
			chi += (count - expected) * (count - expected) / expected
		}
	}
	// The 0.999 quantile of χ² with 81 degrees of freedom is 126.1; NIST/SEMATECH e-Handbook, 1.3.6.7.4, has 124.8 for 80.
	require.Less(t, chi, 126.1)

	const many = 100_000
	for i := range 10 {
		var sum float64
		const mean = (many - 1) / 2.0
		for idx, place := range Positions(many, seedOf(1000+i)) {
			sum += (float64(idx) - mean) * (float64(place) - mean)
		}
		rho := sum / (many * (many*many - 1.0) / 12)
		require.Less(t, math.Abs(rho), 0.01, "seed %d", i)
	}
}

// TestCommitment: another drop, other rules or another secret is another commitment, however the parts are cut.
func TestCommitment(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]string{}
	for _, c := range [][3]string{{"a", "b", "c"}, {"ab", "", "c"}, {"", "ab", "c"}, {"a", "b", "d"}} {
		sum := Commitment(c[0], []byte(c[1]), [32]byte{c[2][0]})
		require.NotContains(t, seen, sum)
		seen[sum] = fmt.Sprint(c)
	}
}

// TestSeed: each part of it decides.
func TestSeed(t *testing.T) {
	t.Parallel()
	one := Seed([32]byte{1}, []byte("b"), [32]byte{1}, 7)
	for _, other := range [][32]byte{
		Seed([32]byte{2}, []byte("b"), [32]byte{1}, 7),
		Seed([32]byte{1}, []byte("c"), [32]byte{1}, 7),
		Seed([32]byte{1}, []byte("b"), [32]byte{2}, 7),
		Seed([32]byte{1}, []byte("b"), [32]byte{1}, 8),
		Seed([32]byte{1}, nil, [32]byte{1}, 7),
	} {
		require.NotEqual(t, one, other)
	}
}
