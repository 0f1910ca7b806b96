package infra

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/stretchr/testify/require"
)

// TestKeys: the document holds Keycloak's keys and the public half of the
// bench's, and no private one.
func TestKeys(t *testing.T) {
	t.Parallel()
	theirs, ours := filepath.Join(t.TempDir(), "theirs"), filepath.Join(t.TempDir(), "ours")
	require.NoError(t, MakeBenchKey(theirs))
	require.NoError(t, MakeBenchKey(ours))
	private, err := jwk.ReadFile(ours)
	require.NoError(t, err)
	own, err := jwk.PublicSetOf(private)
	require.NoError(t, err)
	keycloak := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, theirs) }))
	t.Cleanup(keycloak.Close)

	all, err := withKeys(t.Context(), keycloak.URL, own)
	require.NoError(t, err)
	require.Equal(t, 2, all.Len())
	key, ok := all.LookupKeyID("bench")
	require.True(t, ok)
	_ = key
	last, _ := all.Key(1)
	isPrivate, err := jwk.IsPrivateKey(last)
	require.NoError(t, err)
	require.False(t, isPrivate)
}
