package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/rest"
)

// FeedPath is where a service tells its neighbours what it has published.
const FeedPath = "/internal/events"

// Published is an event of the feed: what a consumer needs to handle it as if
// it had been delivered.
type Published struct {
	ID          uuid.UUID       `json:"id"`
	Topic       string          `json:"topic"`
	Traceparent string          `json:"traceparent"`
	Data        json.RawMessage `json:"data" doc:"What the event carries, as docs/events.md says of its topic"`
}

type publishedRow struct {
	Published
	NotedAt time.Time
	Key     string
}

type feedOutput struct{ Body feed.Page[Published] }

// Feed mounts the outbox as a feed, for neighbours whose subscriptions may
// have missed something: a broker that crashes can lose what it had confirmed.
// Rows live for a day after they were sent. Secret events are not told again.
func Feed(api huma.API, db *pgxpool.Pool, neighbours rest.Access) {
	rest.Handle(api, rest.Op("GET", FeedPath, "List what was published, oldest first", neighbours),
		func(ctx context.Context, in *struct {
			feed.Ask
			Topics []string `query:"topic,explode" maxItems:"50" doc:"Only these"`
		}) (*feedOutput, error) {
			rows, cursor, more, err := feed.Read(ctx, db, in.Ask, `
				SELECT id, topic, traceparent, data, created_at AS noted_at, id::text AS key FROM outbox
				WHERE (created_at, id::text) > ($1, $2) AND created_at < $3 AND NOT secret AND topic = ANY($5)
				ORDER BY created_at, id::text LIMIT $4`,
				func(r publishedRow) feed.Place { return feed.Place{At: r.NotedAt, Key: r.Key} }, in.Topics)
			if err != nil {
				return nil, fmt.Errorf("outbox feed: %w", err)
			}
			out := &feedOutput{feed.Page[Published]{Items: []Published{}, Cursor: cursor, More: more}}
			for _, r := range rows {
				out.Body.Items = append(out.Body.Items, r.Published)
			}
			return out, nil
		})
}
