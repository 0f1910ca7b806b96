package journeys

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

func TestCart(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, chair, guest := s.NewProduct(t, 1_000, 30), s.NewProduct(t, 2_000, 5), s.Guest()
	empty := guest.Cart(t)
	require.Empty(t, empty.Lines)
	require.NotNil(t, empty.Lines)
	require.Equal(t, shop.Pounds(0), empty.Total)
	require.Nil(t, empty.PromoCode)

	cart := guest.Put(t, lamp, 2)
	require.Equal(t, "GB", cart.Country)
	line := cart.Line(lamp.SKU)
	require.Equal(t, shop.CartLine{
		SKU: lamp.SKU, Slug: lamp.Slug, Name: lamp.Name, ImageURL: line.ImageURL, Quantity: 2,
		UnitPrice: shop.Pounds(1_000), LineTotal: shop.Pounds(2_000), HoldExpiresAt: line.HoldExpiresAt,
	}, *line)
	require.WithinDuration(t, time.Now().Add(30*24*time.Hour), cart.ExpiresAt, time.Hour)
	require.Equal(t, shop.Totals{
		Subtotal: shop.Pounds(2_000), Discount: shop.Pounds(0), Tax: shop.Pounds(333 + 67), Shipping: shop.Pounds(399), Total: shop.Pounds(2_399),
	}, cart.Totals)

	// The cart of another country: other tax, other shipping; where prices do not include tax it comes on top.
	german := shop.Get[shop.Cart](t, guest, "/api/v1/cart?country=DE")
	require.Equal(t, shop.Pounds(319+144), german.Tax, "2000×19/119 + 899×19/119")
	require.Equal(t, shop.Pounds(2_899), german.Total)
	canadian := shop.Get[shop.Cart](t, guest, "/api/v1/cart?country=CA")
	require.Equal(t, shop.Pounds(100+75), canadian.Tax)
	require.Equal(t, shop.Pounds(2_000+1_499+175), canadian.Total)

	guest.Put(t, chair, 1)
	require.Equal(t, 2, len(guest.Cart(t).Lines))
	cart = guest.Put(t, chair, 0)
	require.Nil(t, cart.Line(chair.SKU))
	require.Equal(t, 5, chair.Stock(t).Available)
	before := guest.Cart(t).CheckoutID
	guest.Do(t, "DELETE", "/api/v1/cart", nil).OK(t, 204)
	after := guest.Cart(t)
	require.Empty(t, after.Lines)
	require.NotEqual(t, before, after.CheckoutID)
	require.Equal(t, 30, lamp.Stock(t).Available)

	// A guest's cart belongs to whoever knows the session, and to nobody else.
	guest.Put(t, lamp, 1)
	require.Empty(t, s.Guest().Cart(t).Lines)

	// One checks out only with an account.
	a := guest.Do(t, "POST", "/api/v1/orders", request(t, guest, shop.Visa), "Idempotency-Key", shop.Random())
	a.Refused(t, 401, "unauthenticated")
}

func TestLimitPerShopper(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.Draft(t, 1_000, 30)
	lamp.Limit(t, 2)
	lamp.Publish(t)
	guest := s.Guest()
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := guest.PutAny(t, lamp.SKU, 2)
		return a.Status == 200, a.Problem().Slug()
	})
	guest.PutAny(t, lamp.SKU, 3).Refused(t, 409, "limit-reached")
	require.Equal(t, 2, guest.Cart(t).Line(lamp.SKU).Quantity)
}

// TestLimitAcrossOrders is about a limit that counts what an account has ordered, and gives back what was cancelled.
func TestLimitAcrossOrders(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.Draft(t, 1_000, 30)
	lamp.Limit(t, 2)
	lamp.Publish(t)
	ann, guest := s.Register(t), s.Guest()
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := ann.PutAny(t, lamp.SKU, 1)
		return a.Status == 200, a.Problem().Slug()
	})
	first := ann.Await(t, ann.Order(t, shop.Visa).ID, "confirmed")
	shop.Eventually(t, shop.Patience, func() (bool, string) { return len(ann.Cart(t).Lines) == 0, "the cart is not cleared" })
	p := ann.PutAny(t, lamp.SKU, 2).Refused(t, 409, "limit-reached")
	require.Equal(t, 1, *p.Available)
	ann.Put(t, lamp, 1)

	// Nor by way of a guest's cart, which counts alone until it is merged.
	guest.Put(t, lamp, 2)
	both := *ann
	both.Session = guest.Session
	both.Do(t, "POST", "/api/v1/cart/merge", nil).OK(t, 200)
	if ann.Cart(t).Line(lamp.SKU).Quantity == 2 { // the line may be more than can be held
		ann.Place(t, shop.Random(), request(t, ann, shop.Visa)).Refused(t, 409, "limit-reached")
		ann.Put(t, lamp, 1)
	}
	ann.Await(t, ann.Order(t, shop.Visa).ID, "confirmed")
	shop.Eventually(t, shop.Patience, func() (bool, string) { return len(ann.Cart(t).Lines) == 0, "the cart is not cleared" })
	p = ann.PutAny(t, lamp.SKU, 1).Refused(t, 409, "limit-reached")
	require.Zero(t, *p.Available)

	ann.Cancel(t, first.ID).OK(t, 202)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return ann.PutAny(t, lamp.SKU, 1).Status == 200, "the cancelled one still counts"
	})
}

