package office

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/browser"
	"github.com/stampede-shop/stampede/tests/shop"
)

// work starts a browser and logs in to the back office at a page.
func work(t *testing.T, s *shop.Shop, path string) *browser.Visitor {
	t.Helper()
	c := browser.Visit(t, s, 1440, 1000)
	s.Alone(t, func() { c.Open(path).Login("ops@stampede.test", s.Settings["OPS_PASSWORD"]).At(path) })
	return c
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, data, 0o600))
	return file
}

// TestProduct makes a product from nothing until shoppers see it.
func TestProduct(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	c := work(t, s, "/admin/products")
	c.Click("a[href='/admin/products/new']").At("/admin/products/new")
	c.Fill("#f-name", "Desk "+id).Fill("#f-slug", "desk-"+id).Fill("#f-vendor", "Acme")
	c.Fill("#f-v-0-sku", "D-"+id).Fill("#f-v-0-price", "12,50").Fill("#f-v-0-max", "3").Fill("#f-v-0-initial", "7")
	c.Click("#product .button:not(.line)")

	// What is wrong is said beside the field, and nothing typed is lost.
	c.Sees("Write an amount, such as 12.50.").Holds("#f-name", "Desk "+id).Holds("#f-v-0-price", "12,50").Holds("#f-v-0-initial", "7")
	c.Fill("#f-v-0-price", "10.00").Click("#product .button:not(.line)").Sees("Created.").Sees("draft")

	var picture bytes.Buffer
	dot := image.NewRGBA(image.Rect(0, 0, 8, 8))
	dot.Set(1, 1, color.RGBA{200, 50, 10, 255})
	require.NoError(t, png.Encode(&picture, dot))
	c.Upload("#picture", write(t, "desk.png", picture.Bytes())).There("#preview img")
	c.Fill("#f-alt", "A desk").Click("form[enctype] .button").Sees("The picture was added.").There(".shots img[alt='A desk']")
	c.Click("form[action*='/publish'] .button").Sees("Shoppers can see it now.").Sees("published")

	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := s.Nobody().Do(t, "GET", "/api/v1/products/desk-"+id, nil)
		if a.Status != 200 {
			return false, string(a.Body)
		}
		seen := shop.Read[struct {
			Name   string
			Images []struct{ URL, Alt string }
		}](t, a)
		require.Equal(t, "Desk "+id, seen.Name)
		require.Len(t, seen.Images, 1)
		got, err := s.Nobody().Send(t.Context(), "GET", seen.Images[0].URL, nil)
		require.NoError(t, err)
		require.Equal(t, 200, got.Status)
		return true, ""
	})
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := s.Nobody().Do(t, "GET", "/api/v1/availability/D-"+id, nil)
		return a.Status == 200 && shop.Read[shop.Availability](t, a).Available == 7, string(a.Body)
	})

	// A shopper finds it and buys one, in another tab of a browser that Keycloak does not know.
	ann := s.Register(t)
	v := c.ForgetKeycloak().Tab().Open("/search?q=Desk+" + id).Click(`a.card[href="/products/desk-` + id + `"]`).At("/products/desk-" + id)
	v.There("main img[src^='/media/']").Click("#add").There("dialog[open] .line").Click(`dialog[open] a[href="/checkout"]`)
	v.Login(ann.Email, ann.Password).At("/checkout").Address(shop.Home).Click("#pay")
	require.Equal(t, "D-"+id, ann.Await(t, v.Order(), "confirmed").Lines[0].SKU)

	// Stock moves with a reason, once.
	c.Open("/admin/inventory/item?sku=D-"+id).Fill("#f-delta", "0").Fill("#f-reason", "Delivery 7").Click("aside .button").Sees("not nothing")
	c.Holds("#f-reason", "Delivery 7").Fill("#f-delta", "3").Click("aside .button").Sees("The movement is in the ledger.").Sees("Delivery 7")
	require.Equal(t, 9, shop.Get[shop.Stock](t, s.Admin(t), "/api/v1/admin/inventory/D-"+id).OnHand)

	// Taking it out of the shop asks first.
	c.Open("/admin/products?q=D-" + id).Sees("Desk " + id).Click("td.wide a").Click("a[href$='/unlist']").Sees("Unlist Desk " + id + "?")
	require.Equal(t, 200, s.Nobody().Do(t, "GET", "/api/v1/products/desk-"+id, nil).Status)
	c.Click("form .button.danger").Sees("Shoppers no longer see it.")
}

