package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// sendForm sends a form of one of our pages.
func sendForm(
	t *testing.T, do func(method, path string, body any, headers ...string) servetest.Response, path string, form url.Values,
) servetest.Response {
	t.Helper()
	return do("POST", path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", public)
}

// TestNotify: who does not want to wait before the page leaves an address, with and without an account.
func TestNotify(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	do := func(method, path string, body any, headers ...string) servetest.Response {
		return servetest.Do(t, rt, method, path, "", body, headers...)
	}
	servetest.Neighbour(t, rt, "products", "GET /api/v1/products/{slug}", servetest.Answers(aProduct(t, 9, 0)))
	body := string(do("GET", "/products/boot", nil).Body)
	require.Contains(t, body, `action="/products/boot/notify"`)
	require.Contains(t, body, `<option value="B">B</option>`)
	require.NotContains(t, body, `<option value="A">A</option>`, "there is some of it")
	require.Contains(t, body, `name="email"`)

	var sent map[string]string
	servetest.Neighbour(t, rt, "products", "POST /api/v1/stock-requests", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&sent)
		servetest.AnswersStatus(http.StatusAccepted, map[string]any{"state": "pending"})(w, r)
	})
	res := sendForm(t, do, "/products/boot/notify", url.Values{"sku": {"B"}, "email": {"ann@example.test"}})
	require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
	require.Equal(t, map[string]string{"sku": "B", "email": "ann@example.test"}, sent)
	require.Contains(t, string(res.Body), "Please look into your mail")

	for slug, want := range map[string]struct {
		status int
		says   string
	}{
		"too-many-stock-requests": {409, "so many things"},
		"in-stock":                {303, ""},
	} {
		servetest.Neighbour(t, rt, "products", "POST /api/v1/stock-requests", servetest.Refuses(problem.New(problem.Conflict, slug, "x")))
		res = sendForm(t, do, "/products/boot/notify", url.Values{"sku": {"B"}, "email": {"ann@example.test"}})
		require.Equal(t, want.status, res.Status)
		require.Contains(t, string(res.Body), want.says)
	}
	servetest.Neighbour(t, rt, "products", "POST /api/v1/stock-requests",
		servetest.Refuses(problem.InvalidField("body.email", problem.CodeWrongFormat, "is not an e-mail address")))
	res = sendForm(t, do, "/products/boot/notify", url.Values{"sku": {"B"}, "email": {"ann"}})
	require.Equal(t, http.StatusUnprocessableEntity, res.Status)
	require.Contains(t, string(res.Body), "Is not an e-mail address.")
	require.Contains(t, string(res.Body), `value="ann"`, "nothing typed is lost")
}

// TestRequestPage: a link in a mail changes nothing by being opened, since mail programs do that; the button does.
func TestRequestPage(t *testing.T) {
	t.Parallel()
	rt, _ := newTest(t)
	do := func(method, path string, body any, headers ...string) servetest.Response {
		return servetest.Do(t, rt, method, path, "", body, headers...)
	}
	id := uuid.NewString()
	const read = "GET /api/v1/stock-requests/{id}"
	state := func(s string) {
		servetest.Neighbour(t, rt, "products", read, servetest.Answers(servetest.Like(t, "products", read, map[string]any{
			"slug": "boot", "name": "Boot", "variant": "B", "state": s,
		})))
	}
	state("pending")
	page := do("GET", "/notify/"+id, nil)
	require.Equal(t, http.StatusOK, page.Status, "%s", page.Body)
	require.Contains(t, string(page.Body), "Yes, tell me")
	require.Contains(t, page.Header.Get("Cache-Control"), "no-store")
	confirmed, stopped := 0, 0
	servetest.Neighbour(t, rt, "products", "PUT /api/v1/stock-requests/{id}/confirmation", func(w http.ResponseWriter, r *http.Request) {
		confirmed++
		servetest.AnswersStatus(http.StatusNoContent, nil)(w, r)
	})
	servetest.Neighbour(t, rt, "products", "DELETE /api/v1/stock-requests/{id}", func(w http.ResponseWriter, r *http.Request) {
		stopped++
		servetest.AnswersStatus(http.StatusNoContent, nil)(w, r)
	})
	require.Equal(t, http.StatusForbidden, do("POST", "/notify/"+id, "stop=1", "Content-Type", "application/x-www-form-urlencoded").Status)
	require.Equal(t, http.StatusSeeOther, sendForm(t, do, "/notify/"+id, url.Values{}).Status)
	require.Equal(t, [2]int{1, 0}, [2]int{confirmed, stopped})
	state("told")
	require.Contains(t, string(do("GET", "/notify/"+id+"?stop=1", nil).Body), "No more mails?")
	require.Contains(t, string(sendForm(t, do, "/notify/"+id, url.Values{"stop": {"1"}}).Body), "You hear no more of this")
	require.Equal(t, [2]int{1, 1}, [2]int{confirmed, stopped})

	gone := servetest.Refuses(problem.New(problem.NotFound, "stock-request-not-found", "There is no such request"))
	servetest.Neighbour(t, rt, "products", read, gone)
	require.Contains(t, string(do("GET", "/notify/"+id, nil).Body), "You hear no more of this")
	servetest.Neighbour(t, rt, "products", read, servetest.IsAway)
	require.Equal(t, http.StatusServiceUnavailable, do("GET", "/notify/"+id, nil).Status)
}
