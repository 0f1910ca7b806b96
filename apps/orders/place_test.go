package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// shop is a shopper before orders, with stand-ins for the neighbours that
// POST /orders asks. Tests change what they know, or who stands in.
type shop struct {
	*bundle
	t       *testing.T
	account uuid.UUID
	token   string

	mu       sync.Mutex
	cart     basket
	variants map[string]variant
	stock    map[string]int
	held     map[uuid.UUID][]basketLine // by order
	released []uuid.UUID
	instead  *uuid.UUID  // of the last hold
	takenOut []uuid.UUID // orders that carts was told of
}

const (
	holdOperation    = "PUT /internal/orders/{id}/hold"
	releaseOperation = "DELETE /internal/orders/{id}/hold"
	takeOutOperation = "PUT /internal/carts/{account_id}/orders/{order_id}"
)

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func openShop(t *testing.T) *shop {
	t.Helper()
	b := setup(t)
	s := &shop{bundle: b, t: t, account: newID(), held: map[uuid.UUID][]basketLine{}, stock: map[string]int{"TEE-M": 10, "MUG": 10}}
	s.token = shopper(t, s.account)
	checkout := newID()
	s.cart = basket{CheckoutID: checkout, Since: checkout, Ended: []uuid.UUID{}, Lines: []basketLine{{SKU: "TEE-M", Quantity: 2}}}
	s.variants = map[string]variant{
		"TEE-M": {
			SKU: "TEE-M", Slug: "tee", Name: "Tee", Variant: "M", ImageURL: "/media/tee.svg", UnitPrice: gbp(1999), Status: "published",
			Weight: 180,
		},
		"MUG": {SKU: "MUG", Slug: "mug", Name: "Mug", UnitPrice: gbp(900), Status: "published"},
	}
	servetest.Neighbour(t, b.rt, "carts", "GET /internal/carts/{account_id}", s.answerCart)
	servetest.Neighbour(t, b.rt, "carts", takeOutOperation, s.answerTakeOut)
	servetest.Neighbour(t, b.rt, "products", "POST /internal/variants", s.answerVariants)
	servetest.Neighbour(t, b.rt, "inventory", holdOperation, s.answerHold)
	servetest.Neighbour(t, b.rt, "inventory", releaseOperation, s.answerRelease)
	return s
}

func (s *shop) answerCart(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.PathValue("account_id") != s.account.String() {
		s.t.Errorf("the cart of %s is asked for", r.PathValue("account_id"))
	}
	servetest.Answers(map[string]any{
		"checkout_id": s.cart.CheckoutID, "since": s.cart.Since, "ended": s.cart.Ended, "lines": s.cart.Lines, "version": 1, "country": "GB",
	})(w, r)
}