// TestVariants makes a product that comes in sizes: the table gets its column, and what is missing is marked where it is.
func TestVariants(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	c := work(t, s, "/admin/products/new")
	c.Fill("#f-name", "Tee "+id).Fill("#f-options", "Size").Fill("#f-v-0-sku", "T-S-"+id).Fill("#f-v-0-price", "9").Click("button[name=more]")
	c.There("#f-v-5-sku").Holds("#f-v-0-sku", "T-S-"+id).Holds("#f-options", "Size")
	c.Click("#product .button:not(.line)").There("#f-v-0-o-0[aria-invalid=true]").Sees("Must not be empty.")
	c.Until("what is wrong below its own field", `(why => {
		const at = e => e.getBoundingClientRect(), cell = at(why.closest("td")), field = at(why.parentNode.querySelector("input"))
		return at(why).left >= cell.left && at(why).right <= cell.right && at(why).top >= field.bottom
	})(document.querySelector("#f-v-0-o-0-why"))`)
	c.Fill("#f-v-0-o-0", "S").Fill("#f-v-1-sku", "t-s-"+id).Fill("#f-v-1-price", "9").Fill("#f-v-1-o-0", "M").Click("#product .button:not(.line)")
	c.There("#f-v-1-sku[aria-invalid=true]").Sees("Is there twice.")
	c.Fill("#f-v-1-sku", "T-M-"+id).Click("#product .button:not(.line)").Sees("Created.").There("#f-v-1-sku[readonly]")

	// What is emptied is not left out in silence.
	for _, name := range []string{"#f-v-1-price", "#f-v-1-initial", "#f-v-1-o-0"} {
		c.Fill(name, "")
	}
	c.Click("#product .button:not(.line)").There("#f-v-1-price[aria-invalid=true]")
	c.Fill("#f-v-1-price", "8").Fill("#f-v-1-o-0", "M").Click("#product .button:not(.line)").Sees("Saved.").Holds("#f-v-1-price", "8.00")
}

// TestNotStaff: a shopper who comes here by mistake is told so in a page of the shop's look, and can leave.
func TestNotStaff(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	c := browser.Visit(t, s, 1280, 900)
	c.Open("/admin/orders").Login(ann.Email, ann.Password).Sees(ann.Email + " may not use the back office")
	c.Until("its style", `getComputedStyle(document.querySelector(".button")).borderRadius === "99px"`)
	c.Click("main form .button").At("/realms/stampede/").Click("#kc-logout, form [type=submit]").There("#password")
}

