package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/money"
)

// payments is the neighbour that takes money and gives it back.
type payments struct{ dapr *dapr.Client }

// charge is what payments answers when it is asked to give a charge up: what already happened.
type charge struct {
	OrderID uuid.UUID   `json:"order_id"`
	Status  string      `json:"status"` // captured, failed, voided (now or before), or unknown while the provider owes an answer
	Amount  money.Money `json:"amount"` // that was captured
	Reason  string      `json:"reason"` // of what failed
}

// void asks to give up the charges of orders.
func (p payments) void(ctx context.Context, orders []uuid.UUID) ([]charge, error) {
	in := struct {
		IDs []uuid.UUID `json:"ids"`
	}{orders}
	var out struct {
		Items []charge `json:"items"`
	}
	if err := p.dapr.Call(ctx, "payments", http.MethodPost, "/internal/charges/void", in, &out, dapr.Timeout(voidLimit)); err != nil {
		return nil, fmt.Errorf("void %d charges: %w", len(orders), err)
	}
	return out.Items, nil
}

// refunds reads what was given back, by cursor.
func (p payments) refunds() feed.Source {
	return feed.From(p.dapr, "payments", "/internal/refunds/made")
}
