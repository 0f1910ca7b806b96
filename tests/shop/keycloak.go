package shop

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// This file makes at Keycloak itself what would take too long, or cannot be made, through the shop.

// keycloak calls Keycloak's admin REST as the bootstrap administrator and returns the answer's body.
func (s *Shop) keycloak(t testing.TB, method, path string, body any, statuses ...int) []byte {
	t.Helper()
	var token struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.Unmarshal(s.form(t, "/realms/master/protocol/openid-connect/token", url.Values{
		"client_id": {"admin-cli"}, "grant_type": {"password"}, "username": {"admin"}, "password": {s.Settings["KEYCLOAK_ADMIN_PASSWORD"]},
	}, 200), &token))
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
	return s.ask(t, req, statuses...)
}

func (s *Shop) form(t testing.TB, path string, values url.Values, statuses ...int) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.Settings["KEYCLOAK_URL"]+path, strings.NewReader(values.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.ask(t, req, statuses...)
}

func (s *Shop) ask(t testing.TB, req *http.Request, statuses ...int) []byte {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, statuses, resp.StatusCode, "%s %s: %s", req.Method, req.URL, text)
	return text
}

// grant logs a user in with a client of the realm.
func (s *Shop) grant(t testing.TB, client, secret, email, password string) Tokens {
	t.Helper()
	var tokens Tokens
	require.NoError(t, json.Unmarshal(s.form(t, "/realms/"+s.Settings["KEYCLOAK_REALM"]+"/protocol/openid-connect/token", url.Values{
		"client_id": {client}, "client_secret": {secret}, "grant_type": {"password"}, "username": {email}, "password": {password},
	}, 200), &tokens))
	return tokens
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
	s.keycloak(t, "POST", "/partialImport", map[string]any{"ifResourceExists": "FAIL", "users": users}, 200)
	Each(t, crowd, 4, func(c *Client) error {
		c.Token = s.grant(t, "auth", s.Settings["AUTH_CLIENT_SECRET"], c.Email, password).AccessToken
		return nil
	})
	return crowd
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
	short.Token = s.grant(t, id, secret, c.Email, c.Password).AccessToken
	return &short
}
