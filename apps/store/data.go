package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

// maxPages bounds how much of a list is asked for at a time: 10,000 orders, or logins.
const maxPages = 100

// ownData is all that the shop keeps of a shopper by name, as its services tell it (GDPR, articles 15 and 20).
type ownData struct {
	Profile json.RawMessage   `json:"profile"`
	Orders  []json.RawMessage `json:"orders"`
	Past    []json.RawMessage `json:"orders_of_the_shop_before"`
	Logins  []json.RawMessage `json:"logins"`
	Waiting []json.RawMessage `json:"waits_for_stock"`
}

// getData answers with a file of what the shop keeps of the shopper: all of it, or a problem.
func (s *service) getData(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	var data ownData
	var err error
	if data.Profile, err = get[json.RawMessage](r.Context(), s, "users", "/api/v1/users/me", nil); err != nil {
		return nil, err
	}
	if data.Orders, err = s.all(r.Context(), "orders", "/api/v1/orders"); err != nil {
		return nil, err
	}
	if data.Past, err = s.all(r.Context(), "orders", "/api/v1/orders/imported"); err != nil {
		return nil, err
	}
	if data.Logins, err = s.all(r.Context(), "auth", "/api/v1/auth/login-history"); err != nil {
		return nil, err
	}
	waits, err := get[items[json.RawMessage]](r.Context(), s, "products", "/api/v1/stock-requests", nil) // 50 at most
	if err != nil {
		return nil, err
	}
	data.Waiting = waits.Items
	body, err := json.MarshalIndent(data, "", "  ")
	if err != nil {
		return nil, err
	}
	return func(_ *page.Pages, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Disposition", `attachment; filename="stampede-data.json"`)
		_, _ = w.Write(body)
	}, nil
}

// all reads a list to its end.
func (s *service) all(ctx context.Context, app, path string) ([]json.RawMessage, error) {
	found := []json.RawMessage{}
	query := url.Values{"limit": {"100"}}
	for range maxPages {
		next, err := get[items[json.RawMessage]](ctx, s, app, path, query)
		if err != nil {
			return nil, err
		}
		found = append(found, next.Items...)
		if next.NextCursor == nil {
			return found, nil
		}
		query.Set("cursor", *next.NextCursor)
	}
	return nil, problem.ErrUnavailable.Detail("There is more than fits into one file. Please write to us.")
}
