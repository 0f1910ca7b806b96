package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/statetest"
)

// The neighbours, as far as these tests need them: products sells every SKU,
// inventory has as much of everything as anybody wants, orders has confirmed
// what ended holds. What they do in truth is in their own tests and in tests/.
var neighbours struct {
	sync.Mutex
	url   string
	holds map[string]map[string]int // by shopper and SKU
	asked map[string]int            // by shopper: how often inventory was asked to change something
	// transferring, by guest, happens when carts has read that guest's cart and
	// merges it.
	transferring map[string]func()
	ended        []any
}

// limited is a SKU of which nobody may have more than two, and of which every
// account has bought one.
const limited = "LIMITED"

func init() {
	n := &neighbours
	n.holds, n.asked, n.transferring = map[string]map[string]int{}, map[string]int{}, map[string]func(){}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	held := func(shopper string) map[string]int {
		if n.holds[shopper] == nil {
			n.holds[shopper] = map[string]int{}
		}
		return n.holds[shopper]
	}
	mux.HandleFunc("POST /internal/variants", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			SKUs []string `json:"skus"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		items := []map[string]any{}
		for _, sku := range in.SKUs {
			v := map[string]any{"sku": sku, "name": sku, "slug": sku, "status": "published", "unit_price": map[string]any{"amount_minor": 1_000, "currency": "GBP"}, "max_per_shopper": nil}
			if sku == limited {
				v["max_per_shopper"] = 2
			}
			if sku == "GONE" {
				v["status"] = "unlisted"
			}
			items = append(items, v)
		}
		answer(w, map[string]any{"items": items})
	})
	mux.HandleFunc("PUT /internal/holds/{shopper}/{sku}", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Quantity int `json:"quantity"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		n.Lock()
		defer n.Unlock()
		shopper, sku := r.PathValue("shopper"), r.PathValue("sku")
		n.asked[shopper]++
		if sku == limited && in.Quantity > 1 && strings.HasPrefix(shopper, "account:") {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			_, _ = w.Write([]byte(`{"type":"urn:stampede:problem:limit-reached","title":"A shopper cannot hold more","status":409,"detail":"","instance":"","trace_id":"","limit":2,"available":1}`))
			return
		}
		if held(shopper)[sku] = in.Quantity; in.Quantity == 0 {
			delete(held(shopper), sku)
		}
		answer(w, map[string]any{"sku": sku, "quantity": in.Quantity})
	})
	mux.HandleFunc("GET /internal/holds/{shopper}", func(w http.ResponseWriter, r *http.Request) {
		n.Lock()
		defer n.Unlock()
		items := []map[string]any{}
		for sku, quantity := range held(r.PathValue("shopper")) {
			items = append(items, map[string]any{"sku": sku, "quantity": quantity, "expires_at": time.Now().Add(time.Minute)})
		}
		answer(w, map[string]any{"items": items})
	})
	mux.HandleFunc("DELETE /internal/holds/{shopper}", func(w http.ResponseWriter, r *http.Request) {
		n.Lock()
		defer n.Unlock()
		n.asked[r.PathValue("shopper")]++
		delete(n.holds, r.PathValue("shopper"))
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /internal/holds/{shopper}/transfer", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			To    string `json:"to"`
			Lines []Line `json:"lines"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		guest := r.PathValue("shopper")
		n.Lock()
		now := n.transferring[guest]
		n.Unlock()
		if now != nil {
			now()
		}
		n.Lock()
		defer n.Unlock()
		for _, l := range in.Lines {
			delete(held(guest), l.SKU)
			held(in.To)[l.SKU] = l.Quantity
		}
		answer(w, map[string]any{"items": []any{}})
	})
	mux.HandleFunc("GET /internal/orders/ended", func(w http.ResponseWriter, r *http.Request) {
		n.Lock()
		defer n.Unlock()
		if r.URL.Query().Get("status") != "confirmed" || r.URL.Query().Get("behind") != "120" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer(w, map[string]any{"items": n.ended, "cursor": "the-next", "more": false})
	})
	n.url = httptest.NewServer(mux).URL
}

// bench is carts over a real store, with a shopper.
type bench struct {
	*testing.T
	rt      *serve.Runtime
	service *service
	account uuid.UUID
	token   string
	session string
}

func setup(t *testing.T) *bench {
	t.Helper()
	statetest.Start(t, "carts", map[string]string{"products": neighbours.url, "inventory": neighbours.url, "orders": neighbours.url})
	rt, _ := servetest.NewTest(t, "carts", nil)
	s, err := newService(rt, servetest.Settings[settings](t))
	require.NoError(t, err)
	id := uuid.New()
	return &bench{t, rt, s, id, servetest.Token(t, id, "ann@example.test", auth.RoleUser), "session-" + uuid.NewString()}
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

func holding(shopper, sku string) int {
	neighbours.Lock()
	defer neighbours.Unlock()
	return neighbours.holds[shopper][sku]
}

func TestPut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	require.Equal(t, map[string]int{"A": 2}, lines(first))
	require.NotNil(t, first.Lines[0].HoldExpiresAt)
	again := b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	require.Equal(t, first.CheckoutID, again.CheckoutID, "nothing has changed")
	more := b.view(b.own("PUT", "/api/v1/cart/items/B", quantity(1)))
	require.True(t, less(again.CheckoutID, more.CheckoutID), "an order of A alone is another one")
	require.Equal(t, more.CheckoutID, b.view(b.own("GET", "/api/v1/cart", nil)).CheckoutID)
	require.Equal(t, "product-not-found", b.own("PUT", "/api/v1/cart/items/GONE", quantity(1)).Slug())
	require.Equal(t, 204, b.own("DELETE", "/api/v1/cart", nil).Status)
	require.Zero(t, holding(accountKey(b.account), "A"))
	require.Empty(t, b.view(b.own("GET", "/api/v1/cart", nil)).Lines)
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
	require.Equal(t, 2, holding(accountKey(b.account), "A"))
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
	neighbours.Lock()
	neighbours.transferring[guest] = func() {
		once.Do(func() { b.guest("PUT", "/api/v1/cart/items/B", quantity(3)) })
	}
	neighbours.Unlock()
	v := b.view(b.own("POST", "/api/v1/cart/merge", nil))
	require.Equal(t, map[string]int{"A": 1, "B": 3}, lines(v))
	require.False(t, b.stored(guest))
	require.Equal(t, 3, holding(accountKey(b.account), "B"))
	require.Zero(t, holding(guest, "B"))
}

// TestMergeEnds: a guest who never stops is told to ask again.
func TestMergeEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	guest, n := guestKey(b.session), 0
	b.view(b.guest("PUT", "/api/v1/cart/items/A", quantity(1)))
	neighbours.Lock()
	neighbours.transferring[guest] = func() {
		n++
		b.guest("PUT", "/api/v1/cart/items/A", quantity(1+n))
	}
	neighbours.Unlock()
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
	neighbours.Lock()
	neighbours.ended = []any{of("cancelled", "B"), "not an order", lost}
	neighbours.Unlock()
	pull := b.service.pullOrders()
	require.Error(t, pull.Run(t.Context()), "one of them cannot be read")
	after := b.view(b.own("GET", "/api/v1/cart", nil))
	require.Equal(t, map[string]int{"B": 1}, lines(after))

	// The event comes after all, and so does the list again.
	b.view(b.own("PUT", "/api/v1/cart/items/A", quantity(2)))
	servetest.Deliver(t, b.rt, events.OrderConfirmed{Order: lost})
	neighbours.Lock()
	neighbours.ended = []any{lost}
	neighbours.Unlock()
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
