package main

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
)

// published serves the proof of a drop of n entries whose log was signed so many times, as drops does, after change.
func published(t testing.TB, n, heads int, change func(d *proof.Document, leaves []proof.Hex)) (address string) {
	t.Helper()
	secret, key := [32]byte{9}, proof.HeadKey([]byte("a setting"))
	opens := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	rules, err := json.Marshal(proof.Rules{
		OpensAt: opens, Beacon: proof.BeaconCommit, HeadKey: proof.Hex(key.Public().(ed25519.PublicKey)),
	})
	require.NoError(t, err)
	commitment := drop.Commitment("spring", rules, secret)
	d := proof.Document{Drop: "spring", State: "open", Rules: string(rules), Commitment: commitment[:], Secret: secret[:]}
	tree := proof.NewTree(false)
	var leaves []proof.Hex
	for i := range n {
		leaf := proof.Leaf([16]byte(binary.BigEndian.AppendUint64(make([]byte, 8), uint64(i))), [16]byte{1}, []byte("salt"))
		leaves = append(leaves, leaf[:])
		require.NoError(t, tree.Add(leaf[:]))
		if i%(n/heads) == n/heads-1 || i == n-1 {
			d.Heads = append(d.Heads, proof.SignHead(key, "spring", tree.Size(), tree.Root(), opens))
		}
	}
	size, root := uint64(n), tree.Root()
	seed := drop.Seed(secret, nil, root, size)
	d.N, d.Root, d.Seed = &size, root[:], seed[:]
	change(&d, leaves)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var out any = d
		if strings.HasSuffix(r.URL.Path, "/leaves") {
			from, _ := strconv.Atoi(r.URL.Query().Get("from"))
			out = map[string]any{"leaves": leaves[from:min(from+10_000, len(leaves))]}
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/api/v1/drops/spring"
}

func nothing(*proof.Document, []proof.Hex) {}

// TestVerify: the command reads the whole log, of several pages too, and says what it has recomputed, or what is wrong.
func TestVerify(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	require.NoError(t, verify(t.Context(), &said, published(t, 10_050, 3, nothing)))
	for _, want := range []string{
		"spring is open: 10050 entries, 3 signed heads, all right", "the heads' key is the one that the rules name: ",
		"all 10050 positions recomputed", "note: no beacon",
	} {
		require.Contains(t, said.String(), want)
	}
	for name, change := range map[string]func(d *proof.Document, leaves []proof.Hex){
		"the leaves are others": func(_ *proof.Document, leaves []proof.Hex) { leaves[20][0]++ },
		"another key than": func(d *proof.Document, _ []proof.Hex) {
			h := &d.Heads[0]
			*h = proof.SignHead(proof.HeadKey([]byte("a fresh one")), d.Drop, h.Size, [32]byte(h.Root), h.At)
		},
	} {
		require.ErrorContains(t, verify(t.Context(), &said, published(t, 30, 3, change)), name)
	}
	require.Error(t, verify(t.Context(), &said, "http://127.0.0.1:1/api/v1/drops/spring"), "nobody answers")
}

// BenchmarkVerify is how long a stranger takes to recompute every position of a drop to which 100,000 came, with a head each 10 s of
// ten minutes, all over HTTP: docs/decisions/drops.md has the figure.
func BenchmarkVerify(b *testing.B) {
	at := published(b, 100_000, 60, nothing)
	var said strings.Builder
	for b.Loop() {
		require.NoError(b, verify(b.Context(), &said, at))
	}
	require.Contains(b, said.String(), "all 100000 positions recomputed")
}
