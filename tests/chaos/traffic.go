package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stampede-shop/stampede/tests/shop"
)

// market is what people buy, and what is written down about it.
type market struct {
	stack
	plenty  []*shop.Product // enough of each for everybody
	hot     []*shop.Product // a few: holds fight for them
	limited *shop.Product   // at most limit an account
	initial map[string]int  // units of each SKU that came in

	mu       sync.Mutex
	orders   []*placed
	counts   map[string]int
	breaches []string // answers that the API does not allow
}

const limit = 2 // of the limited product

// placed is an order that was answered 201.
type placed struct {
	ID, Number string
	who        *shopper
	lines      map[string]int
	total      shop.Money

	cancelled bool         // the cancellation was answered 202
	refunds   []shop.Money // that ops were answered 2xx
}

func (m *market) count(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[what]++
}

func (m *market) breach(format string, a ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.breaches = append(m.breaches, time.Now().UTC().Format("15:04:05 ")+fmt.Sprintf(format, a...))
}

// shopper is somebody with an account, who insists.
type shopper struct {
	*shop.Client
	*market
	r       *rand.Rand
	insists bool // what this one asks for has to be answered in the end

	key  sync.Mutex
	held string // access token
}

func (m *market) newShopper(c *shop.Client, seed, nth uint64) *shopper {
	return &shopper{Client: c, market: m, r: rand.New(rand.NewPCG(seed, 1+nth)), held: c.Token}
}

func (b *shopper) token() string {
	b.key.Lock()
	defer b.key.Unlock()
	return b.held
}

// renew gets another token when the one that was refused is still the latest.
func (b *shopper) renew(ctx context.Context, refused string) {
	b.key.Lock()
	defer b.key.Unlock()
	if b.held != refused {
		return
	}
	if token, err := b.Client.Renew(ctx); err == nil {
		b.held = token
	}
}

// once asks once, within 30 s. The error is one of transport.
func (b *shopper) once(ctx context.Context, method, path string, body any, headers ...string) (*shop.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	c := *b.Client
	c.Token = b.token()
	a, err := c.Send(ctx, method, path, body, headers...)
	if err == nil && a.Status == http.StatusUnauthorized {
		b.renew(ctx, c.Token)
	}
	return a, err
}

// ask asks again, with the same key and headers, as long as the shop cannot be reached or says that it is not available now. What
// it returns is an answer to the request; the error is that time is over.
func (b *shopper) ask(ctx context.Context, method, path string, body any, headers ...string) (*shop.Answer, error) {
	if method == "POST" {
		headers = append(headers, "Idempotency-Key", shop.Random())
	}
	for {
		a, err := b.once(ctx, method, path, body, headers...)
		if err == nil {
			if err := a.Check(); err != nil {
				b.breach("%s", err)
			}
			switch {
			case a.Status == 401 || a.Status == 429 || a.Status == 502 || a.Status == 503 || a.Status == 504:
			case a.Problem().Slug() == "request-in-progress":
			default:
				if a.Status == 500 {
					b.breach("%s: 500 %.500s", a.Request, a.Body)
				}
				return a, nil
			}
			b.count(fmt.Sprintf("asked again after %d", a.Status))
		} else {
			b.count("asked again after a broken connection")
		}
		if !wait(ctx, 200*time.Millisecond, 800*time.Millisecond) {
			if b.insists {
				b.breach("%s %s: no answer until the end: %v %v", method, path, a, err)
			}
			return nil, ctx.Err()
		}
	}
}

// wait lets some time pass; false when ctx ended first.
func wait(ctx context.Context, least, most time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(least + time.Duration(rand.Int64N(int64(most-least)))):
		return true
	}
}

// shopping buys until begin ends; what is begun then may go on until ctx ends.
func (b *shopper) shopping(begin, ctx context.Context, ops *shopper) {
	for begin.Err() == nil {
		b.visit(ctx, ops)
		wait(begin, 100*time.Millisecond, 900*time.Millisecond)
	}
}

