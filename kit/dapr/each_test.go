package dapr_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/dapr/daprtest"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

var errSoldOut = problem.New(problem.Conflict, "out-of-stock", "Not enough stock")

// TestCallEach: each is answered by itself, also by a refusal, a failure or a panic of its own.
func TestCallEach(t *testing.T) {
	t.Parallel()
	double := func(_ context.Context, n int) (int, error) {
		switch n {
		case 2:
			return 0, errSoldOut.With("available", 7)
		case 3:
			return 0, errors.New("a bug")
		case 4:
			panic("a bug")
		}
		return 2 * n, nil
	}
	short := 0
	sidecar, _ := daprtest.Sidecar{Invoke: func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Items []int }
		_ = json.NewDecoder(r.Body).Decode(&in)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(rest.DoEach(r.Context(), r.URL.Path, in.Items[short:], double))
	}}.Start(t)
	answers, err := dapr.CallEach[int, int](t.Context(), sidecar, "inventory", "/internal/doubles", []int{1, 2, 3, 4, 5})
	require.NoError(t, err)
	require.Equal(t, 2, answers[0].Value)
	require.NoError(t, answers[0].Err)
	var p *problem.Error
	require.ErrorAs(t, answers[1].Err, &p)
	require.Equal(t, "out-of-stock", p.Slug())
	require.Equal(t, float64(7), p.Members()["available"])
	require.ErrorIs(t, answers[2].Err, problem.ErrUnavailable)
	require.ErrorIs(t, answers[3].Err, problem.ErrUnavailable)
	require.Equal(t, 10, answers[4].Value)

	short = 1
	_, err = dapr.CallEach[int, int](t.Context(), sidecar, "inventory", "/internal/doubles", []int{1, 5})
	require.ErrorContains(t, err, "1 answers to 2")
}