// TestImport brings in a file with good and bad rows, in several parts.
func TestImport(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	var file strings.Builder
	file.WriteString("Handle,Title,Body (HTML),Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Inventory Qty,Status\n")
	long := strings.Repeat("A long story. ", 1000)
	for n := range 40 {
		price := "12.50"
		if n == 7 || n == 33 {
			price = "cheap"
		}
		fmt.Fprintf(&file, "i-%s-%d,Cup %d,\"<p>%s\n</p>\",Title,Default Title,I-%s-n%d,%s,4,draft\n", id, n, n, long, id, n, price)
	}
	name := write(t, "cups.csv", []byte(file.String()))
	c := work(t, s, "/admin/products/import")
	c.Upload("#file", name).Click("#import .button").Sees("Part ").Sees("Done: 38 created, 0 changed, 0 unchanged, 2 refused")
	c.Until("every row in the report", `document.querySelectorAll("#report tbody tr").length === 40`)
	c.Sees("The price is not an amount such as 19.99")
	// The line is the file's own, also in a later part: each row has two, after the head.
	c.Until("the line of the last refused row", `[...document.querySelectorAll("#report tr.refused td[data-name=Line]")].map(e => e.textContent.trim()).join() === "16,68"`)
	c.Upload("#file", name).Click("#import .button").Sees("Done: 0 created, 0 changed, 38 unchanged, 2 refused")

	// A file as Excel saves it stays what it is: the page does not decode it.
	ansi := "Title;Handle;Option1 Name;Option1 Value;Variant SKU;Variant Price;Variant Inventory Qty;Status\r\n" +
		"Caf\xe9 " + id + ";ansi-" + id + ";Title;Default Title;A / " + id + ";12,50;4;draft\r\n" +
		"No\xebl " + id + ";noel-" + id + ";Title;Default Title;N / " + id + ";1;1;draft\r\n"
	c.Upload("#file", write(t, "ansi.csv", []byte(ansi))).Click("#import .button")
	c.Sees("Done: 2 created, 0 changed, 0 unchanged, 0 refused")
	c.Open("/admin/products?status=draft&q=" + id).Sees("Café " + id).Sees("Noël " + id).Open("/admin/products/import")

	exported := s.Admin(t).Do(t, "GET", "/api/v1/admin/products/export", nil).OK(t, 200)
	require.Contains(t, string(exported.Body), "I-"+id+"-n39")
	c.Open("/admin/products?status=draft&q=I-"+id+"-n39").Until("the file of what the list shows", `(() => { window.file ??= fetch(document.querySelector("#csv").href).then(r => r.text()).then(text => window.text = text);
		return window.text?.includes("I-`+id+`-n39") && !window.text.includes("I-`+id+`-n38") && window.text.startsWith("Handle,") })()`)
	// What no import can take says why.
	c.Open("/admin/products/import").Upload("#file", write(t, "notes.txt", []byte("milk\neggs\n"))).Click("#import .button").Sees("It stopped:").Sees("Handle")
}

// TestImportCustomers brings in the customers of another shop in parts, and follows one of them by the mail to a password.
func TestImportCustomers(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Nobody()
	ann.Email, ann.Password = "moved-"+shop.Random()+"@example.test", "correct-horse-"+shop.Random()
	var file strings.Builder
	file.WriteString("First Name,Last Name,Email,Default Address Address1,Default Address City,Default Address Country Code," +
		"Default Address Zip,Note\n")
	fmt.Fprintf(&file, "Ann,Lee,%s,1 High Street,Leeds,GB,nonsense,\nNobody,At All,,,,,,\n", ann.Email)
	for n := range 30 { // known by now
		name := []string{"ops", "shopper"}[n%2]
		fmt.Fprintf(&file, "Sam,Shopper,%s@stampede.test,,,,,\"%s\n\"\n", name, strings.Repeat("A long story. ", 1000))
	}
	name := write(t, "customers.csv", []byte(file.String()))
	c := work(t, s, "/admin/customers")
	c.Click(`a[href="/admin/customers/import"]`).At("/admin/customers/import").Click("#f-invite")
	c.Upload("#file", name).Click("#import .button").Sees("Done: 1 created, 0 changed, 30 unchanged, 1 refused")
	c.Until("the file's own line, in a later part", `document.querySelector("#report tbody tr:last-child td").textContent.trim() === "62"`)
	c.Sees("The address was not taken: postal_code is not a postcode of the country").Sees("The row has no e-mail address")
	c.Upload("#file", name).Click("#import .button").Sees("Done: 0 created, 0 changed, 31 unchanged, 1 refused")
	c.Upload("#file", write(t, "orders.csv", []byte("Name,Email\n#1,a@example.test\n"))).Click("#import .button")
	c.Sees("It stopped:").Sees("First Name")

	const choose = "/password/forgot"
	ann.AwaitMail(t, "Your account at Stampede", 1).Shows(t, s.Settings["PUBLIC_URL"]+choose)
	v := browser.Visit(t, s, 390, 800)
	v.Open(choose).Fill("#email", ann.Email).Click("main .button.buy").At("/password/reset")
	v.Fill("#code", ann.Code(t, shop.ResetSubject, 1)).Fill("#new_password", ann.Password).Click("main .button.buy")
	v.Login(ann.Email, ann.Password).At("/account").Holds("#first_name", "Ann")
}

