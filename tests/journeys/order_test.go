package journeys

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// request is an order to Home for what the cart says that it costs.
func request(t testing.TB, c *shop.Client, method string) shop.OrderRequest {
	t.Helper()
	return shop.OrderRequest{Address: &shop.Home, PaymentMethod: method, ExpectedTotal: c.Cart(t).Total}
}

func TestDeclined(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	for _, method := range []string{shop.Declined, shop.Poor} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			lamp, ann := s.NewProduct(t, 1_000, 3), s.Register(t)
			order := ann.Await(t, ann.Buy(t, lamp, 3, method).ID, "cancelled")
			require.Equal(t, "payment-declined", *order.CancelReason)
			require.Equal(t, "failed", order.Payment.Status)

			require.Equal(t, 3, ann.Cart(t).Line(lamp.SKU).Quantity, "the cart keeps its lines")
			shop.Eventually(t, shop.Patience, func() (bool, string) {
				return ann.Cart(t).Line(lamp.SKU).HoldExpiresAt != nil, "the cart does not hold them again"
			})
			s.Guest().PutAny(t, lamp.SKU, 1).Refused(t, 409, "out-of-stock")

			// An attempt is no order.
			require.Empty(t, shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders?declined=false").Items)
			require.Len(t, shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders").Items, 1)
			require.Equal(t, "cancelled", shop.Get[shop.Order](t, ann, "/api/v1/orders/"+order.ID).Status)

			// Another card, for the same.
			paid := ann.Await(t, ann.Order(t, shop.Visa).ID, "confirmed")
			ann.Cancel(t, order.ID).OK(t, 202)
			shop.Eventually(t, shop.Patience, func() (bool, string) { return lamp.Stock(t).Sold == 3, "the three are not sold yet" })
			ann.AwaitMail(t, "Your order "+paid.Number+" is confirmed", 1)
			require.NotContains(t, ann.Subjects(t), "Your order "+order.Number+" was cancelled")
		})
	}
}

// TestCartChangedAfterOrder is about a cart that goes on while its first order is being paid.
func TestCartChangedAfterOrder(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, chair, ann := s.NewProduct(t, 1_000, 5), s.NewProduct(t, 2_000, 5), s.Register(t)
	first := ann.Buy(t, lamp, 1, shop.Slow)
	before := ann.Cart(t).CheckoutID
	ann.Place(t, shop.Random(), request(t, ann, shop.Visa)).Refused(t, 409, "already-ordered")
	ann.Put(t, lamp, 0)
	cart := ann.Put(t, chair, 1)
	require.NotEqual(t, before, cart.CheckoutID)
	require.Equal(t, cart.CheckoutID, ann.Put(t, chair, 1).CheckoutID, "a PUT that changes nothing keeps it")
	second := ann.Order(t, shop.Visa)
	require.NotEqual(t, first.ID, second.ID)
	require.Equal(t, chair.SKU, second.Lines[0].SKU)
	ann.Await(t, second.ID, "confirmed")
	ann.Await(t, first.ID, "confirmed")
	lamp.AwaitStock(t, 4, 1)
	chair.AwaitStock(t, 4, 1)
	shop.Eventually(t, shop.Patience, func() (bool, string) { return len(ann.Cart(t).Lines) == 0, "the cart is not cleared" })
}

func TestPriceChanged(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 3), s.Register(t)
	ann.Put(t, lamp, 1)
	old := request(t, ann, shop.Visa)
	lamp.Reprice(t, 1_100)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return ann.Cart(t).Line(lamp.SKU).UnitPrice == lamp.Price, "the cart shows the old price"
	})
	var p shop.Problem
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := ann.Place(t, shop.Random(), old)
		p = a.Problem()
		return a.Status == 409, "the old price is honoured, which it is for a second"
	})
	require.Equal(t, "price-changed", p.Slug())
	require.Equal(t, shop.Totals{
		Subtotal: shop.Pounds(1_100), Discount: shop.Pounds(0), Tax: shop.Pounds(183 + 67), Shipping: shop.Pounds(399), Total: shop.Pounds(1_499),
	}, *p.Quote)
	old.ExpectedTotal = p.Quote.Total
	order := shop.Read[shop.Order](t, ann.Place(t, shop.Random(), old).OK(t, 201))
	ann.Await(t, order.ID, "confirmed")
	lamp.AwaitStock(t, 2, 1)
}

