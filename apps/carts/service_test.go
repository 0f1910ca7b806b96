package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/skus"
	"github.com/stampede-shop/stampede/kit/statetest"
)

// limited is a SKU of which nobody may have more than two, and of which every
// account has bought one; GONE is not sold any more, SOLDOUT not there.
const limited = "LIMITED"

// dropped is a SKU that is in a drop.
const dropped = "DROPPED"

// freeUnits is how much of everything nobody holds.
const freeUnits = 5

// neighbours stand in for those of carts, as far as these tests need them:
// products sells every SKU, inventory has as much of everything as anybody
// wants, orders has confirmed what ended holds.
type neighbours struct {
	sync.Mutex
	holds        map[string]map[string]int // by shopper and SKU
	asked        int                       // how often inventory was asked to change something
	listed       int                       // how often for a cart's holds
	told         int                       // how often what is free
	transferring func()                    // happens when carts has read a guest's cart and merges it
	ended        []any
	soldOut      map[string]bool
}

func read[T any](r *http.Request) (in T) {
	_ = json.NewDecoder(r.Body).Decode(&in)
	return in
}

func (n *neighbours) held(shopper string) map[string]int {
	if n.holds[shopper] == nil {
		n.holds[shopper] = map[string]int{}
	}
	return n.holds[shopper]
}

// list is what inventory tells of a shopper's holds.
func (n *neighbours) list(shopper string) map[string]any {
	items := []any{}
	for sku, quantity := range n.held(shopper) {
		items = append(items, map[string]any{
			"sku": sku, "quantity": quantity, "expires_at": time.Now().Add(time.Minute), "free": freeUnits,
		})
	}
	return map[string]any{"items": items}
}

// set is what inventory does about a hold.
func (n *neighbours) set(_ context.Context, h hold) (map[string]any, error) {
	n.Lock()
	defer n.Unlock()
	n.asked++
	switch {
	case h.SKU == limited && h.Quantity > 1 && strings.HasPrefix(h.Shopper, "account:"):
		return nil, ErrLimitReached.With("limit", 2).With("available", 1)
	case h.SKU == dropped && h.Quantity > n.held(h.Shopper)[h.SKU]:
		return nil, ErrClaimRequired.With("sku", h.SKU).With("available", n.held(h.Shopper)[h.SKU])
	case n.soldOut[h.SKU] && h.Quantity > 0:
		return nil, ErrOutOfStock.With("available", 0)
	case h.Quantity == 0:
		delete(n.held(h.Shopper), h.SKU)
	default:
		n.held(h.Shopper)[h.SKU] = h.Quantity
	}
	return map[string]any{"sku": h.SKU, "quantity": h.Quantity, "expires_at": nil, "free": nil, "held": n.list(h.Shopper)["items"]}, nil
}

