package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSwapTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "swaps.md"))
	require.NoError(t, err)
	table := swapTable([]figures{
		{Broker: "pubsub.rabbitmq", State: "state.redis", OrdersASecond: 20, Confirmed: 70 * time.Millisecond, Total: time.Minute},
		{Broker: "pubsub.kafka", State: "state.postgresql", OrdersASecond: 5, RaceAnswered: 1500 * time.Millisecond},
	}, []change{{From: "pubsub.rabbitmq", To: "pubsub.kafka", Took: 12 * time.Second, Longest: 4 * time.Second, Orders: 30}}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	page, err := withTable(string(text), table)
	require.NoError(t, err)
	require.Contains(t, page, "Measured on 2026-01-02")
	require.Contains(t, page, "| rabbitmq | redis | 70 ms | 20.0 | 1.00 |")
	require.Contains(t, page, "| kafka | postgresql | 0 ms | 5.0 | 0.25 | 1.5 s, 0.0 s |")
	require.Contains(t, page, "| rabbitmq | kafka | 12.0 s | 4.0 s | 30 |")
	again, err := withTable(page, table)
	require.NoError(t, err)
	require.Equal(t, page, again)
	_, err = withTable("no marks", table)
	require.Error(t, err)
}
