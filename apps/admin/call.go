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

// call asks a service with the caller's own token: the service checks the role
// again.
func (s *service) call(ctx context.Context, app, method, path string, in, out any, opts ...dapr.CallOption) error {
	all := []dapr.CallOption{dapr.Visitor(ctx), dapr.Token(auth.Must(ctx).Token)}
	if method != http.MethodGet {
		all = append(all, dapr.Timeout(patience))
	}
	return s.dapr.Call(ctx, app, method, path, in, out, append(all, opts...)...)
}

// patience is for changes: they are sent once, so an answer that is late is
// better than none.
const patience = 10 * time.Second

// get is call for what is only read. query may be nil.
func get[T any](ctx context.Context, s *service, app, path string, query url.Values, opts ...dapr.CallOption) (T, error) {
	var out T
	err := s.call(ctx, app, http.MethodGet, address(path, query), nil, &out, opts...)
	return out, err
}

// items is the body of the services' lists.
type items[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

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