func (s *shop) answerTakeOut(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct {
		CheckoutID uuid.UUID `json:"checkout_id"`
		Lines      []basketLine
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	order := uuid.MustParse(r.PathValue("order_id"))
	s.takenOut = append(s.takenOut, order)
	if !slices.Contains(s.cart.Ended, order) {
		s.cart.Ended = append(s.cart.Ended, order)
		s.cart.CheckoutID = newID()
		s.cart.Lines = slices.DeleteFunc(s.cart.Lines, func(l basketLine) bool { return slices.Contains(in.Lines, l) })
	}
	servetest.AnswersStatus(http.StatusNoContent, nil)(w, r)
}

func (s *shop) answerVariants(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct{ SKUs []string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	items := []any{}
	for _, sku := range in.SKUs {
		if v, ok := s.variants[sku]; ok {
			items = append(items, map[string]any{
				"sku": v.SKU, "slug": v.Slug, "name": v.Name, "variant": v.Variant, "image_url": v.ImageURL, "unit_price": v.UnitPrice,
				"max_per_shopper": nil, "status": v.Status, "in_stock": true, "weight_grams": v.Weight,
			})
		}
	}
	servetest.Answers(map[string]any{"items": items})(w, r)
}

func (s *shop) answerHold(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in holdRequest
	_ = json.NewDecoder(r.Body).Decode(&in)
	if in.Shopper != "account:"+s.account.String() {
		s.t.Errorf("stock is held for %s", in.Shopper)
	}
	s.instead = in.InsteadOf
	short := []map[string]any{}
	for _, l := range in.Lines {
		if s.stock[l.SKU] < l.Quantity {
			short = append(short, map[string]any{"sku": l.SKU, "wanted": l.Quantity, "available": s.stock[l.SKU]})
		}
	}
	if len(short) > 0 {
		servetest.Refuses(ErrOutOfStock.With("lines", short))(w, r)
		return
	}
	s.held[uuid.MustParse(r.PathValue("id"))] = in.Lines
	servetest.Answers(map[string]bool{"held": true})(w, r)
}

func (s *shop) answerRelease(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := uuid.MustParse(r.PathValue("id"))
	s.released = append(s.released, id)
	delete(s.held, id)
	servetest.AnswersStatus(http.StatusNoContent, nil)(w, r)
}

// home is where the shopper lives.
func home() map[string]string {
	return map[string]string{"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB"}
}

// post asks for an order of the cart.
func (s *shop) post(key string, total money.Money) servetest.Response {
	s.t.Helper()
	body := map[string]any{"address": home(), "payment_method": "pm_card_visa", "expected_total": total}
	return servetest.Do(s.t, s.rt, "POST", "/api/v1/orders", s.token, body, "Idempotency-Key", key)
}

func (s *shop) placed(r servetest.Response) (o Order) {
	s.t.Helper()
	require.Equal(s.t, http.StatusCreated, r.Status, "%s", r.Body)
	r.JSON(s.t, &o)
	require.Equal(s.t, location(o.ID), r.Header.Get("Location"))
	return o
}

// refused demands a problem and that the attempt left nothing behind.
func (s *shop) refused(r servetest.Response, status int, slug string) {
	s.t.Helper()
	require.Equal(s.t, status, r.Status, "%s", r.Body)
	require.Equal(s.t, slug, r.Slug())
	require.Empty(s.t, s.held, "nothing is held for an order that is none")
	require.Zero(s.t, s.count(s.t, `SELECT count(*) FROM order_keys`), "the key is free again")
	require.Empty(s.t, servetest.Outbox(s.t, s.db))
}

// teas is what two tees cost, sent to London.
var teas = gbp(4397)

func TestPost(t *testing.T) {
	t.Parallel()

	t.Run("the cart becomes an order", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		first := s.post("k", teas)
		o := s.placed(first)
		require.Equal(t, Pending, o.Status)
		require.Equal(t, teas, o.Total)
		require.Equal(t, []Line{{
			SKU: "TEE-M", Slug: "tee", Name: "Tee", Variant: "M", ImageURL: "/media/tee.svg", Quantity: 2, Weight: 180,
			UnitPrice: gbp(1999), Discount: gbp(0), Tax: gbp(666), LineTotal: gbp(3998),
		}}, o.Lines)
		require.Equal(t, []basketLine{{"TEE-M", 2}}, s.held[o.ID])
		require.Equal(t, []string{"order.placed.v1"}, s.topics(t, o.ID))
		require.Equal(t, string(first.Body), string(s.post("k", teas).Body), "the same key gets the same answer")
		require.Len(t, s.held, 1)
		require.Equal(t, "idempotency-key-reused", s.post("k", gbp(1)).Slug())

		again := s.post("another", teas)
		require.Equal(t, "already-ordered", again.Slug())
		require.Equal(t, location(o.ID), again.Header.Get("Location"))
		require.Empty(t, s.takenOut, "it is not paid yet")
	})

	t.Run("a price that changed", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		tee := s.variants["TEE-M"]
		tee.UnitPrice = gbp(2099)
		s.variants["TEE-M"] = tee
		r := s.post("k", teas)
		s.refused(r, http.StatusConflict, "price-changed")
		var told struct{ Quote Totals }
		r.JSON(t, &told)
		require.Equal(t, gbp(4597), told.Quote.Total)
		s.placed(s.post("k", told.Quote.Total))
	})

	t.Run("a short stock", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		s.stock["TEE-M"] = 1
		r := s.post("k", teas)
		s.refused(r, http.StatusConflict, "out-of-stock")
		var told struct {
			Lines []struct {
				SKU               string
				Wanted, Available int
			}
		}
		r.JSON(t, &told)
		require.Len(t, told.Lines, 1)
		require.Equal(t, 1, told.Lines[0].Available)
		require.Empty(t, s.released, "all or nothing: there is nothing to give back")
		s.stock["TEE-M"] = 2
		s.placed(s.post("k", teas))
	})

	t.Run("a limit", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		limit := ErrLimitReached.With("sku", "TEE-M").With("limit", 2).With("available", 1)
		servetest.Neighbour(t, s.rt, "inventory", holdOperation, servetest.Refuses(limit))
		r := s.post("k", teas)
		s.refused(r, http.StatusConflict, "limit-reached")
		require.Contains(t, string(r.Body), `"available":1`)
	})

	t.Run("what is in a drop and was not claimed", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		refusal := ErrClaimRequired.With("sku", "TEE-M").With("available", 0)
		servetest.Neighbour(t, s.rt, "inventory", holdOperation, servetest.Refuses(refusal))
		s.refused(s.post("k", teas), http.StatusForbidden, "claim-required")
		require.Empty(t, s.released, "there is nothing to give back")
	})

	t.Run("what is not sold any more", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		tee := s.variants["TEE-M"]
		tee.Status = "unlisted"
		s.variants["TEE-M"] = tee
		s.refused(s.post("k", teas), http.StatusConflict, "product-unavailable")
	})

	t.Run("an empty cart", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		s.cart.Lines = []basketLine{}
		s.refused(s.post("k", teas), http.StatusConflict, "cart-empty")
	})

	t.Run("a refusal of a neighbour that is none of the shopper's", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		servetest.Neighbour(t, s.rt, "inventory", holdOperation, servetest.Refuses(problem.New(problem.Conflict, "hold-differs", "")))
		s.refused(s.post("k", teas), http.StatusServiceUnavailable, "unavailable")
		require.Len(t, s.released, 1)
	})
}