// TestImportOrders brings in the orders of another shop, and finds one of them again; its customer sees it in the shop.
func TestImportOrders(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann, number := s.Register(t), "#O-"+shop.Random()
	file := write(t, "orders.csv", []byte(shop.PastOrder(number, ann.Email, "Ann Lee", "1 High Street", "")))
	c := work(t, s, "/admin/orders")
	c.Click(`a[href="/admin/orders/imported"]`).At("/admin/orders/imported")
	c.Click(`a[href="/admin/orders/import"]`).At("/admin/orders/import")
	c.Upload("#file", file).Click("#import .button").Sees("Done: 1 created, 0 changed, 0 unchanged, 0 refused")
	c.Upload("#file", file).Click("#import .button").Sees("Done: 0 created, 0 changed, 1 unchanged, 0 refused")
	c.Open("/admin/orders/imported").Fill("#q-q", number)
	c.Until("the one order", `document.querySelectorAll("#found tbody tr").length === 1`)
	c.Click("#found td a").Sees("Old lamp").Sees("£34.50").Sees("1 High Street").Sees("Nothing is sent or refunded for it here")
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		found := shop.Get[shop.List[struct{ Number string }]](t, ann, "/api/v1/orders/imported").Items
		return len(found) == 1, "nobody knows yet whose it is"
	})
	v := browser.Visit(t, s, 390, 800)
	v.Open("/orders").Login(ann.Email, ann.Password).At("/orders").Sees("From before we moved").Sees(number)
	v.Click("details.past summary").Sees("2 × Old lamp, £11.00 each").Accessible("/orders")
}

// TestOrder takes an order from the list to the customer's door, and gives some of the money back.
func TestOrder(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 3), s.Register(t)
	order := ann.Bought(t, lamp, 2)
	c := work(t, s, "/admin/orders")
	c.Fill("#q-q", order.Number).Until("the one order", `document.querySelectorAll("#found tbody tr").length === 1`)
	c.Click("#found td a").Sees("What happened").Sees("Payment captured").Sees("Stock sold")
	c.Fill("#f-carrier", "Parcel Post").Fill("#f-tracking_number", "PP 1").Click("aside .next .button").Sees("The customer is told by mail.").Sees("Has it arrived?")
	ann.Await(t, order.ID, "shipped")
	c.Click("form[action*='/deliver'] .button").Sees("Marked as delivered.")
	ann.Await(t, order.ID, "delivered")

	c.Click("a[href$='/refund']").At("/admin/orders/"+order.ID+"/refund").Fill("#f-amount", "9999").Fill("#f-reason", "One was broken").Click("form .button.danger")
	c.There("[role=alert]").Holds("#f-reason", "One was broken")
	// The same form, sent three times: twice at once, and by its button.
	c.Fill("#f-amount", "7.50").Until("sent twice", `(f => {
		if (!window.sent) window.sent = Promise.all([1, 2].map(() => fetch(f.action, {method: "POST", body: new URLSearchParams(new FormData(f))}))).then(() => window.over = true);
		return window.over })(document.querySelector("form[data-once]"))`)
	c.Click("form .button.danger").Sees("The refund is on its way").Sees("Refund of £7.50")
	c.Until("one refund", `document.querySelectorAll("#payment .plain li").length === 1`)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		now := shop.Get[shop.Order](t, ann, "/api/v1/orders/"+order.ID)
		return now.Payment.Status == "partially_refunded" && now.Status == "delivered", now.Payment.Status
	})
}

// TestTooLate: what cannot be done any more is not offered, and says so to a page that was open for long.
func TestTooLate(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 5), s.Register(t)
	order := ann.Bought(t, lamp, 1)
	c := work(t, s, "/admin/orders/"+order.ID)
	c.Click("a[href$='/refund']").Fill("#f-reason", "A gift").Click("form .button.danger").Sees("The refund is on its way")
	c.Open("/admin/orders/" + order.ID + "/refund").Sees("Nothing is left to refund.")
	c.Open("/admin/orders/" + order.ID + "/cancel").Sees("Cancel order")
	s.Admin(t).Do(t, "POST", "/api/v1/admin/orders/"+order.ID+"/shipment",
		map[string]any{"carrier": "Post", "tracking_number": "1", "although_refunded": true}).OK(t, 200)
	c.Click("form .button.danger").Sees("That cannot be done any more").Sees("The order is shipped.").Click(".problem .button").At("/admin/orders/" + order.ID)
	require.Equal(t, "shipped", shop.Get[shop.Order](t, ann, "/api/v1/orders/"+order.ID).Status)
	c.Open("/admin/inventory/release?sku=" + lamp.SKU + "&holder=account:" + ann.Account).Click("form .button.danger").Sees("There was no such hold any more.")
}

