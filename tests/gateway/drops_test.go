package gateway

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
)

// newDrop gives the slug of a drop that no other test has.
func newDrop() string { return fmt.Sprintf("drop-%d", lastRequest.Add(1)) }

func claim(slug string) string  { return "/api/v1/drops/" + slug + "/claim" }
func status(slug string) string { return "/api/v1/drops/" + slug + "/status" }

// answers says what a drop's status is from now on.
func answers(g *gateway, slug, text string) {
	g.upstream.answer(status(slug), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, text)
	})
}

// claims sends a claim.
func claims(t require.TestingT, g *gateway, slug string, header ...string) answer {
	return g.send(t, request{method: "POST", path: claim(slug), header: header, body: "{}"})
}

// opens lets a drop for which nobody waited be open: a position is a place in the log of entries.
func opens(g *gateway, slug string, called int) {
	answers(g, slug, fmt.Sprintf(`{"state":"open","n":0,"skus":[{"sku":"A","called":0},{"sku":"B","called":%d}]}`, called))
}

// ticket is the header with which an entry's owner claims.
func ticket(slug string, idx int, good time.Duration) string {
	return sealed(slug, idx, good, drop.TicketKey([]byte(dropsKey), slug))
}

// sealed is the header with a ticket of the entry that came as number idx, signed with any key.
func sealed(slug string, idx int, good time.Duration, key []byte) string {
	now := time.Now()
	return "Drop-Ticket: " + drop.Ticket{
		Drop: slug, Subject: "somebody", Entry: fmt.Sprintf("%s-%d", slug, idx), Idx: uint64(max(idx, 0)),
		IssuedAt: now.Unix(), ExpiresAt: now.Add(good).Unix(),
	}.Sign(key)
}
