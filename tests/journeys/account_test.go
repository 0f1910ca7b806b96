package journeys

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

type body = map[string]string

// TestRegister is about accounts that do not come about.
func TestRegister(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	nobody := s.Nobody()
	register := func(email, password string) *shop.Answer {
		return nobody.Do(t, "POST", "/api/v1/auth/register", body{"email": email, "password": password, "first_name": "Ann", "last_name": "Lee"})
	}
	for _, bad := range []string{"", "ann", "ann@", "@example.test", "ann@example", "a b@example.test", "ann@exa mple.test", "ann@example.test\r\nBcc: x@example.test"} {
		register(bad, "a-long-password").Refused(t, 422, "invalid")
	}
	email := "ann-" + shop.Random() + "@example.test"
	p := register(email, "123456789").Refused(t, 422, "invalid")
	require.Equal(t, "body.password", p.Errors[0].Location)
	require.NotContains(t, p.Errors[0].Message, "123456789", "never the value that was sent")
	p = register(email, "password123").Refused(t, 422, "invalid")
	require.Equal(t, "body.password", p.Errors[0].Location)
	register(email, "a-long-password").OK(t, 201)

	c := s.Nobody()
	c.Email, c.Password = email, "a-long-password"
	login := func(password string) *shop.Answer {
		return nobody.Do(t, "POST", "/api/v1/auth/login", body{"email": email, "password": password})
	}
	login("a-wrong-password").Refused(t, 401, "credentials-invalid")
	login("a-long-password").Refused(t, 403, "account-pending")

	verify := func(code string) *shop.Answer {
		return nobody.Do(t, "POST", "/api/v1/auth/verify-email", body{"email": email, "code": code})
	}
	first := c.Code(t, shop.VerifySubject, 1)
	nobody.Do(t, "POST", "/api/v1/auth/verify-email/code", body{"email": email}).OK(t, 202)
	second := c.Code(t, shop.VerifySubject, 2)
	if first != second {
		verify(first).Refused(t, 400, "code-invalid")
	}
	wrong := "000000"
	if second == wrong {
		wrong = "000001"
	}
	verify(wrong).Refused(t, 400, "code-invalid")
	verify("x").Refused(t, 400, "code-invalid")
	verify(second).OK(t, 204)
	verify(second).Refused(t, 400, "code-invalid")
	c.Login(t)
	register(email, "a-long-password").Refused(t, 409, "email-taken")
	register(strings.ToUpper(email), "a-long-password").Refused(t, 409, "email-taken")

	// The same answer whether or not there is such an account, and no mail.
	stranger := s.Nobody()
	stranger.Email = "stranger-" + shop.Random() + "@example.test"
	nobody.Do(t, "POST", "/api/v1/auth/verify-email/code", body{"email": stranger.Email}).OK(t, 202)
	nobody.Do(t, "POST", "/api/v1/auth/verify-email/code", body{"email": email}).OK(t, 202)
	nobody.Do(t, "POST", "/api/v1/auth/password/forgot", body{"email": stranger.Email}).OK(t, 202)
	c.AwaitMail(t, "Welcome to Stampede", 1)
	require.Len(t, c.Subjects(t), 3)
	require.Empty(t, stranger.Subjects(t))
}

// TestPreHijack: who registers a stranger's address gets nothing by it.
func TestPreHijack(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Nobody()
	ann.Email, ann.Password = "ann-"+shop.Random()+"@example.test", "ann-has-this-one"
	register := func(email, password, name string) {
		t.Helper()
		in := body{"email": email, "password": password, "first_name": name, "last_name": name}
		ann.Do(t, "POST", "/api/v1/auth/register", in).OK(t, 201)
	}
	register(ann.Email, "a-strangers-words", "Mal")
	old := ann.Code(t, shop.VerifySubject, 1)
	register(strings.ToUpper(ann.Email), ann.Password, "Ann")
	code := ann.Code(t, shop.VerifySubject, 2)
	if old != code {
		ann.Do(t, "POST", "/api/v1/auth/verify-email", body{"email": ann.Email, "code": old}).Refused(t, 400, "code-invalid")
	}
	ann.Do(t, "POST", "/api/v1/auth/verify-email", body{"email": ann.Email, "code": code}).OK(t, 204)
	strangers := body{"email": ann.Email, "password": "a-strangers-words"}
	ann.Do(t, "POST", "/api/v1/auth/login", strangers).Refused(t, 401, "credentials-invalid")
	ann.Login(t)
	require.Equal(t, "Ann", shop.Get[shop.Profile](t, ann, "/api/v1/users/me").FirstName)
}

