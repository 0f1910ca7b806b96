package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// soldOut is a published product of which there is nothing.
func (b *bench) soldOut(sku string, number int64) {
	b.t.Helper()
	b.published("Product "+sku, sku, 1_000)
	b.crossed(sku, false, number)
}

func (b *bench) crossed(sku string, inStock bool, number int64) {
	b.t.Helper()
	require.NoError(b.t, servetest.DeliverAs(b.t, b.rt, uuid.NewString(),
		events.StockCrossed{SKU: sku, InStock: inStock, Number: number, At: b.s.now()}))
}

// told are the requests that events of a topic tell.
func (b *bench) told(topic string) (all []events.StockRequest) {
	b.t.Helper()
	for _, e := range servetest.Outbox(b.t, b.db) {
		if e.Topic == topic {
			var r events.StockRequest
			require.NoError(b.t, json.Unmarshal(e.Data, &r))
			all = append(all, r)
		}
	}
	return all
}

func (b *bench) tell() {
	b.t.Helper()
	require.NoError(b.t, tellReturned(b.t.Context(), b.db, b.s.now()))
}

const (
	requested = "stock.requested.v1"
	returned  = "stock.returned.v1"
)

func (b *bench) ask(token string, body any, status int) servetest.Response {
	b.t.Helper()
	return b.do("POST", requestsPath, token, body, status)
}

// TestStockRequestOfAccount: an account asks with one click, hears once when the SKU is back, however often and in whatever
// order that is told, and may ask again afterwards.
func TestStockRequestOfAccount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.soldOut("WAIT-1", 2)
	for range 2 {
		require.JSONEq(t, `{"state": "waiting"}`, string(b.ask(b.user, object{"sku": "WAIT-1"}, 202).Body))
	}
	b.crossed("WAIT-1", true, 1) // late
	b.tell()
	require.Empty(t, b.told(returned), "it is sold out")

	id := servetest.Deliver(t, b.rt, events.StockCrossed{SKU: "WAIT-1", InStock: true, Number: 3, At: b.s.now()})
	require.NoError(t, servetest.DeliverAs(t, b.rt, id, events.StockCrossed{SKU: "WAIT-1", InStock: true, Number: 3, At: b.s.now()}))
	b.tell()
	b.tell()
	b.crossed("WAIT-1", false, 4)
	b.crossed("WAIT-1", true, 5)
	b.tell()
	all := b.told(returned)
	require.Len(t, all, 1)
	require.Equal(t, "shopper@example.com", all[0].Email)
	require.Equal(t, [3]string{"WAIT-1", "product-wait-1", "Product WAIT-1"}, [3]string{all[0].SKU, all[0].Slug, all[0].Name})
	require.Empty(t, b.told(requested), "an account's address needs no proof")
	require.Equal(t, "in-stock", b.ask(b.user, object{"sku": "WAIT-1"}, 409).Slug())

	b.crossed("WAIT-1", false, 6)
	b.ask(b.user, object{"sku": "WAIT-1"}, 202)
	b.crossed("WAIT-1", true, 7)
	b.tell()
	again := b.told(returned)
	require.Len(t, again, 2)
	require.NotEqual(t, again[0].RequestID, again[1].RequestID, "a request of its own, with a mail of its own")
}

