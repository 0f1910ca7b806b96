package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCatalogue(t *testing.T) {
	t.Parallel()
	products := catalogue()
	handles, skus, kinds, titles := map[string]bool{}, map[string]bool{}, map[string]int{}, map[string]bool{}
	for _, p := range products {
		require.False(t, handles[p.handle], p.handle)
		require.False(t, titles[p.title], p.title)
		handles[p.handle], titles[p.title] = true, true
		if !p.draft {
			kinds[p.kind]++
		}
		require.NotEmpty(t, p.variants)
		for _, v := range p.variants {
			require.False(t, skus[v.sku], v.sku)
			skus[v.sku] = true
			require.Positive(t, v.price)
			require.Len(t, v.values, len(p.options))
		}
	}
	require.Len(t, kinds, 8)
	for kind, n := range kinds {
		require.Equal(t, 12, n, kind)
	}
}

// TestCommitted keeps products.csv and the pictures the same as what this package makes.
func TestCommitted(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	require.NoError(t, writeCSV(&file, catalogue()))
	committed, err := os.ReadFile("products.csv")
	require.NoError(t, err)
	require.Equal(t, file.String(), string(committed), "go run ./dev/seed")
	found, err := filepath.Glob("pictures/*")
	require.NoError(t, err)
	require.Len(t, found, len(catalogue()))
	for _, p := range catalogue() {
		picture, err := os.ReadFile(filepath.Join("pictures", p.picture()))
		require.NoError(t, err)
		require.Equal(t, draw(p), string(picture), "go run ./dev/seed")
		d := xml.NewDecoder(strings.NewReader(string(picture)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else {
				require.NoError(t, err, p.handle)
			}
		}
	}
}