// TestGuessedCode gives wrong codes until the right one does not count any more.
func TestGuessedCode(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	c := s.Nobody()
	c.Email, c.Password = "ann-"+shop.Random()+"@example.test", "a-long-password"
	c.Do(t, "POST", "/api/v1/auth/register", body{"email": c.Email, "password": c.Password, "first_name": "Ann", "last_name": "Lee"}).OK(t, 201)
	code := c.Code(t, shop.VerifySubject, 1)
	for i := range 5 {
		guess := fmt.Sprintf("%06d", i)
		if guess == code {
			guess = "999999"
		}
		c.Do(t, "POST", "/api/v1/auth/verify-email", body{"email": c.Email, "code": guess}).Refused(t, 400, "code-invalid")
	}
	c.Do(t, "POST", "/api/v1/auth/verify-email", body{"email": c.Email, "code": code}).Refused(t, 400, "code-invalid")
	c.Do(t, "POST", "/api/v1/auth/verify-email/code", body{"email": c.Email}).OK(t, 202)
	c.Do(t, "POST", "/api/v1/auth/verify-email", body{"email": c.Email, "code": c.Code(t, shop.VerifySubject, 2)}).OK(t, 204)
	c.Login(t)
}

// TestGuessedPassword gives wrong passwords until even the right one has to wait.
func TestGuessedPassword(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	limited := false
	for range 30 {
		a := s.Nobody().Do(t, "POST", "/api/v1/auth/login", body{"email": ann.Email, "password": "a-wrong-password"})
		if a.Status == 429 {
			limited = true
			break
		}
		a.Refused(t, 401, "credentials-invalid")
	}
	require.True(t, limited, "30 wrong passwords and no end")
	s.Nobody().Do(t, "POST", "/api/v1/auth/login", body{"email": ann.Email, "password": ann.Password}).Refused(t, 429, "too-many-requests")
	require.Equal(t, ann.Account, shop.Get[shop.Profile](t, ann, "/api/v1/users/me").AccountID, "who is logged in stays so")
}

func TestSessions(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	who := shop.Get[struct {
		AccountID string    `json:"account_id"`
		Email     string    `json:"email"`
		Roles     []string  `json:"roles"`
		ExpiresAt time.Time `json:"expires_at"`
	}](t, ann, "/api/v1/auth/verify-token")
	require.Equal(t, ann.Account, who.AccountID)
	require.Equal(t, ann.Email, who.Email)
	require.Equal(t, []string{"USER"}, who.Roles)
	require.WithinDuration(t, time.Now().Add(15*time.Minute), who.ExpiresAt, time.Minute)

	refresh := func(token string) *shop.Answer {
		return s.Nobody().Do(t, "POST", "/api/v1/auth/refresh", body{"refresh_token": token})
	}
	renewed := shop.Read[shop.Tokens](t, refresh(ann.Refresh).OK(t, 200))
	fresh := *ann
	fresh.Token = renewed.AccessToken
	require.Equal(t, ann.Account, shop.Get[shop.Profile](t, &fresh, "/api/v1/users/me").AccountID)
	refresh("nothing").Refused(t, 401, "unauthenticated")
	s.Nobody().Do(t, "POST", "/api/v1/auth/logout", body{"refresh_token": renewed.RefreshToken}).OK(t, 204)
	refresh(renewed.RefreshToken).Refused(t, 401, "unauthenticated")
	s.Nobody().Do(t, "POST", "/api/v1/auth/logout", body{"refresh_token": "nothing"}).Refused(t, 401, "unauthenticated")
}

func TestPassword(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	first := *ann
	ann.Login(t)
	second := *ann

	// Changed: the other session ends, this one stays.
	change := func(old, new string) *shop.Answer {
		return second.Do(t, "POST", "/api/v1/auth/password/change", body{"password": old, "new_password": new})
	}
	change("not-the-password", "another-long-one").Refused(t, 401, "credentials-invalid")
	change(ann.Password, "short").Refused(t, 422, "invalid")
	change(ann.Password, "another-long-one").OK(t, 204)
	refresh := func(c shop.Client) int {
		return s.Nobody().Do(t, "POST", "/api/v1/auth/refresh", body{"refresh_token": c.Refresh}).Status
	}
	require.Equal(t, 401, refresh(first))
	require.Equal(t, 200, refresh(second))
	s.Nobody().Do(t, "POST", "/api/v1/auth/login", body{"email": ann.Email, "password": ann.Password}).Refused(t, 401, "credentials-invalid")
	ann.Password = "another-long-one"
	ann.Login(t)

	// Forgotten: a code by mail, all sessions end.
	s.Nobody().Do(t, "POST", "/api/v1/auth/password/forgot", body{"email": ann.Email}).OK(t, 202)
	code := ann.Code(t, shop.ResetSubject, 1)
	reset := func(code, new string) *shop.Answer {
		return s.Nobody().Do(t, "POST", "/api/v1/auth/password/reset", body{"email": ann.Email, "code": code, "new_password": new})
	}
	wrong := "000000"
	if wrong == code {
		wrong = "000001"
	}
	reset(wrong, "a-third-long-one").Refused(t, 400, "code-invalid")
	reset(code, "short").Refused(t, 422, "invalid")
	reset(code, "a-third-long-one").OK(t, 204)
	reset(code, "a-fourth-long-one").Refused(t, 400, "code-invalid")
	require.Equal(t, 401, refresh(second))
	require.Equal(t, 401, refresh(*ann))
	ann.Password = "a-third-long-one"
	ann.Login(t)
}

