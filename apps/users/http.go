package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/postal"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

func (s *service) routes(api huma.API) {
	rest.Handle(api, rest.Op("GET", "/api/v1/users/me", "Read my profile", rest.User), s.getMe)
	rest.Handle(api, rest.Op("PATCH", "/api/v1/users/me", "Change my profile", rest.User), s.patchMe)
	rest.Handle(api, rest.Op("POST", "/api/v1/users/me/addresses", "Add an address", rest.User, rest.Status(http.StatusCreated),
		rest.Problems(ErrAddressBookFull)), s.addAddress)
	rest.Handle(api, rest.Op("PUT", "/api/v1/users/me/addresses/{id}", "Replace an address", rest.User,
		rest.Problems(ErrAddressNotFound)), s.putAddress)
	rest.Handle(api, rest.Op("DELETE", "/api/v1/users/me/addresses/{id}", "Remove an address", rest.User, rest.Status(http.StatusNoContent),
		rest.Problems(ErrAddressNotFound)), s.deleteAddress)
	rest.Handle(api, rest.Op("GET", "/api/v1/admin/users", "List shoppers", rest.Admin), s.list)
	rest.Handle(api, rest.Op("GET", "/api/v1/admin/users/{account_id}", "Read a shopper's profile", rest.Admin,
		rest.Problems(problem.ErrNotFound)), s.getUser)
	rest.Handle(api, rest.Op("GET", "/internal/accounts/{account_id}/addresses/{id}", "Read an address", rest.Neighbours("orders"),
		rest.Problems(ErrAddressNotFound)), s.getAddress)
}

type profileOutput struct{ Body Profile }

// mine makes sure that there is a profile: account.registered may be late, so
// the token's own claims will do. problem.ErrUnauthenticated when the account
// is gone, whose tokens live on for a while.
func (s *service) mine(ctx context.Context) (auth.Caller, error) {
	c := auth.Must(ctx)
	return c, s.store.ensure(ctx, stamped{AccountID: c.ID, Email: c.Email, FirstName: c.FirstName, LastName: c.LastName})
}

func (s *service) getMe(ctx context.Context, _ *struct{}) (*profileOutput, error) {
	p, err := s.store.profile(ctx, auth.Must(ctx).ID)
	if errors.Is(err, problem.ErrNotFound) { // account.registered may be late
		c, err := s.mine(ctx)
		if err != nil {
			return nil, err
		}
		p, err = s.store.profile(ctx, c.ID)
		return &profileOutput{p}, err
	}
	return &profileOutput{p}, err
}

type patchMeInput struct {
	Body struct {
		FirstName *string `json:"first_name,omitempty" text:"line" minLength:"1" maxLength:"100"`
		LastName  *string `json:"last_name,omitempty" text:"line" minLength:"1" maxLength:"100"`
		Phone     *string `json:"phone,omitempty" text:"line" maxLength:"40" doc:"In international form; empty removes it"`
	}
}

func (s *service) patchMe(ctx context.Context, in *patchMeInput) (*profileOutput, error) {
	change := profileChange{FirstName: in.Body.FirstName, LastName: in.Body.LastName}
	if in.Body.Phone != nil {
		change.SetPhone = true
		if *in.Body.Phone != "" {
			phone, err := postal.Phone(*in.Body.Phone, "")
			if err != nil {
				return nil, problem.InvalidField("body.phone", problem.CodeWrongFormat,
					"must be a telephone number in international form, for instance +44 20 7946 0000")
			}
			change.Phone = &phone
		}
	}
	c, err := s.mine(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.store.change(ctx, c.ID, change, s.now()); err != nil {
		return nil, err
	}
	p, err := s.store.profile(ctx, c.ID)
	return &profileOutput{p}, err
}

type addressOutput struct{ Body BookAddress }

type addAddressInput struct{ Body postal.Address }

func (s *service) addAddress(ctx context.Context, in *addAddressInput) (*addressOutput, error) {
	fields, err := in.Body.Check("body")
	if err != nil {
		return nil, err
	}
	c, err := s.mine(ctx)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	a := BookAddress{id, fields}
	if err := s.store.addAddress(ctx, c.ID, a, s.now()); err != nil {
		return nil, err
	}
	return &addressOutput{a}, nil
}

type putAddressInput struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body postal.Address
}

func (s *service) putAddress(ctx context.Context, in *putAddressInput) (*addressOutput, error) {
	fields, err := in.Body.Check("body")
	if err != nil {
		return nil, err
	}
	a := BookAddress{in.ID, fields}
	return &addressOutput{a}, s.store.putAddress(ctx, auth.Must(ctx).ID, a)
}

type addressInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (s *service) deleteAddress(ctx context.Context, in *addressInput) (*struct{}, error) {
	return nil, s.store.deleteAddress(ctx, auth.Must(ctx).ID, in.ID)
}

type userInput struct {
	AccountID uuid.UUID `path:"account_id" format:"uuid"`
}

// userOutput is a profile as the back office sees it.
type userOutput struct {
	Body struct {
		Profile
		Status string `json:"status" enum:"pending,active,suspended"`
	}
}

func (s *service) getUser(ctx context.Context, in *userInput) (*userOutput, error) {
	p, err := s.store.profile(ctx, in.AccountID)
	out := &userOutput{}
	out.Body.Profile, out.Body.Status = p, p.Status
	return out, err
}

type ownAddressInput struct {
	AccountID uuid.UUID `path:"account_id" format:"uuid"`
	ID        uuid.UUID `path:"id" format:"uuid"`
}

func (s *service) getAddress(ctx context.Context, in *ownAddressInput) (*addressOutput, error) {
	a, err := s.store.address(ctx, in.AccountID, in.ID)
	return &addressOutput{a}, err
}

type listInput struct {
	rest.Page
	Email  string `query:"email" maxLength:"254" doc:"How the e-mail address begins"`
	Query  string `query:"q" maxLength:"200" doc:"Part of the e-mail address or of the name"`
	Status string `query:"status" enum:"pending,active,suspended"`
	Sort   string `query:"sort" enum:"email,-email,name,-name,newest,oldest" default:"email" doc:"name: by the last name"`
}

type listOutput struct{ Body rest.List[listed] }

func (s *service) list(ctx context.Context, in *listInput) (*listOutput, error) {
	items, next, err := s.store.list(ctx, filter{Email: in.Email, Query: in.Query, Status: in.Status}, in.Sort, in.Page)
	return &listOutput{rest.List[listed]{Items: items, NextCursor: next}}, err
}
