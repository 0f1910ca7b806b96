package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
)

// home is where all parcels go.
var home = map[string]string{"name": "Ann Lee", "line1": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA", "country": "GB"}

// order buys one unit: into the cart, ordered for what the cart says that it
// costs, and awaited until it is confirmed, which means paid.
func (s *shop) order(ctx context.Context, who shopper, sku string) error {
	return s.buy(ctx, who, sku, func() {})
}

// buy is order, and calls placed when there is an order.
func (s *shop) buy(ctx context.Context, who shopper, sku string, placed func()) error {
	var cart struct {
		Total money `json:"total"`
	}
	if err := s.send(ctx, "PUT", "/api/v1/cart/items/"+sku, who.token, map[string]int{"quantity": 1}, &cart); err != nil {
		return err
	}
	var order struct {
		ID      string `json:"id"`
		Status  string `json:"status"`
		Version int    `json:"version"`
	}
	err := s.send(ctx, "POST", "/api/v1/orders", who.token, map[string]any{
		"address": home, "payment_method": "pm_card_visa", "expected_total": cart.Total,
	}, &order, "Idempotency-Key", rand.Text())
	if err != nil {
		return err
	}
	placed()
	for err == nil && order.Status == "pending" {
		err = s.send(ctx, "GET", fmt.Sprintf("/api/v1/orders/%s?wait=20&since=%d", order.ID, order.Version), who.token, nil, &order)
	}
	if err == nil && order.Status != "confirmed" {
		err = fmt.Errorf("the order is %s", order.Status)
	}
	return err
}

// orders measures orders by ever more clients.
func (b *bench) orders(ctx context.Context) error {
	b.used += 40
	closed(ctx, 4, b.limit, 40, func(ctx context.Context, n int) error { return b.shop.order(ctx, b.shopper(n), b.lamp(n).sku) }) // warm
	for _, clients := range b.clients {
		from := b.used
		r, err := b.measured(ctx, func(ctx context.Context) (*result, error) {
			stop := b.profiles(ctx)
			r := closed(ctx, clients, b.limit, b.most, func(ctx context.Context, n int) error {
				return b.shop.order(ctx, b.shopper(from+n), b.lamp(from+n).sku)
			})
			return r, stop()
		})
		if err != nil {
			return err
		}
		r.Name = "order"
		b.used += len(r.Times)
		b.keep("order", r)
		b.detail(r)
	}
	return nil
}

// detail shows what makes up an operation's cost.
func (b *bench) detail(r *result) {
	var parts []string
	for _, name := range r.Cost.processes() {
		if ms := r.Cost.per(r.Cost.Processor[name].Seconds() * 1000); ms >= 0.05 {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, ms))
		}
	}
	fmt.Printf("  ms on a processor: %s\n", strings.Join(parts, " · "))
	parts = nil
	for _, kind := range legKinds {
		if n := r.Cost.Legs[kind.name]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %.1f", kind.name, r.Cost.per(n)))
		}
	}
	fmt.Printf("  the sidecars counted: %s\n", strings.Join(parts, " · "))
	if b.top > 0 {
		b.listStatements(r)
	}
}