// TestStockRequestOfGuest: an address that somebody has typed is asked first, once a day whatever is typed, and hears nothing
// else before it has confirmed.
func TestStockRequestOfGuest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.soldOut("G-1", 1)
	b.soldOut("G-2", 1)
	for range 2 {
		b.ask("", object{"sku": "G-1", "email": " Ann@Example.test"}, 202)
	}
	require.JSONEq(t, `{"state": "pending"}`, string(b.ask("", object{"sku": "G-2", "email": "ann@example.test"}, 202).Body))
	asked := b.told(requested)
	require.Len(t, asked, 1)
	require.Equal(t, "ann@example.test", asked[0].Email)
	b.crossed("G-1", true, 2)
	b.tell()
	require.Empty(t, b.told(returned))

	at := requestsPath + "/" + asked[0].RequestID.String()
	var view StockRequestView
	b.do("GET", at, "", nil, 200).JSON(t, &view)
	require.Equal(t, RequestPending, view.State)
	require.Equal(t, "Product G-1", view.Name)
	require.NotContains(t, string(b.do("GET", at, "", nil, 200).Body), "ann@")
	for range 2 {
		b.do("PUT", at+"/confirmation", "", nil, 204)
	}
	b.tell() // what came back before it was confirmed
	require.Len(t, b.told(returned), 1)
	b.crossed("G-2", true, 2) // confirmed by the same click
	b.tell()
	require.Len(t, b.told(returned), 2)
	b.do("GET", at, "", nil, 200).JSON(t, &view)
	require.Equal(t, RequestTold, view.State)

	t.Log("the link in the mail ends all of them")
	b.soldOut("G-3", 1)
	b.ask("", object{"sku": "G-3", "email": "ann@example.test"}, 202)
	b.do("DELETE", at, "", nil, 204)
	require.Equal(t, "stock-request-not-found", b.do("DELETE", at, "", nil, 404).Slug())
	require.Equal(t, "stock-request-not-found", b.do("PUT", at+"/confirmation", "", nil, 404).Slug())
	var left int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM stock_requests`).Scan(&left))
	require.Zero(t, left)
}

// TestStockRequestRefused: what cannot be waited for, and by whom.
func TestStockRequestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.soldOut("R-1", 1)
	for _, email := range []string{"", "no address", "a@b", "ann@example.test, bob@example.test", "jösé@example.test"} {
		require.Equal(t, "invalid", b.ask("", object{"sku": "R-1", "email": email}, 422).Slug(), email)
	}
	require.Equal(t, "product-not-found", b.ask(b.user, object{"sku": "R-0"}, 404).Slug())
	require.Equal(t, "product-not-found", b.ask(b.user, object{"sku": "R-\u0007"}, 404).Slug())
	b.product("A draft", "R-2", 1_000)
	require.Equal(t, "product-not-found", b.ask(b.user, object{"sku": "R-2"}, 404).Slug())
	_, err := b.db.Exec(t.Context(), `
		INSERT INTO stock_requests (id, sku, email, asked_at, confirmed_at)
		SELECT gen_random_uuid(), 'OTHER-' || n, e, now(), now()
		FROM generate_series(1, $1::int) n, unnest(ARRAY['shopper@example.com', 'ann@example.test']) e`, maxRequests)
	require.NoError(t, err)
	require.Equal(t, "too-many-stock-requests", b.ask(b.user, object{"sku": "R-1"}, 409).Slug())
	b.ask("", object{"sku": "R-1", "email": "ann@example.test"}, 202) // a stranger learns nothing
	require.Empty(t, b.told(requested))
}

// TestManyWait: they are told in the order of their asking, so many at a time, and those for whom nothing is left go on
// waiting.
func TestManyWait(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.soldOut("M-1", 1)
	_, err := b.db.Exec(t.Context(), `
		INSERT INTO stock_requests (id, sku, email, asked_at, confirmed_at)
		SELECT gen_random_uuid(), 'M-1', 'n' || n || '@example.test', now(), now() + make_interval(secs => n)
		FROM generate_series(1, $1::int) n`, tellAtOnce+5)
	require.NoError(t, err)
	b.crossed("M-1", true, 2)
	var both sync.WaitGroup
	for range 2 { // two instances
		both.Go(func() {
			if err := tellReturned(t.Context(), b.db, b.s.now()); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	seen := map[string]bool{}
	for _, r := range b.told(returned) {
		require.False(t, seen[r.Email], "once")
		seen[r.Email] = true
	}
	require.True(t, seen["n1@example.test"])
	require.GreaterOrEqual(t, len(seen), tellAtOnce)

	b.crossed("M-1", false, 3)
	waits := func() (n int) {
		require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM stock_requests WHERE told_at IS NULL`).Scan(&n))
		return n
	}
	left := waits()
	b.tell()
	require.Equal(t, left, waits(), "it is gone again")
	b.crossed("M-1", true, 4)
	b.tell()
	b.tell()
	require.Zero(t, waits())
	require.Len(t, b.told(returned), tellAtOnce+5)
}

