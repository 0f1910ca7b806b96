package main

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/rest"
)

func (s *service) routes(api huma.API) {
	rest.Handle(api, rest.Op("GET", "/api/v1/drops", "List my entries", rest.User), s.list)
}

type listOutput struct {
	Body struct {
		Items []Entry `json:"items" nullable:"false"`
	}
}

func (s *service) list(ctx context.Context, _ *struct{}) (*listOutput, error) {
	items, err := s.store.list(ctx, auth.Must(ctx).ID)
	if err != nil {
		return nil, err
	}
	out := &listOutput{}
	out.Body.Items = items
	return out, nil
}