// standIn puts them beside a runtime.
func standIn(t *testing.T, rt *serve.Runtime) *neighbours {
	n := &neighbours{holds: map[string]map[string]int{}, soldOut: map[string]bool{}}
	servetest.Neighbour(t, rt, "products", "POST /internal/variants", func(w http.ResponseWriter, r *http.Request) {
		items := []map[string]any{}
		for _, sku := range read[struct{ SKUs []string }](r).SKUs {
			v := map[string]any{
				"sku": sku, "name": sku, "slug": sku, "variant": "", "image_url": "", "status": "published", "in_stock": true,
				"unit_price": map[string]any{"amount_minor": 1_000, "currency": "GBP"}, "max_per_shopper": nil, "weight_grams": 0,
			}
			switch sku {
			case limited:
				v["max_per_shopper"] = 2
			case "GONE":
				v["status"] = "unlisted"
			}
			items = append(items, v)
		}
		servetest.Answers(map[string]any{"items": items})(w, r)
	})
	servetest.Neighbour(t, rt, "inventory", "PUT /internal/holds/{shopper}/{sku}", func(w http.ResponseWriter, r *http.Request) {
		sku, err := skus.Parse(r.PathValue("sku"))
		if err != nil {
			rest.WriteProblem(w, r, err)
			return
		}
		out, err := n.set(r.Context(), hold{r.PathValue("shopper"), sku, read[struct{ Quantity int }](r).Quantity})
		if err != nil {
			rest.WriteProblem(w, r, err)
			return
		}
		servetest.Answers(out)(w, r)
	})
	servetest.Neighbour(t, rt, "inventory", "PUT /internal/holds", func(w http.ResponseWriter, r *http.Request) {
		servetest.Answers(rest.DoEach(r.Context(), r.URL.Path, read[struct{ Items []hold }](r).Items, n.set))(w, r)
	})
	servetest.Neighbour(t, rt, "inventory", "GET /internal/holds/{shopper}", func(w http.ResponseWriter, r *http.Request) {
		n.Lock()
		defer n.Unlock()
		n.listed++
		servetest.Answers(n.list(r.PathValue("shopper")))(w, r)
	})
	servetest.Neighbour(t, rt, "inventory", "POST /internal/availability", func(w http.ResponseWriter, r *http.Request) {
		n.Lock()
		defer n.Unlock()
		n.told++
		items := []any{}
		for _, sku := range read[struct{ SKUs []string }](r).SKUs {
			if sku != "UNKNOWN" {
				items = append(items, map[string]any{"sku": sku, "available": freeUnits, "as_of": time.Now()})
			}
		}
		servetest.Answers(map[string]any{"items": items})(w, r)
	})
	servetest.Neighbour(t, rt, "inventory", "DELETE /internal/holds/{shopper}", func(w http.ResponseWriter, r *http.Request) {
		n.Lock()
		defer n.Unlock()
		n.asked++
		delete(n.holds, r.PathValue("shopper"))
		servetest.AnswersStatus(http.StatusNoContent, nil)(w, r)
	})
	servetest.Neighbour(t, rt, "inventory", "POST /internal/holds/{shopper}/transfer", func(w http.ResponseWriter, r *http.Request) {
		in := read[struct {
			To    string
			Lines []Line
		}](r)
		n.Lock()
		now := n.transferring
		n.Unlock()
		if now != nil {
			now()
		}
		n.Lock()
		defer n.Unlock()
		for _, l := range in.Lines {
			delete(n.held(r.PathValue("shopper")), l.SKU)
			n.held(in.To)[l.SKU] = l.Quantity
		}
		servetest.Answers(n.list(in.To))(w, r)
	})
	servetest.Neighbour(t, rt, "orders", "GET /internal/orders/ended", func(w http.ResponseWriter, r *http.Request) {
		n.Lock()
		defer n.Unlock()
		if r.URL.Query().Get("status") != "confirmed" || r.URL.Query().Get("behind") != "120" {
			t.Errorf("orders is asked for %s", r.URL.RawQuery)
		}
		servetest.Answers(map[string]any{"items": n.ended, "cursor": "the-next", "more": false})(w, r)
	})
	return n
}

// bench is carts over a real store, with a shopper.
type bench struct {
	*testing.T
	*neighbours
	rt      *serve.Runtime
	service *service
	account uuid.UUID
	token   string
	session string
}

func setup(t *testing.T) *bench {
	t.Helper()
	statetest.Start(t, "carts")
	rt, _ := servetest.NewTest(t, "carts", nil)
	s, err := newService(rt, servetest.Settings[settings](t))
	require.NoError(t, err)
	id := uuid.New()
	return &bench{t, standIn(t, rt), rt, s, id, servetest.Token(t, id, "ann@example.test", auth.RoleUser), "session-" + uuid.NewString()}
}

// guest and own ask with the session alone and as the account.
func (b *bench) guest(method, path string, body any) servetest.Response {
	b.Helper()
	return servetest.Do(b, b.rt, method, path, "", body, "X-Cart-Session", b.session)
}

func (b *bench) own(method, path string, body any) servetest.Response {
	b.Helper()
	return servetest.Do(b, b.rt, method, path, b.token, body, "X-Cart-Session", b.session)
}

func (b *bench) view(r servetest.Response) (v View) {
	b.Helper()
	require.Equal(b, 200, r.Status, "%s", r.Body)
	r.JSON(b, &v)
	return v
}

