package drop

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/tickets.json")

// example is a ticket of testdata/tickets.json, with which setting it was made, and what a reader says to it.
type example struct {
	Name    string `json:"name"`
	Setting string `json:"setting"`
	Drop    string `json:"drop"` // whose claim it is shown at
	Now     int64  `json:"now"`
	Ticket  string `json:"ticket"`
	Good    bool   `json:"good"`
	Idx     uint64 `json:"idx"`
}

func examples() []example {
	const setting, other = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	t := Ticket{"spring", Subject([]byte(setting), "spring", "018f3c5e-0000-7000-8000-000000000001"),
		"018f3c5e-0000-7000-8000-0000000000aa", 41, 1_900_000_000, 1_900_003_600}
	good := t.Sign(TicketKey([]byte(setting), "spring"))
	body, mac, _ := strings.Cut(good, ".")
	last := t
	last.Idx = 1<<53 - 1
	one := func(name, ticket, at string, now int64, ok bool, idx uint64) example {
		return example{name, setting, at, now, ticket, ok, idx}
	}
	return []example{
		one("good", good, "spring", 1_900_000_001, true, 41),
		one("good in its last second", good, "spring", 1_900_003_599, true, 41),
		one("a large number", last.Sign(TicketKey([]byte(setting), "spring")), "spring", 1_900_000_001, true, 1<<53-1),
		one("over", good, "spring", 1_900_003_600, false, 0),
		one("another drop's", good, "summer", 1_900_000_001, false, 0),
		one("of another setting", t.Sign(TicketKey([]byte(other), "spring")), "spring", 1_900_000_001, false, 0),
		one("signed with the setting itself", t.Sign([]byte(setting)), "spring", 1_900_000_001, false, 0),
		one("another drop's key, this one's name", t.Sign(TicketKey([]byte(setting), "summer")), "spring", 1_900_000_001, false, 0),
		one("no signature", body, "spring", 1_900_000_001, false, 0),
		one("empty signature", body+".", "spring", 1_900_000_001, false, 0),
		one("signature cut short", good[:len(good)-4], "spring", 1_900_000_001, false, 0),
		one("signature first", mac+"."+body, "spring", 1_900_000_001, false, 0),
		one("more behind it", good+".x", "spring", 1_900_000_001, false, 0),
		one("padded", good+"=", "spring", 1_900_000_001, false, 0),
		one("empty", "", "spring", 1_900_000_001, false, 0),
	}
}

// TestTickets holds tickets to the file by which the gateway's reader is tested, too.
func TestTickets(t *testing.T) {
	t.Parallel()
	const file = "testdata/tickets.json"
	if *update {
		data, err := json.MarshalIndent(examples(), "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, append(data, '\n'), 0o644))
	}
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var kept []example
	require.NoError(t, json.Unmarshal(data, &kept))
	require.Equal(t, examples(), kept, "go test ./drop -run TestTickets -update")
	for _, e := range kept {
		ticket, err := ReadTicket(e.Ticket, TicketKey([]byte(e.Setting), e.Drop), e.Drop, time.Unix(e.Now, 0))
		if !e.Good {
			require.ErrorIs(t, err, ErrTicket, e.Name)
			continue
		}
		require.NoError(t, err, e.Name)
		require.Equal(t, e.Idx, ticket.Idx, e.Name)
	}
}

// TestSubject: of two accounts, drops or settings no two are the same.
func TestSubject(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, setting := range []string{"a", "b"} {
		for _, slug := range []string{"spring", "summer"} {
			for _, account := range []string{"1", "2"} {
				seen[Subject([]byte(setting), slug, account)] = true
				seen[string(TicketKey([]byte(setting), slug))] = true
			}
		}
	}
	require.Len(t, seen, 12)
	require.NotEqual(t, SecretOf([]byte("a"), []byte("1"), "spring"), SecretOf([]byte("a"), []byte("2"), "spring"))
}
