package pg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenWithin is Open with another answerLimit.
func OpenWithin(ctx context.Context, url string, answer time.Duration) (*pgxpool.Pool, error) {
	return open(ctx, url, Connections, answer)
}
