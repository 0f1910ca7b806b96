package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// This file makes at Keycloak itself what would take too long, or cannot be made, through the shop.

// keycloak calls Keycloak's admin REST as the bootstrap administrator.
func (s *Shop) keycloak(t testing.TB, method, path string, body any, status int) {
	t.Helper()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	text, err := s.form(t.Context(), "/realms/master/protocol/openid-connect/token", url.Values{
		"client_id": {"admin-cli"}, "grant_type": {"password"}, "username": {"admin"}, "password": {s.Settings["KEYCLOAK_ADMIN_PASSWORD"]},
	})
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &token))
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		require.NoError(t, err)
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.Settings["KEYCLOAK_URL"]+"/admin/realms/"+s.Settings["KEYCLOAK_REALM"]+path, reader)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	req.Header.Set("Content-Type", "application/json")
	_, err = ask(req, status)
	require.NoError(t, err)
}

// form posts a form to Keycloak and returns the body of the answer, which has to be 200.
func (s *Shop) form(ctx context.Context, path string, values url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", s.Settings["KEYCLOAK_URL"]+path, strings.NewReader(values.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return ask(req, 200)
}

func ask(req *http.Request, status int) ([]byte, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != status {
		err = fmt.Errorf("%s %s: %d %s", req.Method, req.URL, resp.StatusCode, text)
	}
	return text, err
}

// grant logs a user in with a client of the realm and returns the access token.
func (s *Shop) grant(ctx context.Context, client, secret, email, password string) (token string, err error) {
	text, err := s.form(ctx, "/realms/"+s.Settings["KEYCLOAK_REALM"]+"/protocol/openid-connect/token", url.Values{
		"client_id": {client}, "client_secret": {secret}, "grant_type": {"password"}, "username": {email}, "password": {password},
	})
	if err != nil {
		return "", err
	}
	var tokens Tokens
	err = json.Unmarshal(text, &tokens)
	return tokens.AccessToken, err
}

// Crowd makes many shoppers at once: users in Keycloak with the role USER and tokens of the client that auth uses, which
// is all that the rest of the shop knows a shopper by. They have no account at auth, so they cannot log in there.
func (s *Shop) Crowd(t testing.TB, size int) []*Client {
	t.Helper()
	const password = "a-crowd-of-shoppers"
	var users []map[string]any
	crowd := make([]*Client, size)
	for i := range crowd {
		crowd[i] = &Client{Shop: s, Email: "crowd-" + Random() + "@example.test", Password: password}
		users = append(users, map[string]any{
			"username": crowd[i].Email, "email": crowd[i].Email, "emailVerified": true, "enabled": true,
			"firstName": "Ann", "lastName": "Lee", "realmRoles": []string{"USER"},
			"credentials": []any{map[string]any{"type": "password", "value": password, "temporary": false}},
		})
	}
	for some := range slices.Chunk(users, 20) { // Keycloak gives up on a transaction after a minute, and hashes each password in it
		s.keycloak(t, "POST", "/partialImport", map[string]any{"ifResourceExists": "FAIL", "users": some}, 200)
	}
	Each(t, crowd, 4, func(c *Client) (err error) {
		c.Token, err = s.grant(t.Context(), "auth", s.Settings["AUTH_CLIENT_SECRET"], c.Email, password)
		return err
	})
	return crowd
}

// Busy makes many guesses at once, until Keycloak keeps so many connections to its database.
func (s *Shop) Busy(t testing.TB, connections int) {
	t.Helper()
	Eventually(t, Patience, func() (bool, string) {
		Each(t, make([]struct{}, 32), 32, func(struct{}) error {
			_, _ = s.grant(t.Context(), "auth", s.Settings["AUTH_CLIENT_SECRET"], "nobody-"+Random()+"@example.test", "a-guess-of-some-length") // refused
			return nil
		})
		const count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'keycloak'"
		out, err := exec.CommandContext(t.Context(), "psql", "-XAtq", "-c", count, s.Settings["POSTGRES_SUPERUSER_URL"]).CombinedOutput()
		require.NoError(t, err, string(out))
		kept, err := strconv.Atoi(strings.TrimSpace(string(out)))
		require.NoError(t, err)
		return kept >= connections, fmt.Sprintf("Keycloak keeps %d connections", kept)
	})
}

// ShortLived logs a shopper in with tokens that live for a second. They come from a client of the realm like auth's.
func (s *Shop) ShortLived(t testing.TB, c *Client) *Client {
	t.Helper()
	mapper := func(name, kind string, config map[string]string) map[string]any {
		config["access.token.claim"] = "true"
		return map[string]any{"name": name, "protocol": "openid-connect", "protocolMapper": kind, "config": config}
	}
	id, secret := "tests-"+Random(), Random()
	s.keycloak(t, "POST", "/clients", map[string]any{
		"clientId": id, "secret": secret, "directAccessGrantsEnabled": true, "standardFlowEnabled": false, "fullScopeAllowed": true,
		"defaultClientScopes": []string{"basic", "email", "profile"}, "optionalClientScopes": []string{},
		"attributes": map[string]string{"access.token.lifespan": "1"},
		"protocolMappers": []any{
			mapper("audience", "oidc-audience-mapper", map[string]string{"included.custom.audience": s.Settings["AUDIENCE"]}),
			mapper("roles", "oidc-usermodel-realm-role-mapper", map[string]string{"claim.name": "roles", "jsonType.label": "String", "multivalued": "true"}),
		},
	}, 201)
	short := *c
	var err error
	short.Token, err = s.grant(t.Context(), id, secret, c.Email, c.Password)
	require.NoError(t, err)
	return &short
}

// Renew gets a new token for the client's password from Keycloak itself. It may be called beside the test.
func (c *Client) Renew(ctx context.Context) (token string, err error) {
	return c.Shop.grant(ctx, "auth", c.Shop.Settings["AUTH_CLIENT_SECRET"], c.Email, c.Password)
}
