package main

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/text"
)

// What somebody is told who wants to hear that something is back.
var (
	ErrInStock         = problem.New(problem.Conflict, "in-stock", "It is in stock")
	ErrManyRequests    = problem.New(problem.Conflict, "too-many-stock-requests", "No more of these at a time")
	ErrRequestNotFound = problem.New(problem.NotFound, "stock-request-not-found", "There is no such request")
)

const (
	maxRequests = 50                   // that wait for one address
	pendingLife = 2 * 24 * time.Hour   // of one that nobody confirmed
	toldLife    = 30 * 24 * time.Hour  // of one that was answered: so long the link in the mail is good
	waitingLife = 365 * 24 * time.Hour // of any
	mailAgain   = 24 * time.Hour       // how seldom an address that confirmed nothing is written to
	tellAtOnce  = 200                  // who are told of one SKU at a time, in the order of their asking
	tellEvery   = 5 * time.Second
)

// RequestState is where a request stands.
type RequestState string

// A guest's request is pending until the address is confirmed; told ones are over.
const (
	RequestPending RequestState = "pending"
	RequestWaiting RequestState = "waiting"
	RequestTold    RequestState = "told"
)

// stockRequest is somebody's wish to hear by mail that a SKU is back.
type stockRequest struct {
	ID          uuid.UUID
	SKU         string
	Email       string
	AccountID   *uuid.UUID
	AskedAt     time.Time
	ConfirmedAt *time.Time
	ToldAt      *time.Time
}

// State tells where it stands.
func (r stockRequest) State() RequestState {
	switch {
	case r.ToldAt != nil:
		return RequestTold
	case r.ConfirmedAt != nil:
		return RequestWaiting
	}
	return RequestPending
}

// about is what is told of a request, for a variant as it is now.
func (r stockRequest) about(v variantRow, now time.Time) events.StockRequest {
	return events.StockRequest{
		RequestID: r.ID, Email: r.Email, SKU: v.SKU, Slug: v.Slug, Name: v.Name, Variant: Variant{Options: v.Options}.name(),
		ImageURL: v.picture(), At: now,
	}
}

const requestsPath = "/api/v1/stock-requests"

func (s *service) requestRoutes(api huma.API) {
	rest.Handle(api, rest.Op("POST", requestsPath, "Ask to hear by mail when a SKU is back", rest.Anyone, rest.Status(http.StatusAccepted),
		rest.Describe("With a token the account's address is meant. Without one a mail asks the address first, at most once a day, and "+
			"nothing else is sent to it before that is confirmed; the answer does not tell whether it was asked before."),
		rest.Problems(problem.ErrForbidden, ErrProductNotFound, ErrInStock, ErrManyRequests)), s.postRequest)
	rest.Handle(api, rest.Op("GET", requestsPath, "List what one waits for", rest.User), s.listRequests)
	rest.Handle(api, rest.Op("GET", requestsPath+"/{id}", "Read a request", rest.Anyone, rest.Problems(ErrRequestNotFound)), s.getRequest)
	rest.Handle(api, rest.Op("PUT", requestsPath+"/{id}/confirmation", "Confirm the address of a request, and of its others", rest.Anyone,
		rest.Status(http.StatusNoContent), rest.Problems(ErrRequestNotFound)), s.confirmRequest)
	rest.Handle(api, rest.Op("DELETE", requestsPath+"/{id}", "Forget the address of a request: it waits for nothing any more", rest.Anyone,
		rest.Status(http.StatusNoContent), rest.Problems(ErrRequestNotFound)), s.deleteRequest)
}

type postRequestInput struct {
	Body struct {
		SKU   string `json:"sku" minLength:"1" maxLength:"255"`
		Email string `json:"email,omitempty" maxLength:"254" example:"ann@example.test" doc:"Of somebody without a token"`
	}
}

type postRequestOutput struct {
	Body struct {
		State RequestState `json:"state" enum:"pending,waiting" doc:"pending: a mail asks whether the address wants it"`
	}
}

func (s *service) postRequest(ctx context.Context, in *postRequestInput) (*postRequestOutput, error) {
	r := stockRequest{ID: uuid.New(), SKU: in.Body.SKU, AskedAt: s.now()}
	if strings.ContainsFunc(r.SKU, unicode.IsControl) {
		return nil, ErrProductNotFound // no SKU has one
	}
	if c, ok := auth.From(ctx); ok {
		if !c.Has(auth.RoleUser) && !c.Has(auth.RoleAdmin) {
			return nil, problem.ErrForbidden
		}
		r.Email, r.AccountID, r.ConfirmedAt = c.Email, &c.ID, &r.AskedAt
	} else if r.Email, ok = text.Email(in.Body.Email); !ok {
		return nil, problem.InvalidField("body.email", problem.CodeWrongFormat, "is not an e-mail address")
	}
	out := &postRequestOutput{}
	out.Body.State = r.State()
	return out, s.store.ask(ctx, r)
}

// StockRequestView is a request as its owner sees it.
type StockRequestView struct {
	SKU     string       `json:"sku"`
	Slug    string       `json:"slug"`
	Name    string       `json:"name"`
	Variant string       `json:"variant" doc:"Which of the product's variants, such as 'M / Blue'; empty when there is but one"`
	State   RequestState `json:"state" enum:"pending,waiting,told"`
	AskedAt time.Time    `json:"asked_at"`
}

type requestPath struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"Known from the mail alone"`
}

type requestOutput struct{ Body StockRequestView }

type requestListOutput struct{ Body rest.List[StockRequestView] }

func (s *service) getRequest(ctx context.Context, in *requestPath) (*requestOutput, error) {
	found, err := s.viewRequests(ctx, byRequestID, in.ID)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrRequestNotFound
	}
	return &requestOutput{found[0]}, nil
}

// listRequests lists all of them: an address has no more than maxRequests.
func (s *service) listRequests(ctx context.Context, _ *struct{}) (*requestListOutput, error) {
	found, err := s.viewRequests(ctx, byAccount, auth.Must(ctx).ID)
	return &requestListOutput{rest.List[StockRequestView]{Items: found}}, err
}

func (s *service) viewRequests(ctx context.Context, by string, id uuid.UUID) ([]StockRequestView, error) {
	found, err := loadRequests(ctx, s.store.db, by, id)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(found))
	for _, r := range found {
		names = append(names, r.SKU)
	}
	variants, err := loadVariants(ctx, s.store.db, names)
	if err != nil {
		return nil, err
	}
	bySKU := map[string]variantRow{}
	for _, v := range variants {
		bySKU[v.SKU] = v
	}
	views := make([]StockRequestView, 0, len(found))
	for _, r := range found {
		v := bySKU[r.SKU]
		views = append(views, StockRequestView{
			SKU: r.SKU, Slug: v.Slug, Name: v.Name, Variant: Variant{Options: v.Options}.name(), State: r.State(), AskedAt: r.AskedAt.UTC(),
		})
	}
	return views, nil
}

func (s *service) confirmRequest(ctx context.Context, in *requestPath) (*struct{}, error) {
	return nil, s.store.confirm(ctx, in.ID, s.now())
}

func (s *service) deleteRequest(ctx context.Context, in *requestPath) (*struct{}, error) {
	return nil, s.store.forget(ctx, in.ID)
}
