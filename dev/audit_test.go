package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/infra"
	"github.com/stampede-shop/stampede/dev/stack"
)

// TestAuditEnv: the auditor is told the services' databases and waits, and goes
// past the proxies of make chaos.
func TestAuditEnv(t *testing.T) {
	t.Parallel()
	set, err := stack.ParseSettings("ORDERS_DATABASE_URL=postgres://orders:p@127.0.0.1:10475/orders\nKEYCLOAK_DATABASE_URL=postgres://k@127.0.0.1:10475/keycloak\n" +
		"STATE_DATABASE_URL=postgres://s@127.0.0.1:1/state\nORDER_DEADLINE=45s")
	require.NoError(t, err)
	s := &shop{infra.Servers{Stack: &stack.Stack{Root: "..", Offset: 2000, Settings: set}}}
	about := func() []string {
		env, err := s.auditEnv()
		require.NoError(t, err)
		return slices.DeleteFunc(env, func(v string) bool { return slices.Contains(stack.Environment(), v) })
	}
	require.Equal(t, []string{"ORDERS_DATABASE_URL=postgres://orders:p@127.0.0.1:10475/orders", "ORDER_DEADLINE=45s"}, about())
	s.Proxied = true
	require.Equal(t, []string{"ORDERS_DATABASE_URL=postgres://orders:p@127.0.0.1:17432/orders", "ORDER_DEADLINE=45s"}, about())
}
