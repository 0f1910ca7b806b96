package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
)

// charge is what payments answers when it is asked to give a charge up: what already happened.
type charge struct {
	OrderID uuid.UUID   `json:"order_id"`
	Status  string      `json:"status"` // captured, failed, voided (now or before), or unknown while the provider owes an answer
	Amount  money.Money `json:"amount"` // that was captured
	Reason  string      `json:"reason"` // of what failed
}

// voidCharges asks payments to give up the charges of orders.
func (s *service) voidCharges(ctx context.Context, orders []uuid.UUID) ([]charge, error) {
	in := struct {
		IDs []uuid.UUID `json:"ids"`
	}{orders}
	var out struct {
		Items []charge `json:"items"`
	}
	if err := s.dapr.Call(ctx, "payments", http.MethodPost, "/internal/charges/void", in, &out, dapr.Timeout(voidLimit)); err != nil {
		return nil, fmt.Errorf("void %d charges: %w", len(orders), err)
	}
	return out.Items, nil
}
