// Package swaps puts a shop through what a broker or a state store could spoil: it is run once for every pair of them,
// with nothing changed but the components. Its tests run one after another, since what they measure and break is
// everybody's.
//
// SWAPS_REPORT names a file that gets the figures, as JSON, for docs/swaps.md.
package swaps

import (
	"encoding/json"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// Figures are what one run of the suite measured.
type Figures struct {
	Broker        string        `json:"broker"`
	State         string        `json:"state"`
	Confirmed     time.Duration `json:"confirmed"`       // one order, from its placing, on an idle shop: the middle of nine
	OrdersASecond float64       `json:"orders_a_second"` // from the first request to the last confirmation
	RaceAnswered  time.Duration `json:"race_answered"`
	RaceConfirmed time.Duration `json:"race_confirmed"`
	BrokerKilled  time.Duration `json:"broker_killed"` // until the last of 30 orders ended
	ConsumerAway  time.Duration `json:"consumer_away"` // the same
	Total         time.Duration `json:"total"`         // the whole suite
}

var report Figures

func TestSuite(t *testing.T) {
	s := shop.Open(t)
	begun := time.Now()
	report.Broker, report.State = s.Plugged(t, "pubsub"), s.Plugged(t, "state")
	run := func(name string, f func(t *testing.T)) {
		require.True(t, t.Run(name, f), name)
	}

	run("buy", func(t *testing.T) {
		lamp, ann := s.NewProduct(t, 1_000, 20), s.Register(t)
		var took []time.Duration
		for range 9 {
			ann.Put(t, lamp, 1)
			order, placed := ann.Order(t, shop.Visa), time.Now()
			ann.Await(t, order.ID, "confirmed")
			took = append(took, time.Since(placed))
			ann.AwaitMail(t, "Your order "+order.Number+" is confirmed", 1)
			shop.Eventually(t, shop.Patience, func() (bool, string) { return len(ann.Cart(t).Lines) == 0, "the cart is not cleared" })
		}
		lamp.AwaitStock(t, 11, 9)
		report.Confirmed = middle(took)
	})
	run("cart outlives its service", func(t *testing.T) {
		lamp, guest := s.NewProduct(t, 1_000, 5), s.Guest()
		guest.Put(t, lamp, 2)
		out, err := s.Dev(t, "kill", "carts")
		require.NoError(t, err, out)
		out, err = s.Dev(t, "start", "carts")
		require.NoError(t, err, out)
		shop.Eventually(t, shop.Patience, func() (bool, string) {
			a := guest.Do(t, "GET", "/api/v1/cart", nil)
			if a.Status != 200 {
				return false, string(a.Body)
			}
			require.Equal(t, 2, shop.Read[shop.Cart](t, a).Line(lamp.SKU).Quantity)
			return true, ""
		})
	})
	run("decline", func(t *testing.T) {
		lamp, ann := s.NewProduct(t, 1_000, 3), s.Register(t)
		order := ann.Await(t, ann.Buy(t, lamp, 3, shop.Declined).ID, "cancelled")
		require.Equal(t, "payment-declined", *order.CancelReason)
		lamp.AwaitStock(t, 0, 0)
		require.Equal(t, 3, ann.Cart(t).Line(lamp.SKU).Quantity, "the cart keeps its lines")
		shop.Eventually(t, shop.Patience, func() (bool, string) {
			return ann.Cart(t).Line(lamp.SKU).HoldExpiresAt != nil, "the cart does not hold them again"
		})
	})
	run("cancel and refund", func(t *testing.T) {
		lamp, ann := s.NewProduct(t, 1_000, 3), s.Register(t)
		order := ann.Bought(t, lamp, 2)
		ann.Cancel(t, order.ID).OK(t, 202)
		ann.AwaitOrder(t, order.ID, "refunded", func(o shop.Order) bool { return o.Status == "cancelled" && o.Payment.Status == "refunded" })
		lamp.AwaitStock(t, 3, 0)
		ann.AwaitMail(t, "Your order "+order.Number+" was cancelled", 1)
	})
	run("picture", func(t *testing.T) {
		ops, lamp := s.Admin(t), s.NewProduct(t, 1_000, 2)
		svg := `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><rect width="4" height="4" fill="#c0ffee"/><title>` + shop.Random() + `</title></svg>`
		ops.Do(t, "POST", "/api/v1/admin/products/"+lamp.ID+"/images?alt=A+lamp", shop.Raw{Type: "image/svg+xml", Body: []byte(svg)}).OK(t, 201)
		var image string
		shop.Eventually(t, shop.Patience, func() (bool, string) {
			if page := shop.Get[shop.Page](t, s.Nobody(), "/api/v1/products/"+lamp.Slug); page.ImageURL != nil {
				image = *page.ImageURL
			}
			return image != "", "the page shows no picture"
		})
		a, err := s.Nobody().Send(t.Context(), "GET", image, nil)
		require.NoError(t, err)
		require.Equal(t, 200, a.Status, image)
		require.Contains(t, a.Header.Get("Content-Type"), "image/svg+xml")
		require.Equal(t, svg, string(a.Body))
	})
	run("race", func(t *testing.T) {
		went := s.Race(t, 80, 20)
		report.RaceAnswered, report.RaceConfirmed = went.Answered, went.Confirmed
	})
	run("many orders", func(t *testing.T) {
		const orders = 100
		went := shop.Storm{Orders: orders, Before: orders}.Blow(t, s, func(happened func()) { happened() })
		report.OrdersASecond = orders / went.Ended.Seconds()
	})
	run("broker killed", func(t *testing.T) {
		went := shop.Storm{Orders: 30, Before: 10, During: 10}.Blow(t, s, func(happened func()) {
			defer happened()
			s.Kill(t, s.Broker(t))
		})
		report.BrokerKilled = went.Ended
	})
	run("consumer away", func(t *testing.T) {
		went := shop.Storm{Orders: 30, Before: 10, During: 10}.Blow(t, s, func(happened func()) {
			s.Away(t, "payments", 20*time.Second, happened)
		})
		report.ConsumerAway = went.Ended
	})
	s.Audit(t)

	report.Total = time.Since(begun)
	t.Logf("%+v", report)
	write(t, report)
}

// Switch is what TestSwitch measured.
type Switch struct {
	From    string        `json:"from"`
	To      string        `json:"to"`
	Took    time.Duration `json:"took"`    // make up, whole
	Longest time.Duration `json:"longest"` // the longest that one order took meanwhile: how long nobody could order
	Orders  int           `json:"orders"`
}

// TestSwitch changes the broker of a shop that sells, to what SWITCH_TO says as SWAP does: whoever comes meanwhile is
// told to try again, every order ends, and everything adds up.
func TestSwitch(t *testing.T) {
	to := os.Getenv("SWITCH_TO")
	if to == "" {
		t.Fatal("SWITCH_TO is not set: make swaps sets it")
	}
	s := shop.Open(t)
	went := Switch{From: s.Plugged(t, "pubsub")}
	lamp, crowd := s.NewProduct(t, 1_000, 5_000), make(chan *shop.Client, 240)
	for _, c := range s.Crowd(t, cap(crowd)) {
		crowd <- c
	}
	close(crowd)
	t.Setenv("SWAP", to)
	over := make(chan struct{})
	go func() {
		defer close(over)
		begun := time.Now()
		out, err := s.Dev(t, "up")
		if err != nil {
			t.Errorf("%s", out)
		}
		went.Took = time.Since(begun)
	}()
	var mu sync.Mutex
	orders := map[string]*shop.Client{}               // who has placed them
	shop.Each(t, make([]int, 4), 4, func(int) error { // four queues at the till
		for last := false; !last; {
			select {
			case <-over:
				last = true // one more, on the new broker
			case <-time.After(250 * time.Millisecond): // a shopper's pace
			}
			c, more := <-crowd
			if !more {
				return nil // they have all ordered
			}
			begun := time.Now()
			id, _, err := c.Insist(t.Context(), lamp, shop.Visa)
			if err != nil {
				return err
			}
			mu.Lock()
			orders[id], went.Longest = c, max(went.Longest, time.Since(begun))
			mu.Unlock()
		}
		return nil
	})
	for id, c := range orders {
		c.Await(t, id, "confirmed")
	}
	went.To, went.Orders = s.Plugged(t, "pubsub"), len(orders)
	require.NotEqual(t, went.From, went.To)
	lamp.AwaitStock(t, 5_000-len(orders), len(orders))
	s.Audit(t)
	t.Logf("%+v", went)
	write(t, went)
}

// write keeps figures for docs/swaps.md.
func write(t *testing.T, figures any) {
	t.Helper()
	file := os.Getenv("SWAPS_REPORT")
	if file == "" {
		return
	}
	text, err := json.Marshal(figures)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o644))
}

func middle(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
