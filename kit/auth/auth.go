// Package auth checks access tokens and tells who is calling. A service
// trusts nothing else: no user id from a body, no header.
package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// The roles of the shop, as Keycloak's realm names them.
const (
	RoleUser  = "USER"
	RoleAdmin = "ADMIN"
)

// Caller is the owner of a valid access token.
type Caller struct {
	ID        uuid.UUID // the token's sub
	Email     string
	FirstName string
	LastName  string
	Roles     []string
	ExpiresAt time.Time
	Token     string // the token itself, to pass on
}

// Has reports whether the caller has a role.
func (c Caller) Has(role string) bool { return slices.Contains(c.Roles, role) }

// Verifier checks tokens against the identity provider's keys.
type Verifier struct {
	issuer, audience string
	keys             jwk.Set
}

// NewVerifier reads keys from jwksURL, keeps them and fetches them again every
// five minutes. An unreachable jwksURL is not an error: tokens are refused
// until the keys have come.
func NewVerifier(ctx context.Context, issuer, audience, jwksURL string) (*Verifier, error) {
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	err = cache.Register(ctx, jwksURL, jwk.WithConstantInterval(5*time.Minute), jwk.WithWaitReady(false))
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	keys, err := cache.CachedSet(jwksURL)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return &Verifier{issuer: issuer, audience: audience, keys: keys}, nil
}

// Verify returns the token's owner. Signature (RS256), issuer, audience,
// expiry (with no grace, unlike the edge's bearer middleware) and subject are
// checked.
func (v *Verifier) Verify(token string) (Caller, error) {
	t, err := jwt.Parse([]byte(token),
		jwt.WithKeySet(v.keys, jws.WithRequireKid(true)),
		jwt.WithIssuer(v.issuer),
		jwt.WithAudience(v.audience),
		jwt.WithRequiredClaim("exp"),
		jwt.WithRequiredClaim("sub"),
		jwt.WithAcceptableSkew(0),
	)
	if err != nil {
		return Caller{}, fmt.Errorf("token: %w", err)
	}
	var typ string
	if err := t.Get("typ", &typ); err == nil && typ != "Bearer" {
		return Caller{}, errors.New("token: not an access token") // Keycloak's ID and refresh tokens have other types
	}
	sub, _ := t.Subject()
	id, err := uuid.Parse(sub)
	if err != nil {
		return Caller{}, fmt.Errorf("token: subject: %w", err)
	}
	c := Caller{ID: id, Token: token}
	c.ExpiresAt, _ = t.Expiration()
	_ = t.Get("email", &c.Email)
	_ = t.Get("given_name", &c.FirstName)
	_ = t.Get("family_name", &c.LastName)
	var roles []any
	if err := t.Get("roles", &roles); err == nil {
		for _, r := range roles {
			if s, ok := r.(string); ok {
				c.Roles = append(c.Roles, s)
			}
		}
	}
	return c, nil
}

// Algorithm is what tokens are signed with.
var Algorithm = jwa.RS256()

type callerKey struct{}

// With returns a context that carries the caller.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// From returns the caller, if the request had a token.
func From(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}

// Must returns the caller inside operations that demand one; elsewhere it
// panics.
func Must(ctx context.Context) Caller {
	c, ok := From(ctx)
	if !ok {
		panic("auth: operation without a caller")
	}
	return c
}
