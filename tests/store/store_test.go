package store

import (
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// page is where a product is shown.
func page(p *shop.Product) string { return "/products/" + p.Slug }

// TestBuyAsGuest: somebody finds a lamp, puts it into the cart, logs in on the way to the checkout, and pays.
func TestBuyAsGuest(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 6_250, 3), s.Register(t)
	v := visit(t, s)
	v.open("/search?q=" + strings.ReplaceAll(lamp.Name, " ", "+")).click(`a.card[href="` + page(lamp) + `"]`).at(page(lamp))
	v.sees("Only 3 left").sees("£62.50")
	v.click("#add").there("dialog[open] .line").until("counting down", `/for [0-9]+:[0-9]{2}/.test(document.querySelector("dialog[open] .hold").textContent)`).until("counted in the head", `document.querySelector("#cart-count").textContent.startsWith("1")`)
	lamp.AwaitStock(t, 2, 0)
	v.click(`dialog[open] a[href="/checkout"]`).login(ann)

	v.at("/checkout").there("#line1").address(shop.Home).click("input[name=save]").click("#pay")
	id := v.order()
	v.sees("It is yours. Thank you!") // by itself
	o := ann.Await(t, id, "confirmed")
	require.Equal(t, []string{lamp.SKU}, []string{o.Lines[0].SKU})
	require.Equal(t, "1 High Street", o.Address.Line1)
	lamp.AwaitStock(t, 2, 1)
	require.Equal(t, "1 High Street", shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Addresses[0].Line1)

	cookies := v.cookies()
	require.True(t, cookies["session"].HTTPOnly)
	require.EqualValues(t, "Lax", cookies["session"].SameSite)
	require.NotContains(t, cookies, "cart", "the guest's cart has become the account's")
	for _, path := range []string{"/", "/account", "/checkout", "/my/header"} {
		var html string
		v.open(path).run(chromedp.OuterHTML("html", &html, chromedp.ByQuery))
		require.NotContains(t, html, "eyJ", "no token in a page")
		require.NotContains(t, html, cookies["session"].Value)
	}
	v.open("/cart").sees("There is nothing in your cart")
}

// TestReturningShopper: somebody with an address book buys again, and finds the order in the history.
func TestReturningShopper(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	ann.Do(t, "POST", "/api/v1/users/me/addresses", shop.Home).OK(t, 201)
	abroad := shop.Home
	abroad.Line1, abroad.Country = "2 Rue Haute", "FR"
	ann.Do(t, "POST", "/api/v1/users/me/addresses", abroad).OK(t, 201)
	v := visit(t, s)
	v.open("/login?next=/cart").login(ann).at("/cart").sees("There is nothing in your cart").sees("Ann")
	v.open(page(lamp)).click("#add").there("dialog[open] .line")
	v.open("/checkout").sees("£3.99")
	v.click(`label.option:has(input[name=address_id]):nth-of-type(2)`).sees("£8.99").sees("£21.49").click("#pay")
	id := v.order()
	v.sees("It is yours")
	require.Equal(t, "FR", ann.Await(t, id, "confirmed").Address.Country)
	v.click(`nav.crumbs a[href="/orders"]`).at("/orders").sees("£21.49").click("a.order-card").at("/orders/" + id)

	// The profile.
	v.open("/account").fill("#phone", "+44 20 7946 0000").click(".form .button").sees("Saved")
	require.Equal(t, "+442079460000", *shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Phone)
	v.fill("#phone", "12").click(".form .button").sees("Must be in international form")
	v.open("/account/security").sees("Logged in")
	// And out again, at Keycloak too.
	v.open("/account").click(".leave button").sees("You are logged out")
	require.NotContains(t, v.cookies(), "session")
	v.open("/orders").at("/realms/stampede/").there("#password")
}

// TestDeclinedCard: the page says so by itself, and the next card works.
func TestDeclinedCard(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	v := visit(t, s)
	v.open(page(lamp)).click("#add").click(`dialog[open] a[href="/checkout"]`).login(ann)
	v.at("/checkout").address(shop.Home).click(".options details summary").click(`label:has([value=pm_card_chargeDeclined])`).click("#pay")
	first := v.order()
	v.sees("Your card was declined").sees("Nothing was charged").click(`a[href="/checkout"].button`)
	v.at("/checkout").address(shop.Home).click(`label:has([value=pm_card_visa])`).click("#pay")
	v.until("another order", `location.pathname.startsWith("/orders/") && !location.pathname.endsWith(`+quote(first)+`)`).sees("It is yours")
	lamp.AwaitStock(t, 2, 1)
}

