package variants

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr/daprtest"
)

type named struct {
	SKU  string `json:"sku"`
	Name string `json:"name"`
}

func sku(v named) string { return v.SKU }

// TestTogether: what a crowd lacks while an answer is on its way is asked for by one call, a SKU once, and each gets its own;
// what was told is not asked for again at once; what products does not know is left out.
func TestTogether(t *testing.T) {
	t.Parallel()
	const crowd = 20
	var mu sync.Mutex
	var asked [][]string
	first, go1 := make(chan struct{}), make(chan struct{})
	sidecar, _ := daprtest.Sidecar{Invoke: func(w http.ResponseWriter, r *http.Request) {
		var in struct{ SKUs []string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		mu.Lock()
		asked = append(asked, in.SKUs)
		alone := len(asked) == 1
		mu.Unlock()
		if alone {
			close(first)
			<-go1
		}
		items := []named{}
		for _, s := range in.SKUs {
			if !strings.HasPrefix(s, "none") {
				items = append(items, named{s, "The " + s})
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"items": items})
	}}.Start(t)
	reader := New(sidecar, sku)

	var all sync.WaitGroup
	read := func(want map[string]named, skus ...string) {
		all.Go(func() {
			got, err := reader.Read(t.Context(), skus)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%v: %v, %v", skus, got, err)
			}
		})
	}
	read(map[string]named{"A": {"A", "The A"}}, "A")
	<-first
	for i := range crowd {
		own := fmt.Sprintf("B-%d", i)
		read(map[string]named{own: {own, "The " + own}}, own, "none")
	}
	require.Eventually(t, func() bool { return reader.asks.Waits() == crowd }, 10*time.Second, time.Millisecond)
	close(go1)
	all.Wait()

	require.Len(t, asked, 2)
	require.Equal(t, []string{"A"}, asked[0])
	require.True(t, slices.IsSorted(asked[1]))
	got, err := reader.Read(t.Context(), []string{"A", "B-1"})
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Len(t, asked, 2, "told within the last second")
}
