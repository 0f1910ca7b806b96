package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/stampede-shop/stampede/kit/dapr"
)

// call asks a neighbour as the shopper who makes the request: with the token of
// the session, and with the address and the browser, by which auth counts.
func (s *service) call(ctx context.Context, app, method, path string, in, out any, opts ...dapr.CallOption) error {
	who := shopperOf(ctx).session
	all := []dapr.CallOption{dapr.Visitor(ctx)}
	if who != nil {
		all = append(all, dapr.Token(who.Access))
	}
	err := s.dapr.Call(ctx, app, method, path, in, out, append(all, opts...)...)
	if who != nil && slugOf(err) == "unauthenticated" {
		// The token is of no use any more, whatever we think: the next
		// request leads to the login instead of here again.
		_ = s.sessions.end(context.WithoutCancel(ctx), who)
	}
	return err
}

// get is call for what is only read. query may be nil.
func get[T any](ctx context.Context, s *service, app, path string, query url.Values, opts ...dapr.CallOption) (T, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var out T
	err := s.call(ctx, app, http.MethodGet, path, nil, &out, opts...)
	return out, err
}

// items is the body of the services' lists.
type items[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// asNobody is for what everybody may read and what is kept for others than the
// shopper who makes the request: it is asked for without a token.
func asNobody(ctx context.Context) context.Context { return withShopper(ctx, &shopper{}) }
