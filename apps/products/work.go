package main

import (
	"context"
	"time"

	"github.com/stampede-shop/stampede/kit/serve"
)

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) {
	rt.Go("tell products again", time.Minute, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return tellAgain(ctx, s.store.db, s.settings.Currency, s.now())
	})
	rt.Go("index products again", time.Minute, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
		defer cancel()
		return indexAgain(ctx, s.store.db)
	})
	rt.Go("tell who waits for stock", tellEvery, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return tellReturned(ctx, s.store.db, s.now())
	})
	rt.Alone("prune requests for stock", time.Hour, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		return pruneRequests(ctx, s.store.db, s.now())
	})
	rt.Missed("inventory", "auth")
}
