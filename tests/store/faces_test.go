package store

import (
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/browser"
	"github.com/stampede-shop/stampede/tests/shop"
)

// said is all that a product's page says of its stock, in one line: words, quantities, button.
const said = `(document.querySelector("#stock").innerText.trim() + " | " +
	[...document.querySelector("#quantity").options].map(o => o.text).join(",") + " | " + document.querySelector("#add").innerText.trim())`

// TestOneStatement: words, sizes and quantities say the same at each moment, when a size is chosen and after the cart took some.
func TestOneStatement(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	variant := func(size string, stock int) map[string]any {
		return map[string]any{
			"sku": size + "-" + id, "price": shop.Pounds(1_000), "initial_stock": stock, "options": map[string]string{"Size": size},
		}
	}
	p := shop.Read[shop.Product](t, s.Admin(t).Do(t, "POST", "/api/v1/admin/products", map[string]any{
		"name": "Boot " + id, "options": []string{"Size"}, "variants": []any{variant("40", 9), variant("41", 2)},
	}).OK(t, 201))
	s.Admin(t).Do(t, "POST", "/api/v1/admin/products/"+p.ID+"/publication", nil).OK(t, 200)
	v := browser.Visit(t, s, 1280, 900)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		if s.Nobody().Do(t, "GET", "/api/v1/availability/41-"+id, nil).Status != 200 {
			return false, "no stock yet"
		}
		v.Open("/products/" + p.Slug)
		return strings.Contains(v.Text(), "2 left"), v.Text()
	})
	is := func(want string) {
		t.Helper()
		v.Until(want, said+` === `+browser.Quote(want))
	}
	is("Please choose | 1,2 | Add to cart")
	v.Click(`label[for="v-40-` + id + `"]`)
	is("In stock | 1,2,3,4,5,6,7,8,9 | Add to cart")
	v.Run(chromedp.Click(`label[for="v-41-`+id+`"]`, chromedp.ByQuery))
	var now string
	v.Run(chromedp.Evaluate(said, &now))
	require.Equal(t, "Only 2 left | 1,2 | Add to cart", now, "at once")

	v.Choose("#quantity", "2").Click("#add").There("dialog[open] .line")
	v.Run(chromedp.Evaluate(said, &now))
	require.Equal(t, "Sold out | 1 | Choose another", now, "what the cart has is not for sale once more")
	v.Until("the cart offers what it holds, and no more", `[...document.querySelectorAll("dialog[open] .much select option")].length === 2`)
	v.Choose("dialog[open] .much select", "1").Until("one is left for others", said+`.startsWith("Only 1 left | 1 |")`)
}

// TestOtherTab: a drawer and a cart that are open follow what another tab does; so do pages of who has no scripts there.
func TestOtherTab(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, chair := s.NewProduct(t, 1_250, 5), s.NewProduct(t, 2_000, 5)
	v := browser.Visit(t, s, 1280, 900)
	v.Open(page(lamp)).Click("#add").There("dialog[open] .line")
	w := v.Tab()
	w.Open("/cart").There("#cart-body .line").Choose("#cart-body .much select", "3").Holds("#cart-body .much select", "3")
	v.Holds("dialog[open] .much select", "3")
	w.Open(page(chair)).Click("#add").There("dialog[open] .line")
	v.Until("both are in the drawer", `document.querySelectorAll("dialog[open] .line").length === 2`)
	v.Until("counted in the head", `document.querySelector("#cart-count").textContent.trim().startsWith("4")`)

	v.Open("/cart").There("#cart-body .line")
	w.Click("dialog[open] .line:first-child form:last-child button")
	w.Until("it is out", `document.querySelectorAll("dialog[open] .line").length === 1`)
	v.Until("out of the cart's page", `document.querySelectorAll("#cart-body .line").length === 1`)
}

// TestDrawerFocus: the focus stays within the drawer, Escape closes it, and what opened it has the focus again (WCAG 2.4.3).
func TestDrawerFocus(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 5)
	v := browser.Visit(t, s, 1280, 900)
	focused := func(id string) {
		t.Helper()
		v.Until("focus on "+id, `!document.querySelector("dialog[open]") && document.activeElement?.id === `+browser.Quote(id))
	}
	v.Open(page(lamp)).Click("#add").There("dialog[open] .line")
	v.Until("counted", `document.querySelector("#cart-count").textContent.trim().startsWith("1")`)
	// The count comes with the drawer too. Until the head that comes after it has settled, its link is one that htmx does not
	// listen to yet.
	v.Until("the head made anew", `performance.getEntriesByType("resource").filter(e => e.name.includes("/my/header")).length >= 2 &&
		!document.querySelector(".htmx-request, .htmx-swapping, .htmx-settling")`)
	for range 12 {
		v.Press(kb.Tab).Until("within the drawer", `!document.activeElement.closest("header, main, footer")`)
	}
	v.Press(kb.Escape)
	focused("add")
	v.Run(chromedp.Focus("#cart-link", chromedp.ByQuery))
	v.Press(kb.Enter).There("dialog[open] .line").Click(`dialog[open] form[method=dialog] button`)
	focused("cart-link")

	// The last one: the button that opened the drawer can be pressed no more.
	v.Open(page(lamp)).Choose("#quantity", "4").Click("#add").There("dialog[open] .line")
	v.Press(kb.Escape)
	focused("cart-link")
}

