package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
)

// auth is the neighbour that knows whose an e-mail address is.
type auth struct{ dapr *dapr.Client }

// owners reads which of some e-mail addresses are proved to be an account's, and whose.
func (a auth) owners(ctx context.Context, emails []string) (map[string]uuid.UUID, error) {
	in := struct {
		Emails []string `json:"emails"`
	}{emails}
	var out struct {
		Items []struct {
			Email     string    `json:"email"`
			AccountID uuid.UUID `json:"account_id"`
		} `json:"items"`
	}
	if err := a.dapr.Call(ctx, "auth", http.MethodPost, "/internal/accounts/owners", in, &out); err != nil {
		return nil, fmt.Errorf("owners of %d addresses: %w", len(emails), err)
	}
	owners := map[string]uuid.UUID{}
	for _, o := range out.Items {
		owners[o.Email] = o.AccountID
	}
	return owners, nil
}