// TestSoldOutInTheCart: what is not held any more is bought by somebody else; the checkout says so in place, and
// nothing typed is lost.
func TestSoldOutInTheCart(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, other, ann := s.NewProduct(t, 1_250, 1), s.NewProduct(t, 2_000, 5), s.Register(t)
	ann.Put(t, lamp, 1)
	ann.Put(t, other, 1)
	ann.Await(t, ann.Order(t, shop.Declined).ID, "cancelled") // the cart keeps its lines, unheld
	s.Register(t).Bought(t, lamp, 1)

	v := visit(t, s)
	v.open("/cart").open("/login?next=/cart").login(ann).at("/cart").sees("Not held any more")
	v.open("/checkout").at("/checkout").address(shop.Home).click("#pay")
	v.sees("Somebody was faster").sees("Sold out.")
	require.Equal(t, "1 High Street", v.value("#line1"))
	v.click(`button[name=adjust]`).until("taken out", `document.querySelectorAll("#summary .line").length === 1`)
	require.Equal(t, "1 High Street", v.value("#line1"))
	v.click("#pay").sees("It is yours")
	require.Equal(t, other.SKU, ann.Await(t, v.order(), "confirmed").Lines[0].SKU)

	// The product's page says it, too, and in the list.
	v.open(page(lamp)).until("not for sale", `document.querySelector("#add").disabled`).sees("Sold out")
}

// TestPriceChanged: the checkout shows the new total before anything is paid.
func TestPriceChanged(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 5_000, 3), s.Register(t)
	ann.Put(t, lamp, 1)
	v := visit(t, s)
	v.open("/login?next=/checkout").login(ann).at("/checkout").sees("£50.00").address(shop.Home)
	lamp.Reprice(t, 5_500)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return ann.Cart(t).Total == shop.Pounds(5_500), "the cart has the old price"
	})
	v.click("#pay").sees("The total has changed").sees("It was £50.00").sees("£55.00")
	require.Equal(t, "1 High Street", v.value("#line1"))
	v.click("#pay").sees("It is yours")
	require.Equal(t, shop.Pounds(5_500), ann.Await(t, v.order(), "confirmed").Total)
}

// TestRegister: somebody opens an account on the way to the checkout, and is back there afterwards.
func TestRegister(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 3)
	bob := s.Nobody()
	bob.Email, bob.Password = "bob-"+shop.Random()+"@example.test", "correct-horse-"+shop.Random()
	v := visit(t, s)
	v.open(page(lamp)).click("#add").click(`dialog[open] a[href="/checkout"]`).click(`a[href="/register"]`)
	v.at("/register").fill("#first_name", "Bob").fill("#last_name", "Ray").fill("#email", bob.Email).fill("#password", bob.Password).click("main .button.buy")
	v.at("/verify").fill("#code", "000000").click("main .button.buy").sees("wrong or too old")
	v.fill("#code", bob.Code(t, shop.VerifySubject, 1)).click("main .button.buy").at("/realms/stampede/")
	require.Equal(t, bob.Email, v.value("#username"))
	v.fill("#password", "not the password").click("button[name=login]").sees("E-mail address or password is wrong")
	v.fill("#password", bob.Password).click("button[name=login]").at("/checkout").sees(lamp.Name)

	// An address that has an account is told apart.
	v.forget("session").open("/register").fill("#first_name", "Bob").fill("#last_name", "Ray").fill("#email", bob.Email).fill("#password", bob.Password).click("main .button.buy")
	v.sees("This e-mail address has an account")
}

// TestPendingAccount: who has not confirmed the address yet is told so by the login page, and led on.
func TestPendingAccount(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	bob := s.Nobody()
	bob.Email, bob.Password = "bob-"+shop.Random()+"@example.test", "correct-horse-"+shop.Random()
	bob.Do(t, "POST", "/api/v1/auth/register", map[string]string{"email": bob.Email, "password": bob.Password, "first_name": "Bob", "last_name": "Ray"}).OK(t, 201)
	v := visit(t, s)
	v.open("/orders").login(bob).sees("has still to be verified").click(`a[href="/verify"]`)
	v.at("/verify").fill("#email", bob.Email).click(`button[formaction="/verify/code"]`).sees("Another mail is on its way")
	v.fill("#code", bob.Code(t, shop.VerifySubject, 2)).click("main .button.buy").at("/realms/stampede/")
	v.fill("#password", bob.Password).click("button[name=login]").at("/orders").sees("You have not ordered anything yet")
}

