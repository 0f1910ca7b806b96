package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
)

// orders is the neighbour that knows what became of an order.
type orders struct{ dapr *dapr.Client }

// statuses asks for the statuses of up to 200 orders; those that orders does not know are left out.
func (o orders) statuses(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	in := struct {
		IDs []uuid.UUID `json:"ids"`
	}{ids}
	var out struct {
		Items []struct {
			ID     uuid.UUID `json:"id"`
			Status string    `json:"status"`
		} `json:"items"`
	}
	if err := o.dapr.Call(ctx, "orders", http.MethodPost, "/internal/orders/status", in, &out); err != nil {
		return nil, fmt.Errorf("statuses of orders: %w", err)
	}
	statuses := make(map[uuid.UUID]string, len(out.Items))
	for _, item := range out.Items {
		statuses[item.ID] = item.Status
	}
	return statuses, nil
}
