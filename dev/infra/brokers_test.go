package infra

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/stack"
)

func TestTopics(t *testing.T) {
	t.Parallel()
	names, err := Servers{&stack.Stack{Root: "../.."}}.topics()
	require.NoError(t, err)
	require.Contains(t, names, "order.placed.v1")
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "events.md"))
	require.NoError(t, err)
	require.Len(t, names, len(regexp.MustCompile(`(?m)^### .*\.v\d+$`).FindAll(text, -1)), "as many as docs/events.md has")
}

func TestLag(t *testing.T) {
	t.Parallel()
	n, err := lag(`
Consumer group 'mail' has no active members.

GROUP           TOPIC            PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID
mail            order.placed.v1  0          10              12              2               -               -               -
mail            order.placed.v1  1          -               3               -               -               -               -
orders          order.placed.v1  1          3               3               0               x               /127.0.0.1      y
`)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	_, err = lag("mail x 0 1 2 many")
	require.Error(t, err)
}
