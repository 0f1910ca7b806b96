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
		Lines      []basketLine `json:"lines"`
	}
	if err := s.dapr.Call(ctx, "carts", http.MethodGet, "/internal/carts/"+account.String(), nil, &cart); err != nil {
		return basket{}, expect(err)
	}
	return basket{CheckoutID: cart.CheckoutID, Lines: cart.Lines}, nil
}
