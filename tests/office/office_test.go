package office

import (
	"bytes"
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

	"github.com/stampede-shop/stampede/tests/shop"
)

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
	c.click("a[href='/admin/products/new']").at("/admin/products/new")
	c.fill("#f-name", "Desk "+id).fill("#f-slug", "desk-"+id).fill("#f-vendor", "Acme")
	c.fill("#f-v-0-sku", "D-"+id).fill("#f-v-0-price", "ten").fill("#f-v-0-max", "3").fill("#f-v-0-initial", "7")
	c.click("#product .button:not(.line)")

	// What is wrong is said beside the field, and nothing typed is lost.
	c.sees("Write an amount, such as 12.50.").holds("#f-name", "Desk "+id).holds("#f-v-0-price", "ten").holds("#f-v-0-initial", "7")
	c.fill("#f-v-0-price", "10.00").click("#product .button:not(.line)").sees("Created.").sees("draft")

	var picture bytes.Buffer
	dot := image.NewRGBA(image.Rect(0, 0, 8, 8))
	dot.Set(1, 1, color.RGBA{200, 50, 10, 255})
	require.NoError(t, png.Encode(&picture, dot))
	c.upload("#picture", write(t, "desk.png", picture.Bytes())).there("#preview img")
	c.fill("#f-alt", "A desk").click("form[enctype] .button").sees("The picture was added.").there(".pictures img[alt='A desk']")
	c.click("form[action*='/publish'] .button").sees("Shoppers can see it now.").sees("published")

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

	// Stock moves with a reason, once.
	c.open("/admin/inventory/item?sku=D-"+id).fill("#f-delta", "0").fill("#f-reason", "Delivery 7").click("aside .button").sees("not nothing")
	c.holds("#f-reason", "Delivery 7").fill("#f-delta", "3").click("aside .button").sees("The movement is in the ledger.").sees("Delivery 7")
	require.Equal(t, 10, shop.Get[shop.Stock](t, s.Admin(t), "/api/v1/admin/inventory/D-"+id).OnHand)

	// Taking it out of the shop asks first.
	c.open("/admin/products?q=D-" + id).sees("Desk " + id).click("td.wide a").click("a[href$='/unlist']").sees("Unlist Desk " + id + "?")
	require.Equal(t, 200, s.Nobody().Do(t, "GET", "/api/v1/products/desk-"+id, nil).Status)
	c.click("form .button.danger").sees("Shoppers no longer see it.")
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
		fmt.Fprintf(&file, "i-%s-%d,Cup %d,\"<p>%s\n</p>\",Title,Default Title,I-%s-%d,%s,4,draft\n", id, n, n, long, id, n, price)
	}
	name := write(t, "cups.csv", []byte(file.String()))
	c := work(t, s, "/admin/products/import")
	c.upload("#file", name).click("#import .button").sees("Part ").sees("Done: 38 created, 0 changed, 0 unchanged, 2 refused")
	c.until("every row in the report", `document.querySelectorAll("#report tbody tr").length === 40`)
	c.sees("The price is not an amount such as 19.99")
	// The line is the file's own, also in a later part: each row has two, after the head.
	c.until("the line of the last refused row", `[...document.querySelectorAll("#report tr.refused td[data-name=Line]")].map(e => e.textContent).join() === "16,68"`)
	c.upload("#file", name).click("#import .button").sees("Done: 0 created, 0 changed, 38 unchanged, 2 refused")

	exported := s.Admin(t).Do(t, "GET", "/api/v1/admin/products/export", nil).OK(t, 200)
	require.Contains(t, string(exported.Body), "I-"+id+"-39")
}

// TestOrder takes an order from the list to the customer's door, and gives some of the money back.
func TestOrder(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 3), s.Register(t)
	order := ann.Bought(t, lamp, 2)
	c := work(t, s, "/admin/orders")
	c.fill("#q-q", order.Number).until("the one order", `document.querySelectorAll("#found tbody tr").length === 1`)
	c.click("#found td a").sees("What happened").sees("Payment captured").sees("Stock sold")
	c.fill("#f-carrier", "Parcel Post").fill("#f-tracking_number", "PP 1").click("aside .next .button").sees("The customer is told by mail.").sees("Has it arrived?")
	ann.Await(t, order.ID, "shipped")
	c.click("form[action*='/deliver'] .button").sees("Marked as delivered.")
	ann.Await(t, order.ID, "delivered")

	c.click("a[href$='/refund']").at("/admin/orders/"+order.ID+"/refund").fill("#f-amount", "9999").fill("#f-reason", "One was broken").click("form .button.danger")
	c.there("[role=alert]").holds("#f-reason", "One was broken")
	// The same form, sent three times: twice at once, and by its button.
	c.fill("#f-amount", "7.50").until("sent twice", `(f => {
		if (!window.sent) window.sent = Promise.all([1, 2].map(() => fetch(f.action, {method: "POST", body: new URLSearchParams(new FormData(f))}))).then(() => window.over = true);
		return window.over })(document.querySelector("form[data-once]"))`)
	c.click("form .button.danger").sees("The refund is on its way").sees("Refund of £7.50")
	c.until("one refund", `document.querySelectorAll("#payment .plain li").length === 1`)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		now := shop.Get[shop.Order](t, ann, "/api/v1/orders/"+order.ID)
		return now.Payment.Status == "partially_refunded" && now.Status == "delivered", now.Payment.Status
	})
}

