package feed

import (
	"context"
	"time"

	"github.com/stampede-shop/stampede/kit/pg"
)

// ReadNow is Read without the second that it keeps behind.
func ReadNow[R any](ctx context.Context, db pg.Querier, ask Ask, sql string, place func(R) Place, args ...any) ([]R, string, bool, error) {
	return read(ctx, db, ask, sql, place, args...)
}

// WithLease is p with another lease.
func (p Pull[T]) WithLease(d time.Duration) Pull[T] {
	p.lease = d
	return p
}
