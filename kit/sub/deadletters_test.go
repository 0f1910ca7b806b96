package sub_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/sub"
)

type parcel struct {
	N int `json:"n"`
}

func (parcel) Topic() string { return "parcel.lost.v1" }

type pin struct{ parcel }

func (pin) Topic() string { return "pin.lost.v1" }
func (pin) Secret() bool  { return true }

var effects = fstest.MapFS{"migrations/00001_effects.sql": {Data: []byte("-- +goose Up\nCREATE TABLE effects (n int NOT NULL, event text NOT NULL);\n")}}

const letters = "/api/v1/admin/post/dead-letters"

// office is a service whose handler writes and then returns what fail says.
type office struct {
	rt    *serve.Runtime
	db    *pgxpool.Pool
	admin string
	fail  atomic.Pointer[error]
}

func open[E outbox.Event](t *testing.T, n func(E) int) *office {
	t.Helper()
	rt, db := servetest.NewTest(t, "post", effects)
	o := &office{rt: rt, db: db, admin: servetest.Token(t, uuid.New(), "ops@example.test", auth.RoleAdmin)}
	o.breaks(errors.New("never"))
	sub.On(rt.Subs, func(ctx context.Context, tx pgx.Tx, e E) error {
		if _, err := tx.Exec(ctx, `INSERT INTO effects (n, event) VALUES ($1, $2)`, n(e), sub.EventID(ctx)); err != nil {
			return err
		}
		err := *o.fail.Load()
		if err != nil && err.Error() == "panic" {
			panic("boom")
		}
		return err
	})
	rt.Subs.Routes(rt.API, "post")
	return o
}

func parcels(t *testing.T) *office { return open(t, func(p parcel) int { return p.N }) }

func (o *office) breaks(err error) { o.fail.Store(&err) }
func (o *office) works()           { o.breaks(nil) }

// dies delivers an event that its handler refuses for good.
func (o *office) dies(t *testing.T, topic, data string) (id string) {
	t.Helper()
	was := *o.fail.Load()
	o.breaks(fmt.Errorf("broken rule: %w", sub.Drop))
	e := dapr.Event{ID: uuid.Must(uuid.NewV7()).String(), Topic: topic, Type: topic, Data: []byte(data)}
	require.Equal(t, dapr.Done, o.rt.Subs.DeliverNow(t, e))
	o.breaks(was)
	return e.ID
}

func (o *office) do(t *testing.T, method, path string) servetest.Response {
	t.Helper()
	return servetest.Do(t, o.rt, method, letters+path, o.admin, nil)
}

type page struct {
	Items []struct {
		EventID string `json:"event_id"`
		Topic   string
		Error   string
		Tries   int
		DiedAt  time.Time `json:"died_at"`
		Data    any
	}
	NextCursor *string `json:"next_cursor"`
}

func (o *office) list(t *testing.T, query string) (p page) {
	t.Helper()
	res := o.do(t, "GET", query)
	require.Equal(t, 200, res.Status, "%s", res.Body)
	res.JSON(t, &p)
	return p
}

func (o *office) count(t *testing.T, what string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, o.db.QueryRow(t.Context(), `SELECT count(*) FROM `+what, args...).Scan(&n))
	return n
}

