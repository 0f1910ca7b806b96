package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
)

// users is the neighbour that keeps addresses.
type users struct{ dapr *dapr.Client }

// address reads one of an account's addresses. Errors: ErrAddressNotFound.
func (u users) address(ctx context.Context, account uuid.UUID, id string) (Address, error) {
	var a Address
	err := u.dapr.Call(ctx, "users", http.MethodGet, "/internal/accounts/"+account.String()+"/addresses/"+url.PathEscape(id), nil, &a)
	return a, expect(err, ErrAddressNotFound)
}