// TestPostWhileNeighboursFail: an answer that is lost, late or not given leaves
// either one order or none, and nothing held for what is none.
func TestPostWhileNeighboursFail(t *testing.T) {
	t.Parallel()

	t.Run("a lost answer is asked for again", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		var once sync.Once
		servetest.Neighbour(t, s.rt, "inventory", holdOperation, func(w http.ResponseWriter, r *http.Request) {
			lost := false
			once.Do(func() { lost = true })
			if lost {
				servetest.HangsUp(s.answerHold)(w, r)
			}
			s.answerHold(w, r)
		})
		o := s.placed(s.post("k", teas))
		require.Len(t, s.held, 1)
		require.Contains(t, s.held, o.ID)
	})

	t.Run("lost again, it was for nothing", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		servetest.Neighbour(t, s.rt, "inventory", holdOperation, servetest.HangsUp(s.answerHold))
		r := s.post("k", teas)
		s.refused(r, http.StatusServiceUnavailable, "unavailable")
		require.Equal(t, "2", r.Header.Get("Retry-After"))
		require.Len(t, s.released, 1, "nobody knows what was held")
		servetest.Neighbour(t, s.rt, "inventory", holdOperation, s.answerHold)
		o := s.placed(s.post("k", teas))
		require.NotContains(t, s.released, o.ID, "an id that was given up is never an order")
	})

	t.Run("a silent one", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		s.rt.Dapr.SetCallTimeout(300 * time.Millisecond)
		servetest.Neighbour(t, s.rt, "inventory", holdOperation, servetest.IsSilent(s.answerHold))
		s.refused(s.post("k", teas), http.StatusServiceUnavailable, "unavailable")
		require.Len(t, s.released, 1)
	})

	t.Run("a slow one", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		servetest.Neighbour(t, s.rt, "inventory", holdOperation, func(w http.ResponseWriter, r *http.Request) {
			<-time.After(30 * time.Millisecond)
			s.answerHold(w, r)
		})
		s.placed(s.post("k", teas))
	})

	for app, operation := range map[string]string{"carts": "GET /internal/carts/{account_id}", "products": "POST /internal/variants"} {
		t.Run(app+" is away", func(t *testing.T) {
			t.Parallel()
			s := openShop(t)
			servetest.Neighbour(t, s.rt, app, operation, servetest.IsAway)
			s.refused(s.post("k", teas), http.StatusServiceUnavailable, "unavailable")
			require.Empty(t, s.released, "nothing was held yet")
		})
	}

	t.Run("what is held cannot be given back", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		servetest.Neighbour(t, s.rt, "inventory", holdOperation, servetest.HangsUp(s.answerHold))
		servetest.Neighbour(t, s.rt, "inventory", releaseOperation, servetest.IsAway)
		require.Equal(t, "unavailable", s.post("k", teas).Slug())
		require.Len(t, s.held, 1)
		for id := range s.held { // inventory will ask
			require.Equal(t, "void", s.void(t, id))
		}
	})
}

