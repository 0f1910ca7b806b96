package main

import (
	"context"
	"net/http"
	"net/url"

	"github.com/google/uuid"
)

// readAddress asks users for one of an account's addresses. Errors: ErrAddressNotFound.
func (s *service) readAddress(ctx context.Context, account uuid.UUID, id string) (Address, error) {
	var a Address
	err := s.dapr.Call(ctx, "users", http.MethodGet, "/internal/accounts/"+account.String()+"/addresses/"+url.PathEscape(id), nil, &a)
	return a, expect(err, ErrAddressNotFound)
}
