package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwt"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
)

// What Keycloak may answer besides success. When it does not answer at all, or with an error of its own,
// the error is problem.ErrUnavailable.
var (
	errUserExists    = errors.New("keycloak: the username or address is taken")
	errNoUser        = errors.New("keycloak: no such user")
	errWrongPassword = errors.New("keycloak: wrong username or password")
	errBadToken      = errors.New("keycloak: refresh token invalid or its session over")
)

// refusedField is how Keycloak names a value that breaks a rule of the realm.
type refusedField struct {
	Field   string `json:"field"`
	Message string `json:"errorMessage"`
}

// errRefused is Keycloak's no to a value that our own rules let through.
type errRefused refusedField

func (e errRefused) Error() string { return "keycloak refused " + e.Field + ": " + e.Message }

const (
	keycloakTimeout = 8 * time.Second // one call; hashing a password takes its time on a busy machine
	roleUser        = "USER"
	roleAdmin       = "ADMIN"
)

// Tokens are what a login gives.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type" example:"Bearer"`
	ExpiresIn    int    `json:"expires_in" doc:"Seconds that the access token lives"`
}

// keycloak is the client of one realm: its token endpoint for people, its admin REST for us. The client
// `auth` has a service account with the roles manage-users, view-users, query-users and view-events, no more.
type keycloak struct {
	admin   string // …/admin/realms/<realm>
	oidc    string // …/realms/<realm>/protocol/openid-connect
	http    *http.Client
	direct  oauth2.Config
	service clientcredentials.Config

	mu     sync.Mutex
	tokens oauth2.TokenSource // of the service account, nil until needed
}

func newKeycloak(base, realm, clientID string, secrets ...string) *keycloak {
	secret := string(serve.Keys(secrets).Signs())
	base = strings.TrimSuffix(base, "/")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	k := &keycloak{
		admin: base + "/admin/realms/" + url.PathEscape(realm),
		oidc:  base + "/realms/" + url.PathEscape(realm) + "/protocol/openid-connect",
		http:  &http.Client{Timeout: keycloakTimeout, Transport: otelhttp.NewTransport(&auth.Secrets{Next: transport, Of: secrets})},
	}
	// The style is set because oauth2 would otherwise find it out by trying twice: two wrong passwords.
	k.direct = oauth2.Config{
		ClientID: clientID, ClientSecret: secret,
		Endpoint: oauth2.Endpoint{TokenURL: k.oidc + "/token", AuthStyle: oauth2.AuthStyleInHeader},
	}
	k.service = clientcredentials.Config{
		ClientID: clientID, ClientSecret: secret, TokenURL: k.oidc + "/token", AuthStyle: oauth2.AuthStyleInHeader,
	}
	return k
}

// login checks a password and opens a session (direct access grant). errWrongPassword is also the answer
// for unknown users, disabled ones, and those from whom Keycloak wants something first.
func (k *keycloak) login(ctx context.Context, email, password string) (Tokens, error) {
	t, err := k.direct.PasswordCredentialsToken(k.withClient(ctx), email, password)
	if err != nil {
		return Tokens{}, tokenError(err, errWrongPassword)
	}
	return tokensOf(t), nil
}

// refresh renews a session's tokens, or errBadToken.
func (k *keycloak) refresh(ctx context.Context, refreshToken string) (Tokens, error) {
	t, err := k.direct.TokenSource(k.withClient(ctx), &oauth2.Token{RefreshToken: refreshToken}).Token()
	if err != nil {
		return Tokens{}, tokenError(err, errBadToken)
	}
	return tokensOf(t), nil
}

// logout ends the session of a refresh token, also one that has ended before, or errBadToken.
func (k *keycloak) logout(ctx context.Context, refreshToken string) error {
	form := url.Values{"refresh_token": {refreshToken}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.oidc+"/logout", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(k.direct.ClientID), url.QueryEscape(k.direct.ClientSecret)) // RFC 6749, 2.3.1
	res, err := k.http.Do(req)
	if err != nil {
		return unavailable(err)
	}
	defer drain(res)
	if res.StatusCode < 300 {
		return nil
	}
	var answer struct {
		Error string `json:"error"`
	}
	_ = json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&answer)
	if answer.Error == "invalid_grant" {
		return errBadToken
	}
	return unexpected(res, answer.Error)
}

// newUser is a user as Keycloak's admin REST takes it.
type newUser struct {
	Username      string       `json:"username,omitempty"`
	Email         string       `json:"email,omitempty"`
	FirstName     string       `json:"firstName,omitempty"`
	LastName      string       `json:"lastName,omitempty"`
	Enabled       bool         `json:"enabled"`
	EmailVerified bool         `json:"emailVerified"`
	Credentials   []credential `json:"credentials,omitempty"`
}

type credential struct {
	Type      string `json:"type"`
	Value     string `json:"value"`
	Temporary bool   `json:"temporary"`
}

func password(value string) credential { return credential{Type: "password", Value: value} }

// passwords are a user's credentials: none when there is no password yet.
func passwords(secret string) []credential {
	if secret == "" {
		return nil
	}
	return []credential{password(secret)}
}

