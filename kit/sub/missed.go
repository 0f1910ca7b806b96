package sub

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/outbox"
)

// Missed returns what reads the outbox of another service, app, some time
// behind, and handles those of its events that never arrived, by the same
// handlers and once, as the inbox knows. The publisher confirms and the inbox
// do not cover a broker that crashes between confirming and keeping.
func (s *Subscriber) Missed(app string, behind time.Duration) func(ctx context.Context) error {
	query := url.Values{"topic": s.Topics()}
	pull := feed.Pull[outbox.Published]{
		Name: app + ".events", DB: s.DB, Log: s.Log, Behind: behind,
		Source: feed.From(s.Dapr, app, outbox.FeedPath+"?"+query.Encode()),
		Apply:  s.missed,
	}
	return pull.Run
}

func (s *Subscriber) missed(ctx context.Context, tx pgx.Tx, p outbox.Published) error {
	t := s.topic(p.Topic)
	if t == nil {
		return nil
	}
	id := p.ID.String()
	// Nearly all have arrived, so nothing is written before that is known.
	var done bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM inbox WHERE event_id = $1 AND done_at IS NOT NULL)`, id).Scan(&done); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	if done {
		return nil
	}
	s.Log.WarnContext(ctx, "an event was lost, it is handled now", "topic", p.Topic, "event", id)
	e := dapr.Event{ID: id, Type: p.Topic, Topic: p.Topic, Data: p.Data, Traceparent: p.Traceparent}
	err := s.try(ctx, t, e, func(ctx context.Context, e dapr.Event) error {
		// Within tx, so that what a dropped event has done can be undone and its letter written.
		return pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error { return t.once(ctx, inner, []delivery{{ctx, e}}) })
	})
	if !errors.Is(err, Drop) {
		return err
	}
	s.Log.ErrorContext(ctx, "event became a dead letter", "topic", t.name, "event", e.ID, "tries", 1, "error", err)
	return t.bury(ctx, tx, e, 1, err)
}