// TestWaitAndReturn: who asks while the SKU comes back is told, or hears that it is there; nobody waits in vain.
func TestWaitAndReturn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const shoppers = 12
	b.soldOut("RACE-W", 1)
	var all sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]int{}
	for i := range shoppers {
		token := servetest.Token(t, uuid.New(), fmt.Sprintf("n%d@example.test", i), "USER")
		all.Go(func() {
			status := servetest.Do(t, b.rt, "POST", requestsPath, token, object{"sku": "RACE-W"}).Status
			mu.Lock()
			defer mu.Unlock()
			answers[status]++
		})
	}
	all.Go(func() {
		e := events.StockCrossed{SKU: "RACE-W", InStock: true, Number: 2, At: time.Now()}
		if err := servetest.DeliverAs(t, b.rt, uuid.NewString(), e); err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	b.tell()
	require.Equal(t, shoppers, answers[202]+answers[409], "%v", answers)
	require.Len(t, b.told(returned), answers[202])
}

// TestMoveRequests: an account that has another address is told there, once a SKU, whatever the order of the news.
func TestMoveRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, sku := range []string{"M-1", "M-2"} {
		b.soldOut(sku, 1)
		b.ask(b.user, object{"sku": sku}, 202)
	}
	b.ask("", object{"sku": "M-2", "email": "new@example.test"}, 202) // the new address waits already, as a guest's
	var account uuid.UUID
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT account_id FROM stock_requests WHERE sku = 'M-1'`).Scan(&account))
	addresses := func() (all []string) {
		rows, err := b.db.Query(t.Context(),
			`SELECT sku || ' ' || email || ' ' || (confirmed_at IS NOT NULL) FROM stock_requests ORDER BY 1`)
		require.NoError(t, err)
		all, err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return all
	}
	now := b.s.now()
	servetest.Deliver(t, b.rt, events.AccountEmailChanged{AccountID: uuid.New(), Email: "other@example.test", At: now})
	servetest.Deliver(t, b.rt, events.AccountEmailChanged{AccountID: account, Email: "before@example.test", At: now.Add(-time.Hour)})
	require.Len(t, addresses(), 3, "of another account, or before it asked")
	want := []string{"M-1 new@example.test true", "M-2 new@example.test true"}
	for _, e := range []events.AccountEmailChanged{
		{AccountID: account, Email: "new@example.test", At: now.Add(2 * time.Minute)},
		{AccountID: account, Email: "old@example.test", At: now.Add(time.Minute)}, // late
	} {
		servetest.Deliver(t, b.rt, e)
		require.Equal(t, want, addresses())
	}

	b.crossed("M-1", true, 2)
	b.tell()
	require.Equal(t, "new@example.test", b.told(returned)[0].Email)
	b.ask("", object{"sku": "M-1", "email": "newest@example.test"}, 409) // in stock
	b.crossed("M-1", false, 3)
	b.ask("", object{"sku": "M-1", "email": "newest@example.test"}, 202)
	servetest.Deliver(t, b.rt, events.AccountEmailChanged{AccountID: account, Email: "newest@example.test", At: now.Add(3 * time.Minute)})
	require.Equal(t, []string{"M-1 newest@example.test false", "M-2 newest@example.test true"}, addresses(),
		"one that was answered makes way for one that waits")
}

// TestForgetRequests: with an account goes what it waits for, and in time all of it.
func TestForgetRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.soldOut("F-1", 1)
	account := uuid.New()
	token := servetest.Token(t, account, "leaver@example.test", "USER")
	b.ask(token, object{"sku": "F-1"}, 202)
	b.ask(b.user, object{"sku": "F-1"}, 202)
	mine := string(b.do("GET", requestsPath, token, nil, 200).Body)
	require.Equal(t, 1, strings.Count(mine, `"sku":"F-1"`))
	servetest.Deliver(t, b.rt, events.AccountRemoved{AccountID: account, At: b.s.now()})
	require.NotContains(t, string(b.do("GET", requestsPath, token, nil, 200).Body), "F-1")
	require.Contains(t, string(b.do("GET", requestsPath, b.user, nil, 200).Body), "F-1")
	b.do("GET", requestsPath, "", nil, 401)

	b.ask("", object{"sku": "F-1", "email": "guest@example.test"}, 202)
	count := func() (n int) {
		require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM stock_requests`).Scan(&n))
		return n
	}
	later := func(d time.Duration) int {
		require.NoError(t, pruneRequests(t.Context(), b.db, b.s.now().Add(d)))
		return count()
	}
	require.Equal(t, 2, later(pendingLife-time.Hour))
	require.Equal(t, 1, later(pendingLife+time.Hour))
	require.Equal(t, 1, later(waitingLife-time.Hour))
	require.Equal(t, 0, later(waitingLife+time.Hour))
}

// TestReturnTrace: who waits for a SKU is told in the trace of what brought it back.
func TestReturnTrace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.soldOut("M-1", 1)
	_, err := b.db.Exec(t.Context(), `
		INSERT INTO stock_requests (id, sku, email, asked_at, confirmed_at)
		VALUES (gen_random_uuid(), 'M-1', 'ann@example.test', now(), now())`)
	require.NoError(t, err)
	back := servetest.DeliverTraced(t, b.rt, events.StockCrossed{SKU: "M-1", InStock: true, Number: 2, At: b.s.now()})
	b.tell()
	told := servetest.Outbox(t, b.db)
	require.Equal(t, returned, told[len(told)-1].Topic)
	require.Equal(t, back, told[len(told)-1].Traceparent)
}
