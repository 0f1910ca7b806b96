// Package scale runs the shop with several instances of its services and restarts them one at a time while people buy:
// nobody may notice. Its tests run alone, since what they restart is everybody's.
package scale

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// What is made two of and restarted: what holds state in its database, what everything goes through, an edge.
var scaled = []string{"orders", "inventory", "edge-auth"}

// dev does something to the stack, and logs how long that took.
func dev(t *testing.T, s *shop.Shop, args ...string) {
	t.Helper()
	begun := time.Now()
	out, err := s.Dev(t, args...)
	require.NoError(t, err, out)
	t.Logf("%s, %s\n%s", strings.Join(args, " "), time.Since(begun).Round(time.Millisecond), out)
}

// TestRestart buys without a pause while each instance of each of these is restarted. No request may fail, not one is
// sent again; each order is confirmed, and everything adds up.
func TestRestart(t *testing.T) {
	s := shop.Open(t)
	before := map[string]int{}
	for _, app := range scaled {
		dev(t, s, "scale", app, "2")
		for _, name := range []string{app, app + "-2"} {
			before[name] = s.PID(t, name)
		}
	}
	back := func() {
		for _, app := range scaled {
			dev(t, s, "scale", app, "1")
		}
	}
	defer func() {
		if t.Failed() {
			back()
		}
	}()

	p, crowd := s.NewProduct(t, 1_500, 100_000), s.Crowd(t, 6)
	orders := shop.WhileTheyBuy(t, crowd, p, nil, func() {
		for _, app := range scaled {
			dev(t, s, "restart", app)
		}
	})
	for name, pid := range before {
		require.NotEqual(t, pid, s.PID(t, name), "%s was not restarted", name)
	}
	p.AwaitStock(t, 100_000-orders, orders)
	s.Audit(t)

	back()
	for _, process := range s.Processes(t) {
		require.NotContains(t, process.Name, "-2")
	}
	crowd[0].Bought(t, p, 1)
}
