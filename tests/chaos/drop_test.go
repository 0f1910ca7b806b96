package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/tests/shop"
)

func TestShown(t *testing.T) {
	t.Parallel()
	two := uint64(2)
	at := func(second int, called uint64) saleStatus {
		return saleStatus{
			State: "open", Now: time.Unix(int64(second), 0), N: &two, Root: proof.Hex("root"), Seed: proof.Hex("seed"),
			SKUs: []calledTo{{"TEE", called}, {"CAP", 7}},
		}
	}
	before := saleStatus{State: "prequeue", Now: time.Unix(1, 0), SKUs: []calledTo{{"TEE", 0}, {"CAP", 0}}}
	require.Empty(t, shown([]saleStatus{before, at(4, 3), at(3, 2), at(5, 3)}), "an old one may come late")
	require.Len(t, shown([]saleStatus{before, at(3, 3), at(4, 2)}), 1)
	for _, change := range []func(*saleStatus){
		func(st *saleStatus) { st.N = nil },
		func(st *saleStatus) { st.N = new(uint64) },
		func(st *saleStatus) { st.Root = nil },
		func(st *saleStatus) { st.Seed = proof.Hex("another") },
	} {
		after := at(4, 3)
		change(&after)
		require.Len(t, shown([]saleStatus{at(3, 3), after}), 1)
	}
}

func TestTells(t *testing.T) {
	t.Parallel()
	f := &fan{shopper: &shopper{market: &market{}}}
	for _, body := range []string{
		`{"idx": 3, "leaf": "aa", "position": null}`, `{"idx": 3, "leaf": "aa", "position": 5}`, `{"idx": 3, "leaf": "aa", "position": 5}`,
	} {
		f.tells(&shop.Answer{Body: []byte(body)})
	}
	require.Empty(t, f.breaches)
	for i, body := range []string{
		`{"idx": 4, "leaf": "aa", "position": 5}`, `{"idx": 3, "leaf": "ab", "position": 5}`, `{"idx": 3, "leaf": "aa", "position": 6}`,
		`{"idx": 3, "leaf": "aa", "position": null}`,
	} {
		f.tells(&shop.Answer{Body: []byte(body)})
		require.Len(t, f.breaches, i+1, body)
	}
	require.False(t, f.called(saleStatus{}), "the order is not drawn")
	n := uint64(1)
	f.known.Position = nil
	st := saleStatus{N: &n, Seed: make([]byte, 32), SKUs: []calledTo{{"", 4}}}
	require.True(t, f.called(st), "who came later stands where they came")
	st.SKUs[0].Called = 3
	require.False(t, f.called(st))
}