func TestOutOfStock(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann, guest := s.NewProduct(t, 1_000, 5), s.Register(t), s.Guest()
	guest.Put(t, lamp, 2)
	p := ann.PutAny(t, lamp.SKU, 4).Refused(t, 409, "out-of-stock")
	require.Equal(t, 3, *p.Available)
	ann.Put(t, lamp, 3)
	p = ann.PutAny(t, lamp.SKU, 4).Refused(t, 409, "out-of-stock")
	require.Equal(t, 3, *p.Available, "what this caller may have: their own hold counts")
	require.Equal(t, 3, ann.Cart(t).Line(lamp.SKU).Quantity, "a refusal changes nothing")
	require.Equal(t, 0, lamp.Stock(t).Available)
	guest.Do(t, "DELETE", "/api/v1/cart", nil).OK(t, 204)
	ann.Put(t, lamp, 5)
	ann.Await(t, ann.Order(t, shop.Visa).ID, "confirmed")
	lamp.AwaitStock(t, 0, 5)
	p = guest.PutAny(t, lamp.SKU, 1).Refused(t, 409, "out-of-stock")
	require.Equal(t, 0, *p.Available)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return !shop.Get[shop.Page](t, guest, "/api/v1/products/"+lamp.Slug).InStock, "the product's page says that it is in stock"
	})
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		found := shop.Get[shop.Listing](t, guest, "/api/v1/products?in_stock=true&q="+lamp.SKU)
		for _, i := range found.Items {
			if i.SKU == lamp.SKU {
				return false, "it is listed among what is in stock"
			}
		}
		return true, ""
	})
}

