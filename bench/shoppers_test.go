package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/infra"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/kit/auth"
)

// TestSign: the services take the bench's tokens for Keycloak's where its key is
// among those that they read, and nowhere else.
func TestSign(t *testing.T) {
	t.Parallel()
	settings, err := stack.ParseSettings("ISSUER=http://localhost/realms/stampede\nAUDIENCE=stampede\n")
	require.NoError(t, err)
	bench := func() *shop {
		s := &shop{Stack: &stack.Stack{Run: t.TempDir(), Settings: settings}}
		require.NoError(t, infra.MakeBenchKey(infra.BenchKey(s.Stack)))
		return s
	}
	ours, another := bench(), bench()
	private, err := jwk.ReadFile(infra.BenchKey(ours.Stack))
	require.NoError(t, err)
	public, err := jwk.PublicSetOf(private)
	require.NoError(t, err)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(public)
	}))
	t.Cleanup(keys.Close)
	services := auth.NewVerifier(t.Context(), settings.Get("ISSUER"), settings.Get("AUDIENCE"), keys.URL)

	token, err := ours.sign("ann@example.test", auth.RoleUser)
	require.NoError(t, err)
	who, err := services.Verify(token)
	require.NoError(t, err)
	require.Equal(t, "ann@example.test", who.Email)
	require.Equal(t, []string{auth.RoleUser}, who.Roles)

	token, err = another.sign("ann@example.test", auth.RoleAdmin)
	require.NoError(t, err)
	_, err = services.Verify(token)
	require.Error(t, err)
}
