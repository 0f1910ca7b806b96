package store

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/browser"
	"github.com/stampede-shop/stampede/tests/shop"
)

// page is where a product is shown.
func page(p *shop.Product) string { return "/products/" + p.Slug }

// TestBuyAsGuest: somebody finds a lamp, puts it into the cart, logs in on the way to the checkout, and pays.
func TestBuyAsGuest(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 6_250, 3), s.Register(t)
	v := browser.Visit(t, s, 1280, 900)
	v.Open("/search?q=" + strings.ReplaceAll(lamp.Name, " ", "+")).Click(`a.card[href="` + page(lamp) + `"]`).At(page(lamp))
	v.Sees("Only 3 left").Sees("£62.50")
	v.Click("#add").There("dialog[open] .line").Until("counting down", `/for [0-9]+:[0-9]{2}/.test(document.querySelector("dialog[open] .hold").textContent)`).Until("counted in the head", `document.querySelector("#cart-count").textContent.trim().startsWith("1")`)
	lamp.AwaitStock(t, 2, 0)
	v.Click(`dialog[open] a[href="/checkout"]`).Login(ann.Email, ann.Password)

	v.At("/checkout").There("#line1").Address(shop.Home).Click("input[name=save]").Click("#pay")
	id := v.Order()
	v.Sees("It is yours. Thank you!") // by itself
	o := ann.Await(t, id, "confirmed")
	require.Equal(t, []string{lamp.SKU}, []string{o.Lines[0].SKU})
	require.Equal(t, "1 High Street", o.Address.Line1)
	lamp.AwaitStock(t, 2, 1)
	require.Equal(t, "1 High Street", shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Addresses[0].Line1)

	cookies := v.Cookies()
	require.True(t, cookies["session"].HTTPOnly)
	require.EqualValues(t, "Lax", cookies["session"].SameSite)
	require.NotContains(t, cookies, "cart", "the guest's cart has become the account's")
	for _, path := range []string{"/", "/account", "/checkout", "/my/header"} {
		var html string
		v.Open(path).Run(chromedp.OuterHTML("html", &html, chromedp.ByQuery))
		require.NotContains(t, html, "eyJ", "no token in a page")
		require.NotContains(t, html, cookies["session"].Value)
	}
	v.Open("/cart").Sees("There is nothing in your cart")
}

// TestReturningShopper: somebody with an address book buys again, and finds the order in the history.
func TestReturningShopper(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	ann.Do(t, "POST", "/api/v1/users/me/addresses", shop.Home).OK(t, 201)
	ann.Do(t, "POST", "/api/v1/users/me/addresses", shop.Paris).OK(t, 201)
	v := browser.Visit(t, s, 1280, 900)
	v.LoginAt("/cart", ann.Email, ann.Password).Sees("There is nothing in your cart").Sees("Ann")
	v.Open(page(lamp)).Click("#add").There("dialog[open] .line")
	v.Open("/checkout").Sees("£3.99")
	v.Click(`label.option:has(input[name=address_id]):nth-of-type(2)`).Sees("£8.99").Sees("£21.49").Click("#pay")
	id := v.Order()
	v.Sees("It is yours")
	require.Equal(t, "FR", ann.Await(t, id, "confirmed").Address.Country)
	v.Click(`nav.crumbs a[href="/orders"]`).At("/orders").Sees("£21.49").Click("a.order-card").At("/orders/" + id)

	// The profile.
	v.Open("/account").Fill("#phone", "+44 20 7946 0000").Click(".form .button").Sees("Saved")
	require.Equal(t, "+442079460000", *shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Phone)
	v.Fill("#phone", "12").Click(".form .button").Sees("Must be in international form")
	v.Open("/account/security").Sees("Logged in")
	// And out again, at Keycloak too.
	v.Open("/account").Click(".leave button").Sees("You are logged out")
	require.NotContains(t, v.Cookies(), "session")
	v.Open("/orders").At("/realms/stampede/").There("#password")
}

