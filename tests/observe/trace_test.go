package observe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// span is what Zipkin has of one; names are in small letters there.
type span struct {
	TraceID string `json:"traceId"`
	Name    string
	Local   struct{ ServiceName string } `json:"localEndpoint"`
	Tags    map[string]string
}

// traces asks Zipkin, which has nothing yet while it answers 404.
func (w watch) traces(t *testing.T, path string, out any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1:"+w.Port(9411)+"/api/v2/"+path, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != 404 {
		require.Equal(t, 200, resp.StatusCode, path)
		require.NoError(t, json.NewDecoder(resp.Body).Decode(out))
	}
}

// trace: one trace goes from the click to the mail, over every wait between them; a request id leads to it, and what is told
// of a refusal names it.
func (w watch) trace(t *testing.T, p *shop.Product, ann *shop.Client) {
	require.Equal(t, "1", w.Settings["TRACES_RATIO"], "every trace is kept")
	ann.Put(t, p, 1)
	order := shop.OrderRequest{Address: &shop.Home, PaymentMethod: shop.Visa, ExpectedTotal: shop.Pounds(1)}
	place := func() (id string, a *shop.Answer) {
		id = shop.Random()
		return id, ann.Do(t, "POST", "/api/v1/orders", order, "Idempotency-Key", shop.Random(), "X-Request-Id", id)
	}
	refusal, a := place()
	a.Refused(t, 409, "price-changed")
	told := shop.Read[struct {
		TraceID string `json:"trace_id"`
	}](t, a)
	order.ExpectedTotal = ann.Cart(t).Total
	click, a := place()
	ann.Await(t, shop.Read[shop.Order](t, a.OK(t, 201)).ID, "confirmed")

	// The service, and what its span's name has in it.
	wanted := []string{
		"edge-auth ", "orders post /api/v1/orders", "inventory order.confirmed.v1 process", "payments order.placed.v1 process",
		"orders payment.captured.v1 process", "mail order.confirmed.v1 process", "mail invokebinding",
	}
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		var found [][]span
		w.traces(t, "traces?limit=10&annotationQuery="+url.QueryEscape("request_id="+click), &found)
		if len(found) != 1 {
			return false, fmt.Sprintf("%d traces of one request", len(found))
		}
		var missing []string
		for _, want := range wanted {
			service, name, _ := strings.Cut(want, " ")
			is := func(s span) bool { return s.Local.ServiceName == service && strings.Contains(s.Name, name) }
			if !slices.ContainsFunc(found[0], is) {
				missing = append(missing, want)
			}
		}
		return len(missing) == 0, fmt.Sprintf("trace %s has no span of %q; it has %v", found[0][0].TraceID, missing, names(found[0]))
	})
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		var found []span
		w.traces(t, "trace/"+told.TraceID, &found)
		is := func(s span) bool { return s.Tags["request_id"] == refusal }
		return slices.ContainsFunc(found, is), fmt.Sprintf("request %s is not in %v", refusal, names(found))
	})
}

func names(spans []span) (list []string) {
	for _, s := range spans {
		list = append(list, s.Local.ServiceName+" "+s.Name)
	}
	return list
}