// TestChangeEmail moves an account to another address, with an order on its way.
func TestChangeEmail(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 5), s.Register(t)
	ordered := ann.Bought(t, lamp, 1)
	first := *ann
	ann.Login(t)
	bob := s.Register(t)
	next := s.Nobody()
	next.Email = "ann-new-" + shop.Random() + "@example.test"

	change := func(password, email string) *shop.Answer {
		return ann.Do(t, "POST", "/api/v1/auth/email/change", body{"password": password, "email": email})
	}
	change("not-the-password", next.Email).Refused(t, 401, "credentials-invalid")
	change(ann.Password, bob.Email).Refused(t, 409, "email-taken")
	change(ann.Password, next.Email).OK(t, 202)
	code := next.Code(t, shop.EmailSubject, 1)
	ann.AwaitMail(t, "Your e-mail address at Stampede is about to change", 1)
	bob.Do(t, "POST", "/api/v1/auth/email/verify", body{"code": code}).Refused(t, 400, "code-invalid")
	ann.Do(t, "POST", "/api/v1/auth/email/verify", body{"code": code}).OK(t, 204)

	refresh := func(c shop.Client) int {
		return s.Nobody().Do(t, "POST", "/api/v1/auth/refresh", body{"refresh_token": c.Refresh}).Status
	}
	require.Equal(t, []int{401, 200}, []int{refresh(first), refresh(*ann)})
	before := body{"email": ann.Email, "password": ann.Password}
	s.Nobody().Do(t, "POST", "/api/v1/auth/login", before).Refused(t, 401, "credentials-invalid")
	old := ann.Email
	ann.Email = next.Email
	ann.Login(t)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Email == next.Email, "users has not heard of it"
	})
	require.Equal(t, old, shop.Get[shop.Order](t, ann, "/api/v1/orders/"+ordered.ID).Email, "an order stays as it was placed")
	require.Equal(t, next.Email, ann.Bought(t, lamp, 1).Email)
	s.Nobody().Do(t, "POST", "/api/v1/auth/register", body{
		"email": next.Email, "password": "a-long-password", "first_name": "Ann", "last_name": "Lee",
	}).Refused(t, 409, "email-taken")
}

// TestImportCustomers brings the customers of another shop along, who choose a password when they come.
func TestImportCustomers(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ops, bob := s.Admin(t), s.Register(t)
	ann := s.Nobody()
	ann.Email, ann.Password = "ann-"+shop.Random()+"@example.test", "correct-horse-"+shop.Random()
	const head = "First Name,Last Name,Email,Default Address Address1,Default Address City,Default Address Country Code," +
		"Default Address Zip,Phone\n"
	file := head + "Ann,Lee," + ann.Email + ",1 High Street,Leeds,GB,LS1 1AA,+442079460000\n" +
		"Bob,Other," + bob.Email + ",2 High Street,Leeds,GB,LS1 1AA,\n"
	type report struct {
		Created, Unchanged, Refused int
	}
	send := func() report {
		t.Helper()
		const path = "/api/v1/admin/auth/accounts/import?invite=true"
		return shop.Read[report](t, ops.Do(t, "POST", path, shop.Raw{Type: "text/csv", Body: []byte(file)}).OK(t, 200))
	}
	require.Equal(t, report{Created: 1, Unchanged: 1}, send())
	ann.AwaitMail(t, "Your account at Stampede", 1).Shows(t, "/password/forgot")
	require.Equal(t, report{Unchanged: 2}, send())
	login := body{"email": ann.Email, "password": ann.Password}
	s.Nobody().Do(t, "POST", "/api/v1/auth/login", login).Refused(t, 401, "credentials-invalid")
	ann.Do(t, "POST", "/api/v1/auth/password/forgot", body{"email": ann.Email}).OK(t, 202)
	ann.Do(t, "POST", "/api/v1/auth/password/reset", body{
		"email": ann.Email, "code": ann.Code(t, shop.ResetSubject, 1), "new_password": ann.Password,
	}).OK(t, 204)
	ann.Login(t)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		me := shop.Get[shop.Profile](t, ann, "/api/v1/users/me")
		return len(me.Addresses) == 1 && me.Phone != nil, "the address has not come"
	})
	require.Equal(t, "Ann", shop.Get[shop.Profile](t, bob, "/api/v1/users/me").FirstName, "who was there is as before")
}