// TestSuspend locks a shopper out.
func TestSuspend(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	c := work(t, s, "/admin/customers")
	c.Fill("#q-q", ann.Email).Until("the one customer", `document.querySelectorAll("#found tbody tr").length === 1`).Click("#found td a")
	c.Sees("success").Click("a[href$='/suspend']").Fill("#f-reason", "Sells tickets").Click("form .button.danger").Sees("Every session of the account has ended.").Sees("Sells tickets")
	body := map[string]string{"email": ann.Email, "password": ann.Password}
	s.Nobody().Do(t, "POST", "/api/v1/auth/login", body).Refused(t, 403, "account-suspended")
	s.Nobody().Do(t, "POST", "/api/v1/auth/refresh", map[string]string{"refresh_token": ann.Refresh}).OK(t, 401)
	c.Open("/admin/customers/" + ann.Account + "/suspend").Sees("The account is suspended.").Open("/admin/customers/" + ann.Account)
	c.Click("form[action*='/activate'] .button").Sees("The account is active again.")
	s.Nobody().Do(t, "POST", "/api/v1/auth/login", body).OK(t, 200)
}

// TestDeadLetter sees an event that died, tries it again, and drops it.
func TestDeadLetter(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	sql := fmt.Sprintf(`INSERT INTO dead_letters (event_id, topic, event, error, tries) VALUES ('%s', 'account.registered.v1', '{"account_id": 5}', 'cannot be read', 15)`, id)
	out, err := exec.CommandContext(t.Context(), "psql", s.Settings["USERS_DATABASE_URL"], "-qc", sql).CombinedOutput()
	require.NoError(t, err, "%s", out)
	c := work(t, s, "/admin/letters")
	c.Sees(id).Open("/admin/letters?service=users").Sees(id)
	c.Open("/admin/letters/letter?service=users&event=" + id).Sees("cannot be read").Sees(`"account_id": 5`)
	c.Click("form[action*=redrive] .button").Sees("could not be handled this time either")
	c.Click(".acts a.danger").Sees("Drop this event for good?").Click("form .button.danger").Sees("Dropped for good.")
	c.Open("/admin/letters/letter?service=users&event=" + id).Sees("it was handled or dropped")
}

// TestMail sends a mail once more.
func TestMail(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 1), s.Register(t)
	order := ann.Bought(t, lamp, 1)
	subject := "Your order " + order.Number + " is confirmed"
	ann.AwaitMail(t, subject, 1)
	c := work(t, s, "/admin/mails?recipient="+ann.Email)
	c.Sees(subject).Click("td a[href^='/admin/mails/']").There("iframe").There(`a[href="/admin/mails"][aria-current=page]`)
	// A mail is shown, and runs nothing.
	c.Until("locked up", `(() => { window.preview ??= fetch(document.querySelector("iframe").src).then(r => window.policy = r.headers.get("Content-Security-Policy"));
		return window.policy && window.policy.includes("sandbox") && window.policy.includes("default-src 'none'") && !window.policy.includes("script-src") })()`)
	c.Open("/admin/mails?kind=order-confirmed&recipient=" + ann.Email).Click("td a[href^='/admin/mails/']").Click(".acts .button").Sees("Send this mail again?")
	c.Click("form .button:not(.line)").Sees("The mail is queued once more.")
	ann.AwaitMail(t, subject, 2)
}

// TestEndedLogin sends a form after the login has ended: nothing is done, the page says so, and has what was typed.
func TestEndedLogin(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 1), s.Register(t)
	order := ann.Bought(t, lamp, 1)
	c := work(t, s, "/admin/orders/"+order.ID)
	c.Fill("#f-carrier", "Parcel Post").Fill("#f-tracking_number", "PP 2").Forget("gosessionsid").Click("aside .next .button")
	c.Sees("nothing was done").Holds("#f-carrier", "Parcel Post").Holds("#f-tracking_number", "PP 2")
	require.Equal(t, "confirmed", shop.Get[shop.Order](t, ann, "/api/v1/orders/"+order.ID).Status)
	c.Click("aside .next .button").Sees("The customer is told by mail.")
	ann.Await(t, order.ID, "shipped")
}