// TestTypeAhead: the search says what somebody may mean who is still typing, for the keyboard too.
func TestTypeAhead(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 3)
	v := visit(t, s)
	v.open("/").fill("#q", lamp.Name).there(`#suggestions a[href="` + page(lamp) + `"]`)
	v.run(chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.Enter))
	v.at(page(lamp)).sees("£12.50")
	v.open("/search?q=nothing-is-called-" + shop.Random()).sees("Nothing found")
}

// TestPasswordReset: by the code from the mail.
func TestPasswordReset(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	v := visit(t, s)
	v.open("/account").at("/realms/stampede/").click(`a[href="/password/forgot"]`)
	v.at("/password/forgot").fill("#email", ann.Email).click("main .button.buy").at("/password/reset")
	ann.Password = "another-horse-" + shop.Random()
	v.fill("#code", ann.Code(t, shop.ResetSubject, 1)).fill("#new_password", ann.Password).click("main .button.buy")
	v.login(ann).at("/account").sees("Ann")

	// And by knowing it.
	old := ann.Password
	ann.Password = "third-horse-" + shop.Random()
	v.open("/account/security").fill("#password", "wrong-"+old).fill("#new_password", ann.Password).click(".form .button").sees("not your present password")
	v.sees("Refused").sees("Chrome on Linux") // what the edge saw of the shopper, not of the storefront
	// An address that the browser claims to have is not believed.
	v.run(chromedp.Evaluate(`window.sent = 0; (() => { const form = new URLSearchParams(new FormData(document.querySelector(".form")));
		form.set("password", "wrong again"); form.set("new_password", "does-not-matter");
		fetch("/account/password", {method: "POST", headers: {"X-Real-IP": "6.6.6.6", "X-Forwarded-For": "6.6.6.6"}, body: form}).then(r => { window.sent = r.status }) })(); 1`, nil))
	v.until("refused", `window.sent === 422`).open("/account/security")
	v.until("both in the history", `document.querySelectorAll("td .tag.cancelled").length === 2`)
	require.NotContains(t, v.text(), "6.6.6.6")
	v.fill("#password", old).fill("#new_password", ann.Password).click(".form .button").sees("Saved")
	ann.Login(t)
}

// TestWithoutScripts: from the product to the paid order with JavaScript switched off.
func TestWithoutScripts(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	v := visit(t, s).withoutScripts()
	v.open(page(lamp)).click("#add").at("/cart?added=").sees("is in your cart")
	v.choose(".much select", "2")
	v.click(".much noscript button, .much form:first-of-type button").at("/cart").sees("£25.00")
	v.click(`main a[href="/checkout"]`).login(ann).at("/checkout").address(shop.Home)
	v.choose("#country", "FR")
	v.click("#pay").sees("delivery to France").sees("£33.99")
	require.Equal(t, "1 High Street", v.value("#line1"))
	v.click("#pay")
	id := v.order()
	v.sees("It is yours") // the page loads itself again
	o := ann.Await(t, id, "confirmed")
	require.Equal(t, 2, o.Lines[0].Quantity)
	require.Equal(t, "FR", o.Address.Country)
}

// TestCancel: with one click, and the money goes back.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	o := ann.Bought(t, lamp, 1)
	v := visit(t, s)
	v.open("/orders/" + o.ID).login(ann).at("/orders/" + o.ID).sees("It is yours")
	v.click("details.cancel summary").click("details.cancel .danger").sees("Cancelled by you").sees("went back to your card")
	lamp.AwaitStock(t, 3, 0)

	// Somebody else's order does not exist.
	v.open("/orders/" + s.Register(t).Bought(t, lamp, 1).ID).sees("This is gone, or never was")
}

// TestSessionEndsInTheCheckout: who was logged out in between logs in again and finds the form as it was.
func TestSessionEndsInTheCheckout(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	ann.Put(t, lamp, 1)
	v := visit(t, s)
	v.open("/login?next=/checkout").login(ann).at("/checkout").address(shop.Home).fill("#line2", "Flat 3")
	v.forget("session").forget("KEYCLOAK_IDENTITY").forget("KEYCLOAK_SESSION").forget("AUTH_SESSION_ID")
	v.run(chromedp.ActionFunc(clearKeycloak(v)))
	v.click("#pay").login(ann).at("/checkout").sees("What you typed is still here")
	require.Equal(t, "1 High Street", v.value("#line1"))
	require.Equal(t, "Flat 3", v.value("#line2"))
	v.click("#pay").sees("It is yours")
}

