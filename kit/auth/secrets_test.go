package auth

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// TestSecrets: while a client's secret is exchanged at who issues tokens, each request gets its answer, and the secret that
// was taken is the one that is tried first from then on. A wrong password is no wrong secret, and is not tried twice.
func TestSecrets(t *testing.T) {
	t.Parallel()
	var secret atomic.Value
	secret.Store("the old/one")
	var calls, guesses atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, given, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		refuse := func(why string) {
			w.WriteHeader(http.StatusUnauthorized)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": why})
		}
		switch text, _ := io.ReadAll(r.Body); {
		case given != url.QueryEscape(secret.Load().(string)):
			refuse("unauthorized_client")
		case strings.Contains(string(text), "guess"):
			guesses.Add(1)
			refuse("invalid_grant")
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 60})
		}
	}))
	t.Cleanup(server.Close)
	of := []string{"the old/one", "the new+one"}
	client := &http.Client{Transport: &Secrets{Next: http.DefaultTransport, Of: of}}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
	config := clientcredentials.Config{ClientID: "auth", ClientSecret: of[0], TokenURL: server.URL, AuthStyle: oauth2.AuthStyleInHeader}
	at := oauth2.Endpoint{TokenURL: server.URL, AuthStyle: oauth2.AuthStyleInHeader}
	direct := oauth2.Config{ClientID: "auth", ClientSecret: of[0], Endpoint: at}
	take := func(after int64) {
		t.Helper()
		before := calls.Load()
		_, err := config.Token(ctx)
		require.NoError(t, err)
		require.Equal(t, after, calls.Load()-before)
	}
	take(1)
	secret.Store(of[1])
	take(2)
	take(1)
	_, err := direct.PasswordCredentialsToken(ctx, "ann@example.test", "guess")
	require.ErrorContains(t, err, "invalid_grant")
	require.Equal(t, int64(1), guesses.Load())
	secret.Store("of nobody")
	_, err = config.Token(ctx)
	require.ErrorContains(t, err, "unauthorized_client", "who has none of the secrets is told so")
}
