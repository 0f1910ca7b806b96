// Package auth checks access tokens and tells who is calling. A service
// trusts nothing else: no user id from a body, no header.
package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/kit/pause"
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

// refreshEvery is how often keys are read again. A new key must be published
// longer than this before it signs (the edge's own refresh takes 15 minutes).
const refreshEvery = 5 * time.Minute

// Verifier checks tokens against the identity provider's keys.
type Verifier struct {
	issuer, audience string
	keys             atomic.Pointer[keys]
	now              func() time.Time
}

// keys are the provider's, and whom the tokens belong to that were found good
// under them: a client sends the same one again and again until it ends. The
// next keys begin anew, so that no token outlives its key.
type keys struct {
	set   jwk.Set
	known *otter.Cache[[sha256.Size]byte, Caller] // by the hash of the whole token
}

// maxKnown is how many tokens are kept; one takes some 2 kB.
const maxKnown = 10_000

func newKeys(set jwk.Set) *keys {
	return &keys{set, otter.Must(&otter.Options[[sha256.Size]byte, Caller]{MaximumSize: maxKnown})}
}

// ErrNoKeys means that no keys have been read yet, so that no token can be
// judged.
var ErrNoKeys = errors.New("token: no keys yet")

// NewVerifier reads the keys at jwksURL until ctx ends: every five minutes,
// every second until they have come once, keeping the last ones while the
// provider is away. It tries once before it returns.
func NewVerifier(ctx context.Context, issuer, audience, jwksURL string) *Verifier {
	v := &Verifier{issuer: issuer, audience: audience, now: time.Now}
	fetch := func() time.Duration {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		set, err := jwk.Fetch(ctx, jwksURL)
		if err == nil && set.Len() > 0 {
			v.keys.Store(newKeys(set))
		}
		if v.keys.Load() == nil {
			slog.WarnContext(ctx, "no keys to check tokens with", "url", jwksURL, "error", err)
			return time.Second
		}
		return refreshEvery
	}
	wait := fetch()
	go func() {
		for pause.For(ctx, wait) {
			wait = fetch()
		}
	}()
	return v
}

// Verify returns the token's owner. Signature (RS256), issuer, audience,
// expiry (with no grace, unlike the edge's bearer middleware) and subject are
// checked.
func (v *Verifier) Verify(token string) (Caller, error) {
	keys := v.keys.Load()
	if keys == nil {
		return Caller{}, ErrNoKeys
	}
	hash := sha256.Sum256([]byte(token))
	if c, ok := keys.known.GetIfPresent(hash); ok && v.now().Before(c.ExpiresAt) {
		return c, nil
	}
	c, err := v.check(keys.set, token)
	if err == nil {
		keys.known.Set(hash, c)
	}
	return c, err
}

func (v *Verifier) check(keys jwk.Set, token string) (Caller, error) {
	t, err := jwt.Parse([]byte(token),
		jwt.WithKeySet(keys, jws.WithRequireKid(true)),
		jwt.WithClock(jwt.ClockFunc(v.now)),
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