// TestPostAfterAnEarlierOrder: what a confirmed order bought leaves the cart
// before it is sold again, if carts has not heard of that order.
func TestPostAfterAnEarlierOrder(t *testing.T) {
	t.Parallel()
	// bought is a shop whose first order is confirmed, and still in the cart.
	bought := func(t *testing.T) (*shop, Order) {
		s := openShop(t)
		o := s.placed(s.post("first", teas))
		servetest.Deliver(t, s.rt, capturedEvent(&o))
		return s, o
	}
	// more puts a mug into the cart as well.
	more := func(s *shop) {
		s.cart.CheckoutID = newID()
		s.cart.Lines = append(s.cart.Lines, basketLine{"MUG", 1})
	}
	mug := gbp(1299)

	t.Run("of all of it", func(t *testing.T) {
		t.Parallel()
		s, o := bought(t)
		r := s.post("second", teas)
		require.Equal(t, "already-ordered", r.Slug())
		require.Equal(t, location(o.ID), r.Header.Get("Location"))
		require.Equal(t, []uuid.UUID{o.ID}, s.takenOut)
		require.Equal(t, "cart-empty", s.post("third", teas).Slug())
	})

	t.Run("of some of it", func(t *testing.T) {
		t.Parallel()
		s, o := bought(t)
		more(s)
		second := s.placed(s.post("second", mug))
		require.Equal(t, []uuid.UUID{o.ID}, s.takenOut)
		require.Len(t, second.Lines, 1)
		require.Equal(t, "MUG", second.Lines[0].SKU)
		require.Equal(t, []basketLine{{"MUG", 1}}, s.held[second.ID])
	})

	t.Run("and carts' answer is lost", func(t *testing.T) {
		t.Parallel()
		s, o := bought(t)
		more(s)
		var once sync.Once
		servetest.Neighbour(t, s.rt, "carts", takeOutOperation, func(w http.ResponseWriter, r *http.Request) {
			once.Do(func() { servetest.HangsUp(s.answerTakeOut)(w, r) })
			s.answerTakeOut(w, r)
		})
		require.Equal(t, "MUG", s.placed(s.post("second", mug)).Lines[0].SKU)
		require.Equal(t, []uuid.UUID{o.ID, o.ID}, s.takenOut, "it is told again, and changes nothing")
	})

	t.Run("and carts does not take it out", func(t *testing.T) {
		t.Parallel()
		s, _ := bought(t)
		more(s)
		servetest.Neighbour(t, s.rt, "carts", takeOutOperation, servetest.IsAway)
		require.Equal(t, "unavailable", s.post("second", mug).Slug())
		require.Len(t, s.held, 1, "nothing is sold twice")
	})

	t.Run("that is not paid yet", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		o := s.placed(s.post("first", teas))
		more(s)
		r := s.post("second", mug)
		require.Equal(t, "request-in-progress", r.Slug())
		require.Equal(t, location(o.ID), r.Header.Get("Location"))
		require.NotEmpty(t, r.Header.Get("Retry-After"))
	})

	t.Run("that was declined", func(t *testing.T) {
		t.Parallel()
		s := openShop(t)
		o := s.placed(s.post("first", teas))
		servetest.Deliver(t, s.rt, failedEvent(&o))
		second := s.placed(s.post("second", teas))
		require.NotEqual(t, o.ID, second.ID)
		require.Equal(t, &o.ID, s.instead, "inventory gives its units back to the cart first")
	})
}

func TestPostToOnesOwnAddress(t *testing.T) {
	t.Parallel()
	const operation = "GET /internal/accounts/{account_id}/addresses/{id}"
	s := openShop(t)
	id := newID()
	body := map[string]any{"address_id": id, "payment_method": "pm_card_visa", "expected_total": teas}
	post := func() servetest.Response {
		return servetest.Do(t, s.rt, "POST", "/api/v1/orders", s.token, body, "Idempotency-Key", "k")
	}
	servetest.Neighbour(t, s.rt, "users", operation, servetest.Refuses(ErrAddressNotFound))
	r := post()
	s.refused(r, http.StatusUnprocessableEntity, "invalid")
	require.Contains(t, string(r.Body), `{"location":"body.address_id","code":"not-found"`)
	servetest.Neighbour(t, s.rt, "users", operation, servetest.IsAway)
	s.refused(post(), http.StatusServiceUnavailable, "unavailable")
	saved := func(changed map[string]string) {
		servetest.Neighbour(t, s.rt, "users", operation, func(w http.ResponseWriter, r *http.Request) {
			a := map[string]any{"id": r.PathValue("id")}
			for name, value := range home() {
				a[name] = value
			}
			for name, value := range changed {
				a[name] = value
			}
			servetest.Answers(a)(w, r)
		})
	}
	// Saved before there was such a rule.
	saved(map[string]string{"postal_code": "x"})
	r = post()
	s.refused(r, http.StatusUnprocessableEntity, "invalid")
	require.Contains(t, string(r.Body), `{"location":"body.address_id","code":"not-allowed"`)
	saved(nil)
	require.Equal(t, "12 St James's Square", s.placed(post()).Address.Line1)
}

// TestReads: what orders reads of its neighbours' answers is there.
func TestReads(t *testing.T) {
	t.Parallel()
	servetest.Reads(t, "carts", "GET", "/internal/carts/{account_id}", basket{})
	servetest.Reads(t, "products", "POST", "/internal/variants", struct {
		Items []variant `json:"items"`
	}{})
	servetest.Reads(t, "payments", "POST", "/internal/charges/void", struct {
		Items []charge `json:"items"`
	}{})
	servetest.Reads(t, "users", "GET", "/internal/accounts/{account_id}/addresses/{id}", Address{})
}
