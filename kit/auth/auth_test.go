package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/stretchr/testify/require"
)

func TestNoKeysYet(t *testing.T) {
	t.Parallel()
	v := NewVerifier(t.Context(), "issuer", "stampede", "http://127.0.0.1:1/keys") // nobody listens on port 1
	_, err := v.Verify("x.y.z")
	require.ErrorIs(t, err, ErrNoKeys)
}

// TestVerifyAgain: a token that was found good is not checked again, and is
// refused all the same once it is over, changed, or without its key.
func TestVerifyAgain(t *testing.T) {
	t.Parallel()
	now, looked := time.Now(), 0 // at the clock
	v := &Verifier{issuer: "issuer", audience: "stampede", now: func() time.Time { looked++; return now }}
	key, set := newKey(t)
	v.keys.Store(newKeys(set))
	ann, bob := sign(t, key, now.Add(time.Minute)), sign(t, key, now.Add(time.Minute))

	first, err := v.Verify(ann)
	require.NoError(t, err)
	other, err := v.Verify(bob)
	require.NoError(t, err)
	require.NotEqual(t, first.ID, other.ID)
	looked = 0
	again, err := v.Verify(ann)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, 1, looked, "it was checked again")

	mixed := ann[:strings.LastIndex(ann, ".")] + bob[strings.LastIndex(bob, "."):]
	for range 2 {
		_, err = v.Verify(mixed)
		require.Error(t, err, "what Ann says, as Bob signed")
	}

	began := now
	for now = began.Add(59 * time.Second); now.Before(first.ExpiresAt); now = now.Add(100 * time.Millisecond) {
		_, err = v.Verify(ann)
		require.NoError(t, err)
	}
	_, err = v.Verify(ann)
	require.Error(t, err, "it is over")

	now = began
	_, err = v.Verify(ann)
	require.NoError(t, err)
	_, set = newKey(t)
	v.keys.Store(newKeys(set))
	_, err = v.Verify(ann)
	require.Error(t, err, "its key is gone")
}

func newKey(t testing.TB) (private jwk.Key, public jwk.Set) {
	raw, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	private, err = jwk.Import(raw)
	require.NoError(t, err)
	require.NoError(t, private.Set(jwk.KeyIDKey, "test"))
	require.NoError(t, private.Set(jwk.AlgorithmKey, Algorithm))
	half, err := private.PublicKey()
	require.NoError(t, err)
	public = jwk.NewSet()
	require.NoError(t, public.AddKey(half))
	return private, public
}

func sign(t testing.TB, key jwk.Key, expires time.Time) string {
	token, err := jwt.NewBuilder().Issuer("issuer").Audience([]string{"stampede"}).Subject(uuid.NewString()).Expiration(expires).Build()
	require.NoError(t, err)
	signed, err := jwt.Sign(token, jwt.WithKey(Algorithm, key))
	require.NoError(t, err)
	return string(signed)
}

func BenchmarkVerify(b *testing.B) {
	key, set := newKey(b)
	v := &Verifier{issuer: "issuer", audience: "stampede", now: time.Now}
	v.keys.Store(newKeys(set))
	token := sign(b, key, time.Now().Add(time.Hour))
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			_, _ = v.Verify(token)
		}
	})
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			_, _ = v.check(set, token)
		}
	})
}