// TestTwoClicksOneOrder: the same form sent twice at once is one order, and sent again later still is.
func TestTwoClicksOneOrder(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	ann.Put(t, lamp, 1)
	v := visit(t, s)
	v.open("/login?next=/checkout").login(ann).at("/checkout").address(shop.Home)
	const send = `fetch("/checkout", {method: "POST", body: new URLSearchParams(new FormData(document.querySelector("#checkout")))}).then(r => r.url)`
	v.run(chromedp.Evaluate(`window.went = []; Promise.all([`+send+`, `+send+`]).then(all => { window.went = all }); true`, nil))
	v.until("both answered", `window.went.length === 2`)
	var went []string
	v.run(chromedp.Evaluate(`window.went`, &went))
	require.Equal(t, went[0], went[1])
	require.Contains(t, went[0], "/orders/")
	v.click("#pay")
	require.True(t, strings.HasSuffix(went[0], v.order()))
	v.sees("It is yours")
	require.Len(t, shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders").Items, 1)
}

// TestTwoTabs: a page that was open before the login can still be used after it.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	v := visit(t, s).withoutScripts()
	v.open(page(lamp)).there("#add")
	w := visit2(t, v)
	w.open("/login").login(ann).at("/account")
	v.click("#add").sees("One more click").click("main .button").at("/cart").sees(lamp.Name)
	require.NotNil(t, ann.Cart(t).Line(lamp.SKU))
}

// TestLiveStock: a page that is open says when the last one is gone, and when it is back.
func TestLiveStock(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 1), s.Register(t)
	v := visit(t, s)
	v.open(page(lamp)).sees("Only 1 left")
	ann.Put(t, lamp, 1)
	v.until("sold out", `document.querySelector("#add").disabled && document.querySelector("#stock").innerText.includes("Sold out")`)
	ann.Do(t, "DELETE", "/api/v1/cart", nil).OK(t, 204)
	v.until("for sale", `!document.querySelector("#add").disabled`).sees("Only 1 left")
}

// TestGiveBack: what is in the cart goes back with one click.
func TestGiveBack(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 2)
	v := visit(t, s)
	v.open(page(lamp)).click("#add").there("dialog[open] .line").open("/cart").sees("Give it all back")
	lamp.AwaitStock(t, 1, 0)
	v.choose(".much select", "3")
	v.sees("Only 2 of these")
	v.click(".give-back button").sees("There is nothing in your cart")
	lamp.AwaitStock(t, 2, 0)
}

// TestSuspended: the sessions of an account that is suspended end.
func TestSuspended(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	v := visit(t, s)
	v.open("/account").login(ann).at("/account").sees("Profile")
	a := s.Admin(t).Do(t, "POST", "/api/v1/admin/auth/accounts/"+ann.Account+"/suspension", map[string]string{"reason": "a test"})
	require.Less(t, a.Status, 300, "%s", a.Body)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		v.open("/account")
		return strings.HasPrefix(v.where(), "/realms/"), "still logged in"
	})
	v.login(ann).sees("suspended")
}

// TestAccessible looks for barriers with axe-core on each kind of page, where AXE_CORE names a copy of it (axe.min.js of
// the npm package axe-core).
func TestAccessible(t *testing.T) {
	t.Parallel()
	if os.Getenv("AXE_CORE") == "" {
		t.Skip("AXE_CORE does not name a copy of axe.min.js")
	}
	axe, err := os.ReadFile(os.Getenv("AXE_CORE"))
	require.NoError(t, err)
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	order := ann.Bought(t, lamp, 1)
	ann.Put(t, lamp, 1)
	v := visit(t, s)
	look := func(path string) {
		t.Helper()
		v.open(path).run(chromedp.Evaluate(string(axe)+";1", nil))
		v.run(chromedp.Evaluate(`window.found = null; axe.run(document, {resultTypes: ["violations"]}).then(r => {
			window.found = r.violations.map(v => v.id + ": " + v.nodes.map(n => n.target.join(" ")).join(", ")) }); 1`, nil))
		v.until("looked at", `window.found !== null`)
		var found []string
		v.run(chromedp.Evaluate(`window.found`, &found))
		require.Empty(t, found, path)
	}
	for _, path := range []string{"/", "/c/lamps", "/search?q=lamp", "/search?q=xyzzyqq", page(lamp), "/cart", "/register", "/verify?email=a@example.test",
		"/password/forgot", "/password/reset", "/delivery", "/privacy", "/nothing", "/login"} {
		look(path)
	}
	v.open("/login?next=/account").login(ann).at("/account")
	for _, path := range []string{"/account", "/account/addresses", "/account/security", "/cart", "/checkout", "/orders", "/orders/" + order.ID, page(lamp)} {
		look(path)
	}
}
