package main

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/gather"
)

// carts is the neighbour that knows what an account is about to buy. It is asked at once for what is wanted at the same
// time.
type carts struct {
	dapr    *dapr.Client
	baskets *gather.Gatherer[uuid.UUID, basket]
}

func newCarts(sidecar *dapr.Client) carts {
	c := carts{dapr: sidecar}
	c.baskets = gather.New(gather.Settings[uuid.UUID]{}, c.readAll)
	return c
}

// read asks for an account's cart.
func (c carts) read(ctx context.Context, account uuid.UUID) (basket, error) {
	b, err := c.baskets.Do(ctx, account)
	if err != nil {
		return basket{}, expect(err)
	}
	if b.Since == uuid.Nil { // of a carts that does not tell yet
		b.Since = b.CheckoutID
	}
	return b, nil
}

func (c carts) readAll(ctx context.Context, accounts []uuid.UUID) ([]gather.Answer[basket], error) {
	if len(accounts) > 1 {
		return dapr.CallEach[uuid.UUID, basket](ctx, c.dapr, "carts", "/internal/carts", accounts)
	}
	var b basket
	err := c.dapr.Call(ctx, "carts", http.MethodGet, cartPath(accounts[0]), nil, &b)
	return []gather.Answer[basket]{{Value: b, Err: err}}, nil
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
