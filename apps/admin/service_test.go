package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/servetest"
)

func TestStaffOnly(t *testing.T) {
	t.Parallel()
	rt, _ := servetest.NewTest(t, "admin", nil)
	require.NoError(t, newService(rt, settings{public: "http://shop.test", country: "GB", currency: "GBP"}))
	id := uuid.New()

	require.Equal(t, 401, servetest.Do(t, rt, "GET", "/admin/orders", "", nil).Status)
	res := servetest.Do(t, rt, "GET", "/admin/orders", servetest.Token(t, id, "shopper@example.test", auth.RoleUser), nil)
	require.Equal(t, 403, res.Status)
	require.Contains(t, string(res.Body), "shopper@example.test may not")

	// The middleware passes an ended token on: the browser goes round again.
	expired := servetest.TokenUntil(t, id, "ops@example.test", time.Now().Add(-time.Second), auth.RoleAdmin)
	res = servetest.Do(t, rt, "GET", "/admin/orders?status=pending", expired, nil)
	require.Equal(t, 302, res.Status)
	require.Equal(t, "/admin/orders?status=pending", res.Header.Get("Location"))
	require.Contains(t, res.Header.Get("Set-Cookie"), "gosessionsid=; ")
	require.Contains(t, res.Header.Get("Set-Cookie"), "Max-Age=0")

	// Staff come as far as orders, which is away here.
	require.Equal(t, 503, servetest.Do(t, rt, "GET", "/admin/orders", servetest.Token(t, id, "ops@example.test", auth.RoleAdmin), nil).Status)
}