// visit is one thing that a shopper wants, to its end.
func (b *shopper) visit(ctx context.Context, ops *shopper) {
	p := b.plenty[b.r.IntN(len(b.plenty))]
	switch n := b.r.IntN(10); {
	case n < 3:
		p = b.hot[b.r.IntN(len(b.hot))]
	case n < 4:
		p = b.limited
	}
	methods := []string{shop.Visa, shop.Visa, shop.Visa, shop.Visa, shop.Visa, shop.Declined, shop.Poor, shop.Slow, shop.Timeout, shop.Broken}
	method := methods[b.r.IntN(len(methods))]
	what := b.r.IntN(100)
	o := b.buy(ctx, p, 1+b.r.IntN(2), method)
	if o == nil {
		return
	}
	switch {
	case what < 12:
		b.cancel(ctx, o)
		return
	case what < 24: // changes the cart and orders again while the first order is pending
		b.buy(ctx, b.plenty[b.r.IntN(len(b.plenty))], 1, shop.Visa)
	}
	end := b.await(ctx, o)
	switch {
	case end == "cancelled payment-declined":
		if what%3 > 0 { // another card
			if cart, ok := b.cart(ctx); ok && len(cart.Lines) > 0 {
				b.order(ctx, cart, shop.Visa)
			}
		} else {
			b.clear(ctx)
		}
	case end != "confirmed":
	case what < 40:
		b.cancel(ctx, o)
	case what < 50:
		ops.refund(ctx, o, nil)
	case what < 62:
		part := o.total
		part.Amount = 1 + b.r.Int64N(part.Amount)
		ops.refund(ctx, o, &part)
	case what < 72:
		ops.ship(ctx, o)
	}
}

// buy puts units into the cart and orders; nil when that was refused.
func (b *shopper) buy(ctx context.Context, p *shop.Product, quantity int, method string) *placed {
	a, err := b.ask(ctx, "PUT", "/api/v1/cart/items/"+p.SKU, map[string]int{"quantity": quantity})
	if err != nil {
		return nil
	}
	if a.Status != 200 {
		b.refused("cart", a, "out-of-stock", "limit-reached")
		b.clear(ctx)
		return nil
	}
	var cart shop.Cart
	if err := json.Unmarshal(a.Body, &cart); err != nil {
		b.breach("%s: %s", a.Request, err)
		return nil
	}
	if len(cart.Lines) == 0 { // a hold that lapsed in this moment
		return nil
	}
	return b.order(ctx, cart, method)
}

func (b *shopper) order(ctx context.Context, cart shop.Cart, method string) *placed {
	o, refusal := b.place(ctx, cart, method)
	if refusal != nil {
		b.refused("order", refusal, "out-of-stock", "limit-reached", "already-ordered", "cart-empty", "price-changed")
		b.clear(ctx)
	}
	return o
}

// place orders a cart, or returns the refusal; neither when time is over.
func (b *shopper) place(ctx context.Context, cart shop.Cart, method string) (*placed, *shop.Answer) {
	a, err := b.ask(ctx, "POST", "/api/v1/orders", shop.OrderRequest{Address: &shop.Home, PaymentMethod: method, ExpectedTotal: cart.Total})
	if err != nil {
		return nil, nil
	}
	if a.Status != 201 {
		return nil, a
	}
	var o shop.Order
	if err := json.Unmarshal(a.Body, &o); err != nil {
		b.breach("%s: %s", a.Request, err)
		return nil, nil
	}
	taken := &placed{ID: o.ID, Number: o.Number, who: b, lines: map[string]int{}, total: o.Total}
	for _, l := range o.Lines {
		taken.lines[l.SKU] = l.Quantity
	}
	b.count("orders placed with " + method)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.orders = append(b.orders, taken)
	return taken, nil
}