func TestListLetters(t *testing.T) {
	t.Parallel()
	o := parcels(t)
	require.Empty(t, o.list(t, "").Items)
	var died []string
	for n := range 5 {
		died = append([]string{o.dies(t, "parcel.lost.v1", fmt.Sprintf(`{"n":%d}`, n))}, died...)
	}
	all := o.list(t, "")
	var got []string
	for _, l := range all.Items {
		got = append(got, l.EventID)
		require.Equal(t, []any{"parcel.lost.v1", "broken rule: cannot be handled", 1}, []any{l.Topic, l.Error, l.Tries})
		require.WithinDuration(t, time.Now(), l.DiedAt, time.Minute)
	}
	require.Equal(t, died, got, "newest first")
	require.Nil(t, all.NextCursor)
	require.Equal(t, map[string]any{"n": float64(4)}, all.Items[0].Data)

	// Those that die at the same moment are listed all the same, page by page.
	_, err := o.db.Exec(t.Context(), `UPDATE dead_letters SET died_at = now()`)
	require.NoError(t, err)
	got = nil
	for query := "?limit=2"; ; {
		p := o.list(t, query)
		for _, l := range p.Items {
			got = append(got, l.EventID)
		}
		if p.NextCursor == nil {
			break
		}
		query = "?limit=2&cursor=" + url.QueryEscape(*p.NextCursor)
	}
	require.ElementsMatch(t, died, got)
	_, err = o.db.Exec(t.Context(), `UPDATE dead_letters SET topic = 'parcel.found.v1', tries = 3, died_at = now() WHERE event_id = $1`, died[1])
	require.NoError(t, err)
	servetest.Sorts(t, o.rt, o.admin, letters, map[string]string{
		"newest": "-died_at", "oldest": "died_at", "topic": "topic", "-topic": "-topic", "tries": "tries", "-tries": "-tries",
	})
	for query, want := range map[string]int{"?q=FOUND": 1, "?q=broken+rule": 5, "?q=" + died[2]: 1, "?q=%25": 0, "?q=+": 5} {
		require.Len(t, o.list(t, query).Items, want, query)
	}
	for _, bad := range []string{"?limit=0", "?limit=101", "?limit=x", "?cursor=forged", "?sort=x", "?q=" + strings.Repeat("a", 201)} {
		require.Equal(t, "invalid", o.do(t, "GET", bad).Slug(), bad)
	}
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	o := parcels(t)
	var got struct {
		Unsent      int
		LagSeconds  float64 `json:"lag_seconds"`
		DeadLetters int     `json:"dead_letters"`
	}
	path := strings.TrimSuffix(letters, "dead-letters") + "backlog"
	servetest.Do(t, o.rt, "GET", path, o.admin, nil).JSON(t, &got)
	require.Zero(t, got)
	o.dies(t, "parcel.lost.v1", `{"n":1}`)
	_, err := o.db.Exec(t.Context(), `INSERT INTO outbox (id, topic, data, created_at) VALUES (gen_random_uuid(), 'parcel.sent.v1', '{}', now() - interval '30 seconds')`)
	require.NoError(t, err)
	servetest.Do(t, o.rt, "GET", path, o.admin, nil).JSON(t, &got)
	require.Equal(t, []int{1, 1}, []int{got.Unsent, got.DeadLetters})
	require.InDelta(t, 30, got.LagSeconds, 10)
}

func TestLettersAreForAdministrators(t *testing.T) {
	t.Parallel()
	o := parcels(t)
	id := o.dies(t, "parcel.lost.v1", `{"n":1}`)
	user := servetest.Token(t, uuid.New(), "ada@example.test", auth.RoleUser)
	for _, c := range [][2]string{{"GET", letters}, {"POST", letters + "/" + id + "/redrive"}, {"DELETE", letters + "/" + id}} {
		require.Equal(t, "unauthenticated", servetest.Do(t, o.rt, c[0], c[1], "", nil).Slug())
		require.Equal(t, "forbidden", servetest.Do(t, o.rt, c[0], c[1], user, nil).Slug())
	}
	require.Len(t, o.list(t, "").Items, 1)
}

func TestRedrive(t *testing.T) {
	t.Parallel()
	o := parcels(t)
	id := o.dies(t, "parcel.lost.v1", `{"n":7}`)
	other := o.dies(t, "parcel.lost.v1", `{"n":8}`)
	require.Zero(t, o.count(t, `effects`))

	// A failure changes nothing but the row.
	for tries, c := range []struct{ fail, want string }{{"the shelf is empty", "the shelf is empty"}, {"panic", "panic: boom"}} {
		o.breaks(errors.New(c.fail))
		res := o.do(t, "POST", "/"+id+"/redrive")
		require.Equal(t, 409, res.Status, "%s", res.Body)
		require.Equal(t, "redrive-failed", res.Slug())
		require.Contains(t, string(res.Body), `"error":"`+c.want+`"`)
		require.Zero(t, o.count(t, `effects`))
		require.Equal(t, 1, o.count(t, `dead_letters WHERE event_id = $1 AND error = $2 AND tries = $3`, id, c.want, tries+2))
	}
	require.Equal(t, id, o.list(t, "").Items[1].EventID, "its place stays")

	o.works()
	require.Equal(t, 204, o.do(t, "POST", "/"+id+"/redrive").Status)
	require.Equal(t, 1, o.count(t, `effects WHERE n = 7 AND event = $1`, id), "under its own id")
	require.Equal(t, other, o.list(t, "").Items[0].EventID)
	require.Len(t, o.list(t, "").Items, 1)

	// Once: not by the administrator, nor by a late copy.
	require.Equal(t, "dead-letter-not-found", o.do(t, "POST", "/"+id+"/redrive").Slug())
	require.Equal(t, dapr.Done, o.rt.Subs.DeliverNow(t, dapr.Event{ID: id, Topic: "parcel.lost.v1", Data: []byte(`{"n":7}`)}))
	require.Equal(t, 1, o.count(t, `effects`))
}

