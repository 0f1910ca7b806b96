package shop

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// Drop is a drop that a test has made.
type Drop struct {
	ID, Slug string
	SKU      string // of its one lot
	At       string // where the API has it
	shop     *Shop
}

// NewDrop schedules a queue for units of a product, one an account: entries begin and it opens so long from now, and it closes in
// an hour. A draft is what staff say of it otherwise.
func (s *Shop) NewDrop(t testing.TB, p *Product, units int, prequeue, opens time.Duration, draft map[string]any) Drop {
	t.Helper()
	ops, now := s.Admin(t), time.Now().UTC().Truncate(time.Millisecond)
	d := Drop{Slug: "drop-" + Random(), SKU: p.SKU, shop: s}
	d.At = "/api/v1/drops/" + d.Slug
	in := map[string]any{
		"slug": d.Slug, "title": "The drop of " + p.Name, "preset": "queue", "zone": "Europe/London", "prequeue_at": now.Add(prequeue),
		"opens_at": now.Add(opens), "closes_at": now.Add(time.Hour),
		"lots": []any{map[string]any{"sku": p.SKU, "units": units, "limit": 1}},
	}
	maps.Copy(in, draft)
	if in["preset"] == "first-come" {
		delete(in, "prequeue_at")
	}
	d.ID = Read[struct{ ID string }](t, ops.Do(t, "POST", "/api/v1/admin/drops", in).OK(t, 201)).ID
	ops.Do(t, "POST", "/api/v1/admin/drops/"+d.ID+"/schedule", nil).OK(t, 200)
	Eventually(t, Patience, func() (bool, string) {
		a := s.Nobody().Do(t, "GET", d.At, nil)
		return a.Status == 200, string(a.Body)
	})
	return d
}

// End ends the drop before its time.
func (d Drop) End(t testing.TB) {
	t.Helper()
	d.shop.Admin(t).Do(t, "POST", "/api/v1/admin/drops/"+d.ID+"/end", nil).OK(t, 200)
}

// Enter enters the drop as soon as it can be entered, and returns the ticket.
func (c *Client) Enter(t testing.TB, d Drop) (ticket string) {
	t.Helper()
	wants := map[string]any{"skus": []string{d.SKU}, "quantity": 1}
	Eventually(t, Patience, func() (bool, string) {
		a := c.Do(t, "POST", d.At+"/entry", wants)
		if a.Status < 300 {
			ticket = Read[struct{ Ticket string }](t, a).Ticket
		}
		return ticket != "", string(a.Body)
	})
	return ticket
}

// Claim asks for units of the drop.
func (c *Client) Claim(t testing.TB, d Drop, ticket string, quantity int) *Answer {
	t.Helper()
	return c.Do(t, "POST", d.At+"/claim", map[string]any{"sku": d.SKU, "quantity": quantity}, "Drop-Ticket", ticket)
}

// AwaitClaim asks for units of the drop until it is the client's turn, as API clients do: the status by which gateways let claims
// through may be a second older than what mail or an entry tells, and each gateway has its own.
func (c *Client) AwaitClaim(t testing.TB, d Drop, ticket string, quantity int) (a *Answer) {
	t.Helper()
	Eventually(t, Patience, func() (bool, string) {
		a = c.Claim(t, d, ticket, quantity)
		return !slices.Contains([]string{"not-called", "too-many-requests"}, a.Problem().Slug()), "it is not called: " + string(a.Body)
	})
	return a
}
