package journeys

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestDraw takes a draw of one unit, for which three people have come, from its drawing to its end: who is drawn is told by mail
// and gives the unit back, the runner-up is told and buys, and the third is told that it is over.
func TestDraw(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	p := s.NewProduct(t, 5_000, 1)
	d := s.NewDrop(t, p, 1, time.Second, 12*time.Second,
		map[string]any{"preset": "draw", "grace_s": 120, "notify": true, "tell_end": true})
	people := []*shop.Client{s.Register(t), s.Register(t), s.Register(t)}
	for _, c := range people {
		c.Enter(t, d)
		c.Do(t, "POST", d.At+"/entry", map[string]any{"skus": []string{p.SKU}, "quantity": 1, "tell": true}).OK(t, 200)
	}
	late := s.Register(t)

	type mine struct {
		Ticket   string
		Position *int64
		Claims   []struct{ State string }
	}
	entry := func(c *shop.Client) mine { return shop.Get[mine](t, c, d.At+"/entry") }
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		var order []int64
		for _, c := range people {
			if at := entry(c).Position; at != nil {
				order = append(order, *at)
			}
		}
		return len(order) == len(people), "the order is not drawn yet"
	})
	slices.SortFunc(people, func(a, b *shop.Client) int { return int(*entry(a).Position - *entry(b).Position) })
	drawn, next, third := people[0], people[1], people[2]
	turn := "It is your turn: The drop of " + p.Name
	drawn.AwaitMail(t, turn, 1).Shows(t, "/drops/"+d.Slug)
	late.Do(t, "POST", d.At+"/entry", map[string]any{"skus": []string{p.SKU}, "quantity": 1}).Refused(t, 409, "entry-closed")
	third.Claim(t, d, entry(third).Ticket, 1).Refused(t, 409, "not-called")
	require.NotContains(t, next.Subjects(t), turn)

	drawn.AwaitClaim(t, d, entry(drawn).Ticket, 1).OK(t, 201)
	drawn.Put(t, p, 1)
	drawn.Put(t, p, 0)
	next.AwaitMail(t, turn, 1).Shows(t, "/drops/"+d.Slug)
	require.NotContains(t, third.Subjects(t), turn)
	require.Equal(t, "offered", entry(next).Claims[0].State)
	next.AwaitClaim(t, d, entry(next).Ticket, 1).OK(t, 201)
	next.Bought(t, p, 1)

	third.AwaitMail(t, "The drop of "+p.Name+" is over", 1).Shows(t, "/drops/"+d.Slug+"/verify")
	require.NotContains(t, third.Subjects(t), turn)
	require.Equal(t, "bought", entry(next).Claims[0].State)
	p.AwaitStock(t, 0, 1)
}