// TestHoldExpires needs a shop whose holds are short, as that of make test. No other test depends on how short.
func TestHoldExpires(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ttl := s.HoldTTL(t)
	if ttl > 2*time.Minute {
		t.Fatalf("this shop holds for %s: start it with HOLD_TTL=30s", ttl)
	}
	lamp, ann, guest := s.NewProduct(t, 1_000, 2), s.Register(t), s.Guest()
	first := guest.Put(t, lamp, 1).Line(lamp.SKU).HoldExpiresAt
	require.WithinDuration(t, time.Now().Add(ttl), *first, ttl/2)
	require.Equal(t, first, guest.Put(t, lamp, 2).Line(lamp.SKU).HoldExpiresAt, "a later PUT does not prolong it")
	ann.PutAny(t, lamp.SKU, 1).Refused(t, 409, "out-of-stock")
	shop.Eventually(t, ttl+shop.Patience, func() (bool, string) { return lamp.Stock(t).Available == 2, "the units are still held" })
	require.False(t, time.Now().Before(*first), "given back before its time")
	line := guest.Cart(t).Line(lamp.SKU)
	require.Equal(t, 2, line.Quantity, "the line stays")
	require.Nil(t, line.HoldExpiresAt)
	ann.Await(t, ann.Buy(t, lamp, 1, shop.Visa).ID, "confirmed")
	p := guest.PutAny(t, lamp.SKU, 2).Refused(t, 409, "out-of-stock")
	require.Equal(t, 1, *p.Available)
	require.NotNil(t, guest.Put(t, lamp, 1).Line(lamp.SKU).HoldExpiresAt, "the next PUT holds again")
	lamp.AwaitStock(t, 0, 1)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)

	t.Run("while pending", func(t *testing.T) {
		t.Parallel()
		lamp, ann := s.NewProduct(t, 1_000, 2), s.Register(t)
		order := ann.Buy(t, lamp, 2, shop.Slow)
		cancelled := shop.Read[shop.Order](t, ann.Cancel(t, order.ID).OK(t, 202))
		require.Equal(t, "cancelled", cancelled.Status)
		require.Equal(t, "by-customer", *cancelled.CancelReason)
		again := shop.Read[shop.Order](t, ann.Cancel(t, order.ID).OK(t, 202))
		require.Equal(t, "cancelled", again.Status)
		lamp.AwaitStock(t, 2, 0)
		// The provider may have taken the money all the same: then it goes back.
		shop.Eventually(t, shop.Patience, func() (bool, string) {
			a := s.Admin(t).Do(t, "GET", "/api/v1/admin/payments/"+order.ID, nil)
			if a.Status == 404 {
				return false, "payments has not heard of it"
			}
			p := shop.Read[shop.Payment](t, a.OK(t, 200))
			return p.State == "voided" || (p.State == "captured" && p.Refunded == p.Amount), "the charge is " + p.State
		})
		ann.AwaitMail(t, "Your order "+order.Number+" was cancelled", 1)
		require.Equal(t, []string{"pending", "cancelled"}, ann.Await(t, order.ID, "cancelled").Statuses())
		require.NotContains(t, ann.Subjects(t), "Your order "+order.Number+" is confirmed")
	})

	t.Run("when confirmed", func(t *testing.T) {
		t.Parallel()
		lamp, ann := s.NewProduct(t, 1_000, 2), s.Register(t)
		order := ann.Bought(t, lamp, 2)
		lamp.AwaitStock(t, 0, 2)
		cancelled := shop.Read[shop.Order](t, ann.Cancel(t, order.ID).OK(t, 202))
		require.Equal(t, "cancelled", cancelled.Status)
		require.Contains(t, []string{"refund_pending", "refunded"}, cancelled.Payment.Status)
		require.Equal(t, "cancelled", shop.Read[shop.Order](t, ann.Cancel(t, order.ID).OK(t, 202)).Status)
		ann.AwaitOrder(t, order.ID, "refunded", func(o shop.Order) bool { return o.Payment.Status == "refunded" })
		lamp.AwaitStock(t, 2, 0)
		ann.AwaitMail(t, "Your order "+order.Number+" was cancelled", 1)
		mail := ann.AwaitMail(t, "We have refunded £23.99 for your order "+order.Number, 1)
		mail.Shows(t, `href="`+s.Settings["PUBLIC_URL"]+"/orders/"+order.ID+`"`)
		ledger := lamp.Ledger(t)
		require.Equal(t, "return", ledger[0].Kind)
		require.Equal(t, 2, ledger[0].Delta)
		s.Admin(t).Do(t, "POST", "/api/v1/admin/orders/"+order.ID+"/shipment", map[string]string{"carrier": "Royal Mail", "tracking_number": "1"}).
			Refused(t, 409, "order-not-shippable")
	})

	t.Run("by the shop", func(t *testing.T) {
		t.Parallel()
		lamp, ann := s.NewProduct(t, 1_000, 2), s.Register(t)
		order := ann.Bought(t, lamp, 1)
		s.Admin(t).Do(t, "POST", "/api/v1/admin/orders/"+order.ID+"/cancellation", map[string]string{"reason": "Broken in the warehouse"}).OK(t, 202)
		o := ann.AwaitOrder(t, order.ID, "refunded", func(o shop.Order) bool { return o.Payment.Status == "refunded" })
		require.Equal(t, "by-shop", *o.CancelReason)
		lamp.AwaitStock(t, 2, 0)
	})
}