// TestBareCheckout: who pays sees a way back, help, and nothing else to go to.
func TestBareCheckout(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	ann.Put(t, lamp, 1)
	v := browser.Visit(t, s, 360, 800)
	v.LoginAt("/checkout", ann.Email, ann.Password).There(`header a[href="/cart"]`)
	v.Until("no more than brand, help and cart in the head", `document.querySelectorAll("header a").length === 3`)
	v.Until("no categories", `!document.querySelector('a[href^="/c/"]')`)
	v.There("footer a").Accessible("/checkout")
}

// TestPrint: an order is a sheet of paper with all that belongs on one.
func TestPrint(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	o := ann.Bought(t, lamp, 2)
	v := browser.Visit(t, s, 1280, 900)
	v.LoginAt("/orders/"+o.ID, ann.Email, ann.Password).Sees("It is yours")
	v.Printed("order", []string{o.Number, lamp.Name, lamp.SKU, "2 ×", "£25.00", "Of which tax", "1 High Street", "Placed", ann.Email},
		"header", "footer", "nav", "button", ".cancel", "main img")
}

// TestReaddress: a parcel goes somewhere else until it is shipped.
func TestReaddress(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	o := ann.Bought(t, lamp, 1)
	v := browser.Visit(t, s, 360, 800)
	v.LoginAt("/orders/"+o.ID, ann.Email, ann.Password)
	v.Click(`a[href="/orders/` + o.ID + `/address"]`).At("/orders/" + o.ID + "/address")
	v.Accessible("/orders/" + o.ID + "/address")
	v.Fill("#line1", "2 Low Street").Click(".form .button").At("/orders/" + o.ID).Sees("2 Low Street").Sees("Changed")
	require.Equal(t, "2 Low Street", shop.Get[shop.Order](t, ann, "/api/v1/orders/"+o.ID).Address.Line1)
	require.Contains(t, ann.AwaitMail(t, "Your order "+o.Number+" goes to another address", 1).HTML, "2 Low Street")
	s.Admin(t).Do(t, "POST", "/api/v1/admin/orders/"+o.ID+"/shipment",
		map[string]string{"carrier": "DHL", "tracking_number": "1"}).OK(t, 200)
	v.Open("/orders/"+o.ID).Sees("On its way").Until("no more", `!document.querySelector('a[href$="/address"]')`)
}

// notifyLink is the link of a mail, with what ends all mails of its kind when it is that one.
var notifyLink = regexp.MustCompile(`/notify/[0-9a-f-]{36}(\?stop=1)?`)

// TestBackInStock: somebody leaves an address, says yes in the mail, is written to once, and stops it.
func TestBackInStock(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 1), s.Register(t)
	ann.Bought(t, lamp, 1) // a hold of a cart would lapse
	guest := &shop.Client{Shop: s, Email: "waits-" + shop.Random() + "@example.test"}
	link := func(m shop.Mail) string {
		t.Helper()
		at := notifyLink.FindString(m.HTML)
		require.NotEmpty(t, at, m.HTML)
		return at
	}
	v := browser.Visit(t, s, 360, 800)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		v.Open(page(lamp))
		return strings.Contains(v.Text(), "Tell me when it is back"), v.Text()
	})
	v.Fill("#email", guest.Email).Click(".notify .button").Sees("Please look into your mail")
	asks := link(guest.AwaitMail(t, "Shall we tell you when "+lamp.Name+" is back?", 1))
	v.Open(asks).Sees("Shall we tell you?").Accessible(asks).Click(".button.buy").Sees("We will tell you")

	bob := s.Register(t) // with an account, by one click
	w := browser.Visit(t, s, 1280, 900)
	w.LoginAt(page(lamp), bob.Email, bob.Password).Click(".notify .button").Sees("We will tell you")

	s.Admin(t).Do(t, "POST", "/api/v1/admin/inventory/"+lamp.SKU+"/movements", map[string]any{"delta": 1, "reason": "found one"},
		"Idempotency-Key", shop.Random()).OK(t, 201)
	stop := link(guest.AwaitMail(t, lamp.Name+" is back", 1))
	bob.AwaitMail(t, lamp.Name+" is back", 1)
	v.Open(stop).Sees("No more mails?").Click("main .button").Sees("You hear no more of this")
	v.Accessible("/products/"+lamp.Slug+"/notify", "/categories")
}

// TestShopPages: what the office writes stands in the foot, and the guide beside the sizes.
func TestShopPages(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, id := s.NewProduct(t, 1_250, 3), shop.Random()
	at := "/api/v1/admin/products/pages"
	p := shop.Read[struct{ Slug string }](t, s.Admin(t).Do(t, "POST", at, map[string]any{
		"title": "Sizes " + id, "body": "## How to measure\n\n| Size | Chest |\n|---|---|\n| M | 96 |", "published": true, "foot": 9,
		"products": []string{lamp.Slug},
	}).OK(t, 201))
	v := browser.Visit(t, s, 360, 800)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		v.Open(page(lamp))
		return strings.Contains(v.Text(), "Sizes "+id), v.Text()
	})
	v.Click(`#buy a[href="/pages/` + p.Slug + `"]`).At("/pages/" + p.Slug).Sees("How to measure").Sees("96")
	shop.Eventually(t, shop.Patience, func() (there bool, text string) { // the foot is as old as what the store was told last
		v.Open("/pages/" + p.Slug)
		v.Run(chromedp.Evaluate(`!!document.querySelector('footer a[href="/pages/`+p.Slug+`"]')`, &there))
		return there, v.Text()
	})
	v.Accessible("/pages/" + p.Slug)
	s.Admin(t).Do(t, "DELETE", at+"/"+p.Slug, nil).OK(t, 204)
}