// TestDashboard agrees with the lists behind it, and looks again by itself.
func TestDashboard(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 1), s.Register(t)
	c := work(t, s, "/admin?by=minute").There(".chart svg")
	order := ann.Bought(t, lamp, 1)
	c.Until("an order in the chart", `Number(document.querySelector(".chart .sum").textContent) > 0`)
	// Who goes through it by keyboard stays where they are when it looks again.
	c.Until("focused", `(a => { window.board = document.querySelector("#board"); a.focus(); return document.activeElement === a })(document.querySelector(".figures a[href='/admin/letters']"))`)
	c.Until("looked again, and still there", `document.querySelector("#board") !== window.board && document.activeElement.getAttribute("href") === "/admin/letters"`)
	c.Click(".chart .sum").At("/admin/orders?declined=true&since=").Sees(order.Number)
}

// TestUnsaved: publishing does not throw away what was typed without asking.
func TestUnsaved(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.Draft(t, 1_000, 1)
	c := work(t, s, "/admin/products/"+lamp.ID).Dismiss()
	c.Fill("#f-name", "Lantern").Click("form[action*='/publish'] .button").Holds("#f-name", "Lantern")
	c.Until("it can be pressed again", `!document.querySelector("form[action*='/publish'] .button").disabled`)
	c.Click("#product .button:not(.line)").Sees("Saved.").Click("form[action*='/publish'] .button").Sees("Shoppers can see it now.").Sees("Lantern")
}

// TestHold gives back what a cart holds.
func TestHold(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 4), s.Register(t)
	ann.Put(t, lamp, 3)
	c := work(t, s, "/admin/inventory")
	c.Fill("#q-q", lamp.SKU).Until("the one SKU", `document.querySelectorAll("#found tbody tr").length === 1`).Click("#found td a").Sees("account:" + ann.Account)
	c.Click("a[href^='/admin/inventory/release']").Sees("Release this hold?").Click("form .button.danger").Sees("The hold was released.").Sees("Nobody holds any")
	require.Equal(t, 4, lamp.Stock(t).Available)
}

// TestCategory makes a category, moves it and deletes it.
func TestCategory(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	name := "Kites " + shop.Random()
	slug := strings.ToLower(strings.ReplaceAll(name, " ", "-"))
	c := work(t, s, "/admin/categories")
	c.Fill("aside #f-name", name).Fill("aside #f-slug", slug).Click("aside .button").Sees("Created.")
	c.Open("/admin/categories/change?slug="+slug).Fill("#f-name", name+" and tails").Click("form .button:not(.line)").Sees("Saved.")
	c.Open("/admin/categories").Sees(name + " and tails")
	c.Open("/admin/categories/delete?slug=" + slug).Click("form .button.danger").Sees("The category was deleted.")
}

// TestAccessible looks for barriers on each kind of page.
func TestAccessible(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 4), s.Register(t)
	lamp.Rename(t, strings.Repeat("Lichterkette", 19)+shop.Random())
	order := ann.Bought(t, lamp, 1)
	work(t, s, "/admin/orders").Accessible("/admin", "/admin/orders", "/admin/orders/"+order.ID, "/admin/orders/"+order.ID+"/refund",
		"/admin/customers", "/admin/payments", "/admin/products", "/admin/products/"+lamp.ID, "/admin/products/new",
		"/admin/products/import", "/admin/customers/import", "/admin/orders/import", "/admin/orders/imported",
		"/admin/categories",
		"/admin/inventory", "/admin/inventory/item?sku="+lamp.SKU, "/admin/inventory/ledger?sku="+lamp.SKU, "/admin/inventory/holds?sku="+lamp.SKU,
		"/admin/customers/"+ann.Account, "/admin/customers/logins?account="+ann.Account, "/admin/mails", "/admin/letters", "/admin/nothing")
}