func TestRefund(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann, ops := s.NewProduct(t, 6_000, 2), s.Register(t), s.Admin(t)
	order := ann.Bought(t, lamp, 1)
	at := "/api/v1/admin/payments/" + order.ID
	give := func(key string, amount any) *shop.Answer {
		body := map[string]any{"reason": "A scratch"}
		if amount != nil {
			body["amount"] = amount
		}
		if key == "" {
			return ops.Do(t, "POST", at+"/refunds", body)
		}
		return ops.Do(t, "POST", at+"/refunds", body, "Idempotency-Key", key)
	}
	refunded := func(pence int64) {
		t.Helper()
		shop.Eventually(t, shop.Patience, func() (bool, string) {
			p := shop.Get[shop.Payment](t, ops, at)
			return p.Refunded == shop.Pounds(pence), "not all is refunded yet"
		})
	}
	give("", shop.Pounds(100)).Refused(t, 400, "idempotency-key-required")
	key := shop.Random()
	give(key, shop.Pounds(2_000)).OK(t, 201)
	give(key, shop.Pounds(2_000)).OK(t, 201)
	give(key, shop.Pounds(1_999)).Refused(t, 422, "idempotency-key-reused")
	refunded(2_000)
	ann.AwaitOrder(t, order.ID, "partially refunded", func(o shop.Order) bool { return o.Payment.Status == "partially_refunded" })
	ann.AwaitMail(t, "We have refunded £20.00 for your order "+order.Number, 1)
	for _, bad := range []any{shop.Pounds(4_001), shop.Pounds(0), shop.Pounds(-1), shop.Money{Amount: 100, Currency: "EUR"}, shop.Pounds(1 << 62)} {
		a := give(shop.Random(), bad)
		require.Contains(t, []int{409, 422}, a.Status, "%v: %s", bad, a.Body)
	}
	// Also after delivery, and the order's status stays.
	parcel := map[string]any{"carrier": "Royal Mail", "tracking_number": "1"}
	ops.Do(t, "POST", "/api/v1/admin/orders/"+order.ID+"/shipment", parcel).Refused(t, 409, "order-refunded")
	parcel["although_refunded"] = true
	ops.Do(t, "POST", "/api/v1/admin/orders/"+order.ID+"/shipment", parcel).OK(t, 200)
	ops.Do(t, "POST", "/api/v1/admin/orders/"+order.ID+"/delivery", nil).OK(t, 200)
	give(shop.Random(), nil).OK(t, 201)
	refunded(6_000)
	o := ann.AwaitOrder(t, order.ID, "refunded", func(o shop.Order) bool { return o.Payment.Status == "refunded" })
	require.Equal(t, "delivered", o.Status)
	ann.AwaitMail(t, "We have refunded £40.00 for your order "+order.Number, 1)
	a := give(shop.Random(), shop.Pounds(1))
	require.Contains(t, []int{409, 422}, a.Status, "%s", a.Body)
	require.Len(t, shop.Get[shop.Payment](t, ops, at).Refunds, 2)
	require.Equal(t, 1, lamp.Stock(t).Sold, "a refund brings nothing back to the shelf")
}

// TestProvider is about a payment provider that is slow, silent or failing.
func TestProvider(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	for _, method := range []string{shop.Slow, shop.Timeout, shop.Broken} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			lamp, ann := s.NewProduct(t, 1_000, 2), s.Register(t)
			order := ann.Await(t, ann.Buy(t, lamp, 2, method).ID, "confirmed")
			require.Equal(t, "captured", order.Payment.Status)
			p := shop.Get[shop.Payment](t, s.Admin(t), "/api/v1/admin/payments/"+order.ID)
			require.Equal(t, "captured", p.State)
			require.Equal(t, order.Total, p.Amount)
			lamp.AwaitStock(t, 0, 2)
			ann.AwaitMail(t, "Your order "+order.Number+" is confirmed", 1)
		})
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 20), s.Register(t)
	ann.Put(t, lamp, 1)
	body := request(t, ann, shop.Visa)
	ann.Do(t, "POST", "/api/v1/orders", body).Refused(t, 400, "idempotency-key-required")

	// A refusal frees the key.
	key := shop.Random()
	wrong := body
	wrong.ExpectedTotal = shop.Pounds(1)
	ann.Place(t, key, wrong).Refused(t, 409, "price-changed")

	// Many at once: one order; while it is made the others are told so, afterwards they get it too.
	var wait sync.WaitGroup
	answers := make([]*shop.Answer, 8)
	errs := make([]error, len(answers))
	for i := range answers {
		wait.Go(func() {
			answers[i], errs[i] = ann.Send(t.Context(), "POST", "/api/v1/orders", body, "Idempotency-Key", key)
		})
	}
	wait.Wait()
	ids := map[string]bool{}
	for i, a := range answers {
		require.NoError(t, errs[i])
		require.NoError(t, a.Check())
		if a.Status == 201 {
			ids[shop.Read[shop.Order](t, a).ID] = true
			continue
		}
		a.Refused(t, 409, "request-in-progress")
	}
	require.Len(t, ids, 1)
	first := shop.Read[shop.Order](t, ann.Place(t, key, body).OK(t, 201))
	require.True(t, ids[first.ID])
	require.Equal(t, "pending", first.Status, "the first answer, again")
	changed := body
	changed.PaymentMethod = shop.Declined
	ann.Place(t, key, changed).Refused(t, 422, "idempotency-key-reused")
	ann.Await(t, first.ID, "confirmed")

	// The key is the shopper's own.
	bob := s.Register(t)
	bob.Put(t, lamp, 1)
	other := shop.Read[shop.Order](t, bob.Place(t, key, body).OK(t, 201))
	require.NotEqual(t, first.ID, other.ID)
	bob.Await(t, other.ID, "confirmed")
	lamp.AwaitStock(t, 18, 2)
	require.Len(t, shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders").Items, 1)
}

