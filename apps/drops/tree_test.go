package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

// TestProofs: a drop's log is read once, and of what came later only that, however many want the proofs of their entries; each proof
// is right.
func TestProofs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made()
	b.at(*w.PrequeueAt)
	b.tick()
	for n := range 5 {
		b.entered(n)
	}
	require.Equal(t, "drop-not-open", b.do(b.token(1), "GET", "/drops/spring/entry/proof", nil).Slug())
	b.at(w.OpensAt)
	b.tick()
	require.Equal(t, "entry-not-found", b.do(b.token(9), "GET", "/drops/spring/entry/proof", nil).Slug())
	require.Equal(t, "drop-not-found", b.do(b.token(1), "GET", "/drops/summer/entry/proof", nil).Slug())

	db, count := pgtest.Count(t, b.db)
	b.s.store.db = db
	prove := func(accounts ...int) (read int, statements []string) {
		t.Helper()
		d, leaves := b.proof()
		var batch []proving
		for _, n := range accounts {
			batch = append(batch, proving{"spring", account(n)})
		}
		count.Reset()
		answers, err := b.s.proveAll(t.Context(), batch)
		require.NoError(t, err)
		for i, a := range answers {
			if accounts[i] == 9 {
				require.ErrorIs(t, a.Err, ErrEntryNotFound)
				continue
			}
			require.NoError(t, a.Err)
			p := a.Value
			require.Equal(t, account(accounts[i]), p.AccountID)
			leaf := proof.Leaf(p.EntryID, p.AccountID, p.Salt)
			require.NoError(t, proof.Includes(leaf[:], uint64(p.Idx), p.Size, p.Path, p.Root))
			log := proof.NewTree(false)
			for _, leaf := range leaves[:p.Size] {
				require.NoError(t, log.Add(leaf))
			}
			root := log.Root()
			require.Equal(t, root[:], []byte(p.Root))
			if p.Idx < 5 {
				require.Equal(t, d.Root, p.Root)
			}
		}
		statements = count.Statements()
		for _, sql := range statements {
			if strings.Contains(sql, "SELECT leaf FROM") {
				read++
			}
		}
		return read, statements
	}
	read, one := prove(0)
	require.Equal(t, 1, read)
	require.Len(t, one, 3)
	read, many := prove(0, 1, 2, 3, 4, 9)
	require.Zero(t, read, "the log was read")
	require.Len(t, many, 2)
	for n := 5; n < 8; n++ {
		b.entered(n)
	}
	read, _ = prove(7, 2)
	require.Equal(t, 1, read, "once it has grown")
	read, _ = prove(5, 6, 7, 4)
	require.Zero(t, read)
	tree, ok := b.s.trees.GetIfPresent(w.ID)
	require.True(t, ok)
	require.Equal(t, uint64(8), tree.Size())
	_, err := b.db.Exec(t.Context(), `UPDATE entries SET leaf = '' WHERE idx < 8`) // whoever reads them again is wrong
	require.NoError(t, err)
	b.entered(8)
	answers, err := b.s.proveAll(t.Context(), []proving{{"spring", account(8)}})
	require.NoError(t, err)
	p := answers[0].Value
	require.NoError(t, proof.Includes(p.Leaf, 8, 9, p.Path, p.Root))
}

// TestTreesKept: however many drops are asked for, what is kept of them is bounded.
func TestTreesKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tree := proof.NewTree(true)
	for range mostLeaves*2/3 + 1 {
		require.NoError(t, tree.Add([]byte{1}))
	}
	ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	for _, id := range ids {
		b.s.trees.Set(id, tree)
		b.s.trees.CleanUp()
	}
	kept := slices.Collect(b.s.trees.Keys())
	require.Len(t, kept, 1)
}

// TestFullLeaves: a full part of the log never changes, and caches keep it for long; the last part grows.
func TestFullLeaves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made()
	b.at(*w.PrequeueAt)
	b.tick()
	_, err := b.db.Exec(t.Context(), `
		INSERT INTO entries (id, drop_id, account_id, idx, skus, quantity, salt, leaf, entered_at)
		SELECT gen_random_uuid(), $1, gen_random_uuid(), n, '{TEE}', 1, '', '\x01', now() FROM generate_series(0, $2::int) AS n`,
		w.ID, leavesAtOnce)
	require.NoError(t, err)
	for path, want := range map[string]string{
		"": "public, max-age=3600", "?from=1": "public, max-age=3600", "?from=2": "public, max-age=1, stale-while-revalidate=2",
	} {
		r := b.do("", "GET", "/drops/spring/leaves"+path, nil)
		require.Equal(t, http.StatusOK, r.Status)
		require.Equal(t, want, r.Header.Get("Cache-Control"), path)
	}
}