func quantity(n int) map[string]int { return map[string]int{"quantity": n} }

// lines is what a cart holds, by SKU.
func lines(v View) map[string]int {
	all := map[string]int{}
	for _, l := range v.Lines {
		all[l.SKU] = l.Quantity
	}
	return all
}

// stored tells whether the store has the key.
func (b *bench) stored(key string) bool {
	b.Helper()
	value, _, err := b.rt.Dapr.GetState(b.Context(), serve.State, key)
	require.NoError(b, err)
	return value != nil
}

// holding is how many of a SKU inventory holds for a shopper.
func (b *bench) holding(shopper, sku string) int {
	b.Lock()
	defer b.Unlock()
	return b.holds[shopper][sku]
}

func TestPut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	require.Equal(t, map[string]int{"A": 2}, lines(first))
	require.NotNil(t, first.Lines[0].HoldExpiresAt)
	require.Equal(t, [2]int{1, 0}, [2]int{b.asked, b.listed}, "inventory is asked once")
	again := b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	require.Equal(t, first.CheckoutID, again.CheckoutID, "nothing has changed")
	more := b.view(b.own("PUT", "/api/v1/cart/items/B", quantity(1)))
	require.True(t, less(again.CheckoutID, more.CheckoutID), "an order of A alone is another one")
	require.Equal(t, more.CheckoutID, b.view(b.own("GET", "/api/v1/cart", nil)).CheckoutID)
	require.Equal(t, "product-not-found", b.own("PUT", "/api/v1/cart/items/GONE", quantity(1)).Slug())
	require.Equal(t, 204, b.own("DELETE", "/api/v1/cart", nil).Status)
	require.Zero(t, b.holding(accountKey(b.account), "A"))
	require.Empty(t, b.view(b.own("GET", "/api/v1/cart", nil)).Lines)
}

// TestAvailable: a line says how many its shopper may have, what the cart holds counted in and the SKU's limit kept. Only
// what is not held costs a question more, and a cart is shown without the answer.
func TestAvailable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.view(b.guest("PUT", "/api/v1/cart/items/A", quantity(3)))
	b.view(b.guest("PUT", "/api/v1/cart/items/UNKNOWN", quantity(1)))
	available := func() map[string]int64 {
		all := map[string]int64{}
		for _, l := range b.view(b.guest("GET", "/api/v1/cart", nil)).Lines {
			if l.Available != nil {
				all[l.SKU] = *l.Available
			}
		}
		return all
	}
	v := b.view(b.guest("PUT", "/api/v1/cart/items/"+limited, quantity(1)))
	require.EqualValues(t, 2, *v.Lines[2].Available, "no more than the limit")
	require.EqualValues(t, freeUnits, *v.Lines[2].Free)
	require.Equal(t, map[string]int64{"A": 3 + freeUnits, "UNKNOWN": 1 + freeUnits, limited: 2}, available())
	require.Zero(t, b.told, "all is held")

	delete(b.held(guestKey(b.session)), "A") // it has lapsed
	delete(b.held(guestKey(b.session)), "UNKNOWN")
	require.Equal(t, map[string]int64{"A": freeUnits, limited: 2}, available())
	require.Equal(t, 1, b.told)
	servetest.Neighbour(t, b.rt, "inventory", "POST /internal/availability", servetest.IsAway)
	require.Equal(t, map[string]int64{limited: 2}, available())
}

// TestRemoved: the cart of an account that is gone goes, and no order that is told late brings it back.
func TestRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cart := b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	b.guest("PUT", "/api/v1/cart/items/A", quantity(1))
	gone := events.AccountRemoved{AccountID: b.account, At: time.Now()}
	servetest.Deliver(t, b.rt, gone)
	require.False(t, b.stored(accountKey(b.account)))
	servetest.Deliver(t, b.rt, gone)
	servetest.Deliver(t, b.rt, events.OrderConfirmed{Order: events.Order{
		OrderID: uuid.New(), AccountID: b.account, CheckoutID: cart.CheckoutID, Lines: []events.OrderLine{{SKU: "A", Quantity: 2}},
	}})
	require.False(t, b.stored(accountKey(b.account)))
	require.Len(t, b.view(b.guest("GET", "/api/v1/cart", nil)).Lines, 1, "somebody else's stays")
}

