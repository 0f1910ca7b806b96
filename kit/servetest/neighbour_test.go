package servetest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// watched is a test that notes its errors instead of failing.
type watched struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (w *watched) Helper() {}

func (w *watched) Errorf(format string, a ...any) { w.note(fmt.Sprintf(format, a...)) }

func (w *watched) Error(a ...any) { w.note(fmt.Sprint(a...)) }

func (w *watched) note(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, text)
}

// TestNeighbourIsHonest: a stand-in fails the test when it is asked what its
// neighbour would refuse, or answers what that never does.
func TestNeighbourIsHonest(t *testing.T) {
	t.Parallel()
	hold := "/internal/orders/" + uuid.NewString() + "/hold"
	const operation = "PUT /internal/orders/{id}/hold"
	good := map[string]any{"shopper": "account:12345678", "lines": []any{map[string]any{"sku": "A", "quantity": 1}}}
	held := servetest.Answers(map[string]bool{"held": true})
	for name, c := range map[string]struct {
		caller  string
		body    any
		handler http.HandlerFunc
		want    string // of the test's errors
	}{
		"as it is":                {"orders", good, held, ""},
		"a refusal that it knows": {"orders", good, servetest.Refuses(problem.New(problem.Conflict, "out-of-stock", "")), ""},
		"hung up":                 {"orders", good, servetest.HangsUp(held), ""},
		"away":                    {"orders", good, servetest.IsAway, ""},
		"who may not":             {"carts", good, held, "and not carts"},
		"a wrong body":            {"orders", map[string]any{"shopper": "account:12345678", "lines": []any{}}, held, "minItems"},
		"no body":                 {"orders", nil, held, "the body is missing"},
		"a wrong answer":          {"orders", good, servetest.Answers(map[string]string{"held": "yes"}), "got string, want boolean"},
		"a status of its own":     {"orders", good, servetest.AnswersStatus(http.StatusAccepted, nil), "not declared"},
		"a refusal of its own":    {"orders", good, servetest.Refuses(problem.New(problem.Conflict, "full-moon", "")), "value must be one of"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &watched{TB: t}
			rt, _ := servetest.NewTest(w, c.caller, nil)
			servetest.Neighbour(w, rt, "inventory", operation, c.handler)
			_ = rt.Dapr.Call(t.Context(), "inventory", "PUT", hold, c.body, nil)
			said := strings.Join(w.said, "\n")
			if c.want == "" {
				require.Empty(t, said)
				return
			}
			require.Contains(t, said, c.want)
		})
	}
}

// TestAnswersAreChecked: an operation that answers what it does not declare
// fails the test that asks it.
func TestAnswersAreChecked(t *testing.T) {
	t.Parallel()
	w := &watched{TB: t}
	rt, _ := servetest.NewTest(w, "echo", nil)
	rest.Handle(rt.API, rest.Op("GET", "/api/v1/things/{id}", "Read", rest.Anyone), func(context.Context, *struct {
		ID string `path:"id"`
	}) (*struct{}, error) {
		return nil, problem.New(problem.Conflict, "teapot", "This is a teapot")
	})
	servetest.Do(w, rt, "GET", "/api/v1/things/1", "", nil)
	require.Len(t, w.said, 1)
	require.Contains(t, w.said[0], "the status is not declared")
	servetest.Do(w, rt, "GET", "/api/v1/nothing", "", nil)
	require.Len(t, w.said, 1)
}
