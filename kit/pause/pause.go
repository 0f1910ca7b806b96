// Package pause waits for as long as a context lets it.
package pause

import (
	"context"
	"time"
)

// For waits for d, and reports false when ctx ended first.
func For(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