// TestManyPuts: each of many changes at once is in the cart, under its own
// checkout.
func TestManyPuts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var wait sync.WaitGroup
	checkouts := make([]string, 4)
	for i := range checkouts {
		wait.Go(func() {
			r := b.own("PUT", "/api/v1/cart/items/"+string(rune('A'+i)), quantity(1))
			var v View
			if r.Status == 200 && json.Unmarshal(r.Body, &v) == nil {
				checkouts[i] = v.CheckoutID.String()
			}
		})
	}
	wait.Wait()
	require.Len(t, b.view(b.own("GET", "/api/v1/cart", nil)).Lines, len(checkouts))
	seen := map[string]bool{}
	for _, c := range checkouts {
		require.NotEmpty(t, c)
		seen[c] = true
	}
	require.Len(t, seen, len(checkouts))
}

// TestStrangersStoreNothing: a session costs a stranger nothing, so nothing is
// kept for one that has put nothing in.
func TestStrangersStoreNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	guest, account := guestKey(b.session), accountKey(b.account)
	b.view(b.guest("GET", "/api/v1/cart", nil))
	b.view(b.guest("PUT", "/api/v1/cart/items/A", quantity(0)))
	require.Equal(t, 204, b.guest("DELETE", "/api/v1/cart", nil).Status)
	b.view(b.own("POST", "/api/v1/cart/merge", nil))
	require.NoError(t, servetest.DeliverAs(t, b.rt, uuid.NewString(), events.OrderConfirmed{Order: events.Order{
		OrderID: uuid.New(), AccountID: b.account, CheckoutID: newID(), Status: "confirmed", Lines: []events.OrderLine{{SKU: "A", Quantity: 1}},
	}}))
	require.False(t, b.stored(guest))
	require.False(t, b.stored(account))
	b.view(b.guest("PUT", "/api/v1/cart/items/A", quantity(1)))
	require.True(t, b.stored(guest))
}

func TestMergeGuest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.view(b.guest("PUT", "/api/v1/cart/items/A", quantity(2)))
	before := b.view(b.own("PUT", "/api/v1/cart/items/B", quantity(1)))
	after := b.view(b.own("POST", "/api/v1/cart/merge", nil))
	require.Equal(t, map[string]int{"A": 2, "B": 1}, lines(after))
	require.True(t, less(before.CheckoutID, after.CheckoutID))
	require.False(t, b.stored(guestKey(b.session)))
	require.Equal(t, 2, b.holding(accountKey(b.account), "A"))
	require.Equal(t, after.CheckoutID, b.view(b.own("POST", "/api/v1/cart/merge", nil)).CheckoutID)
}

// TestPutWhileMerging: what a guest puts in while the cart is merged, from
// another tab, is merged as well.
func TestPutWhileMerging(t *testing.T) {
	t.Parallel()
	b := setup(t)
	guest := guestKey(b.session)
	b.view(b.guest("PUT", "/api/v1/cart/items/A", quantity(1)))
	var once sync.Once
	b.Lock()
	b.transferring = func() {
		once.Do(func() { b.guest("PUT", "/api/v1/cart/items/B", quantity(3)) })
	}
	b.Unlock()
	v := b.view(b.own("POST", "/api/v1/cart/merge", nil))
	require.Equal(t, map[string]int{"A": 1, "B": 3}, lines(v))
	require.False(t, b.stored(guest))
	require.Equal(t, 3, b.holding(accountKey(b.account), "B"))
	require.Zero(t, b.holding(guest, "B"))
}

