package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/browser"
	"github.com/stampede-shop/stampede/tests/shop"
)

// stage waits until the page shows that section, and no other.
func stage(v *browser.Visitor, name string) {
	v.Until("at the stage "+name, `(all => all.length === 1 && all[0].dataset.stage === `+browser.Quote(name)+`)(
		[...document.querySelectorAll("#drop > section")].filter(e => e.checkVisibility()))`)
}

// reads tells whether a page says a text, in whatever case, as it stands or when it is loaded again.
func reads(v *browser.Visitor, again, text string) (bool, string) {
	if again != "" {
		v.Open(again)
	}
	all := v.Text()
	return strings.Contains(strings.ToLower(all), strings.ToLower(text)), all
}

// TestDrop: two people enter a drop of one unit, one with scripts and one without; it opens, one buys, the other reads that it
// is sold out. Then the order is checked in the browser.
func TestDrop(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann, bob := s.NewProduct(t, 6_250, 1), s.Register(t), s.Register(t)
	at := "/drops/" + s.NewDrop(t, lamp, 1, 5*time.Second, time.Minute, nil).Slug
	scripted := browser.Visit(t, s, 1280, 900)
	plain := browser.Visit(t, s, 390, 844).WithoutScripts()

	// What lists of drops say is kept a while.
	shop.Eventually(t, shop.Patience, func() (bool, string) { return reads(scripted, page(lamp), "Sold in the drop") })
	scripted.Click(`main a[href="` + at + `"]`).At(at)
	scripted.LoginAt(at, ann.Email, ann.Password)
	plain.LoginAt(at, bob.Email, bob.Password)
	stage(scripted, "enter") // by itself
	shop.Eventually(t, shop.Patience, func() (bool, string) { return reads(plain, at, "You can enter now") })
	for _, v := range []*browser.Visitor{scripted, plain} {
		v.Click(`section:not([hidden]) form[action$="/entry"] button`).At(at).Sees("You are in")
	}
	// The same place in another tab, and after coming back.
	tab := scripted.Tab()
	tab.Open(at).Sees("You are in").Click(`section:not([hidden]) form[action$="/leave"] button`).At(at)
	stage(tab, "enter")
	tab.Click(`section:not([hidden]) form[action$="/entry"] button`).At(at).Sees("You are in")

	// Whoever is first in the order is called. The page with scripts goes on by itself, the other when it is loaded again.
	type status struct {
		State string
		N     *int
	}
	var now status
	shop.Eventually(t, 3*time.Minute, func() (bool, string) {
		now = shop.Get[status](t, s.Nobody(), "/api/v1"+at+"/status")
		return now.State == "open", now.State
	})
	require.Equal(t, 2, *now.N)
	position := func(c *shop.Client) int {
		return *shop.Get[struct{ Position *int }](t, c, "/api/v1"+at+"/entry").Position
	}
	first, second, load := scripted, plain, map[*browser.Visitor]string{plain: at}
	if position(ann) > position(bob) {
		first, second = plain, scripted
	}
	shop.Eventually(t, shop.Patience, func() (bool, string) { return reads(first, load[first], "Take it now") })
	first.Click(`section:not([hidden]) form[action$="/claim"] button`).At(at).Sees("Yours until")
	first.Click(`section:not([hidden]) a[href="/checkout"]`).At("/checkout").There("#line1").Address(shop.Home)
	if first == plain {
		first.Click(`button[name="more_time"]`).Sees("You have more time").Holds("#line1", shop.Home.Line1)
	} else { // a script shows it when two minutes are left
		first.Until("more time not offered yet", `document.querySelector("[data-longer]")?.hidden`)
	}
	first.Click("#pay").Order()
	first.Sees("It is yours")
	first.Open(at).Sees("It is yours. Thank you")
	shop.Eventually(t, shop.Patience, func() (bool, string) { return reads(second, load[second], "Sold out") })
	scripted.Open(at + "/verify").Sees("Everything fits").Sees("Your own entry is number").Sees("Your place follows")
	scripted.Open("/drops").Sees("The drop of " + lamp.Name)
}

// TestDropAccessible: no barrier on the pages of drops, as they stand before, in and after the line.
func TestDropAccessible(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 6_250, 1), s.Register(t)
	at := "/drops/" + s.NewDrop(t, lamp, 1, time.Hour/2, 50*time.Minute, nil).Slug
	v := browser.Visit(t, s, 1280, 900)
	v.Accessible("/drops", at, at+"/verify", page(lamp), "/")
	open := "/drops/" + s.NewDrop(t, s.NewProduct(t, 1_250, 1), 1, 3*time.Second, 50*time.Minute, nil).Slug
	v.LoginAt(open, ann.Email, ann.Password)
	stage(v, "enter")
	v.Accessible(open)
	v.Open(open).Click(`section:not([hidden]) form[action$="/entry"] button`).At(open).Sees("You are in").Accessible(open)
	v.Until("one polite region, which says nothing of its own accord", `document.querySelector("#drop-said").textContent === ""`)
}