// TestMergeWhilePutting is about a guest who goes on in another tab while the login merges the cart: whatever was
// answered 200 is in one of the two carts.
func TestMergeWhilePutting(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, chair, ann := s.NewProduct(t, 1_000, 99), s.NewProduct(t, 2_000, 99), s.Register(t)
	for range 5 {
		guest := s.Guest()
		guest.Put(t, lamp, 1)
		both := *ann
		both.Session = guest.Session
		var put, merged *shop.Answer
		var putErr, mergeErr error
		var wait sync.WaitGroup
		wait.Go(func() {
			put, putErr = guest.Send(t.Context(), "PUT", "/api/v1/cart/items/"+chair.SKU, map[string]int{"quantity": 1})
		})
		wait.Go(func() { merged, mergeErr = both.Send(t.Context(), "POST", "/api/v1/cart/merge", nil) })
		wait.Wait()
		require.NoError(t, putErr)
		require.NoError(t, mergeErr)
		put.OK(t, 200)
		merged.OK(t, 200)
		require.True(t, ann.Cart(t).Line(chair.SKU) != nil || guest.Cart(t).Line(chair.SKU) != nil, "the chair is lost")
		both.Do(t, "POST", "/api/v1/cart/merge", nil).OK(t, 200)
		require.NotNil(t, ann.Cart(t).Line(chair.SKU))
		require.Empty(t, guest.Cart(t).Lines)
		ann.Do(t, "DELETE", "/api/v1/cart", nil).OK(t, 204)
	}
}

// TestMergeTakesWhatIsThere is about a guest whose holds are worth less than the account's own.
func TestMergeTakesWhatIsThere(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann, guest := s.NewProduct(t, 1_000, 5), s.Register(t), s.Guest()
	guest.Put(t, lamp, 2)
	ann.Put(t, lamp, 3)
	both := *ann
	both.Session = guest.Session
	both.Do(t, "GET", "/api/v1/cart", nil).OK(t, 200)
	require.Equal(t, 3, both.Cart(t).Line(lamp.SKU).Quantity, "with a token the account's cart is meant")
	merged := shop.Read[shop.Cart](t, both.Do(t, "POST", "/api/v1/cart/merge", nil).OK(t, 200))
	require.Equal(t, 3, merged.Line(lamp.SKU).Quantity, "the larger quantity, not the sum")
	require.Equal(t, 2, lamp.Stock(t).Available)
	again := shop.Read[shop.Cart](t, both.Do(t, "POST", "/api/v1/cart/merge", nil).OK(t, 200))
	require.Equal(t, merged.Lines, again.Lines)
	ann.Do(t, "POST", "/api/v1/cart/merge", nil).Refused(t, 400, "cart-session-required")
	guest.Do(t, "POST", "/api/v1/cart/merge", nil).Refused(t, 401, "unauthenticated")
}

// TestWholeOrder is about the amounts of an order with several lines and a country without tax in its prices.
func TestWholeOrder(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, chair, ann := s.NewProduct(t, 1_999, 5), s.NewProduct(t, 333, 9), s.Register(t)
	ann.Put(t, lamp, 2)
	ann.Put(t, chair, 7)
	quote := shop.Get[shop.Cart](t, ann, "/api/v1/cart?country=CA")
	wanted := shop.OrderRequest{Address: &shop.Ottawa, PaymentMethod: shop.Visa, ExpectedTotal: quote.Total}
	order := shop.Read[shop.Order](t, ann.Place(t, shop.Random(), wanted).OK(t, 201))
	require.Equal(t, quote.Totals, order.Totals)
	require.Len(t, order.Lines, 2)
	var lines, tax int64
	for _, l := range order.Lines {
		require.Equal(t, l.UnitPrice.Amount*int64(l.Quantity), l.LineTotal.Amount)
		require.Equal(t, shop.Pounds(0), l.Discount)
		lines += l.LineTotal.Amount
		tax += l.Tax.Amount
	}
	require.Equal(t, order.Subtotal.Amount, lines)
	require.Equal(t, int64(200+117), tax, "3998 and 2331 at 5 %")
	require.Equal(t, order.Subtotal.Amount+order.Shipping.Amount+order.Tax.Amount, order.Total.Amount)
	ann.Await(t, order.ID, "confirmed")
	lamp.AwaitStock(t, 3, 2)
	chair.AwaitStock(t, 2, 7)
}

// TestOrderList pages through one's orders while more come.
func TestOrderList(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 20), s.Register(t)
	var ids []string
	buy := func() {
		ids = append(ids, ann.Bought(t, lamp, 1).ID)
		shop.Eventually(t, shop.Patience, func() (bool, string) { return len(ann.Cart(t).Lines) == 0, "the cart is not cleared" })
	}
	for range 3 {
		buy()
	}
	first := shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders?limit=2")
	buy()
	second := shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders?limit=2&cursor="+*first.NextCursor)
	require.Equal(t, []string{ids[2], ids[1], ids[0]}, []string{first.Items[0].ID, first.Items[1].ID, second.Items[0].ID})
	require.Nil(t, second.NextCursor)
	for _, status := range []string{"pending", "confirmed", "shipped", "delivered", "cancelled"} {
		page := shop.Get[shop.List[shop.Order]](t, s.Admin(t), "/api/v1/admin/orders?limit=5&status="+status)
		for _, o := range page.Items {
			require.Equal(t, status, o.Status)
		}
	}
	s.Admin(t).Do(t, "GET", "/api/v1/admin/orders?status=lost", nil).Refused(t, 422, "invalid")
	raw := shop.Get[map[string]json.RawMessage](t, ann, "/api/v1/orders/"+ids[0])
	for _, name := range []string{"id", "number", "status", "version", "email", "lines", "promo_code", "subtotal", "discount", "tax", "shipping", "total",
		"address", "payment", "shipment", "cancel_reason", "history", "created_at"} {
		require.Contains(t, raw, name)
	}
}
