package main

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
)

// inventory is the neighbour that holds stock.
type inventory struct{ dapr *dapr.Client }

// holdRequest asks for the lines of an order: the account's own holds first, then free stock. What is still held for
// the order that was declined before goes back to the account's own holds first.
type holdRequest struct {
	Shopper   string       `json:"shopper"`
	Lines     []basketLine `json:"lines"`
	InsteadOf *uuid.UUID   `json:"instead_of,omitempty"`
}

// hold asks for the lines for an attempt's order id. Errors: ErrOutOfStock with its lines,
// ErrLimitReached with sku, limit and available.
func (i inventory) hold(ctx context.Context, a attempt, lines []basketLine) error {
	return expectHold(i.dapr.Call(ctx, "inventory", http.MethodPut, holdPath(a.OrderID), holdRequestOf(a, lines), nil))
}

func holdRequestOf(a attempt, lines []basketLine) holdRequest {
	return holdRequest{"account:" + a.Account.String(), lines, a.InsteadOf}
}

func expectHold(err error) error { return expect(err, ErrOutOfStock, ErrLimitReached) }

// release tells that an order id will never be an order.
func (i inventory) release(ctx context.Context, order uuid.UUID) error {
	return i.dapr.Call(ctx, "inventory", http.MethodDelete, holdPath(order), nil, nil)
}

func holdPath(order uuid.UUID) string { return "/internal/orders/" + order.String() + "/hold" }
