package journeys

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// entry is a shopper's place in a drop.
type entry struct {
	Ticket   string
	Idx      int64
	Position *int64
}

// TestDrop takes a drop of two units, for which three people have come, from the back office to its proof.
func TestDrop(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ops, p, now := s.Admin(t), s.NewProduct(t, 5_000, 2), time.Now().UTC()
	slug := "drop-" + shop.Random()
	at := "/api/v1/drops/" + slug
	draft := map[string]any{
		"slug": slug, "title": "Two lamps", "preset": "queue", "zone": "Europe/London",
		"prequeue_at": now.Add(3 * time.Second), "opens_at": now.Add(12 * time.Second), "closes_at": now.Add(time.Hour),
		"lots": []any{map[string]any{"sku": p.SKU, "units": 2, "limit": 1}},
	}
	id := shop.Read[struct{ ID string }](t, ops.Do(t, "POST", "/api/v1/admin/drops", draft).OK(t, 201)).ID
	ops.Do(t, "POST", "/api/v1/admin/drops", draft).Refused(t, 409, "slug-taken")
	s.Nobody().Do(t, "GET", at+"/status", nil).Refused(t, 404, "drop-not-found") // a draft is nobody's business
	ops.Do(t, "POST", "/api/v1/admin/drops/"+id+"/schedule", nil).OK(t, 200)
	draft["title"] = "Another"
	delete(draft, "slug")
	ops.Do(t, "PUT", "/api/v1/admin/drops/"+id, draft).Refused(t, 409, "drop-state")

	wants := map[string]any{"skus": []string{p.SKU}, "quantity": 1}
	people := []*shop.Client{s.Register(t), s.Register(t), s.Register(t)}
	entries := make([]entry, len(people))
	for i, c := range people {
		shop.Eventually(t, shop.Patience, func() (bool, string) {
			a := c.Do(t, "POST", at+"/entry", wants)
			return a.Status == 201, string(a.Body) // drop-not-open until then
		})
		entries[i] = shop.Read[entry](t, c.Do(t, "POST", at+"/entry", wants).OK(t, 200)) // from another device
	}
	people[0].PutAny(t, p.SKU, 1).Refused(t, 403, "claim-required")

	type stands struct {
		State string
		N     *int64
	}
	status := func() stands { return shop.Get[stands](t, s.Nobody(), at+"/status") }
	shop.Eventually(t, shop.Patience, func() (bool, string) { return status().State == "open", status().State })
	require.EqualValues(t, 3, *status().N)
	var order []int64
	for i, c := range people {
		entries[i] = shop.Get[entry](t, c, at+"/entry")
		order = append(order, *entries[i].Position)
	}
	require.ElementsMatch(t, []int64{0, 1, 2}, order)
	turn := func(n int64) int { return slices.Index(order, n) } // whose it is
	claim := func(i int, ticket string) *shop.Answer {
		return people[i].Do(t, "POST", at+"/claim", map[string]any{"sku": p.SKU, "quantity": 1}, "Drop-Ticket", ticket)
	}
	first, second, third := turn(0), turn(1), turn(2)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := claim(first, entries[second].Ticket) // somebody else's
		if a.Status == 403 {
			a.Refused(t, 403, "ticket-invalid")
		}
		return a.Status == 403, string(a.Body) // not-called until then, whosever it is
	})
	for _, i := range []int{first, second} {
		shop.Eventually(t, shop.Patience, func() (bool, string) {
			a := claim(i, entries[i].Ticket)
			return a.Status == 201, string(a.Body) // not-called until then
		})
		people[i].Bought(t, p, 1)
	}
	shop.Eventually(t, shop.Patience, func() (bool, string) { return status().State == "sold_out", status().State })
	claim(third, entries[third].Ticket).OK(t, 409)                    // sold-out, or not-called by a gateway that was not told yet
	people[first].PutAny(t, p.SKU, 1).Refused(t, 409, "out-of-stock") // nothing is set aside any more, and nothing is left

	verify := exec.CommandContext(t.Context(), "go", "run", "./drop/verify", s.Base+at)
	verify.Dir, verify.Env = filepath.Join("..", ".."), append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	said, err := verify.CombinedOutput()
	require.NoError(t, err, "%s", said)
	require.Contains(t, string(said), "seed and all 3 positions recomputed")
}
