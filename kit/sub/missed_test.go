package sub_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/sub"
)

type opened struct {
	Name string `json:"name"`
}

func (opened) Topic() string { return "shop.opened.v1" }

type key struct {
	Text string `json:"text"`
}

func (key) Topic() string { return "key.made.v1" }
func (key) Secret() bool  { return true }

// TestMissed: what the broker lost is handled from the publisher's own outbox,
// once, and what arrived is not handled again.
func TestMissed(t *testing.T) {
	t.Parallel()
	publisher, consumer := pgtest.New(t, nil), pgtest.New(t, nil)
	ctx := t.Context()

	// The publisher's real route; what stands between the two passes calls on and says who asks, as the sidecars do.
	router, api := rest.New(rest.Config{Name: "publisher", AppToken: "app", Log: slog.New(slog.DiscardHandler)})
	outbox.Feed(api, publisher, rest.Neighbours("consumer"))
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("dapr-api-token", "app")
		r.Header.Set("dapr-caller-app-id", "consumer")
		router.ServeHTTP(w, r)
	}))
	defer between.Close()
	sidecar, err := dapr.At("127.0.0.1:1", between.Listener.Addr().String(), "")
	require.NoError(t, err)
	defer sidecar.Close()

	var heard []string
	subs := &sub.Subscriber{DB: consumer, Dapr: sidecar, Log: slog.New(slog.DiscardHandler)}
	sub.On(subs, func(ctx context.Context, tx pgx.Tx, e opened) error {
		if e.Name == "hopeless" {
			if _, err := tx.Exec(ctx, `INSERT INTO inbox (event_id, topic) VALUES ('half done', '')`); err != nil {
				return err
			}
			return fmt.Errorf("nobody can: %w", sub.Drop)
		}
		heard = append(heard, e.Name)
		return nil
	})
	sub.On(subs, func(_ context.Context, _ pgx.Tx, e key) error { heard = append(heard, "a secret"); return nil })
	put := func(e outbox.Event) (id string) {
		require.NoError(t, pg.InTx(ctx, publisher, func(tx pgx.Tx) error { return outbox.Put(ctx, tx, e) }))
		require.NoError(t, publisher.QueryRow(ctx, `SELECT id::text FROM outbox ORDER BY id DESC LIMIT 1`).Scan(&id))
		// Out of the second that a feed keeps behind.
		_, err := publisher.Exec(ctx, `UPDATE outbox SET created_at = created_at - interval '2 seconds' WHERE id = $1`, id)
		require.NoError(t, err)
		return id
	}

	arrived := put(opened{"arrived"})
	require.NoError(t, subs.Deliver(ctx, dapr.Event{ID: arrived, Topic: "shop.opened.v1", Data: []byte(`{"name":"arrived"}`)}))
	put(opened{"lost"})
	put(key{"1234"})
	missed := subs.Missed("publisher", 0)
	require.NoError(t, missed(ctx))
	require.Equal(t, []string{"arrived", "lost"}, heard)

	put(opened{"lost too"})
	require.NoError(t, missed(ctx))
	require.NoError(t, missed(ctx))
	require.Equal(t, []string{"arrived", "lost", "lost too"}, heard, "each once")

	hopeless := put(opened{"hopeless"})
	require.NoError(t, missed(ctx))
	require.NoError(t, missed(ctx))
	for what, want := range map[string]int{
		`dead_letters WHERE event_id = '` + hopeless + `' AND error = 'nobody can: cannot be handled' AND tries = 1`: 1,
		`inbox WHERE event_id = '` + hopeless + `' AND done_at IS NOT NULL`:                                          1,
		`inbox WHERE event_id = 'half done'`:                                                                         0,
		`feed_failures`:                                                                                              0,
	} {
		var n int
		require.NoError(t, consumer.QueryRow(ctx, `SELECT count(*) FROM `+what).Scan(&n))
		require.Equal(t, want, n, what)
	}
}
