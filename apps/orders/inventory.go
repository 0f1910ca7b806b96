package main

import (
	"context"
	"net/http"

	"github.com/google/uuid"
)

// holdStock asks inventory to hold the lines for an order id: the account's own holds first, then free stock.
// Errors: ErrOutOfStock with its lines.
func (s *service) holdStock(ctx context.Context, order, account uuid.UUID, lines []basketLine) error {
	body := struct {
		Shopper string       `json:"shopper"`
		Lines   []basketLine `json:"lines"`
	}{"account:" + account.String(), lines}
	return expect(s.dapr.Call(ctx, "inventory", http.MethodPut, holdPath(order), body, nil), ErrOutOfStock)
}

// releaseStock tells inventory that an order id will never be an order.
func (s *service) releaseStock(ctx context.Context, order uuid.UUID) error {
	return s.dapr.Call(ctx, "inventory", http.MethodDelete, holdPath(order), nil, nil)
}

func holdPath(order uuid.UUID) string { return "/internal/orders/" + order.String() + "/hold" }
