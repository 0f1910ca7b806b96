package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/stampede-shop/stampede/dev/infra"
)

// shopper is somebody who is logged in.
type shopper struct{ email, password, token string }

// crowd makes so many shoppers. In the bench's stack their tokens are signed
// here; elsewhere they are Keycloak's, which takes its time.
func (s *shop) crowd(ctx context.Context, size int) ([]shopper, error) {
	if !s.Bench {
		return s.keycloaks(ctx, size)
	}
	crowd := make([]shopper, size)
	for i := range crowd {
		crowd[i].email = "bench-" + rand.Text()[:12] + "@example.test"
		token, err := s.sign(crowd[i].email, "USER")
		if err != nil {
			return nil, err
		}
		crowd[i].token = token
	}
	return crowd, nil
}

// admin is the token of somebody who runs the shop.
func (s *shop) admin(ctx context.Context) (string, error) {
	if s.Bench {
		return s.sign("bench-admin@example.test", "ADMIN")
	}
	const email = "ops@stampede.test"
	var answer struct {
		Token string `json:"access_token"`
	}
	login := map[string]string{"email": email, "password": s.Settings.Get("OPS_PASSWORD")}
	err := s.send(ctx, "POST", "/api/v1/auth/login", "", login, &answer)
	return answer.Token, err
}

// sign makes a token as Keycloak's are, with the key that the bench's stack
// trusts besides.
func (s *shop) sign(email, role string) (string, error) {
	text, err := os.ReadFile(infra.BenchKey(s.Stack))
	if err != nil {
		return "", err
	}
	key, err := jwk.ParseKey(text)
	if err != nil {
		return "", err
	}
	now := time.Now()
	token, err := jwt.NewBuilder().
		Issuer(s.Settings.Get("ISSUER")).Audience([]string{s.Settings.Get("AUDIENCE")}).
		Subject(uuid.NewString()).JwtID(uuid.NewString()).IssuedAt(now).Expiration(now.Add(3*time.Hour)).
		Claim("typ", "Bearer").Claim("azp", "auth").Claim("sid", uuid.NewString()).Claim("scope", "profile email").
		Claim("email", email).Claim("email_verified", true).Claim("given_name", "Ann").Claim("family_name", "Lee").
		Claim("preferred_username", email).Claim("name", "Ann Lee").Claim("roles", []string{role}).
		Build()
	if err != nil {
		return "", err
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.RS256(), key))
	return string(signed), err
}

// keycloaks are shoppers that Keycloak knows, with its tokens.
func (s *shop) keycloaks(ctx context.Context, size int) ([]shopper, error) {
	crowd := make([]shopper, size)
	var users []any
	for i := range crowd {
		crowd[i] = shopper{email: "bench-" + strings.ToLower(rand.Text()[:12]) + "@example.test", password: "a-crowd-of-shoppers"}
		users = append(users, map[string]any{
			"username": crowd[i].email, "email": crowd[i].email, "emailVerified": true, "enabled": true,
			"firstName": "Ann", "lastName": "Lee", "realmRoles": []string{"USER"},
			"credentials": []any{map[string]any{"type": "password", "value": crowd[i].password, "temporary": false}},
		})
	}
	admin, err := s.grant(ctx, "master", url.Values{
		"client_id": {"admin-cli"}, "username": {"admin"}, "password": {s.Settings.Get("KEYCLOAK_ADMIN_PASSWORD")},
	})
	if err != nil {
		return nil, err
	}
	realm := s.Settings.Get("KEYCLOAK_REALM")
	at := s.Settings.Get("KEYCLOAK_URL") + "/admin/realms/" + realm + "/partialImport"
	for some := range slices.Chunk(users, 20) { // Keycloak gives up on a transaction after a minute, and hashes each password in it
		text, err := json.Marshal(map[string]any{"ifResourceExists": "FAIL", "users": some})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, "POST", at, bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+admin)
		req.Header.Set("Content-Type", "application/json")
		if _, err := ask(req); err != nil {
			return nil, err
		}
	}
	for i := range crowd {
		crowd[i].token, err = s.grant(ctx, realm, url.Values{
			"client_id": {"auth"}, "client_secret": {s.Settings.Get("AUTH_CLIENT_SECRET")},
			"username": {crowd[i].email}, "password": {crowd[i].password},
		})
		if err != nil {
			return nil, err
		}
	}
	return crowd, nil
}

// grant logs somebody in at Keycloak itself.
func (s *shop) grant(ctx context.Context, realm string, form url.Values) (token string, err error) {
	form.Set("grant_type", "password")
	at := s.Settings.Get("KEYCLOAK_URL") + "/realms/" + realm + "/protocol/openid-connect/token"
	req, err := http.NewRequestWithContext(ctx, "POST", at, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	text, err := ask(req)
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	err = json.Unmarshal(text, &answer)
	return answer.Token, err
}

func ask(req *http.Request) ([]byte, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", req.Method, req.URL, resp.StatusCode, text)
	}
	return text, err
}