// TestMergeEnds: a guest who never stops is told to ask again.
func TestMergeEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	guest, n := guestKey(b.session), 0
	b.view(b.guest("PUT", "/api/v1/cart/items/A", quantity(1)))
	b.Lock()
	b.transferring = func() {
		n++
		b.guest("PUT", "/api/v1/cart/items/A", quantity(1+n))
	}
	b.Unlock()
	require.Equal(t, 503, b.own("POST", "/api/v1/cart/merge", nil).Status)
	require.Equal(t, maxConflicts, n)
	require.True(t, b.stored(guest))
}

// TestLimit: what inventory says of an account is what the shopper hears; a
// guest's cart counts alone, so carts says it.
func TestLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := "/api/v1/cart/items/" + limited
	var p struct{ Limit, Available *int }
	r := b.own("PUT", at, quantity(2))
	require.Equal(t, 409, r.Status)
	require.Equal(t, "limit-reached", r.Slug())
	r.JSON(t, &p)
	require.Equal(t, 2, *p.Limit)
	require.Equal(t, 1, *p.Available)
	require.Empty(t, b.view(b.own("GET", "/api/v1/cart", nil)).Lines)
	b.view(b.own("PUT", at, quantity(1)))

	b.view(b.guest("PUT", at, quantity(2)))
	require.Equal(t, "limit-reached", b.guest("PUT", at, quantity(3)).Slug())
	b.view(b.guest("PUT", "/api/v1/cart/items/A", quantity(20)))
	require.Equal(t, 422, b.guest("PUT", "/api/v1/cart/items/A", quantity(21)).Status)
}

// TestClaimRequired: what is in a drop goes into the cart of whoever has claimed it, and into no other.
func TestClaimRequired(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := "/api/v1/cart/items/" + dropped
	r := b.own("PUT", at, quantity(1))
	require.Equal(t, 403, r.Status)
	require.Equal(t, "claim-required", r.Slug())
	require.Empty(t, b.view(b.own("GET", "/api/v1/cart", nil)).Lines)
	require.Equal(t, "claim-required", b.guest("PUT", at, quantity(1)).Slug())

	b.Lock()
	b.held(accountKey(b.account))[dropped] = 1
	b.Unlock()
	require.Len(t, b.view(b.own("PUT", at, quantity(1))).Lines, 1)
	require.Equal(t, "claim-required", b.own("PUT", at, quantity(2)).Slug())
	require.Empty(t, b.view(b.own("PUT", at, quantity(0))).Lines)
}

// TestConfirmedIsPulled: an order whose event was lost leaves the cart all the
// same, once, and one that was cancelled does not.
func TestConfirmedIsPulled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cart := b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	b.view(b.own("PUT", "/api/v1/cart/items/B", quantity(1)))
	of := func(status, sku string) events.Order {
		return events.Order{OrderID: uuid.New(), AccountID: b.account, CheckoutID: cart.CheckoutID, Status: status, Lines: []events.OrderLine{{SKU: sku, Quantity: 2}}}
	}
	lost := of("confirmed", "A")
	text, err := json.Marshal(of("confirmed", "B"))
	require.NoError(t, err)
	unreadable := json.RawMessage(strings.Replace(string(text), `"order_id":"`, `"order_id":"not `, 1))
	b.Lock()
	b.ended = []any{of("cancelled", "B"), unreadable, lost}
	b.Unlock()
	pull := b.service.pullOrders()
	require.Error(t, pull.Run(t.Context()), "one of them cannot be read")
	after := b.view(b.own("GET", "/api/v1/cart", nil))
	require.Equal(t, map[string]int{"B": 1}, lines(after))

	// The event comes after all, and so does the list again.
	b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	servetest.Deliver(t, b.rt, events.OrderConfirmed{Order: lost})
	b.Lock()
	b.ended = []any{lost}
	b.Unlock()
	require.NoError(t, pull.Run(t.Context()))
	require.Equal(t, map[string]int{"A": 2, "B": 1}, lines(b.view(b.own("GET", "/api/v1/cart", nil))))
}