// createUser makes an enabled user without roles and returns its id. Keycloak 26 chooses the id itself: one
// in the body is ignored, and partialImport, which takes it, needs the right to change the whole realm.
// Errors: errUserExists, errRefused.
func (k *keycloak) createUser(ctx context.Context, a Account, secret string) (uuid.UUID, error) {
	header, err := k.do(ctx, http.MethodPost, "/users", newUser{
		Username: a.Email, Email: a.Email, FirstName: a.FirstName, LastName: a.LastName,
		Enabled: true, Credentials: passwords(secret),
	}, nil)
	if err != nil {
		return uuid.Nil, err
	}
	location := header.Get("Location")
	id, err := uuid.Parse(location[strings.LastIndexByte(location, '/')+1:])
	if err != nil {
		return uuid.Nil, fmt.Errorf("keycloak: id of the new user: %w", err)
	}
	return id, nil
}

// findUser returns id and time of creation of the user with this address, or errNoUser.
func (k *keycloak) findUser(ctx context.Context, email string) (id uuid.UUID, created time.Time, err error) {
	var users []struct {
		ID      uuid.UUID `json:"id"`
		Created int64     `json:"createdTimestamp"` // milliseconds
	}
	query := url.Values{"email": {email}, "exact": {"true"}, "briefRepresentation": {"true"}}
	if _, err := k.do(ctx, http.MethodGet, "/users?"+query.Encode(), nil, &users); err != nil {
		return uuid.Nil, created, err
	}
	if len(users) == 0 {
		return uuid.Nil, created, errNoUser
	}
	return users[0].ID, time.UnixMilli(users[0].Created), nil
}

// changeUser sets names and whether the address is verified; the address and the username stay.
func (k *keycloak) changeUser(ctx context.Context, id uuid.UUID, a Account, verified bool) error {
	_, err := k.do(ctx, http.MethodPut, "/users/"+id.String(), newUser{
		Email: a.Email, FirstName: a.FirstName, LastName: a.LastName, Enabled: true, EmailVerified: verified,
	}, nil)
	return err
}

// deleteUser deletes a user, its password and sessions; nothing happens when it is gone.
func (k *keycloak) deleteUser(ctx context.Context, id uuid.UUID) error {
	_, err := k.do(ctx, http.MethodDelete, "/users/"+id.String(), nil, nil)
	if errors.Is(err, errNoUser) {
		return nil
	}
	return err
}

// setPassword replaces a user's password. Its sessions go on. Errors: errNoUser, errRefused.
func (k *keycloak) setPassword(ctx context.Context, id uuid.UUID, value string) error {
	_, err := k.do(ctx, http.MethodPut, "/users/"+id.String()+"/reset-password", password(value), nil)
	return err
}

type role struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// giveRole gives a user one of the realm's roles; nothing happens when it has it. The role's id comes from
// the list of what the user may still get, because reading roles themselves needs one more right.
func (k *keycloak) giveRole(ctx context.Context, id uuid.UUID, name string) error {
	path := "/users/" + id.String() + "/role-mappings/realm"
	var available []role
	if _, err := k.do(ctx, http.MethodGet, path+"/available", nil, &available); err != nil {
		return err
	}
	for _, r := range available {
		if r.Name == name {
			_, err := k.do(ctx, http.MethodPost, path, []role{r}, nil)
			return err
		}
	}
	has, err := k.hasRole(ctx, id, name)
	if err != nil {
		return err
	}
	if !has {
		return fmt.Errorf("keycloak: the realm has no role %s", name)
	}
	return nil
}

// hasRole reports whether a user was given one of the roles.
func (k *keycloak) hasRole(ctx context.Context, id uuid.UUID, names ...string) (bool, error) {
	var given []role
	if _, err := k.do(ctx, http.MethodGet, "/users/"+id.String()+"/role-mappings/realm", nil, &given); err != nil {
		return false, err
	}
	for _, r := range given {
		for _, name := range names {
			if r.Name == name {
				return true, nil
			}
		}
	}
	return false, nil
}

// takeRoles takes those of the named roles that a user has.
func (k *keycloak) takeRoles(ctx context.Context, id uuid.UUID, names ...string) error {
	path := "/users/" + id.String() + "/role-mappings/realm"
	var given []role
	if _, err := k.do(ctx, http.MethodGet, path, nil, &given); err != nil {
		return err
	}
	taken := slices.DeleteFunc(given, func(r role) bool { return !slices.Contains(names, r.Name) })
	if len(taken) == 0 {
		return nil
	}
	_, err := k.do(ctx, http.MethodDelete, path, taken, nil)
	return err
}

// endSessions ends all sessions of a user but keep, which may be empty.
func (k *keycloak) endSessions(ctx context.Context, id uuid.UUID, keep string) error {
	if keep == "" {
		_, err := k.do(ctx, http.MethodPost, "/users/"+id.String()+"/logout", nil, nil)
		return err
	}
	var sessions []struct {
		ID string `json:"id"`
	}
	if _, err := k.do(ctx, http.MethodGet, "/users/"+id.String()+"/sessions", nil, &sessions); err != nil {
		return err
	}
	for _, s := range sessions {
		if s.ID == keep {
			continue
		}
		_, err := k.do(ctx, http.MethodDelete, "/sessions/"+url.PathEscape(s.ID), nil, nil)
		if err != nil && !errors.Is(err, errNoUser) { // 404: it has ended by itself
			return err
		}
	}
	return nil
}