// TestDeclinedCard: the page says so by itself, and the next card is chosen there, while all is held.
func TestDeclinedCard(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	v := browser.Visit(t, s, 1280, 900)
	v.Open(page(lamp)).Click("#add").Click(`dialog[open] a[href="/checkout"]`).Login(ann.Email, ann.Password)
	v.At("/checkout").Address(shop.Home).Click(".options details summary").Click(`label:has([value=pm_card_chargeDeclined])`).Click("#pay")
	first := v.Order()
	v.Sees("Your card was declined").Sees("nothing was ordered").Until("held again", `/for [0-9]+:[0-9]{2}/.test(document.querySelector("#order-hold")?.textContent)`)
	lamp.AwaitStock(t, 2, 0)
	v.Click(`#order-body label:has([value=pm_card_visa])`).Click("#pay")
	v.Until("another order", `location.pathname.startsWith("/orders/") && !location.pathname.endsWith(`+browser.Quote(first)+`)`).Sees("It is yours")
	lamp.AwaitStock(t, 2, 1)
	require.Equal(t, shop.Home, ann.Await(t, v.Order(), "confirmed").Address) // the attempt's
	v.Open("/orders").Until("one order", `document.querySelectorAll("a.order-card").length === 1`)
	v.Open("/orders/" + first).Sees("Your card was declined").Sees("see your orders")
	for _, subject := range ann.Subjects(t) {
		require.NotContains(t, subject, "was cancelled")
	}
}

// TestDeclinedWithoutScripts: the same with JavaScript switched off, and with a cart that has changed since.
func TestDeclinedWithoutScripts(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, chair, ann := s.NewProduct(t, 1_250, 3), s.NewProduct(t, 2_000, 3), s.Register(t)
	declined := ann.Await(t, ann.Buy(t, lamp, 1, shop.Declined).ID, "cancelled")
	v := browser.Visit(t, s, 1280, 900).WithoutScripts()
	v.Open("/orders/"+declined.ID).Login(ann.Email, ann.Password).At("/orders/" + declined.ID).Sees("Your card was declined")
	ann.Put(t, chair, 1)
	v.Click("#pay").Sees("no longer what it was then").Click(`#order-body a[href="/cart"]`).At("/cart")
	ann.Put(t, chair, 0)
	v.Open("/orders/"+declined.ID).Click("#pay").Until("another order", `location.pathname.startsWith("/orders/") && !location.pathname.endsWith(`+browser.Quote(declined.ID)+`)`).Sees("It is yours")
}

// TestAlreadyOrdered: a cart that is being paid is not ordered again, and the checkout says so instead of leading to the
// old order.
func TestAlreadyOrdered(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	ann.Put(t, lamp, 1)
	v := browser.Visit(t, s, 1280, 900)
	v.LoginAt("/checkout", ann.Email, ann.Password).Address(shop.Home)
	o := ann.Order(t, shop.Slow)
	v.Click("#pay").Sees("You have ordered this cart already").Sees(o.Number).At("/checkout")
	ann.Await(t, o.ID, "confirmed")
	require.Len(t, shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders").Items, 1)
}

// TestSoldOutInTheCart: what is not held any more is bought by somebody else; the checkout says so in place, and
// nothing typed is lost.
func TestSoldOutInTheCart(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, other, ann := s.NewProduct(t, 1_250, 1), s.NewProduct(t, 2_000, 5), s.Register(t)
	ann.Put(t, lamp, 1)
	ann.Put(t, other, 1)
	for range 3 { // twice the cart gets its holds back, the third time it keeps its lines alone
		ann.Await(t, ann.Order(t, shop.Declined).ID, "cancelled")
	}
	lamp.AwaitStock(t, 1, 0)
	s.Register(t).Bought(t, lamp, 1)

	v := browser.Visit(t, s, 1280, 900)
	v.Open("/cart").LoginAt("/cart", ann.Email, ann.Password).Sees("Not held any more")
	v.Open("/checkout").At("/checkout").Address(shop.Home).Click("#pay")
	v.Sees("Somebody was faster").Sees("Sold out.")
	require.Equal(t, "1 High Street", v.Value("#line1"))
	v.Click(`button[name=adjust]`).Until("taken out", `document.querySelectorAll("#summary .line").length === 1`)
	require.Equal(t, "1 High Street", v.Value("#line1"))
	v.Click("#pay").Sees("It is yours")
	require.Equal(t, other.SKU, ann.Await(t, v.Order(), "confirmed").Lines[0].SKU)

	// The product's page says it, too, and in the list.
	v.Open(page(lamp)).Until("not for sale", `document.querySelector("#add").disabled`).Sees("Sold out")
}

// TestPriceChanged: the checkout shows the new total before anything is paid.
func TestPriceChanged(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 5_000, 3), s.Register(t)
	ann.Put(t, lamp, 1)
	v := browser.Visit(t, s, 1280, 900)
	v.LoginAt("/checkout", ann.Email, ann.Password).Sees("£50.00").Address(shop.Home)
	lamp.Reprice(t, 5_500)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return ann.Cart(t).Total == shop.Pounds(5_500), "the cart has the old price"
	})
	v.Click("#pay").Sees("The total has changed").Sees("It was £50.00").Sees("£55.00")
	require.Equal(t, "1 High Street", v.Value("#line1"))
	v.Click("#pay").Sees("It is yours")
	require.Equal(t, shop.Pounds(5_500), ann.Await(t, v.Order(), "confirmed").Total)
}

