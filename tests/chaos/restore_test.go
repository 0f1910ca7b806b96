package chaos

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestRestore: the shop is copied while people buy, destroyed, and made again from the copy. What was bought, put into carts
// and shown before is there, what came later is not, everything adds up, and it sells on. A copy that is damaged is refused.
func TestRestore(t *testing.T) {
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_500, 100_000)
	ann, bob := s.Register(t), s.Register(t)
	before := ann.Bought(t, lamp, 1)
	bob.Put(t, lamp, 2)
	picture := pictured(t, s)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var buying sync.WaitGroup
	var bought atomic.Int32
	for _, c := range s.Crowd(t, 8) {
		buying.Go(func() {
			for ctx.Err() == nil { // until the cart is cleared of what was bought before, it is told so
				if _, _, err := c.Insist(ctx, lamp, shop.Visa); err == nil {
					bought.Add(1)
				}
			}
		})
	}
	folder := filepath.Join(t.TempDir(), "copy")
	said, err := s.Dev(t, "backup", folder)
	require.NoError(t, err, said)
	stop()
	buying.Wait()
	require.Greater(t, bought.Load(), int32(8))
	after := ann.Bought(t, lamp, 1)
	said, err = s.Dev(t, "restore", folder)
	require.ErrorContains(t, err, "exit status", said)
	require.Contains(t, said, "there is a shop here already")

	said, err = s.Dev(t, "clean")
	require.NoError(t, err, said)
	damaged := filepath.Join(folder, "postgres", "global", "pg_control")
	whole, err := os.ReadFile(damaged)
	require.NoError(t, err)
	bad := append([]byte{whole[0] ^ 1}, whole[1:]...)
	require.NoError(t, os.WriteFile(damaged, bad, 0o600))
	said, err = s.Dev(t, "restore", folder)
	require.Error(t, err)
	require.Contains(t, said, "pg_control", said)
	require.NoDirExists(t, s.Run)
	require.NoError(t, os.WriteFile(damaged, whole, 0o600))
	said, err = s.Dev(t, "restore", folder)
	require.NoError(t, err, said)
	t.Log(said)

	ann.Login(t)
	require.Equal(t, "confirmed", shop.Get[shop.Order](t, ann, "/api/v1/orders/"+before.ID).Status)
	ann.Do(t, "GET", "/api/v1/orders/"+after.ID, nil).Refused(t, 404, "order-not-found")
	bob.Login(t)
	cart := bob.Cart(t)
	require.Len(t, cart.Lines, 1)
	require.Equal(t, 2, cart.Lines[0].Quantity)
	require.Equal(t, picture, pictured(t, s))
	bob.Await(t, bob.Order(t, shop.Visa).ID, "confirmed")
	s.Audit(t)
}

// TestRestoreUntil: the shop is made again as of a moment after its copy: what was bought before that moment is there, what
// came later is not, everything adds up, and it sells on.
func TestRestoreUntil(t *testing.T) {
	s := shop.Open(t)
	lamp, ann := s.NewProduct(t, 1_500, 100), s.Register(t)
	copied := ann.Bought(t, lamp, 1)
	folder := filepath.Join(t.TempDir(), "copy")
	said, err := s.Dev(t, "backup", folder)
	require.NoError(t, err, said)
	before := ann.Bought(t, lamp, 1)
	moment := time.Now().UTC().Format(time.RFC3339Nano)
	after := ann.Bought(t, lamp, 1)

	said, err = s.Dev(t, "clean")
	require.NoError(t, err, said)
	said, err = s.Dev(t, "restore", folder, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	require.Error(t, err, said)
	require.NoDirExists(t, s.Run)
	said, err = s.Dev(t, "restore", folder, moment)
	require.NoError(t, err, said)
	t.Log(said)

	ann.Login(t)
	for _, order := range []string{copied.ID, before.ID} {
		require.Equal(t, "confirmed", shop.Get[shop.Order](t, ann, "/api/v1/orders/"+order).Status)
	}
	ann.Do(t, "GET", "/api/v1/orders/"+after.ID, nil).Refused(t, 404, "order-not-found")
	ann.Bought(t, lamp, 1)
	s.Audit(t)
}

// pictured is the address of the first picture of the catalogue, which is to be had.
func pictured(t *testing.T, s *shop.Shop) string {
	t.Helper()
	for _, p := range shop.All[shop.Item](t, s.Nobody(), "/api/v1/products?sort=name") {
		if p.ImageURL != nil {
			s.Nobody().Do(t, "GET", *p.ImageURL, nil).OK(t, 200)
			return *p.ImageURL
		}
	}
	t.Fatal("nothing has a picture")
	return ""
}