// TestDropStandstill: a page without scripts that was told to stays as it is.
func TestDropStandstill(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	at := "/drops/" + s.NewDrop(t, s.NewProduct(t, 1_250, 1), 1, 30*time.Minute, 50*time.Minute, nil).Slug
	v := browser.Visit(t, s, 390, 844).WithoutScripts()
	v.Open(at).There(`noscript a[href="` + at + `?still=1"]`).Click(`noscript a[href="` + at + `?still=1"]`).At(at + "?still=1")
	v.Sees("This page stays as it is")
}

// TestDropStates: no barrier on the page of a drop, however it stands for who looks. Of three, the first in the order comes when
// the second is called, too, and gives back what the second then buys; staff pause it meanwhile.
func TestDropStates(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	d := s.NewDrop(t, s.NewProduct(t, 6_250, 1), 1, time.Second, 12*time.Second, map[string]any{"grace_s": 15})
	people := []*shop.Client{s.Register(t), s.Register(t), s.Register(t)}
	tickets := map[*shop.Client]string{}
	for _, c := range people {
		tickets[c] = c.Enter(t, d)
	}
	place := func(c *shop.Client) (at *int) {
		return shop.Get[struct{ Position *int }](t, c, d.At+"/entry").Position
	}
	for _, c := range people {
		shop.Eventually(t, shop.Patience, func() (bool, string) { return place(c) != nil, "the order is not drawn yet" })
	}
	slices.SortFunc(people, func(a, b *shop.Client) int { return *place(a) - *place(b) })
	first, second, third := people[0], people[1], people[2]
	at := "/drops/" + d.Slug
	looks := func(c *shop.Client) *browser.Visitor {
		return browser.Visit(t, s, 390, 844).LoginAt(at, c.Email, c.Password)
	}
	three := looks(third)
	stage(three, "waiting")
	three.Clean()
	type status struct{ SKUs []struct{ Called int } }
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return shop.Get[status](t, s.Nobody(), d.At+"/status").SKUs[0].Called == 2, "the second is not called"
	})
	one := looks(first)
	stage(one, "turn")
	one.Clean().Click(`section:not([hidden]) form[action$="/claim"] button`).At(at)
	stage(one, "holding")
	one.Clean()
	stage(three, "all-held")
	three.Clean()
	second.AwaitClaim(t, d, tickets[second], 1).OK(t, 202)
	two := looks(second)
	stage(two, "standby")
	two.Clean()
	pause := func(method string) { s.Admin(t).Do(t, method, "/api/v1/admin/drops/"+d.ID+"/pause", nil).OK(t, 200) }
	pause("PUT")
	stage(three, "paused")
	three.Clean()
	pause("DELETE")
	first.PutAny(t, d.SKU, 0).OK(t, 200)
	stage(two, "offered")
	two.Clean().Click(`section:not([hidden]) form[action$="/claim"] button`).At(at)
	stage(two, "holding")
	second.Order(t, shop.Visa)
	stage(three, "sold-out")
	three.Clean()
	two.Open(at)
	stage(two, "bought")
	two.Clean()
	three.Open(at).Click(".drop-log summary").Sees("Paused").Sees("Resumed").Clean()
}

// TestDropLimit: who has bought as many as one may reads that their limit is used, not that it is sold out, and who was shut out
// why; at the end both read that it has ended. Somebody else enters, claims and comes to the checkout by the keyboard alone.
func TestDropLimit(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	p, ann, bob, eve := s.NewProduct(t, 6_250, 10), s.Register(t), s.Register(t), s.Register(t)
	p.Limit(t, 1)
	ann.Bought(t, p, 1)
	d := s.NewDrop(t, p, 5, 0, 4*time.Second, map[string]any{"preset": "first-come"})
	at := "/drops/" + d.Slug
	looks := func(c *shop.Client) *browser.Visitor {
		return browser.Visit(t, s, 390, 844).LoginAt(at, c.Email, c.Password)
	}
	keys := looks(bob)
	stage(keys, "late")
	keys.Clean()
	keys.TabTo(`form[action$="/entry"] button`).Press(kb.Enter)
	stage(keys, "turn")
	keys.TabTo(`form[action$="/claim"] button`).Press(kb.Enter)
	stage(keys, "holding")
	keys.TabTo(`a[href="/checkout"]`).Press(kb.Enter).At("/checkout").Sees(p.Name)

	ann.AwaitClaim(t, d, ann.Enter(t, d), 1).Refused(t, 409, "limit-reached")
	v := looks(ann)
	stage(v, "refused")
	v.Sees("You have as many of it as one shopper may").Clean()
	v.Click(`section:not([hidden]) form[action$="/claim"] button`).Sees("you already have 1 in your orders")
	stage(v, "refused")

	eve.Enter(t, d)
	idx := shop.Get[struct{ Idx int }](t, eve, d.At+"/entry").Idx
	s.Admin(t).Do(t, "PUT", fmt.Sprintf("/api/v1/admin/drops/%s/exclusions/%d", d.ID, idx), map[string]any{"reason": "a test"}).OK(t, 200)
	out := looks(eve)
	stage(out, "excluded")
	out.Sees("a test").Clean()
	d.End(t)
	stage(v, "closed")
	v.Clean()
}
