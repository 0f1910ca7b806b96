package main

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
)

// carts is the neighbour that knows what an account is about to buy.
type carts struct{ dapr *dapr.Client }

// read asks for an account's cart.
func (c carts) read(ctx context.Context, account uuid.UUID) (basket, error) {
	var b basket
	if err := c.dapr.Call(ctx, "carts", http.MethodGet, cartPath(account), nil, &b); err != nil {
		return basket{}, expect(err)
	}
	if b.Since == uuid.Nil { // of a carts that does not tell yet
		b.Since = b.CheckoutID
	}
	return b, nil
}

// takeOut tells that a confirmed order bought what may still be in the account's cart.
func (c carts) takeOut(ctx context.Context, o *Order) error {
	in := struct {
		CheckoutID uuid.UUID    `json:"checkout_id"`
		Lines      []basketLine `json:"lines"`
	}{CheckoutID: o.CheckoutID}
	for _, l := range o.Lines {
		in.Lines = append(in.Lines, basketLine{l.SKU, l.Quantity})
	}
	return expect(c.dapr.Call(ctx, "carts", http.MethodPut, cartPath(o.AccountID)+"/orders/"+o.ID.String(), in, nil))
}

func cartPath(account uuid.UUID) string { return "/internal/carts/" + account.String() }