// TestImportOrders brings the orders of another shop along as history: for the office, and for whoever has proved the address.
func TestImportOrders(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ops, ann, bob := s.Admin(t), s.Register(t), s.Register(t)
	number := "#J-" + shop.Random()
	file := []byte(shop.PastOrder(number, ann.Email, "Ann Lee", "1 High Street", ""))
	type report struct {
		Created, Changed, Unchanged, Refused int
	}
	send := func() report {
		t.Helper()
		a := ops.Do(t, "POST", "/api/v1/admin/orders/import", shop.Raw{Type: "text/csv", Body: file})
		return shop.Read[report](t, a.OK(t, 200))
	}
	require.Equal(t, report{Created: 1}, send())
	require.Equal(t, report{Unchanged: 1}, send())
	type past struct {
		ID, Number, Email string
		Total             shop.Money
		Lines             []struct{ Quantity int }
	}
	var mine []past
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		mine = shop.Get[shop.List[past]](t, ann, "/api/v1/orders/imported").Items
		return len(mine) == 1, "nobody knows yet whose it is"
	})
	require.Equal(t, []any{number, shop.Pounds(3_450), 2}, []any{mine[0].Number, mine[0].Total, len(mine[0].Lines)})
	require.Empty(t, shop.Get[shop.List[past]](t, bob, "/api/v1/orders/imported").Items)
	bob.Do(t, "GET", "/api/v1/admin/orders/imported", nil).Refused(t, 403, "forbidden")

	found := shop.Get[shop.List[past]](t, ops, "/api/v1/admin/orders/imported?q="+url.QueryEscape(number)).Items
	require.Equal(t, []any{1, ann.Email}, []any{len(found), found[0].Email})
	require.Equal(t, found[0].ID, shop.Get[past](t, ops, "/api/v1/admin/orders/imported/"+found[0].ID).ID)
	// It is no order: nothing can be done with it.
	require.Empty(t, shop.Get[shop.List[past]](t, ann, "/api/v1/orders").Items)
	for _, act := range []string{"shipment", "delivery", "cancellation"} {
		parcel := body{"carrier": "Royal Mail", "tracking_number": "1"}
		a := ops.Do(t, "POST", "/api/v1/admin/orders/"+found[0].ID+"/"+act, map[string]any{"shipment": parcel, "cancellation": body{}}[act])
		a.Refused(t, 404, "order-not-found")
	}
}

func TestLoginHistory(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	s.Nobody().Do(t, "POST", "/api/v1/auth/login", body{"email": ann.Email, "password": "a-wrong-password"},
		"User-Agent", "Sneaky/1.0", "X-Forwarded-For", "8.8.8.8", "X-Real-IP", "8.8.8.8").Refused(t, 401, "credentials-invalid")
	type login struct {
		At        time.Time `json:"at"`
		Address   string    `json:"address"`
		UserAgent string    `json:"user_agent"`
		Outcome   string    `json:"outcome"`
		Through   string    `json:"through"`
	}
	history := shop.Get[shop.List[login]](t, ann, "/api/v1/auth/login-history").Items
	require.Len(t, history, 2)
	require.Equal(t, "failed", history[0].Outcome)
	require.Equal(t, "Sneaky/1.0", history[0].UserAgent)
	require.NotContains(t, history[0].Address, "8.8.8.8")
	require.NotEmpty(t, history[0].Address)
	require.Equal(t, "success", history[1].Outcome)
	require.Equal(t, "api", history[1].Through)
	require.Len(t, shop.All[login](t, ann, "/api/v1/auth/login-history?limit=1"), 2)
	require.Len(t, shop.Get[shop.List[login]](t, s.Admin(t), "/api/v1/admin/auth/accounts/"+ann.Account+"/login-history").Items, 2)
	account := shop.Get[struct {
		Status string `json:"status"`
		Email  string `json:"email"`
	}](t, s.Admin(t), "/api/v1/admin/auth/accounts/"+ann.Account)
	require.Equal(t, "active", account.Status)
	require.Equal(t, ann.Email, account.Email)
}

