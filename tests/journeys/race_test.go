package journeys

import (
	"testing"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestRace runs before the parallel tests, with the stack to itself.
func TestRace(t *testing.T) {
	shop.Open(t).Race(t, 200, 50)
}
