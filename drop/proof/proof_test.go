package proof

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
)

// round is one of testdata/quicknet.json: rounds as the network has published them.
type round struct {
	Round      uint64 `json:"round"`
	Randomness Hex    `json:"randomness"`
	Signature  Hex    `json:"signature"`
}

func recorded(t *testing.T) (rounds []round) {
	t.Helper()
	data, err := os.ReadFile("testdata/quicknet.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &rounds))
	return rounds
}

func TestBeacon(t *testing.T) {
	t.Parallel()
	for _, r := range recorded(t) {
		randomness, err := Quicknet.Check(r.Round, r.Signature)
		require.NoError(t, err, "%d", r.Round)
		if r.Randomness != nil {
			require.Equal(t, []byte(r.Randomness), randomness[:])
		}
		_, err = Quicknet.Check(r.Round+1, r.Signature)
		require.Error(t, err, "another round's")
		for _, i := range []int{0, 20, 47} {
			forged := slices.Clone(r.Signature)
			forged[i] ^= 1
			_, err = Quicknet.Check(r.Round, forged)
			require.Error(t, err, "byte %d", i)
		}
	}
	for _, none := range []string{"", "00", "c0" + hex.EncodeToString(make([]byte, 47))} {
		raw, _ := hex.DecodeString(none)
		_, err := Quicknet.Check(1000, raw)
		require.Error(t, err, "%q", none)
	}
}

// TestRounds: the network says that round 1 was told at its genesis.
func TestRounds(t *testing.T) {
	t.Parallel()
	genesis := time.Unix(1692803367, 0)
	require.Equal(t, genesis.UTC(), Quicknet.TimeOf(1))
	for after, want := range map[time.Duration]uint64{
		0: 1, time.Nanosecond: 2, 3 * time.Second: 2, 3*time.Second + 1: 3, 2997 * time.Second: 1000, -time.Hour: 1,
	} {
		require.Equal(t, want, Quicknet.RoundAt(genesis.Add(after)), "%v", after)
	}
	minute := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	for opens, want := range map[time.Duration]time.Duration{
		0: 3 * time.Second, time.Minute: time.Minute + 3*time.Second, time.Second: 6 * time.Second, 2 * time.Second: 6 * time.Second,
		3 * time.Second: 6 * time.Second, time.Millisecond: 6 * time.Second,
	} {
		require.Equal(t, minute.Add(want), Quicknet.TimeOf(Quicknet.Decides(minute.Add(opens))), "%v", opens)
	}
}

// published is a drop with n entries before its opening and late ones after it.
func published(t *testing.T, n, late int, beacon string) (Document, []Hex) {
	t.Helper()
	r := recorded(t)[0]
	told := Quicknet.TimeOf(r.Round)
	key := HeadKey([]byte("a setting"))
	rules := Rules{OpensAt: told.Add(-4 * time.Second), Beacon: beacon, HeadKey: Hex(key.Public().(ed25519.PublicKey))}
	if beacon == BeaconDrand {
		rules.Chain, rules.Round = Quicknet.Hash, r.Round
	}
	text, err := json.Marshal(rules)
	require.NoError(t, err)
	secret := [32]byte{9}
	commitment := drop.Commitment("spring", text, secret)
	d := Document{Drop: "spring", State: "open", Rules: string(text), Commitment: commitment[:], Secret: secret[:]}
	tree := NewTree(false)
	var leaves []Hex
	for i := range n + late {
		leaf := Leaf([16]byte{byte(i), byte(i >> 8)}, [16]byte{1}, []byte("salt"))
		leaves = append(leaves, leaf[:])
		if i < n {
			require.NoError(t, tree.Add(leaf[:]))
			if i%10 == 9 {
				d.Heads = append(d.Heads, SignHead(key, "spring", tree.Size(), tree.Root(), rules.OpensAt.Add(-time.Minute)))
			}
		}
	}
	d.Heads = append(d.Heads, SignHead(key, "spring", tree.Size(), tree.Root(), rules.OpensAt))
	size, root := uint64(n), tree.Root()
	d.N, d.Root = &size, root[:]
	var randomness []byte
	if beacon == BeaconDrand {
		d.Signature = r.Signature
		got, err := Quicknet.Check(r.Round, r.Signature)
		require.NoError(t, err)
		randomness = got[:]
	}
	seed := drop.Seed(secret, randomness, root, size)
	d.Seed = seed[:]
	return d, leaves
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, beacon := range []string{BeaconDrand, BeaconCommit} {
		for _, n := range []int{0, 1, 37} {
			d, leaves := published(t, n, 2, beacon)
			r, err := Check(d, leaves)
			require.NoError(t, err, "%s %d", beacon, n)
			require.Len(t, r.Positions, n)
			require.Len(t, r.Key, ed25519.PublicKeySize)
			require.Equal(t, beacon == BeaconCommit, len(r.Notes) == 1, "%v", r.Notes)
		}
	}
}

// TestCheckSees: whatever is not as it was published is seen.
func TestCheckSees(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(d *Document, leaves []Hex){
		"an entry put in the place of another": func(_ *Document, leaves []Hex) { leaves[3][0] ^= 1 },
		"one stuffed in late":                  func(d *Document, _ []Hex) { *d.N++ },
		"one left out":                         func(d *Document, _ []Hex) { *d.N-- },
		"another root":                         func(d *Document, _ []Hex) { d.Root[0] ^= 1 },
		"another secret":                       func(d *Document, _ []Hex) { d.Secret[0] ^= 1 },
		"no secret":                            func(d *Document, _ []Hex) { d.Secret = nil },
		"another seed":                         func(d *Document, _ []Hex) { d.Seed[0] ^= 1 },
		"another commitment":                   func(d *Document, _ []Hex) { d.Commitment[0] ^= 1 },
		"other rules":                          func(d *Document, _ []Hex) { d.Rules = " " + d.Rules },
		"another beacon":                       func(d *Document, _ []Hex) { d.Signature[9] ^= 1 },
		"no beacon":                            func(d *Document, _ []Hex) { d.Signature = nil },
		"a head that nobody signed":            func(d *Document, _ []Hex) { d.Heads[1].Signature[0] ^= 1 },
		"a head of another size":               func(d *Document, _ []Hex) { d.Heads[1].Size++ },
		"a head of another time":               func(d *Document, _ []Hex) { d.Heads[1].At = d.Heads[1].At.Add(time.Second) },
		"the last head left out":               func(d *Document, _ []Hex) { d.Heads = d.Heads[:2] },
		"another drop's heads":                 func(d *Document, _ []Hex) { d.Drop = "summer" },
		"an early head of another key":         func(d *Document, _ []Hex) { signAgain(&d.Heads[0]) },
		"the last head of another key":         func(d *Document, _ []Hex) { signAgain(&d.Heads[2]) },
		"rules that name no key any more": func(d *Document, _ []Hex) {
			d.Rules = regexp.MustCompile(`,"head_key":"\w+"`).ReplaceAllString(d.Rules, "")
		},
	} {
		d, leaves := published(t, 25, 2, BeaconDrand)
		forge(&d, leaves)
		_, err := Check(d, leaves)
		require.Error(t, err, name)
	}
}

// signAgain signs a head with a fresh key, which stands beside the signature.
func signAgain(h *Head) {
	*h = SignHead(HeadKey([]byte("a fresh one")), "spring", h.Size, [32]byte(h.Root), h.At)
}

// TestNoKey: of a drop that was scheduled before its rules named a key it is said that anybody could have signed its heads, also before
// it is open.
func TestNoKey(t *testing.T) {
	t.Parallel()
	d, leaves := published(t, 25, 0, BeaconCommit)
	var rules Rules
	require.NoError(t, json.Unmarshal([]byte(d.Rules), &rules))
	rules.HeadKey = nil
	text, err := json.Marshal(rules)
	require.NoError(t, err)
	require.NotContains(t, string(text), "head_key", "as it was published then")
	commitment := drop.Commitment("spring", text, [32]byte(d.Secret))
	d.Rules, d.Commitment = string(text), commitment[:]
	for range 2 {
		r, err := Check(d, leaves)
		require.NoError(t, err)
		require.Nil(t, r.Key)
		require.Contains(t, r.Notes[0], "name no key")
		d.N = nil
	}
}

// TestFrozenTooLate: who freezes after the beacon is known could choose, which is said.
func TestFrozenTooLate(t *testing.T) {
	t.Parallel()
	d, leaves := published(t, 5, 0, BeaconDrand)
	last := &d.Heads[len(d.Heads)-1]
	*last = SignHead(HeadKey([]byte("a setting")), "spring", last.Size, [32]byte(last.Root), last.At.Add(time.Minute))
	r, err := Check(d, leaves)
	require.NoError(t, err)
	require.Len(t, r.Notes, 1)
}

// TestInclusion: a log proves what is in it, and was when it was smaller.
func TestInclusion(t *testing.T) {
	t.Parallel()
	tree := NewTree(true)
	var leaves [][]byte
	var roots [][32]byte
	for n := range uint64(20) {
		roots = append(roots, tree.Root())
		for size, root := range roots {
			for i, leaf := range leaves[:size] {
				path, err := tree.Inclusion(uint64(i), uint64(size))
				require.NoError(t, err)
				require.NoError(t, Includes(leaf, uint64(i), uint64(size), path, root[:]))
				require.Error(t, Includes([]byte("another"), uint64(i), uint64(size), path, root[:]))
			}
		}
		_, err := tree.Inclusion(n, n)
		require.Error(t, err)
		_, err = tree.Inclusion(0, n+1)
		require.Error(t, err, "it has not grown so far")
		leaves = append(leaves, []byte{byte(n)})
		require.NoError(t, tree.Add(leaves[n]))
	}
}

// TestLeafHidesWho: another account, entry or salt is another leaf.
func TestLeafHidesWho(t *testing.T) {
	t.Parallel()
	one := Leaf([16]byte{1}, [16]byte{1}, []byte("s"))
	require.NotEqual(t, one, Leaf([16]byte{2}, [16]byte{1}, []byte("s")))
	require.NotEqual(t, one, Leaf([16]byte{1}, [16]byte{2}, []byte("s")))
	require.NotEqual(t, one, Leaf([16]byte{1}, [16]byte{1}, []byte("t")))
}
