package journeys

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// unheard are ten letters of which nobody's name consists.
func unheard() string {
	name := make([]byte, 10)
	for i := range name {
		name[i] = "bcdfghjklmnpqrstvwxz"[rand.N(20)]
	}
	return string(name)
}

// TestDeletion deletes an account that has used all that the shop has, with an order on its way, and looks for the person in
// every database, in Redis and in every log.
func TestDeletion(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ops, ann := s.NewProduct(t, 1_000, 20), s.Admin(t), s.Nobody()
	first, last, street := "F"+unheard(), "L"+unheard(), "S"+unheard()
	phone := fmt.Sprintf("+4477009%05d", rand.N(100_000)) // of those that are nobody's (Ofcom)
	ann.Email, ann.Password = unheard()+"@example.test", "correct-horse-"+shop.Random()
	kept := []string{ann.Email, first, last, street, phone[1:]}
	home := shop.Home
	home.Name, home.Line1, home.Phone = first+" "+last, "12 "+street+" Lane", phone
	post := func(path string, in body) *shop.Answer { return ann.Do(t, "POST", "/api/v1/auth/"+path, in) }

	// She was a customer of the shop before it moved.
	was := "First Name,Last Name,Email,Default Address Address1,Default Address City,Default Address Country Code," +
		"Default Address Zip,Phone\n" +
		first + "," + last + "," + ann.Email + ",12 " + street + " Lane,Leeds,GB,LS1 1AA," + phone + "\n"
	ops.Do(t, "POST", "/api/v1/admin/auth/accounts/import?invite=true", shop.Raw{Type: "text/csv", Body: []byte(was)}).OK(t, 200)
	ann.AwaitMail(t, "Your account at Stampede", 1)
	past := shop.PastOrder("#D-"+shop.Random(), ann.Email, first+" "+last, "12 "+street+" Lane", phone)
	ops.Do(t, "POST", "/api/v1/admin/orders/import", shop.Raw{Type: "text/csv", Body: []byte(past)}).OK(t, 200)
	post("register", body{"email": ann.Email, "password": ann.Password, "first_name": first, "last_name": last}).OK(t, 201)
	post("verify-email", body{"email": ann.Email, "code": ann.Code(t, shop.VerifySubject, 1)}).OK(t, 204)
	post("login", body{"email": ann.Email, "password": "not-the-password"}).Refused(t, 401, "credentials-invalid")
	ann.Login(t)
	ann.Account = shop.Get[shop.Profile](t, ann, "/api/v1/users/me").AccountID
	ann.Do(t, "PATCH", "/api/v1/users/me", body{"phone": phone}).OK(t, 200)
	ann.Do(t, "POST", "/api/v1/users/me/addresses", home).OK(t, 201)
	post("password/forgot", body{"email": ann.Email}).OK(t, 202)
	ann.Code(t, shop.ResetSubject, 1)
	next := s.Nobody()
	next.Email = unheard() + "@example.test"
	kept = append(kept, next.Email)
	post("email/change", body{"email": next.Email, "password": ann.Password}).OK(t, 202)
	next.Code(t, shop.EmailSubject, 1)

	buy := func() shop.Order {
		t.Helper()
		ann.Put(t, lamp, 1)
		request := shop.OrderRequest{Address: &home, PaymentMethod: shop.Visa, ExpectedTotal: ann.Cart(t).Total}
		return ann.Await(t, shop.Read[shop.Order](t, ann.Place(t, shop.Random(), request).OK(t, 201)).ID, "confirmed")
	}
	at := func(o shop.Order) string { return "/api/v1/admin/orders/" + o.ID }
	ship := func(o shop.Order) {
		t.Helper()
		ops.Do(t, "POST", at(o)+"/shipment", body{"carrier": "Royal Mail", "tracking_number": "RM" + street}).OK(t, 200)
	}
	delivered, cancelled, underway := buy(), buy(), buy()
	ship(delivered)
	ops.Do(t, "POST", at(delivered)+"/delivery", nil).OK(t, 200)
	refund := map[string]any{"amount": shop.Pounds(1), "reason": first + " rang: one was broken"}
	ops.Do(t, "POST", "/api/v1/admin/payments/"+delivered.ID+"/refunds", refund, "Idempotency-Key", shop.Random()).OK(t, 201)
	ann.Do(t, "POST", "/api/v1/orders/"+cancelled.ID+"/cancellation", body{"reason": "I moved to " + street}).OK(t, 202)
	ann.AwaitOrder(t, cancelled.ID, "refunded", func(o shop.Order) bool { return o.Payment.Status == "refunded" })
	ann.AwaitOrder(t, delivered.ID, "partly refunded", func(o shop.Order) bool { return o.Payment.Status == "partially_refunded" })
	ann.Put(t, lamp, 2)
	require.NotEmpty(t, s.Kept(t, kept...), "who looks for nothing finds nothing")

	post("deletion", body{"password": "not-the-password"}).Refused(t, 401, "credentials-invalid")
	post("deletion", body{"password": ann.Password}).OK(t, 202)
	post("refresh", body{"refresh_token": ann.Refresh}).Refused(t, 401, "unauthenticated")
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := ann.Do(t, "GET", "/api/v1/users/me", nil)
		return a.Status == 401, "users has not heard of it: " + string(a.Body)
	})

	// What is on its way still comes, and she hears of it.
	type order struct {
		shop.Order
		Forgotten bool `json:"forgotten"`
	}
	look := func(o shop.Order) order { return shop.Get[order](t, ops, at(o)) }
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return look(delivered).Forgotten && look(cancelled).Forgotten, "orders still knows who she was"
	})
	require.Equal(t, []any{false, home.Line1}, []any{look(underway).Forgotten, look(underway).Address.Line1})
	require.Equal(t, []any{"", "GB", delivered.Total}, []any{look(delivered).Email, look(delivered).Address.Country, look(delivered).Total})
	ship(underway)
	ops.Do(t, "POST", at(underway)+"/delivery", nil).OK(t, 200)
	ann.AwaitMail(t, "Your order "+underway.Number+" has arrived", 1)
	shop.Eventually(t, 2*shop.Patience, func() (bool, string) {
		return look(underway).Forgotten, "orders still knows whom it sent the last one to"
	})

	// Nobody knows her any more.
	var found []string
	shop.Eventually(t, 2*shop.Patience, func() (bool, string) {
		if found = s.Kept(t, kept...); len(found) == 0 {
			return true, ""
		}
		t.Logf("still there: %s", found[0])
		return false, strings.Join(found, "\n")
	})
	post("login", body{"email": ann.Email, "password": ann.Password}).Refused(t, 401, "credentials-invalid") // which is noted for a day
	s.Nobody().Do(t, "POST", "/api/v1/auth/register", body{
		"email": ann.Email, "password": ann.Password, "first_name": "Ann", "last_name": "Lee",
	}).OK(t, 201)
}
