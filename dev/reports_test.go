package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestScoreTable(t *testing.T) {
	t.Parallel()
	page, low := scoreTable([]scores{{"home", 100, 99, 98, 97}, {"cart", 94, 100, 100, 90}}, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
	require.Equal(t, []string{"cart's SEO is 90", "cart's performance is 94"}, low)
	require.Contains(t, page, "on 2026-01-02")
	require.Contains(t, page, "| home | 100 | 99 | 98 | 97 |")
}
