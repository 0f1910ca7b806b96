package office

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/browser"
	"github.com/stampede-shop/stampede/tests/shop"
)

// TestFind looks for an order and for stock by what somebody who calls has before them.
func TestFind(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 2), s.Register(t)
	order := ann.Bought(t, lamp, 1)
	c := work(t, s, "/admin/orders")
	one := func(words string) {
		t.Helper()
		c.Fill("#q-q", words).Until("the one order of "+words, `(rows => rows.length === 1 && rows[0].textContent.includes(`+
			browser.Quote(order.Number)+`))(document.querySelectorAll("#found tbody tr"))`)
	}
	mailbox, _, _ := strings.Cut(ann.Email, "@")
	for _, words := range []string{lamp.Name, strings.ToUpper(lamp.SKU), mailbox, order.Number, order.Number[2:]} {
		one(words)
	}
	tracking := "PP " + shop.Random()
	s.Admin(t).Do(t, "POST", "/api/v1/admin/orders/"+order.ID+"/shipment",
		map[string]string{"carrier": "Post", "tracking_number": tracking}).OK(t, 200)
	one(tracking)

	c.Open("/admin/inventory").Fill("#q-q", lamp.Name).Until("its stock", `(rows => rows.length === 1 && rows[0].textContent.includes(`+
		browser.Quote(lamp.SKU)+`))(document.querySelectorAll("#found tbody tr"))`)
	c.Sees("low").Click("#found td a").Sees("With 5 available, or fewer").Click("a[href^='/admin/inventory/low']")
	c.Fill("#f-low_at", "many").Click("form .button:not(.line)").Sees("whole number").Holds("#f-low_at", "many")
	c.Fill("#f-low_at", "0").Click("form .button:not(.line)").Sees("Saved.").Sees("With 0 available, or fewer.").Sees("enough")
	c.Open("/admin/inventory?low=true&q=" + lamp.SKU).Sees("Nothing fits")
	c.Accessible("/admin/inventory/low?sku="+lamp.SKU, "/admin/inventory?low=true&q=T-")
}

// TestShipRefunded: what was refunded is shipped only by who presses a second button, also without a script.
func TestShipRefunded(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 5), s.Register(t)
	order := ann.Bought(t, lamp, 2)
	s.Admin(t).Do(t, "POST", "/api/v1/admin/payments/"+order.ID+"/refunds",
		map[string]any{"amount": shop.Pounds(1_000), "reason": "one was broken"}, "Idempotency-Key", shop.Random()).OK(t, 201)
	c := work(t, s, "/admin/orders/"+order.ID).WithoutScripts()
	c.Open("/admin/orders/" + order.ID).Sees("Look before you pack.").Sees("the price of 1 × " + lamp.Name)
	c.Fill("#f-carrier", "Post").Fill("#f-tracking_number", "PP 3").Click("aside .next .button").Sees("Ship it all the same?")
	require.Equal(t, "confirmed", shop.Get[shop.Order](t, ann, "/api/v1/orders/"+order.ID).Status)
	c.Holds("#f-carrier", "Post").Holds("#f-tracking_number", "PP 3").Click("form .button.danger").Sees("The customer is told by mail.")
	ann.Await(t, order.ID, "shipped")
}

// TestFarWrong: what is wrong in a table larger than the window is named above it, in sight, and has the focus.
func TestFarWrong(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	c := work(t, s, "/admin/products/new")
	c.Run(chromedp.EmulateViewport(1000, 700))
	c.Fill("#f-name", "Far "+shop.Random()).Fill("#f-options", "Size, Colour, Fit")
	c.Click("button[name=more]").There("#f-v-9-o-2").Click("button[name=more]").There("#f-v-14-o-2")
	for n, weight := range map[string]string{"0": "3", "14": "heavy"} {
		c.Fill("#f-v-"+n+"-sku", "F-"+n+"-"+shop.Random()).Fill("#f-v-"+n+"-price", "9").Fill("#f-v-"+n+"-weight", weight)
		for _, option := range []string{"0", "1", "2"} {
			c.Fill("#f-v-"+n+"-o-"+option, "x"+n)
		}
	}
	c.Until("wider than the window", `(e => e.scrollWidth > e.clientWidth)(document.querySelector(".table"))`)
	c.Click("#product .buttons .button:not(.line)").Sees("Weight in grams of variant 15: Write a number.")
	inSight := `(e => { const at = e.getBoundingClientRect()
		const hit = document.elementFromPoint(at.left + at.width / 2, at.top + at.height / 2)
		return document.activeElement === e && hit === e })(document.querySelector("#f-v-14-weight"))`
	c.Until("in sight and focused", inSight)
	c.Run(chromedp.Evaluate(`document.activeElement.blur(); scrollTo(0, 0); document.querySelector(".table").scrollLeft = 0; 1`, nil))
	c.Click(".wrongs a").Until("where the link leads", inSight)
}

// TestTimesStay: no script shifts a time that the server wrote.
func TestTimesStay(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 2), s.Register(t)
	order := ann.Bought(t, lamp, 1)
	c := work(t, s, "/admin/orders/"+order.ID)
	c.Run(emulation.SetTimezoneOverride("Asia/Tokyo"))
	c.Open("/admin/orders/"+order.ID).Until("as they were written", `(() => {
		window.sent ??= fetch(location.href).then(r => r.text()).then(text => {
		const times = page => Array.from(page.querySelectorAll(".steps time, .timeline time"), t => t.textContent).join()
		window.same = times(new DOMParser().parseFromString(text, "text/html")) === times(document) && times(document).includes(" UTC") })
		return window.same })()`)
}
