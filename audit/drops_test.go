package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
)

// opened is a drop of so many entries that is open, as drops would have written it.
func opened(t *testing.T, n int) (published, []proof.Head, []entry) {
	t.Helper()
	text, err := json.Marshal(proof.Rules{OpensAt: time.Now(), Beacon: proof.BeaconCommit})
	require.NoError(t, err)
	secret := [32]byte{4}
	commitment := drop.Commitment("spring", text, secret)
	size := int64(n)
	p := published{
		ID: uuid.New(), Slug: "spring", State: "open", Rules: string(text), Commitment: commitment[:], Entered: size, N: &size,
		Secret: secret[:], Opened: true,
	}
	var entries []entry
	tree := proof.NewTree(false)
	for i := range n {
		account := uuid.New()
		e := entry{ID: uuid.New(), AccountID: &account, Idx: int64(i), Salt: []byte{byte(i)}}
		leaf := proof.Leaf(e.ID, account, e.Salt)
		e.Leaf = leaf[:]
		require.NoError(t, tree.Add(e.Leaf))
		entries = append(entries, e)
	}
	root := tree.Root()
	seed := drop.Seed(secret, nil, root, uint64(n))
	p.Root, p.Seed = root[:], seed[:]
	for i, place := range drop.Positions(uint64(n), seed) {
		position := int64(place)
		entries[i].Position = &position
	}
	return p, []proof.Head{proof.SignHead(proof.HeadKey([]byte("key")), "spring", uint64(n), root, time.Now())}, entries
}

func TestJudgeDrop(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(p *published, entries []entry) []entry
		want   string
	}{
		"right": {func(_ *published, entries []entry) []entry { return entries }, ""},
		"right, and somebody is forgotten": {func(_ *published, entries []entry) []entry {
			entries[1].AccountID, entries[1].Salt = nil, nil
			return entries
		}, ""},
		"right, and positions are being written": {func(p *published, entries []entry) []entry {
			p.State, p.Opened, entries[3].Position = "drawing", false, nil
			return entries
		}, ""},
		"somebody has no position": {func(_ *published, entries []entry) []entry {
			entries[3].Position = nil
			return entries
		}, "entry 3 has not position"},
		"somebody stands elsewhere": {func(_ *published, entries []entry) []entry {
			entries[1].Position, entries[2].Position = entries[2].Position, entries[1].Position
			return entries
		}, "has not position"},
		"somebody's entry is another's": {func(_ *published, entries []entry) []entry {
			other := uuid.New()
			entries[1].AccountID = &other
			return entries
		}, "is another's"},
		"an entry is gone":    {func(_ *published, entries []entry) []entry { return entries[:4] }, "were counted"},
		"a number is missing": {func(p *published, entries []entry) []entry { p.Entered = 4; return entries[1:] }, "stands at"},
		"another seed":        {func(p *published, entries []entry) []entry { p.Seed[0]++; return entries }, "the seed"},
		"other rules":         {func(p *published, entries []entry) []entry { p.Rules += " "; return entries }, "committed"},
		"another root":        {func(p *published, entries []entry) []entry { p.Root[0]++; return entries }, "root"},
	} {
		p, heads, entries := opened(t, 5)
		found := judgeDrop(p, heads, tc.change(&p, entries))
		if tc.want == "" {
			require.Empty(t, found, name)
			continue
		}
		require.NotEmpty(t, found, name)
		require.Contains(t, found[0].what, tc.want, name)
	}
}

