package main

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// crowd puts a SKU each into the carts of so many guests while inventory is at the hold of another one, and returns what
// they are told once it goes on.
func (b *bench) crowd(skus ...string) map[string]servetest.Response {
	b.Helper()
	began, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	servetest.Neighbour(b, b.rt, "inventory", "PUT /internal/holds/{shopper}/{sku}", func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			close(began)
			<-goOn
		})
		out, err := b.set(r.Context(), hold{r.PathValue("shopper"), r.PathValue("sku"), 1})
		if err != nil {
			rest.WriteProblem(w, r, err)
			return
		}
		servetest.Answers(out)(w, r)
	})
	told := map[string]servetest.Response{}
	var mu sync.Mutex
	var all sync.WaitGroup
	put := func(sku string) {
		all.Go(func() {
			r := servetest.Do(b, b.rt, "PUT", "/api/v1/cart/items/"+sku, "", quantity(1), "X-Cart-Session", "session-of-"+sku+b.session)
			mu.Lock()
			defer mu.Unlock()
			told[sku] = r
		})
	}
	put("FIRST")
	<-began
	for _, sku := range skus {
		put(sku)
	}
	require.Eventually(b, func() bool { return b.service.inventory.holds.Waits() == len(skus) }, 10*time.Second, time.Millisecond)
	close(goOn)
	all.Wait()
	require.Equal(b, 200, told["FIRST"].Status)
	return told
}

// TestHoldsTogether: what is wanted while inventory is at work is asked for by one call, and each is told its own.
func TestHoldsTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.soldOut["B"] = true
	var calls int
	servetest.Neighbour(t, b.rt, "inventory", "PUT /internal/holds", func(w http.ResponseWriter, r *http.Request) {
		b.Lock()
		calls++
		b.Unlock()
		servetest.Answers(rest.DoEach(r.Context(), r.URL.Path, read[struct{ Items []hold }](r).Items, b.set))(w, r)
	})
	told := b.crowd("A", "B", "C")
	require.Equal(t, 1, calls)
	require.Equal(t, map[string]int{"A": 1}, lines(b.view(told["A"])))
	require.Equal(t, "out-of-stock", told["B"].Slug())
	var refused struct {
		Available *int `json:"available"`
	}
	told["B"].JSON(t, &refused)
	require.Equal(t, 0, *refused.Available)
	require.Equal(t, map[string]int{"C": 1}, lines(b.view(told["C"])))
	require.Equal(t, 4, b.asked)
}

// TestHoldsTogetherRefused: when inventory refuses the whole it is asked for each, so that a bad one fails alone, and one
// that does not know of several at once (it is older) is asked as it knows.
func TestHoldsTogetherRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	servetest.Neighbour(t, b.rt, "inventory", "PUT /internal/holds", servetest.Refuses(problem.ErrInvalid))
	told := b.crowd("A", "B")
	require.Equal(t, map[string]int{"A": 1}, lines(b.view(told["A"])))
	require.Equal(t, map[string]int{"B": 1}, lines(b.view(told["B"])))
}

// TestHoldsTogetherAway: one that is away is not asked again for each.
func TestHoldsTogetherAway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	servetest.Neighbour(t, b.rt, "inventory", "PUT /internal/holds", servetest.IsAway)
	told := b.crowd("A", "B")
	require.Equal(t, 503, told["A"].Status)
	require.Equal(t, 503, told["B"].Status)
	require.Equal(t, 1, b.asked, "the first alone")
}

// TestReadsTogether: a key that the store refuses fails alone.
func TestReadsTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, 200, b.guest("PUT", "/api/v1/cart/items/A", quantity(1)).Status)
	key := guestKey(b.session)
	answers, err := b.service.store.readAll(t.Context(), []string{key, "bad||key", key})
	require.NoError(t, err)
	require.Error(t, answers[1].Err)
	for _, i := range []int{0, 2} {
		require.NoError(t, answers[i].Err)
		require.NotEmpty(t, answers[i].Value.Value)
		require.NotEmpty(t, answers[i].Value.ETag)
	}
	answers, err = b.service.store.readAll(t.Context(), []string{key, "none"})
	require.NoError(t, err)
	require.NotEmpty(t, answers[0].Value.Value)
	require.Nil(t, answers[1].Value.Value)
	require.NoError(t, answers[1].Err)
}