// TestSuspension shuts a shopper out, in the middle of everything, and lets her in again.
func TestSuspension(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann, ops := s.NewProduct(t, 1_000, 5), s.Register(t), s.Admin(t)
	before := ann.Bought(t, lamp, 1)
	ann.Put(t, lamp, 1)
	// Refused in any case, so that nothing is bought while the news is on its way.
	refused := func(slug string) (bool, string) {
		a := ann.Place(t, shop.Random(), shop.OrderRequest{Address: &shop.Home, PaymentMethod: shop.Visa, ExpectedTotal: shop.Pounds(1)})
		return a.Problem().Slug() == slug, string(a.Body)
	}
	login := func() *shop.Answer {
		return s.Nobody().Do(t, "POST", "/api/v1/auth/login", body{"email": ann.Email, "password": ann.Password})
	}
	path := "/api/v1/admin/auth/accounts/" + ann.Account + "/suspension"
	ops.Do(t, "POST", path, body{"reason": "Sells tickets"}).OK(t, 200)

	login().Refused(t, 403, "account-suspended")
	s.Nobody().Do(t, "POST", "/api/v1/auth/login", body{"email": ann.Email, "password": "a-wrong-password"}).Refused(t, 401, "credentials-invalid")
	s.Nobody().Do(t, "POST", "/api/v1/auth/refresh", body{"refresh_token": ann.Refresh}).Refused(t, 401, "unauthenticated")
	// Her token is good for some minutes yet, but not for an order.
	shop.Eventually(t, shop.Patience, func() (bool, string) { return refused("account-suspended") })
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		user := shop.Get[struct{ Status string }](t, ops, "/api/v1/admin/users/"+ann.Account)
		return user.Status == "suspended", "users has not heard of it"
	})
	require.Equal(t, before.ID, shop.Get[shop.Order](t, ann, "/api/v1/orders/"+before.ID).ID, "what she bought is hers")

	ops.Do(t, "DELETE", path, nil).OK(t, 200)
	ann.Login(t)
	shop.Eventually(t, shop.Patience, func() (bool, string) { return refused("price-changed") })
	ann.Await(t, ann.Order(t, shop.Visa).ID, "confirmed")
}

func TestProfile(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	me := shop.Read[shop.Profile](t, ann.Do(t, "PATCH", "/api/v1/users/me", body{"first_name": "Änne", "phone": "+44 20 7946 0000"}).OK(t, 200))
	require.Equal(t, "Änne", me.FirstName)
	require.Equal(t, "Lee", me.LastName)
	require.Equal(t, "+442079460000", *me.Phone)
	for _, bad := range []string{"12345", "+44 20 x", "+0123456789"} {
		ann.Do(t, "PATCH", "/api/v1/users/me", body{"phone": bad}).Refused(t, 422, "invalid")
	}
	me = shop.Read[shop.Profile](t, ann.Do(t, "PATCH", "/api/v1/users/me", body{"phone": ""}).OK(t, 200))
	require.Nil(t, me.Phone)

	kept := shop.Read[shop.Address](t, ann.Do(t, "POST", "/api/v1/users/me/addresses", shop.Home).OK(t, 201))
	at := "/api/v1/users/me/addresses/" + kept.ID
	moved := shop.Dublin
	require.Equal(t, "2 Low Street", shop.Read[shop.Address](t, ann.Do(t, "PUT", at, moved).OK(t, 200)).Line1)
	for _, country := range []string{"", "G", "gb", "GBR", "12", "UK", "XX", "US"} {
		moved.Country = country
		ann.Do(t, "PUT", at, moved).Refused(t, 422, "invalid")
	}
	require.Equal(t, "IE", shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Addresses[0].Country)
	ann.Do(t, "DELETE", at, nil).OK(t, http.StatusNoContent)
	ann.Do(t, "DELETE", at, nil).Refused(t, 404, "address-not-found")
	ann.Do(t, "PUT", at, shop.Home).Refused(t, 404, "address-not-found")
	ann.Do(t, "PUT", "/api/v1/users/me/addresses/nothing", shop.Home).OK(t, 422)
	require.Empty(t, shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Addresses)
	found := shop.Get[shop.List[shop.Profile]](t, s.Admin(t), "/api/v1/admin/users?email="+ann.Email).Items
	require.Len(t, found, 1)
	require.Equal(t, ann.Account, found[0].AccountID)
}
