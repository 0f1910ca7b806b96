package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
)

type order struct {
	ID      string      `json:"id"`
	Number  string      `json:"number"`
	Status  string      `json:"status"`
	Email   string      `json:"email"`
	Total   money.Money `json:"total"`
	Payment struct {
		Status string `json:"status"`
	} `json:"payment"`
	CreatedAt time.Time `json:"created_at"`
}

type orderList struct {
	Items      []order `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// listOrders asks orders with the caller's own token: orders checks the role
// again.
func (s *service) listOrders(ctx context.Context, token string, query url.Values) (orderList, error) {
	var out orderList
	err := s.dapr.Call(ctx, "orders", http.MethodGet, "/api/v1/admin/orders?"+query.Encode(), nil, &out, dapr.Token(token))
	return out, err
}
