//go:build rotate

package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// rotated are the secrets that another one takes the place of, one of each kind: what is done for one of a kind is done for
// the others.
var rotated = []string{
	"ORDERS_DATABASE_URL", "POSTGRES_SUPERUSER_URL", "KEYCLOAK_DATABASE_URL", "REDIS_PASSWORD", "RABBITMQ_URL", "DAPR_API_TOKEN",
	"CURSOR_KEY", "DROPS_KEY", "AUTH_CLIENT_SECRET", "STORE_CLIENT_SECRET", "ADMIN_CLIENT_SECRET", "KEYCLOAK_ADMIN_PASSWORD",
	"DAPR_TRUST_ANCHORS",
}

// TestRotate logs in and buys without a pause while one secret after the other is exchanged, in a shop with one of each. No
// request may fail, not one is sent again; the old one is good for nothing afterwards, and what was signed with it is believed
// until it is forgotten.
func TestRotate(t *testing.T) {
	s := shop.Open(t)
	p := s.NewProduct(t, 1_500, 100_000)
	crowd := []*shop.Client{s.Register(t), s.Register(t), s.Register(t)}
	orders := shop.WhileTheyBuy(t, crowd, p, login, func() {
		cursor := next(t, s, "")
		for _, key := range rotated {
			before := s.Settings[key]
			dev(t, s, "rotate", key)
			s.ReadSettings(t)
			require.NotEmpty(t, s.Settings[key])
			require.NotEqual(t, before, s.Settings[key], key)
			if refused := refuses[key]; refused != nil {
				require.False(t, refused(t, s, s.Settings[key]), "%s: the new one is refused", key)
				require.True(t, refused(t, s, before), "%s: the old one is not", key)
			}
		}
		next(t, s, cursor) // of before
		dev(t, s, "rotate", "CURSOR_KEY", "forget")
		s.Nobody().Do(t, "GET", "/api/v1/products?limit=1&cursor="+cursor, nil).Refused(t, 422, "invalid")
	})
	p.AwaitStock(t, 100_000-orders, orders)
	for _, process := range s.Processes(t) {
		require.NotContains(t, process.Name, "-2")
	}
	s.Audit(t)
}

// next reads a page of the catalogue, and returns the cursor of the one that follows.
func next(t *testing.T, s *shop.Shop, cursor string) string {
	t.Helper()
	page := shop.Read[struct {
		NextCursor *string `json:"next_cursor"`
	}](t, s.Nobody().Do(t, "GET", "/api/v1/products?limit=1&cursor="+cursor, nil).OK(t, 200))
	require.NotNil(t, page.NextCursor)
	return *page.NextCursor
}

// login gets a new token.
func login(ctx context.Context, c *shop.Client, requests *atomic.Int64) error {
	requests.Add(1)
	a, err := c.Shop.Nobody().Send(ctx, "POST", "/api/v1/auth/login", map[string]string{"email": c.Email, "password": c.Password})
	if err != nil {
		return err
	}
	var tokens shop.Tokens
	if a.Status != 200 {
		return fmt.Errorf("%s: %d %s", a.Request, a.Status, a.Body)
	}
	err = json.Unmarshal(a.Body, &tokens)
	c.Token = tokens.AccessToken
	return err
}

// refuses tells of a value of a setting whether who wants it refuses it.
var refuses = map[string]func(t *testing.T, s *shop.Shop, value string) bool{
	"ORDERS_DATABASE_URL":    noDatabase,
	"POSTGRES_SUPERUSER_URL": noDatabase,
	"KEYCLOAK_DATABASE_URL":  noDatabase,
	"REDIS_PASSWORD": func(t *testing.T, s *shop.Shop, value string) bool {
		_, port, _ := strings.Cut(s.Settings["REDIS_HOST"], ":")
		ping := exec.CommandContext(t.Context(), "redis-cli", "-p", port, "PING")
		ping.Env = append(ping.Environ(), "REDISCLI_AUTH="+value)
		out, err := ping.CombinedOutput()
		require.NoError(t, err)
		return !strings.HasSuffix(strings.TrimSpace(string(out)), "PONG") || strings.Contains(string(out), "WRONGPASS")
	},
	"RABBITMQ_URL": func(t *testing.T, s *shop.Shop, value string) bool {
		u, err := url.Parse(value)
		require.NoError(t, err)
		page := url.URL{Scheme: "http", User: u.User, Host: "127.0.0.1:" + s.Port(15673), Path: "/api/whoami"}
		return status(t, page.String(), nil) == 401
	},
	"DAPR_API_TOKEN": func(t *testing.T, s *shop.Shop, value string) bool {
		address := "http://127.0.0.1:" + s.Port(3511) + "/v1.0/invoke/products/method/api/v1/products"
		return status(t, address, http.Header{"Dapr-Api-Token": {value}}) == 401
	},
	"AUTH_CLIENT_SECRET":  noClient("auth"),
	"STORE_CLIENT_SECRET": noClient("storefront"),
	"ADMIN_CLIENT_SECRET": noClient("backoffice"),
	"KEYCLOAK_ADMIN_PASSWORD": func(t *testing.T, s *shop.Shop, value string) bool {
		form := url.Values{"client_id": {"admin-cli"}, "grant_type": {"password"}, "username": {"admin"}, "password": {value}}
		return token(t, s, "master", form) == 401
	},
}

func noDatabase(t *testing.T, _ *shop.Shop, value string) bool {
	out, err := exec.CommandContext(t.Context(), "psql", "-XAtqw", "-c", "SELECT 1", value).CombinedOutput()
	require.Equal(t, err != nil, strings.Contains(string(out), "password authentication failed"), string(out))
	return err != nil
}

func noClient(id string) func(t *testing.T, s *shop.Shop, value string) bool {
	return func(t *testing.T, s *shop.Shop, value string) bool {
		// What a client may not do is refused otherwise than a client that is not let in.
		form := url.Values{"client_id": {id}, "client_secret": {value}, "grant_type": {"refresh_token"}, "refresh_token": {"none"}}
		return token(t, s, s.Settings["KEYCLOAK_REALM"], form) == 401
	}
}

// token asks a realm for a token and returns the status of the answer.
func token(t *testing.T, s *shop.Shop, realm string, form url.Values) int {
	t.Helper()
	resp, err := http.PostForm(s.Settings["KEYCLOAK_URL"]+"/realms/"+realm+"/protocol/openid-connect/token", form)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

func status(t *testing.T, address string, header http.Header) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	require.NoError(t, err)
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}