// TestNarrowHead: on the narrowest phones nothing of the head lies over anything else of it.
func TestNarrowHead(t *testing.T) {
	t.Parallel()
	c := work(t, shop.Open(t), "/admin/orders")
	for _, width := range []int{320, 360, 390} {
		c.Device(width, 640, true, false).Open("/admin/orders").Until("a head that fits", `(() => {
			const all = [...document.querySelectorAll(".brand, .menu > summary, .who, .leave")]
				.map(e => e.getBoundingClientRect()).filter(r => r.width > 0);
			return all.length === 4 && all.every((a, i) => a.right <= innerWidth &&
				all.every((b, j) => i >= j || a.right <= b.left || b.right <= a.left));
		})()`)
	}
}

// TestListsFit: on a small laptop no list has a column out of sight.
func TestListsFit(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	s.Register(t).Bought(t, s.NewProduct(t, 1_000, 1), 1)
	long := s.NewSKU(t, shop.Random()+strings.Repeat("W", 200), "S")
	c := work(t, s, "/admin/orders").Device(1280, 800, false, false)
	lists := strings.Fields("orders orders/imported payments products inventory customers drops mails letters")
	for _, list := range append(lists, "inventory?q="+long.SKU) {
		c.Open("/admin/"+list).Until("all columns in sight",
			`[...document.querySelectorAll(".table")].every(t => t.scrollWidth <= t.clientWidth)`)
	}
	c.Sees(long.SKU)
}

// TestList: filters stay with the next page and with the file, which has all that the list has.
func TestList(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 2), s.Register(t)
	order := ann.Bought(t, lamp, 1)
	c := work(t, s, "/admin/orders?q="+order.Number)
	c.Until("the one order", `document.querySelectorAll("#found tbody tr").length === 1`)
	c.Until("its file", `(() => { window.file ??= fetch(document.querySelector("a[href*='/admin/orders.csv']").href).then(r => r.text()).then(text => window.lines = text.trim().split("\n"));
		return window.lines?.length === 2 && window.lines[1].includes(`+browser.Quote(order.Number)+`) && window.lines[1].includes(",13.99,GBP,") })()`)
	c.Open("/admin/orders?from=2020-01-01&until=2020-01-02").Sees("Nothing fits")
	// What the service refuses is said at once, instead of rows that do not fit.
	c.Open("/admin/orders?from=2026-01-02").Until("set", `(i => { i.value = "2026-01-01"; i.dispatchEvent(new Event("change", {bubbles: true})); return true })(document.querySelector("#q-until"))`)
	c.Sees("Until: must be after from.").Until("no rows", `!document.querySelector("#found tbody tr")`)
	// Where a chart leads is a filter that can be seen and taken away, and that one's own beats.
	c.Open("/admin").Click(".chart .sum").There("#q-since .chip").Click("#q-since .chip").At("/admin/orders").Until("it is gone", `!document.querySelector("#q-since .chip")`)
	c.Open("/admin/orders?since=2020-01-01T00:00:00Z&from=2035-01-01").Sees("Nothing fits")
	c.Open("/admin/orders?cursor=bad").Sees("too old")
}

