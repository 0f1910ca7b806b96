package browser

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPlace: a test with two browsers has one place, which it gives back.
func TestPlace(t *testing.T) {
	t.Run("has", func(t *testing.T) {
		place(t)
		place(t)
		require.Len(t, places, 1)
	})
	require.Empty(t, places)
}