func (b *shopper) refused(at string, a *shop.Answer, fine ...string) {
	slug := a.Problem().Slug()
	if a.Status != 409 || !slices.Contains(fine, slug) {
		b.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
	}
	b.count("refused at the " + at + ": " + slug)
}

func (b *shopper) cart(ctx context.Context) (cart shop.Cart, ok bool) {
	a, err := b.ask(ctx, "GET", "/api/v1/cart", nil)
	return cart, err == nil && a.Status == 200 && json.Unmarshal(a.Body, &cart) == nil
}

func (b *shopper) clear(ctx context.Context) {
	if a, err := b.ask(ctx, "DELETE", "/api/v1/cart", nil); err == nil && a.Status != 204 {
		b.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
	}
}

// await waits for an order's end.
func (b *shopper) await(ctx context.Context, o *placed) (ended string) {
	for {
		a, err := b.ask(ctx, "GET", "/api/v1/orders/"+o.ID+"?wait=5&since=1", nil)
		if err != nil {
			return ""
		}
		var order shop.Order
		if err := json.Unmarshal(a.Body, &order); err != nil || a.Status != 200 {
			b.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
			return ""
		}
		if order.Ended() {
			ended = order.Status
			if order.CancelReason != nil {
				ended += " " + *order.CancelReason
			}
			return ended
		}
	}
}

func (b *shopper) cancel(ctx context.Context, o *placed) {
	a, err := b.ask(ctx, "POST", "/api/v1/orders/"+o.ID+"/cancellation", map[string]string{"reason": "Changed my mind"})
	switch {
	case err != nil:
	case a.Status == 202:
		b.count("cancellations")
		b.mu.Lock()
		defer b.mu.Unlock()
		o.cancelled = true
	case a.Problem().Slug() == "order-not-cancellable": // declined, or given up meanwhile
		b.count("refused: order-not-cancellable")
	default:
		b.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
	}
}

// refund gives back a part, or all when amount is nil.
func (b *shopper) refund(ctx context.Context, o *placed, amount *shop.Money) {
	body := map[string]any{"reason": "A scratch"}
	gives := o.total
	if amount != nil {
		body["amount"], gives = amount, *amount
	}
	a, err := b.ask(ctx, "POST", "/api/v1/admin/payments/"+o.ID+"/refunds", body)
	switch {
	case err != nil:
	case a.Status/100 == 2:
		b.count("refunds")
		b.mu.Lock()
		defer b.mu.Unlock()
		o.refunds = append(o.refunds, gives)
	default:
		b.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
	}
}

func (b *shopper) ship(ctx context.Context, o *placed) {
	a, err := b.ask(ctx, "POST", "/api/v1/admin/orders/"+o.ID+"/shipment", map[string]any{
		"carrier": "Royal Mail", "tracking_number": "RM1", "although_refunded": true,
	})
	switch {
	case err != nil:
	case a.Status/100 == 2:
		b.count("shipments")
	default:
		b.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
	}
}

// restock brings in units of what is hot, again and again.
func (b *shopper) restock(begin, ctx context.Context) {
	for wait(begin, 4*time.Second, 6*time.Second) {
		p := b.hot[b.r.IntN(len(b.hot))]
		a, err := b.ask(ctx, "POST", "/api/v1/admin/inventory/"+p.SKU+"/movements", map[string]any{"delta": 3, "reason": "Found some"})
		switch {
		case err != nil:
		case a.Status/100 == 2:
			b.count("restocked")
			b.mu.Lock()
			b.initial[p.SKU] += 3
			b.mu.Unlock()
		default:
			b.breach("%s: %d %.500s", a.Request, a.Status, a.Body)
		}
	}
}

// tally lists what was counted.
func (m *market) tally() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(m.counts)) {
		fmt.Fprintf(&b, "%7d  %s\n", m.counts[what], what)
	}
	return b.String()
}