// TestOrdersKnowsFirst: when an order's event has not come yet and orders says
// what was bought, it leaves the cart before it can be ordered again, and the
// event changes nothing.
func TestOrdersKnowsFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path, order := "/internal/carts/"+b.account.String(), uuid.New()
	read := func() (c Basket) {
		r := servetest.Do(t, b.rt, "GET", path, "", nil, "dapr-caller-app-id", "orders")
		require.Equal(t, 200, r.Status, "%s", r.Body)
		r.JSON(t, &c)
		return c
	}
	ordered := b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(3)))
	b.view(b.own("PUT", "/api/v1/cart/items/B", quantity(1)))
	c := read()
	require.False(t, less(ordered.CheckoutID, c.Since))
	require.True(t, less(ordered.CheckoutID, c.CheckoutID))
	require.Empty(t, c.Ended)

	body := map[string]any{"checkout_id": ordered.CheckoutID, "lines": []Line{{"A", 2}}}
	require.Equal(t, 403, servetest.Do(t, b.rt, "PUT", path+"/orders/"+order.String(), b.token, body).Status)
	for range 2 {
		r := servetest.Do(t, b.rt, "PUT", path+"/orders/"+order.String(), "", body, "dapr-caller-app-id", "orders")
		require.Equal(t, 204, r.Status, "%s", r.Body)
	}
	servetest.Deliver(t, b.rt, events.OrderConfirmed{Order: events.Order{
		OrderID: order, AccountID: b.account, CheckoutID: ordered.CheckoutID, Status: "confirmed", Lines: []events.OrderLine{{SKU: "A", Quantity: 2}},
	}})
	c = read()
	require.Equal(t, []Line{{"A", 1}, {"B", 1}}, c.Lines)
	require.Equal(t, []uuid.UUID{order}, c.Ended)
}

// TestOldCart: a cart that an instance of before has saved is read and changed.
func TestOldCart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := newID()
	text := `{"checkout_id":"` + id.String() + `","version":1,"lines":[{"sku":"A","quantity":1}],"removed":null,"ended":null,"expires_at":"2030-01-01T00:00:00Z"}`
	require.NoError(t, b.rt.Dapr.SaveState(t.Context(), serve.State, accountKey(b.account), []byte(text), "", time.Minute))
	require.Equal(t, id, b.view(b.own("GET", "/api/v1/cart", nil)).CheckoutID)
	b.view(b.own("PUT", "/api/v1/cart/items/B", quantity(1)))
	servetest.Deliver(t, b.rt, events.OrderConfirmed{Order: events.Order{OrderID: uuid.New(), AccountID: b.account, CheckoutID: id, Status: "confirmed", Lines: []events.OrderLine{{SKU: "A", Quantity: 1}}}})
	require.Equal(t, map[string]int{"B": 1}, lines(b.view(b.own("GET", "/api/v1/cart", nil))))
}

// TestDrop: only the cart that was read is dropped.
func TestDrop(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := guestKey(b.session)
	b.view(b.guest("PUT", "/api/v1/cart/items/A", quantity(1)))
	_, etag, err := b.service.store.read(t.Context(), key)
	require.NoError(t, err)
	b.view(b.guest("PUT", "/api/v1/cart/items/A", quantity(2)))
	require.ErrorIs(t, b.service.store.drop(t.Context(), key, etag), dapr.ErrConflict)
	require.True(t, b.stored(key))
}

// TestRefused: what inventory and products say reaches the shopper, and nothing
// is put into the cart that is not held.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.soldOut["SOLDOUT"] = true
	r := b.own("PUT", "/api/v1/cart/items/SOLDOUT", quantity(1))
	require.Equal(t, 409, r.Status)
	require.Equal(t, "out-of-stock", r.Slug())
	require.Contains(t, string(r.Body), `"available":0`)
	require.False(t, b.stored(accountKey(b.account)))
	require.Equal(t, "cart-session-required", servetest.Do(t, b.rt, "GET", "/api/v1/cart", "", nil).Slug())
	require.Equal(t, "cart-session-required", servetest.Do(t, b.rt, "POST", "/api/v1/cart/merge", b.token, nil).Slug())
	nobody := servetest.Token(t, b.account, "ann@example.test")
	require.Equal(t, "forbidden", servetest.Do(t, b.rt, "GET", "/api/v1/cart", nobody, nil).Slug())
	b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(1)))
	r = b.own("GET", "/api/v1/cart?country=ZZ", nil)
	require.Equal(t, "invalid", r.Slug())
	require.Contains(t, string(r.Body), `"code":"not-allowed"`)
	require.Equal(t, "US", b.view(b.own("GET", "/api/v1/cart?country=US", nil)).Country)
}

