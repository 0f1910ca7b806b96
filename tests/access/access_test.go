// Package access asks for every route of every service as somebody who may not have what it gives.
package access

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

const nobodys = "01890000-0000-7000-8000-000000000000" // an id that nothing has

// values are what the names in paths stand for: things of ann's where there are any.
func values(t *testing.T, s *shop.Shop, ann *shop.Client) map[string]map[string]string {
	t.Helper()
	lamp := s.NewProduct(t, 1_000, 5)
	order := ann.Bought(t, lamp, 1)
	address := shop.Read[shop.Address](t, ann.Do(t, "POST", "/api/v1/users/me/addresses", shop.Home).OK(t, 201))
	any := map[string]string{
		"account_id": ann.Account, "order_id": order.ID, "sku": lamp.SKU, "slug": lamp.Slug, "image_id": nobodys,
		"kind": "welcome", "provider": "sandbox", "topic": "order.placed.v1", "consumer": "orders", "event_id": nobodys, "code": "NONE",
		"holder": "account:" + ann.Account, "idx": "0",
	}
	with := func(id string) map[string]string {
		m := map[string]string{"id": id}
		for k, v := range any {
			m[k] = v
		}
		return m
	}
	return map[string]map[string]string{"orders": with(order.ID), "users": with(address.ID), "products": with(lamp.ID), "": with(nobodys)}
}

func fill(t *testing.T, r shop.Route, known map[string]map[string]string) string {
	t.Helper()
	v, ok := known[r.App]
	if !ok {
		v = known[""]
	}
	path := r.Fill(v)
	require.NotContains(t, path, "{", "say in values what stands for it")
	return path
}

// earlier are the routes that answer before anybody looks at a token, and with what here: how a drop stands is the same for
// everybody, and a claim is refused by its ticket first.
var earlier = map[string]string{"GET /api/v1/drops/{slug}/status": "drop-not-found", "POST /api/v1/drops/{slug}/claim": "ticket-invalid"}

// TestTokens goes through all routes without a token and with bad ones.
func TestTokens(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann := s.Register(t)
	known := values(t, s, ann)
	routes := s.Routes(t)
	require.Greater(t, len(routes), 40)

	expired := s.ShortLived(t, ann)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return expired.Do(t, "GET", "/api/v1/auth/verify-token", nil).Status == 401, "the token is good although it lived for a second"
	})
	as := func(token string) *shop.Client { return &shop.Client{Shop: s, Token: token} }
	bad := map[string]*shop.Client{
		"expired": expired, "garbage": as("garbage"), "unsigned": as(unsigned(t, ann.Token)), "altered": as(altered(t, ann.Token)),
		"refresh": as(ann.Refresh), "three words": as("a b c"),
	}
	for _, r := range routes {
		t.Run(name(r), func(t *testing.T) {
			path := fill(t, r, known)
			var body any
			if r.Body {
				body = map[string]any{}
			}
			for why, c := range bad {
				a := c.Do(t, r.Method, path, body)
				if slug, ok := earlier[r.Name()]; ok {
					require.Equal(t, slug, a.Problem().Slug(), why)
					continue
				}
				require.Equal(t, 401, a.Status, "a token that is %s: %s", why, a.Body)
				require.Equal(t, "unauthenticated", a.Problem().Slug(), why)
			}
			a := s.Nobody().Do(t, r.Method, path, body)
			if slug, ok := earlier[r.Name()]; ok {
				require.Equal(t, slug, a.Problem().Slug())
			} else if r.User {
				a.Refused(t, 401, "unauthenticated")
			} else {
				require.NotEqual(t, 401, a.Status, "%s", a.Body)
				require.NotEqual(t, 403, a.Status, "%s", a.Body)
				require.Less(t, a.Status, 500, "%s", a.Body)
			}
		})
	}
	// Nothing has changed.
	require.Len(t, shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Addresses, 1)
	orders := shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders").Items
	require.Len(t, orders, 1)
	require.Equal(t, "confirmed", orders[0].Status)
}

// own are the routes that give a shopper only what is theirs, whoever asks: nothing in them names somebody else's.
var own = map[string]bool{
	"GET /api/v1/auth/login-history": true, "GET /api/v1/auth/verify-token": true, "POST /api/v1/auth/password/change": true,
	"POST /api/v1/auth/email/change": true, "POST /api/v1/auth/email/verify": true, "POST /api/v1/auth/deletion": true,
	"GET /api/v1/users/me": true, "PATCH /api/v1/users/me": true, "POST /api/v1/users/me/addresses": true,
	"GET /api/v1/orders": true, "GET /api/v1/orders/imported": true, "POST /api/v1/orders": true, "POST /api/v1/cart/merge": true,
	"GET /api/v1/stock-requests": true, "POST /api/v1/drops/{slug}/entry": true, "GET /api/v1/drops/{slug}/entry": true,
	"DELETE /api/v1/drops/{slug}/entry": true, "GET /api/v1/drops/{slug}/entry/proof": true,
	"POST /api/v1/drops/{slug}/entry/more-time": true, "POST /api/v1/drops/{slug}/claim": true,
}

