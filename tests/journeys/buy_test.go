package journeys

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestBuy is the whole life of a shopper's first order.
func TestBuy(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, chair := s.NewProduct(t, 1_250, 10), s.NewProduct(t, 3_000, 5)

	// Browse and search, as nobody in particular.
	guest := s.Guest()
	found := shop.Get[shop.Listing](t, guest, "/api/v1/products?q="+lamp.SKU)
	require.NotEmpty(t, found.Items)
	require.Equal(t, lamp.Slug, found.Items[0].Slug)
	page := shop.Get[shop.Page](t, guest, "/api/v1/products/"+lamp.Slug)
	require.Equal(t, lamp.Price, page.Variants[0].Price)
	require.Equal(t, 10, page.Variants[0].Available)

	// A guest's cart holds stock.
	cart := guest.Put(t, lamp, 2)
	require.NotNil(t, cart.Line(lamp.SKU).HoldExpiresAt)
	require.Equal(t, shop.Pounds(2_500), cart.Subtotal)
	require.Equal(t, shop.Pounds(399), cart.Shipping)
	require.Equal(t, shop.Pounds(2_899), cart.Total)

	// The account, its code by mail, the login.
	ann := s.Register(t)
	ann.AwaitMail(t, "Welcome to Stampede", 1)
	me := shop.Get[shop.Profile](t, ann, "/api/v1/users/me")
	require.Equal(t, ann.Account, me.AccountID)
	require.Equal(t, ann.Email, me.Email)

	// The carts merge: the larger quantity of each, and the guest's is empty.
	ann.Put(t, lamp, 1)
	ann.Put(t, chair, 1)
	both := *ann
	both.Session = guest.Session
	merged := shop.Read[shop.Cart](t, both.Do(t, "POST", "/api/v1/cart/merge", nil).OK(t, 200))
	require.Len(t, merged.Lines, 2)
	require.Equal(t, 2, merged.Line(lamp.SKU).Quantity)
	require.Equal(t, 1, merged.Line(chair.SKU).Quantity)
	require.NotNil(t, merged.Line(lamp.SKU).HoldExpiresAt)
	require.Empty(t, guest.Cart(t).Lines)
	require.Equal(t, shop.Pounds(5_500), merged.Subtotal)
	require.Equal(t, shop.Pounds(0), merged.Shipping, "free from £50")
	require.Equal(t, shop.Pounds(917), merged.Tax, "2500/6 + 3000/6, rounded line by line")

	// The order, its payment, the mail.
	order := ann.Order(t, shop.Visa)
	require.Equal(t, ann.Email, order.Email)
	require.Equal(t, shop.Home, order.Address)
	require.Nil(t, order.Shipment)
	require.Equal(t, "pending", order.Payment.Status)
	order = ann.Await(t, order.ID, "confirmed")
	require.Equal(t, "captured", order.Payment.Status)
	lamp.AwaitStock(t, 8, 2)
	chair.AwaitStock(t, 4, 1)
	mail := ann.AwaitMail(t, "Your order "+order.Number+" is confirmed", 1)
	mail.Shows(t, `href="`+s.Settings["PUBLIC_URL"]+"/orders/"+order.ID+`"`, "£55.00", lamp.Name)
	require.Equal(t, "shop@stampede.test", mail.From[0].Address)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		cart := ann.Cart(t)
		return len(cart.Lines) == 0 && cart.CheckoutID != merged.CheckoutID, fmt.Sprintf("what was bought is still in the cart: %+v", cart)
	})

	// The shop ships and delivers.
	ops := s.Admin(t)
	at := "/api/v1/admin/orders/" + order.ID
	ops.Do(t, "POST", at+"/delivery", nil).Refused(t, 409, "order-not-deliverable")
	ops.Do(t, "POST", at+"/shipment", map[string]string{"carrier": "Royal Mail", "tracking_number": "RM123"}).OK(t, 200)
	shipped := ann.Await(t, order.ID, "shipped")
	require.Equal(t, "RM123", shipped.Shipment.TrackingNumber)
	ann.Cancel(t, order.ID).Refused(t, 409, "order-not-cancellable")
	mail = ann.AwaitMail(t, "Your order "+order.Number+" is on its way", 1)
	mail.Shows(t, "RM123")
	ops.Do(t, "POST", at+"/shipment", map[string]string{"carrier": "Royal Mail", "tracking_number": "RM124"}).Refused(t, 409, "order-not-shippable")
	ops.Do(t, "POST", at+"/delivery", nil).OK(t, 200)
	delivered := ann.Await(t, order.ID, "delivered")
	require.Equal(t, []string{"pending", "confirmed", "shipped", "delivered"}, delivered.Statuses())
	ann.AwaitMail(t, "Your order "+order.Number+" has arrived", 1)

	// Each mail came once.
	require.Equal(t, []string{
		shop.VerifySubject, "Welcome to Stampede", "Your order " + order.Number + " is confirmed",
		"Your order " + order.Number + " is on its way", "Your order " + order.Number + " has arrived",
	}, ann.Subjects(t))
	orders := shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders")
	require.Len(t, orders.Items, 1)
	require.Equal(t, "delivered", orders.Items[0].Status)

	// What was sold left the ledger once.
	ledger := lamp.Ledger(t)
	require.Len(t, ledger, 2)
	require.Equal(t, "sale", ledger[0].Kind)
	require.Equal(t, -2, ledger[0].Delta)
	require.Less(t, time.Since(order.CreatedAt), 10*time.Minute)
}