// TestSKUOfAnySign: a cart takes it by its segment of the path.
func TestSKUOfAnySign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const sku = "Any / +ü% 41"
	at := "/api/v1/cart/items/" + skus.Segment(sku)
	require.Equal(t, map[string]int{sku: 2}, lines(b.view(b.own("PUT", at, quantity(2)))))
	require.Equal(t, 2, b.holding(accountKey(b.account), sku))
	require.Empty(t, lines(b.view(b.own("PUT", at, quantity(0)))))
	require.Equal(t, 422, b.own("PUT", "/api/v1/cart/items/~_w", quantity(1)).Status)
}

// TestNotSoldAnyMore: what products takes off sale leaves the cart, and its
// hold ends.
func TestNotSoldAnyMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	before := b.view(b.own("PUT", "/api/v1/cart/items/B", quantity(1)))
	b.service.products.variants.Forget()
	servetest.Neighbour(t, b.rt, "products", "POST /internal/variants", func(w http.ResponseWriter, r *http.Request) {
		items := []map[string]any{}
		for _, sku := range read[struct{ SKUs []string }](r).SKUs {
			items = append(items, map[string]any{"sku": sku, "name": "The " + sku, "status": map[bool]string{true: "unlisted", false: "published"}[sku == "A"],
				"unit_price": map[string]any{"amount_minor": 1_000, "currency": "GBP"}})
		}
		servetest.Answers(servetest.Like(t, "products", "POST /internal/variants", map[string]any{"items": items}))(w, r)
	})
	v := b.view(b.own("GET", "/api/v1/cart", nil))
	require.Equal(t, map[string]int{"B": 1}, lines(v))
	require.Equal(t, []Removed{{"A", "The A", "unavailable"}}, v.Removed)
	require.True(t, less(before.CheckoutID, v.CheckoutID))
	require.Zero(t, b.holding(accountKey(b.account), "A"))
	require.Equal(t, v.Removed, b.view(b.own("GET", "/api/v1/cart", nil)).Removed, "told until the shopper changes something")
	require.Empty(t, b.view(b.own("PUT", "/api/v1/cart/items/B", quantity(2))).Removed)
}

// TestNeighboursFail: an answer that is lost is asked for again, and one that
// does not come leaves the cart as it was.
func TestNeighboursFail(t *testing.T) {
	t.Parallel()
	const hold = "PUT /internal/holds/{shopper}/{sku}"
	held := func(w http.ResponseWriter, r *http.Request) {
		servetest.Answers(map[string]any{"sku": r.PathValue("sku"), "quantity": 1, "expires_at": nil, "free": nil, "held": []any{}})(w, r)
	}
	for name, c := range map[string]struct {
		operation string
		handler   http.HandlerFunc
		status    int
	}{
		"PUT /internal/holds/{shopper}/{sku}: lost every time": {hold, servetest.HangsUp(held), 503},
		"PUT /internal/holds/{shopper}/{sku}: silent":          {hold, servetest.IsSilent(held), 503},
		"PUT /internal/holds/{shopper}/{sku}: away":            {hold, servetest.IsAway, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if strings.HasSuffix(name, "silent") {
				b.rt.Dapr.SetCallTimeout(300 * time.Millisecond)
			}
			servetest.Neighbour(t, b.rt, "inventory", c.operation, c.handler)
			r := b.own("PUT", "/api/v1/cart/items/A", quantity(1))
			require.Equal(t, c.status, r.Status, "%s", r.Body)
			require.Equal(t, "2", r.Header.Get("Retry-After"))
			require.False(t, b.stored(accountKey(b.account)), "in the cart is what is held")
		})
	}
	t.Run("GET /internal/holds/{shopper}: away", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		servetest.Neighbour(t, b.rt, "inventory", "GET /internal/holds/{shopper}", servetest.IsAway)
		b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(1)))
		require.Equal(t, 503, b.own("GET", "/api/v1/cart", nil).Status)
	})
	t.Run("lost once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		var once sync.Once
		servetest.Neighbour(t, b.rt, "inventory", hold, func(w http.ResponseWriter, r *http.Request) {
			once.Do(func() { servetest.HangsUp(held)(w, r) })
			held(w, r)
		})
		require.Equal(t, map[string]int{"A": 1}, lines(b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(1)))))
	})
	t.Run("products is away", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		servetest.Neighbour(t, b.rt, "products", "POST /internal/variants", servetest.IsAway)
		require.Equal(t, "unavailable", b.own("PUT", "/api/v1/cart/items/A", quantity(1)).Slug())
		require.Zero(t, b.asked, "nothing is held that may not be sold")
	})
	t.Run("a refusal to give back", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(1)))
		servetest.Neighbour(t, b.rt, "inventory", "DELETE /internal/holds/{shopper}", servetest.IsAway)
		require.Equal(t, 503, b.own("DELETE", "/api/v1/cart", nil).Status)
		require.Len(t, b.view(b.own("GET", "/api/v1/cart", nil)).Lines, 1)
	})
}