// TestRegister: somebody opens an account on the way to the checkout, and is back there afterwards.
func TestRegister(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 3)
	bob := s.Nobody()
	bob.Email, bob.Password = "bob-"+shop.Random()+"@example.test", "correct-horse-"+shop.Random()
	v := browser.Visit(t, s, 1280, 900)
	v.Open(page(lamp)).Click("#add").Click(`dialog[open] a[href="/checkout"]`).Click(`a[href="/register"]`)
	v.At("/register").Fill("#first_name", "Bob").Fill("#last_name", "Ray").Fill("#email", bob.Email).Fill("#password", bob.Password).Click("main .button.buy")
	v.At("/verify").Fill("#code", "000000").Click("main .button.buy").Sees("wrong or too old")
	// Somebody else registers the address meanwhile: the newest code is good, and the password that was typed here.
	bob.Do(t, "POST", "/api/v1/auth/register", map[string]string{
		"email": bob.Email, "password": "a-strangers-words", "first_name": "Mal", "last_name": "Lory",
	}).OK(t, 201)
	v.Fill("#code", bob.Code(t, shop.VerifySubject, 2)).Click("main .button.buy").At("/checkout").Sees(lamp.Name)
	bob.Login(t)

	// The login page tells what is wrong.
	v.Forget("session").Open("/orders").At("/realms/stampede/").Fill("#username", bob.Email)
	v.Fill("#password", "not the password").Click("button[name=login]").Sees("E-mail address or password is wrong")
	v.Fill("#password", bob.Password).Click("button[name=login]").At("/orders")

	// An address that has an account is told apart.
	v.Forget("session").Open("/register").Fill("#first_name", "Bob").Fill("#last_name", "Ray").Fill("#email", bob.Email).Fill("#password", bob.Password).Click("main .button.buy")
	v.Sees("This e-mail address has an account")
}

// TestPendingAccount: who has not confirmed the address yet is told so by the login page, and led on.
func TestPendingAccount(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	bob := s.Nobody()
	bob.Email, bob.Password = "bob-"+shop.Random()+"@example.test", "correct-horse-"+shop.Random()
	bob.Do(t, "POST", "/api/v1/auth/register", map[string]string{"email": bob.Email, "password": bob.Password, "first_name": "Bob", "last_name": "Ray"}).OK(t, 201)
	v := browser.Visit(t, s, 1280, 900)
	v.Open("/orders").Login(bob.Email, bob.Password).Sees("has still to be verified").Click(`a[href="/verify"]`)
	v.At("/verify").Fill("#email", bob.Email).Click(`button[formaction="/verify/code"]`).Sees("Another mail is on its way")
	v.Fill("#code", bob.Code(t, shop.VerifySubject, 2)).Click("main .button.buy").At("/realms/stampede/")
	v.Fill("#password", bob.Password).Click("button[name=login]").At("/orders").Sees("You have not ordered anything yet")
}

