package auth

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoKeysYet(t *testing.T) {
	t.Parallel()
	v := NewVerifier(t.Context(), "issuer", "stampede", "http://127.0.0.1:1/keys") // nobody listens on port 1
	_, err := v.Verify("x.y.z")
	require.ErrorIs(t, err, ErrNoKeys)
}
