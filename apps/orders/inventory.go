package main

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/gather"
)

// inventory is the neighbour that holds stock. It is asked at once for what is wanted at the same time.
type inventory struct {
	dapr  *dapr.Client
	holds *gather.Gatherer[orderHold, struct{}]
}

func newInventory(sidecar *dapr.Client) inventory {
	i := inventory{dapr: sidecar}
	i.holds = gather.New(gather.Settings[orderHold]{}, i.holdAll)
	return i
}

// holdRequest asks for the lines of an order: the account's own holds first, then free stock. What is still held for
// the order that was declined before goes back to the account's own holds first.
type holdRequest struct {
	Shopper   string       `json:"shopper"`
	Lines     []basketLine `json:"lines"`
	InsteadOf *uuid.UUID   `json:"instead_of,omitempty"`
}

// orderHold is the request of one of several orders.
type orderHold struct {
	OrderID uuid.UUID `json:"order_id"`
	holdRequest
}

// hold asks for the lines for an attempt's order id. Errors: ErrOutOfStock with its lines,
// ErrLimitReached with sku, limit and available, ErrClaimRequired with sku and available.
func (i inventory) hold(ctx context.Context, a attempt, lines []basketLine) error {
	_, err := i.holds.Do(ctx, holdOf(a, lines))
	return expectHold(err)
}

func holdOf(a attempt, lines []basketLine) orderHold {
	return orderHold{a.OrderID, holdRequest{"account:" + a.Account.String(), lines, a.InsteadOf}}
}

func expectHold(err error) error {
	return expect(err, ErrOutOfStock, ErrLimitReached, ErrClaimRequired)
}

func (i inventory) holdAll(ctx context.Context, all []orderHold) ([]gather.Answer[struct{}], error) {
	if len(all) > 1 {
		return dapr.CallEach[orderHold, struct{}](ctx, i.dapr, "inventory", "/internal/order-holds", all)
	}
	err := i.dapr.Call(ctx, "inventory", http.MethodPut, holdPath(all[0].OrderID), all[0].holdRequest, nil)
	return []gather.Answer[struct{}]{{Err: err}}, nil
}

// release tells that an order id will never be an order.
func (i inventory) release(ctx context.Context, order uuid.UUID) error {
	return i.dapr.Call(ctx, "inventory", http.MethodDelete, holdPath(order), nil, nil)
}

func holdPath(order uuid.UUID) string { return "/internal/orders/" + order.String() + "/hold" }