// TestAuditDrops: each statement, on tables as the migrations make them, with one thing of each kind wrong.
func TestAuditDrops(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p, heads, entries := opened(t, 5)
	bytea := func(b []byte) string { return fmt.Sprintf(`'\x%x'`, b) }
	var sql strings.Builder
	fmt.Fprintf(&sql, `
		INSERT INTO drops (id, slug, title, preset, state, zone, prequeue_at, opens_at, closes_at, grace_s, hold_s, standby_s, calls_per_s,
			notify, beacon, rules, commitment, entered, n, root, secret, seed, created_at)
		VALUES ('%s', 'spring', '', 'queue', 'open', 'UTC', now() - interval '2 hours', now() - interval '1 hour',
			now() + interval '1 hour', 45, 600, 60, 100, false, 'commit', '%s', %s, 5, 5, %s, %s, %s, now());
		INSERT INTO drop_lots (drop_id, sku, units, most, called) VALUES ('%[1]s', 'TEE', 4, 1, 3);
		INSERT INTO calls (drop_id, sku, first, last, called, called_at) VALUES ('%[1]s', 'TEE', 0, 3, 3, now());`,
		p.ID, p.Rules, bytea(p.Commitment), bytea(p.Root), bytea(p.Secret), bytea(p.Seed))
	at := map[int64]entry{}
	for _, e := range entries {
		at[*e.Position] = e
		fmt.Fprintf(&sql, `INSERT INTO entries (id, drop_id, account_id, idx, position, skus, quantity, salt, leaf, entered_at)
			VALUES ('%s', '%s', '%s', %d, %d, '{TEE}', 1, %s, %s, now());`,
			e.ID, p.ID, e.AccountID, e.Idx, *e.Position, bytea(e.Salt), bytea(e.Leaf))
	}
	h := heads[0]
	fmt.Fprintf(&sql, `INSERT INTO heads (drop_id, size, root, at, key, signature) VALUES ('%s', 5, %s, '%s', %s, %s);`,
		p.ID, bytea(h.Root), h.At.Format(time.RFC3339Nano), bytea(h.Key), bytea(h.Signature))
	claim := func(position int64, state, ago string) string {
		return fmt.Sprintf(`INSERT INTO claims (entry_id, sku, drop_id, quantity, position, state, made_at)
			VALUES ('%s', 'TEE', '%s', 1, %d, '%s', now() - interval '%s');`, at[position].ID, p.ID, position, state, ago)
	}
	sql.WriteString(claim(0, "held", "40 minutes") + claim(1, "held", "30 minutes") + claim(2, "standby", "20 minutes"))
	sql.WriteString(`UPDATE claims SET lapses = 1, made_at = now() - interval '1197 seconds' WHERE position = 1;`) // at the same time
	s.write("drops", sql.String())
	holds := func(position int64) string {
		return fmt.Sprintf(`INSERT INTO cart_holds (shopper, sku, quantity, expires_at, lot)
			VALUES ('account:%s', 'TEE', 1, now() + interval '1 hour', '%s');`, at[position].AccountID, p.ID)
	}
	stock := func(held int) string {
		return fmt.Sprintf(`UPDATE stock SET cart_held = %[1]d, lot_held = %[1]d, lot_free = 4 - %[1]d;`, held)
	}
	s.write("inventory", `
		INSERT INTO stock (sku, on_hand, lot, lot_free, lot_limit) VALUES ('TEE', 10, '`+p.ID.String()+`', 4, 1);
		INSERT INTO ledger (sku, number, kind, delta, before, after, reason, ref, at)
		VALUES ('TEE', 1, 'initial', 10, 0, 10, '', '', now());
		INSERT INTO lots (drop, sku, units, most, opened_at) VALUES ('`+p.ID.String()+`', 'TEE', 4, 1, now());`+holds(0)+holds(1)+stock(2))
	out, err := s.audit()
	require.NoError(t, err, out)
	require.Contains(t, out, "5  drop entries")

	s.write("inventory", holds(4)+stock(3))
	s.write("drops", claim(3, "held", "10 minutes"))
	s.write("drops", `UPDATE drop_lots SET called = 2; UPDATE entries SET position = 9 WHERE idx = 0`)
	out, err = s.audit()
	require.Error(t, err)
	for _, want := range []string{
		"account " + at[4].AccountID.String() + " has SKU TEE without a claim",
		"SKU TEE is called up to 2, and its calls say 3",
		"has claimed SKU TEE at position 3, called are 2",
		"has claimed SKU TEE at position 2, called are 2",
		"stood by for SKU TEE at position 2, and 3 was served before",
		"entry 0 has not position",
	} {
		require.Contains(t, out, want)
	}
	require.Contains(t, out, "6  violations")
}

