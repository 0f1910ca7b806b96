package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/stampede-shop/stampede/kit/problem"
)

// Each is the answer of a route that does several of one kind at once: what
// became of each, in the order of the request.
type Each[T any] struct {
	Answers []EachAnswer[T] `json:"answers" nullable:"false"`
}

// EachAnswer is what became of one: its value, or the problem that kept it from
// being done.
type EachAnswer[T any] struct {
	Value   *T        `json:"value,omitempty"`
	Problem *document `json:"problem,omitempty"`
}

// DoEach does all of them side by side, for the route path.
func DoEach[In, Out any](ctx context.Context, path string, all []In, do func(context.Context, In) (Out, error)) Each[Out] {
	each := Each[Out]{Answers: make([]EachAnswer[Out], len(all))}
	var doing sync.WaitGroup
	for i, in := range all {
		doing.Go(func() {
			out, err := guarded(ctx, in, do)
			if err == nil {
				each.Answers[i].Value = &out
				return
			}
			var p *problem.Error
			if !errors.As(err, &p) {
				p = internal(err)
			}
			each.Answers[i].Problem = occurred(ctx, slog.Default(), "", path, p)
		})
	}
	doing.Wait()
	return each
}

// guarded makes a panic the failure of one.
func guarded[In, Out any](ctx context.Context, in In, do func(context.Context, In) (Out, error)) (out Out, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, stack())
		}
	}()
	return do(ctx, in)
}
