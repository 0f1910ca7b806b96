package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/infra"
	"github.com/stampede-shop/stampede/dev/stack"
)

// TestThirdKey: of a key of which two are believed there comes no third before the old one is forgotten.
func TestThirdKey(t *testing.T) {
	for _, key := range twoKeys {
		set, err := stack.ParseSettings(key + "=new,old\nGATEWAY=" + (&stack.Stack{}).At(stack.PortGateway) + "\n")
		require.NoError(t, err)
		set.File = filepath.Join(t.TempDir(), "settings.env")
		s := &shop{infra.Servers{Stack: &stack.Stack{Settings: set}}}
		require.ErrorContains(t, s.exchange(t.Context(), key, false), "make rotate KEY="+key+" FORGET=true first")
		require.Equal(t, "new,old", set.Get(key))
	}
}