// TestTypeAhead: the search says what somebody may mean who is still typing, for the keyboard too.
func TestTypeAhead(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 3)
	v := browser.Visit(t, s, 1280, 900)
	v.Open("/").Fill("#q", lamp.Name).There(`#suggestions a[href="` + page(lamp) + `"]`)
	v.Press(kb.ArrowDown).Press(kb.Enter).At(page(lamp)).Sees("£12.50")
	v.Open("/search?q=nothing-is-called-" + shop.Random()).Sees("Nothing found")
}

// TestPasswordReset: by the code from the mail.
func TestPasswordReset(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	v := browser.Visit(t, s, 1280, 900)
	v.Open("/account").At("/realms/stampede/").Click(`a[href="/password/forgot"]`)
	v.At("/password/forgot").Fill("#email", ann.Email).Click("main .button.buy").At("/password/reset")
	ann.Password = "another-horse-" + shop.Random()
	v.Fill("#code", ann.Code(t, shop.ResetSubject, 1)).Fill("#new_password", ann.Password).Click("main .button.buy")
	v.Login(ann.Email, ann.Password).At("/account").Sees("Ann")

	// And by knowing it.
	old := ann.Password
	ann.Password = "third-horse-" + shop.Random()
	v.Open("/account/security").Fill("#password", "wrong-"+old).Fill("#new_password", ann.Password).Click(".form .button").Sees("not your present password")
	v.Sees("Refused").Sees("Chrome on Linux") // what the edge saw of the shopper, not of the storefront
	// An address that the browser claims to have is not believed.
	v.Run(chromedp.Evaluate(`window.sent = 0; (() => { const form = new URLSearchParams(new FormData(document.querySelector(".form")));
		form.set("password", "wrong again"); form.set("new_password", "does-not-matter");
		fetch("/account/password", {method: "POST", headers: {"X-Real-IP": "6.6.6.6", "X-Forwarded-For": "6.6.6.6"}, body: form}).then(r => { window.sent = r.status }) })(); 1`, nil))
	v.Until("refused", `window.sent === 422`).Open("/account/security")
	v.Until("both in the history", `document.querySelectorAll("td .tag.cancelled").length === 2`)
	require.NotContains(t, v.Text(), "6.6.6.6")
	v.Fill("#password", old).Fill("#new_password", ann.Password).Click(".form .button").Sees("Saved")
	ann.Login(t)
}

// TestWithoutScripts: from the product to the paid order with JavaScript switched off.
func TestWithoutScripts(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	v := browser.Visit(t, s, 1280, 900).WithoutScripts()
	v.Open(page(lamp)).Click("#add").At("/cart?added=").Sees("is in your cart")
	v.Choose(".much select", "2")
	v.Click(".much noscript button, .much form:first-of-type button").At("/cart").Sees("£25.00")
	v.Click(`main a[href="/checkout"]`).Login(ann.Email, ann.Password).At("/checkout").Address(shop.Home)
	v.Choose("#country", "FR").Fill("#postal_code", "75001")
	v.Click("#pay").Sees("delivery to France").Sees("£33.99")
	require.Equal(t, "1 High Street", v.Value("#line1"))
	v.Click("#pay")
	id := v.Order()
	v.Sees("It is yours") // the page loads itself again
	o := ann.Await(t, id, "confirmed")
	require.Equal(t, 2, o.Lines[0].Quantity)
	require.Equal(t, "FR", o.Address.Country)

	// The same with an address that is kept: the fields of a new one are in nobody's way.
	ann.Do(t, "POST", "/api/v1/users/me/addresses", shop.Home).OK(t, 201)
	v.Open(page(lamp)).Click("#add").At("/cart?added=").Click(`main a[href="/checkout"]`).At("/checkout").Click("#pay")
	o = ann.Await(t, v.Order(), "confirmed")
	require.Equal(t, "GB", o.Address.Country)
}

