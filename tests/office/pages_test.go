package office

import (
	"strings"
	"testing"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestPages: a page is written, looked at, published, and found in the shop's foot; then it goes.
func TestPages(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	c := work(t, s, "/admin/pages")
	c.Click("a[href='/admin/pages/new']").At("/admin/pages/new").Accessible("/admin/pages/new")
	c.Fill("#f-title", "Returns "+id).Fill("#f-body", "## How\n\nWrite **to us**.").Click("button[name=preview]")
	c.There("#preview h2").Sees("Nothing is saved yet").Holds("#f-title", "Returns "+id)
	c.Click("#f-published").Fill("#f-foot", "8").Click(".buttons .button:not(.line)").Sees("Created.")
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := s.Nobody().Do(t, "GET", "/api/v1/pages/returns-"+id, nil)
		return a.Status == 200, string(a.Body)
	})
	v := c.Tab()
	shop.Eventually(t, shop.Patience, func() (bool, string) { // the foot is kept for some seconds
		v.Open("/pages/returns-" + id)
		_, foot, _ := strings.Cut(v.Text(), "Delivery and returns")
		return strings.Contains(v.Text(), "Write to us") && strings.Contains(foot, "Returns "+id), v.Text()
	})
	c.Open("/admin/pages").Accessible("/admin/pages").Sees("Returns " + id)
	c.Open("/admin/pages/delete?slug=returns-" + id).Click("form .button.danger").Sees("The page was deleted.")
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := s.Nobody().Do(t, "GET", "/api/v1/pages/returns-"+id, nil)
		return a.Status == 404, string(a.Body)
	})
}

// TestPrintOrder: an order's page is a sheet for its parcel or its file, and its address is changed until it is shipped.
func TestPrintOrder(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_250, 3), s.Register(t)
	o := ann.Bought(t, lamp, 2)
	c := work(t, s, "/admin/orders/"+o.ID)
	c.Click(`a[href="/admin/orders/`+o.ID+`/address"]`).Fill("#f-line1", "2 Low Street").Click(".buttons .button:not(.line)")
	c.At("/admin/orders/" + o.ID).Sees("It goes to the other address.").Sees("Address changed")
	c.Accessible("/admin/orders/" + o.ID + "/address").Open("/admin/orders/" + o.ID).Sees("What was bought")
	c.Printed("office-order", []string{o.Number, lamp.Name, lamp.SKU, "£25.00", "Tax", "2 Low Street", "Placed", ann.Email},
		"header", "nav", "button", ".acts", ".timeline", "#payment")
}
