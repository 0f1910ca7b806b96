package infra

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// The bench has thousands of shoppers, and Keycloak makes fifteen tokens a
// second. So in the bench's stack, and nowhere else, the address of the keys
// that tokens are checked with is not the gateway's but this process's, which
// adds one of the stack's own to Keycloak's. The key is made with the stack and
// removed with it; nothing outside dev/ knows of it. A shop becomes such a stack
// at its first make up only, and every address of a stack of dev/ is loopback.

// BenchKey is the file of the private key that the bench signs tokens with.
func BenchKey(s *stack.Stack) string { return filepath.Join(s.Run, "bench-key.json") }

// keys returns that process.
func (s Servers) keys() (supervise.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return supervise.Process{}, err
	}
	file := BenchKey(s.Stack)
	if !install.Exists(file) {
		if err := MakeBenchKey(file); err != nil {
			return supervise.Process{}, err
		}
	}
	return supervise.Process{
		Args: []string{self, "keys", s.At(stack.PortBenchKeys), "http://" + s.At(stack.PortKeys) + "/jwks", file},
		Dir:  s.Data, Env: stack.Environment(),
		Patience: time.Second, Stage: stack.StageInfra, Health: "http://" + s.At(stack.PortBenchKeys) + "/jwks",
	}, nil
}

// MakeBenchKey writes a new private key.
func MakeBenchKey(file string) error {
	raw, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	key, err := jwk.Import(raw)
	if err != nil {
		return err
	}
	for name, value := range map[string]any{jwk.KeyIDKey: "bench", jwk.AlgorithmKey: jwa.RS256(), jwk.KeyUsageKey: jwk.ForSignature} {
		if err := key.Set(name, value); err != nil {
			return err
		}
	}
	text, err := json.Marshal(key)
	if err != nil {
		return err
	}
	return stack.WriteFile(file, string(text), 0o600)
}

// ServeKeys serves at /jwks the keys that are found at url and the public half
// of the one in file. It returns when ctx ends.
func ServeKeys(ctx context.Context, address, url, file string) error {
	own, err := jwk.ReadFile(file)
	if err != nil {
		return err
	}
	if own, err = jwk.PublicSetOf(own); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, r *http.Request) {
		all, err := withKeys(r.Context(), url, own)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all) // a reader that is gone
	})
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { <-ctx.Done(); _ = server.Close() }()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// withKeys are the keys found at url and those of own.
func withKeys(ctx context.Context, url string, own jwk.Set) (jwk.Set, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	all, err := jwk.Fetch(ctx, url)
	if err != nil {
		return nil, err
	}
	for i := range own.Len() {
		key, _ := own.Key(i)
		if err := all.AddKey(key); err != nil {
			return nil, err
		}
	}
	return all, nil
}