// TestOneCheckout is about two keys for one cart.
func TestOneCheckout(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 20), s.Register(t)
	ann.Put(t, lamp, 1)
	body := request(t, ann, shop.Slow) // slow: the cart is cleared only when it is paid
	answers := make([]*shop.Answer, 6)
	errs := make([]error, len(answers))
	var wait sync.WaitGroup
	for i := range answers {
		wait.Go(func() {
			answers[i], errs[i] = ann.Send(t.Context(), "POST", "/api/v1/orders", body, "Idempotency-Key", shop.Random())
		})
	}
	wait.Wait()
	var order shop.Order
	for i, a := range answers {
		require.NoError(t, errs[i])
		require.NoError(t, a.Check())
		if a.Status == 201 {
			require.Empty(t, order.ID, "two orders for one cart")
			order = shop.Read[shop.Order](t, a)
		}
	}
	require.NotEmpty(t, order.ID)
	for _, a := range answers {
		if a.Status != 201 && a.Problem().Slug() != "request-in-progress" {
			a.Refused(t, 409, "already-ordered")
			require.Equal(t, "/api/v1/orders/"+order.ID, a.Header.Get("Location"))
		}
	}
	a := ann.Place(t, shop.Random(), body)
	a.Refused(t, 409, "already-ordered")
	require.Equal(t, "/api/v1/orders/"+order.ID, a.Header.Get("Location"))
	ann.Await(t, order.ID, "confirmed")
	lamp.AwaitStock(t, 19, 1)
	shop.Eventually(t, shop.Patience, func() (bool, string) { return len(ann.Cart(t).Lines) == 0, "the cart is not cleared" })
	ann.Place(t, shop.Random(), body).Refused(t, 409, "cart-empty")
}

// TestGoesOnShopping: what was ordered is not sold a second time with what the shopper adds while it is being paid.
func TestGoesOnShopping(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, mug, ann := s.NewProduct(t, 1_000, 20), s.NewProduct(t, 500, 20), s.Register(t)
	ann.Put(t, lamp, 1)
	first := ann.Order(t, shop.Slow)
	both := ann.Put(t, mug, 2)
	require.Len(t, both.Lines, 2, "the payment may still be declined")
	body := shop.OrderRequest{Address: &shop.Home, PaymentMethod: shop.Visa, ExpectedTotal: both.Total}
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := ann.Place(t, shop.Random(), body)
		require.Equal(t, 409, a.Status, "%s", a.Body)
		return a.Problem().Slug() == "price-changed", a.Problem().Slug()
	})
	require.Equal(t, "confirmed", ann.Await(t, first.ID, "confirmed").Status)

	rest := ann.Cart(t)
	require.Len(t, rest.Lines, 1)
	second := ann.Order(t, shop.Visa)
	require.Len(t, second.Lines, 1)
	require.Equal(t, mug.SKU, second.Lines[0].SKU)
	ann.Await(t, second.ID, "confirmed")
	lamp.AwaitStock(t, 19, 1)
	mug.AwaitStock(t, 18, 2)
}