// TestOthers asks for ann's things with bob's token, and for the administrators' too.
func TestOthers(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ann, bob := s.Register(t), s.Register(t)
	known := values(t, s, ann)
	for _, r := range s.Routes(t) {
		if !r.User || own[r.Name()] {
			continue
		}
		t.Run(name(r), func(t *testing.T) {
			path := fill(t, r, known)
			var body any
			if r.Body {
				body = map[string]any{}
			}
			if r.Admin {
				bob.Do(t, r.Method, path, body).Refused(t, 403, "forbidden")
				return
			}
			if r.Method == "PUT" {
				body = shop.Home
			}
			require.NotEmpty(t, known[r.App]["id"], "a route that names nothing belongs into own")
			require.Contains(t, path, known[r.App]["id"], "a route that names nothing belongs into own")
			a := bob.Do(t, r.Method, path, body).OK(t, 404)
			// The answer is the same as for what does not exist.
			b := bob.Do(t, r.Method, strings.ReplaceAll(path, known[r.App]["id"], nobodys), body).OK(t, 404)
			require.Equal(t, b.Problem().Type, a.Problem().Type)
			require.Equal(t, b.Problem().Title, a.Problem().Title)
		})
	}
	require.Equal(t, shop.Home.Line1, shop.Get[shop.Profile](t, ann, "/api/v1/users/me").Addresses[0].Line1)
	require.Equal(t, "confirmed", shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders").Items[0].Status)
	require.Empty(t, shop.Get[shop.List[shop.Order]](t, bob, "/api/v1/orders").Items)
}

// TestPending is about an account whose address is not verified: Keycloak knows it, the shop does not let it in.
func TestPending(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	c := s.Nobody()
	c.Email, c.Password = "pending-"+shop.Random()+"@example.test", "correct-horse-battery"
	c.Do(t, "POST", "/api/v1/auth/register", map[string]string{
		"email": c.Email, "password": c.Password, "first_name": "Ann", "last_name": "Lee",
	}).OK(t, 201)
	// Past auth, with a token that is good and has no role.
	c.Token = s.ShortLived(t, c).Token
	for _, path := range []string{"/api/v1/users/me", "/api/v1/orders", "/api/v1/cart", "/api/v1/auth/verify-token"} {
		a := c.Do(t, "GET", path, nil)
		require.Contains(t, []int{401, 403}, a.Status, "%s: %s", path, a.Body)
	}
}

// TestNeighbours is about what only services may ask each other.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ops := s.Admin(t)
	for _, path := range []string{
		"/internal/orders/ended?since=2020-01-01T00:00:00Z", "/internal/availability", "/internal/carts/" + nobodys, "/internal/variants",
		"/INTERNAL/availability", "/api/v1/../../internal/availability", "/healthz", "/readyz", "/listz", "/metrics", "/v1.0/metadata", "/dapr/config",
	} {
		for _, method := range []string{"GET", "POST", "PUT"} {
			a, err := ops.Send(t.Context(), method, path, nil, "dapr-app-id", "orders", "dapr-caller-app-id", "orders", "dapr-api-token", s.Settings["APP_API_TOKEN"])
			require.NoError(t, err)
			require.Contains(t, []int{400, 404, 405}, a.Status, "%s %s: %s", method, path, a.Body)
		}
	}
}

// TestBackOffice is about the pages under /admin: Keycloak's login page stands before them.
func TestBackOffice(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	a, err := s.Nobody().Send(t.Context(), "GET", "/admin", nil)
	require.NoError(t, err)
	require.Equal(t, 302, a.Status, "%s", a.Body)
	require.Contains(t, a.Header.Get("Location"), s.Settings["PUBLIC_URL"]+"/realms/stampede/protocol/openid-connect/auth")
}

var odd = regexp.MustCompile(`[^A-Za-z0-9_]+`)

func name(r shop.Route) string { return strings.Trim(odd.ReplaceAllString(r.Name(), "_"), "_") }

// unsigned is the token with the algorithm "none".
func unsigned(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + parts[1] + "."
}

// altered is the token with a role more, under its old signature.
func altered(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(claims, &m))
	m["roles"] = []string{"USER", "ADMIN"}
	claims, err = json.Marshal(m)
	require.NoError(t, err)
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString(claims) + "." + parts[2]
}
