package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/problem"
)

// items is the body of the services' lists.
type items[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// ask calls a service with the caller's own token: the service checks the
// role again.
func ask[T any](ctx context.Context, s *service, app, method, path string, in any, opts ...dapr.CallOption) (T, error) {
	var out T
	opts = append([]dapr.CallOption{dapr.Token(auth.Must(ctx).Token)}, opts...)
	err := s.dapr.Call(ctx, app, method, path, in, &out, opts...)
	return out, err
}

func get[T any](ctx context.Context, s *service, app, path string, query ...url.Values) (T, error) {
	if len(query) > 0 && len(query[0]) > 0 {
		path += "?" + query[0].Encode()
	}
	return ask[T](ctx, s, app, http.MethodGet, path, nil)
}

// act asks for a change; what comes back does not matter.
func (s *service) act(ctx context.Context, app, method, path string, in any, opts ...dapr.CallOption) error {
	opts = append([]dapr.CallOption{dapr.Token(auth.Must(ctx).Token), dapr.Timeout(patience)}, opts...)
	return s.dapr.Call(ctx, app, method, path, in, nil, opts...)
}

// patience is for changes: they are sent once, so an answer that is late is
// better than none.
const patience = 10 * time.Second

// part is a part of a page that comes from one service. When that is away the
// rest of the page is shown all the same.
type part[T any] struct {
	Data T
	Err  error
}

// Away tells whether the service did not answer.
func (p part[T]) Away() bool { return p.Err != nil && !missing(p.Err) }

// Missing tells whether the service has no such thing.
func (p part[T]) Missing() bool { return missing(p.Err) }

func missing(err error) bool {
	var known *problem.Error
	return errors.As(err, &known) && known.Kind() == problem.NotFound
}

// load fills a part while others are filled.
func load[T any](wait *sync.WaitGroup, into *part[T], fn func() (T, error)) {
	wait.Go(func() { into.Data, into.Err = fn() })
}