func TestRedriveTogether(t *testing.T) {
	t.Parallel()
	o := parcels(t)
	id := o.dies(t, "parcel.lost.v1", `{"n":7}`)
	o.works()
	var all sync.WaitGroup
	var done, gone atomic.Int32
	for range 8 {
		all.Go(func() {
			switch res := o.do(t, "POST", "/"+id+"/redrive"); res.Status {
			case 204:
				done.Add(1)
			case 404:
				gone.Add(1)
			}
		})
	}
	all.Wait()
	require.Equal(t, []int32{1, 7}, []int32{done.Load(), gone.Load()})
	require.Equal(t, 1, o.count(t, `effects`))
}

func TestRedriveWhatCannotBe(t *testing.T) {
	t.Parallel()
	o := parcels(t)
	o.works()
	// A broken document is shown as it is, and fails again.
	id := o.dies(t, "parcel.lost.v1", "{\"n\":\"one\"")
	require.Equal(t, `{"n":"one"`, o.list(t, "").Items[0].Data)
	res := o.do(t, "POST", "/"+id+"/redrive")
	require.Equal(t, "redrive-failed", res.Slug())
	require.Contains(t, string(res.Body), "decode parcel.lost.v1")

	_, err := o.db.Exec(t.Context(), `UPDATE dead_letters SET topic = 'parcel.lost.v0'`)
	require.NoError(t, err)
	require.Equal(t, "event-not-consumed", o.do(t, "POST", "/"+id+"/redrive").Slug())
	require.Equal(t, 1, o.count(t, `dead_letters`))

	for _, bad := range []string{uuid.NewString(), "x", "%27%20OR%201=1", "..%2f", strings.Repeat("a", 255)} {
		require.Equal(t, "dead-letter-not-found", o.do(t, "POST", "/"+bad+"/redrive").Slug(), bad)
		require.Equal(t, "dead-letter-not-found", o.do(t, "DELETE", "/"+bad).Slug(), bad)
	}
	require.Equal(t, "invalid", o.do(t, "DELETE", "/"+strings.Repeat("a", 256)).Slug())
	require.Equal(t, "malformed", o.do(t, "DELETE", "/%00").Slug())
	require.Equal(t, 1, o.count(t, `dead_letters`))
}

func TestSecretLetters(t *testing.T) {
	t.Parallel()
	o := open(t, func(p pin) int { return p.N })
	id := o.dies(t, "pin.lost.v1", `{"n":123456}`)
	o.works()
	res := o.do(t, "GET", "")
	require.Contains(t, string(res.Body), `"data":null`)
	require.NotContains(t, string(res.Body), "123456")
	require.Equal(t, "dead-letter-wiped", o.do(t, "POST", "/"+id+"/redrive").Slug())
	require.Zero(t, o.count(t, `effects`))
	require.Equal(t, 204, o.do(t, "DELETE", "/"+id).Status)
	require.Empty(t, o.list(t, "").Items)
}

func TestDropLetter(t *testing.T) {
	t.Parallel()
	o := parcels(t)
	id := o.dies(t, "parcel.lost.v1", `{"n":7}`)
	o.works()
	require.Equal(t, 204, o.do(t, "DELETE", "/"+id).Status)
	require.Equal(t, "dead-letter-not-found", o.do(t, "DELETE", "/"+id).Slug())
	require.Equal(t, dapr.Done, o.rt.Subs.DeliverNow(t, dapr.Event{ID: id, Topic: "parcel.lost.v1", Data: []byte(`{"n":7}`)}))
	require.Zero(t, o.count(t, `effects`), "dropped for good")
}
