package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestOrderAddress: a shopper sends an order somewhere else while that is possible; a refusal loses nothing that was typed.
func TestOrderAddress(t *testing.T) {
	t.Parallel()
	const read, put = "GET /api/v1/orders/{id}", "PUT /api/v1/orders/{id}/address"
	rt, s := newTest(t)
	status := func(status string) {
		servetest.Neighbour(t, rt, "orders", read, servetest.Answers(servetest.Like(t, "orders", read, map[string]any{
			"id": "01890000-0000-7000-8000-000000000001", "number": "S-1", "status": status,
			"address": map[string]any{"name": "Ada", "line1": "12 Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB"},
		})))
	}
	do := func(method string, form url.Values) (int, string) {
		handler := s.pages.Handle(s.getOrderAddress)
		if method == "POST" {
			handler = s.pages.Handle(s.postOrderAddress)
		}
		rec := send(t, s, handler, method, form)
		return rec.Code, rec.Body.String()
	}
	status("confirmed")
	code, body := do("GET", nil)
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `value="12 Square"`)
	require.Equal(t, 1, strings.Count(body, "<option value="), "the order's own country alone")

	form := url.Values{"name": {"Ada"}, "line1": {"1 High Street"}, "city": {"Bath"}, "postal_code": {"BA1 1AA"}, "country": {"GB"}}
	var sent map[string]string
	servetest.Neighbour(t, rt, "orders", put, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		servetest.Answers(servetest.Like(t, "orders", put, map[string]any{"number": "S-1"}))(w, r)
	})
	code, body = do("POST", form)
	require.Equal(t, http.StatusSeeOther, code, body)
	require.Equal(t, "1 High Street", sent["line1"])

	form.Set("postal_code", "x")
	code, body = do("POST", form)
	require.Equal(t, http.StatusUnprocessableEntity, code)
	require.Contains(t, body, `value="1 High Street"`)
	form.Set("postal_code", "BA1 1AA")
	servetest.Neighbour(t, rt, "orders", put, servetest.Refuses(problem.New(problem.Conflict, "order-other-country", "x")))
	code, body = do("POST", form)
	require.Equal(t, http.StatusConflict, code)
	require.Contains(t, body, "would cost something else")
	require.Contains(t, body, `value="1 High Street"`)
	servetest.Neighbour(t, rt, "orders", put, servetest.Refuses(problem.New(problem.Conflict, "order-address-fixed", "x")))
	status("shipped")
	code, body = do("POST", form)
	require.Equal(t, http.StatusConflict, code)
	require.Contains(t, body, "too late to change the address")
	code, _ = do("GET", nil)
	require.Equal(t, http.StatusSeeOther, code)
}
