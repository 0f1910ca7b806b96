package dapr

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// CallEach asks a neighbour for several of one kind by one call, a PUT of
// {"items": batch} to a route that answers as rest.Each. Each gets an answer of
// its own, with the errors of Call. An error for all is the neighbour's refusal
// of the whole, for instance by one that does not know the route.
func CallEach[In, Out any](ctx context.Context, c *Client, app, path string, batch []In) ([]gather.Answer[Out], error) {
	var out struct {
		Answers []struct {
			Value   Out             `json:"value"`
			Problem json.RawMessage `json:"problem"`
		} `json:"answers"`
	}
	if err := c.Call(ctx, app, http.MethodPut, path, map[string][]In{"items": batch}, &out); err != nil {
		return nil, err
	}
	if len(out.Answers) != len(batch) {
		return nil, fmt.Errorf("call %s PUT %s: %d answers to %d", app, path, len(out.Answers), len(batch))
	}
	answers := make([]gather.Answer[Out], len(batch))
	for i, a := range out.Answers {
		answers[i] = gather.Answer[Out]{Value: a.Value}
		if a.Problem == nil {
			continue
		}
		p, err := rest.ReadProblem(http.Header{}, a.Problem)
		if err == nil && !p.Ours() {
			answers[i].Err = p
			continue
		}
		if err == nil {
			err = p
		}
		answers[i].Err = problem.ErrUnavailable.Because(fmt.Errorf("call %s PUT %s: %w", app, path, err))
	}
	return answers, nil
}
