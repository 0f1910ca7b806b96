package nginx

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPattern(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/cart/**":          `"^/api/v1/cart(/|$)"`,
		"/api/v1/products":         `"^/api/v1/products/?$"`,
		"/api/v1/products/{slug}":  `"^/api/v1/products/[^/]+/?$"`,
		"/api/v1/p/{id}/images/**": `"^/api/v1/p/[^/]+/images(/|$)"`,
		"/**":                      `"^(/|$)"`,
		"/a.b":                     `"^/a\.b/?$"`,
	} {
		require.Equal(t, want, pattern(path), path)
	}
}