// TestPriceFilter: an order of the two that is none is put right, and what is no amount filters nothing.
func TestPriceFilter(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 3)
	v := browser.Visit(t, s, 1280, 900)
	v.Open("/search?q=" + lamp.SKU + "&min=20&max=10&in_stock=1").There(`a.card[href="` + page(lamp) + `"]`).Sees("£10 to £20").Sees("In stock")
	v.Open("/search?q="+lamp.SKU+"&min=20&max=30").Until("nothing", `!document.querySelector("a.card")`)
	v.Open("/search?q="+lamp.SKU+"&min=abc&max=-5").There(`a.card[href="`+page(lamp)+`"]`).Until("no filter", `!document.querySelector(".pill.on")`)
	v.Open("/search?q=" + strings.Repeat("x", 300)).Sees("Nothing found")
}

// TestCancel: with one click, and the money goes back.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	o := ann.Bought(t, lamp, 1)
	v := browser.Visit(t, s, 1280, 900)
	v.Open("/orders/"+o.ID).Login(ann.Email, ann.Password).At("/orders/" + o.ID).Sees("It is yours")
	v.Click("details.cancel summary").Click("details.cancel .danger").Sees("Cancelled by you").Sees("went back to your card")
	lamp.AwaitStock(t, 3, 0)

	// Somebody else's order does not exist.
	v.Open("/orders/" + s.Register(t).Bought(t, lamp, 1).ID).Sees("This is gone, or never was")
}

// TestSessionEndsInTheCheckout: who was logged out in between logs in again and finds the form as it was.
func TestSessionEndsInTheCheckout(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	ann.Put(t, lamp, 1)
	v := browser.Visit(t, s, 1280, 900)
	v.LoginAt("/checkout", ann.Email, ann.Password).Address(shop.Home).Fill("#line2", "Flat 3")
	v.Forget("session").Forget("KEYCLOAK_IDENTITY").Forget("KEYCLOAK_SESSION").Forget("AUTH_SESSION_ID")
	v.ForgetKeycloak()
	v.Click("#pay").Login(ann.Email, ann.Password).At("/checkout").Sees("What you typed is still here")
	require.Equal(t, "1 High Street", v.Value("#line1"))
	require.Equal(t, "Flat 3", v.Value("#line2"))
	v.Click("#pay").Sees("It is yours")
}

// TestTwoClicksOneOrder: the same form sent twice at once is one order, and sent again later still is.
func TestTwoClicksOneOrder(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	ann.Put(t, lamp, 1)
	v := browser.Visit(t, s, 1280, 900)
	v.LoginAt("/checkout", ann.Email, ann.Password).Address(shop.Home)
	const send = `fetch("/checkout", {method: "POST", body: new URLSearchParams(new FormData(document.querySelector("#checkout")))}).then(r => r.url)`
	v.Run(chromedp.Evaluate(`window.went = []; Promise.all([`+send+`, `+send+`]).then(all => { window.went = all }); true`, nil))
	v.Until("both answered", `window.went.length === 2`)
	var went []string
	v.Run(chromedp.Evaluate(`window.went`, &went))
	require.Equal(t, went[0], went[1])
	require.Contains(t, went[0], "/orders/")
	v.Click("#pay")
	require.True(t, strings.HasSuffix(went[0], v.Order()))
	v.Sees("It is yours")
	require.Len(t, shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders").Items, 1)
}

// TestTwoTabs: a page that was open before the login can still be used after it.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	v := browser.Visit(t, s, 1280, 900).WithoutScripts()
	v.Open(page(lamp)).There("#add")
	w := v.Tab()
	w.Open("/login").Login(ann.Email, ann.Password).At("/account")
	v.Click("#add").Sees("One more click").Click("main .button").At("/cart").Sees(lamp.Name)
	require.NotNil(t, ann.Cart(t).Line(lamp.SKU))
}

// TestLiveStock: a page that is open says when the last one is gone, and when it is back.
func TestLiveStock(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 1), s.Register(t)
	v := browser.Visit(t, s, 1280, 900)
	v.Open(page(lamp)).Sees("Only 1 left")
	ann.Put(t, lamp, 1)
	v.Until("sold out", `document.querySelector("#add").disabled && document.querySelector("#stock").innerText.includes("Sold out")`)
	ann.Do(t, "DELETE", "/api/v1/cart", nil).OK(t, 204)
	v.Until("for sale", `!document.querySelector("#add").disabled`).Sees("Only 1 left")
}

