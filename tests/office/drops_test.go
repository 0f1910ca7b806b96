package office

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestDrops: a drop is made, corrected, scheduled, spoken of and ended, as a person does; its page follows what happens.
func TestDrops(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 5)
	slug := "drop-" + shop.Random()
	c := work(t, s, "/admin/drops")
	c.Click("a[href='/admin/drops/new']").At("/admin/drops/new").Accessible("/admin/drops/new")
	opens := time.Now().UTC().Add(48 * time.Hour)
	at := func(d time.Duration) string { return opens.Add(d).Format("2006-01-02T15:04") }
	set := func(selector, value string) { c.Choose(selector, value) } // a date field takes no keys of another language
	c.Fill("#f-title", "Drop of "+lamp.Name).Fill("#f-slug", slug).Fill("#f-zone", "UTC").Fill("#f-lots", lamp.SKU+", 3")
	set("#f-prequeue_at", at(-10*time.Minute))
	set("#f-opens_at", at(0))
	set("#f-closes_at", at(time.Hour))
	set("#f-beacon", "commit")
	c.Click("form .button:not(.line)").Sees("is not: SKU, units, units for one shopper").Holds("#f-slug", slug)
	c.Fill("#f-lots", lamp.SKU+", 3, 1").Click("form .button:not(.line)").Sees("Created.").Sees("draft")
	c.Click("#to-change").Fill("#f-lots", lamp.SKU+", 4, 1").Click("form .button:not(.line)").Sees("Saved.")
	c.Click("#to-schedule").Sees("do not change from then on").Click("form .button:not(.line)").Sees("Scheduled.").Sees("Public log")
	path, _, _ := strings.Cut(c.Where(), "?")
	c.Click("#to-message").Fill("#f-message", "Soon.").Click("form .button:not(.line)").Sees("Those who wait read: Soon.")
	c.Click("a[href*='/units']").Fill("#f-more", "1").Click("form .button:not(.line)").Sees("The units were added.")
	c.Until("five are free", `[...document.querySelectorAll("#watch .figures dd")].some(e => e.textContent === "5")`)
	c.Accessible("/admin/drops", path, path+"/end").Open(path)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := s.Nobody().Do(t, "GET", "/api/v1/drops/"+slug+"/status", nil)
		return a.Status == 200, string(a.Body)
	})
	c.Open(path).Click("#to-end").Sees("cannot be begun again").Click("form .button.danger").Sees("closed")
	lamp.AwaitStock(t, 5, 0)
}

// TestSteerDrop: a drop that is open is paused, resumed, slowed, and somebody is shut out, as a person does; shoppers meet each.
func TestSteerDrop(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 5)
	d := s.NewDrop(t, lamp, 3, time.Second, 5*time.Second, nil)
	buys, bot := s.Register(t), s.Register(t)
	ticket, bots := buys.Enter(t, d), bot.Enter(t, d)
	path := "/admin/drops/" + d.ID
	c := work(t, s, path)
	c.Click("#to-pause").Sees("Paused.").There("#to-resume").Clean()
	buys.Claim(t, d, ticket, 1).Refused(t, 409, "drop-paused")
	c.Click("#to-rate").Accessible(path+"/rate").Fill("#f-calls_per_s", "fast").Click("form .button:not(.line)").Sees("Write a number")
	c.Fill("#f-calls_per_s", "7").Click("form .button:not(.line)").Sees("Saved.").Sees("7 a second")
	number := shop.Get[struct{ Idx int }](t, bot, d.At+"/entry").Idx + 1
	c.Click("#to-exclude").Accessible(path+"/exclude").Fill("#f-number", strconv.Itoa(number)).Fill("#f-reason", "two accounts")
	c.Click("form .button:not(.line)").Sees("Shut out.").Sees("two accounts")
	c.Click("#to-resume").There("#to-pause")
	buys.AwaitClaim(t, d, ticket, 1).OK(t, 201)
	bot.AwaitClaim(t, d, bots, 1).Refused(t, 403, "not-eligible")
	c.Until("one is held", `[...document.querySelectorAll("#watch .figures dd")].some(e => e.textContent === "1")`).Clean()
	d.End(t)
}