// TestSuspend locks a shopper out.
func TestSuspend(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	c := work(t, s, "/admin/customers")
	c.fill("#q-q", ann.Email).until("the one customer", `document.querySelectorAll("#found tbody tr").length === 1`).click("#found td a")
	c.sees("success").click("a[href$='/suspend']").fill("#f-reason", "Sells tickets").click("form .button.danger").sees("Every session of the account has ended.").sees("Sells tickets")
	body := map[string]string{"email": ann.Email, "password": ann.Password}
	s.Nobody().Do(t, "POST", "/api/v1/auth/login", body).Refused(t, 403, "account-suspended")
	s.Nobody().Do(t, "POST", "/api/v1/auth/refresh", map[string]string{"refresh_token": ann.Refresh}).OK(t, 401)
	c.click("form[action*='/activate'] .button").sees("The account is active again.")
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
	c.sees(id).open("/admin/letters?service=users").sees(id)
	c.open("/admin/letters/letter?service=users&event=" + id).sees("cannot be read").sees(`"account_id": 5`)
	c.click("form[action*=redrive] .button").sees("could not be handled this time either")
	c.click(".acts a.danger").sees("Drop this event for good?").click("form .button.danger").sees("Dropped for good.")
	c.open("/admin/letters/letter?service=users&event=" + id).sees("it was handled or dropped")
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
	c.sees(subject).click("td a[href^='/admin/mails/']").there("iframe")
	c.open("/admin/mails?kind=order-confirmed&recipient=" + ann.Email).click("td a[href^='/admin/mails/']").click(".acts .button").sees("Send this mail again?")
	c.click("form .button:not(.line)").sees("The mail is queued once more.")
	ann.AwaitMail(t, subject, 2)
}

// TestEndedLogin sends a form after the login has ended: nothing is done, the page says so, and has what was typed.
func TestEndedLogin(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 1), s.Register(t)
	order := ann.Bought(t, lamp, 1)
	c := work(t, s, "/admin/orders/"+order.ID)
	c.fill("#f-carrier", "Parcel Post").fill("#f-tracking_number", "PP 2").forget().click("aside .next .button")
	c.sees("nothing was done").holds("#f-carrier", "Parcel Post").holds("#f-tracking_number", "PP 2")
	require.Equal(t, "confirmed", shop.Get[shop.Order](t, ann, "/api/v1/orders/"+order.ID).Status)
	c.click("aside .next .button").sees("The customer is told by mail.")
	ann.Await(t, order.ID, "shipped")
}

// TestDashboard agrees with the lists behind it, and looks again by itself.
func TestDashboard(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 1), s.Register(t)
	c := work(t, s, "/admin?by=minute").there(".chart svg")
	order := ann.Bought(t, lamp, 1)
	c.until("an order in the chart", `Number(document.querySelector(".chart .sum").textContent) > 0`)
	c.click(".chart .sum").at("/admin/orders?since=").sees(order.Number)
}

// TestHold gives back what a cart holds.
func TestHold(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_000, 4), s.Register(t)
	ann.Put(t, lamp, 3)
	c := work(t, s, "/admin/inventory")
	c.fill("#q-q", lamp.SKU).until("the one SKU", `document.querySelectorAll("#found tbody tr").length === 1`).click("#found td a").sees("account:" + ann.Account)
	c.click("a[href^='/admin/inventory/release']").sees("Release this hold?").click("form .button.danger").sees("The hold was released.").sees("Nobody holds any")
	require.Equal(t, 4, lamp.Stock(t).Available)
}

// TestCategory makes a category, moves it and deletes it.
func TestCategory(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	name := "Kites " + shop.Random()
	slug := strings.ToLower(strings.ReplaceAll(name, " ", "-"))
	c := work(t, s, "/admin/categories")
	c.fill("aside #f-name", name).fill("aside #f-slug", slug).click("aside .button").sees("Created.")
	c.open("/admin/categories/change?slug="+slug).fill("#f-name", name+" and tails").click("form .button:not(.line)").sees("Saved.")
	c.open("/admin/categories").sees(name + " and tails")
	c.open("/admin/categories/delete?slug=" + slug).click("form .button.danger").sees("The category was deleted.")
}
