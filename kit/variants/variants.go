// Package variants asks products about SKUs, for those who price them: what it
// told is good for a second, and what several callers lack at the same time is
// asked for together.
package variants

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/gather"
)

const (
	// fresh is how long an answer is good: in a rush everybody asks for the same
	// few, and a price that is at most a second old is honoured.
	fresh = time.Second
	// most is how many SKUs products takes at once.
	most = 500
)

// Reader reads variants as V, which is what its service wants to know of one.
type Reader[V any] struct {
	sidecar *dapr.Client
	sku     func(V) string
	told    *otter.Cache[string, V]
	asks    *gather.Gatherer[[]string, map[string]V]
}

// New makes a reader that asks through a sidecar; sku is a variant's own.
func New[V any](sidecar *dapr.Client, sku func(V) string) *Reader[V] {
	r := &Reader[V]{sidecar: sidecar, sku: sku, told: otter.Must(&otter.Options[string, V]{
		MaximumSize: 10_000, ExpiryCalculator: otter.ExpiryWriting[string, V](fresh),
	})}
	r.asks = gather.New(gather.Settings[[]string]{}, r.ask)
	return r
}

// Read returns what products knows of the SKUs, at most a second old; unknown
// ones are left out. Errors are those of the call.
func (r *Reader[V]) Read(ctx context.Context, skus []string) (map[string]V, error) {
	return r.told.BulkGet(ctx, skus, otter.BulkLoaderFunc[string, V](r.asks.Do))
}

// Forget drops what was told.
func (r *Reader[V]) Forget() { r.told.InvalidateAll() }

// ask asks for the SKUs that any of the batch wants, and answers each with its own.
func (r *Reader[V]) ask(ctx context.Context, batch [][]string) ([]gather.Answer[map[string]V], error) {
	found := map[string]V{}
	for skus := range slices.Chunk(slices.Compact(slices.Sorted(slices.Values(slices.Concat(batch...)))), most) {
		var out struct {
			Items []V `json:"items"`
		}
		err := r.sidecar.Call(ctx, "products", http.MethodPost, "/internal/variants", map[string][]string{"skus": skus}, &out)
		if err != nil {
			return nil, err
		}
		for _, v := range out.Items {
			found[r.sku(v)] = v
		}
	}
	answers := make([]gather.Answer[map[string]V], len(batch))
	for i, skus := range batch {
		answers[i] = gather.Answer[map[string]V]{Value: map[string]V{}}
		for _, sku := range skus {
			if v, ok := found[sku]; ok {
				answers[i].Value[sku] = v
			}
		}
	}
	return answers, nil
}