func TestAddress(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann, bob := s.NewProduct(t, 1_000, 2), s.Register(t), s.Register(t)
	mine := shop.Read[shop.Address](t, ann.Do(t, "POST", "/api/v1/users/me/addresses", shop.Home).OK(t, 201))
	theirs := shop.Read[shop.Address](t, bob.Do(t, "POST", "/api/v1/users/me/addresses", shop.Home).OK(t, 201))
	cart := ann.Put(t, lamp, 1)
	body := shop.OrderRequest{AddressID: theirs.ID, PaymentMethod: shop.Visa, ExpectedTotal: cart.Total}
	ann.Place(t, shop.Random(), body).Refused(t, 422, "invalid")
	body.Address = &shop.Home
	ann.Place(t, shop.Random(), body).Refused(t, 422, "invalid")
	body.Address, body.AddressID = nil, ""
	ann.Place(t, shop.Random(), body).Refused(t, 422, "invalid")
	abroad := shop.Home
	abroad.Country = "XX"
	body.Address = &abroad
	ann.Place(t, shop.Random(), body).Refused(t, 422, "invalid")
	body.Address, body.AddressID = nil, mine.ID
	order := shop.Read[shop.Order](t, ann.Place(t, shop.Random(), body).OK(t, 201))
	mine.ID = ""
	require.Equal(t, mine, order.Address)
	ann.Await(t, order.ID, "confirmed")
}

// TestUnlisted is about a product that is unlisted between the cart and the order.
func TestUnlisted(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, chair, ann, guest := s.NewProduct(t, 1_000, 5), s.NewProduct(t, 2_000, 2), s.Register(t), s.Guest()
	ann.Put(t, lamp, 1)
	ann.Put(t, chair, 1)
	body := request(t, ann, shop.Visa)
	lamp.Unlist(t)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return s.Nobody().Do(t, "GET", "/api/v1/products/"+lamp.Slug, nil).Status == 404, "the page is still there"
	})
	var slug string
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := ann.Place(t, shop.Random(), body)
		slug = a.Problem().Slug()
		return a.Status != 201, "it can be bought"
	})
	require.Equal(t, "product-unavailable", slug)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := guest.PutAny(t, lamp.SKU, 1)
		slug = a.Problem().Slug()
		return a.Status != 200, "it can be put into a cart"
	})
	require.Equal(t, "product-not-found", slug)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return guest.Do(t, "GET", "/api/v1/availability/"+lamp.SKU, nil).Status == 404, "its stock is still shown"
	})
	cart := ann.Cart(t)
	require.Len(t, cart.Lines, 1)
	require.Len(t, cart.Removed, 1)
	require.Equal(t, lamp.SKU, cart.Removed[0].SKU)
	ann.Await(t, ann.Order(t, shop.Visa).ID, "confirmed")
	require.Equal(t, 0, lamp.Stock(t).Sold)

	lamp.Publish(t)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return ann.PutAny(t, lamp.SKU, 1).Status == 200, "it is published again and cannot be had"
	})
	ann.Await(t, ann.Order(t, shop.Visa).ID, "confirmed")
	guest.Do(t, "DELETE", "/api/v1/cart", nil).OK(t, 204)
	lamp.AwaitStock(t, 4, 1)
}

func TestLongPoll(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 2), s.Register(t)
	order := ann.Buy(t, lamp, 1, shop.Slow)
	at := "/api/v1/orders/" + order.ID
	begun := time.Now()
	o := shop.Get[shop.Order](t, ann, at+"?wait=25&since=1")
	require.Equal(t, "confirmed", o.Status, "it waits until the order changes")
	require.Less(t, time.Since(begun), 20*time.Second, "and no longer")
	begun = time.Now()
	require.Equal(t, o.Version, shop.Get[shop.Order](t, ann, at+"?wait=25&since=1").Version)
	require.Less(t, time.Since(begun), 10*time.Second, "a newer version is answered at once")
	begun = time.Now()
	require.Equal(t, o.Version, shop.Get[shop.Order](t, ann, at+"?wait=2&since="+strconv.Itoa(o.Version)).Version)
	require.GreaterOrEqual(t, time.Since(begun), 1900*time.Millisecond, "nothing changes: the wait is waited")
	ann.Do(t, "GET", at+"?wait=26", nil).Refused(t, 422, "invalid")
	ann.Do(t, "GET", at+"?wait=-1", nil).Refused(t, 422, "invalid")
}