// TestPassedOver: who stood by while somebody behind them was served, whatever became of both since. Each case is a drop of its own, in
// which the better one stands at position 1, the other at 2.
func TestPassedOver(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	cases := map[string]struct {
		better, worse string // state, made_at and offered_at in seconds ago, units offered; quantity, if not 1
		also          string // done to the better one's entry
		passed        bool
	}{
		"the-worse-claimed-later":      {"'standby', 900, NULL, 0", "'held', 600, NULL, 0", "", true},
		"the-worse-stood-by-first":     {"'standby', 900, NULL, 0", "'offered', 990, 600, 1", "", true},
		"both-stood-by-at-once":        {"'standby', 900, NULL, 0", "'bought', 899, 600, 1", "", true},
		"served-since":                 {"'held', 900, 300, 1", "'held', 990, 600, 1", "", true},
		"as-much-was-offered":          {"'standby', 900, NULL, 0, 2", "'held', 900, 600, 2", "", true},
		"in-turn":                      {"'held', 900, 600, 1", "'offered', 990, 300, 1", "", false},
		"together":                     {"'held', 900, 600, 1", "'offered', 990, 600, 1", "", false},
		"the-worse-was-there-alone":    {"'standby', 300, NULL, 0", "'held', 900, 600, 1", "", false},
		"claims-of-one-batch":          {"'standby', 604, NULL, 0", "'held', 600, NULL, 0", "", false},
		"both-at-once":                 {"'held', 600, NULL, 0", "'held', 900, NULL, 0", "", false},
		"less-was-offered":             {"'standby', 900, NULL, 0, 2", "'held', 900, 600, 1, 2", "", false},
		"an-offer-of-an-earlier-claim": {"'standby', 300, NULL, 0", "'held', 600, 900, 1", "", false},
		"lapsed":                       {"'lapsed', 900, 700, 1", "'held', 990, 600, 1", "", false},
		"stands-behind-after-a-lapse":  {"'standby', 900, NULL, 0", "'held', 990, 600, 1", "UPDATE claims SET lapses = 1", false},
		"left":                         {"'standby', 900, NULL, 0", "'held', 990, 600, 1", "UPDATE entries SET left_at = now()", false},
		"shut-out":                     {"'standby', 900, NULL, 0", "'held', 990, 600, 1", "UPDATE entries SET excluded = 'x'", false},
		"forgotten":                    {"'standby', 900, NULL, 0", "'held', 990, 600, 1", "UPDATE entries SET account_id = NULL", false},
		"suspended":                    {"'standby', 900, NULL, 0", "'held', 990, 600, 1", "standing true, 950", false},
		"suspended-meanwhile":          {"'standby', 900, NULL, 0", "'held', 990, 600, 1", "standing false, 500", false},
		"suspended-long-ago":           {"'standby', 900, NULL, 0", "'held', 990, 600, 1", "standing false, 5000", true},
	}
	entries := map[string]uuid.UUID{}
	for name, tc := range cases {
		of, account := uuid.New(), uuid.New()
		var sql strings.Builder
		fmt.Fprintf(&sql, `
			INSERT INTO drops (id, slug, title, preset, state, zone, opens_at, closes_at, grace_s, hold_s, standby_s, calls_per_s, notify,
				beacon, created_at)
			VALUES ('%s', '%s', '', 'first-come', 'draft', 'UTC', now() - interval '1 hour', now(), 45, 600, 60, 100, false, 'commit',
				now());
			INSERT INTO drop_lots (drop_id, sku, units, most, called) VALUES ('%[1]s', 'TEE', 4, 2, 3);
			INSERT INTO calls (drop_id, sku, first, last, called, called_at) VALUES ('%[1]s', 'TEE', 0, 3, 3, now());`, of, name)
		for position, claim := range map[int]string{1: tc.better, 2: tc.worse} {
			id := uuid.New()
			who := account
			if position == 1 {
				entries[name] = id
			} else {
				who = uuid.New()
			}
			fmt.Fprintf(&sql, `
				INSERT INTO entries (id, drop_id, account_id, idx, position, skus, quantity, leaf, entered_at)
				VALUES ('%s', '%s', '%s', %d, %[4]d, '{TEE}', 2, '', now());
				INSERT INTO claims (entry_id, sku, drop_id, position, state, made_at, offered_at, offered, quantity)
				SELECT '%[1]s', 'TEE', '%[2]s', %[4]d, state, now() - made * interval '1 second',
					now() - served * interval '1 second', offered, quantity
				FROM (VALUES (%[5]s)) AS v (state, made, served, offered, quantity);`, id, of, who, position, columns(claim))
		}
		if standing, is := strings.CutPrefix(tc.also, "standing "); is {
			fmt.Fprintf(&sql, `INSERT INTO standings (account_id, suspended, told_at)
				SELECT '%s', suspended, now() - ago * interval '1 second' FROM (VALUES (%s)) AS v (suspended, ago);`, account, standing)
		} else if tc.also != "" {
			fmt.Fprintf(&sql, `%s WHERE drop_id = '%s' AND position = 1;`, tc.also, of)
		}
		s.write("drops", sql.String())
	}
	out, err := s.audit()
	require.Error(t, err)
	for name, tc := range cases {
		found := strings.Contains(out, "entry "+entries[name].String()+" stood by for SKU TEE at position 1, and 2 was served before")
		require.Equal(t, tc.passed, found, name)
	}
}

// columns are a claim's: of a quantity that is not given it is 1.
func columns(claim string) string {
	claim = strings.ReplaceAll(claim, "NULL", "NULL::integer")
	if strings.Count(claim, ",") == 3 {
		return claim + ", 1"
	}
	return claim
}
