package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"
)

// voidCharge asks payments to give up the charge of an order. The answer is what already happened: captured, failed,
// voided (now or before), or unknown while the provider owes an answer.
func (s *service) voidCharge(ctx context.Context, order uuid.UUID) (string, error) {
	var answer struct {
		Status string `json:"status"`
	}
	if err := s.dapr.Call(ctx, "payments", http.MethodPut, "/internal/charges/"+order.String()+"/void", nil, &answer); err != nil {
		return "", fmt.Errorf("void the charge of %s: %w", order, err)
	}
	return answer.Status, nil
}