// TestGiveBack: what is in the cart goes back with one click.
func TestGiveBack(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 2)
	v := browser.Visit(t, s, 1280, 900)
	v.Open(page(lamp)).Click("#add").There("dialog[open] .line").Open("/cart").Sees("Give it all back")
	lamp.AwaitStock(t, 1, 0)
	v.Until("no more are offered than there are", `[...document.querySelectorAll(".much select option")].length === 2`)
	v.Click(".give-back button").Sees("There is nothing in your cart")
	lamp.AwaitStock(t, 2, 0)
}

// TestHoldEnds: an open cart, its drawer and the checkout say what is true once a hold has ended, without being loaded.
func TestHoldEnds(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	v := browser.Visit(t, s, 1280, 900)
	v.Open(page(lamp)).Click("#add").There("dialog[open] .hold time[data-until]")
	ended := func() {
		// The page believes that the hold has ended; that it has is somebody else's doing.
		v.Until("the hold ended here", `document.querySelectorAll("time[data-until]").forEach(t => t.dateTime = new Date(Date.now() - 1000).toISOString()) ?? true`)
	}
	ended()
	v.Until("the drawer looked again", `document.querySelector("dialog[open] .hold time[data-until]")?.textContent.startsWith("for ")`)
	v.Sees("What was held for you is free again")
	v.Open("/cart").There("#cart-body .hold")
	ended()
	v.Until("the cart looked again", `document.querySelector("#cart-body .hold time[data-until]")?.textContent.startsWith("for ")`)
	v.LoginAt("/checkout", ann.Email, ann.Password).There("#summary .hold")
	ended()
	v.Until("the checkout looked again", `document.querySelector("#summary .hold time[data-until]")?.textContent.startsWith("for ")`)
}

// TestUnreachable: who cannot reach the shop is told so over the drawer, which goes on saying what is.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 3)
	v := browser.Visit(t, s, 390, 844)
	v.Open(page(lamp)).Click("#add").There("dialog[open] .line")
	v.Offline().Until("chosen", `(i => { i.value = "3"; i.dispatchEvent(new Event("change", {bubbles: true})); return true })(document.querySelector("dialog[open] select"))`)
	v.Sees("We could not be reached").Until("in front", `(b => document.elementFromPoint(b.x + b.width / 2, b.y + b.height / 2)?.id === "toast")(document.querySelector("#toast").getBoundingClientRect())`)
	v.Holds("dialog[open] select", "1")
}

// TestSuspended: the sessions of an account that is suspended end.
func TestSuspended(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	v := browser.Visit(t, s, 1280, 900)
	v.Open("/account").Login(ann.Email, ann.Password).At("/account").Sees("Profile")
	a := s.Admin(t).Do(t, "POST", "/api/v1/admin/auth/accounts/"+ann.Account+"/suspension", map[string]string{"reason": "a test"})
	require.Less(t, a.Status, 300, "%s", a.Body)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		v.Open("/account")
		return strings.HasPrefix(v.Where(), "/realms/"), "still logged in"
	})
	v.Login(ann.Email, ann.Password).Sees("suspended")
}

// TestAccessible looks for barriers on each kind of page.
func TestAccessible(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	lamp.Rename(t, strings.Repeat("Lichterkette", 19)+shop.Random()) // one word, about as long as names may be
	order := ann.Bought(t, lamp, 1)
	ann.Put(t, lamp, 1)
	ann.Put(t, s.NewVariant(t, "XS / "+strings.Repeat("Donaudampfschifffahrt", 4)), 1)
	v := browser.Visit(t, s, 1440, 900)
	v.Accessible("/", "/c/lamps", "/search?q=lamp", "/search?q="+lamp.Name, "/search?q=xyzzyqq", page(lamp), "/cart", "/register", "/verify?email=a@example.test",
		"/password/forgot", "/password/reset", "/delivery", "/privacy", "/nothing", "/login")
	v.Device(1440, 900, false, false).LoginAt("/account", ann.Email, ann.Password)
	v.Accessible("/account", "/account/addresses", "/account/security", "/cart", "/checkout", "/orders", "/orders/"+order.ID, page(lamp))
}
