package main

import (
	"context"
	"net/http"

	"github.com/google/uuid"
)

// readCart asks carts what an account is about to buy.
func (s *service) readCart(ctx context.Context, account uuid.UUID) (basket, error) {
	var cart struct {
		CheckoutID uuid.UUID    `json:"checkout_id"`
		Since      uuid.UUID    `json:"since"`
		Ended      []uuid.UUID  `json:"ended"`
		Lines      []basketLine `json:"lines"`
	}
	if err := s.dapr.Call(ctx, "carts", http.MethodGet, cartPath(account), nil, &cart); err != nil {
		return basket{}, expect(err)
	}
	if cart.Since == uuid.Nil { // of a carts that does not tell yet
		cart.Since = cart.CheckoutID
	}
	return basket(cart), nil
}

// takeOut tells carts that a confirmed order of the account bought what may still be in the cart.
func (s *service) takeOut(ctx context.Context, account, order uuid.UUID) error {
	o, err := s.store.Get(ctx, order)
	if err != nil {
		return err
	}
	in := struct {
		CheckoutID uuid.UUID    `json:"checkout_id"`
		Lines      []basketLine `json:"lines"`
	}{CheckoutID: o.CheckoutID}
	for _, l := range o.Lines {
		in.Lines = append(in.Lines, basketLine{l.SKU, l.Quantity})
	}
	return expect(s.dapr.Call(ctx, "carts", http.MethodPut, cartPath(account)+"/orders/"+order.String(), in, nil))
}

func cartPath(account uuid.UUID) string { return "/internal/carts/" + account.String() }
