package faults

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestHangUps shows that people who reload and go away break nothing: no sidecar and no app ends by it, on lists, pages,
// pictures and orders, behind the front and behind the gateway. A sidecar that did would answer 503 to everybody on its
// edge until it is up again.
func TestHangUps(t *testing.T) {
	s := shop.Open(t)
	ann, p := s.Register(t), s.NewProduct(t, 1_000, 5)
	order := ann.Bought(t, p, 1)
	before := s.Processes(t)

	body := fmt.Sprintf(`{"payment_method":%q,"expected_total":{"amount":1000,"currency":"GBP"},"note":%q}`, shop.Visa, strings.Repeat("x", 2_000))
	requests := []func() string{ // a query of its own each, so that no cache answers
		func() string { return "GET /api/v1/products?q=" + shop.Random() },
		func() string { return "GET /api/v1/orders?limit=20&x=" + shop.Random() },
		func() string { return "GET /api/v1/orders/" + order.ID + "?x=" + shop.Random() },
		func() string { return "GET /?x=" + shop.Random() },
		func() string { return "GET /products/" + p.Slug + "?x=" + shop.Random() },
		func() string { return "GET /media/" + shop.Random() + ".webp" },
		func() string { return "POST /api/v1/orders" },
		func() string { return "POST /api/v1/cart/merge?x=" + shop.Random() },
	}
	addresses := []string{"127.0.0.1:" + s.Port(8000), "127.0.0.1:" + s.Port(8011)}
	numbers := make([]int, 6_000)
	for i := range numbers {
		numbers[i] = i
	}
	shop.Each(t, numbers, 32, func(i int) error {
		line := requests[i/2%len(requests)]()
		head := line + " HTTP/1.1\r\nHost: localhost:" + s.Port(8000) + "\r\nIdempotency-Key: " + shop.Random() + "\r\n"
		if i/16%2 == 0 || strings.Contains(line, "/orders") { // others come with and without a token
			head += "Authorization: Bearer " + ann.Token + "\r\n"
		}
		sent := head + "\r\n"
		if strings.HasPrefix(line, "POST") {
			sent = head + fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			if rand.IntN(3) == 0 {
				sent = sent[:len(sent)-len(body)/2] // gone in the middle of it
			}
		}
		return hangUp(addresses[i%2], sent, time.Duration(rand.Int64N(int64(25*time.Millisecond))), rand.IntN(2) == 0)
	})

	require.Equal(t, before, s.Processes(t), "something has ended")
	// The gateway may still refuse some, by how fast answers were (503, try again).
	for path, c := range map[string]*shop.Client{"/api/v1/orders/" + order.ID: ann, "/api/v1/products?q=" + shop.Random(): s.Nobody()} {
		_, err := c.Persist(t.Context(), 200, new(any), "GET", path, nil)
		require.NoError(t, err, path)
	}
	ann.Bought(t, p, 1)
	require.Equal(t, before, s.Processes(t), "something has ended")
}

// hangUp sends a request and closes the connection after a while, whether the answer has begun or not: by a reset, or
// as one who has nothing more to say.
func hangUp(address, request string, after time.Duration, reset bool) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return errors.Join(err, conn.Close())
	}
	if reset {
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	// An answer that is read to its end would be no hanging up: a piece of it at most.
	if err := conn.SetReadDeadline(time.Now().Add(after)); err == nil {
		_, _ = conn.Read(make([]byte, 512))
	}
	return conn.Close()
}