// TestSort: each list can be sorted in each way that it offers, above it and in its header, and so can its file.
func TestSort(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, mug, ann := s.NewProduct(t, 1_000, 9), s.NewProduct(t, 3_000, 9), s.Register(t)
	for _, p := range []*shop.Product{mug, lamp, mug} {
		ann.Bought(t, p, 1)
	}
	ann.Put(t, lamp, 1)
	c := work(t, s, "/admin/orders?q="+ann.Email)
	for _, at := range []string{
		"/admin/orders", "/admin/customers", "/admin/customers/logins?account=" + ann.Account, "/admin/payments", "/admin/products", "/admin/categories",
		"/admin/inventory", "/admin/inventory/ledger?sku=" + lamp.SKU, "/admin/inventory/holds?sku=" + lamp.SKU, "/admin/mails", "/admin/letters", "/admin/letters?service=users",
	} {
		c.Open(at).Until("all ways to sort "+at, `(() => { window.tried ??= (async () => {
			const select = document.querySelector("#q-sort"), failed = []
			const ask = async (href, what) => { const r = await fetch(href), text = await r.text()
				if (r.status !== 200 || !what(new DOMParser().parseFromString(text, "text/html"), text)) failed.push(r.status + " " + href) }
			if (select.options.length < 2) failed.push("no choice")
			for (const o of select.options) {
				const to = new URL(location); to.searchParams.set("sort", o.value)
				await ask(to, page => page.querySelector("#q-sort").value === o.value && !page.querySelector(".alert"))
				to.pathname += ".csv"
				await ask(to, (_, text) => text.includes(","))
			}
			for (const a of document.querySelectorAll("th a")) await ask(a.href, page => page.querySelector("#q-sort").value !== "" && page.querySelectorAll("th[aria-sort]").length === 1)
			window.failed = failed.join("; ")
		})(); return window.failed === "" })()`)
	}
	// What fits no filter leads back to the whole list, of this SKU and this account.
	c.Open("/admin/inventory/ledger?kind=return&sku=" + lamp.SKU).Sees("Nothing fits").Click("#found .empty a").There("#found tbody td")
	c.Open("/admin/customers/logins?outcome=failed&account=" + ann.Account).Sees("Nothing fits").Click("#found .empty a").There("#found tbody td")
	totals := func(want ...string) {
		t.Helper()
		c.Until("the totals "+strings.Join(want, ", "), `Array.from(document.querySelectorAll("td[data-name=Total]"), e => e.textContent.trim()).join(", ") === `+browser.Quote(strings.Join(want, ", ")))
	}
	c.Open("/admin/orders?q=" + ann.Email)
	c.Click("th:last-child a").At("/admin/orders").There("th:last-child[aria-sort=descending]")
	totals("£33.99", "£33.99", "£13.99")
	c.Click("th:last-child a").There("th:last-child[aria-sort=ascending]")
	totals("£13.99", "£33.99", "£33.99")
	c.Choose("#q-sort", "newest").There("th:nth-child(2)[aria-sort=descending]")
	totals("£33.99", "£13.99", "£33.99")
	c.Open("/admin/orders?sort=weight").Sees("sort")
}

// TestDeadLettersOfAll reads those of several services as one list, page by page and in its file.
func TestDeadLettersOfAll(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	sql := func(app, statement string) {
		out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "psql", s.Settings[app+"_DATABASE_URL"], "-qc", statement).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	// 40 each, one in two seconds, by turns; tries say how old they are.
	for i, app := range []string{"USERS", "MAIL", "INVENTORY"} {
		sql(app, fmt.Sprintf(`INSERT INTO dead_letters (event_id, topic, event, error, tries, died_at)
			SELECT '%[1]s-' || 3 * n + %[2]d, 'kite.flown.v1', '{}', 'no wind', 3 * n + %[2]d, now() - interval '1 second' * (3 * n + %[2]d) FROM generate_series(0, 39) n`, id, i))
		t.Cleanup(func() { sql(app, `DELETE FROM dead_letters WHERE event_id LIKE '`+id+`-%'`) })
	}
	c := work(t, s, "/admin/letters?q="+id)
	seen := 0
	for page := range 3 {
		n := min(50, 120-seen)
		c.Until(fmt.Sprintf("page %d in order", page+1), fmt.Sprintf(`(() => { const tries = Array.from(document.querySelectorAll("#found td[data-name=Tries]"), e => Number(e.textContent))
			return tries.length === %d && tries.every((n, i) => n === %d + i) })()`, n, seen))
		if seen += n; seen < 120 {
			c.Click(".pager a[rel=next]")
		}
	}
	c.Until("the last page", `!document.querySelector(".pager a[rel=next]")`)
	c.Open("/admin/letters?sort=-tries&q="+id).Until("the file, the most tries first", `(() => { window.file ??= fetch(document.querySelector("#csv").href).then(r => r.text()).then(text => window.lines = text.trim().split("\n"));
		return window.lines?.length === 121 && window.lines[1].includes("-119,") && window.lines[120].includes("-0,") })()`)
	c.Open("/admin/letters?cursor=bad").Sees("not a cursor of this list")
}

// TestLogOut: the next visit wants the password again.
func TestLogOut(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	c := work(t, s, "/admin/orders")
	c.Click(".leave button").At("/realms/stampede/").Click("#kc-logout, form [type=submit]").Until("a login page", `document.querySelector("#password")`)
	c.Open("/admin").There("#password")
}