// TestManyCarts: carts that are changed at the same time are read and written
// together, each with an answer of its own: one that was changed meanwhile, or
// that is not as it was read, fails alone.
func TestManyCarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	batch := make([]dapr.State, 20)
	keys := []string{guestKey("nobody's")}
	for i := range batch {
		batch[i] = dapr.State{Key: guestKey(uuid.NewString()), Value: []byte(`{"version":1}`)}
		keys = append(keys, batch[i].Key)
	}
	save := func() (failed []int) {
		answers, err := b.service.store.saveAll(ctx, batch)
		require.NoError(t, err)
		for i, a := range answers {
			if a.Err != nil {
				require.ErrorIs(t, a.Err, dapr.ErrConflict)
				failed = append(failed, i)
			}
		}
		return failed
	}
	require.Empty(t, save())
	read, err := b.service.store.readAll(ctx, append(keys, keys[1]))
	require.NoError(t, err)
	require.Nil(t, read[0].Value.Value)
	require.Equal(t, read[1], read[len(read)-1], "who asks twice is answered twice")
	for i := range batch {
		require.JSONEq(t, `{"version":1}`, string(read[i+1].Value.Value))
		batch[i].ETag, batch[i].Value = read[i+1].Value.ETag, []byte(`{"version":2}`)
	}
	batch[7].ETag = "12345"
	require.Contains(t, save(), 7)
	read, err = b.service.store.readAll(ctx, keys)
	require.NoError(t, err)
	for i := range batch {
		require.JSONEq(t, map[bool]string{true: `{"version":1}`, false: `{"version":2}`}[i == 7], string(read[i+1].Value.Value), "%d", i)
	}
}

// TestCartsOfSeveral: orders reads several accounts' carts at once, an empty one too.
func TestCartsOfSeveral(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	stranger := uuid.New()
	r := servetest.Do(t, b.rt, "PUT", "/internal/carts", "", map[string]any{"items": []uuid.UUID{stranger, b.account, b.account}},
		"dapr-caller-app-id", "orders")
	require.Equal(t, 200, r.Status, "%s", r.Body)
	var got struct{ Answers []struct{ Value Basket } }
	r.JSON(t, &got)
	require.Len(t, got.Answers, 3)
	require.Empty(t, got.Answers[0].Value.Lines)
	one := servetest.Do(t, b.rt, "GET", "/internal/carts/"+b.account.String(), "", nil, "dapr-caller-app-id", "orders")
	var alone Basket
	one.JSON(t, &alone)
	require.Equal(t, []Line{{SKU: "A", Quantity: 2}}, alone.Lines)
	require.Equal(t, alone, got.Answers[1].Value)
	require.Equal(t, alone, got.Answers[2].Value)
}
