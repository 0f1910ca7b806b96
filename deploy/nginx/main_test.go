package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoutesConfIsGenerated(t *testing.T) {
	list, err := os.ReadFile("../routes.yaml")
	require.NoError(t, err)
	want, err := generate(list)
	require.NoError(t, err)
	got, err := os.ReadFile("routes.conf")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "deploy/routes.yaml changed: go generate ./deploy/nginx")
}

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