// do calls the admin REST as the service account. A token that Keycloak no longer knows, as after its
// database was made anew, is replaced once.
func (k *keycloak) do(ctx context.Context, method, path string, in, out any) (http.Header, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
	status, header, err := k.try(ctx, method, path, body, out)
	if status == http.StatusUnauthorized {
		k.mu.Lock()
		k.tokens = nil
		k.mu.Unlock()
		_, header, err = k.try(ctx, method, path, body, out)
	}
	return header, err
}

func (k *keycloak) try(ctx context.Context, method, path string, body []byte, out any) (status int, header http.Header, err error) {
	token, err := k.serviceToken()
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, k.admin+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	token.SetAuthHeader(req)
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := k.http.Do(req)
	if err != nil {
		return 0, nil, unavailable(err)
	}
	defer drain(res)
	if res.StatusCode < 300 {
		if out != nil {
			if err := json.NewDecoder(res.Body).Decode(out); err != nil {
				return res.StatusCode, res.Header, fmt.Errorf("keycloak: %s %s: %w", method, path, err)
			}
		}
		return res.StatusCode, res.Header, nil
	}
	var answer struct {
		refusedField
		Error  string         `json:"error"`
		Errors []refusedField `json:"errors"` // instead of the first, when several fields are wrong
	}
	_ = json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&answer)
	switch res.StatusCode {
	case http.StatusConflict:
		return res.StatusCode, res.Header, errUserExists
	case http.StatusNotFound:
		return res.StatusCode, res.Header, errNoUser
	case http.StatusBadRequest:
		if len(answer.Errors) > 0 {
			answer.refusedField = answer.Errors[0]
		}
		if strings.HasPrefix(answer.Error, "invalidPassword") {
			answer.refusedField = refusedField{"password", answer.Error}
		}
		return res.StatusCode, res.Header, errRefused(answer.refusedField)
	}
	return res.StatusCode, res.Header, unexpected(res, answer.Error+answer.Message)
}

// serviceToken returns the service account's token, from memory while it is valid.
func (k *keycloak) serviceToken() (*oauth2.Token, error) {
	k.mu.Lock()
	if k.tokens == nil {
		// Not the request's context: the source outlives it. The client's timeout bounds each call.
		k.tokens = k.service.TokenSource(k.withClient(context.Background()))
	}
	source := k.tokens
	k.mu.Unlock()
	t, err := source.Token()
	if err != nil {
		return nil, notSent{tokenError(err, errors.New("keycloak: the service account is refused"))}
	}
	return t, nil
}

func (k *keycloak) withClient(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, k.http)
}

func tokensOf(t *oauth2.Token) Tokens {
	seconds, _ := t.Extra("expires_in").(float64)
	return Tokens{AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, TokenType: "Bearer", ExpiresIn: int(seconds)}
}

// tokenError is no for what Keycloak refuses, and unavailable for everything else.
func tokenError(err, no error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return unavailable(err)
	}
	if refused.ErrorCode == "invalid_grant" {
		return no
	}
	if refused.Response.StatusCode >= 500 || refused.Response.StatusCode == http.StatusTooManyRequests {
		return unavailable(err)
	}
	return fmt.Errorf("keycloak: token: %d %s %s", refused.Response.StatusCode, refused.ErrorCode, refused.ErrorDescription)
}

// notSent marks errors after which Keycloak surely did nothing.
type notSent struct{ error }

func (e notSent) Unwrap() error { return e.error }

// unavailable is a Keycloak that does not answer. A caller hears nothing but to come again.
func unavailable(err error) error {
	away := problem.ErrUnavailable.RetryAfter(5 * time.Second).Because(fmt.Errorf("keycloak: %w", err))
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return notSent{away}
	}
	return away
}

func unexpected(res *http.Response, message string) error {
	err := fmt.Errorf("%s %s: %d %s", res.Request.Method, res.Request.URL.Path, res.StatusCode, message)
	if res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests {
		return unavailable(err)
	}
	return fmt.Errorf("keycloak: %w", err)
}

// drain lets the connection be used again.
func drain(res *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	res.Body.Close()
}

// readToken returns user and session of an access token that came from Keycloak or was verified before.
func readToken(accessToken string) (sub uuid.UUID, session string, err error) {
	t, err := jwt.ParseInsecure([]byte(accessToken))
	if err != nil {
		return uuid.Nil, "", fmt.Errorf("access token: %w", err)
	}
	subject, _ := t.Subject()
	if sub, err = uuid.Parse(subject); err != nil {
		return uuid.Nil, "", fmt.Errorf("access token: sub: %w", err)
	}
	_ = t.Get("sid", &session)
	return sub, session, nil
}
